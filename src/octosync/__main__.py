"""The entry point of `octosync` and `python -m octosync`. It imports almost nothing, so signals are handled from the start."""

from __future__ import annotations

import gc
import os
import signal
import sys
from contextlib import suppress
from importlib import import_module
from types import FrameType, ModuleType
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
    gc.disable()  # until everything is imported: almost nothing of it is garbage
    _ignore_pydantic_plugins()
    sys.modules["httpx._main"] = None  # type: ignore[assignment]  # httpx's command line takes half of its import
    try:
        from octosync.cli import main as run

        run()
    except Exception as defect:  # noqa: BLE001 — it is one of an import: `run` reports all others
        sys.exit(_report(defect))
    finally:
        gc.freeze()  # else the interpreter's last collection visits every value, which takes a tenth of a short run


def _report(defect: Exception) -> int:
    """Report a defect, or a damaged installation, on stderr without any other module than that of errors."""
    from octosync.errors import DEBUG, InternalError

    error = InternalError(defect)
    lines = (f"error: {error.reference}: {error.message}", *(f"  {hint}" for hint in error.hints))
    with suppress(OSError):
        sys.stderr.write(error.traceback if os.environ.get(DEBUG) else "")
        sys.stderr.write("".join(f"{line}\n" for line in lines))
    return int(error.exit_code)


def _ignore_pydantic_plugins() -> None:
    """Make pydantic find no plugins. To find them, it imports `importlib.metadata` and reads about all installed packages.

    That takes a third of the time of its import. If pydantic needs more of the module, it gets the module itself.
    """
    name = "pydantic.plugin._loader"
    substitute = ModuleType(name)

    def load(attribute: str) -> object:
        if attribute.startswith("__"):  # the import system looks for some of these in every module
            raise AttributeError(attribute)
        sys.modules.pop(name, None)
        return getattr(import_module(name), attribute)

    vars(substitute).update(get_plugins=tuple, __getattr__=load)
    sys.modules[name] = substitute


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """Exit at once: an exception raised here could be swallowed or replaced by the import that it interrupts."""
    del frame
    with suppress(OSError):
        os.write(2, _ENDED)
    os._exit(128 + number)


if __name__ == "__main__":
    main()
