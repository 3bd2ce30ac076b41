"""A working directory in which `octosync` runs as users run it, in this process or in a separate one.

In this process it is the same `main` with other streams, arguments, environment and working directory. A defect, which users
see as `internal-error`, fails the test.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO
from unittest.mock import patch

from octosync.cli import main

_FOREIGN = ("OCTOSYNC_", "OCTOMIL_", "GITHUB_")
_TERMINAL = {"PAGER", "LESS", "CI", "NO_COLOR", "TERM", "FORCE_COLOR", "COLUMNS"}


@dataclass(frozen=True)
class CommandResult:
    """The exit code and the output of a command."""

    code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        """Both streams."""
        return self.stdout + self.stderr


class MemoryStream(io.TextIOWrapper):
    """A stream in memory that may pretend to be a terminal."""

    def __init__(self, data: bytes = b"", *, terminal: bool = False) -> None:
        self.memory = io.BytesIO(data)
        self._terminal = terminal
        super().__init__(self.memory, encoding="utf-8", newline="")

    def isatty(self) -> bool:
        """Return whether this stream is a terminal."""
        return self._terminal

    def text(self) -> str:
        """Return the text that was written."""
        self.flush()
        return self.memory.getvalue().decode()


@dataclass
class Workdir:
    """A working directory and the environment of its commands. `environment` has all variables that octosync reads.

    `command` is the octosync of separate processes.
    """

    directory: Path
    environment: dict[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = (sys.executable, "-m", "octosync")

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file, and create its folders."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def octosync(
        self,
        *arguments: str | Path,
        stdin: bytes | TextIO | None = b"",
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
        terminal: bool = False,
        defect: bool = False,
        **environment: str,
    ) -> CommandResult:
        """Run a command in this process.

        With `terminal`, the streams that are not given are terminals. If `stdin` is None, it is closed. `defect` is whether the
        test causes one.
        """
        out, err = MemoryStream(terminal=terminal), MemoryStream(terminal=terminal)
        with ExitStack() as stack:
            stack.enter_context(chdir(self.directory))
            stack.enter_context(_environment({**self.environment, **environment}))
            stack.enter_context(patch.object(sys, "argv", ["octosync", *map(str, arguments)]))
            stack.enter_context(patch.object(sys, "stdin", MemoryStream(stdin) if isinstance(stdin, bytes) else stdin))
            stack.enter_context(redirect_stdout(stdout or out))
            stack.enter_context(redirect_stderr(stderr or err))
            try:
                main()
            except SystemExit as end:
                assert defect or "error: internal-error" not in err.text(), err.text()
                return CommandResult(int(end.code or 0), out.text(), err.text())
        raise AssertionError("main returned")

    def start(self, *arguments: str | Path, environment: Mapping[str, str] | None = None, **streams: Any) -> Process:
        """Start a command as a separate process."""
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
        return subprocess.Popen(
            (*self.command, *map(str, arguments)),
            cwd=self.directory,
            env={**_without_ours(), **self.environment, **(environment or {})},
            **streams,
        )

    def run(
        self, *arguments: str | Path, environment: Mapping[str, str] | None = None, **streams: Any
    ) -> CommandResult:
        """Run a command as a separate process, to its end."""
        with self.start(*arguments, environment=environment, **streams) as process:
            out, err = process.communicate(timeout=60)
        return CommandResult(process.returncode, (out or b"").decode(), (err or b"").decode())

    def files(self) -> dict[str, bytes]:
        """Return the content of every file below the working directory, by path."""
        return {
            str(path.relative_to(self.directory)): path.read_bytes()
            for path in sorted(self.directory.rglob("*"))
            if path.is_file()
        }


Process = subprocess.Popen[bytes]


def _without_ours() -> dict[str, str]:
    """Return the environment without the variables that octosync reads and those that change the output."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN) and name not in _TERMINAL
    }


@contextmanager
def _environment(ours: Mapping[str, str]) -> Iterator[None]:
    with patch.dict(os.environ, {**_without_ours(), **ours}, clear=True):
        yield
