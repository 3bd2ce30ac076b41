"""The plan as a JSON document: what tools read, what `--plan-out` writes and what an approval approves.

Names are Terraform's where the meaning is the same. `format_version`: a new minor adds keys, a new major changes them.
Sensitive values are `null` in it, so that it can be stored and posted anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from octosync.contract import Contract
from octosync.errors import RemoteError
from octosync.model import (
    Address,
    App,
    Diagnostic,
    JsonObject,
    JsonValue,
    Kind,
    Origin,
    Preview,
    Reason,
    Sensitivity,
)
from octosync.plan.about import RunInfo
from octosync.plan.actions import Absent, Action, EnableCapability, FieldChange, OptimizeCapability, Verb
from octosync.plan.authors import LastChange, needs_author
from octosync.plan.diff import shown_changes
from octosync.plan.fingerprint import Fingerprinting, content_of
from octosync.plan.guards.checks import Override
from octosync.plan.guards.refusal import Refusal
from octosync.plan.holding import Held
from octosync.plan.optimizing import Recommendation
from octosync.plan.plan import Plan

FORMAT_VERSION: Final = "1.0"
NO_OP: Final = "no-op"
# What the manifests alone can only suspect.
RULES_OF_PLANS: Final = frozenset({"archive-strands-identifiers"})


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
) -> JsonObject:
    """Return the whole document; every key is always there.

    `diagnostics` are those of the manifests: the plan's own are in it anyway, and none appears twice. `full` adds a row for
    each object that is as declared.
    """
    return {
        "format_version": FORMAT_VERSION,
        "octosync_version": about.octosync_version,
        "timestamp": utc_text(about.timestamp),
        "errored": plan.errored,
        **_about(about),
        "scope": _scope(plan),
        "overrides": [{"guard": o.guard, "value": o.value, "source": o.source} for o in overrides],
        "resource_changes": list(change_rows(plan, contract, sensitivity, full=full)),
        "blocked": [blocked_row(one, about) for one in blocked],
        "recommendations": [recommendation_row(one) for one in plan.recommendations],
        "diagnostics": [diagnostic_document(one) for one in all_diagnostics(plan, diagnostics)],
        "errors": list(_errors(plan)),
        **_fingerprints(plan, Fingerprinting(sensitivity, about.plan_key)),
        "cost": {
            "requests_used": plan.requests_used,
            "requests_to_apply": plan.requests_to_apply,
            "seconds_at_rate_limit": about.seconds_for(plan.requests_to_apply),
        },
        "summary": _summary(plan),
    }


def all_diagnostics(plan: Plan, others: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Return the plan's own diagnostics and the manifests' (`others`), each once, by place.

    Where both have a rule, the plan knows better: it has seen what is live.
    """
    unique = dict.fromkeys((*(one for one in others if one.rule not in RULES_OF_PLANS), *plan.diagnostics))
    return tuple(sorted(unique, key=lambda diagnostic: diagnostic.sort_key))


def way_out_of(blocked: Refusal, about: RunInfo) -> str | None:
    """Say what helps against a refusal beside its flag, with the command that tells when, exactly as to be typed."""
    if blocked.way_out is None or blocked.look_at is None:
        return blocked.way_out
    return f"{blocked.way_out}: {about.status_command(blocked.look_at)}"


def trailer_of(blocked: Refusal, about: RunInfo) -> str | None:
    """Return the line of a commit that allows what a guard refuses; None where no commit can."""
    if blocked.override is None or blocked.guard not in about.trailers:
        return None
    _, _, value = blocked.override.partition(" ")
    return f"Octosync-Allow: {blocked.guard}{f'={value}' if value else ''}"


def diagnostic_document(diagnostic: Diagnostic) -> JsonObject:
    """Return one diagnostic as JSON; `range` is null where it has no place, and the source line is never in it."""
    document: dict[str, JsonValue] = {
        "severity": diagnostic.severity.value,
        "rule": diagnostic.rule,
        "summary": diagnostic.summary,
        "range": _range(diagnostic.origin),
    }
    if diagnostic.path:
        document["path"] = diagnostic.path
    if diagnostic.suggestion is not None:
        document["suggestion"] = diagnostic.suggestion
    if diagnostic.notes:
        document["notes"] = list(diagnostic.notes)
    return document


def _about(about: RunInfo) -> JsonObject:
    plane, asked, manifests = about.control_plane, about.invocation, about.manifests
    git = manifests.git
    return {
        "control_plane": {"url": plane.public_url, "org_id": plane.org_id, "context": plane.context},
        "invocation": {
            "paths": list(asked.paths),
            "kustomize": asked.kustomize,
            "apps": list(asked.apps),
            "selector": asked.selector,
            "base": asked.base,
            "changed_only": asked.changed_only,
            "optimize": asked.optimize,
            "previews": asked.previews,
        },
        "manifests": {
            "digest": manifests.digest,
            "files": manifests.files,
            "apps": manifests.apps,
            "git": None if git is None else {"revision": git.revision, "dirty": git.dirty, "base": git.base},
        },
    }


def _fingerprints(plan: Plan, made: Fingerprinting) -> JsonObject:
    """Return the fingerprints, and the objects with sensitive values that they don't cover."""
    return {
        "fingerprints": {str(address): made.shown(found) for address, found in sorted(plan.fingerprints.items())},
        "fingerprinting": {"key_check": made.key_check, "not_covered": list(map(str, uncovered(plan, made)))},
    }


def uncovered(plan: Plan, made: Fingerprinting) -> tuple[Address, ...]:
    """Return the objects with sensitive values, live or declared, of which a document can't tell another value."""
    live = {address for address, found in plan.fingerprints.items() if made.leaves_out(content_of(found))}
    return tuple(sorted(live | {action.address for action in plan.shown if made.leaves_out(action.after)}))


def _scope(plan: Plan) -> JsonObject:
    left_alone = plan.left_alone
    return {
        "apps": list(plan.apps),
        "sections": {section.value: count for section, count in plan.sections.items()},
        "left_alone": {
            "orphan_apps": list(left_alone.orphan_apps),
            "unmanaged_apps": left_alone.unmanaged_apps,
            "suspended": list(left_alone.suspended),
            "stale": [str(address) for address in left_alone.stale],
            "released": [str(address) for address in left_alone.released],
            "held": [str(one.action.address) for one in plan.held],
            "unknown_targets": [str(address) for address in left_alone.unknown_targets],
            "undeclared_deployments": [str(address) for address in left_alone.undeclared_deployments],
            "rolled_back": [str(address) for address in left_alone.rolled_back],
        },
    }


def _summary(plan: Plan) -> JsonObject:
    verbs = (Verb.CREATE, Verb.UPDATE, Verb.DELETE, Verb.ENABLE, Verb.OPTIMIZE, Verb.ARCHIVE)
    return {
        **{verb.value: plan.count(verb) for verb in verbs},
        "held": len(plan.held),
        "unchanged": len(plan.unchanged),
    }


def _errors(plan: Plan) -> Iterator[JsonObject]:
    for slug, error in sorted(plan.errors.items()):
        yield {
            "app": slug,
            "reference": error.reference,
            "message": error.message,
            "hints": list(error.hints),
            "request_id": error.request_id if isinstance(error, RemoteError) else None,
        }


def blocked_row(blocked: Refusal, about: RunInfo) -> JsonObject:
    """Return what a guard refuses, with the ways out."""
    return {
        "guard": blocked.guard,
        "message": blocked.message,
        "override": blocked.override,
        "trailer": trailer_of(blocked, about),
        "way_out": way_out_of(blocked, about),
        "addresses": [str(address) for address in blocked.addresses],
    }


def change_rows(plan: Plan, contract: Contract, sensitivity: Sensitivity, *, full: bool) -> Iterator[JsonObject]:
    """Yield the rows in people's order: by address, an app's archive after everything else of it."""
    rows = [
        (
            action.address.app,
            action.verb is Verb.ARCHIVE,
            action.address.sort_key,
            _row(
                action,
                contract,
                sensitivity,
                plan.last_changes.get(action.address) if needs_author(action) else None,
                held,
            ),
        )
        for action, held in (
            *((action, None) for action in plan.actions),
            *((one.action, one) for one in plan.held),
        )
    ]
    if full:
        rows.extend(
            (address.app, False, address.sort_key, _no_op_row(address, plan.desired.apps[address.app], sensitivity))
            for address in plan.unchanged
        )
    for *_, row in sorted(rows, key=lambda row: row[:3]):
        yield row


def _row(
    action: Action, contract: Contract, sensitivity: Sensitivity, last: LastChange | None, held: Held | None
) -> JsonObject:
    operation = contract.operations[action.operation]
    return _resource_change(
        action.address,
        labels=sensitivity.redact(action.labels),
        change={
            "actions": [action.verb.value],
            "before": _value(action.before, sensitivity),
            "after": _value(action.after, sensitivity),
            "fields": [_field(change, sensitivity) for change in shown_changes(action.fields, sensitivity)],
        },
        reason=action.reason,
        operation={"id": operation.id, "method": operation.method, "path": operation.shown_url(action.parameters)},
        depends_on=[str(address) for address in sorted({key.address for key in action.depends_on})],
        destructive=action.destructive,
        origin=action.origin,
        last_change=None if last is None else _last_change(last),
        preview=_preview(action),
        held=held,
    )


def _last_change(last: LastChange) -> JsonObject:
    event = last.event
    return {
        "actor": event.actor,
        "at": None if event.at is None else utc_text(event.at),
        "event": event.id,
        "of": "app" if last.of_app else "object",
    }


def _preview(action: Action) -> JsonObject | None:
    """Return what the orchestrator says of an action: for what does not exist yet, or was not asked, why it says nothing."""
    match action:
        case EnableCapability(preview=None, no_preview=why):
            return {"variant": None, "device_count": None, "assignments": [], "warnings": [], "why": why}
        case EnableCapability(preview=Preview() as preview, preview_note=note):
            return {
                "variant": preview.variant,
                "reason": preview.reason,
                "device_count": preview.devices,
                "assignments": [{"platform": one.platform, "device_count": one.devices} for one in preview.assignments],
                "warnings": list(preview.warnings),
                "note": note or None,
            }
        case OptimizeCapability(suggested=suggested, check=check):
            return {
                "variant": suggested,
                "reason": check.reason,
                "expected_improvement": _sorted(check.improvement),
            }
    return None


def recommendation_row(one: Recommendation) -> JsonObject:
    """Return a better variant that is not rolled out."""
    return {
        "address": str(one.address),
        "current_variant": one.current,
        "suggested_variant": one.suggested,
        "expected_improvement": _sorted(one.improvement),
        "reason": one.reason or None,
        "waiting": one.waiting or None,
    }


def utc_text(at: datetime) -> str:
    """Write a time to the second, in UTC: `2026-03-01T12:00:00Z`."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _no_op_row(address: Address, app: App, sensitivity: Sensitivity) -> JsonObject:
    # Live has what is declared: that is what makes it a no-op, and the part of the object that such a row shows.
    declared, origin = declared_of(address, app)
    value = _value(declared, sensitivity)
    return _resource_change(
        address,
        labels=sensitivity.redact(app.labels),
        change={"actions": [NO_OP], "before": value, "after": value, "fields": []},
        reason=None,
        operation=None,
        depends_on=[],
        destructive=False,
        origin=origin,
    )


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


def _resource_change(
    address: Address,
    *,
    labels: JsonValue,
    change: JsonObject,
    reason: Reason | None,
    operation: JsonObject | None,
    depends_on: list[str],
    destructive: bool,
    origin: Origin | None,
    last_change: JsonObject | None = None,
    preview: JsonObject | None = None,
    held: Held | None = None,
) -> JsonObject:
    return {
        "address": str(address),
        "app": address.app,
        "type": address.kind.value,
        "name": address.name,
        "labels": _sorted(labels),
        "change": change,
        "action_reason": None if reason is None else reason.value,
        "drift": last_change,
        "held_until": None if held is None or held.until is None else utc_text(held.until),
        **({"held": True} if held is not None and held.until is None else {}),  # no run of plan or apply has such a row
        "operation": operation,
        "preview": preview,
        "depends_on": depends_on,
        "destructive": destructive,
        "source": None if origin is None else {"file": origin.file, "line": origin.line, "column": origin.column},
    }


def _field(change: FieldChange, sensitivity: Sensitivity) -> JsonObject:
    sides = [None if isinstance(value, Absent) else value for value in (change.before, change.after)]
    hidden = [sensitivity.hides_at(change.path, side) for side in sides]
    before, after = (None if hides else _value(side, sensitivity) for hides, side in zip(hidden, sides, strict=True))
    return {
        "path": list(change.path),
        "before": before,
        "after": after,
        "sensitive": any(hidden) or any(map(sensitivity.occurs_in, sides)),
    }


def _value(value: JsonValue, sensitivity: Sensitivity) -> JsonValue:
    return _sorted(sensitivity.redact(value))


def _sorted(value: JsonValue) -> JsonValue:
    """Sort the keys at every depth: what the control plane answers comes in any order."""
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [_sorted(item) for item in value]
    return value


def _range(origin: Origin | None) -> JsonValue:
    if origin is None:
        return None
    # Editors and annotations want a line, also for a file as a whole.
    return {"filename": origin.file, "start": {"line": origin.line or 1, "column": origin.column}}
