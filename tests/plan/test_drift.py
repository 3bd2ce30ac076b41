"""Holding: how old drift is by what is known, what is never healed by itself, and what holds where nothing is remembered."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.support.sample_reports import document_of, plan_report
from tests.support.states import NOW, desired_app, live_app, observation, plan_of

from octosync.errors import Missing, RemoteError
from octosync.model import Address, App, Event, Reason, State
from octosync.plan import HoldPolicy, Plan, ReadNeeds
from octosync.plan.three_way.verdict import Base
from octosync.report import render_plan

SPAN = timedelta(minutes=30)
SLOT = Address.of_slot("a", "chat")
DECLARED = desired_app("a", slots={"chat": {"serving_policy": "local_only"}}, targets=["ios:x"])
CHANGED = live_app("a", slots={"chat": {"serving_policy": "cloud_only"}}, targets=["ios:x"])


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def event(minutes: float | None, **more: Any) -> Event:
    """Make an event about the slot, so many minutes ago; None: at a time that can't be read."""
    at = None if minutes is None else ago(minutes)
    return Event(**{"id": "evt_1", "app": "a", "actor": "ana", "resource": ("slot", "chat"), "at": at, **more})


def plan(
    hold: HoldPolicy,
    *,
    org: Iterable[Event] | RemoteError = (),
    own: Iterable[Event] = (),
    tree: App = DECLARED,
    base: App | None = DECLARED,
    live: App = CHANGED,
    **more: Any,
) -> Plan:
    """Plan an app that somebody changed; without a base, the tree's own is presumed."""
    known = Base(
        state=State.from_apps(base or tree), presumed=frozenset() if base is not None else frozenset({tree.slug})
    )
    feed = org if isinstance(org, RemoteError) else tuple(org)
    own = tuple(own)
    seen = observation(live, org_feed=feed, app_feeds={"a": own} if own else {})
    return plan_of(tree, seen, base=known, hold=hold, **more)


def ends(made: Plan) -> dict[str, datetime | None]:
    return {str(one.action.address): one.until for one in made.held}


def test_the_orgs_feed_tells_first_then_the_apps_own_then_when_it_was_first_seen() -> None:
    """Each source counts only where the one before it says nothing; what is in none was seen now."""
    seen = HoldPolicy(span=SPAN, first_seen={SLOT: ago(7)})
    slot = str(SLOT)
    assert ends(plan(seen, org=[event(5)], own=[event(6)])) == {slot: ago(5) + SPAN}
    assert ends(plan(seen, own=[event(6)])) == {slot: ago(6) + SPAN}
    assert ends(plan(seen)) == {slot: ago(7) + SPAN}
    assert ends(plan(HoldPolicy(span=SPAN, first_seen={}))) == {slot: NOW + SPAN}
    assert ends(plan(seen, org=[event(40)])) == {}
    assert ends(plan(HoldPolicy(span=SPAN, first_seen={SLOT: ago(31)}))) == {}


def test_an_event_without_a_readable_time_does_not_tell() -> None:
    """Then the next source does."""
    assert ends(plan(HoldPolicy(span=SPAN, first_seen={SLOT: ago(7)}), org=[event(None)])) == {str(SLOT): ago(7) + SPAN}


def test_without_a_feed_what_was_just_seen_is_held_all_the_same() -> None:
    """With its own memory of when, a feed that can't be read costs nothing, and nothing is said of it."""
    made = plan(HoldPolicy(span=SPAN, first_seen={SLOT: ago(7)}), org=Missing("unknown-route", "no such route"))
    assert ends(made) == {str(SLOT): ago(7) + SPAN}
    assert made.diagnostics == ()


def test_an_app_that_a_person_holds_is_held_at_least_until_then() -> None:
    """Whatever its age and the span; a longer age wins, and the time that is over does nothing."""
    old = [event(300)]
    later, sooner = NOW + timedelta(hours=4), NOW + timedelta(minutes=1)
    assert ends(plan(HoldPolicy(span=SPAN, apps={"a": later}), org=old)) == {str(SLOT): later}
    assert ends(plan(HoldPolicy(span=timedelta(0), apps={"a": later}), org=[event(1)])) == {str(SLOT): later}
    assert ends(plan(HoldPolicy(span=SPAN, apps={"a": sooner}), org=[event(5)])) == {str(SLOT): ago(5) + SPAN}
    assert ends(plan(HoldPolicy(span=SPAN, apps={"a": ago(1)}), org=old)) == {}
    assert ends(plan(HoldPolicy(span=SPAN, apps={"b": later}), org=old)) == {}


def test_what_is_contested_has_no_end() -> None:
    """It is held whatever its age, while all else of the app goes on."""
    tree = desired_app("a", slots={"chat": {"serving_policy": "local_only"}}, targets=["ios:x", "ios:y"])
    made = plan(HoldPolicy(span=timedelta(0), never=[SLOT]), tree=tree)
    assert ends(made) == {str(SLOT): None}
    assert [str(one.address) for one in made.actions] == ["app/a/target/ios:y"]


def test_without_a_span_drift_is_never_healed_and_manifests_go_on() -> None:
    """Drift, new and old, has no end; what the manifests changed is planned, another value for the very field included."""
    assert ends(plan(HoldPolicy(span=None, first_seen={}), org=[event(3000)])) == {str(SLOT): None}
    other = desired_app("a", slots={"chat": {"serving_policy": "local_first"}}, targets=["ios:x"])
    made = plan(HoldPolicy(span=None, first_seen={}), tree=other)
    assert [(one.address, one.reason) for one in made.actions] == [(SLOT, Reason.DIVERGED)]


def test_what_has_no_end_reads_so() -> None:
    """In words, and in the document by a key of its own, as no time can say it."""
    made = plan(HoldPolicy(span=None), org=[event(3)])
    text = render_plan(plan_report(made), colour=False)
    assert "held, not reverted automatically" in text
    document: Any = document_of(made)
    (row,) = document["resource_changes"]
    assert (row["held_until"], row["held"]) == (None, True)


def test_all_that_drifted_is_named_with_what_it_is_now() -> None:
    """Held or not, with a fingerprint, be it that it isn't there; what the manifests changed is not among it."""
    base = desired_app(
        "a", slots={"chat": {"serving_policy": "local_only"}, "tts": {}}, targets=["ios:x"], config={"n": 1}
    )
    tree = desired_app(
        "a",
        slots={"chat": {"serving_policy": "local_only"}, "tts": {"preferred_engines": ["mlx"]}},
        targets=["ios:x"],
        config={"n": 1},
    )
    live = live_app("a", slots={"chat": {"serving_policy": "cloud_only"}, "tts": {}}, targets=["ios:y"])
    wanted = ["app/a/target/ios:x", "app/a/target/ios:y", "app/a/slot/chat", "app/a/inference-config"]
    for hold in (
        HoldPolicy(span=None),
        HoldPolicy(span=timedelta(0)),
        HoldPolicy(span=SPAN, first_seen={SLOT: ago(40)}),
    ):
        made = plan(hold, tree=tree, base=base, live=live)
        assert [str(one) for one in made.drifted] == wanted
        assert {*made.drifted} <= made.fingerprints.keys()
    held, healed = (plan(HoldPolicy(span=span), tree=tree, base=base, live=live) for span in (None, timedelta(0)))
    assert len(held.held) == 4
    assert {one: held.fingerprints[one] for one in held.drifted} == {
        one: healed.fingerprints[one] for one in healed.drifted
    }


def test_a_target_on_an_unknown_platform_is_no_drift_that_is_held() -> None:
    """It would not be removed, so it is listed as what it is, however young."""
    live = live_app("a", slots={"chat": {"serving_policy": "local_only"}}, targets=["ios:x", "visionos:y"])
    made = plan(HoldPolicy(span=SPAN, first_seen={}), live=live)
    assert (made.actions, made.held, made.drifted) == ((), (), ())
    assert [str(one) for one in made.left_alone.unknown_targets] == ["app/a/target/visionos:y"]


def test_both_halves_of_a_move_by_hand_are_held_alike() -> None:
    """A removal that is old enough waits for the registration elsewhere that is not: no half can happen alone."""
    tree = [desired_app("a", targets=["ios:x"]), desired_app("b", targets=[])]
    live = [live_app("a"), live_app("b", targets=["ios:x"])]
    gone, come = Address.of_target("a", "ios", "x"), Address.of_target("b", "ios", "x")
    hold = HoldPolicy(span=SPAN, first_seen={gone: ago(40), come: ago(20)})
    made = plan_of(tree, observation(*live), base=Base(state=State.from_apps(*tree)), hold=hold)
    assert made.actions == ()
    assert ends(made) == {str(gone): ago(20) + SPAN, str(come): ago(20) + SPAN}


def test_a_move_by_hand_has_an_author() -> None:
    """Who moved it is known of both halves, though their reason is the move."""
    tree = [desired_app("a", targets=["ios:x"]), desired_app("b", targets=[])]
    feed = tuple(event(1, app=app, resource=None) for app in "ab")
    seen = observation(live_app("a"), live_app("b", targets=["ios:x"]), org_feed=feed)
    made = plan_of(tree, seen, base=Base(state=State.from_apps(*tree)), hold=HoldPolicy(span=SPAN))
    assert [one.event.actor for one in made.last_changes.values()] == ["ana", "ana"]


@pytest.mark.parametrize(("live", "verb"), [({"n": 3}, "update"), (None, "create")])
def test_whose_change_is_replaced_is_asked_and_told(live: Any, verb: str) -> None:
    """What diverged has an author, be it that somebody deleted it."""
    tree, base = desired_app("a", config={"n": 2}), desired_app("a", config={"n": 1})
    curious = ReadNeeds(canaries=False, traffic=False, authors_since=ago(30))
    address = Address.of_inference_config("a")
    seen = live_app("a", config=live)
    known = Base(state=State.from_apps(base))
    assert plan_of(tree, seen, base=known, read_needs=curious).questions.org_feed_since == ago(30)
    made = plan_of(tree, observation(seen, org_feed=(event(1, resource=("inference_config", "")),)), base=known)
    assert [(one.verb.value, one.reason) for one in made.actions] == [(verb, Reason.DIVERGED)]
    assert made.last_changes[address].event.actor == "ana"


# -- where nothing is remembered


def test_what_nobody_remembers_differs_and_is_healed_at_once() -> None:
    """As without a base: reasons, and no hold for what no feed explains, whenever it was first seen; and it is no drift."""
    tree = desired_app("a", slots={"chat": {"serving_policy": "local_only"}}, targets=["ios:x"], config={"n": 1})
    live = live_app("a", slots={"chat": {"serving_policy": "cloud_only"}}, targets=["ios:y"])
    made = plan(HoldPolicy(span=SPAN, first_seen={SLOT: NOW}), tree=tree, base=None, live=live)
    plain = plan_of(tree, live)
    assert [(one.key, one.reason, one.substance) for one in made.actions] == [
        (one.key, one.reason, one.substance) for one in plain.actions
    ]
    assert {one.reason for one in made.actions} == {Reason.NEW, Reason.DIFFERS}
    assert (made.held, made.drifted) == ((), ())


def test_what_nobody_remembers_is_held_where_a_feed_shows_a_young_change() -> None:
    """With its author; an older one is healed. A move is one as without a base."""
    for feeds in ({"org": [event(10)]}, {"own": [event(10)]}):
        made = plan(HoldPolicy(span=SPAN, first_seen={}), base=None, **feeds)  # type: ignore[arg-type]
        assert ends(made) == {str(SLOT): ago(10) + SPAN}
        assert [one.action.reason for one in made.held] == [Reason.DIFFERS]
        assert (made.actions, made.drifted) == ((), (SLOT,))
        assert made.last_changes[SLOT].event.actor == "ana"
    assert plan(HoldPolicy(span=SPAN, first_seen={}), base=None, org=[event(31)]).held == ()


def test_what_somebody_deleted_and_nobody_remembers_is_held_as_new() -> None:
    """A young event about what is not there: its row says new, and who it was is known."""
    made = plan(HoldPolicy(span=SPAN, first_seen={}), base=None, org=[event(1)], live=live_app("a", targets=["ios:x"]))
    assert [(one.action.address, one.action.reason) for one in made.held] == [(SLOT, Reason.NEW)]
    assert made.last_changes[SLOT].event.actor == "ana"


def test_where_nothing_is_remembered_and_drift_is_not_healed_a_change_in_a_feed_stays() -> None:
    """Without a span, what a feed shows is somebody's, however old; the rest is as it was declared to be."""
    assert ends(plan(HoldPolicy(span=None, first_seen={}), base=None, org=[event(3000)])) == {str(SLOT): None}
    assert plan(HoldPolicy(span=None, first_seen={}), base=None).held == ()


def test_an_app_that_nobody_remembers_and_is_not_there_is_new() -> None:
    """It is made at once with all it has, nobody is asked about it, and nothing of it counts as drift."""
    curious = ReadNeeds(canaries=False, traffic=False, authors_since=ago(30))
    known = Base(state=State.from_apps(DECLARED), presumed=frozenset({"a"}))
    made = plan_of(DECLARED, (), base=known, hold=HoldPolicy(span=SPAN, first_seen={}), read_needs=curious)
    assert {one.reason for one in made.actions} == {Reason.NEW}
    assert (made.held, made.drifted, bool(made.questions)) == ((), (), False)


def test_whether_a_feed_shows_it_is_asked_before_what_nobody_remembers_is_healed() -> None:
    """A difference where nothing is remembered asks for the org's feed, a new target on an app that is there, too."""
    curious = ReadNeeds(canaries=False, traffic=False, authors_since=ago(30))
    known = Base(state=State.from_apps(DECLARED), presumed=frozenset({"a"}))
    live = live_app("a", slots={"chat": {"serving_policy": "local_only"}})
    made = plan_of(DECLARED, live, base=known, hold=HoldPolicy(span=SPAN, first_seen={}), read_needs=curious)
    assert [one.reason for one in made.actions] == [Reason.NEW]
    assert made.questions.org_feed_since == ago(30)


def test_an_archive_that_nobody_remembers_differs() -> None:
    """Declared as archived and live: planned with the reason that it has without a base."""
    tree = desired_app("a", archived=True, targets=[])
    made = plan(HoldPolicy(span=SPAN, first_seen={}), tree=tree, base=None, live=live_app("a"))
    assert [(one.verb.value, one.reason) for one in made.actions] == [("archive", Reason.DIFFERS)]


# -- an app that is not there at all


@pytest.mark.parametrize(
    ("hold", "until"),
    [
        (HoldPolicy(span=None), None),
        (HoldPolicy(span=SPAN, first_seen={}, never=[Address.of_app("a")]), None),
        (HoldPolicy(span=SPAN, first_seen={}, apps={"a": NOW + SPAN}), NOW + SPAN),
    ],
    ids=["never healed", "contested", "held by a person"],
)
def test_an_app_that_somebody_took_away_stays_so_where_that_was_asked_for(
    hold: HoldPolicy, until: datetime | None
) -> None:
    """Neither it nor anything it had comes back, and what the manifests add to it waits for it."""
    base = desired_app("a", targets=["ios:x"], slots={"chat": {}})
    tree = desired_app("a", targets=["ios:x", "ios:y"], slots={"chat": {}})
    made = plan_of(tree, (), base=Base(state=State.from_apps(base)), hold=hold)
    assert made.actions == ()
    assert ends(made) == dict.fromkeys(["app/a", "app/a/target/ios:x", "app/a/slot/chat"], until)
    assert {*made.drifted} == {one.action.address for one in made.held} <= made.fingerprints.keys()


def test_an_app_that_somebody_took_away_comes_back_at_once_otherwise() -> None:
    """However young that is, and with all it had: children are not held apart from it."""
    for hold in (HoldPolicy(span=SPAN, first_seen={}), HoldPolicy(span=SPAN, first_seen={}, never=[SLOT])):
        made = plan_of(DECLARED, (), base=Base(state=State.from_apps(DECLARED)), hold=hold)
        assert [str(one.address) for one in made.actions] == ["app/a", "app/a/target/ios:x", "app/a/slot/chat"]
        assert (made.held, len(made.drifted)) == ((), 3)
