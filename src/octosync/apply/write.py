"""One action, from its last look at the object to its outcome.

look (if what was read is old) ─ moved → stale
  └─ send (looking again if waiting made it old) ─ refused → failed, or awaiting approval
       ├─ answered → compare with what was sent → done, or not kept
       └─ answer lost → look: as declared → done · as before → send again · otherwise → stale
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
from octosync.errors import AwaitingApproval, Conflict, ErrorResponse, Missing, OctosyncError, RemoteError, Unreadable
from octosync.model import JsonObject, Outcome, Sensitivity, Status
from octosync.octomil import ApiResponse, Octomil, Reservation, Withheld
from octosync.plan import Action, CreateApp, EnableCapability, OptimizeCapability, PutSlot, RegisterTarget

_ATTEMPTS = 3
# Failures that go by themselves, though the control plane was there.
_PASSING = frozenset({"no-time-to-write", "outcome-unknown", "outcome-unproved"})
_AS_DECLARED = "it was already as declared"
_GONE = "it was already gone"
_TOOK_EFFECT = "the answer was lost; reading again shows that it took effect"


@dataclass(frozen=True, slots=True)
class WriteResult:
    """An outcome; for a failure the error behind it, so that the run can tell one that concerns every action.

    `wrote` says that the action changed something, or may have; `kept` is False where the control plane said yes and did
    something else.
    """

    outcome: Outcome
    error: OctosyncError | None = None
    wrote: bool = False
    kept: bool = True


@dataclass(slots=True)
class ActionWriter:
    """Carries out single actions; what it returns is true of the control plane, as far as that can be known."""

    remote: Octomil
    witness: ObjectReader
    sensitivity: Sensitivity
    # Per operation, the declared fields that its answers leave out although they are kept.
    _silent: dict[str, set[str]] = field(default_factory=dict)

    async def look(self, action: Action, within: Reservation) -> WriteResult | None:
        """Look at the object again where that is due; None: the action may be sent."""
        try:
            seen = await self.witness.last_look(action, within)
        except RemoteError as error:
            return _performed(action, Status.FAILED, [], error=error)
        if seen is None or seen.unmoved:
            return None
        if not any(unpersisted_fields(action, seen.fields)):
            return _performed(action, Status.DONE, [], _GONE if is_deletion(action) else _AS_DECLARED)
        return _stale(action, [])

    async def send(self, action: Action, *, proving: bool, within: Reservation) -> WriteResult:
        """Send one action that may be sent. `proving`: something of it has not been seen to work in this run."""
        ids: list[str] = []
        attempt, withheld = 1, 0
        while True:
            try:
                answer = await self.remote.call(
                    action.operation,
                    action.parameters,
                    body=action.body,
                    within=within,
                    may_send=partial(self.witness.is_fresh, action),
                )
            except Withheld:
                withheld += 1
                if (found := await self._look_again(action, last=withheld == _ATTEMPTS)) is not None:
                    return found
                continue
            except RemoteError as error:
                _add(ids, error.request_id)
                if (performed := await self._after(error, action, ids, attempt)) is not None:
                    return performed
            else:
                for request_id in answer.request_ids:
                    _add(ids, request_id)
                return await self._answered(action, answer, ids, proving=proving)
            await asyncio.sleep(self.remote.backoff.draw(attempt))
            attempt += 1
            within = Reservation()  # what is left of the first one is for the other half of a move

    async def _look_again(self, action: Action, *, last: bool) -> WriteResult | None:
        """Look once more, since the action had to wait for so long; None: it may be sent."""
        if last:
            return _performed(action, Status.FAILED, [], error=_never_its_turn())
        return await self.look(action, Reservation())

    async def _after(self, error: RemoteError, action: Action, ids: list[str], attempt: int) -> WriteResult | None:
        """Turn a failed request into an outcome; None: it had no effect, and may be sent again."""
        if isinstance(error, AwaitingApproval):
            return _performed(action, Status.AWAITING_APPROVAL, ids, error=error)
        try:
            if isinstance(error, Missing) and is_deletion(action):
                return await self._missing(error, action, ids, attempt)
            if isinstance(error, Conflict):
                return await self._conflict(error, action, ids, attempt)
            if error.sent:
                return await self._resolve(error, action, ids, attempt)
            if attempt > 1:
                return await self._refused_later(error, action, ids)
        except RemoteError as unread:
            return _performed(action, Status.FAILED, ids, error=_unknown(error, unread), wrote=True)
        return _performed(action, Status.FAILED, ids, error=_with_way_out(error, action, self.sensitivity))

    async def _resolve(self, lost: RemoteError, action: Action, ids: list[str], attempt: int) -> WriteResult | None:
        """Find out by reading what a write did whose answer was lost."""
        seen = await self.witness.sighting(action)
        if not any(unpersisted_fields(action, seen.fields)):
            return _performed(action, Status.DONE, ids, _TOOK_EFFECT, wrote=True)
        if not seen.unmoved:
            return _moved(action, seen, ids, wrote=True)
        return _performed(action, Status.FAILED, ids, error=lost) if attempt == _ATTEMPTS else None

    async def _missing(self, error: Missing, action: Action, ids: list[str], attempt: int) -> WriteResult:
        """Find out whether a 404 to a removal means that it is gone; a wrong guess at its path looks the same."""
        seen = await self.witness.sighting(action)
        if seen.fields is None:
            return _performed(action, Status.DONE, ids, _GONE, wrote=attempt > 1)
        if attempt > 1:
            return _performed(action, Status.FAILED, ids, error=_unconfirmed(error), wrote=True)
        return _performed(action, Status.FAILED, ids, error=_not_removed(error, action))

    async def _conflict(self, error: Conflict, action: Action, ids: list[str], attempt: int) -> WriteResult:
        """Find out whether a 409 means that it is done already; otherwise say who is in the way."""
        holder = error.details.get("app_slug") if isinstance(error.details, Mapping) else None
        if isinstance(action, RegisterTarget) and isinstance(holder, str) and holder != action.address.app:
            return _performed(action, Status.FAILED, ids, error=_held_by(holder, error))
        seen = await self.witness.sighting(action)
        if not any(unpersisted_fields(action, seen.fields)) or (
            isinstance(action, RegisterTarget) and _is_own(action, error)
        ):
            return _performed(action, Status.DONE, ids, _AS_DECLARED, wrote=attempt > 1)
        if not seen.unmoved:
            return _moved(action, seen, ids, wrote=attempt > 1)
        if attempt > 1:  # reads may lag behind
            return _performed(action, Status.FAILED, ids, error=_unconfirmed(error), wrote=True)
        if isinstance(action, RegisterTarget) and holder is None:
            return _performed(action, Status.FAILED, ids, error=_held_by(None, error))
        return _performed(action, Status.FAILED, ids, error=error)

    async def _refused_later(self, error: RemoteError, action: Action, ids: list[str]) -> WriteResult:
        """Read what an attempt did whose response was lost, after a later attempt was rejected."""
        seen = await self.witness.sighting(action)
        if not any(unpersisted_fields(action, seen.fields)):
            return _performed(action, Status.DONE, ids, _TOOK_EFFECT, wrote=True)
        if not seen.unmoved:
            return _moved(action, seen, ids, wrote=True)
        return _performed(
            action, Status.FAILED, ids, error=_unconfirmed(_with_way_out(error, action, self.sensitivity)), wrote=True
        )

    async def _answered(self, action: Action, answer: ApiResponse, ids: list[str], *, proving: bool) -> WriteResult:
        self.witness.wrote(action, answer.sent_at)
        if isinstance(action, CreateApp) and (stranger := self._wrong_org(answer)) is not None:
            return _performed(action, Status.FAILED, ids, error=stranger, wrote=True)
        fields = fields_in(action, answer.body, self.remote.contract)
        silent = self._silent.setdefault(action.operation, set())
        if fields is None:
            if not proving and "model_variant_id" not in _asked_of_orchestrator(action):
                return _performed(action, Status.DONE, ids, wrote=True)
        elif all(change.path[0] in silent - fields.keys() for change in unpersisted_fields(action, fields)):
            return _performed(action, Status.DONE, ids, wrote=True)
        # What an answer leaves out or shows otherwise may still have been kept: only the object itself tells.
        try:
            seen = await self.witness.sighting(action)
        except RemoteError as error:
            return _performed(action, Status.FAILED, ids, error=_unproved(error), wrote=True)
        lost = next(unpersisted_fields(action, seen.fields), None)
        if lost is None:
            silent.update(name for name in action.declared if fields is not None and name not in fields)
            return _performed(action, Status.DONE, ids, wrote=True)
        if (other := _other_variant(action, seen.fields)) is not None:
            return replace(_performed(action, Status.FAILED, ids, error=other, wrote=True), kept=False)
        request = f", request {ids[-1]}" if ids else ""
        return _performed(
            action,
            Status.NOT_KEPT,
            ids,
            reason=OctosyncError(
                "not-kept",
                f"the control plane said yes ({action.operation}{request}), but "
                f"{describe(action, lost, self.sensitivity)}",
                hints=(
                    "Compare the manifest with what the control plane supports; the next plan shows what is there now.",
                ),
            ),
            wrote=True,
            kept=False,
        )

    def _wrong_org(self, answer: ApiResponse) -> OctosyncError | None:
        org, wanted = _org_in(answer), self.remote.connection.org
        if org is None or wanted is None or org == wanted:
            return None
        return OctosyncError(
            "wrong-org",
            f"the app was created in org {org}, not in {wanted}: the API key belongs there (request {answer.request_id})",
            hints=("Use a key of the right org. Archive the app that was created, if it is not wanted there.",),
        )


def _org_in(answer: ApiResponse) -> str | None:
    org = answer.body.get("org_id") if isinstance(answer.body, Mapping) else None
    return org if isinstance(org, str) else None


def _performed(
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
    """Return a result. Both `error` and `reason` are told to people; only an error is one for the run, too."""
    if isinstance(error, RemoteError):
        _add(ids, error.request_id)
    said = error or reason
    outcome = Outcome(
        address=action.address,
        verb=action.verb.value,
        status=status,
        message=said.message if said else message,
        reference=said.reference if said else "",
        hints=said.hints if said else (),
        request_ids=tuple(ids),
        retryable=error is not None and _passes(error),
    )
    return WriteResult(outcome, error, wrote, kept)


def _passes(error: OctosyncError) -> bool:
    """Say whether a failure goes by itself. What can't be read is no refusal: it says nothing of the action at all."""
    return error.retryable or error.reference in _PASSING or isinstance(error, Unreadable)


def _moved(action: Action, seen: ObjectState, ids: list[str], *, wrote: bool) -> WriteResult:
    """Return the outcome for an object that is neither as declared nor as the plan saw it."""
    if (other := _other_variant(action, seen.fields)) is not None:
        return _performed(action, Status.FAILED, ids, error=other, wrote=wrote)
    return _stale(action, ids, wrote=wrote)


def _stale(action: Action, ids: list[str], *, wrote: bool = False) -> WriteResult:
    return _performed(
        action,
        Status.STALE,
        ids,
        reason=OctosyncError(
            "object-moved",
            "somebody changed it since it was read, so it was left as it is",
            hints=("Plan again, look at what changed, and apply again.",),
        ),
        wrote=wrote,
    )


def _asked_of_orchestrator(action: Action) -> JsonObject:
    """Return what is declared of a deployment: nothing in the request says it, so only the result can."""
    return action.declared if isinstance(action, EnableCapability | OptimizeCapability) else {}


def _other_variant(action: Action, fields: JsonObject | None) -> OctosyncError | None:
    """Say that the orchestrator deployed another variant than the one that is declared, or was suggested; else None."""
    wanted, there = _asked_of_orchestrator(action).get("model_variant_id"), (fields or {}).get("model_variant_id")
    if wanted is None or there is None or wanted == there:
        return None
    if isinstance(action, EnableCapability):
        return OctosyncError(
            "enable-changed-pin",
            f"the manifest pins {wanted}, and Octomil deployed {there}",
            hints=("Pin what Octomil chooses, or declare `variant: auto`. There is no API to undeploy.",),
        )
    return OctosyncError(
        "optimize-chose-another",
        f"{wanted} was suggested and approved, and the canary is to {there}",
        hints=("Look at it in Octomil, and plan again.",),
    )


def _not_removed(error: Missing, action: Action) -> OctosyncError:
    place = f"api.operations.{action.operation}: {{method, path}}"
    return OctosyncError(
        "not-removed",
        f"the control plane answers that it doesn't have it, and shows it all the same: {error.message}",
        hints=(f"If Octomil removes it by another path, say so in octosync.yaml: {place}.",),
    )


def _never_its_turn() -> OctosyncError:
    return OctosyncError(
        "no-time-to-write",
        f"it was read {_ATTEMPTS} times, and each time the rate limit held the write up until that was too long ago",
        hints=("Apply again with a lower --concurrency or a higher --rate, or when nothing else uses the API key.",),
    )


def _unknown(lost: RemoteError, unread: RemoteError) -> RemoteError:
    """Both the answer to a write and the look at its effect are lost."""
    message = f"the answer was lost ({lost.message}), and reading the object again failed, too: {unread.message}"
    return _unread("outcome-unknown", message, "It may have taken effect. Apply again: that reads first.", unread)


def _unproved(unread: RemoteError) -> RemoteError:
    """Say that the answer to a write was yes, and the look at its effect is lost."""
    message = f"the control plane said yes, but whether it kept what was sent could not be read: {unread.message}"
    return _unread("outcome-unproved", message, "Apply again: that reads first.", unread)


def _unconfirmed(refused: RemoteError) -> RemoteError:
    """Return the error of a write whose response was lost, whose retry was rejected, and whose effect reads don't show."""
    message = f"a response was lost, and the retry was rejected ({refused.message}); reads show no effect"
    return _unread("outcome-unknown", message, "It may have taken effect. Apply again: that reads first.", refused)


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
    """Return whether a 409 says that the app itself holds the target already; lists may not show it yet."""
    details = error.details if isinstance(error.details, Mapping) else {}
    named = {"app_slug": action.address.app, "platform": action.platform, "identifier": action.identifier}
    # An archived app refuses every write with a 409 that names the app.
    agree = all(details.get(name, value) == value for name, value in named.items())
    return agree and "app_slug" in details and not details.get("archived_at")


def _held_by(holder: str | None, error: Conflict) -> OctosyncError:
    if holder is None:
        who, hint = "another app of the org", "Look for it in the dashboard; archived apps keep their targets for good."
    else:
        who, hint = (
            f"app `{holder}`",
            f"Declare the targets of `{holder}` without it, in the same set, or remove it there.",
        )
    return OctosyncError("target-held-elsewhere", f"taken by {who}: {error.message}", hints=(hint,))


def _with_way_out(error: RemoteError, action: Action, sensitivity: Sensitivity) -> RemoteError:
    """Say what to do where the control plane refuses a field that the PUT only carried over, or wants a variant."""
    if error.status != 422 or not isinstance(action, PutSlot) or action.body is None:
        return error
    text = f"{error.message} {error.details}"
    named = [
        name for name in carried(action, sensitivity) if re.search(rf"\b{re.escape(name.rpartition('.')[2])}\b", text)
    ]
    hints = [
        f"`{name}` was carried over from live. If it belongs to the control plane, say so in octosync.yaml: "
        f"api: {{readOnly: {{slot: [{name}]}}}}"
        for name in named
        if not any(other.startswith(f"{name}.") for other in named)
    ]
    if "model_variant_id" in text and "model_variant_id" not in action.body:
        hints.append("This control plane wants every slot to name its variant: pin `variant` in the manifest.")
    return error.with_hints(*error.hints, *hints)


def _add(ids: list[str], request_id: str | None) -> None:
    if request_id and request_id not in ids:
        ids.append(request_id)
