"""One app, unit by unit: what tree, base, tip and unfinished applies declare of it, against what is live.

Every unit is judged once, here. What is planned of the verdicts is selected afterwards, in `merge`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Generic, TypeVar

from octosync.contract import APP, SLOT, field_equal
from octosync.model import (
    Address,
    App,
    JsonValue,
    Reason,
    Section,
    Slot,
    Target,
    json_equal,
)
from octosync.plan.compare import NEW_SLOT_POLICY
from octosync.plan.three_way.verdict import UNDECLARED, Base, Declared, NoChange, Unit, Verdict, verdict_on

# The value of a slot's field that is no longer declared.
_SLOT_DEFAULTS: Final[Mapping[str, JsonValue]] = {**SLOT.defaults, "serving_policy": NEW_SLOT_POLICY}

_T = TypeVar("_T")
_U = TypeVar("_U")


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on one unit, and the unit."""

    verdict: Verdict
    unit: Unit


@dataclass(frozen=True, slots=True)
class Existence:
    """Whether a target or slot should exist: `wanted` is it as the tree declares it, `live` as it was read."""

    address: Address
    section: Section
    judgement: Judgement
    wanted: Target | Slot | None
    live: Target | Slot | None


@dataclass(frozen=True, slots=True)
class SlotFields:
    """The fields of a slot that is declared and live."""

    wanted: Slot
    fields: Mapping[str, Judgement]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppVerdicts:
    """The verdicts on every unit of one app.

    `tree` is the app as declared, with nothing in it if no document names it (`is_gone`), and protected if the base has it
    protected. `earlier` is the app as the base and unfinished applies declared it. `is_presumed`: nothing is known of it, so
    the base has the tree's own. `is_behind`: the tip has the app itself created or archived, and the tree has not followed,
    so no unit is judged.

    `creation` is the verdict on an app that is declared and missing, `archiving` on the archive of a live one, None for
    every other app. `fields` are None if there is nothing to compare them with. `released` are objects in sections that are
    no longer declared.
    """

    tree: App
    earlier: tuple[App, ...]
    live: App | None
    is_gone: bool
    is_presumed: bool
    is_behind: bool = False
    creation: Verdict | None = None
    archiving: Verdict | None = None
    fields: Mapping[str, Judgement] | None = None
    targets: tuple[Existence, ...] = ()
    slots: tuple[Existence | SlotFields, ...] = ()
    inference_config: Judgement | None = None
    released: frozenset[Address] = frozenset()


@dataclass(frozen=True, slots=True)
class _Sides(Generic[_T]):
    """Something of an app as every side has it. `tip` is empty if the base's revision has not moved on."""

    tree: _T
    base: _T
    tip: tuple[_T, ...]
    attempted: tuple[_T, ...]

    def map(self, part: Callable[[_T], _U]) -> _Sides[_U]:
        """Return a part of it, as every side has that."""
        return _Sides(part(self.tree), part(self.base), tuple(map(part, self.tip)), tuple(map(part, self.attempted)))


def judge_app(slug: str, tree: App | None, base: Base, live: App | None) -> AppVerdicts:
    """Judge every unit of an app that is not suspended and, if it is live, was read and is not archived."""
    return _Judge(slug, tree, base, live).app()


class _Judge:
    """Compares the sides of one app."""

    def __init__(self, slug: str, tree: App | None, base: Base, live: App | None) -> None:
        self._slug = slug
        self._tree = tree or App(slug=slug, declared=False)
        self._before = base.state.apps.get(slug)
        self._is_presumed = slug in base.presumed
        self._earlier = base.earlier(slug)
        self._let_go = let_go(self._tree, self._earlier)
        self._sides: _Sides[App | None] = _Sides(
            self._tree,
            self._before,
            () if base.tip is None else (base.tip.apps.get(slug),),
            tuple(state.apps.get(slug) for state in base.attempted),
        )
        self._live = live
        self._is_gone = tree is None

    def app(self) -> AppVerdicts:
        """Return the verdicts on the app."""
        found = AppVerdicts(
            tree=self._protected_tree(),
            earlier=self._earlier,
            live=self._live,
            is_gone=self._is_gone,
            is_presumed=self._is_presumed,
        )
        if self._is_behind():
            return replace(found, is_behind=True)
        return replace(
            found,
            creation=self._creation(),
            archiving=self._archiving(),
            fields=self._app_fields(),
            targets=tuple(self._targets()),
            slots=tuple(self._slots()),
            inference_config=self._inference_config(),
            released=frozenset(address for before in self._earlier for address in self._released(before)),
        )

    def _protected_tree(self) -> App:
        """Return the app as declared, protected if it is or was: a change can't lift its own protection."""
        was_protected = self._before is not None and self._before.protected and not self._tree.protected
        return replace(self._tree, protected=True) if was_protected else self._tree

    def _is_behind(self) -> bool:
        """Return whether the tip has the app created or archived otherwise than the base, and the tree has it as the base."""
        before, tree = self._before, self._tree
        if not self._sides.tip or before is None or not before.declared or self._is_gone:
            return False
        (tip,) = self._sides.tip
        if tip is None or not tip.declared:
            return tree.archived == before.archived
        return tip.archived != before.archived == tree.archived

    # -- the app itself

    def _creation(self) -> Verdict | None:
        if not self._tree.declared or self._live is not None:
            return None
        before = self._before
        existed = before is not None and before.declared and not before.archived
        return Reason.DRIFT if existed else Reason.NEW

    def _archiving(self) -> Verdict | None:
        if not self._tree.archived or self._live is None:
            return None
        return verdict_on(_unit(self._sides.map(_declared_archived), self._live.archived))

    def _app_fields(self) -> Mapping[str, Judgement] | None:
        if not self._tree.declared or self._live is None:
            return None
        sides, live = self._sides.map(_declared_fields), self._live.fields
        return {
            name: _judge_field(name, sides, live.get(name, APP.defaults.get(name)), APP.defaults.get(name))
            for name in APP.writable
            # A name that is no longer declared is no longer owned.
            if name in sides.tree or name in APP.defaults
        }

    # -- targets and slots

    def _targets(self) -> Iterator[Existence]:
        every = {target.unique_key: target for app in reversed(self._every_side) for target in app.targets}
        live = {target.unique_key: target for target in (self._live.targets if self._live else ())}
        wanted = {target.unique_key: target for target in self._tree.targets}
        for key, target in sorted(every.items()):
            has = partial(_has_target, key)
            judgement = self._existence(key in live, Section.TARGETS, has)
            if judgement is not None:
                yield Existence(target.address, Section.TARGETS, judgement, wanted.get(key), live.get(key))

    def _slots(self) -> Iterator[Existence | SlotFields]:
        for capability in sorted({slot.capability for app in self._every_side for slot in app.slots}):
            wanted = self._tree.slot(capability)
            live = self._live.slot(capability) if self._live else None
            if wanted is not None and live is not None:
                yield SlotFields(wanted, self._slot_fields(wanted, live))
                continue
            judgement = self._existence(live is not None, Section.SLOTS, partial(_has_slot, capability))
            if judgement is not None:
                yield Existence(Address.of_slot(self._slug, capability), Section.SLOTS, judgement, wanted, live)

    def _slot_fields(self, wanted: Slot, live: Slot) -> Mapping[str, Judgement]:
        sides = self._sides.map(partial(_slot_fields, wanted.capability))
        return {
            name: _judge_field(name, sides, live.fields.get(name, SLOT.defaults.get(name)), _SLOT_DEFAULTS.get(name))
            for name in dict.fromkeys((*SLOT.writable, *wanted.fields))
        }

    def _existence(self, is_live: bool, section: Section, has: Callable[[App], bool]) -> Judgement | None:
        """Return the verdict on an object's existence; None if the tree no longer declares its section."""
        unit = _unit(self._sides.map(partial(_declared_existence, section, has)), is_live)
        if unit.tree is UNDECLARED and section in self._let_go:
            return None
        verdict = verdict_on(unit)
        if verdict is Reason.MANIFEST_CHANGED:
            if unit.tree is True and unit.base is not True:
                verdict = Reason.NEW
            elif unit.tree is False and unit.base is True:
                verdict = Reason.REMOVED
        return Judgement(verdict, unit)

    # -- the inference config

    def _inference_config(self) -> Judgement | None:
        live = self._live.inference_config if self._live else None
        unit = _unit(self._sides.map(_declared_config), live.config if live else None, default=None)
        verdict = verdict_on(unit)
        never_declared = all(app.inference_config is None for app in self._earlier)
        is_released = never_declared or Section.INFERENCE_CONFIG in self._let_go
        if unit.tree is UNDECLARED and is_released and verdict is not NoChange.STALE:
            return None
        if verdict is Reason.MANIFEST_CHANGED and unit.live is None:
            verdict = Reason.NEW
        return Judgement(verdict, unit)

    # -- sections that are no longer declared

    def _released(self, before: App) -> Iterator[Address]:
        sections = before.complete_sections & self._let_go
        if Section.TARGETS in sections:
            kept = {target.unique_key for target in self._tree.targets}
            yield from (target.address for target in before.targets if target.unique_key not in kept)
        if Section.SLOTS in sections:
            yield from (slot.address for slot in before.slots if self._tree.slot(slot.capability) is None)
        config = before.inference_config
        if Section.INFERENCE_CONFIG in sections and config is not None and config.config is not None:
            yield config.address
        for slot in before.slots:
            now = self._tree.slot(slot.capability)
            if slot.deploy is not None and now is not None and now.deploy is None:
                for environment in slot.deploy.environments:
                    yield Address.of_capability(self._slug, slot.capability, environment)

    @property
    def _every_side(self) -> tuple[App, ...]:
        return (self._tree, *self._earlier, *((self._live,) if self._live is not None else ()))


def _judge_field(name: str, sides: _Sides[Mapping[str, JsonValue]], live: JsonValue, default: JsonValue) -> Judgement:
    unit = _unit(
        sides.map(lambda fields: fields.get(name, UNDECLARED)),
        live,
        default=default,
        equal=partial(field_equal, name),
        chosen=name == "model_variant_id",
    )
    return Judgement(verdict_on(unit), unit)


def _unit(
    declared: _Sides[Declared],
    live: JsonValue,
    *,
    default: JsonValue = False,
    equal: Callable[[JsonValue, JsonValue], bool] = json_equal,
    chosen: bool = False,
) -> Unit:
    return Unit(
        tree=declared.tree,
        base=declared.base,
        live=live,
        tip=declared.tip[0] if declared.tip else None,
        attempted=declared.attempted,
        default=default,
        equal=equal,
        chosen=chosen,
    )


def _has_target(key: tuple[str, str], app: App) -> bool:
    return any(target.unique_key == key for target in app.targets)


def _has_slot(capability: str, app: App) -> bool:
    return app.slot(capability) is not None


def _declared_existence(section: Section, has: Callable[[App], bool], app: App | None) -> Declared:
    """Return what a side declares of an object's existence: an owned list declares that nothing else exists."""
    if app is None:
        return UNDECLARED
    if has(app):
        return True
    return False if section in app.complete_sections else UNDECLARED


def _declared_config(app: App | None) -> Declared:
    return UNDECLARED if app is None or app.inference_config is None else app.inference_config.config


def _declared_fields(app: App | None) -> Mapping[str, JsonValue]:
    return app.fields if app is not None and app.declared else {}


def _declared_archived(app: App | None) -> Declared:
    return app.archived if app is not None and app.declared else UNDECLARED


def _slot_fields(capability: str, app: App | None) -> Mapping[str, JsonValue]:
    slot = app.slot(capability) if app is not None else None
    return slot.fields if slot is not None else {}


def let_go(tree: App, earlier: Iterable[App]) -> frozenset[Section]:
    """Return the sections that were declared with a key of their own and no longer are: they are released, not emptied."""
    return frozenset(section for before in earlier for section in before.complete_sections) - tree.complete_sections
