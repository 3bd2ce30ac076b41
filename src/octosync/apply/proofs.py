"""Prove, then fan out: what a run has seen to work, and what it therefore sends one at a time, or no more.

The unit is a declared field of an operation: the first action of each, and the first that declares a further field, goes
while no other of its operation is being proved. So a wrong guess of the contract harms one object and not all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from octosync.plan import Action, PutInferenceConfig


@dataclass(slots=True)
class Proofs:
    """Per operation: which fields were seen to be kept, whether an action is proving any, and which one was not kept."""

    _proved: dict[str, set[str]] = field(default_factory=dict)
    _proving: set[str] = field(default_factory=set)
    _stopped: dict[str, Action] = field(default_factory=dict)

    def stopper(self, unit: Iterable[Action]) -> Action | None:
        """Return the action that was not kept and so stopped an operation of these, if there is one."""
        return next((self._stopped[one.operation] for one in unit if one.operation in self._stopped), None)

    def admits(self, unit: Iterable[Action]) -> bool:
        """Say whether these may start: nothing of them has to be proved, or nobody else is proving their operation."""
        return all(self._is_proved(action) or action.operation not in self._proving for action in unit)

    def begin(self, unit: Iterable[Action]) -> frozenset[str]:
        """Take note that these start; return the operations that they prove, to be given to `end`."""
        unproved = frozenset(action.operation for action in unit if not self._is_proved(action))
        self._proving |= unproved
        return unproved

    def end(self, operations: frozenset[str]) -> None:
        """Let others prove these operations."""
        self._proving -= operations

    def worked(self, unit: Iterable[Action]) -> None:
        """Take note that these were done, and kept."""
        for action in unit:
            self._proved.setdefault(action.operation, set()).update(_fields(action))

    def stop(self, action: Action) -> None:
        """Take note that an action was answered with yes and not kept: its operation is not used again."""
        self._stopped.setdefault(action.operation, action)

    def _is_proved(self, action: Action) -> bool:
        proved = self._proved.get(action.operation)
        return proved is not None and proved >= _fields(action)


def _fields(action: Action) -> frozenset[str]:
    # An inference config is opaque, so it is one field, whatever its keys.
    return frozenset() if isinstance(action, PutInferenceConfig) else frozenset(action.declared)
