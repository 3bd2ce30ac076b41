"""Moves and archives can't be undone: a move can fail half-way, and an archive is permanent. They run late, one at a time.

A move starts after all plain registrations, and never after a failed one, so a control plane that rejects registrations leaves
at most one target unregistered. An archive starts after all other actions, and never after an action that was not done.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from octosync.model import Outcome, Status
from octosync.plan import Action, ActionKey, ArchiveApp, RegisterTarget

# Outcomes that stop no archive. Another archive that awaits approval has not failed.
_HARMLESS: Final = frozenset({Status.DONE})
_HARMLESS_ARCHIVE: Final = frozenset({Status.DONE, Status.AWAITING_APPROVAL})


class IrreversibleActions:
    """Decides when moves and archives may start, and which action stops them: the first in plan order that was not done."""

    def __init__(self, actions: tuple[Action, ...]) -> None:
        self._rank = {action.key: rank for rank, action in enumerate(actions)}
        self._before_moves = sum(_is_plain_registration(action) for action in actions)
        self._before_archives = sum(not isinstance(action, ArchiveApp) for action in actions)
        self._stops_moves: Action | None = None
        self._stops_archives: Action | None = None

    def settle(self, action: Action, outcome: Outcome) -> None:
        """Record the outcome of an action."""
        is_archive = isinstance(action, ArchiveApp)
        self._before_archives -= not is_archive
        self._before_moves -= _is_plain_registration(action)
        if outcome.status not in (_HARMLESS_ARCHIVE if is_archive else _HARMLESS):
            self._stops_archives = self._first(self._stops_archives, action)
        if isinstance(action, RegisterTarget) and not _allows_moves(action, outcome):
            self._stops_moves = self._first(self._stops_moves, action)

    def stopper(self, unit: tuple[Action, ...]) -> ActionKey | None:
        """Return the action that keeps a unit from starting in this run; None if there is none, or none yet."""
        if _is_move(unit) and not self._before_moves and self._stops_moves is not None:
            return self._stops_moves.key
        if isinstance(unit[0], ArchiveApp) and not self._before_archives and self._stops_archives is not None:
            return self._stops_archives.key
        return None

    def admits(self, unit: tuple[Action, ...], underway: Iterable[tuple[Action, ...]]) -> bool:
        """Return whether a unit may start now."""
        if isinstance(unit[0], ArchiveApp):
            return not self._before_archives and not any(True for _ in underway)
        return not _is_move(unit) or not (self._before_moves or any(map(_is_move, underway)))

    def _first(self, known: Action | None, action: Action) -> Action:
        return min((known or action, action), key=lambda candidate: self._rank[candidate.key])


def _is_move(unit: tuple[Action, ...]) -> bool:
    return len(unit) > 1


def _is_plain_registration(action: Action) -> bool:
    return isinstance(action, RegisterTarget) and action.moves_from is None


def _allows_moves(action: RegisterTarget, outcome: Outcome) -> bool:
    """Return whether a registration was done, not sent, or refused only because another app holds the target."""
    if outcome.status in {Status.DONE, Status.SKIPPED, Status.NOT_ATTEMPTED}:
        return True
    return _is_plain_registration(action) and outcome.reference == "target-held-elsewhere"
