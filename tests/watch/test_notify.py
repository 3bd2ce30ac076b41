from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from docs.executing import ROOT
from tests.support.file_watch import until
from tests.support.scripted_server import AfterReply, Reply, Request, ScriptedServer, http_reply, scripted_server

from octosync.errors import ConfigError
from octosync.model import Address, NotifyEvent, Origin, Receiver, Secret
from octosync.plan import ControlPlane
from octosync.state import Journal, WatchState
from octosync.watch.log import Log, LogFormat
from octosync.watch.notify.endpoints import Endpoint, endpoints
from octosync.watch.notify.messages import EVENTS, Notice, NotificationDocument, Sender, document_of
from octosync.watch.notify.webhook import DeliveryLimits, Notifier

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PATH = "/hooks/T0-very-secret"
KEY = "signing-key-8f1c"
OK = http_reply(204)
SENDER = Sender(control_plane=ControlPlane(url="https://api.octomil.com/api/v1", context="production"), version="1.2.3")
HELD = Notice(
    event=NotifyEvent.HELD,
    at=NOON,
    message="slot chat was changed by anna",
    app="notes",
    addresses=(Address.of_slot("notes", "chat"),),
    hints=("octosync accept app/notes/slot/chat",),
    actor="anna",
    until=NOON + timedelta(minutes=30),
    fingerprint="a",
)
APPLIED = Notice(event=NotifyEvent.APPLIED, at=NOON, message="2 applied", app="notes", run="r1")


class FastClock:
    """Time passes only while somebody waits for it, and then at once; each wait lets other tasks go on."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.waits: list[float] = []

    def now(self) -> datetime:
        """Return noon, and what has passed since."""
        return NOON + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        """Return what has passed."""
        return self.passed

    async def sleep(self, seconds: float) -> None:
        """Let so much time pass."""
        self.waits.append(seconds)
        self.passed += seconds
        await asyncio.sleep(0)


class Stuck(FastClock):
    """A clock that never gets to the end of a wait."""

    async def sleep(self, seconds: float) -> None:
        """Wait for ever."""
        self.waits.append(seconds)
        await asyncio.Event().wait()


@pytest.fixture
def state(tmp_path: Path) -> Iterator[WatchState]:
    with Journal(tmp_path / "state.db") as journal:
        yield WatchState(journal)


def _endpoint(served: ScriptedServer, *events: NotifyEvent, secret: str | None = None) -> Endpoint:
    return Endpoint(
        url=Secret(f"{served.url}{PATH}"),
        name=served.url,
        events=frozenset(events or NotifyEvent),
        secret=None if secret is None else Secret(secret),
    )


def _bodies(served: ScriptedServer) -> list[dict[str, Any]]:
    return [json.loads(one.body) for one in served.received]


@dataclass(slots=True)
class NotificationRecord:
    """A notifier under test, with its log and clock."""

    notifier: Notifier
    logged: io.StringIO
    clock: FastClock

    @property
    def events(self) -> list[str]:
        """The events in the log."""
        return [json.loads(line)["event"] for line in self.logged.getvalue().splitlines()]

    async def settled(self, **counts: int) -> None:
        """Wait until so many were delivered, given up and dropped."""
        await until(lambda: dict(self.notifier.counts) == counts)


@asynccontextmanager
async def _notifying(*to: Endpoint, clock: FastClock | None = None, **how: Any) -> AsyncIterator[NotificationRecord]:
    clock, logged = clock or FastClock(), io.StringIO()
    log = Log(logged, clock, format_=LogFormat.JSON)
    async with Notifier(to, SENDER, clock=clock, log=log, **how) as notifier:
        yield NotificationRecord(notifier, logged, clock)


async def test_an_event_is_one_post_of_json() -> None:
    """A receiver gets the documented body at its URL, and headers that say which event and delivery it is."""
    async with scripted_server(OK) as served, _notifying(_endpoint(served)) as told:
        told.notifier.notify(HELD)
        await told.settled(delivered=1)
    (request,) = served.received
    (body,) = _bodies(served)
    assert (request.method, request.target, request.headers["content-type"]) == ("POST", PATH, "application/json")
    assert request.headers["x-octosync-event"] == "held"
    assert request.headers["x-octosync-delivery"] == body.pop("delivery")
    assert "x-octosync-signature" not in request.headers
    assert body == {
        "format_version": "1.1",
        "event": "held",
        "at": "2026-03-01T12:00:00Z",
        "text": "octosync · held · notes: slot chat was changed by anna; reverted at 2026-03-01 12:30 UTC\n"
        "octosync accept app/notes/slot/chat",
        "message": "slot chat was changed by anna",
        "hints": ["octosync accept app/notes/slot/chat"],
        "app": "notes",
        "apps": ["notes"],
        "app_count": 1,
        "addresses": ["app/notes/slot/chat"],
        "address_count": 1,
        "actor": "anna",
        "until": "2026-03-01T12:30:00Z",
        "guard": None,
        "run": None,
        "revision": None,
        "control_plane": {"url": "https://api.octomil.com/api/v1", "org_id": None, "context": "production"},
        "link": None,
        "octosync_version": "1.2.3",
    }


def test_the_body_is_as_documented() -> None:
    """The keys of the reference page are those that are sent, in order, and every event is explained there."""
    assert list(document_of(HELD, SENDER, "d1")) == list(NotificationDocument.model_fields)
    assert set(EVENTS) == set(NotifyEvent)


def test_a_body_stays_small_and_harmless() -> None:
    """Addresses are cut and counted; what would act on a terminal is shown; the link survives any slug."""
    many = tuple(Address.of_slot("a/b", f"slot-{number}") for number in range(500))
    notice = replace(HELD, app="a/b", addresses=many, message="\x1b[2J\nevil", actor="\x07")
    made = document_of(notice, replace(SENDER, external_url="https://octosync.example.com/"), "d1")
    assert (len(made["addresses"]), made["address_count"]) == (100, 500)  # type: ignore[arg-type]
    assert (made["message"], made["actor"]) == ("\\x1b[2J\\nevil", "\\x07")
    assert made["link"] == "https://octosync.example.com/apps/a%2Fb"


def _documented() -> Callable[[bytes, Mapping[str, str], bytes, float], bool]:
    """Return the function by which, as the reference page says, a receiver checks what it gets."""
    page = (ROOT / "docs" / "reference" / "notifications.md").read_text(encoding="utf-8")
    scope: dict[str, Any] = {}
    exec(page.partition("```python\n")[2].partition("```")[0], scope)  # noqa: S102 — it is what the page shows
    found: Callable[[bytes, Mapping[str, str], bytes, float], bool] = scope["is_genuine"]
    return found


async def test_a_signature_can_be_verified_as_documented() -> None:
    """The page's code takes what was sent; not another body, another time, another key, nor the same an hour later."""
    is_genuine = _documented()
    async with scripted_server(OK) as served, _notifying(_endpoint(served, secret=KEY)) as told:
        told.notifier.notify(HELD)
        await told.settled(delivered=1)
    (request,) = served.received
    sent = {name.title(): value for name, value in request.headers.items()}
    now = NOON.timestamp()
    assert is_genuine(KEY.encode(), sent, request.body, now)
    assert not is_genuine(KEY.encode(), sent, request.body + b" ", now)
    assert not is_genuine(KEY.encode(), {**sent, "X-Octosync-Timestamp": str(int(now) + 1)}, request.body, now)
    assert not is_genuine(b"another", sent, request.body, now)
    assert not is_genuine(KEY.encode(), sent, request.body, now + 3600)


async def test_a_receiver_that_recovers_gets_it() -> None:
    """No connection, a 500, a 429 and a hang are tried again, later each time; the delivery id stays, the time is anew."""
    replies = (
        Reply(then=AfterReply.RESET),
        http_reply(500),
        http_reply(429, headers={"Retry-After": "40"}),
        Reply(then=AfterReply.HANG),
        OK,
    )
    short = timedelta(seconds=1)
    async with (
        scripted_server(*replies) as served,
        _notifying(_endpoint(served, secret=KEY), limits=DeliveryLimits(timeout=short)) as told,
    ):
        told.notifier.notify(HELD)
        await told.settled(delivered=1)
    assert len(served.received) == 5
    assert len({one.headers["x-octosync-delivery"] for one in served.received}) == 1
    assert len({one.body for one in served.received}) == 1
    assert len({one.headers["x-octosync-timestamp"] for one in served.received}) > 1
    assert len(told.clock.waits) == 4
    assert told.clock.waits[2] >= 40
    assert told.events == ["notification_delayed"]


@pytest.mark.parametrize(
    "reply", [http_reply(302, headers={"Location": "/elsewhere"}), http_reply(404), http_reply(401)]
)
async def test_a_refusal_is_final(reply: Reply) -> None:
    """What the receiver refuses isn't sent again, a redirect isn't followed, and the next notice is sent all the same."""
    async with scripted_server(reply, OK) as served, _notifying(_endpoint(served)) as told:
        told.notifier.notify(HELD)
        told.notifier.notify(APPLIED)
        await told.settled(given_up=1, delivered=1)
    assert [one.target for one in served.received] == [PATH, PATH]
    assert told.events == ["notification_given_up"]


async def test_a_dead_receiver_is_given_up() -> None:
    """After a bounded time a notice is given up; those that waited behind it are tried at least once."""
    async with (
        scripted_server(http_reply(503)) as served,
        _notifying(_endpoint(served), limits=DeliveryLimits(give_up=timedelta(minutes=15))) as told,
    ):
        for number in range(5):
            told.notifier.notify(replace(APPLIED, run=f"r{number}"))
        await told.settled(given_up=5)
    assert told.clock.passed <= 15 * 60
    assert list(dict.fromkeys(body["run"] for body in _bodies(served))) == ["r0", "r1", "r2", "r3", "r4"]


async def test_telling_never_waits() -> None:
    """A receiver that hangs holds up neither the caller nor another receiver."""
    async with (
        scripted_server(Reply(then=AfterReply.HANG)) as hanging,
        scripted_server(OK) as other,
        _notifying(_endpoint(hanging), _endpoint(other), limits=DeliveryLimits(flush=timedelta(seconds=0.1))) as told,
    ):
        for number in range(20):
            told.notifier.notify(replace(APPLIED, run=f"r{number}"))
        assert not hanging.received  # no task but this one has had its turn yet
        await told.settled(delivered=20)
        assert len(hanging.received) == 1
    assert [body["run"] for body in _bodies(other)] == [f"r{number}" for number in range(20)]


async def test_the_queue_is_bounded() -> None:
    """Of too many that wait the oldest are dropped; it is logged once, and how many were missed when the receiver is back."""
    answered = asyncio.Event()

    def answer(_: Request) -> Reply:
        return OK if answered.is_set() else http_reply(500)

    async with (
        scripted_server(answer) as served,
        _notifying(_endpoint(served), limits=DeliveryLimits(most=3), clock=Stuck()) as told,
    ):
        told.notifier.notify(replace(APPLIED, run="first"))
        await until(lambda: bool(told.clock.waits))
        for number in range(10):
            told.notifier.notify(replace(APPLIED, run=f"r{number}"))
        assert told.notifier.counts["dropped"] == 7
        answered.set()
    # Leaving the context let out what still waited, and tried the first once more.
    assert [body["run"] for body in _bodies(served)] == ["first", "first", "r7", "r8", "r9"]
    assert [one for one in told.events if one != "notification_delayed"] == [
        "notification_dropped",
        "notifications_missed",
    ]


async def test_leaving_lets_out_what_waits() -> None:
    """What was told in the last moment is sent before the end."""
    async with scripted_server(OK) as served, _notifying(_endpoint(served)) as told:
        told.notifier.notify(HELD)
    assert len(served.received) == 1
    assert told.notifier.counts == {"delivered": 1}


async def test_leaving_does_not_wait_for_a_receiver_that_hangs() -> None:
    """After a moment it ends, says what was not sent, and leaves no task behind."""
    before = asyncio.all_tasks()
    async with (
        scripted_server(Reply(then=AfterReply.HANG)) as served,
        _notifying(_endpoint(served), limits=DeliveryLimits(flush=timedelta(seconds=0.05))) as told,
    ):
        told.notifier.notify(HELD)
        told.notifier.notify(APPLIED)
        await served.asked.wait()
    assert told.events == ["notifications_unsent"]
    assert json.loads(told.logged.getvalue())["count"] == 2
    assert asyncio.all_tasks() == before


async def test_a_fact_is_told_once_until_it_changes() -> None:
    """The same drift turn after turn is one notice; other values, or another end, are another; each run is news."""
    async with scripted_server(OK) as served, _notifying(_endpoint(served)) as told:
        for _ in range(3):
            told.notifier.record_facts("notes", [HELD])
            told.notifier.notify(APPLIED)
        told.notifier.record_facts("notes", [replace(HELD, fingerprint="b")])
        told.notifier.record_facts("notes", [replace(HELD, fingerprint="", message="x")])
        told.notifier.record_facts("notes", [replace(HELD, fingerprint="", message="x", until=None)])
        await told.settled(delivered=7)
    assert [body["event"] for body in _bodies(served)].count("held") == 4


async def test_what_ends_and_begins_again_is_told_again() -> None:
    """Drift that was changed back and comes again is news, and other apps' facts are left alone by that."""
    other = replace(HELD, app="memos")
    async with scripted_server(OK) as served, _notifying(_endpoint(served)) as told:
        told.notifier.record_facts("notes", [HELD])
        told.notifier.record_facts("memos", [other])
        told.notifier.record_facts("notes", [])
        told.notifier.record_facts("notes", [HELD])
        told.notifier.record_facts("memos", [other])
        await told.settled(delivered=4)
    assert [(body["event"], body["app"]) for body in _bodies(served)] == [
        ("held", "notes"),
        ("held", "memos"),
        ("resolved", "notes"),
        ("held", "notes"),
    ]
    assert _bodies(served)[2]["message"] == "app/notes/slot/chat is no longer held"


async def test_what_comes_together_is_one_notification_for_each_event() -> None:
    """A commit to 40 apps, or 15 changes by hand, are one body that counts apps and objects, with the first end."""
    slugs = [f"app-{number:02}" for number in range(40)]
    applied = [replace(APPLIED, app=slug, addresses=(Address.of_slot(slug, "chat"),), run=slug) for slug in slugs]
    held = {
        slug: (
            replace(HELD, app=slug, addresses=(Address.of_slot(slug, "chat"),), until=NOON + timedelta(minutes=place)),
        )
        for place, slug in enumerate(slugs[:15], 1)
    }
    async with scripted_server(OK) as served, _notifying(_endpoint(served)) as told:
        told.notifier.notify_all(held, applied)
        told.notifier.notify_all(held, ())
        await told.settled(delivered=2)
    first, second = _bodies(served)
    assert (first["event"], first["app"], first["app_count"], len(first["apps"])) == ("applied", None, 40, 20)
    assert first["message"] == "40 changes applied in 40 apps (app-00, app-01, app-02 and 37 more)"
    assert (second["event"], second["app_count"], second["address_count"]) == ("held", 15, 15)
    assert second["message"] == "anna changed 15 objects in 15 apps (app-00, app-01, app-02 and 12 more)"
    assert second["until"] == "2026-03-01T12:01:00Z"


async def test_a_capability_that_is_covered_again_is_resolved() -> None:
    """Lost coverage is notified once, whatever the number of devices; its end names the slot."""
    gap = replace(
        HELD, event=NotifyEvent.UNCOVERED, message="chat: 0 of 340 devices covered", until=None, fingerprint="uncovered"
    )
    async with scripted_server(OK) as served, _notifying(_endpoint(served)) as told:
        told.notifier.record_facts("notes", [gap])
        told.notifier.record_facts("notes", [replace(gap, message="chat: 0 of 341 devices covered")])
        told.notifier.record_facts("notes", [])
        await told.settled(delivered=2)
    assert [(body["event"], body["message"]) for body in _bodies(served)] == [
        ("uncovered", "chat: 0 of 340 devices covered"),
        ("resolved", "app/notes/slot/chat is no longer uncovered"),
    ]


async def test_a_revert_that_was_announced_is_one_notification() -> None:
    """That held drift was changed back resolves what was told, and is no second event; without that it is told as drift."""
    back = replace(
        HELD,
        event=NotifyEvent.DRIFT,
        message="anna changed it, and it matches its manifest again",
        until=None,
        run="r1",
    )
    async with scripted_server(OK) as served, _notifying(_endpoint(served)) as told:
        told.notifier.record_facts("notes", [HELD])
        told.notifier.notify_all({"notes": ()}, [back])
        told.notifier.notify_all({"notes": ()}, [back])
        await told.settled(delivered=3)
    assert [(body["event"], body["run"]) for body in _bodies(served)] == [
        ("held", None),
        ("resolved", "r1"),
        ("drift", "r1"),
    ]
    assert _bodies(served)[1]["message"] == back.message


async def test_what_was_told_before_a_restart_is_over_after_it(state: WatchState) -> None:
    """The end of what an earlier process told is told, though no more than its app and event is known by then."""
    plane = ControlPlane(url="https://api.octomil.com/api/v1")
    async with (
        scripted_server(OK) as served,
        _notifying(_endpoint(served), record=state.for_control_plane(plane)) as told,
    ):
        told.notifier.record_facts("notes", [HELD])
        told.notifier.notify(
            Notice(event=NotifyEvent.FAILED, at=NOON, message="x", matter="the manifests", fingerprint="a")
        )
        await told.settled(delivered=2)
    async with (
        scripted_server(OK) as served,
        _notifying(_endpoint(served), record=state.for_control_plane(plane)) as told,
    ):
        told.notifier.record_facts("notes", [])
        told.notifier.resolve("the control plane")
        told.notifier.resolve("the manifests")
        await told.settled(delivered=2)
    assert [body["message"] for body in _bodies(served)] == [
        "notes is no longer held",
        "the manifests can be used again",
    ]


def test_the_text_has_the_commands_and_the_link() -> None:
    """What a chat shows says who, what, until when, each way out as it is typed, and where the page is."""
    notice = replace(HELD, hints=("To keep it for some hours: POST /hold?app=notes&for=4h&reason=WHY",))
    made = document_of(notice, replace(SENDER, external_url="https://octosync.example.com/"), "d1")
    command = 'curl -X POST -H "Authorization: Bearer $OCTOSYNC_ADMIN_TOKEN"'
    assert str(made["text"]).splitlines() == [
        "octosync · held · notes: slot chat was changed by anna; reverted at 2026-03-01 12:30 UTC",
        f"To keep it for some hours: {command} 'https://octosync.example.com/hold?app=notes&for=4h&reason=WHY'",
        "https://octosync.example.com/apps/notes",
    ]
    assert made["hints"] == list(notice.hints)


async def test_a_failure_does_not_make_old_drift_news() -> None:
    """A turn that could not read the app only tells that: the drift that it knows nothing of isn't told again afterwards."""
    failed = Notice(event=NotifyEvent.FAILED, at=NOON, message="no answer", app="notes", fingerprint="unavailable")
    async with scripted_server(OK) as served, _notifying(_endpoint(served)) as told:
        told.notifier.record_facts("notes", [HELD])
        for _ in range(3):
            told.notifier.notify(failed)
        told.notifier.record_facts("notes", [HELD])
        told.notifier.notify(failed)
        await told.settled(delivered=4)
    assert [body["event"] for body in _bodies(served)] == ["held", "failed", "resolved", "failed"]


async def test_a_restart_tells_only_what_nobody_got(state: WatchState) -> None:
    """What every receiver got is not told again after a restart; what was given up is, and what ended meanwhile is news."""
    memory = state.for_control_plane(SENDER.control_plane)
    blocked = replace(HELD, event=NotifyEvent.BLOCKED, guard="deletes")
    async with scripted_server(OK, http_reply(404)) as served, _notifying(_endpoint(served), record=memory) as told:
        told.notifier.record_facts("notes", [HELD, blocked])
        await told.settled(delivered=1, given_up=1)
    async with scripted_server(OK) as served, _notifying(_endpoint(served), record=memory) as told:
        told.notifier.record_facts("notes", [HELD, blocked])
        await told.settled(delivered=1)
        told.notifier.record_facts("notes", [blocked])
    assert [body["event"] for body in _bodies(served)] == ["blocked", "resolved"]
    assert {about.split()[0] for _, about in memory.sent_notifications()} == {"blocked"}


async def test_a_state_file_that_fails_keeps_nobody_from_hearing(state: WatchState) -> None:
    """What can't be remembered is told all the same, and logged."""
    memory = state.for_control_plane(SENDER.control_plane)
    async with scripted_server(OK) as served, _notifying(_endpoint(served), record=memory) as told:
        state.journal.database.execute("drop table told")
        told.notifier.record_facts("notes", [HELD])
        await told.settled(delivered=1)
        told.notifier.record_facts("notes", [])
    assert told.events == ["notifications_forgotten", "notifications_forgotten"]


async def test_a_receiver_hears_of_its_events_only() -> None:
    """`events` chooses; what nobody wants to hear of isn't sent at all."""
    async with (
        scripted_server(OK) as one,
        scripted_server(OK) as other,
        _notifying(_endpoint(one, NotifyEvent.HELD), _endpoint(other, NotifyEvent.APPLIED, NotifyEvent.HELD)) as told,
    ):
        told.notifier.notify(HELD)
        told.notifier.notify(APPLIED)
        told.notifier.notify(replace(HELD, event=NotifyEvent.CONTESTED))
        await told.settled(delivered=3)
    assert [body["event"] for body in _bodies(one)] == ["held"]
    assert [body["event"] for body in _bodies(other)] == ["held", "applied"]


async def test_one_that_can_not_be_sent_at_all_ends_nothing() -> None:
    """What the HTTP client itself chokes on is logged without its text, and other receivers hear as ever."""
    async with scripted_server(OK) as served:
        broken = replace(_endpoint(served), url=Secret("http://very-secret\x00"))
        async with _notifying(broken, _endpoint(served)) as told:
            told.notifier.notify(HELD)
            told.notifier.notify(APPLIED)
            await told.settled(given_up=2, delivered=2)
    assert told.events.count("notification_crashed") == 2
    assert "very-secret" not in told.logged.getvalue()


@pytest.mark.parametrize(
    "reply",
    [http_reply(500), http_reply(404), Reply(b"garbage\r\n\r\n", AfterReply.CLOSE), Reply(then=AfterReply.CLOSE)],
)
async def test_no_secret_is_logged(reply: Reply) -> None:
    """Whatever a receiver does, neither its URL beyond the host nor the key is in the log."""
    async with scripted_server(reply) as served, _notifying(_endpoint(served, secret=KEY)) as told:
        told.notifier.notify(HELD)
        await told.settled(given_up=1)
    assert served.url in told.logged.getvalue()
    assert "secret" not in told.logged.getvalue()
    assert KEY not in told.logged.getvalue()


def _receiver(url: str | None = None, **more: Any) -> Receiver:
    return Receiver(url=None if url is None else Secret(url), origin=Origin("octosync.yaml", 12, 5), **more)


def test_what_a_receiver_needs_is_looked_up() -> None:
    """URL and secret come from the variables that are named; a name for messages is scheme, host and port."""
    environment = {
        "OCTOSYNC_NOTIFY_URL": "https://Hooks.example.com:8443/T0/very-secret\n",
        "OCTOSYNC_NOTIFY_SECRET": KEY,
    }
    (found,) = endpoints([_receiver(url_env="OCTOSYNC_NOTIFY_URL", secret_env="OCTOSYNC_NOTIFY_SECRET")], environment)
    assert found.url.reveal() == "https://Hooks.example.com:8443/T0/very-secret"
    assert (found.name, found.secret) == ("https://hooks.example.com:8443", Secret(KEY))
    assert "very-secret" not in repr(found)


@pytest.mark.parametrize(
    ("receiver", "reference", "says"),
    [
        (
            _receiver(url_env="NOWHERE"),
            "notify-variable-unset",
            "notify (octosync.yaml:12) takes its URL from NOWHERE, ",
        ),
        (_receiver(url_env="EMPTY"), "notify-variable-unset", "EMPTY, which is not set"),
        (_receiver("https://a", secret_env="NOWHERE"), "notify-variable-unset", "the secret that it signs with"),
        (_receiver(url_env="WRONG"), "bad-url", "notify (octosync.yaml:12): the URL is not an http"),
        (
            _receiver("http://hooks.example.com/very-secret"),
            "insecure-url",
            "http://hooks.example.com would be sent unencrypted",
        ),
    ],
)
def test_what_is_missing_is_said_at_the_start(receiver: Receiver, reference: str, says: str) -> None:
    """A variable that isn't set, a URL that is none, plain http: one clear error, with its place, and no value in it."""
    environment = {"EMPTY": " ", "WRONG": "hooks.example.com/very-secret"}
    with pytest.raises(ConfigError) as caught:
        endpoints([receiver], environment)
    assert caught.value.reference == reference
    assert says in caught.value.message
    assert caught.value.hints
    assert "very-secret" not in f"{caught.value}{caught.value.hints}"


def test_plain_http_is_for_this_machine_or_asked_for() -> None:
    """Loopback needs no encryption, and --insecure allows it beyond."""
    assert endpoints([_receiver(url_env="LOCAL")], {"LOCAL": "http://127.0.0.1:9000/x"})
    assert endpoints([_receiver("http://alerts.monitoring.svc/x")], {}, insecure=True)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.8.8.8:15000",
        "localhost",
        "LOCALHOST.",
        "admin.localhost",
        "[::1]:9901",
        "169.254.169.254",
        "[fe80::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",  # noqa: S104  not bound
        "[::]",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_commit_can_not_make_it_post_to_this_machine(scheme: str, host: str) -> None:
    """What listens beside the controller, or gives out credentials on its link, is named by a variable or not at all."""
    with pytest.raises(ConfigError, match="receiver-refused") as caught:
        endpoints([_receiver(f"{scheme}://{host}/very-secret")], {}, insecure=True)
    assert "urlEnv" in caught.value.hints[0]
    assert "very-secret" not in f"{caught.value}{caught.value.hints}"
    assert endpoints([_receiver(url_env="LOCAL")], {"LOCAL": f"{scheme}://{host}/x"}, insecure=True)


def test_proxies_are_honoured() -> None:
    """The same variables as for the control plane say by which proxy a receiver is reached."""
    environment = {"HTTPS_PROXY": "proxy.example.com:3128", "NO_PROXY": "internal.example.com"}
    outer, inner = endpoints(
        [_receiver("https://a.com/x"), _receiver("https://hooks.internal.example.com/x")], environment
    )
    assert outer.proxy == Secret("http://proxy.example.com:3128")
    assert inner.proxy is None
    with pytest.raises(ConfigError, match="not the URL of an HTTP proxy"):
        endpoints([_receiver("https://a.com/x")], {"HTTPS_PROXY": "socks5://proxy.example.com"})
