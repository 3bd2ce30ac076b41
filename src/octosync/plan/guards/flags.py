"""The flags that lift guards, and their limits: what the command line and octosync.yaml need, apart from the guards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final, TypeAlias

ALL: Final = "all"

# What lifts a guard: True for a switch, a number for a guard that counts, `ALL` for any number.
Allowance: TypeAlias = bool | int | str


class Takes(Enum):
    """The value of a guard's flag, and of its term in a commit's line."""

    NOTHING = ""
    NUMBER = "N"
    NAME = "NAME"  # of a policy; may be repeated
    NUMBER_OR_ALL = "N|all"  # `all` as a flag only: a commit is reviewed for a number


@dataclass(frozen=True, slots=True)
class Flag:
    """The flag that lifts a guard. `in_watch`: a controller has it, too.

    A commit's line can lift the guard, too, if octosync.yaml's `guards.trailers` lists it, as it does by default with
    `in_trailers`.
    """

    name: str
    help: str
    takes: Takes = Takes.NOTHING
    in_watch: bool = False
    in_trailers: bool = False


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of octosync.yaml's `guards`. A limit without `most` is a whole number."""

    field: str
    default: int
    about: str
    most: int | None = None


# By the ID of the guard, in the order in which `--help` lists them.
FLAGS: Final[Mapping[str, Flag]] = MappingProxyType(
    {
        "deletes": Flag(
            "--allow-deletes",
            "Allow up to N removals of targets, slots and configs, or all.",
            takes=Takes.NUMBER_OR_ALL,
            in_watch=True,
            in_trailers=True,
        ),
        "archives": Flag(
            "--allow-archives", "Allow archiving up to N apps.", takes=Takes.NUMBER, in_watch=True, in_trailers=True
        ),
        "protected": Flag("--allow-protected", "Allow deletions in protected apps.", in_watch=True),
        "during-canary": Flag(
            "--allow-during-canary",
            "Allow changes of a slot and removals of targets while a canary is running.",
            in_watch=True,
            in_trailers=True,
        ),
        "live-traffic": Flag(
            "--allow-live-traffic",
            "Allow archiving apps that serve requests, and removing their slots or targets.",
            in_watch=True,
            in_trailers=True,
        ),
        "diverged": Flag(
            "--allow-diverged", "Allow overwriting changes that were made on the control plane.", in_trailers=True
        ),
        "frozen": Flag("--allow-frozen", "Allow changes inside a freeze window."),
        "held": Flag("--allow-held", "Allow undoing changes that were made by hand in an app on hold."),
        "suspended": Flag("--allow-suspended", "Allow changes while the controller of the org is suspended."),
        "policy": Flag(
            "--allow-policy",
            "Allow changes that the policy NAME does not accept. Repeatable.",
            takes=Takes.NAME,
            in_watch=True,
            in_trailers=True,
        ),
        "rollback": Flag("--allow-rollback", "Allow a base that is newer than the checked-out revision."),
    }
)
# Guards that a commit's line can lift, and those that it lifts unless octosync.yaml lists others.
TRAILERS: Final = tuple(FLAGS)
DEFAULT_TRAILERS: Final = tuple(guard for guard, flag in FLAGS.items() if flag.in_trailers)

LIMITS: Final[Mapping[str, Limit]] = MappingProxyType(
    {
        limit.field: limit
        for limit in (
            Limit("maxDeletes", 10, "removals allowed in a run"),
            Limit(
                "maxDeletePercent",
                30,
                "percentage of the live objects of a kind that can be removed in a run",
                most=100,
            ),
            Limit("minObjects", 10, "number of live objects of a kind from which the percentage applies"),
            Limit("maxArchives", 1, "archives allowed in a run"),
        )
    }
)
