"""The base of a three-way plan: what was declared before, so that a removal can be told from what nobody ever declared."""

from __future__ import annotations

from dataclasses import dataclass, field

from octosync.model import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """Desired states to compare the tree with.

    `state` is the manifests' at the merge base of a revision and the tree. `tip` is that revision's own, None where it has
    not moved on since. `attempted` are those of revisions that an apply began and did not finish. `unknown` are apps that the
    base's manifests name and could not give: they count as not declared there, and nothing may be pruned.
    """

    state: State = field(default_factory=State)
    tip: State | None = None
    attempted: tuple[State, ...] = ()
    unknown: frozenset[str] = frozenset()
