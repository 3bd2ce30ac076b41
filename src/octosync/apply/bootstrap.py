"""Bootstrap creates an app, its first target and its keys in one request. The keys are returned only once.

read: the slug is free
  └─ send ─ accepted → the keys, and the created app
       ├─ rejected → nothing was created
       └─ response lost → read: no app → send again · the app exists → it was created, and its keys are lost
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Final

from octosync.contract.responses import WireBootstrapResult
from octosync.errors import AwaitingApproval, Conflict, ExitCode, Interrupted, LeaseLost, OctosyncError, RemoteError
from octosync.model import Address, JsonObject, Outcome, Secret, Status
from octosync.octomil import ApiResponse, Octomil, RequestNotPermitted, read_app, read_targets
from octosync.octomil.pagination import parse_model
from octosync.plan import Verb
from octosync.state import Record

_ATTEMPTS: Final = 3
_EXPORT: Final = "octosync export"


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstApp:
    """An app with its first target: as requested, or as created."""

    slug: str
    name: str
    platform: str
    identifier: str

    verb = Verb.CREATE
    operation = "apps.bootstrap"

    @property
    def address(self) -> Address:
        """The app's address."""
        return Address.of_app(self.slug)

    @property
    def target(self) -> str:
        """The target as `platform:identifier`."""
        return f"{self.platform}:{self.identifier}"

    @property
    def body(self) -> JsonObject:
        """The request body (assumed)."""
        return {"slug": self.slug, "name": self.name, "platform": self.platform, "identifier": self.identifier}


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The keys of the app and of its public clients; the second exists on mobile platforms and in browsers only (stated)."""

    app: Secret
    publishable: Secret | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapResult:
    """The result of a bootstrap.

    `keys` and `made`, the app as returned, are set whenever a response arrived, even if `error` reports a difference from the
    request. `wrote` is set if something was created, or may have been. `unrecorded` is the error of the journal, if any.
    """

    outcome: Outcome
    error: OctosyncError | None = None
    wrote: bool = False
    keys: Keys | None = None
    made: FirstApp | None = None
    unrecorded: OctosyncError | None = None


async def check_slug_is_free(asked: FirstApp, remote: Octomil, *, export: str = _EXPORT) -> None:
    """Check that the slug is free. Raise `OctosyncError` if it is taken, `RemoteError` if the read fails.

    `export` is the command line, without the slug, that exports an app of this control plane; errors recommend it.
    """
    app = (await read_app(remote, asked.slug)).value
    if app is not None:
        raise _taken(asked, export, archived=app.archived)


async def bootstrap_app(
    asked: FirstApp, remote: Octomil, *, record: Record, may_send: Callable[[], bool], export: str = _EXPORT
) -> BootstrapResult:
    """Send the request at most three times, and again only if a read shows that the last one had no effect.

    Raise `OctosyncError` if the journal can't record the start; then nothing was sent. Later failures are in the result.
    `may_send` is called before each request. `export` is as for `check_slug_is_free`.
    """
    end = record.begin_action(asked)
    sending = _BootstrapRequest(asked, remote, may_send, export)
    try:
        result = await sending.run()
    except asyncio.CancelledError:
        if not sending.sent:  # otherwise the record stays open: the effect is unknown
            end(sending.result(Status.NOT_ATTEMPTED).outcome)
        raise
    try:
        end(result.outcome)
    except OctosyncError as error:  # the keys must reach the user all the same
        return replace(result, unrecorded=error)
    return result


@dataclass(slots=True)
class _BootstrapRequest:
    asked: FirstApp
    remote: Octomil
    may_send: Callable[[], bool]
    export: str
    sent: bool = False
    ids: list[str] = field(default_factory=list)

    async def run(self) -> BootstrapResult:
        """Send the request, read if the response is lost, and repeat until there is a result."""
        attempt = 1
        while True:
            try:
                response = await self.remote.call(self.asked.operation, body=self.asked.body, may_send=self._may_send)
                self._add(*response.request_ids)
                return self._compare_response(response)
            except RequestNotPermitted:
                return self.result(Status.NOT_ATTEMPTED, Interrupted("interrupted", "the run was interrupted"))
            except LeaseLost as error:
                status = Status.NOT_ATTEMPTED if attempt == 1 else Status.FAILED
                return self.result(status, error, wrote=attempt > 1)
            except RemoteError as error:
                self._add(error.request_id)
                if (result := await self._after(error, attempt)) is not None:
                    return result
            await asyncio.sleep(self.remote.backoff.draw(attempt))
            attempt += 1

    def result(self, status: Status, error: OctosyncError | None = None, *, wrote: bool = False) -> BootstrapResult:
        """Return a result with the ids of all requests."""
        outcome = Outcome(
            address=self.asked.address,
            verb=self.asked.verb.value,
            status=status,
            message=error.message if error else "",
            reference=error.reference if error else "",
            hints=error.hints if error else (),
            request_ids=tuple(self.ids),
        )
        return BootstrapResult(outcome=outcome, error=error, wrote=wrote)

    def _may_send(self) -> bool:
        allowed = self.may_send()
        self.sent |= allowed
        return allowed

    def _add(self, *ids: str | None) -> None:
        self.ids += [id_ for id_ in ids if id_ and id_ not in self.ids]

    async def _after(self, error: RemoteError, attempt: int) -> BootstrapResult | None:
        """Return the result of a failed request, or None if it had no effect and may be sent again."""
        if isinstance(error, AwaitingApproval):
            return self.result(Status.AWAITING_APPROVAL, _awaiting(error))
        if isinstance(error, Conflict):
            holder = error.details.get("app_slug") if isinstance(error.details, Mapping) else None
            if isinstance(holder, str) and holder != self.asked.slug:
                return self.result(Status.FAILED, _held(self.asked, holder, error))
        elif not error.sent:
            return self.result(Status.FAILED, error)
        try:
            return await self._read_all(error, attempt)
        except RemoteError as unread:
            self._add(unread.request_id)
            return self.result(Status.FAILED, _unknown(self.asked, error, unread), wrote=True)

    async def _read_all(self, error: RemoteError, attempt: int) -> BootstrapResult | None:
        """Read what a request without a usable response did."""
        app = (await read_app(self.remote, self.asked.slug)).value
        if app is None:
            if isinstance(error, Conflict):
                return self.result(Status.FAILED, _held(self.asked, None, error))
            return self.result(Status.FAILED, error) if attempt == _ATTEMPTS else None
        targets = (await read_targets(self.remote, self.asked.slug)).value
        is_target_there = any(target.address.name == self.asked.target for target in targets)
        # It is one transaction (stated): an app without the target was created by someone else.
        if is_target_there and (error.sent or attempt > 1):
            return self.result(Status.FAILED, _keys_lost(self.asked, self.export, error), wrote=True)
        return self.result(Status.FAILED, _taken(self.asked, self.export, archived=app.archived))

    def _compare_response(self, response: ApiResponse) -> BootstrapResult:
        """Return the keys and compare the response with the request. Raise `Unreadable`."""
        body = parse_model(self.remote, self.asked.operation, WireBootstrapResult, response.body, response.request_id)
        made = _made(self.asked, body)
        if (error := self._wrong_org(body, response)) is not None:
            result = self.result(Status.FAILED, error, wrote=True)
        elif made != self.asked:
            result = self.result(Status.NOT_KEPT, _not_kept(self.asked, made, response), wrote=True)
        else:
            result = self.result(Status.DONE, wrote=True)
        publishable = Secret(body.publishable_key) if body.publishable_key else None
        return replace(result, keys=Keys(app=Secret(body.app_key), publishable=publishable), made=made)

    def _wrong_org(self, body: WireBootstrapResult, response: ApiResponse) -> OctosyncError | None:
        org, wanted = _object(body.app).get("org_id"), self.remote.connection.org
        if not isinstance(org, str) or wanted is None or org == wanted:
            return None
        return _in_part(
            "wrong-org",
            f"the app was created in org {org}, not in {wanted}: the API key belongs to that org (request {response.request_id})",
            "Use a key of the right org. Archive the created app if you don't want it there.",
        )


def _made(asked: FirstApp, body: WireBootstrapResult) -> FirstApp:
    """Return the created app from the response; fields that it omits are taken from the request."""
    sources = {"slug": body.app, "name": body.app, "platform": body.target, "identifier": body.target}
    values = {name: _object(where).get(name) for name, where in sources.items()}
    return replace(asked, **{name: value for name, value in values.items() if isinstance(value, str) and value})


def _object(value: object) -> JsonObject:
    return value if isinstance(value, Mapping) else {}


def _in_part(reference: str, message: str, *hints: str) -> OctosyncError:
    """Return an error for a partial result: something was created, but not as requested or not completely."""
    return OctosyncError(reference, message, hints=hints, exit_code=ExitCode.PARTIAL)


def _awaiting(error: AwaitingApproval) -> AwaitingApproval:
    hint = "Approve it in the Octomil dashboard, then run this command again: it reads the app first."
    return error.with_hints(hint, exit_code=ExitCode.PARTIAL)


def _taken(asked: FirstApp, export: str, *, archived: bool) -> OctosyncError:
    slug = asked.slug
    if archived:
        return OctosyncError(
            "app-archived",
            f"app `{slug}` exists and is archived; an archived slug can't be reused",
            hints=("Choose another slug: archiving can't be undone.",),
        )
    return OctosyncError(
        "app-exists",
        f"app `{slug}` already exists, and bootstrap only creates new apps",
        hints=(
            f"Declare the target {asked.target} in its manifest, and apply. Without a manifest:  {export} {slug}",
            key_hint(slug),
        ),
    )


def key_hint(slug: str) -> str:
    """Return where to get a key for an app whose own keys are lost."""
    return f"Create a key for app `{slug}` in the Octomil dashboard."


def _held(asked: FirstApp, holder: str | None, error: Conflict) -> OctosyncError:
    if holder is None:
        who, hint = "another app of the org", "Look for it in the dashboard; archived apps keep their targets."
    else:
        who = f"app `{holder}`"
        hint = f"Remove it from the manifest of `{holder}` and apply that first, or choose another identifier."
    message = f"the target {asked.target} is taken by {who}: {error.message}"
    return OctosyncError("target-held-elsewhere", message, hints=(hint,))


def _keys_lost(asked: FirstApp, export: str, error: RemoteError) -> OctosyncError:
    return _in_part(
        "keys-lost",
        f"app `{asked.slug}` was created with its target {asked.target}, but the response with its keys is lost: {error.message}",
        f"Keys are shown only once. {key_hint(asked.slug)}",
        f"The manifest to commit:  {export} {asked.slug}",
    )


def _unknown(asked: FirstApp, lost: RemoteError, unread: RemoteError) -> OctosyncError:
    return _in_part(
        "outcome-unknown",
        f"the response was lost ({lost.message}), and reading app `{asked.slug}` failed, too: {unread.message}",
        "The app may exist. Run this command again: it reads first, and creates the app only if it is missing.",
    )


def _not_kept(asked: FirstApp, made: FirstApp, response: ApiResponse) -> OctosyncError:
    names = [part.name for part in fields(asked) if getattr(made, part.name) != getattr(asked, part.name)]
    differences = "; ".join(f"{name} is `{getattr(made, name)}`, not `{getattr(asked, name)}`" for name in names)
    return _in_part(
        "not-kept",
        f"the created app differs from the request: {differences} (request {response.request_id})",
        "The manifest shows the created app; the keys are valid.",
    )
