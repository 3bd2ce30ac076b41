"""`octosync demo`: run a complete example with the real commands.

The commands run in a temporary folder with the shipped example manifests, against an embedded control plane. The demo fails
if a command does not exit with the expected exit code.
"""

from __future__ import annotations

import os
import select
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager, redirect_stdout
from importlib.resources import as_file, files
from itertools import pairwise
from pathlib import Path
from typing import Final, TextIO, cast

import click
import httpx

import octosync
from octosync.cli import root
from octosync.cli.console import can_prompt, err, out, out_text, wants_colour
from octosync.cli.root import report_failure, usage_error
from octosync.cli.signals import DeferredSignals, deferred_signals
from octosync.contract import OPERATIONS
from octosync.errors import ConfigError, ExitCode, Interrupted, OctosyncError, UsageError
from octosync.manifest.config.config import FILE_NAME
from octosync.model import JsonValue
from octosync.octomil import API_PATH
from octosync.report.text import Style
from octosync.server import DEMO_TOKENS, ServerSettings, running_server

_PREFIXES: Final = ("OCTOSYNC_", "OCTOMIL_")
_SIGNALLED: Final = (ExitCode.INTERRUPTED, ExitCode.TERMINATED)
_MANIFESTS: Final = "manifests"
_SIGNAL_CHECK_SECONDS: Final = 0.1
_SHOWN_APPS, _MOST_APPS = 2, 3  # of a plan, if it has more than the most

_CONFIGURATION: Final = """\
contexts:
  local: {{url: "{url}"}}
defaultContext: local
paths: [{manifests}/]
"""


class DemoRunner:
    """Prints the text of the demo, and runs octosync in the current directory. `url` is the origin of the control plane.

    With `pauses`, each chapter but the first waits for Enter.
    """

    def __init__(self, url: str, signals: DeferredSignals, *, colour: bool, pauses: bool = False) -> None:
        self.url = url
        self._signals = signals
        self._pauses = pauses
        self._style = Style(colour)
        self._chapter = 0

    def narrate(self, *lines: str) -> None:
        """Print lines of text. Raise `Interrupted` if a signal has arrived."""
        self._signals.check()
        out_text("".join(f"{line}\n" for line in lines))

    def chapter(self, title: str, *lines: str) -> None:
        """Print the heading of the next chapter, and its first lines."""
        if self._pauses and self._chapter:
            self._wait_for_enter()
        self._chapter += 1
        self.narrate("", self._style.bold(f"{self._chapter}. {title}"), *lines)

    def show_file(self, file: str) -> None:
        """Print a file."""
        self._show_command_line("cat", file)
        out(Path(file).read_text(encoding="utf-8"))

    def run(self, *arguments: str, ends: ExitCode) -> None:
        """Run octosync with these arguments, which must exit with the code `ends`.

        Raises `OctosyncError` for another exit code, and `Interrupted` or click's `Exit` if a signal or a closed pipe
        ended the command.
        """
        self._show_command_line("octosync", *arguments)
        with redirect_stdout(cast("TextIO", _FoldedOutput(sys.stdout))):
            code = _run(arguments)
        if code in _SIGNALLED:  # the command has reported it, or standard output is closed
            raise click.exceptions.Exit(code)
        if code != ends:
            raise OctosyncError(
                "demo-failed",
                f"`octosync {shlex.join(arguments)}` ended with exit code {int(code)}, expected {int(ends)}",
                hints=("The demo uses only this installation: reinstall octosync.",),
            )
        if code is not ExitCode.DONE:
            self.narrate(self._style.dim(f"(exit code {int(code)}: there are changes)"))

    def _show_command_line(self, *words: str) -> None:
        self.narrate("", self._style.bold(f"$ {shlex.join(words)}"))

    def _wait_for_enter(self) -> None:
        """Wait for Enter, or the end of the input. Raise `Interrupted` if a signal arrives."""
        err(f"\n{self._style.dim('Press Enter to continue')} ")
        while not select.select([sys.stdin], [], [], _SIGNAL_CHECK_SECONDS)[0]:
            self._signals.check()
        sys.stdin.readline()


class _FoldedOutput:
    """Standard output that shows only the first of many apps in a plan, and counts the rest."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a report in its folded form."""
        self._stream.write("\n\n".join(map(_folded, text.split("\n\n"))))
        return len(text)


def _folded(block: str) -> str:
    """Return a block of a plan with the rows of its first apps. An app begins with a line that is not indented."""
    lines = block.split("\n")
    indented = [click.unstyle(line).startswith(" ") for line in lines]
    apps = [number for number, (this, below) in enumerate(pairwise(indented)) if below and not this]
    if len(apps) <= _MOST_APPS:
        return block
    return "\n".join((*lines[: apps[_SHOWN_APPS]], f"… {len(apps) - _SHOWN_APPS} more apps like these"))


@contextmanager
def demo_runner(manifests: Path, *, colour: str = "auto", pauses: bool = False) -> Iterator[DemoRunner]:
    """Start a control plane, and change to a temporary folder with a copy of the manifests, until the block ends.

    With `pauses`, its chapters wait for Enter.

    Raises `ConfigError` if the folder can't be created.
    """
    with (
        deferred_signals() as signals,
        _only_variables(OCTOSYNC_COLOR=colour),
        _folder() as folder,
        running_server(ServerSettings(seed="demo")) as plane,
        chdir(folder),
    ):
        shutil.copytree(manifests, _MANIFESTS)
        text = _CONFIGURATION.format(url=plane.url, manifests=_MANIFESTS)
        Path(FILE_NAME).write_text(text, encoding="utf-8")
        yield DemoRunner(plane.url, signals, colour=wants_colour(sys.stdout, colour), pauses=pauses)


@contextmanager
def _folder() -> Iterator[Path]:
    try:
        folder = tempfile.TemporaryDirectory(prefix="octosync-demo-", ignore_cleanup_errors=True)
    except OSError as error:
        raise ConfigError(
            "no-temporary-folder",
            f"the temporary folder of the demo can't be created: {error.strerror}",
            hints=("Set TMPDIR to a writable directory.",),
        ) from error
    with folder as name:
        yield Path(name)


@contextmanager
def _only_variables(**variables: str) -> Iterator[None]:
    """Set variables, and remove all others that would change what the demo's commands do, above all the user's API key."""
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(_PREFIXES)}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]
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
    """Yield the folder of the example manifests, in the installed package or else the checkout. Raise `OctosyncError`."""
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
            hints=("Reinstall octosync, from a wheel or a complete checkout.",),
        )


def shell_path(path: Path) -> str:
    """Return a path for the command line: relative if it is below the working directory, quoted if needed."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


_APP, _DEPLOYED = "canary-demo", "field-notes"
_SLOT: Final = OPERATIONS["apps.put_slot"].url({"slug": _APP, "capability": "chat"})
# The values that Ben sets by hand: the manifest declares the policy, and not the variant.
_POLICY, _VARIANT = "cloud_first", "chat-steady-3b-q4"


def run(*, step: bool, colour: str) -> ExitCode:
    """Run `octosync demo`. Raise `UsageError` for `--step` without a terminal."""
    if step and not can_prompt():
        raise UsageError(
            "no-terminal",
            "--step waits for Enter, and there is no terminal",
            hints=("Run it in a terminal, or without --step.",),
        )
    try:
        with shipped_manifests() as manifests:
            with demo_runner(manifests, colour=colour, pauses=step) as runner:
                _run_story(runner)
            out_text(_next_steps(manifests))
    except OctosyncError as error:
        return report_failure(
            error, written="The demo's folder and control plane are removed; nothing else was changed."
        )
    return ExitCode.DONE


def _run_story(runner: DemoRunner) -> None:
    """Run the chapters. Raise `OctosyncError` if a command does not exit with the expected code."""
    runner.narrate(
        "The apps of an org are declared in manifests, in Git. octosync makes the",
        "control plane match them, and shows what people change by hand. This demo",
        "has the manifests of 9 apps and its own control plane, which is still empty.",
        "An app, where it runs, and its slots, each of which does one thing:",
    )
    runner.show_file(f"{_MANIFESTS}/assistants/{_APP}.yaml")

    runner.chapter("Check the manifests, offline")
    runner.run("validate", "--strict", ends=ExitCode.DONE)

    runner.chapter("Plan one app", "A plan only reads. It shows what apply would change, and why.")
    runner.run("plan", "--app", _APP, "--detailed-exitcode", ends=ExitCode.CHANGES)

    runner.chapter("Apply all apps", "Apply shows the plan and asks for confirmation, unless --yes is given.")
    runner.run("apply", "--yes", ends=ExitCode.DONE)

    runner.chapter("The control plane matches the manifests: the next plan is empty")
    runner.run("plan", "--detailed-exitcode", ends=ExitCode.DONE)

    runner.chapter(
        "The state of an app whose manifest also deploys it",
        "Its code names a slot. Each device gets the variant that is selected for it.",
    )
    runner.run("status", _DEPLOYED, ends=ExitCode.DONE)

    runner.chapter(
        "Ben, on call, changes a slot by hand",
        f"He sends the chat of {_APP} to the cloud, and pins a model variant,",
        "which no manifest declares:",
    )
    before = _slot(runner)
    _edit_as_ben(runner, before)

    runner.chapter("The plan shows what differs, and who changed it")
    runner.run("plan", "--app", _APP, "--detailed-exitcode", ends=ExitCode.CHANGES)

    runner.chapter("Apply reverts it", "The declared value is restored. Ben's variant, which is not declared, stays.")
    runner.run("apply", "--yes", ends=ExitCode.DONE)
    _check_reverted(_slot(runner), before)

    runner.chapter("And the plan is empty again")
    runner.run("plan", "--detailed-exitcode", ends=ExitCode.DONE)


def _slot(runner: DemoRunner) -> Mapping[str, JsonValue]:
    """Return the live slot."""
    return _send_as_ben(runner, "GET", None)


def _edit_as_ben(runner: DemoRunner, slot: Mapping[str, JsonValue]) -> None:
    """Change the slot as a person does with an HTTP client or a dashboard."""
    runner.narrate("", f"  PUT {_SLOT}", f'  {{"serving_policy": "{_POLICY}", "model_variant_id": "{_VARIANT}", …}}')
    kept = {key: slot[key] for key in ("bindings", "preferred_engines") if key in slot}
    _send_as_ben(runner, "PUT", {**kept, "serving_policy": _POLICY, "model_variant_id": _VARIANT})


def _check_reverted(now: Mapping[str, JsonValue], before: Mapping[str, JsonValue]) -> None:
    if now["serving_policy"] != before["serving_policy"]:
        raise OctosyncError("demo-failed", "apply did not restore the declared serving policy")
    if now["model_variant_id"] != _VARIANT:
        raise OctosyncError("demo-failed", "apply removed the variant that no manifest declares")


def _send_as_ben(runner: DemoRunner, method: str, body: Mapping[str, JsonValue] | None) -> Mapping[str, JsonValue]:
    """Send a request for the slot with Ben's key. Raise `OctosyncError` if it fails."""
    ben = next(token for token in DEMO_TOKENS if token.name == "ben")
    try:
        with httpx.Client(headers={"Authorization": f"Bearer {ben.secret}"}, trust_env=False) as client:
            response = client.request(method, f"{runner.url}{API_PATH}{_SLOT}", json=body).raise_for_status()
    except httpx.HTTPError as error:
        raise OctosyncError("demo-failed", f"Ben's {method} of the slot failed: {error}") from error
    slot: Mapping[str, JsonValue] = response.json()
    return slot


def _next_steps(manifests: Path) -> str:
    shown, copy_command = shell_path(manifests), ""
    if not manifests.is_relative_to(Path.cwd()):
        shown, copy_command = manifests.name, f"\n  cp -r {shown} .   a copy of the manifests to edit"
    return f"""
The demo is complete, and its files are removed. Next steps:
{copy_command}
  octosync server --seed demo   a control plane that keeps running
  octosync plan -f {shown} --url http://127.0.0.1:8787
  octosync apply -f {shown} --url http://127.0.0.1:8787

Edit a manifest and plan again. See `octosync plan --help` for all options.
"""
