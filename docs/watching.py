"""A watch that a document starts: it runs beside the commands that follow, and must end well."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

PATIENCE: Final = 30.0  # seconds
_PAUSE: Final = 0.1


class UntrueDocumentError(Exception):
    """A document says something that is not so."""


@dataclass(frozen=True, slots=True)
class Watch:
    """An `octosync watch` that runs: its process, its log, and host and port of its page."""

    process: subprocess.Popen[bytes]
    log: Path
    page: str

    @classmethod
    def start(cls, flags: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path) -> Self:
        """Start one in a folder, at a free port. Raises `UntrueDocumentError` where it does not serve."""
        with log.open("wb") as written:
            process = subprocess.Popen(  # noqa: S603 — octosync itself, with flags from a document
                [sys.executable, "-m", "octosync", "watch", *flags, "--listen", "127.0.0.1:0"],
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
        said = log.read_text(encoding="utf-8")
        raise UntrueDocumentError(f"`octosync watch {shlex.join(flags)}` does not serve:\n{said}")

    def stop(self) -> None:
        """Stop it as Ctrl-C does. Raises `UntrueDocumentError` where it ends with an error, or not at all."""
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
        """See to it that nothing of it is left."""
        self.process.kill()
        self.process.wait()


def while_patient() -> Iterator[None]:
    """Yield at once, and then again and again after a pause, until patience ends."""
    end = time.monotonic() + PATIENCE
    yield
    while time.monotonic() < end:
        time.sleep(_PAUSE)
        yield
