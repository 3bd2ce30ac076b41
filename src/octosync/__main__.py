"""The entry point of `octosync` and `python -m octosync`. It imports almost nothing, so signals are handled from the start."""

from __future__ import annotations

import gc
import os
import signal
from contextlib import suppress
from types import FrameType
from typing import Final, NoReturn

# A run keeps what it makes until its end. With Python's threshold, 700 values, the collector took a third of a large plan's time.
COLLECT_AFTER: Final = 50_000
_ENDED: Final = b"error: interrupted: the run was interrupted\n  Nothing was written.\n"


def main() -> NoReturn:
    """Run the command and exit. A signal that arrives during the imports ends the process with exit code 130 or 143."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)
    gc.set_threshold(COLLECT_AFTER)
    from octosync.cli import main as run

    run()


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """Exit at once: an exception raised here could be swallowed or replaced by the import that it interrupts."""
    del frame
    with suppress(OSError):
        os.write(2, _ENDED)
    os._exit(128 + number)


if __name__ == "__main__":
    main()
