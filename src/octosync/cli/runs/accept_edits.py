"""The edits of `octosync accept`: reading the live objects, editing the manifests, and verifying the edits."""

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
    digest,
    refusal,
)
from octosync.model import Address, App, Kind, Observation, Origin, Section, Severity, State, closest
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
_MAX_LINES = 5  # in an error
_FORMS = (
    "Expected app/SLUG, app/SLUG/slot/CAPABILITY, app/SLUG/target/PLATFORM:IDENTIFIER or app/SLUG/inference-config.",
    "octosync plan -o json lists the addresses that differ.",
)


@dataclass(slots=True, kw_only=True)
class AcceptResult:
    """The result for each address, and the edited files.

    `unchanged` objects are declared as they are live; `absent` ones are neither declared nor live. `files` has the bytes
    before and after by file name as in the origins; `state` is the declared state after the edits.
    """

    state: State
    accepted: list[AcceptedObject] = field(default_factory=list)
    unchanged: list[Address] = field(default_factory=list)
    absent: list[Address] = field(default_factory=list)
    refused: list[OctosyncError] = field(default_factory=list)
    files: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedObjects:
    """The addressed objects as they are live, and the plan for them."""

    addresses: tuple[Address, ...]
    observation: Observation
    plan: Plan
    base: Base | None = None


def parse_addresses(texts: Iterable[str], declared: State) -> tuple[Address, ...]:
    """Return the addresses, sorted and unique. Raise `UsageError` for an invalid one and for an app that is not declared."""
    found = set()
    for text in texts:
        try:
            address = Address.parse(text)
        except ValueError:
            raise UsageError("not-an-address", f"{text!r} is not an address", hints=_FORMS) from None
        if address.app not in declared.apps:
            close = closest(address.app, declared.apps)
            hints = (f"Did you mean app {close}?",) if close else ()
            raise UsageError(
                "no-such-app",
                f"{address}: no manifest declares app {address.app}",
                hints=(*hints, f"To write the manifest of a live app: octosync export {address.app}"),
            )
        found.add(address)
    return tuple(sorted(found))


async def observe_addresses(
    addresses: tuple[Address, ...],
    declared: State,
    remote: Octomil,
    *,
    now: datetime,
    base: Base | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ObservedObjects:
    """Read only the addressed objects, and plan them. Raise `OctosyncError` for an app that can't be read.

    With a base, the plan contains only changes on the control plane, and no changes of these manifests.
    """
    narrow = _narrowed(declared, addresses)
    observation = await observe(remote, narrow, now=now, progress=progress)
    plan = _plan(narrow, observation, base, addresses, contract=remote.contract, now=now)
    for error in plan.errors.values():
        raise error
    return ObservedObjects(addresses=addresses, observation=observation, plan=plan, base=base)


def _plan(
    narrow: State,
    observation: Observation,
    base: Base | None,
    addresses: Iterable[Address],
    *,
    contract: Contract,
    now: datetime,
) -> Plan:
    if base is not None:
        before = State.from_apps(*(app for app in base.state if app.slug in narrow.apps))
        known = Base(state=_narrowed(before, (address for address in addresses if address.app in before.apps)))
        narrow = compare_three_ways(narrow, observation, known, now=now).changes_of_others()
    return review(narrow, observation, PlanOptions(now=now, contract=contract)).plan


def _narrowed(declared: State, addresses: Iterable[Address]) -> State:
    """Return the parts of the declared apps that the addresses name. Suspended apps are included: they can be accepted."""
    kinds: dict[str, set[Section]] = {}
    for address in addresses:
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


def refuse_unacceptable(addresses: Iterable[Address], declared: State) -> list[OctosyncError]:
    """Return an error for each address that can't be accepted, regardless of live state."""
    refused = []
    for address in addresses:
        app = declared.apps[address.app]
        if address.kind is Kind.CAPABILITY:
            capability, environment = address.placement
            slot = app.slot(capability)
            origin = slot.deploy.origin if slot and slot.deploy else None
            hint = f"Remove {environment} from `deploy.environments`" + (f" at {origin}." if origin else ".")
            refused.append(refusal(address, "an enabled capability has no live value to accept", hint))
        elif app.archived:
            hint = f"Remove `archived: true` from {_file(app.origin)} first." if app.origin else ""
            refused.append(refusal(address, "the app is declared as archived", hint))
    return refused


def accept_objects(
    observed: ObservedObjects,
    manifests: Manifests,
    *,
    contract: Contract,
    edit_context: EditContext,
    fileless: str = "",
) -> AcceptResult:
    """Accept the observed objects, and return the edited files, not verified.

    `fileless` is the reason why the manifests have no files, "" if they have.
    """
    result = AcceptResult(state=manifests.state)
    actions: list[Action] = []
    archives: list[App] = []
    for address in observed.addresses:
        _classify(address, observed, result, actions, archives)
    # Removals from the manifests come first: then a target can be declared in another app.
    for action in sorted(actions, key=lambda action: not _is_removal(action)):
        desired, live = result.state.apps[action.address.app], observed.observation.state.apps[action.address.app]
        with _collect_refusal(result):
            accepted = accept(
                action,
                desired,
                live,
                contract=contract,
                sensitivity=edit_context.sensitivity,
                claims=claims_of((*result.state, *manifests.others)),
            )
            _add(accepted, result, edit_context, fileless)
    for app in archives:
        with _collect_refusal(result):
            _add(accept_archive(app), result, edit_context, fileless)
    result.accepted.sort(key=lambda change: change.address)
    return result


@contextmanager
def _collect_refusal(result: AcceptResult) -> Iterator[None]:
    try:
        yield
    except OctosyncError as error:
        result.refused.append(error)


def _add(accepted: AcceptedObject, result: AcceptResult, edit_context: EditContext, fileless: str) -> None:
    _edit_file(accepted, result, edit_context, fileless)
    result.accepted.append(accepted)
    result.state = _with(result.state, accepted.app)


def _is_removal(action: Action) -> bool:
    return isinstance(action, RegisterTarget) or (isinstance(action, PutSlot) and action.before is None)


def _classify(
    address: Address, observed: ObservedObjects, result: AcceptResult, actions: list[Action], archives: list[App]
) -> None:
    """Add the action or the archived app of an address to its list, or its address or error to the result."""
    app = result.state.apps[address.app]
    live = observed.observation.state.apps.get(address.app)
    if live is None:
        hint = f"Remove its manifests, such as {_file(app.origin)}, if it should not exist." if app.origin else ""
        result.refused.append(refusal(address, "the app does not exist", hint))
    elif live.archived and address.kind is Kind.APP:
        archives.append(app)
    elif live.archived:
        declares = f"To declare `archived: true`: octosync accept {app.address}"
        hint = declares if app.declared else "Remove its manifests."
        result.refused.append(refusal(address, "the app is archived, and can't be unarchived", hint))
    elif action := next((action for action in observed.plan.actions if action.address == address), None):
        actions.append(action)
    elif address in observed.plan.unchanged:
        result.unchanged.append(address)
    elif address in observed.plan.left_alone.unknown_targets:
        result.refused.append(refusal(address, "its platform is unknown", "Add it to api.platforms in octosync.yaml."))
    elif observed.base is not None and _declared_in(address, app):
        hint = "With --base, only changes on the control plane are accepted."
        result.refused.append(refusal(address, "it differs because these manifests change it", hint))
    elif not _is_live(address, live):
        result.absent.append(address)
    else:
        hint = f"To export the undeclared objects: octosync export {address.app} --unmanaged"
        result.refused.append(refusal(address, "no manifest declares it", hint))


def _is_live(address: Address, live: App) -> bool:
    """Return whether an object exists. An app exists even if it declares no fields of its own."""
    config = live.inference_config
    targets, slots = (target.address for target in live.targets), (slot.address for slot in live.slots)
    return address in {live.address, *targets, *slots} or (
        config is not None and config.config is not None and address == config.address
    )


def _declared_in(address: Address, app: App) -> bool:
    objects = (*(target.address for target in app.targets), *(slot.address for slot in app.slots))
    config = app.inference_config
    return address in objects or (config is not None and address == config.address)


def _edit_file(change: AcceptedObject, result: AcceptResult, edit_context: EditContext, fileless: str) -> None:
    """Apply an edit to the new text of its file. Raise `OctosyncError` if that is not possible."""
    name = change.origin.file
    try:
        before, now = result.files.get(name) or _read(name, fileless)
        result.files[name] = (before, apply_edits(now, (change.edit,), edit_context))
    except EditError as error:
        hints = (
            ("To edit the file yourself, write there:", *(f"  {line}" for line in change.lines))
            if change.lines
            else ("Remove it there yourself.",)
        )
        also = tuple(f"Also there: {name}:{line}" for line in error.lines[:_MAX_LINES])
        summary = f"{change.address} can't be written at {change.origin}: {error.why}"
        raise OctosyncError("edit-failed", summary, hints=(*also, *hints)) from None


def _read(name: str, fileless: str) -> tuple[bytes, bytes]:
    if fileless:
        raise EditError(fileless)
    try:
        data = Path(name).read_bytes()
        data.decode()
    except (OSError, ValueError):
        raise EditError("the file can no longer be read") from None
    return data, data


def verification_failure(
    result: AcceptResult,
    observed: ObservedObjects,
    *,
    before: Manifests,
    after: Manifests,
    contract: Contract,
    now: datetime,
) -> str:
    """Return why the edited manifests are not correct, "" if they are.

    They must declare exactly the previous state with the accepted values, and the plan for the accepted objects must be empty.
    """
    new = next((diagnostic for diagnostic in after.diagnostics if diagnostic.severity is Severity.ERROR), None)
    if new is not None:
        return f"they would be invalid: {new.summary}"
    expected = State.from_apps(*(app for app in result.state if _declares(app)))
    if digest(after.state) != digest(expected) or digest(after.others) != digest(before.others):
        return "they would also change something else"
    addresses = {change.address for change in result.accepted}
    narrow = _narrowed(after.state, (address for address in addresses if address.app in after.state.apps))
    plan = _plan(narrow, observed.observation, observed.base, addresses, contract=contract, now=now)
    left = [
        action.address for action in plan.actions if action.address in addresses and action.verb is not Verb.ARCHIVE
    ]
    return f"{left[0]} would still differ" if left else ""


def origin_in(state: State, change: AcceptedObject) -> Origin:
    """Return the position of an accepted object in the edited manifests, or its old one if it is no longer declared."""
    app = state.apps.get(change.address.app)
    if app is None:
        return change.origin
    origins = {
        app.address: app.origin,
        **{target.address: target.origin for target in app.targets},
        **{slot.address: slot.origin for slot in app.slots},
    }
    if app.inference_config is not None:
        origins[app.inference_config.address] = app.inference_config.origin
    return origins.get(change.address) or change.origin


def _declares(app: App) -> bool:
    return app.declared or bool(app.targets or app.slots) or app.inference_config is not None


def _with(state: State, app: App) -> State:
    return State.from_apps(*{**state.apps, app.slug: app}.values())


def _file(origin: Origin | None) -> str:
    return origin.file if origin else "its file"
