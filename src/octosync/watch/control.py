"""The controller's API: what the status page shows, and what people can ask of a running controller."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from octosync.model import Hold
from octosync.watch.status import ControllerStatus


class ControllerApi(Protocol):
    """A running controller. Every call returns at once, and what it changes is in effect when it returns.

    Raises `OctosyncError` for what can't be done (`app-not-declared`, `nothing-blocked`, …).
    """

    def status(self) -> ControllerStatus:
        """Return the status of the controller and of every app."""

    def reconcile(self, app: str | None) -> int:
        """Reconcile one app, or (None) all of them, contested objects included; return how many."""

    def suspend(self, reason: str) -> None:
        """Write nothing until `resume`, over a restart, too."""

    def resume(self) -> None:
        """Write again."""

    def hold(self, app: str, duration: timedelta, reason: str) -> Hold:
        """Hold an app's drift for a time, over a restart, too."""

    def release(self, app: str) -> None:
        """End a hold: fresh drift is reverted in its own time again."""

    def approve(self, guard: str, seen: str, apps: Sequence[str] = ()) -> int:
        """Allow exactly the blocked actions that the caller has seen, once, of some apps or of all; return how many."""
