"""The table of guards: one record each. Explanations, ways out and what a refusal leaves out follow from it.

A short check is here, too, so that adding a guard touches this file, and `flags` for its flag and limits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from octosync.model import POLICY, Reason, counted
from octosync.plan.actions import Action, ArchiveApp, CreateApp, UpdateApp
from octosync.plan.guards import checks
from octosync.plan.guards.checks import REMOVALS, Objection, Terms
from octosync.plan.guards.flags import FLAGS, LIMITS, Flag, Limit, Takes
from octosync.plan.moves import with_other_halves
from octosync.plan.plan import Plan

Check: TypeAlias = Callable[[Plan, Terms], Iterable[Objection]]


class Reach(Enum):
    """Which actions a refusal leaves out of a plan."""

    NAMED = "named"  # the apps that it names, if the guard concerns them
    COUNTED = "counted"  # all that the guard counts, in every plan of the same change
    APPS = "apps"  # everything of the apps that it names


def _changes_something_live(action: Action) -> bool:
    # An app's archive has the address of its update.
    return not isinstance(action, CreateApp | UpdateApp)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """One guard.

    `refuses` is its meaning for people. `check` judges a plan; None for a guard that refuses a whole run by what is not in
    its plan. `concerns` returns whether an action is meant by a refusal that names its address. Without a `flag` nothing lifts
    it; with one, a commit's line can if octosync.yaml's `guards.trailers` lists the guard. `helps` are other ways to resolve a
    refusal, `needs` is what must be read for the check.
    """

    id: str
    refuses: str
    check: Check | None
    concerns: Callable[[Action], bool] = _changes_something_live
    reach: Reach = Reach.NAMED
    limits: tuple[Limit, ...] = ()
    flag: Flag | None = None
    helps: tuple[str, ...] = ()
    needs: Literal["canaries", "traffic"] | None = None

    @property
    def counts(self) -> bool:
        """Whether what lifts it is a number."""
        return self.flag is not None and self.flag.takes in (Takes.NUMBER, Takes.NUMBER_OR_ALL)

    @property
    def has_parts(self) -> bool:
        """Whether it is one guard for each policy, with the policy's name behind its ID: `policy:<name>`."""
        return self.flag is not None and self.flag.takes is Takes.NAME

    @property
    def ways_out(self) -> tuple[str, ...]:
        """The ways to resolve a refusal, flags as they are typed."""
        return (*self.helps, *self._flags(), *self._commit_line())

    def override_for(self, value: int | str | None) -> str | None:
        """Return the flag, as typed, that lifts it; None if nothing does."""
        if self.flag is None:
            return None
        return self.flag.name if value is None else f"{self.flag.name} {value}"

    def _flags(self) -> Iterator[str]:
        if self.flag is None:
            return
        for value in self.flag.takes.value.split("|"):
            yield f"{self.flag.name} {value}".rstrip()

    def _commit_line(self) -> Iterator[str]:
        if self.flag is None:
            return
        term = f"{self.id}=N" if self.counts else f"{self.id}:NAME" if self.has_parts else self.id
        listed = "" if self.flag.in_trailers else ", if `guards.trailers` of octosync.yaml lists it"
        yield f"a line of a commit that is reviewed with the change: `Octosync-Allow: {term}`{listed}"


def _protected(plan: Plan, terms: Terms) -> Iterator[Objection]:
    del terms
    hurt = [action for action in plan.actions if action.protected and action.destructive]
    if hurt:
        apps = sorted({action.address.app for action in hurt})
        yield Objection(
            message=f"{counted(len(hurt), 'deletion')} in protected "
            f"{'apps' if len(apps) != 1 else 'app'} {', '.join(apps)} (annotation octosync.dev/protect)",
            addresses=with_other_halves(hurt),
        )


def _diverged(plan: Plan, terms: Terms) -> Iterator[Objection]:
    del terms
    addresses = tuple(dict.fromkeys(action.address for action in plan.actions if action.reason is Reason.DIVERGED))
    if addresses:
        yield Objection(
            message=f"{counted(len(addresses), 'object')} changed here, and on the control plane to something else",
            way_out="Rebase where it was merged, take it into the manifest (octosync accept), or agree with who changed it",
            addresses=addresses,
        )


def _archived(plan: Plan, terms: Terms) -> Iterator[Objection]:
    del terms
    if plan.archived_undeclared:
        apps = [address.app for address in plan.archived_undeclared]
        yield Objection(
            message=f"{', '.join(apps)}: archived on the control plane, declared as live; there is no unarchive",
            way_out="Declare `spec.archived: true` there, or remove the manifests.",
            addresses=plan.archived_undeclared,
        )


def _table(*guards: Guard) -> Mapping[str, Guard]:
    return MappingProxyType({guard.id: guard for guard in guards})


# In the order in which they judge a plan.
GUARDS: Final = _table(
    Guard(
        id="deletes",
        refuses="More than 10 deletions in a run, or more than 30% of the live objects of a kind if there are at "
        "least 10; `guards` of octosync.yaml sets other limits.",
        check=checks.deletes,
        concerns=lambda action: isinstance(action, REMOVALS),
        reach=Reach.COUNTED,
        limits=(LIMITS["maxDeletes"], LIMITS["maxDeletePercent"], LIMITS["minObjects"]),
        flag=FLAGS["deletes"],
    ),
    Guard(
        id="archives",
        refuses="More than 1 archived app in a run: an archive can't be undone.",
        check=checks.archives,
        concerns=lambda action: isinstance(action, ArchiveApp),
        reach=Reach.COUNTED,
        limits=(LIMITS["maxArchives"],),
        flag=FLAGS["archives"],
    ),
    Guard(
        id="protected",
        refuses="Deletions and archives in protected apps (annotation octosync.dev/protect).",
        check=_protected,
        flag=FLAGS["protected"],
    ),
    Guard(
        id="during-canary",
        refuses="Writing or deleting a slot, or removing a target, while a canary of the slot or the app is running.",
        check=checks.during_canary,
        needs="canaries",
        flag=FLAGS["during-canary"],
    ),
    Guard(
        id="live-traffic",
        refuses="Archiving an app that has received requests, or removing its slots or targets.",
        check=checks.live_traffic,
        needs="traffic",
        flag=FLAGS["live-traffic"],
    ),
    # A controller has a stored baseline and waits for the end of a freeze, so it has no flags for these guards.
    Guard(
        id="diverged",
        refuses="Overwriting a field that was changed on the control plane and that this change sets, too.",
        check=_diverged,
        concerns=lambda action: action.reason is Reason.DIVERGED,
        flag=FLAGS["diverged"],
    ),
    Guard(
        id="frozen",
        refuses="Changes to apps inside a freeze window of octosync.yaml; the message names the window and its end.",
        check=checks.frozen,
        concerns=lambda action: True,  # noqa: ARG005 — an app is frozen with all that is in it
        flag=FLAGS["frozen"],
        helps=("wait for its end",),
    ),
    Guard(
        id="held",
        refuses="Undoing a change that was made by hand in an app on hold, and archiving the app, if the shared state "
        "contains the hold. Without `--base`, every change of such an app is rejected: it may undo one.",
        check=checks.held,
        concerns=lambda action: True,  # noqa: ARG005 — a created object may have been deleted by hand
        flag=FLAGS["held"],
        helps=("wait for the end of the hold", "release the app on the controller's page", "plan with `--base`"),
    ),
    Guard(
        id="suspended",
        refuses="Any change while the controller of the org is suspended, if the shared state contains the suspension.",
        check=checks.suspended,
        flag=FLAGS["suspended"],
        helps=("resume the controller on its page",),
    ),
    Guard(
        id=POLICY,
        refuses="Changes that a policy of octosync.yaml with the severity error does not accept; each policy is a guard of its "
        "own, `policy:NAME`.",
        check=checks.policies,
        concerns=lambda action: True,  # noqa: ARG005 — a policy can be about any change
        flag=FLAGS[POLICY],
    ),
    Guard(
        id="rollback",
        refuses="Apply with a `--base` or `--attempted` that is not in the history of the checked-out commit: it "
        "would undo what was merged since.",
        check=None,
        flag=FLAGS["rollback"],
    ),
    Guard(
        id="archived",
        refuses="A live archived app that is not declared as archived: Octomil can't unarchive it.",
        check=_archived,
        reach=Reach.APPS,
        helps=("declare `archived: true`", "remove its manifest"),
    ),
)


def guard_of(id_: str) -> Guard | None:
    """Return the guard that an ID names, None if there is none: of a guard with parts, only a part, as in `policy:<name>`."""
    name, colon, part = id_.partition(":")
    guard = GUARDS.get(name)
    is_named = bool(part) if guard is not None and guard.has_parts else not colon
    return guard if is_named else None
