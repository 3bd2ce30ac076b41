"""The selection of single objects (`--target`): what has to be read for them, and which actions of a plan remain.

An action that a selected one depends on remains, as does the other half of a move: neither could be done alone. What is read
only because its section is, is compared and left out.
"""

from __future__ import annotations

from collections.abc import Collection, Container
from dataclasses import dataclass, field, replace
from typing import Final

from octosync.model import Address, App, Deploy, Diagnostic, Kind, Section, Slot, State
from octosync.plan.actions import Action, ActionKey, RegisterTarget, RemoveTarget
from octosync.plan.diagnostics import FINDINGS
from octosync.plan.order import slots_named_in
from octosync.plan.three_way.verdict import Base

_SHOWN: Final = 3  # addresses in the diagnostic

_READ_FOR: Final = {
    Kind.APP: frozenset[Section](),
    Kind.TARGET: frozenset({Section.TARGETS}),
    Kind.SLOT: frozenset({Section.SLOTS}),
    Kind.INFERENCE_CONFIG: frozenset({Section.INFERENCE_CONFIG}),
    # A capability is enabled once its slot and all targets are written.
    Kind.CAPABILITY: frozenset({Section.SLOTS, Section.TARGETS, Section.DEPLOYMENTS}),
}


def narrowed(
    tree: State, base: Base | None, objects: Collection[Address], also: Collection[Address] = ()
) -> tuple[State, Base | None]:
    """Return the parts of tree and base that are needed to plan these objects: their sections, and those that they depend on.

    `also` are further objects to read. What other apps have now is known from the base only. Without one, a move is planned if
    both its ends are given, or the end that it leaves; and a slot may be removed that the live config of another app names.
    """
    needs = _Needs(tree, base.before if base is not None else State())
    for address in sorted({*objects, *also}):
        needs.add(address)
    return needs.part_of(tree), None if base is None else base.mapped(needs.part_of)


@dataclass(slots=True)
class _Needs:
    """The sections that have to be read, by app, and the deployments among the selected objects."""

    tree: State
    before: State
    sections: dict[str, set[Section]] = field(default_factory=dict)
    deployments: set[Address] = field(default_factory=set)

    def add(self, address: Address) -> None:
        """Add what an object and the objects that it depends on need."""
        declared = self.tree.apps.get(address.app)
        archives = address.kind is Kind.APP and (declared is None or declared.archived)
        self.sections.setdefault(address.app, set())
        # An app is archived after everything else of it.
        for section in Section if archives else _READ_FOR[address.kind]:
            self._add_section(address.app, section)
        if address.kind is Kind.CAPABILITY:
            self.deployments.add(address)
        if archives or address.kind in {Kind.TARGET, Kind.CAPABILITY}:
            self._add_moves(address)
        if archives or (address.kind is Kind.SLOT and (declared is None or declared.slot(address.name) is None)):
            self._add_configs(address)

    def _add_section(self, slug: str, section: Section) -> None:
        if slug not in self.tree.apps and slug not in self.before.apps:
            return
        self.sections.setdefault(slug, set()).add(section)
        config = self.tree.apps[slug].inference_config if slug in self.tree.apps else None
        if section is Section.INFERENCE_CONFIG and config is not None:
            for slot in slots_named_in(config.config):
                self._add_section(slot.app, Section.SLOTS)

    def _add_moves(self, address: Address) -> None:
        """Add the targets of the apps that a target moves from or to."""
        if address.kind is Kind.TARGET:
            own = {address.name}
        else:
            declarations = (state.apps[address.app] for state in (self.tree, self.before) if address.app in state.apps)
            own = {target.address.name for app in declarations for target in app.targets}
        for app in (*self.tree, *self.before):
            if any(target.address.name in own for target in app.targets):
                self._add_section(app.slug, Section.TARGETS)

    def _add_configs(self, address: Address) -> None:
        """Add the inference configs that may have named a slot, or a slot of an app, that is removed."""
        for app in self.before:
            named = slots_named_in(app.inference_config.config) if app.inference_config is not None else ()
            if any(address in (slot, Address.of_app(slot.app)) for slot in named):
                self._add_section(app.slug, Section.INFERENCE_CONFIG)
        self._add_section(address.app, Section.INFERENCE_CONFIG)

    def part_of(self, state: State) -> State:
        """Return the needed part of a state."""
        return State.from_apps(
            *(_part(app, self.sections[app.slug], self.deployments) for app in state if app.slug in self.sections)
        )


def _part(app: App, sections: Collection[Section], deployments: Container[Address]) -> App:
    return replace(
        app,
        complete_sections=app.complete_sections.intersection(sections),
        targets=app.targets if Section.TARGETS in sections else (),
        slots=tuple(_slot(slot, deployments) for slot in app.slots) if Section.SLOTS in sections else (),
        inference_config=app.inference_config if Section.INFERENCE_CONFIG in sections else None,
    )


def _slot(slot: Slot, deployments: Container[Address]) -> Slot:
    return replace(slot, deploy=None if slot.deploy is None else _deploy(slot, slot.deploy, deployments))


def _deploy(slot: Slot, deploy: Deploy, deployments: Container[Address]) -> Deploy | None:
    kept = tuple(
        environment
        for environment in deploy.environments
        if Address.of_capability(slot.app, slot.capability, environment) in deployments
    )
    return replace(deploy, environments=kept) if kept else None


def claimed_targets(tree: State, planned: State, live: State) -> frozenset[Address]:
    """Return the targets that live apps have, and that apps of the tree declare whose targets are not in `planned`: they move."""
    keys = {target.unique_key for app in live for target in app.targets}
    unread = (app for app in tree if app.slug not in planned.apps or not planned.apps[app.slug].targets)
    return frozenset(target.address for app in unread for target in app.targets if target.unique_key in keys)


def needed_actions(actions: Collection[Action], objects: Collection[Address]) -> tuple[Action, ...]:
    """Return the actions on these objects and all that they need, in the order of the plan."""
    by_key = {action.key: action for action in actions}
    by_address = {action.address: action.key for action in actions if isinstance(action, RegisterTarget | RemoveTarget)}
    kept: set[ActionKey] = set()
    waiting = [action.key for action in actions if action.address in objects]
    while waiting:
        key = waiting.pop()
        if key in kept or key not in by_key:
            continue
        kept.add(key)
        waiting += by_key[key].depends_on
        match by_key[key]:
            case RemoveTarget(moves_to=Address() as half) | RegisterTarget(moves_from=Address() as half):
                waiting.append(by_address[half])
    return tuple(action for action in actions if action.key in kept)


def partial_plan(objects: Collection[Address], left_out: int) -> Diagnostic:
    """Return the warning that only some objects are planned. `left_out` is the number of other changes that were seen."""
    names = [str(address) for address in sorted(objects)]
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else "")
    words = {0: "no other change was seen", 1: "1 other change is left out"}
    rest = words.get(left_out, f"{left_out:,} other changes are left out")
    return Diagnostic(
        severity=FINDINGS["partial-plan"].severity,
        rule="partial-plan",
        summary=f"this plan is partial: only {shown}, with what that needs (--target); {rest}",
    )
