"""What was told, over restarts: the state file's part for one control plane, as a notifier takes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from octosync.plan import ControlPlane
from octosync.state import WatchState


@dataclass(frozen=True, slots=True)
class ToldOf:
    """What was told of one control plane."""

    state: WatchState
    plane: ControlPlane

    def told(self) -> Mapping[tuple[str, str], str]:
        """Return all of it: the facts by app and thing, each equal only to what was told."""
        return self.state.told(self.plane)

    def tell(self, app: str, about: str, fact: str) -> None:
        """Note that a fact was told."""
        self.state.tell(self.plane, app, about, fact)

    def untell(self, app: str, about: str) -> None:
        """Note that it isn't so any more."""
        self.state.untell(self.plane, app, about)
