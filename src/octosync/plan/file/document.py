"""The plan as a JSON document: what tools read, what `--plan-out` writes and what an approval approves.

Names are Terraform's where the meaning is the same. `format_version`: a new minor adds keys, a new major changes them.
Sensitive values are `null` in it, so that it can be stored and posted anywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from operator import attrgetter, itemgetter
from typing import Any, Final

from octosync.contract import Contract
from octosync.errors import OctosyncError, RemoteError
from octosync.model import (
    Address,
    App,
    Diagnostic,
    Hold,
    JsonObject,
    JsonValue,
    Kind,
    Origin,
    Preview,
    Sensitivity,
    UndisclosedValue,
    digest_of,
)
from octosync.plan.actions import (
    Absent,
    Action,
    EnableCapability,
    FieldChange,
    FingerprintScheme,
    OptimizeCapability,
    Verb,
    shown_changes,
)
from octosync.plan.drift import HeldChange, LastChange, needs_author
from octosync.plan.file import schema
from octosync.plan.file.schema import FORMAT_VERSION, NO_OP
from octosync.plan.guards.policy import Override, Refusal
from octosync.plan.guards.table import guard_of
from octosync.plan.plan import (
    ControlPlane,
    Invocation,
    LastAppliedRevision,
    ManifestSet,
    Plan,
    RunInfo,
    SharedState,
    all_diagnostics,
)
from octosync.plan.policies import PolicyResult
from octosync.plan.rollouts import Recommendation


def plan_document(
    plan: Plan,
    *,
    about: RunInfo,
    contract: Contract,
    sensitivity: Sensitivity,
    blocked: Sequence[Refusal] = (),
    overrides: Sequence[Override] = (),
    diagnostics: Iterable[Diagnostic] = (),
    full: bool = False,
) -> dict[str, Any]:
    """Return the whole document; every key is always present, and `resource_changes` are `ChangeRows`.

    `diagnostics` are those of the manifests: the plan's own are in it anyway, and none appears twice. `full` adds a row for
    each object that is as declared.
    """
    scheme = FingerprintScheme(sensitivity, about.plan_key)
    not_covered = uncovered(plan, scheme)
    document = schema.PlanDocument(
        format_version=FORMAT_VERSION,
        octosync_version=about.octosync_version,
        timestamp=utc_text(about.timestamp),
        errored=plan.errored,
        control_plane=control_plane_part(about.control_plane),
        invocation=_invocation(about.invocation),
        manifests=_manifests(about.manifests),
        scope=_scope(plan),
        overrides=[schema.OverrideDocument(guard=o.guard, value=o.value, source=o.source) for o in overrides],
        resource_changes=[],
        blocked=[blocked_row(refusal, about) for refusal in blocked],
        **_given(policies=[_policy_row(result) for result in plan.policies]),
        recommendations=[recommendation_row(recommendation) for recommendation in plan.recommendations],
        diagnostics=[diagnostic_row(diagnostic) for diagnostic in all_diagnostics(plan, diagnostics)],
        errors=[error_row(error, app=slug) for slug, error in sorted(plan.errors.items())],
        fingerprints=_fingerprints(plan, scheme, {*not_covered}),
        fingerprinting=schema.FingerprintingDocument(
            key_check=scheme.key_check,
            not_covered=_texts(not_covered),
            **_given(declared=_declared_secrets(plan, scheme)),
        ),
        cost=schema.CostDocument(
            requests_used=plan.requests_used,
            requests_to_apply=plan.requests_to_apply,
            seconds_at_rate_limit=about.seconds_to_apply(plan, reads=True),
        ),
        summary=summary_part(plan),
        **_given(
            pending=_pending(plan, about.last_applied, contract, sensitivity),
            shared_state=None
            if about.shared is None
            else shared_state_part(about.shared, plan.controls.holds.values()),
        ),
    )
    return {**document.as_json(), "resource_changes": ChangeRows(plan, contract, sensitivity, full=full)}


def _policy_row(result: PolicyResult) -> schema.PolicyDocument:
    return schema.PolicyDocument(
        name=result.policy.name,
        severity=result.policy.severity.value,
        outcome=result.outcome,
        judged=result.judged,
        violations=_texts(found.address for found in result.findings),
        problem=result.problems[0].problem if result.problems else None,
    )


def plan_digest(plan: Plan, contract: Contract, sensitivity: Sensitivity) -> str:
    """Return the digest of what a plan changes, without sensitive values: equal for plans with the same changes.

    It covers the address, the operation and the values of each row of a document: a plan file is enough to compute it.
    """
    rows = change_rows(replace(plan, held=()), contract, sensitivity, full=False)
    return digest_of(
        [
            [row[key] for key in ("address", "operation")] + [row["change"][key] for key in ("before", "after")]
            for row in rows
        ]
    )


def way_out_of(blocked: Refusal, about: RunInfo) -> str | None:
    """Return what resolves a refusal besides its flag, with the command that shows when, exactly as to be typed."""
    if blocked.way_out is None or blocked.look_at is None:
        return blocked.way_out
    return f"{blocked.way_out}: {about.status_command(blocked.look_at)}"


def trailer_of(blocked: Refusal, about: RunInfo) -> str | None:
    """Return the line of a commit that allows what a guard refuses; None where no commit can."""
    guard = guard_of(blocked.guard)
    if blocked.override is None or guard is None or guard.id not in about.trailers:
        return None
    _, _, value = blocked.override.partition(" ")
    return f"Octosync-Allow: {blocked.guard}{f'={value}' if guard.counts else ''}"


def diagnostic_row(diagnostic: Diagnostic) -> schema.DiagnosticDocument:
    """Return a diagnostic, without its source line."""
    return schema.DiagnosticDocument(
        severity=diagnostic.severity.value,
        rule=diagnostic.rule,
        summary=diagnostic.summary,
        range=_range(diagnostic.origin),
        **_given(path=diagnostic.path, suggestion=diagnostic.suggestion, notes=list(diagnostic.notes)),
    )


def control_plane_part(plane: ControlPlane) -> schema.ControlPlaneDocument:
    """Return the control plane."""
    return schema.ControlPlaneDocument(url=plane.public_url, org_id=plane.org_id, context=plane.context)


def _invocation(invocation: Invocation) -> schema.InvocationDocument:
    fields = {name: getattr(invocation, name) for name in schema.InvocationDocument.model_fields if name != "objects"}
    lists = {"paths": list(invocation.paths), "apps": list(invocation.apps)}
    return schema.InvocationDocument(**{**fields, **lists, **_given(objects=list(invocation.objects))})


def _manifests(manifests: ManifestSet) -> schema.ManifestsDocument:
    git = manifests.git
    return schema.ManifestsDocument(
        digest=manifests.digest,
        files=manifests.files,
        apps=manifests.apps,
        git=None if git is None else schema.GitDocument(revision=git.revision, dirty=git.dirty, base=git.base),
    )


def uncovered(plan: Plan, scheme: FingerprintScheme) -> tuple[Address, ...]:
    """Return the objects with sensitive values. The document can't show whether such a value changed."""
    live = {address for address, found in plan.fingerprints.items() if scheme.leaves_out(found.content)}
    return tuple(sorted(live | {action.address for action in plan.shown if scheme.leaves_out(action.after)}))


def _fingerprints(plan: Plan, scheme: FingerprintScheme, not_covered: Collection[Address]) -> dict[str, str]:
    found = plan.fingerprints
    addresses = sorted(found, key=attrgetter("sort_key"))
    if scheme.key is None and not not_covered:
        return {str(address): str(found[address]) for address in addresses}
    return {
        str(address): scheme.shown(found[address])
        if scheme.key is not None or address in not_covered
        else str(found[address])  # the same, without a search for sensitive values
        for address in addresses
    }


def _declared_secrets(plan: Plan, scheme: FingerprintScheme) -> dict[str, str]:
    """Return the HMACs of planned values with sensitive ones, by address: rows don't show these. Empty without a key."""
    if scheme.key is None:
        return {}
    return {
        str(action.address): scheme.digest(action.after)
        for action in sorted(plan.shown, key=lambda action: action.address.sort_key)
        if scheme.sensitivity.occurs_in(action.after)
    }


def _scope(plan: Plan) -> schema.ScopeDocument:
    left_alone = plan.left_alone
    return schema.ScopeDocument(
        apps=list(plan.apps),
        sections={section.value: count for section, count in plan.sections.items()},
        left_alone=schema.LeftAloneDocument(
            orphan_apps=list(left_alone.orphan_apps),
            unmanaged_apps=left_alone.unmanaged_apps,
            suspended=list(left_alone.suspended),
            stale=_texts(left_alone.stale),
            released=_texts(left_alone.released),
            held=_texts(held.action.address for held in plan.held),
            unknown_targets=_texts(left_alone.unknown_targets),
            undeclared_deployments=_texts(left_alone.undeclared_deployments),
            rolled_back=_texts(left_alone.rolled_back),
            **_given(not_approved=list(left_alone.not_approved)),
        ),
    )


def summary_part(plan: Plan) -> schema.SummaryDocument:
    """Return the number of changes of each kind."""
    verbs = Counter(action.verb for action in plan.actions)
    counts = {verb.value: verbs[verb] for verb in Verb}
    return schema.SummaryDocument(**counts, held=len(plan.held), unchanged=len(plan.unchanged))


def _pending(
    plan: Plan, last: LastAppliedRevision | None, contract: Contract, sensitivity: Sensitivity
) -> schema.PendingDocument | None:
    if last is None:
        return None
    actions = plan.pending.actions if plan.pending is not None else ()
    verbs = [action.verb.value for action in actions]
    return schema.PendingDocument(
        applied=last.revision,
        attempted=list(last.attempted),
        commits=[schema.CommitDocument(revision=commit.id, subject=commit.subject) for commit in last.commits],
        resource_changes=[
            schema.ResourceChangeDocument.model_validate(_row(action, None, None, contract, sensitivity))
            for action in sorted(actions, key=_row_order)
        ],
        apps_not_read=list(last.elsewhere),
        summary=schema.PendingSummaryDocument(
            **{name: verbs.count(name) for name in schema.PendingSummaryDocument.model_fields}
        ),
    )


def shared_state_part(shared: SharedState, holds: Iterable[Hold]) -> schema.SharedStateDocument:
    """Return what a shared state contains; `holds` are those of the apps that the document is about."""
    run, suspension = shared.under_way, shared.controls.suspension
    return schema.SharedStateDocument(
        location=shared.location,
        run_under_way=None
        if run is None
        else schema.RunUnderWayDocument(
            run=run.run,
            actor=run.actor,
            host=run.host,
            revision=run.revision,
            since=utc_text(run.since),
        ),
        suspension=None
        if suspension is None
        else schema.SuspensionDocument(at=utc_text(suspension.at), reason=suspension.reason),
        holds=[
            schema.HoldDocument(app=hold.app, until=utc_text(hold.until), reason=hold.reason, at=utc_text(hold.at))
            for hold in holds
        ],
        error=None if shared.error is None else error_row(shared.error),
    )


def _row_order(action: Action) -> tuple[str, bool, object]:
    """Return the sort key of a row: by address, the archive of an app after its other changes."""
    return (action.address.app, action.verb is Verb.ARCHIVE, action.address.sort_key)


def error_row(error: OctosyncError, *, app: str | None = None) -> schema.ErrorDocument:
    """Return an error of an app, or of the whole run."""
    return schema.ErrorDocument(
        app=app,
        reference=error.reference,
        message=error.message,
        hints=list(error.hints),
        request_id=error.request_id if isinstance(error, RemoteError) else None,
    )


def blocked_row(blocked: Refusal, about: RunInfo | None) -> schema.BlockedDocument:
    """Return a guard's refusal and the ways to resolve it; without `about`, only those that need no command."""
    return schema.BlockedDocument(
        guard=blocked.guard,
        message=blocked.message,
        override=blocked.override,
        trailer=None if about is None else trailer_of(blocked, about),
        way_out=blocked.way_out if about is None else way_out_of(blocked, about),
        addresses=_texts(blocked.addresses),
    )


def change_rows(plan: Plan, contract: Contract, sensitivity: Sensitivity, *, full: bool) -> list[dict[str, Any]]:
    """Return the rows of a document."""
    return [*ChangeRows(plan, contract, sensitivity, full=full).as_json()]


class ChangeRows:
    """The rows by address, the archive of an app after its other changes.

    A row has the fields of `ResourceChangeDocument`. It is made without the model, which takes several times as long. This is
    no dataclass: pydantic would write the fields of one.
    """

    __slots__ = ("_contract", "_full", "_plan", "_sensitivity")

    def __init__(self, plan: Plan, contract: Contract, sensitivity: Sensitivity, *, full: bool) -> None:
        self._plan = plan
        self._contract = contract
        self._sensitivity = sensitivity
        self._full = full

    def as_json(self) -> Iterator[dict[str, Any]]:
        """Yield the rows. To make one while the one before is written takes a third less than to make all of them first."""
        plan, rows = self._plan, list[tuple[tuple[str, bool, object], Action | Address, HeldChange | None]]()
        rows += [(_row_order(action), action, None) for action in plan.actions]
        rows += ((_row_order(held.action), held.action, held) for held in plan.held)
        if self._full:
            rows += (((address.app, False, address.sort_key), address, None) for address in plan.unchanged)
        for _, shown, held in sorted(rows, key=itemgetter(0)):
            if isinstance(shown, Address):
                yield _no_op_row(shown, plan.desired.apps[shown.app], self._sensitivity)
            else:
                yield _row(shown, held, plan.last_changes.get(shown.address), self._contract, self._sensitivity)


def _row(
    action: Action,
    held: HeldChange | None,
    last_change: LastChange | None,
    contract: Contract,
    sensitivity: Sensitivity,
) -> dict[str, Any]:
    operation, address, preview = contract.operations[action.operation], action.address, _preview(action)
    return {
        "address": str(address),
        "app": address.app,
        "type": address.kind.value,
        "name": address.name,
        "labels": _value(action.labels, sensitivity),
        "change": {
            "actions": [action.verb.value],
            "before": _value(action.before, sensitivity),
            "after": _value(action.after, sensitivity),
            "fields": [_field(change, sensitivity) for change in shown_changes(action.fields, sensitivity)],
        },
        "action_reason": action.reason.value,
        "drift": _last_change(last_change).as_json() if last_change is not None and needs_author(action) else None,
        "held_until": utc_text(held.until) if held is not None and held.until is not None else None,
        **(_given(held=held.until is None) if held is not None else {}),  # no run of plan or apply has such a row
        "operation": {
            "id": operation.id,
            "method": operation.method,
            "path": operation.shown_url(action.parameters),
        },
        "preview": None if preview is None else preview.as_json(),
        "depends_on": _texts(sorted({key.address for key in action.depends_on})) if action.depends_on else [],
        "destructive": action.destructive,
        "source": _source(action.origin),
    }


def _no_op_row(address: Address, app: App, sensitivity: Sensitivity) -> dict[str, Any]:
    # Live has what is declared: that is what makes it a no-op, and the part of the object that such a row shows.
    declared, origin = declared_of(address, app)
    value = _value(declared, sensitivity)
    return {
        "address": str(address),
        "app": address.app,
        "type": address.kind.value,
        "name": address.name,
        "labels": _value(app.labels, sensitivity),
        "change": {"actions": [NO_OP], "before": value, "after": value, "fields": []},
        "action_reason": None,
        "drift": None,
        "held_until": None,
        "operation": None,
        "preview": None,
        "depends_on": [],
        "destructive": False,
        "source": _source(origin),
    }


def _last_change(last: LastChange) -> schema.LastChangeDocument:
    event = last.event
    return schema.LastChangeDocument(
        actor=event.actor,
        at=None if event.at is None else utc_text(event.at),
        event=event.id,
        of="app" if last.of_app else "object",
    )


def _preview(action: Action) -> schema.PreviewDocument | None:
    """Return the orchestrator's preview of an action, or why there is none."""
    match action:
        case EnableCapability(preview=None, no_preview=why):
            return schema.PreviewDocument(variant=None, device_count=None, assignments=[], warnings=[], why=why)
        case EnableCapability(preview=Preview() as preview, preview_note=note):
            return schema.PreviewDocument(
                variant=preview.variant,
                reason=preview.reason,
                device_count=preview.devices,
                assignments=[
                    schema.AssignmentDocument(platform=assignment.platform, device_count=assignment.devices)
                    for assignment in preview.assignments
                ],
                warnings=list(preview.warnings),
                note=note or None,
            )
        case OptimizeCapability(suggested=suggested, check=check):
            return schema.PreviewDocument(
                variant=suggested, reason=check.reason, expected_improvement=_sorted(check.improvement)
            )
    return None


def recommendation_row(recommendation: Recommendation) -> schema.RecommendationDocument:
    """Return a better variant that is not rolled out."""
    return schema.RecommendationDocument(
        address=str(recommendation.address),
        current_variant=recommendation.current,
        suggested_variant=recommendation.suggested,
        expected_improvement=_sorted(recommendation.improvement),
        reason=recommendation.reason or None,
        waiting=recommendation.waiting or None,
    )


def utc_text(at: datetime) -> str:
    """Write a time to the second, in UTC: `2026-03-01T12:00:00Z`."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def declared_of(address: Address, app: App) -> tuple[JsonObject | None, Origin | None]:
    """Return what an app declares of one of its objects, and where; a pair of None for what it does not declare."""
    if address.kind is Kind.APP:
        return ({**app.fields, "archived": True} if app.archived else app.fields), app.origin
    for target in app.targets:
        if target.address == address:
            return {"platform": target.platform, "identifier": target.identifier}, target.origin
    for slot in app.slots:
        if slot.address == address:
            return slot.fields, slot.origin
        if slot.deploy is not None and address.kind is Kind.CAPABILITY and address.placement[0] == slot.capability:
            return {"environment": address.placement[1]}, slot.deploy.origin
    config = app.inference_config
    return (None, None) if config is None else (config.config, config.origin)


def _field(change: FieldChange, sensitivity: Sensitivity) -> dict[str, Any]:
    path = change.path
    old = None if isinstance(change.before, Absent) else change.before
    new = None if isinstance(change.after, Absent) else change.after
    if type(old) in _SCALARS and type(new) in _SCALARS and sensitivity.covers_none(path):  # most changes
        return {"path": list(path), "before": old, "after": new, "sensitive": False}
    hides_old, hides_new = sensitivity.hides_at(path, old), sensitivity.hides_at(path, new)
    return {
        "path": list(path),
        "before": None if hides_old else _value(old, sensitivity),
        "after": None if hides_new else _value(new, sensitivity),
        "sensitive": hides_old or hides_new or sensitivity.occurs_in(old) or sensitivity.occurs_in(new),
    }


def _value(value: JsonValue, sensitivity: Sensitivity) -> Any:  # noqa: ANN401  JSON, as in `_sorted`
    """Return a value without its sensitive parts. Keys are sorted at every depth: the control plane returns them in any order.

    A list or an object that has nothing to redact, to sort or to convert is returned itself, which takes half as long as a copy.
    """
    if type(value) in _SCALARS:
        return value
    if isinstance(value, _LISTS):
        if type(value) is list and _SCALARS.issuperset(map(type, value)):
            return value
        return [_value(item, sensitivity) for item in value]
    if isinstance(value, _OBJECTS):
        given = tuple(value)
        if (keys := sensitivity.sorted_keys(given)) is None:
            return _sorted(sensitivity.redact(value))
        if keys == given and type(value) is dict and _SCALARS.issuperset(map(type, value.values())):
            return value
        return {key: item if type(item := value[key]) in _SCALARS else _value(item, sensitivity) for key in keys}
    return str(value) if isinstance(value, UndisclosedValue) else value


_SCALARS: Final = frozenset({str, bool, int, float, type(None)})
_LISTS: Final = (list, tuple)
_OBJECTS: Final = (dict, Mapping)  # the check for a dictionary is fast, the one for a mapping is slow


def _sorted(value: Any) -> Any:  # noqa: ANN401  JSON in, the same JSON out
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [_sorted(item) for item in value]
    return value


def _texts(addresses: Iterable[Address]) -> list[str]:
    return [str(address) for address in addresses]


def _given(**fields: object) -> dict[str, Any]:
    """Return the fields that have a value; the document leaves out the others."""
    return {name: value for name, value in fields.items() if value}


def _source(origin: Origin | None) -> dict[str, Any] | None:
    return None if origin is None else {"file": origin.file, "line": origin.line, "column": origin.column}


def _range(origin: Origin | None) -> schema.RangeDocument | None:
    if origin is None:
        return None
    # Editors and annotations want a line, also for a file as a whole.
    return schema.RangeDocument(
        filename=origin.file, start=schema.StartDocument(line=origin.line or 1, column=origin.column)
    )
