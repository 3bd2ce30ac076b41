"""The writer sends one action and determines its outcome.

read (if the last read is old) ─ changed → stale
  └─ send ─ rejected → failed, or awaiting approval
       ├─ accepted → compare with what was sent → done, or not persisted
       └─ response lost → read: as declared → done · as before → send again · otherwise → stale
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from octosync.apply.verify import (
    ObjectReader,
    ObjectState,
    carried,
    describe,
    fields_in,
    is_deletion,
    unpersisted_fields,
)
from octosync.errors import (
    AwaitingApproval,
    Conflict,
    ErrorResponse,
    LeaseLost,
    Missing,
    OctosyncError,
    RemoteError,
    Unreadable,
)
from octosync.model import JsonObject, Outcome, Sensitivity, Status
from octosync.octomil import ApiResponse, Octomil, RequestNotPermitted, Reservation
from octosync.plan import Action, CreateApp, EnableCapability, OptimizeCapability, PutSlot, RegisterTarget

_ATTEMPTS = 3
# Temporary failures, although the control plane was available.
_PASSING = frozenset({"no-time-to-write", "outcome-unknown", "outcome-unproved"})
_AS_DECLARED = "it was already as declared"
_GONE = "it was already gone"
_TOOK_EFFECT = "the response was lost; a read shows that the write took effect"


@dataclass(frozen=True, slots=True)
class WriteResult:
    """The outcome of an action, and its error if it failed.

    `wrote` is set if the action changed something, or may have. `kept` is False if the control plane accepted the write but
    persisted something else.
    """

    outcome: Outcome
    error: OctosyncError | None = None
    wrote: bool = False
    kept: bool = True


@dataclass(slots=True)
class ActionWriter:
    """Sends single actions and determines their outcome."""

    remote: Octomil
    reader: ObjectReader
    sensitivity: Sensitivity
    # Per operation, the declared fields that its responses omit although they are persisted.
    _silent: dict[str, set[str]] = field(default_factory=dict)

    async def recheck(self, action: Action, within: Reservation) -> WriteResult | None:
        """Read the object again if its last read is old. Return None if the action may be sent."""
        try:
            seen = await self.reader.read_if_old(action, within)
        except RemoteError as error:
            return _result(action, Status.FAILED, [], error=error)
        if seen is None or seen.unchanged:
            return None
        if not any(unpersisted_fields(action, seen.fields)):
            return _result(action, Status.DONE, [], _GONE if is_deletion(action) else _AS_DECLARED)
        return _stale(action, [])

    async def send(self, action: Action, *, proving: bool, within: Reservation) -> WriteResult:
        """Send one action. `proving` is set if the run has not yet seen all its fields persisted."""
        ids: list[str] = []
        attempt, withheld = 1, 0
        while True:
            try:
                response = await self.remote.call(
                    action.operation,
                    action.parameters,
                    body=action.body,
                    within=within,
                    may_send=partial(self.reader.is_fresh, action),
                )
            except RequestNotPermitted:
                withheld += 1
                if (found := await self._recheck_late(action, last=withheld == _ATTEMPTS)) is not None:
                    return found
                continue
            except LeaseLost as error:
                status = Status.NOT_ATTEMPTED if attempt == 1 else Status.FAILED
                return _result(action, status, ids, error=error, wrote=attempt > 1)
            except RemoteError as error:
                _add(ids, error.request_id)
                if (performed := await self._after(error, action, ids, attempt)) is not None:
                    return performed
            else:
                for request_id in response.request_ids:
                    _add(ids, request_id)
                return await self._compare_response(action, response, ids, proving=proving)
            await asyncio.sleep(self.remote.backoff.draw(attempt))
            attempt += 1
            within = Reservation()  # the rest of the first reservation belongs to the other half of a move

    async def _recheck_late(self, action: Action, *, last: bool) -> WriteResult | None:
        """Read the object once more after a long wait. Return None if the action may be sent."""
        if last:
            return _result(action, Status.FAILED, [], error=_no_time_to_write())
        return await self.recheck(action, Reservation())

    async def _after(self, error: RemoteError, action: Action, ids: list[str], attempt: int) -> WriteResult | None:
        """Return the result of a failed request, or None if it had no effect and may be sent again."""
        if isinstance(error, AwaitingApproval):
            return _result(action, Status.AWAITING_APPROVAL, ids, error=error)
        try:
            if isinstance(error, Missing) and is_deletion(action):
                return await self._read_after_404(error, action, ids, attempt)
            if isinstance(error, Conflict):
                return await self._read_after_409(error, action, ids, attempt)
            if error.sent:
                return await self._read_after_loss(error, action, ids, attempt)
            if attempt > 1:
                return await self._read_after_rejection(error, action, ids)
        except RemoteError as unread:
            return _result(action, Status.FAILED, ids, error=_unknown(error, unread), wrote=True)
        return _result(action, Status.FAILED, ids, error=_with_way_out(error, action, self.sensitivity))

    async def _read_after_loss(
        self, lost: RemoteError, action: Action, ids: list[str], attempt: int
    ) -> WriteResult | None:
        """Read what a write did whose response was lost."""
        seen = await self.reader.read_now(action)
        if not any(unpersisted_fields(action, seen.fields)):
            return _result(action, Status.DONE, ids, _TOOK_EFFECT, wrote=True)
        if not seen.unchanged:
            return _changed_meanwhile(action, seen, ids, wrote=True)
        return _result(action, Status.FAILED, ids, error=lost) if attempt == _ATTEMPTS else None

    async def _read_after_404(self, error: Missing, action: Action, ids: list[str], attempt: int) -> WriteResult:
        """Read whether the object is gone after a 404 to a removal; a wrong path gives a 404, too."""
        seen = await self.reader.read_now(action)
        if seen.fields is None:
            return _result(action, Status.DONE, ids, _GONE, wrote=attempt > 1)
        if attempt > 1:
            return _result(action, Status.FAILED, ids, error=_unconfirmed(error), wrote=True)
        return _result(action, Status.FAILED, ids, error=_not_removed(error, action))

    async def _read_after_409(self, error: Conflict, action: Action, ids: list[str], attempt: int) -> WriteResult:
        """Read whether a 409 means that the action is already done; otherwise name the app that holds the target."""
        holder = error.details.get("app_slug") if isinstance(error.details, Mapping) else None
        if isinstance(action, RegisterTarget) and isinstance(holder, str) and holder != action.address.app:
            return _result(action, Status.FAILED, ids, error=_held_by(holder, error))
        seen = await self.reader.read_now(action)
        if not any(unpersisted_fields(action, seen.fields)) or (
            isinstance(action, RegisterTarget) and _is_own(action, error)
        ):
            return _result(action, Status.DONE, ids, _AS_DECLARED, wrote=attempt > 1)
        if not seen.unchanged:
            return _changed_meanwhile(action, seen, ids, wrote=attempt > 1)
        if attempt > 1:  # reads may lag behind
            return _result(action, Status.FAILED, ids, error=_unconfirmed(error), wrote=True)
        if isinstance(action, RegisterTarget) and holder is None:
            return _result(action, Status.FAILED, ids, error=_held_by(None, error))
        return _result(action, Status.FAILED, ids, error=error)

    async def _read_after_rejection(self, error: RemoteError, action: Action, ids: list[str]) -> WriteResult:
        """Read what an attempt did whose response was lost, after a later attempt was rejected."""
        seen = await self.reader.read_now(action)
        if not any(unpersisted_fields(action, seen.fields)):
            return _result(action, Status.DONE, ids, _TOOK_EFFECT, wrote=True)
        if not seen.unchanged:
            return _changed_meanwhile(action, seen, ids, wrote=True)
        return _result(
            action, Status.FAILED, ids, error=_unconfirmed(_with_way_out(error, action, self.sensitivity)), wrote=True
        )

    async def _compare_response(
        self, action: Action, response: ApiResponse, ids: list[str], *, proving: bool
    ) -> WriteResult:
        self.reader.wrote(action, response.sent_at)
        if isinstance(action, CreateApp) and (stranger := self._wrong_org(response)) is not None:
            return _result(action, Status.FAILED, ids, error=stranger, wrote=True)
        fields = fields_in(action, response.body, self.remote.contract)
        silent = self._silent.setdefault(action.operation, set())
        if fields is None:
            if not proving and "model_variant_id" not in _asked_of_orchestrator(action):
                return _result(action, Status.DONE, ids, wrote=True)
        elif all(change.path[0] in silent - fields.keys() for change in unpersisted_fields(action, fields)):
            return _result(action, Status.DONE, ids, wrote=True)
        # A field that the response omits or shows otherwise may still be persisted: only a read shows it.
        try:
            seen = await self.reader.read_now(action)
        except RemoteError as error:
            return _result(action, Status.FAILED, ids, error=_unproved(error), wrote=True)
        lost = next(unpersisted_fields(action, seen.fields), None)
        if lost is None:
            silent.update(name for name in action.declared if fields is not None and name not in fields)
            return _result(action, Status.DONE, ids, wrote=True)
        if (mismatch := _other_variant(action, seen.fields)) is not None:
            return replace(_result(action, Status.FAILED, ids, error=mismatch, wrote=True), kept=False)
        request = f", request {ids[-1]}" if ids else ""
        return _result(
            action,
            Status.NOT_KEPT,
            ids,
            reason=OctosyncError(
                "not-kept",
                f"the control plane accepted it ({action.operation}{request}), but "
                f"{describe(action, lost, self.sensitivity)}",
                hints=(
                    "Compare the manifest with what the control plane supports; the next plan shows the live state.",
                ),
            ),
            wrote=True,
            kept=False,
        )

    def _wrong_org(self, response: ApiResponse) -> OctosyncError | None:
        org, wanted = _org_in(response), self.remote.connection.org
        if org is None or wanted is None or org == wanted:
            return None
        return OctosyncError(
            "wrong-org",
            f"the app was created in org {org}, not in {wanted}: the API key belongs there (request {response.request_id})",
            hints=("Use a key of the right org. Archive the app that was created, if it is not wanted there.",),
        )


def _org_in(response: ApiResponse) -> str | None:
    org = response.body.get("org_id") if isinstance(response.body, Mapping) else None
    return org if isinstance(org, str) else None


def _result(
    action: Action,
    status: Status,
    ids: list[str],
    message: str = "",
    *,
    reason: OctosyncError | None = None,
    error: OctosyncError | None = None,
    wrote: bool = False,
    kept: bool = True,
) -> WriteResult:
    """Return a result. `error` and `reason` both explain it to users; only an error counts for the run."""
    if isinstance(error, RemoteError):
        _add(ids, error.request_id)
    cause = error or reason
    outcome = Outcome(
        address=action.address,
        verb=action.verb.value,
        status=status,
        message=cause.message if cause else message,
        reference=cause.reference if cause else "",
        hints=cause.hints if cause else (),
        request_ids=tuple(ids),
        retryable=error is not None and _is_temporary(error),
    )
    return WriteResult(outcome, error, wrote, kept)


def _is_temporary(error: OctosyncError) -> bool:
    """Return whether a failure is temporary. An unreadable response is not a rejection, so it counts as temporary."""
    return error.retryable or error.reference in _PASSING or isinstance(error, Unreadable)


def _changed_meanwhile(action: Action, seen: ObjectState, ids: list[str], *, wrote: bool) -> WriteResult:
    """Return the result for an object that is neither as declared nor as planned."""
    if (mismatch := _other_variant(action, seen.fields)) is not None:
        return _result(action, Status.FAILED, ids, error=mismatch, wrote=wrote)
    return _stale(action, ids, wrote=wrote)


def _stale(action: Action, ids: list[str], *, wrote: bool = False) -> WriteResult:
    return _result(
        action,
        Status.STALE,
        ids,
        reason=OctosyncError(
            "object-changed",
            "it changed since it was read, so octosync left it unchanged",
            hints=("Plan again, review what changed, and apply again.",),
        ),
        wrote=wrote,
    )


def _asked_of_orchestrator(action: Action) -> JsonObject:
    """Return the declared fields of a deployment. The request doesn't carry them, so only the result shows them."""
    return action.declared if isinstance(action, EnableCapability | OptimizeCapability) else {}


def _other_variant(action: Action, fields: JsonObject | None) -> OctosyncError | None:
    """Return an error if the control plane deployed another variant than the declared or suggested one."""
    wanted, there = _asked_of_orchestrator(action).get("model_variant_id"), (fields or {}).get("model_variant_id")
    if wanted is None or there is None or wanted == there:
        return None
    if isinstance(action, EnableCapability):
        return OctosyncError(
            "enable-changed-pin",
            f"the manifest pins {wanted}, but Octomil deployed {there}",
            hints=("Pin what Octomil chooses, or declare `variant: auto`. There is no API to undeploy.",),
        )
    return OctosyncError(
        "optimize-chose-another",
        f"{wanted} was suggested and approved, but the canary uses {there}",
        hints=("Check it in Octomil, then plan again.",),
    )


def _not_removed(error: Missing, action: Action) -> OctosyncError:
    place = f"api.operations.{action.operation}: {{method, path}}"
    return OctosyncError(
        "not-removed",
        f"the removal returned 404 Not Found, but the object still exists: {error.message}",
        hints=(f"If Octomil uses another path for the removal, set it in octosync.yaml: {place}.",),
    )


def _no_time_to_write() -> OctosyncError:
    return OctosyncError(
        "no-time-to-write",
        f"the rate limit delayed the write {_ATTEMPTS} times until the last read was too old",
        hints=("Apply again with a lower --concurrency or a higher --rate, or when nothing else uses the API key.",),
    )


def _unknown(lost: RemoteError, unread: RemoteError) -> RemoteError:
    """Return the error of a write whose response was lost and whose effect could not be read."""
    message = f"the response was lost ({lost.message}), and the read that followed failed, too: {unread.message}"
    return _unread(
        "outcome-unknown", message, "It may have taken effect. Apply again: apply reads the object first.", unread
    )


def _unproved(unread: RemoteError) -> RemoteError:
    """Return the error of an accepted write whose effect could not be read."""
    message = f"the write was accepted, but the read that checks it failed: {unread.message}"
    return _unread("outcome-unproved", message, "Apply again: apply reads the object first.", unread)


def _unconfirmed(refused: RemoteError) -> RemoteError:
    """Return the error of a write whose response was lost, whose retry was rejected, and whose effect reads don't show."""
    message = f"a response was lost, and the retry was rejected ({refused.message}); reads show no effect"
    return _unread(
        "outcome-unknown", message, "It may have taken effect. Apply again: apply reads the object first.", refused
    )


def _unread(reference: str, message: str, hint: str, unread: RemoteError) -> RemoteError:
    return type(unread)(
        reference,
        message,
        hints=(hint, *unread.hints),
        operation=unread.operation,
        response=ErrorResponse(status=unread.status, code=unread.code, request_id=unread.request_id),
        sent=True,
    )


def _is_own(action: RegisterTarget, error: Conflict) -> bool:
    """Return whether a 409 means that the app itself already holds the target; lists may not show it yet."""
    details = error.details if isinstance(error.details, Mapping) else {}
    named = {"app_slug": action.address.app, "platform": action.platform, "identifier": action.identifier}
    # An archived app refuses every write with a 409 that names the app.
    agree = all(details.get(name, value) == value for name, value in named.items())
    return agree and "app_slug" in details and not details.get("archived_at")


def _held_by(holder: str | None, error: Conflict) -> OctosyncError:
    if holder is None:
        who, hint = "another app of the org", "Look for it in the dashboard; archived apps keep their targets."
    else:
        who = f"app `{holder}`"
        hint = (
            f"Remove it from the targets of `{holder}` in the same set of manifests, or remove it there. "
            f"A run of selected apps or objects must select `{holder}` too."
        )
    return OctosyncError("target-held-elsewhere", f"taken by {who}: {error.message}", hints=(hint,))


def _with_way_out(error: RemoteError, action: Action, sensitivity: Sensitivity) -> RemoteError:
    """Add hints to an error if the control plane rejects a field that the PUT only carried over, or requires a variant."""
    if error.status != 422 or not isinstance(action, PutSlot) or action.body is None:
        return error
    text = f"{error.message} {error.details}"
    named = [
        name for name in carried(action, sensitivity) if re.search(rf"\b{re.escape(name.rpartition('.')[2])}\b", text)
    ]
    hints = [
        f"`{name}` was carried over from live state. If the control plane owns it, set in octosync.yaml: "
        f"api: {{readOnly: {{slot: [{name}]}}}}"
        for name in named
        if not any(longer.startswith(f"{name}.") for longer in named)
    ]
    if "model_variant_id" in text and "model_variant_id" not in action.body:
        hints.append("This control plane requires a variant for every slot: pin `variant` in the manifest.")
    return error.with_hints(*error.hints, *hints)


def _add(ids: list[str], request_id: str | None) -> None:
    if request_id and request_id not in ids:
        ids.append(request_id)
