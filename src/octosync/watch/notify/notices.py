"""Notifications: the notice of an event, its JSON document and signature, and bundles of notices that belong together.

A notification contains names, counts, times and sentences, but no field values: a receiver sees no more than the log shows.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Final
from urllib.parse import quote

from pydantic import Field

from octosync.model import Address, JsonObject, NotifyEvent, Secret, counted, digest_of
from octosync.plan import (
    ControlPlane,
    ControlPlaneDocument,
    Count,
    Document,
    Time,
    control_plane_part,
    one_of,
    utc_text,
)
from octosync.report import visible
from octosync.report.text import listed, time_words
from octosync.watch.approvals import post_line

FORMAT_VERSION: Final = "1.1"
MOST_ADDRESSES: Final = 100
MOST_APPS: Final = 20

SIGNATURE_HEADER: Final = "X-Octosync-Signature"
TIMESTAMP_HEADER: Final = "X-Octosync-Timestamp"
DELIVERY_HEADER: Final = "X-Octosync-Delivery"
EVENT_HEADER: Final = "X-Octosync-Event"

_POST: Final = re.compile(r"\bPOST (/\S+)")  # within a hint
_OF_COMMITS: Final = frozenset({NotifyEvent.APPLIED, NotifyEvent.BLOCKED, NotifyEvent.FAILED})

# What each event means; the reference page is made from it.
EVENTS: Final[Mapping[NotifyEvent, str]] = MappingProxyType(
    {
        NotifyEvent.APPLIED: "A change of the manifests was applied: one notification per commit, sent when all of its apps are "
        "done or wait.",
        NotifyEvent.FAILED: "An app can't be read or written, or the control plane rejects a change or can't be reached.",
        NotifyEvent.DRIFT: "Live state was changed on the control plane; it was reverted at once, or this mode never reverts it.",
        NotifyEvent.HELD: "Live state was changed on the control plane; it is left alone until `until`.",
        NotifyEvent.BLOCKED: "A guard blocks a change, which waits for an approval or for another manifest.",
        NotifyEvent.CONTESTED: "An object was reverted three times in 24 hours, changed again each time, and is left alone.",
        NotifyEvent.UNCOVERED: "An app matches its manifest, but an enabled capability doesn't reach all of its devices.",
        NotifyEvent.RESOLVED: "A reported problem is over: drift was reverted, accepted or released, a blocked change was "
        "approved or withdrawn, a failure has ended, or a capability reaches all devices again.",
    }
)


class NotificationDocument(Document):
    """A notification's body. The reference page is made from it."""

    format_version: str = Field(
        description=f"`{FORMAT_VERSION}`; a new key changes the second number, any other change the first"
    )
    delivery: str = Field(
        description="the ID of this notification, the same for each attempt: use it to recognize duplicates"
    )
    event: Annotated[str, one_of(NotifyEvent)] = Field(description="the event")
    at: Time = Field(description="the time of the event, UTC")
    text: str = Field(
        description="all of it, for programs that show the `text` of a message: what happened, a line for each hint, the link"
    )
    message: str = Field(description="what happened, in one sentence")
    hints: list[str] = Field(description="what to do, a list of sentences")
    app: str | None = Field(description="the slug of the app; null if the event isn't about one app")
    apps: list[str] = Field(description=f"the slugs of all apps of the event, at most {MOST_APPS}")
    app_count: Count = Field(description="the number of apps")
    addresses: list[str] = Field(description=f"the objects, such as `app/notes/slot/chat`, at most {MOST_ADDRESSES}")
    address_count: Count = Field(description="the number of objects")
    actor: str | None = Field(description="the author of the change, if the activity feed has it; else null")
    until: Time | None = Field(description="held: the time of the revert, UTC; else null")
    guard: str | None = Field(description="blocked: the guard; else null")
    run: str | None = Field(description="the ID of the run that wrote, for `octosync history`; else null")
    revision: str | None = Field(description="the Git commit of the manifests; null if unknown")
    control_plane: ControlPlaneDocument = Field(
        description="`url`, `org_id` and `context`; the last two are null if unknown"
    )
    link: str | None = Field(description="the page of the app on the status page; null if the public URL is unknown")
    octosync_version: str = Field(description="the version of octosync")


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """An event, or a fact that holds until it is resolved.

    `app` is None if the notice is about several `apps`, or about none: then `matter` is its subject. `unfinished` counts the
    actions of a run that were not applied. `fingerprint` distinguishes facts about the same objects, such as the digest of the
    drifted values or an error's reference; without it, message, actor and time do. `actor`, `until`, `guard`, `run` and
    `revision` are None if unknown.
    """

    event: NotifyEvent
    at: datetime
    message: str
    app: str | None = None
    apps: tuple[str, ...] = ()
    matter: str = ""
    unfinished: int = 0
    addresses: tuple[Address, ...] = ()
    hints: tuple[str, ...] = ()
    actor: str | None = None
    until: datetime | None = None
    guard: str | None = None
    run: str | None = None
    revision: str | None = None
    fingerprint: str = ""

    @property
    def slugs(self) -> tuple[str, ...]:
        """The apps of the notice."""
        return self.apps or (() if self.app is None else (self.app,))

    @property
    def about(self) -> str:
        """The key of its subject: two notices with the same key are about the same objects, at two times."""
        objects = digest_of([str(address) for address in self.addresses])
        return f"{self.event.value} {self.guard or quote(self.matter) or '-'} {objects}"

    @property
    def fact(self) -> str:
        """The digest of its content: if it is unchanged, the fact was sent already."""
        return self.fingerprint or digest_of(
            [self.message, self.actor, None if self.until is None else utc_text(self.until)]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """The sender: its control plane, its version, and the public URL of the status page (None: unknown)."""

    control_plane: ControlPlane
    version: str
    external_url: str | None = None

    def link(self, app: str | None) -> str | None:
        """Return the address of an app's page, or of the status page itself."""
        if self.external_url is None:
            return None
        base = self.external_url.rstrip("/")
        return f"{base}/" if app is None else f"{base}/apps/{quote(app, safe='')}"

    def command(self, path: str) -> str:
        """Return how to send a POST: the complete command if the public URL is known."""
        return f"POST {path}" if self.external_url is None else post_line(self.external_url.rstrip("/"), path)


def document_of(notice: Notice, sender: Sender, delivery: str) -> JsonObject:
    """Return a notification's body."""
    message = visible(notice.message)
    hints = [visible(hint) for hint in notice.hints]
    document = NotificationDocument(
        format_version=FORMAT_VERSION,
        delivery=delivery,
        event=notice.event.value,
        at=utc_text(notice.at),
        text="\n".join(_lines(notice, sender, message, hints)),
        message=message,
        hints=hints,
        app=None if notice.app is None else visible(notice.app),
        apps=[visible(slug) for slug in notice.slugs[:MOST_APPS]],
        app_count=len(notice.slugs),
        addresses=[visible(str(address)) for address in notice.addresses[:MOST_ADDRESSES]],
        address_count=len(notice.addresses),
        actor=None if notice.actor is None else visible(notice.actor),
        until=None if notice.until is None else utc_text(notice.until),
        guard=notice.guard,
        run=notice.run,
        revision=notice.revision,
        control_plane=control_plane_part(sender.control_plane),
        link=sender.link(notice.app),
        octosync_version=sender.version,
    )
    return document.as_json()


def _lines(notice: Notice, sender: Sender, message: str, hints: Sequence[str]) -> Iterator[str]:
    """Yield the lines of the text: the event with its end and commit, the hints, and the link."""
    about = visible(notice.app) if notice.app is not None else counted(len(notice.apps), "app") if notice.apps else ""
    end = f"; reverted at {time_words(notice.until)}" if notice.until is not None else ""
    commit = f" (commit {notice.revision[:12]})" if notice.revision and notice.event in _OF_COMMITS else ""
    yield f"octosync · {notice.event.value}{f' · {about}' if about else ''}: {message}{end}{commit}"
    for hint in hints:
        yield _POST.sub(lambda found: sender.command(found[1]), hint)
    if (link := sender.link(notice.app)) is not None:
        yield link


def signature(secret: Secret, timestamp: str, body: bytes) -> str:
    """Return the value of `X-Octosync-Signature`: HMAC-SHA256 over `TIMESTAMP.BODY`, so that neither can be replaced."""
    made = hmac.new(secret.reveal().encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"sha256={made.hexdigest()}"


_NAMED: Final = 3  # apps and messages in a sentence
_HINTS: Final = 8

_OVER: Final = {
    NotifyEvent.HELD: "is no longer held",
    NotifyEvent.DRIFT: "no longer drifts",
    NotifyEvent.CONTESTED: "is no longer contested",
    NotifyEvent.FAILED: "no longer fails",
    NotifyEvent.UNCOVERED: "is no longer uncovered",
}


def bundle(notices: Iterable[Notice]) -> Iterator[tuple[Notice, tuple[Notice, ...]]]:
    """Yield one notice for each event, guard and matter, with the notices that it contains."""
    groups: dict[tuple[NotifyEvent, str | None, str], list[Notice]] = {}
    for notice in notices:
        kind = notice.message if notice.event is NotifyEvent.BLOCKED else notice.matter
        groups.setdefault((notice.event, notice.guard, kind), []).append(notice)
    for group in groups.values():
        yield (group[0] if len(group) == 1 else _together(group)), tuple(group)


def resolved_notice(notice: Notice, at: datetime, app: str) -> Notice:
    """Return the notice that a fact has ended."""
    if notice.event is NotifyEvent.BLOCKED:
        objects = counted(len(notice.addresses), "object")
        message = f"the guard {notice.guard} no longer blocks {objects if notice.addresses else 'anything'} of {app}"
    elif notice.matter:
        message = f"{notice.matter} can be used again"
    else:
        named = str(notice.addresses[0]) if len(notice.addresses) == 1 else app
        message = f"{named} {_OVER.get(notice.event, 'matches its manifest')}"
    return replace(notice, event=NotifyEvent.RESOLVED, at=at, message=message, hints=(), until=None, fingerprint="")


def _together(group: Sequence[Notice]) -> Notice:
    first = group[0]
    apps = tuple(sorted({slug for notice in group for slug in notice.slugs}))
    addresses = tuple(sorted({address for notice in group for address in notice.addresses}))
    actors = sorted({notice.actor or "an unknown author" for notice in group})
    runs = {notice.run for notice in group}
    made = replace(
        first,
        at=max(notice.at for notice in group),
        app=apps[0] if len(apps) == 1 else None,
        apps=apps,
        addresses=addresses,
        hints=tuple(dict.fromkeys(hint for notice in group for hint in notice.hints))[:_HINTS],
        actor=first.actor if len(actors) == 1 else None,
        until=min((notice.until for notice in group if notice.until is not None), default=None),
        run=first.run if len(runs) == 1 else None,
        unfinished=sum(notice.unfinished for notice in group),
    )
    return replace(made, message=_message(made, group, actors))


def _message(made: Notice, group: Sequence[Notice], actors: Sequence[str]) -> str:
    where = f"{counted(len(made.apps), 'app')} ({listed(made.apps, at_most=_NAMED)})"
    match made.event:
        case NotifyEvent.APPLIED:
            rest = f", {made.unfinished:,} not" if made.unfinished else ""
            return f"{counted(len(made.addresses), 'change')} applied in {where}{rest}"
        case NotifyEvent.BLOCKED:
            return f"{group[0].message}: {where}" if len(made.apps) > 1 else group[0].message
        case NotifyEvent.HELD:
            return f"{listed(actors, at_most=_NAMED)} changed {counted(len(made.addresses), 'object')} in {where}"
        case _:
            messages = tuple(dict.fromkeys(notice.message for notice in group))
            more = f"; and {len(messages) - _NAMED:,} more" if len(messages) > _NAMED else ""
            return "; ".join(messages[:_NAMED]) + more
