"""The `octosync watch` process that a document starts. It runs until the document stops it, and must exit with 0."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

PATIENCE: Final = 30.0  # seconds
_PAUSE: Final = 0.1


class UntrueDocumentError(Exception):
    """A command of a document fails, or its output differs from the document."""


@dataclass(frozen=True, slots=True)
class Watch:
    """A running `octosync watch`: its process, its log, and host and port of its page."""

    process: subprocess.Popen[bytes]
    log: Path
    page: str

    @classmethod
    def start(cls, flags: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path) -> Self:
        """Start `octosync watch` in a folder, at a free port. Raise `UntrueDocumentError` if it does not serve."""
        with log.open("wb") as written:
            process = subprocess.Popen(  # noqa: S603 — octosync itself, with flags from a document
                ["octosync", "watch", *flags, "--listen", "127.0.0.1:0"],  # noqa: S607 — the one on the PATH
                cwd=folder,
                env=dict(environment),
                stderr=written,
            )
        for _ in while_patient():
            found = re.search(r"watching \S+: http://(\S+)", log.read_text(encoding="utf-8"))
            if found is not None:
                return cls(process, log, found[1])
            if process.poll() is not None:
                break
        process.kill()
        process.wait()
        raise UntrueDocumentError(
            f"`octosync watch {shlex.join(flags)}` does not serve:\n{log.read_text(encoding='utf-8')}"
        )

    def stop(self) -> None:
        """Stop the process as Ctrl-C does. Raise `UntrueDocumentError` if it exits with an error, or not at all."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            code = None
        if code != 0:
            raise UntrueDocumentError(f"`octosync watch` ends with {code}:\n{self.log.read_text(encoding='utf-8')}")

    def kill(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.wait()


def while_patient() -> Iterator[None]:
    """Yield immediately, then after each pause until `PATIENCE` is over."""
    end = time.monotonic() + PATIENCE
    yield
    while time.monotonic() < end:
        time.sleep(_PAUSE)
        yield
