"""The findings of a plan: what a reviewer should know beyond the changes, such as deployments that no API can stop.

`FINDINGS` lists every finding with its severity and meaning; the reference page is generated from it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from octosync.errors import RemoteError
from octosync.model import Address, Deployment, Diagnostic, Origin, Section, Severity, State
from octosync.plan.actions import Action, ArchiveApp, DeleteSlot, PutSlot, RegisterTarget, RemoveTarget
from octosync.plan.three_way.verdict import Base


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding of a plan: its id, its severity and its meaning."""

    id: str
    severity: Severity
    meaning: str


def _table(*findings: Finding) -> Mapping[str, Finding]:
    return MappingProxyType({found.id: found for found in findings})


_WARNING, _NOTICE = Severity.WARNING, Severity.NOTICE

FINDINGS: Final = _table(
    Finding(
        "archive-strands-identifiers",
        _WARNING,
        "An app is archived with targets: their identifiers stay taken permanently. The rule of the same name"
        " checks the manifest alone.",
    ),
    Finding(
        "target-held-elsewhere",
        _WARNING,
        "A target belongs to another live app, or belonged to it when a manifest last declared it: the "
        "control plane will reject its registration.",
    ),
    Finding(
        "move-waits",
        _WARNING,
        "A part of a move, or the archive of one of its apps, is skipped: the other app is suspended.",
    ),
    Finding(
        "undeclared-public-client",
        _WARNING,
        "A slot allows public clients, and the manifest doesn't declare it.",
    ),
    Finding(
        "rolled-back",
        _WARNING,
        "The deployment of a declared capability was rolled back: it is enabled again only with `--retry-rolled-back`.",
    ),
    Finding(
        "enable-differs-from-pin",
        _WARNING,
        "The manifest pins a variant, and the orchestrator would choose another one when the capability is enabled.",
    ),
    Finding(
        "preview-failed",
        _WARNING,
        "The preview of enabling a capability failed. The capability can still be enabled.",
    ),
    Finding(
        "optimizes-later",
        _NOTICE,
        "With `optimize: auto`, a better variant is known only after the capability is deployed and the "
        "targets are as declared: the next apply may start a canary, so its plan may not be empty.",
    ),
    Finding("check-failed", _WARNING, "The check for a better variant failed."),
    Finding(
        "allows-nothing",
        _WARNING,
        "The `Octosync-Allow` line of a commit names no guard that a commit can override, or lacks its number.",
    ),
    Finding(
        "policy-failed",
        Severity.ERROR,
        "The rule of a policy doesn't compile, is neither true nor false, or takes too long. What it judges is refused. For a "
        "policy with the severity warning, this is a warning.",
    ),
    Finding(
        "applied-not-merged",
        _WARNING,
        "The revision of `--applied` is not in the history of the base: the base was force-pushed, or was not fetched. What "
        "is pending may be incomplete.",
    ),
    Finding(
        "partial-plan",
        _WARNING,
        "Only the objects of `--target` are planned, with what they need. Other changes are left out.",
    ),
    Finding(
        "offline",
        _NOTICE,
        "The plan was made with --offline: it uses the base as live state, and doesn't know the actual live state.",
    ),
    Finding(
        "drift-not-held",
        _NOTICE,
        "The activity feed can't be read, so the age of a change on the control plane is unknown: it is "
        "reverted at once.",
    ),
    Finding(
        "app-on-hold",
        _NOTICE,
        "An operator holds the drift of an app, as the shared state shows: it is not reverted before the hold ends.",
    ),
    Finding(
        "run-under-way",
        _NOTICE,
        "Another run holds the lock of the control plane and org: it may change what this plan has read. Apply waits for it "
        "(`--lock-timeout`), and plans after it.",
    ),
    Finding(
        "state-not-read",
        _WARNING,
        "The shared state can't be read, so the plan doesn't show holds, a suspension, or a run that is under way. Apply needs "
        "the shared state, and stops before its first write without it.",
    ),
    Finding(
        "renamed-app",
        _NOTICE,
        "An app is pruned, and a new app has all its targets: model references to the old app become invalid.",
    ),
    Finding(
        "target-without-assignment",
        _NOTICE,
        "A target is added to an app with deployments: no API assigns existing deployments to its devices, "
        "only enabling does.",
    ),
    Finding(
        "deployment-keeps-its-variant",
        _NOTICE,
        "A slot pins another variant than the deployed one: no API changes the variant of an existing deployment.",
    ),
    Finding(
        "deployment-goes-on",
        _NOTICE,
        "The capability of a deleted slot is deployed: no API undeploys it, so the deployment continues.",
    ),
)


def finding(
    id_: str,
    about: Address,
    words: str,
    *,
    origin: Origin | None,
    notes: Iterable[str] = (),
    cause: RemoteError | None = None,
) -> Diagnostic:
    """Return a finding about an object. `notes` are what to do next; `cause` is the error that it results from.

    The message of an error names its request, so it is not part of the finding's subject.
    """
    subject = f"{about}: {words}"
    return Diagnostic(
        severity=FINDINGS[id_].severity,
        rule=id_,
        summary=subject if cause is None else f"{subject}: {_message_with_request(cause)}",
        subject="" if cause is None else subject,
        origin=origin,
        notes=(*notes, *(() if cause is None else cause.hints)),
    )


def _message_with_request(error: RemoteError) -> str:
    known = error.request_id is None or error.request_id in error.message
    return error.message if known else f"{error.message} (request {error.request_id})"


def notices_of(actions: Collection[Action], desired: State, live: State) -> Iterable[Diagnostic]:
    """Yield what the actions leave behind, and what is live and should be declared."""
    yield from _public_clients(actions, desired, live)
    yield from _stranded(actions, desired, live)
    yield from _beyond_reach(actions, live)


def renames(actions: Iterable[Action], tree: State, base: Base) -> Iterator[Diagnostic]:
    """Yield pruned apps that seem to continue under another name: model references to the old one end with it."""
    for action in actions:
        before = base.state.apps.get(action.address.app)
        if not isinstance(action, ArchiveApp) or before is None or action.address.app in tree.apps:
            continue
        keys = {target.unique_key for target in before.targets}
        for app in tree:
            if keys and app.slug not in base.state.apps and keys <= {target.unique_key for target in app.targets}:
                references = ", ".join(f"@app/{before.slug}/{slot.capability}" for slot in before.slots)
                yield finding(
                    "renamed-app",
                    action.address,
                    f"it continues as `{app.slug}`, which has its targets"
                    + (f"; these become invalid: {references}" if references else ""),
                    origin=app.origin,
                    notes=("Change these model references to the new app.",) if references else (),
                )


def _public_clients(actions: Collection[Action], desired: State, live: State) -> Iterable[Diagnostic]:
    # If a base declared it, the plan contains its removal.
    ended = {
        action.address
        for action in actions
        if isinstance(action, PutSlot) and action.after and action.after.get("public_client_allowed") is not True
    }
    for app in desired:
        there = live.apps.get(app.slug)
        allowing = {
            slot.capability
            for slot in (there.slots if there else ())
            if slot.fields.get("public_client_allowed") is True
        }
        for slot in app.slots if allowing else ():
            if slot.capability not in allowing or "public_client_allowed" in slot.fields or slot.address in ended:
                continue
            yield finding(
                "undeclared-public-client",
                slot.address,
                "public clients are allowed live, but the manifest does not declare it",
                origin=slot.origin,
                notes=("Declare `publicClientAllowed: true` to keep it, or `false` to end it.",),
            )


def _stranded(actions: Collection[Action], desired: State, live: State) -> Iterable[Diagnostic]:
    leaving = {action.address for action in actions if isinstance(action, RemoveTarget)}
    for action in actions:
        if not isinstance(action, ArchiveApp):
            continue
        app, there = desired.apps[action.address.app], live.apps[action.address.app]
        kept = sorted({target.address for target in (*there.targets, *app.targets)} - leaving)
        if Section.TARGETS in there.complete_sections and not kept:
            continue
        names = f": {', '.join(address.name for address in kept)}" if kept else ""
        yield finding(
            "archive-strands-identifiers",
            action.address,
            f"once it is archived, its targets stay taken permanently{names}",
            origin=action.origin,
            notes=("Declare `targets: []` beside `archived: true` to free them.",),
        )


def _beyond_reach(actions: Iterable[Action], live: State) -> Iterable[Diagnostic]:
    """Yield what no API can do: assign a target to existing deployments, change their variant, undeploy a deleted slot."""
    for action in actions:
        there = live.apps.get(action.address.app)
        running = [deployment for deployment in (there.deployments if there else ()) if deployment.live]
        match action:
            case RegisterTarget() if running:
                yield finding(
                    "target-without-assignment",
                    action.address,
                    f"not assigned to existing deployments: {_placements(running)}",
                    origin=action.origin,
                    notes=(
                        "Enabling assigns the devices of targets that are registered at that time; no API assigns later ones.",
                        "To assign it, roll the deployment back in Octomil, then apply with --retry-rolled-back.",
                    ),
                )
            case PutSlot(address=address, declared={"model_variant_id": str(pin)}):
                others = [
                    deployment
                    for deployment in running
                    if deployment.capability == address.name and deployment.variant not in {pin, None}
                ]
                if others:
                    yield finding(
                        "deployment-keeps-its-variant",
                        address,
                        f"{pin} is pinned, but existing deployments keep their variant: {_variants(others)}",
                        origin=action.origin,
                        notes=("New deployments use the pin. Only Octomil can change a running one.",),
                    )
            case DeleteSlot(address=address):
                left = [deployment for deployment in running if deployment.capability == address.name]
                if left:
                    yield finding(
                        "deployment-goes-on",
                        address,
                        f"its deployment continues: {_placements(left)}",
                        origin=action.origin,
                        notes=("There is no API to undeploy; to stop it, roll it back in Octomil.",),
                    )


def _placements(deployments: Iterable[Deployment]) -> str:
    return ", ".join(dict.fromkeys(deployment.address.name for deployment in deployments))


def _variants(deployments: Iterable[Deployment]) -> str:
    return ", ".join(dict.fromkeys(f"{deployment.address.name} {deployment.variant}" for deployment in deployments))
