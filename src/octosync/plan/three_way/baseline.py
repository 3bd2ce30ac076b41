"""The baseline: what was applied or found equal is the base of the next plan, object by object.

An object whose change was not made keeps its previous baseline, so the next plan has the same change for the same reason. What
is held counts as declared: the change was made on the control plane.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Final, TypeVar

from octosync.model import Address, App, InferenceConfig, Kind, Section, Slot, Target
from octosync.plan.actions import ABSENT_FINGERPRINT, ActionKey, Verb
from octosync.plan.plan import Plan

_Member = TypeVar("_Member", Target, Slot)

_KINDS: Final = {Section.TARGETS: Kind.TARGET, Section.SLOTS: Kind.SLOT}


def next_baseline(before: App | None, tree: App | None, plan: Plan, done: Collection[ActionKey]) -> App | None:
    """Return the baseline of an app after a reconcile, None for none.

    `before` is the previous baseline, `tree` the app as declared, and `plan` was made of the two; `done` are the actions that
    were carried out. An app that could not be planned, is suspended or is an orphan keeps its baseline.
    """
    app = tree or before
    if app is None or _was_not_planned(app, tree, plan):
        return before
    if tree is None and app.declared:
        return before  # an orphan
    return _NextBaseline(before, tree or App(slug=app.slug, declared=False), plan, done).app()


def _was_not_planned(app: App, tree: App | None, plan: Plan) -> bool:
    aside = (*plan.archived_undeclared, *plan.left_alone.stale)
    unknown = tree is not None and app.slug not in plan.desired.apps
    return unknown or app.slug in plan.errors or app.slug in plan.left_alone.suspended or app.address in aside


class _NextBaseline:
    """One app that was planned."""

    def __init__(self, before: App | None, tree: App, plan: Plan, done: Collection[ActionKey]) -> None:
        self._before, self._tree, self._done = before, tree, done
        self._had = before or App(slug=tree.slug, declared=False)
        self._planned = {action.key for action in plan.actions if action.address.app == tree.slug}
        self._unchanged = {address for address in plan.unchanged if address.app == tree.slug}
        self._held = {held.action.key for held in plan.held if held.action.address.app == tree.slug}
        self._there = {
            address
            for address, fingerprint in plan.fingerprints.items()
            if address.app == tree.slug and fingerprint != ABSENT_FINGERPRINT
        }
        self._compared = tree.address in plan.fingerprints
        self._is_settled = True

    def app(self) -> App | None:
        """Return the new baseline, None for none."""
        tree, had = self._tree, self._had
        archive = ActionKey(tree.address, Verb.ARCHIVE)
        if tree.archived and (archive in self._done or tree.address in self._unchanged or not self._compared):
            return tree  # what an archived app has is neither read nor planned any more
        create = ActionKey(tree.address, Verb.CREATE)
        if create in self._planned and create not in self._done:
            return self._before
        if create in self._done:
            # Its objects were deleted with it and are new again: those that were not created yet have not been removed.
            had = self._had = replace(had, complete_sections=frozenset(), targets=(), slots=(), inference_config=None)
        fields = tree.fields if self._is_own_as_declared() else had.fields
        archived = tree.archived and (archive in self._held or had.archived)
        self._is_settled &= archived == tree.archived
        targets = self._members(
            {target.address: target for target in tree.targets}, {target.address: target for target in had.targets}
        )
        slots = self._members({slot.address: slot for slot in tree.slots}, {slot.address: slot for slot in had.slots})
        config, owns_config = self._config()
        whole = {section for section in _KINDS if self._owns(section)}
        if not (tree.declared or targets or slots or config):
            return None
        # What protects an app does so until all that it may protect from is over.
        about = tree if self._is_settled or self._before is None else had
        return App(
            slug=tree.slug,
            fields=fields,
            archived=archived,
            declared=tree.declared,
            complete_sections=frozenset(whole | ({Section.INFERENCE_CONFIG} if owns_config else set())),
            targets=tuple(sorted(targets, key=lambda target: target.unique_key)),
            slots=tuple(sorted(slots, key=lambda slot: slot.capability)),
            inference_config=config,
            labels=about.labels,
            protected=about.protected,
            suspension=about.suspension,
            origin=tree.origin or had.origin,
        )

    def _is_own_as_declared(self) -> bool:
        """Return whether the app's own fields are as declared; those of an app that will be archived are not compared."""
        is_so = self._is_as_declared(self._tree.address) or (
            (self._tree.archived or not self._tree.declared) and not self._writes(self._tree.address)
        )
        self._is_settled &= is_so
        return is_so

    def _members(self, wanted: Mapping[Address, _Member], had: Mapping[Address, _Member]) -> list[_Member]:
        found = []
        for address in {**had, **wanted}:
            if address in wanted and self._is_as_declared(address):
                found.append(wanted[address])
            elif address in wanted:
                self._is_settled = False
                found += [had[address]] if address in had else []
            elif self._is_still_there(address):
                self._is_settled = False
                found.append(had[address])
        return found

    def _config(self) -> tuple[InferenceConfig | None, bool]:
        """Return the baseline of the config, and whether its key is owned."""
        wanted, had = self._tree.inference_config, self._had.inference_config
        owns, owned = (Section.INFERENCE_CONFIG in app.complete_sections for app in (self._tree, self._had))
        if wanted is not None and self._is_as_declared(wanted.address):
            return wanted, owns
        if wanted is not None or (had is not None and self._is_still_there(had.address)):
            self._is_settled = False
            return had, owned
        return None, owns

    def _owns(self, section: Section) -> bool:
        """Return whether a list is owned: a list that is taken over, only once everything undeclared in it is removed.

        Until then, what is undeclared is removed because the manifests changed; afterwards, because it was added live.
        """
        if section not in self._tree.complete_sections:
            return False
        members: set[Address] = set()
        for app in (self._tree, self._had):
            members |= {*_by_address(app.targets), *_by_address(app.slots)}
        left = self._there - members
        foreign = {address for address in left if address.kind is _KINDS[section] and self._is_still_there(address)}
        held = {key.address for key in self._held}
        if section in self._had.complete_sections or not foreign or foreign & held:
            return True
        self._is_settled = False
        return False

    def _is_as_declared(self, address: Address) -> bool:
        """Return whether an object is as declared, apart from drift."""
        if writes := self._writes(address):
            return writes <= set(self._done)
        return address in self._unchanged or any(key in self._held for key in _keys(address))

    def _writes(self, address: Address) -> set[ActionKey]:
        return {key for key in _keys(address) if key in self._planned}

    def _is_still_there(self, address: Address) -> bool:
        """Return whether an object that is no longer declared still exists.

        An object that was not compared is gone already, or in a released section.
        """
        return address in self._there and ActionKey(address, Verb.DELETE) not in self._done


def _by_address(members: Iterable[_Member]) -> dict[Address, _Member]:
    return {member.address: member for member in members}


def _keys(address: Address) -> tuple[ActionKey, ...]:
    return tuple(ActionKey(address, verb) for verb in (Verb.CREATE, Verb.UPDATE, Verb.DELETE))
