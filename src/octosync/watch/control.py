"""What people may tell the controller while it runs: the POSTs of its HTTP side, as calls."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from octosync.model import Hold
from octosync.watch.standing import ControllerStatus


class ControllerApi(Protocol):
    """A running controller. Everything returns at once; what it changes is in force before it returns.

    Raises `OctosyncError` for what can't be done (`app-not-declared`, `nothing-blocked`, …).
    """

    def status(self) -> ControllerStatus:
        """Say how everything stands."""

    def reconcile(self, app: str | None) -> int:
        """Have one app, or (None) all of them, read again, contested objects included; return how many."""

    def suspend(self, reason: str) -> None:
        """Write nothing until `resume`, over a restart, too."""

    def resume(self) -> None:
        """Take up writing again."""

    def hold(self, app: str, duration: timedelta, reason: str) -> Hold:
        """Leave an app's drift alone for so long, over a restart, too."""

    def release(self, app: str) -> None:
        """End a hold: fresh drift is healed in its own time again."""

    def approve(self, guard: str, seen: str, apps: Sequence[str] = ()) -> int:
        """Allow exactly the blocked actions that the caller has seen, once, of some apps or of all; return how many."""
