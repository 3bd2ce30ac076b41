"""The file that keys are written to: made before anything is sent, so that no key is made that has no place."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from octosync.errors import OctosyncError

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL


class KeyFile:
    """A new file for its owner's eyes only, used as a context manager: it is gone afterwards unless keys are in it.

    Raises `OctosyncError` where there is something of that name already, or where none can be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._holds_keys = False
        try:
            self._handle = os.open(path, _NEW, 0o600)
        except FileExistsError:
            raise OctosyncError(
                "key-file-exists",
                f"{path} exists already, and no file is overwritten with keys",
                hints=("Name another file, or move that one away.",),
            ) from None
        except OSError as error:
            raise OctosyncError(
                "key-file-unwritable",
                f"the keys can't be written to {path}: {error.strerror}",
                hints=("Name a file in a folder that exists and that you may write to.",),
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._handle)
        if not self._holds_keys:
            with suppress(OSError):
                self.path.unlink()

    def write(self, text: str) -> None:
        """Write the keys, down to the disk. Raises `OSError`; the file is then given up."""
        data = text.encode()
        while data:
            data = data[os.write(self._handle, data) :]
        os.fsync(self._handle)
        self._holds_keys = True
