"""From live values to edited manifests: what is read for that, what of it is accepted, and the proof before it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from octosync.contract import Contract
from octosync.errors import OctosyncError, UsageError
from octosync.manifest import (
    AcceptedObject,
    EditContext,
    EditError,
    Manifests,
    accept,
    accept_archive,
    apply_edits,
    claims_of,
    closest,
    digest,
    refusal,
)
from octosync.model import Address, App, Kind, Observation, Origin, Section, Severity, State
from octosync.octomil import Octomil, observe
from octosync.plan import Action, Plan, PlanOptions, PutSlot, RegisterTarget, Verb
from octosync.plan.three_way.merge import compare_three_ways
from octosync.plan.three_way.verdict import Base
from octosync.reconcile import review

_SECTIONS = {
    Kind.TARGET: Section.TARGETS,
    Kind.SLOT: Section.SLOTS,
    Kind.INFERENCE_CONFIG: Section.INFERENCE_CONFIG,
}
_PLACES = 5  # in an error
_FORMS = (
    "An address is app/SLUG, app/SLUG/slot/CAPABILITY, app/SLUG/target/PLATFORM:IDENTIFIER or app/SLUG/inference-config.",
    "octosync plan -o json names those that differ.",
)


@dataclass(slots=True, kw_only=True)
class Made:
    """What accepting came to, by what became of an address, and files as they will be.

    `same` is declared as it is live, `nowhere` neither declared nor live.
    `files` are bytes before and after, by the name that the manifests' places have; `state` is what is declared then.
    """

    state: State
    accepted: list[AcceptedObject] = field(default_factory=list)
    same: list[Address] = field(default_factory=list)
    nowhere: list[Address] = field(default_factory=list)
    refused: list[OctosyncError] = field(default_factory=list)
    files: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What was read of the addressed objects, and the plan for them."""

    asked: tuple[Address, ...]
    seen: Observation
    plan: Plan
    base: Base | None = None


def parse_addresses(texts: Iterable[str], declared: State) -> tuple[Address, ...]:
    """Read addresses, sorted and each once. Raises `UsageError` for what is none, and for an app that is not declared."""
    found = set()
    for text in texts:
        try:
            address = Address.parse(text)
        except ValueError:
            raise UsageError("not-an-address", f"{text or 'an empty text'} is no address", hints=_FORMS) from None
        if address.app not in declared.apps:
            close = closest(address.app, declared.apps)
            hints = (f"Did you mean app {close}?",) if close else ()
            raise UsageError(
                "no-such-app",
                f"{address}: no manifest declares app {address.app}",
                hints=(*hints, f"octosync export {address.app} writes the manifest of a live app."),
            )
        found.add(address)
    return tuple(sorted(found))


async def look_at(
    asked: tuple[Address, ...],
    declared: State,
    remote: Octomil,
    *,
    now: datetime,
    base: Base | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Looked:
    """Read the addressed objects and no others, and plan them. Raises `OctosyncError` for an app that can't be read.

    With a base, what these manifests changed themselves is not in the plan: only what somebody changed on the control plane.
    """
    narrow = _narrowed(declared, asked)
    seen = await observe(remote, narrow, now=now, progress=progress)
    plan = _plan(narrow, seen, base, asked, contract=remote.contract, now=now)
    for error in plan.errors.values():
        raise error
    return Looked(asked=asked, seen=seen, plan=plan, base=base)


def _plan(
    narrow: State,
    seen: Observation,
    base: Base | None,
    asked: Iterable[Address],
    *,
    contract: Contract,
    now: datetime,
) -> Plan:
    if base is not None:
        before = State.from_apps(*(app for app in base.state if app.slug in narrow.apps))
        known = Base(state=_narrowed(before, (app for app in asked if app.app in before.apps)))
        narrow = compare_three_ways(narrow, seen, known, now=now).changes_of_others()
    return review(narrow, seen, PlanOptions(now=now, contract=contract)).plan


def _narrowed(declared: State, asked: Iterable[Address]) -> State:
    """Return of the declared apps what the addresses are about. What is suspended can be accepted all the same."""
    kinds: dict[str, set[Section]] = {}
    for address in asked:
        kinds.setdefault(address.app, set()).update({_SECTIONS[address.kind]} if address.kind in _SECTIONS else ())
    return State.from_apps(*(_part(declared.apps[slug], sections) for slug, sections in kinds.items()))


def _part(app: App, sections: set[Section]) -> App:
    return replace(
        app,
        complete_sections=app.complete_sections & sections,
        targets=app.targets if Section.TARGETS in sections else (),
        slots=tuple(replace(slot, deploy=None) for slot in app.slots) if Section.SLOTS in sections else (),
        inference_config=app.inference_config if Section.INFERENCE_CONFIG in sections else None,
        suspension=None,
    )


def refuse_unacceptable(asked: Iterable[Address], declared: State) -> list[OctosyncError]:
    """Return why some addresses can't be accepted, whatever is live."""
    refused = []
    for address in asked:
        app = declared.apps[address.app]
        if address.kind is Kind.CAPABILITY:
            capability, environment = address.placement
            slot = app.slot(capability)
            where = slot.deploy.origin if slot and slot.deploy else None
            hint = f"Take {environment} out of `deploy.environments`" + (f" at {where}." if where else ".")
            refused.append(refusal(address, "where a capability is enabled is not a value that is live or not", hint))
        elif app.archived:
            hint = f"Take `archived: true` out of {_file(app.origin)} first." if app.origin else ""
            refused.append(refusal(address, "the app is declared as archived", hint))
    return refused


def make(looked: Looked, manifests: Manifests, *, contract: Contract, reading: EditContext, fileless: str = "") -> Made:
    """Accept what was looked at: the files as they will be, unproved. `fileless` is why the manifests have no files here."""
    made = Made(state=manifests.state)
    found: list[Action] = []
    archives: list[App] = []
    for address in looked.asked:
        _sort(address, looked, made, found, archives)
    # What is no longer declared goes first: a target may be declared elsewhere then.
    for action in sorted(found, key=lambda one: not _vanishes(one)):
        desired, live = made.state.apps[action.address.app], looked.seen.state.apps[action.address.app]
        with _refusals(made):
            accepted = accept(
                action,
                desired,
                live,
                contract=contract,
                sensitivity=reading.sensitivity,
                claims=claims_of((*made.state, *manifests.others)),
            )
            _take(accepted, made, reading, fileless)
    for app in archives:
        with _refusals(made):
            _take(accept_archive(app), made, reading, fileless)
    made.accepted.sort(key=lambda one: one.address)
    return made


@contextmanager
def _refusals(made: Made) -> Iterator[None]:
    try:
        yield
    except OctosyncError as error:
        made.refused.append(error)


def _take(accepted: AcceptedObject, made: Made, reading: EditContext, fileless: str) -> None:
    _place(accepted, made, reading, fileless)
    made.accepted.append(accepted)
    made.state = _with(made.state, accepted.app)


def _vanishes(action: Action) -> bool:
    return isinstance(action, RegisterTarget) or (isinstance(action, PutSlot) and action.before is None)


def _sort(address: Address, looked: Looked, made: Made, found: list[Action], archives: list[App]) -> None:
    """Find the action on an address, or that its app is archived, or say why there is none."""
    app = made.state.apps[address.app]
    live = looked.seen.state.apps.get(address.app)
    if live is None:
        hint = f"Remove its manifests, such as {_file(app.origin)}, if it shall be none." if app.origin else ""
        made.refused.append(refusal(address, "the app does not exist", hint))
    elif live.archived and address.kind is Kind.APP:
        archives.append(app)
    elif live.archived:
        declares = f"octosync accept {app.address} declares `archived: true`."
        hint = declares if app.declared else "Remove its manifests."
        made.refused.append(refusal(address, "the app is archived, and there is no unarchive", hint))
    elif action := next((one for one in looked.plan.actions if one.address == address), None):
        found.append(action)
    elif address in looked.plan.unchanged:
        made.same.append(address)
    elif address in looked.plan.left_alone.unknown_targets:
        made.refused.append(
            refusal(address, "octosync doesn't know its platform", "api.platforms in octosync.yaml adds it.")
        )
    elif looked.base is not None and _declared_in(address, app):
        hint = "With --base, only what somebody changed on the control plane is accepted."
        made.refused.append(refusal(address, "it differs because it is changed here", hint))
    elif not _is_live(address, live):
        made.nowhere.append(address)
    else:
        hint = f"octosync export {address.app} --unmanaged writes what manifests leave undeclared of a live app."
        made.refused.append(refusal(address, "no manifest declares it", hint))


def _is_live(address: Address, live: App) -> bool:
    """Say whether an object exists; an app does, whose own fields may be declared nowhere."""
    config = live.inference_config
    targets, slots = (target.address for target in live.targets), (slot.address for slot in live.slots)
    return address in {live.address, *targets, *slots} or (
        config is not None and config.config is not None and address == config.address
    )


def _declared_in(address: Address, app: App) -> bool:
    objects = (*(target.address for target in app.targets), *(slot.address for slot in app.slots))
    config = app.inference_config
    return address in objects or (config is not None and address == config.address)


def _place(one: AcceptedObject, made: Made, reading: EditContext, fileless: str) -> None:
    """Make an edit in what the file will be. Raises `OctosyncError` where it can't be made."""
    name = one.origin.file
    try:
        before, now = made.files.get(name) or _read(name, fileless)
        made.files[name] = (before, apply_edits(now, (one.edit,), reading))
    except EditError as error:
        hints = (
            ("To write it there yourself:", *(f"  {line}" for line in one.lines))
            if one.lines
            else ("Take it out there.",)
        )
        also = tuple(f"Also there: {name}:{line}" for line in error.lines[:_PLACES])
        summary = f"{one.address} can't be written at {one.origin}: {error.why}"
        raise OctosyncError("not-placeable", summary, hints=(*also, *hints)) from None


def _read(name: str, fileless: str) -> tuple[bytes, bytes]:
    if fileless:
        raise EditError(fileless)
    try:
        data = Path(name).read_bytes()
        data.decode()
    except (OSError, ValueError):
        raise EditError("the file can't be read again") from None
    return data, data


def disproof(
    made: Made, looked: Looked, *, before: Manifests, after: Manifests, contract: Contract, now: datetime
) -> str:
    """Say why the edited manifests are not to be trusted, "" where they are.

    They must declare what was declared with the accepted values in it and nothing else, and plan to nothing where accepted.
    """
    new = next((diagnostic for diagnostic in after.diagnostics if diagnostic.severity is Severity.ERROR), None)
    if new is not None:
        return f"they would not be valid: {new.summary}"
    expected = State.from_apps(*(app for app in made.state if _declares(app)))
    if digest(after.state) != digest(expected) or digest(after.others) != digest(before.others):
        return "they would declare something else, too"
    addresses = {kept.address for kept in made.accepted}
    narrow = _narrowed(after.state, (address for address in addresses if address.app in after.state.apps))
    plan = _plan(narrow, looked.seen, looked.base, addresses, contract=contract, now=now)
    left = [
        action.address for action in plan.actions if action.address in addresses and action.verb is not Verb.ARCHIVE
    ]
    return f"{left[0]} would still differ" if left else ""


def origin_in(state: State, one: AcceptedObject) -> Origin:
    """Return where an accepted object is declared by now; where it was, if it no longer is."""
    app = state.apps.get(one.address.app)
    if app is None:
        return one.origin
    origins = {
        app.address: app.origin,
        **{target.address: target.origin for target in app.targets},
        **{slot.address: slot.origin for slot in app.slots},
    }
    if app.inference_config is not None:
        origins[app.inference_config.address] = app.inference_config.origin
    return origins.get(one.address) or one.origin


def _declares(app: App) -> bool:
    return app.declared or bool(app.targets or app.slots) or app.inference_config is not None


def _with(state: State, app: App) -> State:
    return State.from_apps(*{**state.apps, app.slug: app}.values())


def _file(origin: Origin | None) -> str:
    return origin.file if origin else "its file"
