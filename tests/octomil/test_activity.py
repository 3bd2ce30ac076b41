"""Feeds: the newest entries, then the new ones. None is lost or returned twice, and no request is unnecessary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.clients import client_of
from tests.support.plane import Plane

from octosync.errors import CredentialRefused, Missing, Rejected, RemoteError, Unavailable
from octosync.model import Event
from octosync.octomil.activity import MAX_NEW_PAGES, Feed, activity_feed, decisions_feed, follow_feed
from octosync.octomil.pagination import PAGE

ACTIVITY = "GET /api/v1/apps/shop/activity"


@dataclass
class Pages:
    """The feed of a control plane, newest first. `before` runs before each page and may change the feed."""

    ids: list[int] = field(default_factory=list)
    before: Callable[[], None] = lambda: None
    requests: int = 0

    async def read(self, offset: int, limit: int) -> tuple[Sequence[Event], bool]:
        """Return a page."""
        self.before()
        self.requests += 1
        page = self.ids[offset : offset + limit]
        return [Event(id=str(id_)) for id_ in page], offset + limit >= len(self.ids)

    def grow(self, count: int = 1) -> None:
        """Add `count` entries."""
        newest = max(self.ids, default=0)
        self.ids[:0] = range(newest + count, newest, -1)


def ids_of(entries: Sequence[Event]) -> list[int]:
    return [int(entry.id) for entry in entries]


@given(st.integers(0, 350), st.integers(0, 350))
async def test_the_newest_entries_take_as_few_pages_as_possible(existing: int, wanted: int) -> None:
    """N entries take ⌈N / 100⌉ requests and are returned newest last. The result states whether there are older ones."""
    pages = Pages()
    pages.grow(existing)
    newest = await Feed(pages.read).read_newest(wanted)
    assert ids_of(newest.entries) == list(range(max(0, existing - wanted) + 1, existing + 1))
    assert newest.complete is (existing <= wanted)
    assert pages.requests == max(1, -(-min(existing, wanted) // PAGE))


async def test_a_feed_that_grows_during_a_read_returns_nothing_twice() -> None:
    """An entry that arrives between two pages shifts them: overlapping entries are returned once, and the rest is read."""
    pages = Pages()
    pages.grow(300)
    pages.before = lambda: pages.grow(3)
    newest = await Feed(pages.read).read_newest(250)
    assert ids_of(newest.entries) == list(range(54, 304))


async def test_a_feed_without_pages_is_read_once() -> None:
    """A control plane that always returns the whole feed is not requested without end."""
    every = [Event(id=str(n)) for n in range(150)]
    offsets = []

    async def read(offset: int, limit: int) -> tuple[Sequence[Event], bool]:
        offsets.append((offset, limit))
        return every, False

    newest = await Feed(read).read_newest(200)
    assert len(newest.entries) == 150
    assert newest.complete
    assert len(offsets) == 1


async def test_a_feed_that_ignores_offsets_is_not_read_endlessly() -> None:
    """A control plane that always returns the first page gets two requests, and the feed does not count as complete."""
    offsets = []

    async def read(offset: int, limit: int) -> tuple[Sequence[Event], bool]:
        offsets.append(offset)
        return [Event(id=str(n)) for n in range(limit)], False

    newest = await Feed(read).read_newest(350)
    assert (len(newest.entries), newest.complete, offsets) == (100, False, [0, 100])


@given(st.integers(0, 150), st.lists(st.integers(0, 320), max_size=6), st.integers(0, 120))
async def test_following_loses_nothing_and_returns_nothing_twice(before: int, growth: list[int], limit: int) -> None:
    """All entries between two polls are returned once, in order; a poll without new entries is one request."""
    pages = Pages()
    pages.grow(before)
    feed = Feed(pages.read)
    returned = ids_of((await feed.read_newest(limit, to_follow=True)).entries)
    assert returned == list(range(max(0, before - limit) + 1, before + 1))
    for count in growth:
        pages.grow(count)
        pages.requests = 0
        news = await feed.read_new()
        returned += ids_of(news.entries)
        assert not news.gap
        assert pages.requests <= count // PAGE + 1
    assert returned == list(range(max(0, before - limit) + 1, before + sum(growth) + 1))


async def test_entries_of_the_same_time_may_be_reordered() -> None:
    """An entry that appears below a known one is returned; entries that only move are not."""
    pages = Pages([9, 8, 7, 5])
    feed = Feed(pages.read)
    assert ids_of((await feed.read_newest(2, to_follow=True)).entries) == [8, 9]
    pages.ids = [8, 9, 6, 7, 5]
    assert ids_of((await feed.read_new()).entries) == [6]
    assert ids_of((await feed.read_new()).entries) == []


async def test_more_entries_than_a_poll_reads_are_a_gap() -> None:
    """If too many entries arrive at once, the newest are returned, with a gap before them."""
    pages = Pages([1])
    feed = Feed(pages.read)
    await feed.read_newest(1, to_follow=True)
    pages.grow(MAX_NEW_PAGES * PAGE + 50)
    pages.requests = 0
    news = await feed.read_new()
    assert news.gap
    assert ids_of(news.entries) == list(range(52, MAX_NEW_PAGES * PAGE + 52))
    assert pages.requests == MAX_NEW_PAGES
    assert (await feed.read_new()).entries == ()


async def test_a_poll_that_fails_half_way_loses_nothing() -> None:
    """If the second page can't be read, the next poll returns all new entries."""
    pages = Pages([1])
    feed = Feed(pages.read)
    await feed.read_newest(1, to_follow=True)
    pages.grow(150)
    pages.requests = 0

    def second_fails() -> None:
        if pages.requests == 1:
            pages.requests += 1
            raise Unavailable("unavailable", "no")

    pages.before = second_fails
    with pytest.raises(Unavailable):
        await feed.read_new()
    assert ids_of((await feed.read_new()).entries) == list(range(2, 152))


async def test_failed_polls_are_reported_and_become_less_frequent() -> None:
    """Each failure is reported with the wait before the next poll, which doubles up to a minute. A success resets it."""
    pages = Pages([1])
    feed = Feed(pages.read)
    await feed.read_newest(1)
    reported: list[float] = []
    waits: list[float] = []
    fails = 5

    async def pause(seconds: float) -> None:
        waits.append(seconds)

    def failing() -> None:
        if len(waits) <= fails:
            raise Unavailable("unavailable", "no")
        pages.grow()

    pages.before = failing
    polls = follow_feed(feed, every=5, failed=lambda _, seconds: reported.append(seconds), pause=pause)
    assert ids_of((await anext(polls)).entries) == [2]
    assert ids_of((await anext(polls)).entries) == [3]
    assert reported == [10, 20, 40, 60, 60]
    assert waits == [5, 10, 20, 40, 60, 60, 5]


@pytest.mark.parametrize("kind", [CredentialRefused, Missing, Rejected])
async def test_a_permanent_error_ends_following(kind: type[RemoteError]) -> None:
    """A refused credential or a missing app ends the poll loop with its error."""
    pages = Pages([1])
    feed = Feed(pages.read)
    await feed.read_newest(1)

    def refuse() -> None:
        raise kind("refused", "no")

    async def pause(_: float) -> None:
        return

    pages.before = refuse
    with pytest.raises(kind):
        await anext(follow_feed(feed, every=1, failed=lambda *_: None, pause=pause))


async def test_an_apps_activity_is_read_over_http(plane: Plane) -> None:
    """The feed of the real control plane is read as a whole or only its end, with actors, resources and times."""
    plane.app("shop", "chat", target="com.shop")
    plane.app("other")
    async with client_of(plane.url) as client:
        feed = activity_feed(client, "shop")
        newest = await feed.read_newest(2, to_follow=True)
        assert [(entry.type, entry.resource) for entry in newest.entries] == [
            ("slot.created", ("slot", "chat")),
            ("target.created", ("target", "ios:com.shop")),
        ]
        assert not newest.complete
        assert all(entry.actor == "anonymous" and entry.at is not None for entry in newest.entries)
        plane.send("PATCH", "/apps/shop", {"name": "New"})
        assert [entry.type for entry in (await feed.read_new()).entries] == ["app.updated"]
        assert (await feed.read_new()).entries == ()
    assert [line for line in plane.log() if line.startswith("GET ")] == [ACTIVITY] * 3


async def test_an_apps_decisions_are_read_over_http(plane: Plane) -> None:
    """Routing decisions have route, variant and latency, newest last."""
    plane.app("shop", "chat")
    for route, latency in (("local", 40), ("cloud", 230.5)):
        body = {"app_slug": "shop", "capability": "chat", "route": route, "latency_ms": latency, "count": 1}
        plane.local("POST", "/requests", body)
    async with client_of(plane.url) as client:
        newest = await decisions_feed(client, "shop").read_newest(50)
    assert [(entry.route, entry.capability, entry.latency_ms) for entry in newest.entries] == [
        ("local", "chat", 40),
        ("cloud", "chat", 230.5),
    ]
    assert newest.complete


async def test_the_feed_of_a_missing_app_is_an_error(plane: Plane) -> None:
    """The feed of a missing app is not an empty feed."""
    async with client_of(plane.url) as client:
        with pytest.raises(Missing, match="app missing does not exist"):
            await activity_feed(client, "missing").read_newest(1)
        assert client.requests == 1


@pytest.mark.parametrize(
    "fault",
    [{"action": "not_found"}, {"action": "status", "status": 404, "code": "x"}, {"action": "html", "status": 404}],
)
async def test_a_missing_feed_is_not_a_missing_app(plane: Plane, fault: dict[str, object]) -> None:
    """If the feed returns any kind of 404 and the app exists, the error is that the feed is missing."""
    plane.app("shop")
    plane.break_with({"operation": "apps.activity", "times": None, **fault})
    async with client_of(plane.url) as client:
        with pytest.raises(Rejected, match="has no activity feed: app shop exists") as absent:
            await activity_feed(client, "shop").read_newest(1)
        assert any("api.operations.apps.activity" in hint for hint in absent.value.hints)
        with pytest.raises(Missing, match="app missing does not exist"):
            await activity_feed(client, "missing").read_newest(1)
