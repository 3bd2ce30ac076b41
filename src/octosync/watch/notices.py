"""What receivers are told: one value for each event, its JSON document, and the signature over it.

Names, counts, times and sentences, and no value of any field: a receiver sees no more than a log does.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from octosync.model import Address, JsonObject, NotifyEvent, Secret, digest_of
from octosync.plan import ControlPlane, utc_text
from octosync.report import visible

FORMAT_VERSION: Final = "1.0"
MOST_ADDRESSES: Final = 100

SIGNATURE_HEADER: Final = "X-Octosync-Signature"
TIMESTAMP_HEADER: Final = "X-Octosync-Timestamp"
DELIVERY_HEADER: Final = "X-Octosync-Delivery"
EVENT_HEADER: Final = "X-Octosync-Event"

# What each event means; the reference page is made from it.
EVENTS: Final[Mapping[NotifyEvent, str]] = MappingProxyType(
    {
        NotifyEvent.APPLIED: "A run has written to the control plane. Each is told.",
        NotifyEvent.FAILED: "An app can't be read or written, the control plane refuses something, or it can't be reached.",
        NotifyEvent.DRIFT: "Somebody changed something on the control plane, and it was written over, or in this mode never is.",
        NotifyEvent.HELD: "Somebody changed something on the control plane, and it is left alone until `until`.",
        NotifyEvent.BLOCKED: "A guard refuses something, and somebody has to decide.",
        NotifyEvent.CONTESTED: "An object was changed back three times in 24 hours, changed again each time, and is left alone.",
    }
)

# Every key of a notification's body, in order; the reference page is made from it.
BODY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "format_version": f"`{FORMAT_VERSION}`; a key that is added changes the second number, anything else the first",
        "delivery": "the id of this notification, the same each time it is sent: what comes twice is told apart by it",
        "event": "which event it is",
        "at": "when it happened, UTC",
        "text": "all of it in one line, for programs that show a message's `text`",
        "message": "what happened, one sentence",
        "hints": "what can be done about it, a list of sentences",
        "app": "the app's slug; null where it isn't about one app",
        "addresses": f"the objects, such as `app/notes/slot/chat`, at most {MOST_ADDRESSES}",
        "address_count": "how many objects it is about",
        "actor": "who changed it, as far as the activity feed tells; else null",
        "until": "held: when it is changed back, UTC; else null",
        "guard": "blocked: which guard it is; else null",
        "run": "the run that wrote, as `octosync history` takes it; else null",
        "revision": "the manifests' Git commit; null where it isn't known",
        "control_plane": "`url`, `org_id` and `context`, the last two null where they aren't known",
        "link": "the app's page on the status page; null where it is not known under which address people reach that",
        "octosync_version": "which octosync sent it",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing that happened, or that is so from now on.

    `fingerprint` is what makes it another fact about the same objects, such as the drifted values' digest or an error's
    reference; without one it is the message, actor and time. `actor`, `until`, `guard`, `run` and `revision` are None where
    there is none.
    """

    event: NotifyEvent
    at: datetime
    message: str
    app: str | None = None
    addresses: tuple[Address, ...] = ()
    hints: tuple[str, ...] = ()
    actor: str | None = None
    until: datetime | None = None
    guard: str | None = None
    run: str | None = None
    revision: str | None = None
    fingerprint: str = ""

    @property
    def about(self) -> str:
        """What it is about: two notices with the same are of the same thing, at two times."""
        objects = digest_of([str(one) for one in self.addresses])
        return f"{self.event.value} {self.guard or '-'} {objects}"

    @property
    def fact(self) -> str:
        """What is said about it: where that is the same, it was told already."""
        return self.fingerprint or digest_of(
            [self.message, self.actor, None if self.until is None else utc_text(self.until)]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who sends: which control plane it is about, which octosync, and where people find the status page (None: nowhere)."""

    control_plane: ControlPlane
    version: str
    external_url: str | None = None

    def link(self, app: str | None) -> str | None:
        """Return the address of an app's page, or of the status page itself."""
        if self.external_url is None:
            return None
        base = self.external_url.rstrip("/")
        return f"{base}/" if app is None else f"{base}/apps/{quote(app, safe='')}"


def document_of(notice: Notice, sender: Sender, delivery: str) -> JsonObject:
    """Return a notification's body; its keys are those of `BODY`."""
    plane = sender.control_plane
    message = visible(notice.message)
    app = None if notice.app is None else visible(notice.app)
    return {
        "format_version": FORMAT_VERSION,
        "delivery": delivery,
        "event": notice.event.value,
        "at": utc_text(notice.at),
        "text": f"octosync · {notice.event.value}{f' · {app}' if app is not None else ''}: {message}",
        "message": message,
        "hints": [visible(one) for one in notice.hints],
        "app": app,
        "addresses": [visible(str(one)) for one in notice.addresses[:MOST_ADDRESSES]],
        "address_count": len(notice.addresses),
        "actor": None if notice.actor is None else visible(notice.actor),
        "until": None if notice.until is None else utc_text(notice.until),
        "guard": notice.guard,
        "run": notice.run,
        "revision": notice.revision,
        "control_plane": {"url": plane.public_url, "org_id": plane.org_id, "context": plane.context},
        "link": sender.link(notice.app),
        "octosync_version": sender.version,
    }


def signature(secret: Secret, timestamp: str, body: bytes) -> str:
    """Return what `X-Octosync-Signature` holds: HMAC-SHA256 over `TIMESTAMP.BODY`, so that neither can be put to another."""
    made = hmac.new(secret.reveal().encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"sha256={made.hexdigest()}"
