"""The `octosync` command and `python -m octosync`. Imports next to nothing, so that signals have their meaning from the start."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from types import FrameType
from typing import Final, NoReturn

_ENDED: Final = b"error: interrupted: the run was interrupted\n  Nothing was written.\n"


def main() -> NoReturn:
    """Run the command and exit. A signal that arrives while octosync is being loaded ends the run: 130 or 143."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)
    from octosync.cli import main as run

    run()


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """End the process at once: an exception raised here would be swallowed or disguised by the import that it hits."""
    del frame
    with suppress(OSError):
        os.write(2, _ENDED)
    os._exit(128 + number)


if __name__ == "__main__":
    main()
