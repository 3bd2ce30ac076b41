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
from octosync.watch.log import Log
from octosync.watch.notify.endpoints import Endpoint, endpoints
from octosync.watch.notify.notices import EVENTS, Notice, NotificationDocument, Sender, document_of
from octosync.watch.notify.webhook import DeliveryLimits, Notifier
from octosync.watch.settings import LogFormat

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
    """A clock whose time passes only during a wait, and then at once. Each wait lets other tasks run."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.waits: list[float] = []

    def now(self) -> datetime:
        """Return noon plus the time that has passed."""
        return NOON + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        """Return the seconds that have passed."""
        return self.passed

    async def sleep(self, seconds: float) -> None:
        """Let the time pass."""
        self.waits.append(seconds)
        self.passed += seconds
        await asyncio.sleep(0)


class StuckClock(FastClock):
    """A clock on which no wait ever ends."""

    async def sleep(self, seconds: float) -> None:
        """Wait forever."""
        self.waits.append(seconds)
        await asyncio.Event().wait()


@pytest.fixture
def state(tmp_path: Path) -> Iterator[WatchState]:
    with Journal(tmp_path / "state.db") as journal:
        yield WatchState(journal)


def _endpoint(server: ScriptedServer, *events: NotifyEvent, secret: str | None = None) -> Endpoint:
    return Endpoint(
        url=Secret(f"{server.url}{PATH}"),
        name=server.url,
        events=frozenset(events or NotifyEvent),
        secret=None if secret is None else Secret(secret),
    )


def _bodies(server: ScriptedServer) -> list[dict[str, Any]]:
    return [json.loads(request.body) for request in server.received]


@dataclass(slots=True)
class NotifierSetup:
    """A notifier with its log and clock."""

    notifier: Notifier
    logged: io.StringIO
    clock: FastClock

    @property
    def events(self) -> list[str]:
        """The events in the log."""
        return [json.loads(line)["event"] for line in self.logged.getvalue().splitlines()]

    async def wait_for_counts(self, **counts: int) -> None:
        """Wait until the notifier counts these deliveries, by result."""
        await until(lambda: dict(self.notifier.counts) == counts)


@asynccontextmanager
async def _running_notifier(
    *receivers: Endpoint, clock: FastClock | None = None, **options: Any
) -> AsyncIterator[NotifierSetup]:
    clock, logged = clock or FastClock(), io.StringIO()
    log = Log(logged, clock, format_=LogFormat.JSON)
    async with Notifier(receivers, SENDER, clock=clock, log=log, **options) as notifier:
        yield NotifierSetup(notifier, logged, clock)


async def test_an_event_is_one_post_of_json() -> None:
    """A receiver gets the documented body at its URL, with headers for the event and the delivery id."""
    async with scripted_server(OK) as server, _running_notifier(_endpoint(server)) as setup:
        setup.notifier.notify(HELD)
        await setup.wait_for_counts(delivered=1)
    (request,) = server.received
    (body,) = _bodies(server)
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
    """The body has the keys of the reference page, in that order, and the page explains every event."""
    assert list(document_of(HELD, SENDER, "d1")) == list(NotificationDocument.model_fields)
    assert set(EVENTS) == set(NotifyEvent)


def test_a_body_stays_small_and_harmless() -> None:
    """Addresses are truncated and counted, control characters are escaped, and the link works for any slug."""
    many = tuple(Address.of_slot("a/b", f"slot-{number}") for number in range(500))
    notice = replace(HELD, app="a/b", addresses=many, message="\x1b[2J\nevil", actor="\x07")
    document = document_of(notice, replace(SENDER, external_url="https://octosync.example.com/"), "d1")
    assert (len(document["addresses"]), document["address_count"]) == (100, 500)  # type: ignore[arg-type]
    assert (document["message"], document["actor"]) == ("\\x1b[2J\\nevil", "\\x07")
    assert document["link"] == "https://octosync.example.com/apps/a%2Fb"


def _documented_check() -> Callable[[bytes, Mapping[str, str], bytes, float], bool]:
    """Return the function with which a receiver verifies a notification, as the reference page shows it."""
    page = (ROOT / "docs" / "reference" / "notifications.md").read_text(encoding="utf-8")
    scope: dict[str, Any] = {}
    exec(page.partition("```python\n")[2].partition("```")[0], scope)  # noqa: S102 — the code of the page
    is_genuine: Callable[[bytes, Mapping[str, str], bytes, float], bool] = scope["is_genuine"]
    return is_genuine


async def test_a_signature_can_be_verified_as_documented() -> None:
    """The page's code accepts what was sent, and rejects another body, time or key, and the same request an hour later."""
    is_genuine = _documented_check()
    async with scripted_server(OK) as server, _running_notifier(_endpoint(server, secret=KEY)) as setup:
        setup.notifier.notify(HELD)
        await setup.wait_for_counts(delivered=1)
    (request,) = server.received
    sent = {name.title(): value for name, value in request.headers.items()}
    now = NOON.timestamp()
    assert is_genuine(KEY.encode(), sent, request.body, now)
    assert not is_genuine(KEY.encode(), sent, request.body + b" ", now)
    assert not is_genuine(KEY.encode(), {**sent, "X-Octosync-Timestamp": str(int(now) + 1)}, request.body, now)
    assert not is_genuine(b"another", sent, request.body, now)
    assert not is_genuine(KEY.encode(), sent, request.body, now + 3600)


async def test_a_receiver_that_recovers_gets_the_notification() -> None:
    """After a reset, a 500, a 429 or a hang it is sent again, each time later.

    The delivery id stays, the timestamp is new.
    """
    replies = (
        Reply(then=AfterReply.RESET),
        http_reply(500),
        http_reply(429, headers={"Retry-After": "40"}),
        Reply(then=AfterReply.HANG),
        OK,
    )
    short = timedelta(seconds=1)
    async with (
        scripted_server(*replies) as server,
        _running_notifier(_endpoint(server, secret=KEY), limits=DeliveryLimits(timeout=short)) as setup,
    ):
        setup.notifier.notify(HELD)
        await setup.wait_for_counts(delivered=1)
    assert len(server.received) == 5
    assert len({request.headers["x-octosync-delivery"] for request in server.received}) == 1
    assert len({request.body for request in server.received}) == 1
    assert len({request.headers["x-octosync-timestamp"] for request in server.received}) > 1
    assert len(setup.clock.waits) == 4
    assert setup.clock.waits[2] >= 40
    assert setup.events == ["notification_delayed"]


@pytest.mark.parametrize(
    "reply", [http_reply(302, headers={"Location": "/elsewhere"}), http_reply(404), http_reply(401)]
)
async def test_a_rejection_is_final(reply: Reply) -> None:
    """A rejected notification is not sent again, a redirect is not followed, and the next notification is still sent."""
    async with scripted_server(reply, OK) as server, _running_notifier(_endpoint(server)) as setup:
        setup.notifier.notify(HELD)
        setup.notifier.notify(APPLIED)
        await setup.wait_for_counts(given_up=1, delivered=1)
    assert [request.target for request in server.received] == [PATH, PATH]
    assert setup.events == ["notification_given_up"]


async def test_a_dead_receiver_is_given_up() -> None:
    """A notification is given up after a bounded time. Those queued behind it are tried at least once."""
    async with (
        scripted_server(http_reply(503)) as server,
        _running_notifier(_endpoint(server), limits=DeliveryLimits(give_up=timedelta(minutes=15))) as setup,
    ):
        for number in range(5):
            setup.notifier.notify(replace(APPLIED, run=f"r{number}"))
        await setup.wait_for_counts(given_up=5)
    assert setup.clock.passed <= 15 * 60
    assert list(dict.fromkeys(body["run"] for body in _bodies(server))) == ["r0", "r1", "r2", "r3", "r4"]


async def test_notify_never_waits() -> None:
    """A receiver that hangs delays neither the caller nor another receiver."""
    async with (
        scripted_server(Reply(then=AfterReply.HANG)) as hanging,
        scripted_server(OK) as healthy,
        _running_notifier(
            _endpoint(hanging), _endpoint(healthy), limits=DeliveryLimits(flush=timedelta(seconds=0.1))
        ) as setup,
    ):
        for number in range(20):
            setup.notifier.notify(replace(APPLIED, run=f"r{number}"))
        assert not hanging.received  # no other task has run yet
        await setup.wait_for_counts(delivered=20)
        assert len(hanging.received) == 1
    assert [body["run"] for body in _bodies(healthy)] == [f"r{number}" for number in range(20)]


async def test_the_queue_is_bounded() -> None:
    """The oldest of too many queued notifications are dropped.

    The log reports that once, and reports their number when the receiver is back.
    """
    answered = asyncio.Event()

    def answer(_: Request) -> Reply:
        return OK if answered.is_set() else http_reply(500)

    async with (
        scripted_server(answer) as server,
        _running_notifier(_endpoint(server), limits=DeliveryLimits(most=3), clock=StuckClock()) as setup,
    ):
        setup.notifier.notify(replace(APPLIED, run="first"))
        await until(lambda: bool(setup.clock.waits))
        for number in range(10):
            setup.notifier.notify(replace(APPLIED, run=f"r{number}"))
        assert setup.notifier.counts["dropped"] == 7
        answered.set()
    # Leaving the context sent what was queued, and tried the first once more.
    assert [body["run"] for body in _bodies(server)] == ["first", "first", "r7", "r8", "r9"]
    assert [event for event in setup.events if event != "notification_delayed"] == [
        "notification_dropped",
        "notifications_missed",
    ]


async def test_leaving_sends_what_is_queued() -> None:
    """A notification of the last moment is sent before the end."""
    async with scripted_server(OK) as server, _running_notifier(_endpoint(server)) as setup:
        setup.notifier.notify(HELD)
    assert len(server.received) == 1
    assert setup.notifier.counts == {"delivered": 1}


async def test_leaving_does_not_wait_for_a_receiver_that_hangs() -> None:
    """It ends after a short time, logs the number of unsent notifications, and leaves no task behind."""
    before = asyncio.all_tasks()
    async with (
        scripted_server(Reply(then=AfterReply.HANG)) as server,
        _running_notifier(_endpoint(server), limits=DeliveryLimits(flush=timedelta(seconds=0.05))) as setup,
    ):
        setup.notifier.notify(HELD)
        setup.notifier.notify(APPLIED)
        await server.requested.wait()
    assert setup.events == ["notifications_unsent"]
    assert json.loads(setup.logged.getvalue())["count"] == 2
    assert asyncio.all_tasks() == before


async def test_a_fact_is_notified_once_until_it_changes() -> None:
    """Unchanged drift is notified once. Other values or another end are notified again, and so is each run."""
    async with scripted_server(OK) as server, _running_notifier(_endpoint(server)) as setup:
        for _ in range(3):
            setup.notifier.record_facts("notes", [HELD])
            setup.notifier.notify(APPLIED)
        setup.notifier.record_facts("notes", [replace(HELD, fingerprint="b")])
        setup.notifier.record_facts("notes", [replace(HELD, fingerprint="", message="x")])
        setup.notifier.record_facts("notes", [replace(HELD, fingerprint="", message="x", until=None)])
        await setup.wait_for_counts(delivered=7)
    assert [body["event"] for body in _bodies(server)].count("held") == 4


async def test_drift_that_returns_is_notified_again() -> None:
    """Drift that was reverted and returns is news. The facts of other apps are unaffected."""
    of_memos = replace(HELD, app="memos")
    async with scripted_server(OK) as server, _running_notifier(_endpoint(server)) as setup:
        setup.notifier.record_facts("notes", [HELD])
        setup.notifier.record_facts("memos", [of_memos])
        setup.notifier.record_facts("notes", [])
        setup.notifier.record_facts("notes", [HELD])
        setup.notifier.record_facts("memos", [of_memos])
        await setup.wait_for_counts(delivered=4)
    assert [(body["event"], body["app"]) for body in _bodies(server)] == [
        ("held", "notes"),
        ("held", "memos"),
        ("resolved", "notes"),
        ("held", "notes"),
    ]
    assert _bodies(server)[2]["message"] == "app/notes/slot/chat is no longer held"


async def test_simultaneous_events_are_one_notification_per_kind() -> None:
    """A commit to 40 apps, or 15 changes by hand, are one body with the counts of apps and objects and the earliest end."""
    slugs = [f"app-{number:02}" for number in range(40)]
    applied = [replace(APPLIED, app=slug, addresses=(Address.of_slot(slug, "chat"),), run=slug) for slug in slugs]
    held = {
        slug: (
            replace(
                HELD, app=slug, addresses=(Address.of_slot(slug, "chat"),), until=NOON + timedelta(minutes=minutes)
            ),
        )
        for minutes, slug in enumerate(slugs[:15], 1)
    }
    async with scripted_server(OK) as server, _running_notifier(_endpoint(server)) as setup:
        setup.notifier.notify_all(held, applied)
        setup.notifier.notify_all(held, ())
        await setup.wait_for_counts(delivered=2)
    first, second = _bodies(server)
    assert (first["event"], first["app"], first["app_count"], len(first["apps"])) == ("applied", None, 40, 20)
    assert first["message"] == "40 changes applied in 40 apps (app-00, app-01, app-02 and 37 more)"
    assert (second["event"], second["app_count"], second["address_count"]) == ("held", 15, 15)
    assert second["message"] == "anna changed 15 objects in 15 apps (app-00, app-01, app-02 and 12 more)"
    assert second["until"] == "2026-03-01T12:01:00Z"


async def test_a_capability_that_is_covered_again_is_resolved() -> None:
    """Lost coverage is notified once, whatever the number of devices. Its resolution names the slot."""
    gap = replace(
        HELD, event=NotifyEvent.UNCOVERED, message="chat: 0 of 340 devices covered", until=None, fingerprint="uncovered"
    )
    async with scripted_server(OK) as server, _running_notifier(_endpoint(server)) as setup:
        setup.notifier.record_facts("notes", [gap])
        setup.notifier.record_facts("notes", [replace(gap, message="chat: 0 of 341 devices covered")])
        setup.notifier.record_facts("notes", [])
        await setup.wait_for_counts(delivered=2)
    assert [(body["event"], body["message"]) for body in _bodies(server)] == [
        ("uncovered", "chat: 0 of 340 devices covered"),
        ("resolved", "app/notes/slot/chat is no longer uncovered"),
    ]


async def test_the_revert_of_announced_drift_is_one_notification() -> None:
    """The revert of held drift resolves its notification and is no second event. Unannounced, it is sent as drift."""
    revert = replace(
        HELD,
        event=NotifyEvent.DRIFT,
        message="anna changed it, and it matches its manifest again",
        until=None,
        run="r1",
    )
    async with scripted_server(OK) as server, _running_notifier(_endpoint(server)) as setup:
        setup.notifier.record_facts("notes", [HELD])
        setup.notifier.notify_all({"notes": ()}, [revert])
        setup.notifier.notify_all({"notes": ()}, [revert])
        await setup.wait_for_counts(delivered=3)
    assert [(body["event"], body["run"]) for body in _bodies(server)] == [
        ("held", None),
        ("resolved", "r1"),
        ("drift", "r1"),
    ]
    assert _bodies(server)[1]["message"] == revert.message


async def test_a_fact_is_resolved_across_a_restart(state: WatchState) -> None:
    """What an earlier process notified is resolved by the next one, which then knows only its app and event."""
    plane = ControlPlane(url="https://api.octomil.com/api/v1")
    async with (
        scripted_server(OK) as server,
        _running_notifier(_endpoint(server), record=state.for_control_plane(plane)) as setup,
    ):
        setup.notifier.record_facts("notes", [HELD])
        setup.notifier.notify(
            Notice(event=NotifyEvent.FAILED, at=NOON, message="x", matter="the manifests", fingerprint="a")
        )
        await setup.wait_for_counts(delivered=2)
    async with (
        scripted_server(OK) as server,
        _running_notifier(_endpoint(server), record=state.for_control_plane(plane)) as setup,
    ):
        setup.notifier.record_facts("notes", [])
        setup.notifier.resolve("the control plane")
        setup.notifier.resolve("the manifests")
        await setup.wait_for_counts(delivered=2)
    assert [body["message"] for body in _bodies(server)] == [
        "notes is no longer held",
        "the manifests can be used again",
    ]


def test_the_text_has_the_commands_and_the_link() -> None:
    """The text for a chat has author, change and end, every command as it is typed, and the link to the page."""
    notice = replace(HELD, hints=("To keep it for some hours: POST /hold?app=notes&for=4h&reason=WHY",))
    document = document_of(notice, replace(SENDER, external_url="https://octosync.example.com/"), "d1")
    command = 'curl -X POST -H "Authorization: Bearer $OCTOSYNC_ADMIN_TOKEN"'
    assert str(document["text"]).splitlines() == [
        "octosync · held · notes: slot chat was changed by anna; reverted at 2026-03-01 12:30 UTC",
        f"To keep it for some hours: {command} 'https://octosync.example.com/hold?app=notes&for=4h&reason=WHY'",
        "https://octosync.example.com/apps/notes",
    ]
    assert document["hints"] == list(notice.hints)


async def test_a_failure_does_not_make_old_drift_news() -> None:
    """If an app could not be read, only that is notified, and its known drift is not notified again afterwards."""
    failed = Notice(event=NotifyEvent.FAILED, at=NOON, message="no answer", app="notes", fingerprint="unavailable")
    async with scripted_server(OK) as server, _running_notifier(_endpoint(server)) as setup:
        setup.notifier.record_facts("notes", [HELD])
        for _ in range(3):
            setup.notifier.notify(failed)
        setup.notifier.record_facts("notes", [HELD])
        setup.notifier.notify(failed)
        await setup.wait_for_counts(delivered=4)
    assert [body["event"] for body in _bodies(server)] == ["held", "failed", "resolved", "failed"]


async def test_a_restart_notifies_only_what_was_not_delivered(state: WatchState) -> None:
    """A delivered notification is not repeated after a restart.

    One that was given up is, and what ended meanwhile is resolved.
    """
    memory = state.for_control_plane(SENDER.control_plane)
    blocked = replace(HELD, event=NotifyEvent.BLOCKED, guard="deletes")
    async with (
        scripted_server(OK, http_reply(404)) as server,
        _running_notifier(_endpoint(server), record=memory) as setup,
    ):
        setup.notifier.record_facts("notes", [HELD, blocked])
        await setup.wait_for_counts(delivered=1, given_up=1)
    async with scripted_server(OK) as server, _running_notifier(_endpoint(server), record=memory) as setup:
        setup.notifier.record_facts("notes", [HELD, blocked])
        await setup.wait_for_counts(delivered=1)
        setup.notifier.record_facts("notes", [blocked])
    assert [body["event"] for body in _bodies(server)] == ["blocked", "resolved"]
    assert {about.split()[0] for _, about in memory.sent_notifications()} == {"blocked"}


async def test_a_failing_state_file_prevents_no_notification(state: WatchState) -> None:
    """What cannot be recorded is still sent, and the failure is logged."""
    memory = state.for_control_plane(SENDER.control_plane)
    async with scripted_server(OK) as server, _running_notifier(_endpoint(server), record=memory) as setup:
        state.journal.database.execute("drop table told")
        setup.notifier.record_facts("notes", [HELD])
        await setup.wait_for_counts(delivered=1)
        setup.notifier.record_facts("notes", [])
    assert setup.events == ["notifications_forgotten", "notifications_forgotten"]


async def test_a_notification_is_recorded_once_the_state_is_usable(state: WatchState) -> None:
    """What could not be recorded when it was sent is not sent again after a restart."""
    memory = state.for_control_plane(SENDER.control_plane)
    async with scripted_server(OK) as server, _running_notifier(_endpoint(server), record=memory) as setup:
        state.journal.database.execute("alter table told rename to unusable")
        setup.notifier.record_facts("notes", [HELD])
        await setup.wait_for_counts(delivered=1)
        state.journal.database.execute("alter table unusable rename to told")
        setup.notifier.resolve("the stored state")
    assert [app for app, _ in memory.sent_notifications()] == ["notes"]


async def test_a_receiver_gets_its_events_only() -> None:
    """`events` selects them. An event that no receiver has selected is not sent."""
    async with (
        scripted_server(OK) as first,
        scripted_server(OK) as second,
        _running_notifier(
            _endpoint(first, NotifyEvent.HELD), _endpoint(second, NotifyEvent.APPLIED, NotifyEvent.HELD)
        ) as setup,
    ):
        setup.notifier.notify(HELD)
        setup.notifier.notify(APPLIED)
        setup.notifier.notify(replace(HELD, event=NotifyEvent.CONTESTED))
        await setup.wait_for_counts(delivered=3)
    assert [body["event"] for body in _bodies(first)] == ["held"]
    assert [body["event"] for body in _bodies(second)] == ["held", "applied"]


async def test_a_url_that_the_client_rejects_is_contained() -> None:
    """An error of the HTTP client is logged without its text, and the other receivers are served."""
    async with scripted_server(OK) as server:
        broken = replace(_endpoint(server), url=Secret("http://very-secret\x00"))
        async with _running_notifier(broken, _endpoint(server)) as setup:
            setup.notifier.notify(HELD)
            setup.notifier.notify(APPLIED)
            await setup.wait_for_counts(given_up=2, delivered=2)
    assert setup.events.count("notification_crashed") == 2
    assert "very-secret" not in setup.logged.getvalue()


@pytest.mark.parametrize(
    "reply",
    [http_reply(500), http_reply(404), Reply(b"garbage\r\n\r\n", AfterReply.CLOSE), Reply(then=AfterReply.CLOSE)],
)
async def test_no_secret_is_logged(reply: Reply) -> None:
    """Whatever a receiver does, the log contains neither the key nor more of the URL than its origin."""
    async with scripted_server(reply) as server, _running_notifier(_endpoint(server, secret=KEY)) as setup:
        setup.notifier.notify(HELD)
        await setup.wait_for_counts(given_up=1)
    assert server.url in setup.logged.getvalue()
    assert "secret" not in setup.logged.getvalue()
    assert KEY not in setup.logged.getvalue()


def _receiver(url: str | None = None, **more: Any) -> Receiver:
    return Receiver(url=None if url is None else Secret(url), origin=Origin("octosync.yaml", 12, 5), **more)


def test_endpoints_are_read_from_variables() -> None:
    """URL and secret come from the named variables. Messages name the scheme, host and port only."""
    environment = {
        "OCTOSYNC_NOTIFY_URL": "https://Hooks.example.com:8443/T0/very-secret\n",
        "OCTOSYNC_NOTIFY_SECRET": KEY,
    }
    (endpoint,) = endpoints(
        [_receiver(url_env="OCTOSYNC_NOTIFY_URL", secret_env="OCTOSYNC_NOTIFY_SECRET")], environment
    )
    assert endpoint.url.reveal() == "https://Hooks.example.com:8443/T0/very-secret"
    assert (endpoint.name, endpoint.secret) == ("https://hooks.example.com:8443", Secret(KEY))
    assert "very-secret" not in repr(endpoint)


@pytest.mark.parametrize(
    ("receiver", "reference", "message"),
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
def test_a_bad_endpoint_is_one_error(receiver: Receiver, reference: str, message: str) -> None:
    """An unset variable, a malformed URL or plain http is one clear error with its place and no value."""
    environment = {"EMPTY": " ", "WRONG": "hooks.example.com/very-secret"}
    with pytest.raises(ConfigError) as caught:
        endpoints([receiver], environment)
    assert caught.value.reference == reference
    assert message in caught.value.message
    assert caught.value.hints
    assert "very-secret" not in f"{caught.value}{caught.value.hints}"


def test_plain_http_needs_loopback_or_insecure() -> None:
    """Loopback needs no encryption, and --insecure allows plain http elsewhere."""
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
        "0.0.0.0",  # noqa: S104 — not bound
        "[::]",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_commit_cannot_make_it_post_to_this_machine(scheme: str, host: str) -> None:
    """A loopback or link-local address is accepted from a variable only, because such services may give out credentials."""
    with pytest.raises(ConfigError, match="receiver-refused") as caught:
        endpoints([_receiver(f"{scheme}://{host}/very-secret")], {}, insecure=True)
    assert "urlEnv" in caught.value.hints[0]
    assert "very-secret" not in f"{caught.value}{caught.value.hints}"
    assert endpoints([_receiver(url_env="LOCAL")], {"LOCAL": f"{scheme}://{host}/x"}, insecure=True)


def test_proxies_are_honoured() -> None:
    """The proxy variables of the control plane also apply to receivers."""
    environment = {"HTTPS_PROXY": "proxy.example.com:3128", "NO_PROXY": "internal.example.com"}
    outer, inner = endpoints(
        [_receiver("https://a.com/x"), _receiver("https://hooks.internal.example.com/x")], environment
    )
    assert outer.proxy == Secret("http://proxy.example.com:3128")
    assert inner.proxy is None
    with pytest.raises(ConfigError, match="not the URL of an HTTP proxy"):
        endpoints([_receiver("https://a.com/x")], {"HTTPS_PROXY": "socks5://proxy.example.com"})
