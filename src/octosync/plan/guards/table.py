"""The table of guards: what each refuses, and what allows it. What they do is in `guards`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Guard:
    """One guard: its id, what it refuses, and the ways out, flags as they are typed."""

    id: str
    refuses: str
    ways_out: tuple[str, ...]


def _line(allows: str) -> str:
    """Write the way out that a commit is, where octosync.yaml's `guards.trailers` lists the guard."""
    return f"a line of a commit that is reviewed with the change: `Octosync-Allow: {allows}`"


def _table(*guards: Guard) -> Mapping[str, Guard]:
    return MappingProxyType({one.id: one for one in guards})


GUARDS: Final = _table(
    Guard(
        "deletes",
        "More than 10 removals of targets, slots and inference configs in a run, or more than 30 % of the live objects of a "
        "kind once there are 10; `guards` of octosync.yaml has other numbers.",
        ("--allow-deletes N", "--allow-deletes all", _line("deletes=N")),
    ),
    Guard(
        "archives",
        "More than 1 archived app in a run: there is no way back.",
        ("--allow-archives N", _line("archives=N")),
    ),
    Guard(
        "protected",
        "Deletions and archives in apps with the annotation octosync.dev/protect.",
        ("--allow-protected", f"{_line('protected')}, where `guards.trailers` of octosync.yaml lists it"),
    ),
    Guard(
        "during-canary",
        "Writing or deleting a slot, or removing a target, while a canary of the slot, or of the app, runs.",
        ("--allow-during-canary", _line("during-canary")),
    ),
    Guard(
        "live-traffic",
        "Archiving an app that has had requests, or removing its slots or targets.",
        ("--allow-live-traffic", _line("live-traffic")),
    ),
    Guard(
        "diverged",
        "A change in this branch of what somebody else has changed live to another value: their work would be undone.",
        ("--allow-diverged", _line("diverged")),
    ),
    Guard(
        "frozen",
        "Changes of an app inside a freeze window, which `freeze` of octosync.yaml declares: its message says which, and until "
        "when.",
        ("wait for its end", "--allow-frozen", f"{_line('frozen')}, where `guards.trailers` of octosync.yaml lists it"),
    ),
    Guard(
        "rollback",
        "An apply with a base, or an attempt, that HEAD doesn't descend from: it would take back what was merged since.",
        ("--allow-rollback", f"{_line('rollback')}, where `guards.trailers` of octosync.yaml lists it"),
    ),
    Guard(
        "archived",
        "A live archived app that is not declared so: there is no unarchive.",
        ("declare `archived: true`", "remove its manifest"),
    ),
)
