"""The demo's stage: a temporary folder with an embedded control plane, where commands run and must end as they are told."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Final

import click

from octosync.cli import root
from octosync.cli.console import out, wants_colour
from octosync.cli.failing import report_failure, usage_error
from octosync.cli.noting import DeferredSignals, deferred_signals
from octosync.errors import ConfigError, ExitCode, Interrupted, OctosyncError
from octosync.manifest.config.config import FILE_NAME
from octosync.report.ink import Ink
from octosync.server import Settings, running

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
        self._ink = Ink(wants_colour(sys.stdout, "auto"))
        self._chapter = 0

    def say(self, *lines: str) -> None:
        """Narrate. Raises `Interrupted` where a signal has come meanwhile."""
        self._signals.check()
        out("".join(f"{line}\n" for line in lines))

    def chapter(self, title: str, *lines: str) -> None:
        """Begin the next chapter."""
        self._chapter += 1
        self.say("", self._ink.bold(f"{self._chapter}. {title}"), *lines)

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
            self.say(self._ink.dim(f"(exit code {int(code)}: there are changes)"))

    def _typed(self, *words: str) -> None:
        self.say("", self._ink.bold(f"$ {shlex.join(words)}"))


@contextmanager
def demo_runner(manifests: Path) -> Iterator[DemoRunner]:
    """Start a control plane, and go to a temporary folder that holds a copy of the manifests, until the block ends.

    Raises `ConfigError` where there is no place for the folder.
    """
    with (
        deferred_signals() as signals,
        _without_our_variables(),
        _folder() as folder,
        running(Settings(seed="demo")) as plane,
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
