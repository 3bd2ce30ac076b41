"""Holding drift: how its age is determined, what is never reverted automatically, and what is held without a baseline."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.support.sample_reports import document_of, plan_report
from tests.support.states import NOW, desired_app, live_app, observation, plan_of

from octosync.errors import Missing, RemoteError
from octosync.model import Address, App, Event, Hold, OperatorControls, Reason, State
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
    """Return an event about the slot, this many minutes ago; None is a time that can't be parsed."""
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
    """Plan an app that was changed live; without a base, the state of the tree is presumed."""
    known = Base(
        state=State.from_apps(base or tree), presumed=frozenset() if base is not None else frozenset({tree.slug})
    )
    feed = org if isinstance(org, RemoteError) else tuple(org)
    own = tuple(own)
    seen = observation(live, org_feed=feed, app_feeds={"a": own} if own else {})
    return plan_of(tree, seen, base=known, hold=hold, **more)


def ends(made: Plan) -> dict[str, datetime | None]:
    return {str(held.action.address): held.until for held in made.held}


def test_the_age_of_drift_is_from_the_org_feed_the_app_feed_or_first_seen() -> None:
    """Each source counts only if the one before it has no event; drift in none of them was first seen now."""
    seen = HoldPolicy(span=SPAN, first_seen={SLOT: ago(7)})
    slot = str(SLOT)
    assert ends(plan(seen, org=[event(5)], own=[event(6)])) == {slot: ago(5) + SPAN}
    assert ends(plan(seen, own=[event(6)])) == {slot: ago(6) + SPAN}
    assert ends(plan(seen)) == {slot: ago(7) + SPAN}
    assert ends(plan(HoldPolicy(span=SPAN, first_seen={}))) == {slot: NOW + SPAN}
    assert ends(plan(seen, org=[event(40)])) == {}
    assert ends(plan(HoldPolicy(span=SPAN, first_seen={SLOT: ago(31)}))) == {}


def test_an_event_without_a_readable_time_is_skipped() -> None:
    """The next source counts."""
    assert ends(plan(HoldPolicy(span=SPAN, first_seen={SLOT: ago(7)}), org=[event(None)])) == {str(SLOT): ago(7) + SPAN}


def test_without_a_feed_recent_drift_is_still_held() -> None:
    """With recorded first-seen times, a feed that can't be read changes nothing, and no diagnostic reports it."""
    made = plan(HoldPolicy(span=SPAN, first_seen={SLOT: ago(7)}), org=Missing("unknown-route", "no such route"))
    assert ends(made) == {str(SLOT): ago(7) + SPAN}
    assert made.diagnostics == ()


def test_an_app_hold_is_a_minimum() -> None:
    """It holds for any age and span. A later end by age wins, and an expired hold has no effect."""
    old = [event(300)]
    later, sooner = NOW + timedelta(hours=4), NOW + timedelta(minutes=1)
    assert ends(plan(HoldPolicy(span=SPAN, apps={"a": later}), org=old)) == {str(SLOT): later}
    assert ends(plan(HoldPolicy(span=timedelta(0), apps={"a": later}), org=[event(1)])) == {str(SLOT): later}
    assert ends(plan(HoldPolicy(span=SPAN, apps={"a": sooner}), org=[event(5)])) == {str(SLOT): ago(5) + SPAN}
    assert ends(plan(HoldPolicy(span=SPAN, apps={"a": ago(1)}), org=old)) == {}
    assert ends(plan(HoldPolicy(span=SPAN, apps={"b": later}), org=old)) == {}


def test_drift_of_an_app_on_hold_is_explained() -> None:
    """One notice for each app: until when its drift is held, since when, and why."""
    hold = Hold(app="a", until=NOW + timedelta(hours=4), reason="incident 4711", at=NOW)
    holds = HoldPolicy(span=SPAN, apps={"a": hold.until})
    (notice,) = plan(holds, org=[event(300)], controls=OperatorControls(holds={"a": hold})).diagnostics
    assert (notice.rule, notice.summary) == (
        "app-on-hold",
        "app/a: its drift is not reverted: on hold until 2030-01-01 16:00 UTC, since 2030-01-01 12:00 UTC: incident 4711",
    )


def test_a_contested_hold_has_no_end() -> None:
    """It is held for any age, while everything else of the app is planned."""
    tree = desired_app("a", slots={"chat": {"serving_policy": "local_only"}}, targets=["ios:x", "ios:y"])
    made = plan(HoldPolicy(span=timedelta(0), never=[SLOT]), tree=tree)
    assert ends(made) == {str(SLOT): None}
    assert [str(action.address) for action in made.actions] == ["app/a/target/ios:y"]


def test_without_a_span_drift_is_never_reverted() -> None:
    """Drift of any age is held without end. Changes of the manifests are planned, also of the same field."""
    assert ends(plan(HoldPolicy(span=None, first_seen={}), org=[event(3000)])) == {str(SLOT): None}
    changed = desired_app("a", slots={"chat": {"serving_policy": "local_first"}}, targets=["ios:x"])
    made = plan(HoldPolicy(span=None, first_seen={}), tree=changed)
    assert [(action.address, action.reason) for action in made.actions] == [(SLOT, Reason.DIVERGED)]


def test_a_hold_without_an_end_is_shown_as_such() -> None:
    """In words, and in the document by its own key, because no time can express it."""
    made = plan(HoldPolicy(span=None), org=[event(3)])
    text = render_plan(plan_report(made), colour=False)
    assert "held, not reverted automatically" in text
    document: Any = document_of(made)
    (row,) = document["resource_changes"]
    assert (row["held_until"], row["held"]) == (None, True)


def test_all_drift_is_listed_with_its_fingerprint() -> None:
    """Held or not, absent objects included. Changes of the manifests are not listed."""
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
        assert [str(address) for address in made.drifted] == wanted
        assert {*made.drifted} <= made.fingerprints.keys()
    held, reverted = (plan(HoldPolicy(span=span), tree=tree, base=base, live=live) for span in (None, timedelta(0)))
    assert len(held.held) == 4
    assert {address: held.fingerprints[address] for address in held.drifted} == {
        address: reverted.fingerprints[address] for address in reverted.drifted
    }


def test_a_target_on_an_unknown_platform_is_not_held_drift() -> None:
    """It would not be removed, so it is listed as unknown, however recent."""
    live = live_app("a", slots={"chat": {"serving_policy": "local_only"}}, targets=["ios:x", "visionos:y"])
    made = plan(HoldPolicy(span=SPAN, first_seen={}), live=live)
    assert (made.actions, made.held, made.drifted) == ((), (), ())
    assert [str(address) for address in made.left_alone.unknown_targets] == ["app/a/target/visionos:y"]


def test_both_halves_of_a_move_by_hand_are_held_alike() -> None:
    """An old removal waits for the more recent registration in the other app: no half can happen alone."""
    tree = [desired_app("a", targets=["ios:x"]), desired_app("b", targets=[])]
    live = [live_app("a"), live_app("b", targets=["ios:x"])]
    gone, come = Address.of_target("a", "ios", "x"), Address.of_target("b", "ios", "x")
    hold = HoldPolicy(span=SPAN, first_seen={gone: ago(40), come: ago(20)})
    made = plan_of(tree, observation(*live), base=Base(state=State.from_apps(*tree)), hold=hold)
    assert made.actions == ()
    assert ends(made) == {str(gone): ago(20) + SPAN, str(come): ago(20) + SPAN}


def test_a_move_by_hand_has_an_author() -> None:
    """The author of both halves is known, though their reason is the move."""
    tree = [desired_app("a", targets=["ios:x"]), desired_app("b", targets=[])]
    feed = tuple(event(1, app=app, resource=None) for app in "ab")
    seen = observation(live_app("a"), live_app("b", targets=["ios:x"]), org_feed=feed)
    made = plan_of(tree, seen, base=Base(state=State.from_apps(*tree)), hold=HoldPolicy(span=SPAN))
    assert [change.event.actor for change in made.last_changes.values()] == ["ana", "ana"]


@pytest.mark.parametrize(("live", "verb"), [({"n": 3}, "update"), (None, "create")])
def test_a_diverged_change_has_an_author(live: Any, verb: str) -> None:
    """The author of a diverged change is read and reported, also of a deletion."""
    tree, base = desired_app("a", config={"n": 2}), desired_app("a", config={"n": 1})
    needs = ReadNeeds(canaries=False, traffic=False, authors_since=ago(30))
    address = Address.of_inference_config("a")
    seen = live_app("a", config=live)
    known = Base(state=State.from_apps(base))
    assert plan_of(tree, seen, base=known, read_needs=needs).questions.org_feed_since == ago(30)
    made = plan_of(tree, observation(seen, org_feed=(event(1, resource=("inference_config", "")),)), base=known)
    assert [(action.verb.value, action.reason) for action in made.actions] == [(verb, Reason.DIVERGED)]
    assert made.last_changes[address].event.actor == "ana"


# -- without a baseline


def test_a_difference_without_a_baseline_is_reverted_at_once() -> None:
    """The reasons are those without a base. Without an event there is no hold, whenever it was first seen. It is not drift."""
    tree = desired_app("a", slots={"chat": {"serving_policy": "local_only"}}, targets=["ios:x"], config={"n": 1})
    live = live_app("a", slots={"chat": {"serving_policy": "cloud_only"}}, targets=["ios:y"])
    made = plan(HoldPolicy(span=SPAN, first_seen={SLOT: NOW}), tree=tree, base=None, live=live)
    plain = plan_of(tree, live)
    assert [(action.key, action.reason, action.substance) for action in made.actions] == [
        (action.key, action.reason, action.substance) for action in plain.actions
    ]
    assert {action.reason for action in made.actions} == {Reason.NEW, Reason.DIFFERS}
    assert (made.held, made.drifted) == ((), ())


def test_a_difference_without_a_baseline_is_held_if_a_feed_has_a_recent_change() -> None:
    """It has its author. An older one is planned."""
    for feeds in ({"org": [event(10)]}, {"own": [event(10)]}):
        made = plan(HoldPolicy(span=SPAN, first_seen={}), base=None, **feeds)  # type: ignore[arg-type]
        assert ends(made) == {str(SLOT): ago(10) + SPAN}
        assert [held.action.reason for held in made.held] == [Reason.DIFFERS]
        assert (made.actions, made.drifted) == ((), (SLOT,))
        assert made.last_changes[SLOT].event.actor == "ana"
    assert plan(HoldPolicy(span=SPAN, first_seen={}), base=None, org=[event(31)]).held == ()


def test_a_deletion_without_a_baseline_is_held_as_new() -> None:
    """A recent event about an absent object: its row has the reason new, and its author is known."""
    made = plan(HoldPolicy(span=SPAN, first_seen={}), base=None, org=[event(1)], live=live_app("a", targets=["ios:x"]))
    assert [(held.action.address, held.action.reason) for held in made.held] == [(SLOT, Reason.NEW)]
    assert made.last_changes[SLOT].event.actor == "ana"


def test_without_a_baseline_and_a_span_a_change_in_a_feed_is_held() -> None:
    """Without a span, a live change in a feed is held, however old; the rest is planned as declared."""
    assert ends(plan(HoldPolicy(span=None, first_seen={}), base=None, org=[event(3000)])) == {str(SLOT): None}
    assert plan(HoldPolicy(span=None, first_seen={}), base=None).held == ()


def test_an_absent_app_without_a_baseline_is_new() -> None:
    """It is created at once with its children, no author is read, and none of it counts as drift."""
    needs = ReadNeeds(canaries=False, traffic=False, authors_since=ago(30))
    known = Base(state=State.from_apps(DECLARED), presumed=frozenset({"a"}))
    made = plan_of(DECLARED, (), base=known, hold=HoldPolicy(span=SPAN, first_seen={}), read_needs=needs)
    assert {action.reason for action in made.actions} == {Reason.NEW}
    assert (made.held, made.drifted, bool(made.questions)) == ((), (), False)


def test_the_feed_is_read_before_a_difference_without_a_baseline_is_reverted() -> None:
    """A difference without a baseline needs the feed of the org, and so does a new target of an existing app."""
    needs = ReadNeeds(canaries=False, traffic=False, authors_since=ago(30))
    known = Base(state=State.from_apps(DECLARED), presumed=frozenset({"a"}))
    live = live_app("a", slots={"chat": {"serving_policy": "local_only"}})
    made = plan_of(DECLARED, live, base=known, hold=HoldPolicy(span=SPAN, first_seen={}), read_needs=needs)
    assert [action.reason for action in made.actions] == [Reason.NEW]
    assert made.questions.org_feed_since == ago(30)


def test_an_archive_without_a_baseline_differs() -> None:
    """Declared as archived and live: it is planned with the same reason as without a base."""
    tree = desired_app("a", archived=True, targets=[])
    made = plan(HoldPolicy(span=SPAN, first_seen={}), tree=tree, base=None, live=live_app("a"))
    assert [(action.verb.value, action.reason) for action in made.actions] == [("archive", Reason.DIFFERS)]


# -- absent apps


@pytest.mark.parametrize(
    ("hold", "until"),
    [
        (HoldPolicy(span=None), None),
        (HoldPolicy(span=SPAN, first_seen={}, never=[Address.of_app("a")]), None),
        (HoldPolicy(span=SPAN, first_seen={}, apps={"a": NOW + SPAN}), NOW + SPAN),
    ],
    ids=["never reverted", "contested", "held by an operator"],
)
def test_a_deleted_app_stays_deleted_if_it_is_held(hold: HoldPolicy, until: datetime | None) -> None:
    """Neither the app nor its children come back, and what the manifests add to it waits for it."""
    base = desired_app("a", targets=["ios:x"], slots={"chat": {}})
    tree = desired_app("a", targets=["ios:x", "ios:y"], slots={"chat": {}})
    made = plan_of(tree, (), base=Base(state=State.from_apps(base)), hold=hold)
    assert made.actions == ()
    assert ends(made) == dict.fromkeys(["app/a", "app/a/target/ios:x", "app/a/slot/chat"], until)
    assert {*made.drifted} == {held.action.address for held in made.held} <= made.fingerprints.keys()


def test_a_deleted_app_that_is_not_held_is_created_again_at_once() -> None:
    """However recent the deletion is, and with all its children: they are not held separately."""
    for hold in (HoldPolicy(span=SPAN, first_seen={}), HoldPolicy(span=SPAN, first_seen={}, never=[SLOT])):
        made = plan_of(DECLARED, (), base=Base(state=State.from_apps(DECLARED)), hold=hold)
        assert [str(action.address) for action in made.actions] == ["app/a", "app/a/target/ios:x", "app/a/slot/chat"]
        assert (made.held, len(made.drifted)) == ((), 3)
