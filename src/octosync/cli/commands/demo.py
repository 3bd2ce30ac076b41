"""`octosync demo`: the whole story, told by the real commands against an embedded control plane of its own.

The demo's stage: a temporary folder with an embedded control plane, where commands run and must end as they are told.

Where the shipped examples are.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

import click
import httpx

import octosync
from octosync.cli import root
from octosync.cli.command import Command
from octosync.cli.console import out, wants_colour
from octosync.cli.root import report_failure, usage_error
from octosync.cli.signals import DeferredSignals, deferred_signals
from octosync.contract import OPERATIONS
from octosync.errors import ConfigError, ExitCode, Interrupted, OctosyncError
from octosync.manifest.config.config import FILE_NAME
from octosync.model import JsonValue
from octosync.octomil import API_PATH
from octosync.report.text import Style
from octosync.server import DEMO_TOKENS, ServerSettings, running_server

_OURS: Final = ("OCTOSYNC_", "OCTOMIL_")
_SIGNALLED: Final = (ExitCode.INTERRUPTED, ExitCode.TERMINATED)
_MANIFESTS: Final = "manifests"

_CONFIGURATION: Final = """\
contexts:
  local: {{url: "{url}"}}
defaultContext: local
paths: [{manifests}/]
rate: {{requestsPerMinute: 0}}  # no limit on this machine
"""


class DemoRunner:
    """Narrates, and runs commands of octosync in the current directory. `url` is the control plane's origin."""

    def __init__(self, url: str, signals: DeferredSignals) -> None:
        self.url = url
        self._signals = signals
        self._style = Style(wants_colour(sys.stdout, "auto"))
        self._chapter = 0

    def say(self, *lines: str) -> None:
        """Narrate. Raises `Interrupted` where a signal has come meanwhile."""
        self._signals.check()
        out("".join(f"{line}\n" for line in lines))

    def chapter(self, title: str, *lines: str) -> None:
        """Begin the next chapter."""
        self._chapter += 1
        self.say("", self._style.bold(f"{self._chapter}. {title}"), *lines)

    def show(self, file: str) -> None:
        """Show a file."""
        self._typed("cat", file)
        out(Path(file).read_text(encoding="utf-8"))

    def run(self, *arguments: str, ends: ExitCode) -> None:
        """Run a command as if it had been typed.

        Raises `OctosyncError` where it ends with another exit code than `ends`; `Interrupted`, or click's `Exit`, where a
        signal or the end of a pipe ended it.
        """
        self._typed("octosync", *arguments)
        code = _run(arguments)
        if code in _SIGNALLED:  # it has said so itself, or nobody listens any more
            raise click.exceptions.Exit(code)
        if code != ends:
            raise OctosyncError(
                "demo-failed",
                f"`octosync {shlex.join(arguments)}` ended with exit code {int(code)}, and {int(ends)} was to be expected",
                hints=("The demo depends on nothing but this installation: install octosync again.",),
            )
        if code is not ExitCode.DONE:
            self.say(self._style.dim(f"(exit code {int(code)}: there are changes)"))

    def _typed(self, *words: str) -> None:
        self.say("", self._style.bold(f"$ {shlex.join(words)}"))


@contextmanager
def demo_runner(manifests: Path) -> Iterator[DemoRunner]:
    """Start a control plane, and go to a temporary folder that holds a copy of the manifests, until the block ends.

    Raises `ConfigError` where there is no place for the folder.
    """
    with (
        deferred_signals() as signals,
        _without_our_variables(),
        _folder() as folder,
        running_server(ServerSettings(seed="demo")) as plane,
        chdir(folder),
    ):
        shutil.copytree(manifests, _MANIFESTS)
        text = _CONFIGURATION.format(url=plane.url, manifests=_MANIFESTS)
        Path(FILE_NAME).write_text(text, encoding="utf-8")
        yield DemoRunner(plane.url, signals)


@contextmanager
def _folder() -> Iterator[Path]:
    try:
        folder = tempfile.TemporaryDirectory(prefix="octosync-demo-", ignore_cleanup_errors=True)
    except OSError as error:
        raise ConfigError(
            "no-temporary-folder",
            f"the demo needs a temporary folder and can't make one: {error.strerror}",
            hints=("Set TMPDIR to a directory that can be written to.",),
        ) from error
    with folder as name:
        yield Path(name)


@contextmanager
def _without_our_variables() -> Iterator[None]:
    """Hide what would turn the demo's commands elsewhere, the user's API key above all."""
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(_OURS)}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _run(arguments: tuple[str, ...]) -> ExitCode:
    try:
        code = root.octosync.main(list(arguments), prog_name="octosync", standalone_mode=False)
    except Interrupted:
        raise
    except OctosyncError as error:
        return report_failure(error)
    except click.ClickException as error:
        return report_failure(usage_error(error))
    return ExitCode(code or 0)


@contextmanager
def shipped_manifests() -> Iterator[Path]:
    """Give the folder of the example manifests: the installed package's, else the checkout's. Raises `OctosyncError`."""
    packaged = files(octosync) / "examples" / "manifests"
    checkout = Path(octosync.__file__).parents[2] / "examples" / "manifests"
    if packaged.is_dir():
        with as_file(packaged) as folder:
            yield folder
    elif checkout.is_dir():
        yield checkout
    else:
        raise OctosyncError(
            "examples-missing",
            "this installation of octosync has no example manifests",
            hints=("Install octosync again, from a wheel or a whole checkout.",),
        )


def as_typed(path: Path) -> str:
    """Return a path as it is to be typed here: short where it is below the working directory, quoted where needed."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


_APP, _DEPLOYED = "canary-demo", "field-notes"
_SLOT: Final = OPERATIONS["apps.put_slot"].url({"slug": _APP, "capability": "chat"})
# What Ben sets by hand: the manifest declares the first and not the second.
_POLICY, _VARIANT = "cloud_first", "chat-steady-3b-q4"


@click.command(cls=Command, epilog="Example:  octosync demo")
def command() -> ExitCode:
    """Run a complete example: validate, plan, apply, and the detection and revert of a manual change.

    Uses the shipped examples and an embedded control plane in a temporary folder. The demo reads and changes no other files,
    uses no API key, and leaves no files behind.
    """
    try:
        with shipped_manifests() as manifests:
            with demo_runner(manifests) as runner:
                _run_story(runner)
            out(_next_steps(manifests))
    except OctosyncError as error:
        return report_failure(error, written="The demo's folder and control plane are gone; nothing else was touched.")
    return ExitCode.DONE


def _run_story(runner: DemoRunner) -> None:
    """Tell the story; each command must end as it is told. Raises `OctosyncError` where one does not."""
    runner.say(
        "This folder has manifests of a few apps, and an octosync.yaml that says where they live:",
        "a control plane on this machine, started for this demo and still empty.",
    )
    runner.show("octosync.yaml")

    runner.chapter("Check the manifests, offline")
    runner.run("validate", "--strict", ends=ExitCode.DONE)

    runner.chapter("See what would happen: one app, to read in peace")
    runner.run("plan", "--app", _APP, "--detailed-exitcode", ends=ExitCode.CHANGES)

    runner.chapter("Apply all apps", "Apply shows its plan and asks; --yes is the answer.")
    runner.run("apply", "--yes", ends=ExitCode.DONE)

    runner.chapter("The control plane is as declared: the next plan is empty")
    runner.run("plan", "--detailed-exitcode", ends=ExitCode.DONE)

    runner.chapter(
        "See what is live: an app whose manifest deploys it",
        "Its code calls the slot by the model reference; the devices have got the variant that was chosen for them.",
    )
    runner.run("status", _DEPLOYED, ends=ExitCode.DONE)

    runner.chapter(
        "Ben, on call, changes a slot by hand",
        f"He sends {_APP}'s chat to the cloud, and pins a model variant, which no manifest declares:",
    )
    before = _slot(runner)
    _edit_as_ben(runner, before)

    runner.chapter("The plan shows the drift, and who did it")
    runner.run("plan", "--app", _APP, "--detailed-exitcode", ends=ExitCode.CHANGES)

    runner.chapter("Apply heals it", "What Git declares comes back. What it doesn't declare, Ben's variant, stays.")
    runner.run("apply", "--yes", ends=ExitCode.DONE)
    _check_healed(_slot(runner), before)

    runner.chapter("And the plan is empty again")
    runner.run("plan", "--detailed-exitcode", ends=ExitCode.DONE)


def _slot(runner: DemoRunner) -> Mapping[str, JsonValue]:
    """Return the slot as it is live."""
    return _ask(runner, "GET", None)


def _edit_as_ben(runner: DemoRunner, slot: Mapping[str, JsonValue]) -> None:
    """Change the slot as a person with an HTTP client or a dashboard does."""
    runner.say("", f'  PUT {_SLOT}  {{"serving_policy": "{_POLICY}", "model_variant_id": "{_VARIANT}", …}}')
    kept = {key: slot[key] for key in ("bindings", "preferred_engines") if key in slot}
    _ask(runner, "PUT", {**kept, "serving_policy": _POLICY, "model_variant_id": _VARIANT})


def _check_healed(now: Mapping[str, JsonValue], before: Mapping[str, JsonValue]) -> None:
    if now["serving_policy"] != before["serving_policy"]:
        raise OctosyncError("demo-failed", "apply did not bring the declared serving policy back")
    if now["model_variant_id"] != _VARIANT:
        raise OctosyncError("demo-failed", "apply lost the variant that no manifest declares")


def _ask(runner: DemoRunner, method: str, body: Mapping[str, JsonValue] | None) -> Mapping[str, JsonValue]:
    """Send one request about the slot with Ben's key. Raises `OctosyncError` where it fails."""
    ben = next(token for token in DEMO_TOKENS if token.name == "ben")
    try:
        with httpx.Client(headers={"Authorization": f"Bearer {ben.secret}"}, trust_env=False) as client:
            answer = client.request(method, f"{runner.url}{API_PATH}{_SLOT}", json=body).raise_for_status()
    except httpx.HTTPError as error:
        raise OctosyncError("demo-failed", f"Ben's {method} of the slot failed: {error}") from error
    slot: Mapping[str, JsonValue] = answer.json()
    return slot


def _next_steps(manifests: Path) -> str:
    shown, copied = as_typed(manifests), ""
    if not manifests.is_relative_to(Path.cwd()):
        shown, copied = manifests.name, f"\n  cp -r {shown} .                a copy of the manifests, to change"
    return f"""
That was all of it, and nothing is left behind. To go on:
{copied}
  octosync server --seed demo          a control plane that stays, on http://127.0.0.1:8787
  octosync plan -f {shown} --url http://127.0.0.1:8787
  octosync apply -f {shown} --url http://127.0.0.1:8787

Change a manifest and plan again. `octosync plan --help` has the rest.
"""
