"""Moves: a target that leaves one declared app and enters another in the same plan is one unit, never a loss.

A (platform, identifier) is unique in the org, so the removal must come first, and all removals of a plan precede the
registrations of the same tuple: two apps can swap targets without a cycle.

Linked apps are planned together, since a target moves between them. A move is both its halves, or nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from octosync.model import Address, App, Diagnostic, Kind, Reason, Section, State
from octosync.plan.actions import Action, ActionKey, ArchiveApp, RegisterTarget, RemoveTarget
from octosync.plan.diagnostics import finding


def link_moves(actions: Iterable[Action]) -> tuple[Action, ...]:
    """Return the actions, both halves of every move marked with the other's address."""
    actions = tuple(actions)
    leaves = {(a.platform, a.identifier): a for a in actions if isinstance(a, RemoveTarget)}
    enters = {(a.platform, a.identifier): a for a in actions if isinstance(a, RegisterTarget)}
    return tuple(_linked(action, leaves, enters) for action in actions)


def _linked(
    action: Action,
    leaves: Mapping[tuple[str, str], RemoveTarget],
    enters: Mapping[tuple[str, str], RegisterTarget],
) -> Action:
    match action:
        case RemoveTarget(platform=platform, identifier=identifier) if (platform, identifier) in enters:
            to = enters[platform, identifier].address
            return replace(action, reason=Reason.MOVED, moves_to=to)
        case RegisterTarget(platform=platform, identifier=identifier) if (platform, identifier) in leaves:
            from_ = leaves[platform, identifier].address
            return replace(action, reason=Reason.MOVED, moves_from=from_)
    return action


@dataclass(frozen=True, slots=True)
class Halves:
    """The actions that can run, the addresses of those that wait with a note on each, and the suspended apps they wait for."""

    actions: tuple[Action, ...]
    waiting: tuple[Address, ...] = ()
    notes: tuple[Diagnostic, ...] = ()
    waited_for: frozenset[str] = frozenset()


def hold_back_halves(actions: Iterable[Action], suspended: Iterable[Action]) -> Halves:
    """Exclude what would be half a move, since the app at its other end is suspended, with a note on each.

    The archive of an app that gives or takes such a target waits, too: afterwards it could do neither.
    """
    actions = tuple(actions)
    ends = {action.address for action in suspended}
    stopped = {action.address.app for action in actions if _other_half(action) in ends}
    notes: dict[ActionKey, Diagnostic] = {}
    waited_for = set()
    for action in actions:
        end = _other_half(action)
        if isinstance(action, ArchiveApp) and action.address.app in stopped:
            notes[action.key] = _waits(action, "a target of it is on the move")
        elif end is not None and end in ends:
            notes[action.key] = _waits(action, f"app `{end.app}` at the other end of the move is suspended")
            waited_for.add(end.app)
    kept = tuple(action for action in actions if action.key not in notes)
    waiting = tuple(sorted(key.address for key in notes))
    return Halves(kept, waiting, tuple(notes.values()), frozenset(waited_for))


def _waits(action: Action, why: str) -> Diagnostic:
    return finding(
        "move-waits",
        action.address,
        f"{action.verb.value} waits: {why}",
        origin=action.origin,
        notes=("Both halves of a move happen together, or neither.",),
    )


def _other_half(action: Action) -> Address | None:
    match action:
        case RemoveTarget(moves_to=address) | RegisterTarget(moves_from=address):
            return address
    return None


def with_other_halves(actions: Iterable[Action]) -> tuple[Address, ...]:
    """Return the addresses of actions and of the other halves of the moves among them, which can't happen alone."""
    actions = tuple(actions)
    halves = [half for action in actions if (half := _other_half(action)) is not None]
    return tuple(dict.fromkeys((*(action.address for action in actions), *halves)))


def held_elsewhere(actions: tuple[Action, ...], live: Iterable[App]) -> tuple[Diagnostic, ...]:
    """Warn of registrations that the control plane will refuse: another app holds the target, and nothing takes it away."""
    leaving = {(a.platform, a.identifier) for a in actions if isinstance(a, RemoveTarget)}
    holders = {
        target.unique_key: app.slug for app in live for target in app.targets if target.unique_key not in leaving
    }
    return tuple(
        finding(
            "target-held-elsewhere",
            action.address,
            f"app `{holder}` holds this target, so its registration will be refused",
            origin=action.origin,
            notes=(f"Declare the targets of `{holder}` without it, in the same set: then it is planned as a move.",),
        )
        for action in actions
        if isinstance(action, RegisterTarget) and (holder := holders.get((action.platform, action.identifier)))
    )


def held_by_orphans(actions: Iterable[Action], orphans: Iterable[App]) -> tuple[Diagnostic, ...]:
    """Warn of registrations of targets that an orphan had: unless it has lost them since, it still has them."""
    holders = {target.unique_key: app.slug for app in orphans for target in app.targets}
    return tuple(
        finding(
            "target-held-elsewhere",
            action.address,
            f"app `{holder}`, which no manifest has any more, had this target: while it has, the registration is refused",
            origin=action.origin,
            notes=(f"With --prune the target moves, and `{holder}` is archived.",),
        )
        for action in actions
        if isinstance(action, RegisterTarget) and (holder := holders.get((action.platform, action.identifier)))
    )


def held_by_released(actions: Iterable[Action], released: Iterable[Address], live: State) -> tuple[Diagnostic, ...]:
    """Warn of registrations of targets in another app's released list: that was not read, and is left as it is."""
    read = {app.slug for app in live if Section.TARGETS in app.complete_sections}
    holders = {
        address.name: address.app for address in released if address.kind is Kind.TARGET and address.app not in read
    }
    return tuple(
        finding(
            "target-held-elsewhere",
            action.address,
            f"app `{holder}`, which no longer declares `targets`, had this one: while it has, the registration is refused",
            origin=action.origin,
            notes=(f"Declare `targets` of `{holder}` without it (`[]` for none): then it is planned as a move.",),
        )
        for action in actions
        if isinstance(action, RegisterTarget) and (holder := holders.get(action.address.name))
    )


def linked_apps(tree: State, base: State, holders: Mapping[tuple[str, str], str]) -> Mapping[str, frozenset[str]]:
    """Return for each app that gives a target to another app, or gets one, all apps that it is linked to, itself included.

    The tree has the new app of a target; the base, and `holders` (slugs by platform and identifier, as far as live state is
    known) have the present one. Swaps, cycles and chains are one link. Apps that neither tree nor base has give nothing away,
    so no app is linked to them; apps without links are not in it.
    """
    # A property would take most of the time of these loops, which go over every target at each load in watch.
    wanted = {(target.platform, target.identifier): app.slug for app in tree for target in app.targets}
    tied: dict[str, set[str]] = {}
    for taker, giver in _moves(wanted, tree, base, holders):
        mine, others = tied.setdefault(taker, {taker}), tied.setdefault(giver, {giver})
        if mine is others:
            continue
        smaller, larger = sorted((mine, others), key=len)
        larger |= smaller
        for slug in smaller:
            tied[slug] = larger
    return {slug: frozenset(tied[slug]) for slug in sorted(tied)}


def _moves(
    wanted: Mapping[tuple[str, str], str], tree: State, base: State, holders: Mapping[tuple[str, str], str]
) -> Iterator[tuple[str, str]]:
    """Yield the new and the present app of each target that moves."""
    for app in base:
        for target in app.targets:
            slug = wanted.get((target.platform, target.identifier), app.slug)
            if slug != app.slug:
                yield slug, app.slug
    for key, holder in holders.items():
        slug = wanted.get(key, holder)
        if slug != holder and (holder in tree.apps or holder in base.apps):
            yield slug, holder
