"""Bootstrap: app, target and keys in one transaction, sent once, since what it answers can't be asked for again.

look: the slug is free
  └─ send ─ answered → the keys, and what was made
       ├─ refused → nothing was made
       └─ answer lost → look: not there → send again · there → it was made, and its keys are lost
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Final

from octosync.apply.recorder import Record
from octosync.contract.responses import WireBootstrapped
from octosync.errors import AwaitingApproval, Conflict, ExitCode, Interrupted, OctosyncError, RemoteError
from octosync.model import Address, JsonObject, Outcome, Secret, Status
from octosync.octomil import ApiResponse, Octomil, Withheld, read_app, read_targets
from octosync.octomil.pagination import parse_model
from octosync.plan import Verb

_ATTEMPTS: Final = 3
_EXPORT: Final = "octosync export"


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstApp:
    """An app with its first target: what is asked for, or what was made of it."""

    slug: str
    name: str
    platform: str
    identifier: str

    verb = Verb.CREATE
    operation = "apps.bootstrap"

    @property
    def address(self) -> Address:
        """The app's."""
        return Address.of_app(self.slug)

    @property
    def target(self) -> str:
        """The target as people write it."""
        return f"{self.platform}:{self.identifier}"

    @property
    def body(self) -> JsonObject:
        """What is sent (assumed)."""
        return {"slug": self.slug, "name": self.name, "platform": self.platform, "identifier": self.identifier}


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What the app and its public clients authenticate with; the second on mobile platforms and in browsers only (stated)."""

    app: Secret
    publishable: Secret | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bootstrapped:
    """What became of a bootstrap.

    `keys` and `made`, the app as the control plane answered it, are there whenever the answer was, even where `error` says
    that something is not as asked for. `wrote` says that something was made, or may have been; `unrecorded` what kept the
    journal from learning of it.
    """

    outcome: Outcome
    error: OctosyncError | None = None
    wrote: bool = False
    keys: Keys | None = None
    made: FirstApp | None = None
    unrecorded: OctosyncError | None = None


async def refuse_taken(asked: FirstApp, remote: Octomil, *, export: str = _EXPORT) -> None:
    """Look whether the slug is free. Raises `OctosyncError` where it is taken, `RemoteError` where that can't be told.

    `export` is the command line, without the slug, that exports an app of this control plane: errors say it.
    """
    app = (await read_app(remote, asked.slug)).value
    if app is not None:
        raise _taken(asked, export, archived=app.archived)


async def bootstrap_app(
    asked: FirstApp, remote: Octomil, *, record: Record, may_send: Callable[[], bool], export: str = _EXPORT
) -> Bootstrapped:
    """Send it, at most three times, and never again before a look shows that the last time had no effect.

    Raises `OctosyncError` where the journal can't record that it begins, and then nothing was sent; whatever comes later
    is in what it returns. `may_send` is asked right before each sending. `export` is as for `refuse_taken`.
    """
    end = record.begin_action(asked)
    sending = _Sending(asked, remote, may_send, export)
    try:
        result = await sending.to_the_end()
    except asyncio.CancelledError:
        if not sending.sent:  # else it stays begun: whether it took effect is not known
            end(sending.result(Status.NOT_ATTEMPTED).outcome)
        raise
    try:
        end(result.outcome)
    except OctosyncError as error:  # must not keep the keys from whom they are for
        return replace(result, unrecorded=error)
    return result


@dataclass(slots=True)
class _Sending:
    asked: FirstApp
    remote: Octomil
    may_send: Callable[[], bool]
    export: str
    sent: bool = False
    ids: list[str] = field(default_factory=list)

    async def to_the_end(self) -> Bootstrapped:
        """Send, look where the answer is lost, and send again, until there is a result."""
        attempt = 1
        while True:
            try:
                answer = await self.remote.call(self.asked.operation, body=self.asked.body, may_send=self._may_send)
                self._add(*answer.request_ids)
                return self._answered(answer)
            except Withheld:
                return self.result(Status.NOT_ATTEMPTED, Interrupted("interrupted", "the run was interrupted"))
            except RemoteError as error:
                self._add(error.request_id)
                if (result := await self._after(error, attempt)) is not None:
                    return result
            await asyncio.sleep(self.remote.backoff.draw(attempt))
            attempt += 1

    def result(self, status: Status, error: OctosyncError | None = None, *, wrote: bool = False) -> Bootstrapped:
        """Compose a result with what is known of the requests."""
        outcome = Outcome(
            address=self.asked.address,
            verb=self.asked.verb.value,
            status=status,
            message=error.message if error else "",
            reference=error.reference if error else "",
            hints=error.hints if error else (),
            request_ids=tuple(self.ids),
        )
        return Bootstrapped(outcome=outcome, error=error, wrote=wrote)

    def _may_send(self) -> bool:
        allowed = self.may_send()
        self.sent |= allowed
        return allowed

    def _add(self, *ids: str | None) -> None:
        self.ids += [id_ for id_ in ids if id_ and id_ not in self.ids]

    async def _after(self, error: RemoteError, attempt: int) -> Bootstrapped | None:
        """Turn a failed request into a result; None: it had no effect, and may be sent again."""
        if isinstance(error, AwaitingApproval):
            return self.result(Status.AWAITING_APPROVAL, _awaiting(error))
        if isinstance(error, Conflict):
            holder = error.details.get("app_slug") if isinstance(error.details, Mapping) else None
            if isinstance(holder, str) and holder != self.asked.slug:
                return self.result(Status.FAILED, _held(self.asked, holder, error))
        elif not error.sent:
            return self.result(Status.FAILED, error)
        try:
            return await self._look(error, attempt)
        except RemoteError as unread:
            self._add(unread.request_id)
            return self.result(Status.FAILED, _unknown(self.asked, error, unread), wrote=True)

    async def _look(self, error: RemoteError, attempt: int) -> Bootstrapped | None:
        """Find out by reading what a request did that brought no keys."""
        app = (await read_app(self.remote, self.asked.slug)).value
        if app is None:
            if isinstance(error, Conflict):
                return self.result(Status.FAILED, _held(self.asked, None, error))
            return self.result(Status.FAILED, error) if attempt == _ATTEMPTS else None
        targets = (await read_targets(self.remote, self.asked.slug)).value
        is_target_there = any(target.address.name == self.asked.target for target in targets)
        # It is one transaction (stated): an app without the target was made by somebody else meanwhile.
        if is_target_there and (error.sent or attempt > 1):
            return self.result(Status.FAILED, _keys_lost(self.asked, self.export, error), wrote=True)
        return self.result(Status.FAILED, _taken(self.asked, self.export, archived=app.archived))

    def _answered(self, answer: ApiResponse) -> Bootstrapped:
        """Take the keys out of the answer, and compare the rest with what was asked for. Raises `Unreadable`."""
        body = parse_model(self.remote, self.asked.operation, WireBootstrapped, answer.body, answer.request_id)
        made = _made(self.asked, body)
        if (error := self._wrong_org(body, answer)) is not None:
            result = self.result(Status.FAILED, error, wrote=True)
        elif made != self.asked:
            result = self.result(Status.NOT_KEPT, _not_kept(self.asked, made, answer), wrote=True)
        else:
            result = self.result(Status.DONE, wrote=True)
        publishable = Secret(body.publishable_key) if body.publishable_key else None
        return replace(result, keys=Keys(app=Secret(body.app_key), publishable=publishable), made=made)

    def _wrong_org(self, body: WireBootstrapped, answer: ApiResponse) -> OctosyncError | None:
        org, wanted = _object(body.app).get("org_id"), self.remote.connection.org
        if not isinstance(org, str) or wanted is None or org == wanted:
            return None
        return _in_part(
            "wrong-org",
            f"the app was made in org {org}, not in {wanted}: the API key belongs there (request {answer.request_id})",
            "Use a key of the right org. Archive the app that was made, if it is not wanted there.",
        )


def _made(asked: FirstApp, body: WireBootstrapped) -> FirstApp:
    """Read what was made from the answer: where that leaves something out, it is taken to be as asked for."""
    told = {"slug": body.app, "name": body.app, "platform": body.target, "identifier": body.target}
    values = {name: _object(where).get(name) for name, where in told.items()}
    return replace(asked, **{name: value for name, value in values.items() if isinstance(value, str) and value})


def _object(value: object) -> JsonObject:
    return value if isinstance(value, Mapping) else {}


def _in_part(reference: str, message: str, *hints: str) -> OctosyncError:
    """Make an error of something that was made, but not as asked for, or not to the end."""
    return OctosyncError(reference, message, hints=hints, exit_code=ExitCode.PARTIAL)


def _awaiting(error: AwaitingApproval) -> AwaitingApproval:
    hint = "Approve it in the Octomil dashboard, then run this again: it looks first what is there."
    return error.with_hints(hint, exit_code=ExitCode.PARTIAL)


def _taken(asked: FirstApp, export: str, *, archived: bool) -> OctosyncError:
    slug = asked.slug
    if archived:
        return OctosyncError(
            "app-archived",
            f"app `{slug}` exists and is archived: its slug stays taken for good",
            hints=("Choose another slug: there is no way back from the archive.",),
        )
    return OctosyncError(
        "app-exists",
        f"app `{slug}` exists already, and bootstrap only makes new ones",
        hints=(
            f"Declare the target {asked.target} in its manifest, and apply. Without a manifest:  {export} {slug}",
            key_hint(slug),
        ),
    )


def key_hint(slug: str) -> str:
    """Say where there is a key for an app whose own were not answered, or are lost."""
    return f"A key for app `{slug}` is created in the Octomil dashboard."


def _held(asked: FirstApp, holder: str | None, error: Conflict) -> OctosyncError:
    if holder is None:
        who, hint = "another app of the org", "Look for it in the dashboard; archived apps keep their targets for good."
    else:
        who = f"app `{holder}`"
        hint = f"Take it out of the manifest of `{holder}` and apply that first, or choose another identifier."
    message = f"the target {asked.target} is taken by {who}: {error.message}"
    return OctosyncError("target-held-elsewhere", message, hints=(hint,))


def _keys_lost(asked: FirstApp, export: str, error: RemoteError) -> OctosyncError:
    return _in_part(
        "keys-lost",
        f"app `{asked.slug}` was made with its target {asked.target}, but the answer with its keys is lost: {error.message}",
        f"Keys are answered once. {key_hint(asked.slug)}",
        f"The manifest to commit:  {export} {asked.slug}",
    )


def _unknown(asked: FirstApp, lost: RemoteError, unread: RemoteError) -> OctosyncError:
    return _in_part(
        "outcome-unknown",
        f"the answer was lost ({lost.message}), and reading app `{asked.slug}` failed, too: {unread.message}",
        "It may have been made. Run this again: it looks first, makes the app if it isn't there, and says so if it is.",
    )


def _not_kept(asked: FirstApp, made: FirstApp, answer: ApiResponse) -> OctosyncError:
    names = [one.name for one in fields(asked) if getattr(made, one.name) != getattr(asked, one.name)]
    differences = "; ".join(f"{name} is `{getattr(made, name)}`, not `{getattr(asked, name)}`" for name in names)
    return _in_part(
        "not-kept",
        f"the control plane made the app otherwise than asked for: {differences} (request {answer.request_id})",
        "The manifest says what is there now; the keys are good.",
    )
