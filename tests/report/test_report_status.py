"""The live status as text: aligned, within the width of a terminal, and correct if something could not be read."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.golden import assert_golden
from tests.support.states import Slots, live_app, live_deployment

from octosync.errors import ErrorResponse, Forbidden
from octosync.model import (
    Address,
    AppStatus,
    Canary,
    Coverage,
    DeclaredApp,
    Event,
    FirstRequest,
    Health,
    JsonObject,
    PendingApproval,
    Presence,
    RoutingStats,
    Section,
    Sensitivity,
)
from octosync.plan import ControlPlane
from octosync.report import (
    ManifestCoverage,
    StatusFacts,
    declared_document,
    json_text,
    render_declared,
    render_status,
    status_document,
)
from octosync.report.show.status import policy_name
from octosync.report.text import bar, cells, percent_words

GOLDEN = Path(__file__).parent / "golden"
AT = datetime(2030, 1, 1, 12, 30, 15, tzinfo=UTC)
CUSTOM: JsonObject = {"routing_mode": "auto", "fallback": {"allow_cloud_fallback": False, "allow_local_fallback": True}}
REFUSED = Forbidden(
    "forbidden", "GET /apps: the key may not read this (403)", response=ErrorResponse(request_id="req_1")
)


def facts(**more: Any) -> StatusFacts:
    """Return the facts beside statuses that were read in production."""
    plane = ControlPlane(url="https://api.octomil.com/api/v1", org_id="8f1c", context="production")
    return StatusFacts(**{"control_plane": plane, "requests": 14, **more})


def status(slug: str = "canary-demo", **more: Any) -> AppStatus:
    """Return the status of an app without slots, traffic and events."""
    app = more.get("app", live_app(slug))
    nothing: dict[str, Any] = {
        "slug": slug,
        "app": app,
        "slots": getattr(app, "slots", ()),
        "deployments": getattr(app, "deployments", ()),
        "health": Health(status="uncovered"),
        "first_request": FirstRequest(received=False),
        "routing": RoutingStats(total=0),
        "last_change": None,
    }
    return AppStatus(**{**nothing, **more})


def busy_status() -> AppStatus:
    """Return the status of an app in the middle of a rollout."""
    slots: Slots = {
        "chat": {"model_variant_id": "phi-4-mini-q4"},
        "keyboard_prediction": {"serving_policy": "performance_first"},
        "vision": {"serving_policy": CUSTOM},
    }
    deployments = [
        live_deployment(
            "canary-demo", canary=Canary(candidate="phi-4-mini-q5", percentage=40.0), variant="phi-4-mini-q4"
        ),
        live_deployment("canary-demo", environment="staging", status="completed", variant="phi-4-mini-q5"),
        live_deployment("canary-demo", environment="edge-lab", status="paused", variant="phi-4-mini-q4"),
        live_deployment("canary-demo", "vision", status="rolled_back"),
        live_deployment("canary-demo", "tts", status="completed"),
    ]
    return status(
        app=live_app("canary-demo", name="Canary demo", slots=slots, deployments=deployments),
        health=Health(
            status="partial",
            slots=(
                Coverage(capability="chat", status="covered", covered_devices=1240, total_devices=1240),
                Coverage(capability="keyboard_prediction", status="partial", covered_devices=1, total_devices=1240),
                Coverage(capability="vision", status="pending"),
            ),
        ),
        first_request=FirstRequest(received=True, at=AT),
        routing=RoutingStats(total=1240, local=968, cloud=272),
        last_change=Event(id="e1", type="slot.updated", resource=("slot", "vision"), actor="ana@example.com", at=AT),
    )


def unread_status() -> AppStatus:
    """Return the status of an app of which hardly anything could be read."""
    deployments = (live_deployment("closed"),)
    return status(
        "closed", slots=REFUSED, deployments=deployments, health=REFUSED, routing=REFUSED, last_change=REFUSED
    )


def test_statuses_are_the_golden_text() -> None:
    """Errors first, then the traffic and slots of each app, and the summary line last."""
    awaiting = PendingApproval(
        address=Address.of_capability("canary-demo", "vision", "production"), verb="enable", run="20300101T1", at=AT
    )
    shown = [busy_status(), unread_status(), status("new-here", app=live_app("new-here", archived=True))]
    assert_golden(GOLDEN / "status.txt", render_status(shown, facts(awaiting=(awaiting,)), colour=False))


def test_colour_carries_no_meaning() -> None:
    """Without colour the words are the same."""
    shown = [busy_status(), unread_status()]
    painted = render_status(shown, facts(), colour=True)
    for code in ("0", "1", "2", "31", "32", "33", "36"):
        painted = painted.replace(f"\x1b[{code}m", "")
    assert painted == render_status(shown, facts(), colour=False)


def test_an_app_that_was_never_deployed_is_no_alarm() -> None:
    """Only an app with a deployment is uncovered in red."""
    red = "\x1b[31muncovered\x1b[0m"
    deployed = status("b", app=live_app("b", slots={"chat": {}}, deployments=[live_deployment("b")]))
    assert render_status([status("a")], facts(), colour=True).count(red) == 0
    assert render_status([deployed], facts(), colour=True).count(red) == 1


@pytest.mark.parametrize("width", [72, 80, 100, 160])
def test_a_status_fits_the_terminal(width: int) -> None:
    """A narrow terminal gets the names of slots instead of their references, or deployments below their slots."""
    text = render_status([busy_status()], facts(), colour=False, width=width)
    table = text[text.index("VARIANT") :]
    assert max(map(cells, table.splitlines())) <= width
    assert ("@app/canary-demo/chat" in text) == (width == 160)
    assert "canary 40% → phi-4-mini-q5" in text


def test_an_app_with_two_slots_has_four_lines() -> None:
    """Its name with its state, the titles of the table, and a line for each slot."""
    slots: Slots = {"chat": {"model_variant_id": "phi-4-mini-q4"}, "vision": {"serving_policy": CUSTOM}}
    canary = Canary(candidate="phi-4-mini-q5", percentage=40.0)
    deployments = [live_deployment("canary-demo", canary=canary, variant="phi-4-mini-q4")]
    app = live_app("canary-demo", slots=slots, deployments=deployments)
    event = Event(id="e1", type="slot.updated", actor="ana", at=AT)
    two = status(app=app, health=Health(status="covered"), routing=RoutingStats(total=9, local=7), last_change=event)
    lines = render_status([two], facts(), colour=False, width=80).splitlines()
    assert lines[2].startswith("canary-demo  covered · 78% local · changed 2030-01-01 12:30 UTC by ana")
    assert [line.split()[0] for line in lines[3:6]] == ["SLOT", "chat", "vision"]
    assert lines[6] == ""
    assert max(map(cells, lines[:6])) <= 80


def test_many_apps_have_a_line_each() -> None:
    """More than ten apps are a table, unless all slots are wanted."""
    apps = [replace(busy_status(), slug=f"app-{number:02}") for number in range(11)]
    lines = render_status(apps, facts(), colour=False).splitlines()
    assert sum(line.startswith("app-") for line in lines) == 11
    assert len(lines) < 20
    assert "@app/app-07/chat" in render_status(apps, facts(), colour=False, full=True)


def test_wide_characters_are_aligned() -> None:
    """Columns are aligned if a name has characters of two columns."""
    deployments = [live_deployment("demo", environment="本番"), live_deployment("demo", environment="staging")]
    app = live_app("demo", slots={"chat": {"model_variant_id": "会話"}, "vision": {}}, deployments=deployments)
    lines = render_status([status("demo", app=app)], facts(), colour=False).splitlines()
    places = {cells(line.partition("local_first")[0]) for line in lines if "local_first" in line}
    assert len(places) == 1
    assert len({cells(line.rpartition("  ")[0]) for line in lines if line.startswith("  @app/demo/")}) == 1


def test_an_object_beyond_the_first_page_is_not_missing() -> None:
    """If a list was read in part, an object that isn't in it is not reported as absent."""
    app = live_app("demo", slots={"chat": {}}, deployments=[live_deployment("demo", "tts")])
    cut = status("demo", app=app, cut=frozenset({Section.SLOTS, Section.DEPLOYMENTS}))
    text = render_status([cut], facts(), colour=False)
    assert "not deployed" not in text
    assert "(no slot)" not in text
    assert text.count("Only the first page") == 2
    document = json.loads(json_text(status_document([cut], facts(), timestamp=AT, sensitivity=Sensitivity())))
    assert [slot["configured"] for slot in document["apps"][0]["slots"]] == [True, None]


def test_a_document_has_no_secret() -> None:
    """A value under a sensitive key of a policy is null."""
    policy = {**CUSTOM, "api_key": "hunter2"}
    app = live_app("demo", slots={"chat": {"serving_policy": policy}})
    text = json_text(status_document([status("demo", app=app)], facts(), timestamp=AT, sensitivity=Sensitivity()))
    assert "hunter2" not in text
    assert '"api_key": null' in text


def test_a_preset_with_extra_fields_keeps_its_name() -> None:
    """A policy is named by the fields that octosync knows, as it is compared."""
    app = live_app("demo", slots={"chat": {"serving_policy": "cloud_only"}})
    policy = app.slots[0].fields["serving_policy"]
    assert isinstance(policy, dict)
    assert policy_name({**policy, "revision": 7}) == "cloud_only"
    assert policy_name(CUSTOM) == "custom"
    assert policy_name("of-the-control-planes-own") == "custom"
    assert policy_name(None) is None


@pytest.mark.parametrize(
    ("routing", "words"),
    [
        (RoutingStats(total=0), "first request seen"),
        (RoutingStats(total=1), "1 request"),
        (RoutingStats(total=3, cloud=3), "3 requests"),
        (RoutingStats(total=3, local=3), "100% local"),
        (RoutingStats(total=4000, local=1, cloud=3999), "1% local"),
    ],
)
def test_traffic_is_shown_as_far_as_it_is_known(routing: RoutingStats, words: str) -> None:
    """A value that the control plane doesn't return is not invented."""
    text = render_status([replace(busy_status(), routing=routing)], facts(), colour=False)
    assert f"canary-demo  partial · {words} · changed" in text


@pytest.mark.parametrize("blocks", [True, False])
@given(share=st.floats(allow_nan=True, allow_infinity=True))
def test_a_bar_has_ten_columns_and_never_exaggerates(blocks: bool, share: float) -> None:
    """Only a share of 1 is a full bar and 100%; only a share of 0 is an empty bar and 0%."""
    drawn, full, empty = bar(share, blocks=blocks), bar(1, blocks=blocks), bar(0, blocks=blocks)
    assert cells(drawn) == 10
    assert len(percent_words(share)) >= 4
    if share == share and abs(share) != float("inf"):  # noqa: PLR0124 — not NaN
        assert (drawn == full) == (percent_words(share) == "100%") == (share >= 1)
        assert (drawn == empty) == (percent_words(share) == "  0%") == (share <= 0)


def org_coverage(**more: Any) -> ManifestCoverage:
    """Return the coverage of an org of 301 apps, a few of them declared."""
    apps = [
        DeclaredApp(slug=f"app-{number:03}", presence=Presence.LIVE, in_part=number < 2, group="assistants")
        for number in range(41)
    ]
    others = (
        DeclaredApp(slug="search", presence=Presence.ARCHIVED, group="検索"),
        DeclaredApp(slug="shiny", presence=Presence.ABSENT, group="検索"),
        DeclaredApp(slug="shut", presence=Presence.UNKNOWN),
    )
    defaults: dict[str, Any] = {
        "control_plane": facts().control_plane,
        "paths": ("apps/",),
        "files": 14,
        "live": tuple(f"app-{number:03}" for number in range(301)),
        "declared": (*apps, *others),
        "errors": {"shut": REFUSED},
        "requests": 7,
        "by": "label:team",
    }
    return ManifestCoverage(**{**defaults, **more})


def test_the_coverage_is_the_golden_text() -> None:
    """A bar first, then how many apps and which, then group by group."""
    assert_golden(GOLDEN / "status-declared.txt", render_declared(org_coverage(), colour=False))


def test_an_empty_org_has_no_share() -> None:
    """Without live apps there is no percentage."""
    text = render_declared(org_coverage(live=(), declared=(), errors={}), colour=False)
    assert "0 of 0 live apps declared" in text
    assert "%" not in text
    assert declared_document(org_coverage(live=(), declared=()), timestamp=AT)["groups"] == []
