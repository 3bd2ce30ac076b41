"""One app, unit by unit: as tree, base, tip and unfinished applies declare it, and as it is live."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from octosync.contract import APP, SLOT, ObjectShape, field_equal
from octosync.model import (
    Address,
    App,
    InferenceConfig,
    JsonValue,
    Origin,
    Reason,
    Section,
    Slot,
    Target,
)
from octosync.plan.base import Base
from octosync.plan.propose import NEW_SLOT_POLICY
from octosync.plan.resolved import Acts, Resolved
from octosync.plan.verdicts import UNDECLARED, Rest, Said, Undeclared, Unit, Verdict, gravest, verdict_on

# What a slot's field is again once nobody declares it.
_RETURNS: Mapping[str, JsonValue] = {**SLOT.defaults, "serving_policy": NEW_SLOT_POLICY}


@dataclass(slots=True)
class _Judged:
    """The verdicts on one object: why it changes, whether anybody changed it, and whether it is behind."""

    acting: list[Reason] = field(default_factory=list)
    rests: set[Verdict] = field(default_factory=set)

    def add(self, verdict: Verdict, *, acts: bool) -> None:
        if acts and isinstance(verdict, Reason):
            self.acting.append(verdict)
        else:
            self.rests.add(verdict)


class Sides:
    """One app as tree, base, tip and unfinished applies declare it, and as it is live."""

    def __init__(self, slug: str, tree: App | None, base: Base, live: App | None) -> None:
        self._slug = slug
        self._tree = tree or App(slug=slug, declared=False)
        self._before = base.state.apps.get(slug)
        self._is_presumed = slug in base.presumed
        self._earlier = base.earlier(slug)
        self._let_go = let_go(self._tree, self._earlier)
        self._moved_on = base.tip is not None
        self._tip = base.tip.apps.get(slug) if base.tip is not None else None
        self._attempted = tuple(state.apps.get(slug) for state in base.attempted)
        self._live = live
        self._is_gone = tree is None

    def resolve(self, resolved: Resolved, acts: Acts) -> App | None:
        """Return what is planned of it, None for nothing; what is to be said of it goes into `resolved`."""
        self._resolved, self._acts = resolved, acts
        tree = self._tree
        if self._is_behind():
            resolved.stale.add(tree.address)
            return None
        if tree.declared and self._live is None and not self._create():
            return None
        planned = replace(
            tree,
            archived=self._archived(),
            fields=self._fields(),
            targets=self._targets(),
            slots=self._slots(),
            inference_config=self._inference_config(),
            protected=tree.protected or (self._before is not None and self._before.protected),
        )
        self._release()
        gone = any(address.app == self._slug for address in resolved.removed)
        nothing_left = self._is_gone and not gone and planned.inference_config is None
        return None if nothing_left else planned

    def _is_behind(self) -> bool:
        """Say whether the whole app is another one at the tip, there or archived, and the tree has not followed."""
        before, tip, tree = self._before, self._tip, self._tree
        if not self._moved_on or before is None or not before.declared or self._is_gone:
            return False
        if tip is None or not tip.declared:
            return tree.archived == before.archived
        return tip.archived != before.archived == tree.archived

    # -- the app itself

    def _create(self) -> bool:
        before, judged = self._before, _Judged()
        existed = before is not None and before.declared and not before.archived
        does = self._judge(self._tree.address, judged, Reason.DRIFT if existed else Reason.NEW)
        self._say(self._tree.address, judged)
        return does

    def _archived(self) -> bool:
        tree = self._tree
        if not tree.archived or self._live is None:
            return tree.archived
        verdict = verdict_on(self._unit(_said_of_archiving, self._live.archived, default=False))
        does = self._judge(tree.address, _Judged(), verdict)
        if does and isinstance(verdict, Reason) and not self._is_presumed:
            self._resolved.archives[tree.address] = verdict
        return does

    def _fields(self) -> dict[str, JsonValue]:
        tree, live = self._tree, self._live
        if not tree.declared or live is None:
            return dict(tree.fields)
        judged = _Judged()
        fields: dict[str, JsonValue] = {}
        for name in APP.writable:
            unit = self._field(name, APP, lambda app: app.fields if app.declared else {}, live.fields)
            returns = name in APP.defaults  # a name that is no longer declared is not owned any more
            if unit.tree is UNDECLARED and not returns:
                continue
            self._keep(name, unit, tree.address, judged, fields)
        self._say(tree.address, judged)
        return fields

    # -- targets and slots

    def _targets(self) -> tuple[Target, ...]:
        every = {target.unique_key: target for side in reversed(self._sides) for target in side.targets}
        there = {target.unique_key: target for target in (self._live.targets if self._live else ())}
        wanted = {target.unique_key: target for target in self._tree.targets}
        kept = []
        for key, target in sorted(every.items()):
            match self._existence(target.address, key in there, Section.TARGETS, partial(_has_target, key)):
                case True:
                    kept.append(wanted.get(key) or there[key])
                case False if self._resolved.reasons.get(target.address) is Reason.REMOVED:
                    self._resolved.origins[target.address] = self._origin_of(target.address)
        return tuple(kept)

    def _slots(self) -> tuple[Slot, ...]:
        every = sorted({slot.capability for side in self._sides for slot in side.slots})
        kept = []
        for capability in every:
            address = Address.of_slot(self._slug, capability)
            wanted = self._tree.slot(capability)
            there = self._live.slot(capability) if self._live else None
            if wanted is not None and there is not None:
                kept.append(self._slot(wanted, there))
                continue
            match self._existence(address, there is not None, Section.SLOTS, partial(_has_slot, capability)):
                case True:
                    kept.append(wanted if wanted is not None else Slot(app=self._slug, capability=capability))
                case False if self._resolved.reasons.get(address) is Reason.REMOVED:
                    self._resolved.origins[address] = self._origin_of(address)
        return tuple(kept)

    def _slot(self, wanted: Slot, there: Slot) -> Slot:
        judged = _Judged()
        fields: dict[str, JsonValue] = {}
        names = dict.fromkeys((*SLOT.writable, *wanted.fields))
        for name in names:
            unit = self._field(name, SLOT, lambda app: _fields_of(app, wanted.capability), there.fields)
            self._keep(name, unit, wanted.address, judged, fields)
        self._say(wanted.address, judged)
        return replace(wanted, fields=fields, preset=wanted.preset if "serving_policy" in fields else None)

    def _existence(self, address: Address, is_there: bool, section: Section, has: Callable[[App], bool]) -> bool | None:
        """Judge whether an object is to be there: yes, no, or (None) nothing is said of it."""
        unit = self._unit(partial(_said_of_existence, section, has), is_there, default=False)
        if unit.tree is UNDECLARED and section in self._let_go:
            return None
        verdict = verdict_on(unit)
        if verdict is Reason.MANIFEST_CHANGED:
            if unit.tree is True and unit.base is not True:
                verdict = Reason.NEW
            elif unit.tree is False and unit.base is True:
                verdict = Reason.REMOVED
        judged = _Judged()
        does = self._judge(address, judged, verdict)
        self._say(address, judged)
        if does:
            wanted = unit.tree is True
            if not wanted and section not in self._tree.whole:
                self._resolved.removed.add(address)
            return wanted
        if verdict is Rest.UNTOUCHED:
            return True if is_there and section in self._tree.whole and unit.tree is not UNDECLARED else None
        if verdict is Rest.AS_DECLARED:
            return True if unit.tree is True else None
        self._resolved.left_as_live.add(address)  # stale or held
        return True if is_there else None

    # -- the inference config

    def _inference_config(self) -> InferenceConfig | None:
        wanted = self._tree.inference_config
        before = next((config for one in self._earlier if (config := one.inference_config) is not None), None)
        address = Address.of_inference_config(self._slug)
        there = self._live.inference_config if self._live else None
        unit = self._unit(_config_of, there.config if there else None, default=None)
        verdict = verdict_on(unit)
        nobodys = before is None or Section.INFERENCE_CONFIG in self._let_go
        if unit.tree is UNDECLARED and nobodys and verdict is not Rest.STALE:
            return None
        if verdict is Reason.MANIFEST_CHANGED and unit.live is None:
            verdict = Reason.NEW
        judged = _Judged()
        does = self._judge(address, judged, verdict)
        self._say(address, judged)
        if does and wanted is None:
            origin = before.origin if before is not None else None
            return InferenceConfig(app=self._slug, config=None, origin=origin)
        if does or verdict is Rest.AS_DECLARED:
            return wanted
        if verdict is not Rest.UNTOUCHED:
            self._resolved.left_as_live.add(address)
        return None

    # -- what the tree lets go of

    def _release(self) -> None:
        for before in self._earlier:
            self._release_of(before, self._resolved.released)

    def _release_of(self, before: App, released: set[Address]) -> None:
        let_go = before.whole & self._let_go
        if Section.TARGETS in let_go:
            kept = {target.unique_key for target in self._tree.targets}
            released.update(target.address for target in before.targets if target.unique_key not in kept)
        if Section.SLOTS in let_go:
            released.update(slot.address for slot in before.slots if self._tree.slot(slot.capability) is None)
        config = before.inference_config
        if Section.INFERENCE_CONFIG in let_go and config is not None and config.config is not None:
            released.add(config.address)
        for slot in before.slots:
            now = self._tree.slot(slot.capability)
            if slot.deploy is not None and now is not None and now.deploy is None:
                released.update(
                    Address.of_capability(self._slug, slot.capability, environment)
                    for environment in slot.deploy.environments
                )

    # -- units

    @property
    def _sides(self) -> tuple[App, ...]:
        return (self._tree, *self._earlier, *((self._live,) if self._live is not None else ()))

    def _origin_of(self, address: Address) -> Origin | None:
        objects: list[Target | Slot] = []
        for app in self._earlier:
            objects += (*app.targets, *app.slots)
        return next((one.origin for one in objects if one.address == address), None)

    def _field(
        self,
        name: str,
        shape: ObjectShape,
        fields_of: Callable[[App], Mapping[str, JsonValue]],
        live: Mapping[str, JsonValue],
    ) -> Unit:
        def said(app: App | None) -> Said:
            return UNDECLARED if app is None else fields_of(app).get(name, UNDECLARED)

        default = _RETURNS.get(name) if shape is SLOT else shape.defaults.get(name)
        return self._unit(
            said,
            live.get(name, shape.defaults.get(name)),
            default=default,
            equal=partial(field_equal, name),
            chosen=name == "model_variant_id",
        )

    def _unit(self, said: Callable[[App | None], Said], live: JsonValue, **more: object) -> Unit:
        return Unit(
            tree=said(self._tree),
            base=said(self._before),
            live=live,
            tip=said(self._tip) if self._moved_on else None,
            attempted=tuple(map(said, self._attempted)),
            **more,  # type: ignore[arg-type]
        )

    def _keep(self, name: str, unit: Unit, address: Address, judged: _Judged, fields: dict[str, JsonValue]) -> None:
        """Judge a field, and declare it in `fields` where something is to come of it, or it is as declared."""
        verdict = verdict_on(unit)
        if self._judge(address, judged, verdict):
            fields[name] = unit.default if isinstance(unit.tree, Undeclared) else unit.tree
        elif verdict is Rest.AS_DECLARED and not isinstance(unit.tree, Undeclared):
            fields[name] = unit.tree

    def _judge(self, address: Address, judged: _Judged, verdict: Verdict) -> bool:
        if verdict is Reason.DRIFT and not (self._is_presumed and self._live is None):
            self._resolved.drifted.add(address)  # an app that is not there, and that nobody remembers, is just new
        does = self._acts(address, verdict)
        judged.add(verdict, acts=does)
        return does

    def _say(self, address: Address, judged: _Judged) -> None:
        reason = gravest(judged.acting)
        if reason is not None and not self._is_presumed:
            self._resolved.reasons[address] = reason
        if Rest.STALE in judged.rests:
            self._resolved.stale.add(address)


def _has_target(key: tuple[str, str], app: App) -> bool:
    return any(target.unique_key == key for target in app.targets)


def _has_slot(capability: str, app: App) -> bool:
    return app.slot(capability) is not None


def _said_of_existence(section: Section, has: Callable[[App], bool], app: App | None) -> Said:
    """Say what a side declares of an object's existence: who owns the list declares what is not in it absent."""
    if app is None:
        return UNDECLARED
    if has(app):
        return True
    return False if section in app.whole else UNDECLARED


def _config_of(app: App | None) -> Said:
    return UNDECLARED if app is None or app.inference_config is None else app.inference_config.config


def _fields_of(app: App, capability: str) -> Mapping[str, JsonValue]:
    slot = app.slot(capability)
    return slot.fields if slot is not None else {}


def _said_of_archiving(app: App | None) -> Said:
    return app.archived if app is not None and app.declared else UNDECLARED


def let_go(tree: App, earlier: Iterable[App]) -> frozenset[Section]:
    """Return the sections whose own key somebody had before and the tree has not: they are released, not emptied."""
    return frozenset(section for before in earlier for section in before.whole) - tree.whole
