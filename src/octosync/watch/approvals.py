"""Approvals: the sets of blocked actions that are approved as a whole, their digests, and the suggested commands.

A set contains the actions that one guard blocks of one changeset, or of one app if the guard doesn't count over changesets. A
caller approves a set by the digest that it has seen: if the set has changed since, nothing is approved, and the error lists the
difference.
"""

from __future__ import annotations

import re
import shlex
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, TypeAlias
from urllib.parse import urlencode

from octosync.errors import OctosyncError, UsageError
from octosync.model import ELLIPSIS, Address, counted
from octosync.plan import GUARDS, Action, Refusal, RunInfo
from octosync.plan.guards.policy import refused_by
from octosync.report.text import listed
from octosync.watch.reconcile.coordination import Changesets
from octosync.watch.reconcile.status_tracker import StatusTracker
from octosync.watch.status import AppReconcileStatus, BlockedSet

# Guards that count over everything that a change touches.
COUNTING: Final = frozenset(guard.id for guard in GUARDS.values() if guard.counts)
_NAMED: Final = 5  # apps that a command names beside the digest, and addresses that a message names
_SETS_KEPT: Final = 500

# Returns the keyed digest of a guard's blocked actions.
Seal: TypeAlias = Callable[[str, Collection[Action]], str]


def approve_path(blocked: BlockedSet) -> str | None:
    """Return the path and query of the POST that approves exactly this set; None if nothing can be approved."""
    if not blocked.seen:
        return None
    apps = blocked.apps if len(blocked.apps) <= _NAMED else ()  # the digest alone names the set, too
    query = (("guard", blocked.guard), *(("app", slug) for slug in apps), ("seen", blocked.seen))
    return f"/approve?{urlencode(query)}"


def blocked_sets(
    apps: Iterable[AppReconcileStatus], change_of: Callable[[str], object | None], seal: Seal
) -> tuple[BlockedSet, ...]:
    """Return the sets of what guards block in apps, by guard and apps. `change_of` returns the change that an app is in."""
    found: dict[tuple[str, object], list[tuple[AppReconcileStatus, Refusal]]] = {}
    for app in sorted(apps, key=lambda app: app.slug):
        for blocked in app.blocked:
            change = change_of(app.slug) if blocked.guard in COUNTING else None
            # A guard that names objects has one message for apps that are reconciled together.
            together: object = id(change) if change is not None else _own(blocked, app)
            found.setdefault((blocked.guard, together), []).append((app, blocked))
    sets = (_set_of(guard, members, seal) for (guard, _), members in found.items())
    return tuple(sorted(sets, key=lambda blocked: (blocked.guard, blocked.apps)))


def _own(blocked: Refusal, app: AppReconcileStatus) -> object:
    return app.slug if blocked.guard in COUNTING else blocked.message


def _set_of(guard: str, members: Sequence[tuple[AppReconcileStatus, Refusal]], seal: Seal) -> BlockedSet:
    actions = blocked_actions(members)
    newest = max(members, key=lambda member: member[0].read_at or datetime.min.replace(tzinfo=UTC))[1]
    whole = [blocked for _, blocked in members if blocked.override == newest.override]
    alone = len({app.slug for app, _ in members}) == 1
    messages = dict.fromkeys(blocked.message if alone else blocked.total or blocked.message for blocked in whole)
    return BlockedSet(
        guard=guard,
        message="; ".join(messages),
        apps=tuple(sorted({app.slug for app, _ in members})),
        addresses=tuple(sorted({address for _, blocked in members for address in blocked.addresses})),
        override=newest.override,
        way_out=newest.way_out,
        look_at=newest.look_at,
        actions=len(actions),
        seen=seal(guard, actions) if actions else "",
    )


def blocked_actions(members: Iterable[tuple[AppReconcileStatus, Refusal]]) -> tuple[Action, ...]:
    """Return the actions that refusals block in apps and that can be approved."""
    actions = {
        action.key: action
        for app, blocked in members
        if app.plan is not None
        for action in refused_by(app.plan.actions, blocked)
    }
    return tuple(actions[key] for key in sorted(actions))


def actions_of_set(found: BlockedSet, apps: Iterable[AppReconcileStatus]) -> tuple[Action, ...]:
    """Return the actions of a set in some of its apps; in all of them, these are the actions that its digest is about.

    An app can have two refusals of a guard: in a move between apps with canaries, each app has one that names objects of both.
    """
    addresses = frozenset(found.addresses)
    return blocked_actions(
        (app, blocked)
        for app in apps
        for blocked in app.blocked
        if blocked.guard == found.guard and addresses.issuperset(blocked.addresses)
    )


@dataclass(slots=True)
class ApprovalSets:
    """Finds the set that a caller has seen. It keeps the sets that were shown, to explain what has changed since."""

    seal: Seal
    tracker: StatusTracker
    changes: Changesets
    _shown: OrderedDict[str, frozenset[str]] = field(default_factory=OrderedDict)

    def current(self) -> tuple[BlockedSet, ...]:
        """Return the sets that are blocked now, and record them as shown."""
        sets = blocked_sets(self.tracker.blocked, lambda slug: self.changes.find((slug,)), self.seal)
        for blocked in sets:
            self._shown[blocked.seen] = frozenset(map(str, blocked.addresses))
            self._shown.move_to_end(blocked.seen)
        while len(self._shown) > _SETS_KEPT:
            self._shown.popitem(last=False)
        return sets

    def find(self, guard: str, apps: Sequence[str], seen: str) -> BlockedSet:
        """Return the set of a guard with this digest.

        Raises `OctosyncError`: `nothing-blocked` if there is no set that can be approved, `approval-outdated` if the set has
        changed; `UsageError` for an app that is not in the set.
        """
        of_guard = [blocked for blocked in self.current() if blocked.guard == guard and blocked.seen]
        if not of_guard:
            raise OctosyncError(
                "nothing-blocked",
                f"the guard {guard} blocks nothing that can be approved",
                hints=("GET /api/status lists what is blocked, and by which guard.",),
            )
        found = next((blocked for blocked in of_guard if blocked.seen == seen), None)
        if found is None:
            raise self._outdated(of_guard, guard, apps, seen)
        if unknown := sorted(set(apps).difference(found.apps)):
            raise UsageError(
                "parameters-wrong",
                f"app: {listed(unknown, at_most=_NAMED)} is not in the set that was reviewed, "
                f"which contains {listed(found.apps, at_most=_NAMED)}",
                hints=("Leave app out to approve the whole set.",),
            )
        return found

    def _outdated(self, now: Sequence[BlockedSet], guard: str, apps: Sequence[str], seen: str) -> OctosyncError:
        before = self._shown.get(seen)
        if before is None:
            near = [blocked for blocked in now if set(apps) & set(blocked.apps)] or now
            message = f"the guard {guard} no longer blocks what was reviewed; nothing is approved"
        else:
            near = [blocked for blocked in now if before & set(map(str, blocked.addresses))] or now
            there = {str(address) for blocked in near for address in blocked.addresses}
            moved = _moved(before, there)
            message = f"what the guard {guard} blocks has changed since it was reviewed; nothing is approved{moved}"
        commands = (f"POST {approve_path(blocked)}" for blocked in near[:_NAMED])
        return OctosyncError(
            "approval-outdated",
            message,
            hints=("Review what is blocked now, on the page or in /api/status, then approve it:", *commands),
        )


def _moved(before: frozenset[str], now: Collection[str]) -> str:
    came, went = sorted(set(now) - before), sorted(before.difference(now))
    parts = (
        f"{counted(len(came), 'object')} more: {listed(came, at_most=_NAMED)}" if came else "",
        f"{counted(len(went), 'object')} no longer: {listed(went, at_most=_NAMED)}" if went else "",
    )
    return f" ({'; '.join(filter(None, parts)) or 'the same objects, planned otherwise'})"


TOKEN_VARIABLE: Final = "OCTOSYNC_ADMIN_TOKEN"  # noqa: S105 — its name
SUSPENDING: Final = 'octosync.dev/suspend: "true"'
_ADDRESSES: Final = 3  # in the command line, before the rest is an ellipsis
_STDIN: Final = "-"
HOST: Final = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?"
)  # a Host header; an IPv6 one in brackets


@dataclass(frozen=True, slots=True)
class SuggestedCommand:
    """A suggested command: its effect, and the command or line to type; with `is_typed` False, `line` is a sentence.

    `path` is the POST endpoint that the command calls with `parameters`; "" if it calls none.
    """

    label: str
    line: str
    is_typed: bool = True
    path: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)


def origin_of(scheme: str, host: str) -> str:
    """Return the origin of the page, for commands; "" if the host is invalid."""
    return f"{scheme}://{host}" if HOST.fullmatch(host) else ""


def post_line(origin: str, path: str, **parameters: str) -> str:
    """Return the command that sends a POST; the token is named, never shown."""
    query = f"?{urlencode(parameters)}" if parameters else ""
    url = shlex.quote(f"{origin}{path}{query}")
    return f'curl -X POST -H "Authorization: Bearer ${TOKEN_VARIABLE}" {url}'


def accept_line(addresses: Sequence[Address], about: RunInfo | None) -> str | None:
    """Return the command that accepts live state into the manifests; None if it can't write the manifests."""
    paths = () if about is None else about.invocation.paths
    if _STDIN in paths or (about is not None and about.invocation.kustomize is not None):
        return None
    named = shlex.join(map(str, addresses[:_ADDRESSES]))
    more = [ELLIPSIS] if len(addresses) > _ADDRESSES else []
    # An absolute path exists on this machine only; the command is run in a clone.
    here = [part for path in paths if not path.startswith("/") for part in ("-f", path)]
    rest = [*here, *(() if about is None else about.connection_arguments)]
    return " ".join(("octosync accept", named, *more, *([shlex.join(rest)] if rest else [])))
