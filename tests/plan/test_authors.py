"""The author of a live change: what a plan claims, and what it never claims."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.support.states import NOW, desired_app, live_app, live_deployment, observation, plan_of

from octosync.errors import Missing
from octosync.model import Address, App, Event, Observation
from octosync.plan import Plan, ReadNeeds

SLOT = Address.of_slot("a", "chat")
AUTHORS_NEEDED = ReadNeeds(canaries=False, traffic=False, authors_since=NOW - timedelta(minutes=30))
WANTED = desired_app("a", slots={"chat": {"serving_policy": "local_only"}})
LIVE = live_app("a", slots={"chat": {}})


def event(id_: str = "evt_1", resource: tuple[str, str] | None = ("slot", "chat"), **more: Any) -> Event:
    """Return an event of app a."""
    return Event(**{"id": id_, "app": "a", "actor": "ana", "resource": resource, "at": NOW, **more})


def plan(*events: Event, app_events: tuple[Event, ...] | None = None, live: App = LIVE, wanted: App = WANTED) -> Plan:
    """Plan a slot that differs, with the activity feed of the org, and that of the app if it was read."""
    feeds = {} if app_events is None else {"a": app_events}
    return plan_of(wanted, observation(live, org_feed=events, app_feeds=feeds), read_needs=AUTHORS_NEEDED)


def claim(made: Plan, address: Address = SLOT) -> tuple[str | None, bool] | None:
    """Return the actor, and whether it is only the actor of the app's last change."""
    last = made.last_changes.get(address)
    return None if last is None else (last.event.actor, last.of_app)


def test_the_newest_event_about_the_object_counts() -> None:
    """The newest event counts; events of other objects and other apps are skipped."""
    made = plan(
        event("evt_4", ("slot", "tts"), actor="tom"),
        event("evt_3", actor="zoe", app="b"),
        event("evt_2", actor="ben"),
        event("evt_1", actor="ana"),
    )
    assert claim(made) == ("ben", False)
    assert made.last_changes[SLOT].event.id == "evt_2"


def test_an_event_that_names_no_object_is_the_apps_last_change() -> None:
    """An event without `resource` is the last change of the app, and is reported as that."""
    assert claim(plan(event(resource=None))) == ("ana", True)


def test_an_app_is_found_in_the_feed_by_its_id() -> None:
    """An event with the app's ID and no slug is about that app; an event with another ID is not."""
    assert claim(plan(event(app=None, app_id="id-a"))) == ("ana", False)
    assert claim(plan(event(app=None, app_id="id-b"))) is None
    assert claim(plan(event(app=None, app_id=None))) is None


def test_an_event_without_an_actor_is_no_claim() -> None:
    """An event without an actor has no author, an older event is not claimed as the last, and no feed is read again."""
    made = plan(event("evt_2", actor=None), event("evt_1", actor="ana"))
    assert claim(made) is None
    assert not made.questions


def test_without_a_feed_there_is_no_claim() -> None:
    """A feed that could not be read, or was not needed, gives no claim. Neither it nor an app's feed is read again."""
    unread = observation(LIVE, org_feed=Missing("unknown-route", "no such route"))
    made = plan_of(WANTED, unread, read_needs=AUTHORS_NEEDED)
    assert claim(made) is None
    assert not made.questions
    assert not plan_of(WANTED, observation(LIVE), read_needs=ReadNeeds(canaries=False, traffic=False)).questions


def test_the_orgs_feed_is_read_before_the_apps() -> None:
    """First the org's feed, back to the given time; then, once, the feed of each app with an older change."""
    first = plan_of(WANTED, observation(LIVE), read_needs=AUTHORS_NEEDED)
    assert first.questions.org_feed_since == AUTHORS_NEEDED.authors_since
    assert first.questions.app_feeds == ()
    second = plan()
    assert second.questions.app_feeds == ("a",)
    third = plan(app_events=(event(actor="old hand"),))
    assert claim(third) == ("old hand", False)
    assert not third.questions
    assert not plan(app_events=()).questions


def test_at_most_ten_app_feeds_are_read() -> None:
    """Of many apps with older changes, the first ten by name are read once, and no others after that."""
    slugs = [f"app-{number:02}" for number in range(12)]
    wanted = [desired_app(slug, slots={"chat": {"serving_policy": "local_only"}}) for slug in slugs]
    live = [live_app(slug, slots={"chat": {}}) for slug in slugs]
    seen = observation(*live, org_feed=())
    assert plan_of(wanted, seen, read_needs=AUTHORS_NEEDED).questions.app_feeds == tuple(slugs[:10])
    for events in ((), (event(app=None),)):
        answered = observation(*live, org_feed=(), app_feeds=dict.fromkeys(slugs[:10], events))
        assert not plan_of(wanted, answered, read_needs=AUTHORS_NEEDED).questions


@pytest.mark.parametrize(
    ("wanted", "live"),
    [
        (desired_app("a", slots={"chat": {}}), live_app("a")),
        (desired_app("a", slots={"chat": {}}), LIVE),
        (desired_app("a", archived=True), LIVE),
        (desired_app("a", slots={"chat": {}}, deploy={"chat": "production"}), LIVE),
    ],
    ids=["created", "unchanged", "archived", "enabled"],
)
def test_a_plan_without_updates_and_deletes_reads_no_feed(wanted: App, live: App) -> None:
    """Only updates and deletes have an author: a plan without them does not read the feed."""
    made = plan_of(wanted, observation(live), read_needs=AUTHORS_NEEDED)
    assert made.questions.org_feed_since is None
    assert made.last_changes == {}


def test_both_halves_of_a_move_have_no_author() -> None:
    """A move is a change of the manifests."""
    wanted = [desired_app("a", targets=[]), desired_app("b", targets=["ios:x"])]
    seen = observation(live_app("a", targets=["ios:x"]), live_app("b"))
    assert plan_of(wanted, seen, read_needs=AUTHORS_NEEDED).questions.org_feed_since is None


def test_events_of_configs_and_apps_match_by_kind() -> None:
    """An app has one of each, so any key of an event matches, in either spelling of the kind."""
    wanted = desired_app("a", fields={"name": "New"}, config={"n": 1})
    live = live_app("a", config={"n": 0}, deployments=[live_deployment("a")])
    events = (event("evt_2", ("inference-config", "any-key"), actor="ben"), event("evt_1", ("app", "id-a")))
    made = plan(*events, live=live, wanted=wanted)
    assert claim(made, Address.of_inference_config("a")) == ("ben", False)
    assert claim(made, Address.of_app("a")) == ("ana", False)


def test_an_observation_without_any_feed_is_the_default() -> None:
    """A feed that was not requested is None."""
    assert Observation().org_feed is None
