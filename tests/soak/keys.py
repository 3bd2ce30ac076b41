"""The controller's API key: the keys that the control plane accepts, and the file that the controller reads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from tests.soak.children import Child
from tests.support.file_watch import replace_file

CONTROLLER: Final = "octosync"
TEAMMATE: Final = "ana"
TEAMMATES_KEY: Final = "oct_soak_ana"


class Keys:
    """The current key and its rotation."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._number = 1
        replace_file(file, self._secret)

    @property
    def known(self) -> list[str]:
        """The keys that the control plane accepts, as `NAME:KEY`."""
        return [self._named(self._secret), f"{TEAMMATE}:{TEAMMATES_KEY}"]

    async def rotate(
        self,
        plane: Child,
        *,
        overlap: Callable[[], Awaitable[None]] | None = None,
        gap: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Replace the key: either both are valid for a while, or the controller has only the old one for a while."""
        old = self._named(self._secret)
        self._number += 1
        await plane.ask("keys", keys=self.known if overlap is None else [*self.known, old])
        if gap is not None:
            await gap()
        replace_file(self._file, self._secret)
        if overlap is not None:
            await overlap()
            await plane.ask("keys", keys=self.known)

    @property
    def _secret(self) -> str:
        return f"oct_soak_{self._number:03}"

    @staticmethod
    def _named(secret: str) -> str:
        return f"{CONTROLLER}:{secret}"
