"""Deployments in the text of a plan: previews, canaries, better variants, and the authors of changes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.support.golden import assert_golden
from tests.support.sample_reports import document_of, plan_report
from tests.support.states import desired_app, live_app, live_deployment, observation, plan_of

from octosync.errors import Unavailable
from octosync.model import (
    Address,
    App,
    Assignment,
    Canary,
    Deploy,
    Event,
    Observation,
    OptimizationCheck,
    Optimize,
    Preview,
)
from octosync.plan import Plan, ReadNeeds
from octosync.report import render_plan
from octosync.report.changes import improvement_words

GOLDEN = Path(__file__).parent / "golden"
AT = datetime(2029, 12, 31, 23, 59, 59, tzinfo=UTC)
CHAT = Address.of_capability("demo", "chat", "production")
ESCAPE = "\x1b[2J"


def text_of(plan: Plan) -> str:
    """Render a plan without colour."""
    return render_plan(plan_report(plan), colour=False)


def enabling(preview: Preview | Unavailable | None, pin: str | None = None, **more: Any) -> str:
    """Render a plan that enables chat in production, with this preview."""
    slot = {"model_variant_id": pin} if pin else {}
    wanted = desired_app("demo", slots={"chat": slot}, deploy={"chat": "production"})
    previews = {} if preview is None else {CHAT: preview}
    return text_of(plan_of(wanted, observation(live_app("demo", slots={"chat": slot}), previews=previews), **more))


def better(check: OptimizationCheck, **deploy: Any) -> Plan:
    """Plan an app whose chat runs v1 in production, with this answer to the check for a better variant."""
    wanted = Deploy(**{"environments": ("production",), **deploy})
    live = live_app("demo", slots={"chat": {}}, deployments=[live_deployment("demo")])
    seen = observation(live, checks={CHAT: check}, canaries=0)
    return plan_of(desired_app("demo", slots={"chat": {}}, deploy={"chat": wanted}), seen)


def last_changed(*events: Event) -> Plan:
    """Plan a slot that differs, with these events in the feed of the org."""
    seen = observation(live_app("demo", slots={"chat": {}}), org_feed=events)
    wanted = desired_app("demo", slots={"chat": {"serving_policy": "local_only"}})
    return plan_of(wanted, seen, read_needs=ReadNeeds(canaries=False, traffic=False, authors_since=AT))


def drift_of(plan: Plan) -> Any:
    """Return the drift in the document of a plan with one change."""
    document: Any = document_of(plan)
    (row,) = document["resource_changes"]
    return row["drift"]


def fleet() -> Observation:
    """Return an org with one capability to enable, one to optimize, one recommended, one canary and one rolled back."""
    slots: dict[str, dict[str, Any]] = {name: {} for name in ("chat", "ocr", "tts", "vision", "embeddings")}
    live = live_app(
        "demo",
        targets=["ios:com.octomil.demo"],
        slots=slots,
        deployments=[
            live_deployment("demo", "ocr"),
            live_deployment("demo", "tts"),
            live_deployment("demo", "tts", "staging"),
            live_deployment("demo", "vision", canary=Canary(candidate="v2", percentage=40)),
            live_deployment("demo", "embeddings", status="rolled_back"),
        ],
    )
    production = {name: Address.of_capability("demo", name, "production") for name in slots}
    return observation(
        live,
        previews={
            production["chat"]: Preview(
                variant="phi-4-q4",
                reason="fits 4 GB of memory",
                devices=1240,
                assignments=(
                    Assignment(platform="android", devices=340),
                    Assignment(platform="ios", devices=600),
                    Assignment(platform="ios", devices=300),
                ),
                warnings=("12 devices have too little memory",),
            )
        },
        checks={
            production["ocr"]: OptimizationCheck(
                available=True,
                suggested="v2",
                improvement={"latency": 0.18, "quality": -0.02},
                reason="more memory now",
            ),
            production["tts"]: OptimizationCheck(available=True, suggested="v2", improvement={"latency": 0.01}),
        },
        canaries=1,
        requests=9,
    )


def deployments() -> App:
    """Declare the apps that `fleet` is compared with."""
    auto = Deploy(environments=("production",), optimize=Optimize.AUTO, min_improvement=0.05)
    names = ("chat", "ocr", "tts", "vision", "embeddings")
    return desired_app("demo", slots={name: {} for name in names}, deploy=dict.fromkeys(names, auto))


def test_a_plan_of_deployments_is_the_golden_one() -> None:
    """An enable with its preview, a canary with its improvement, what waits and why, what is left alone and rolled back."""
    assert_golden(GOLDEN / "plan-deployments.txt", text_of(plan_of(deployments(), fleet())))


@pytest.mark.parametrize(
    ("preview", "words"),
    [
        (Preview(variant="v1"), "would deploy v1 to 0 devices\n"),
        (Preview(variant="v1", devices=1), "would deploy v1 to 1 device\n"),
        (
            Preview(variant="v1", devices=3, assignments=(Assignment(platform=None, devices=3),)),
            "would deploy v1 to 3 devices (unknown platform 3)\n",
        ),
        (
            Preview(variant=None, reason="no device fits"),
            "Octomil finds no suitable variant\n      because: no device fits\n",
        ),
        (
            Unavailable("unavailable", "503 from the orchestrator"),
            "no preview: not available: see the warning preview-failed\n",
        ),
    ],
)
def test_a_preview_is_described_as_far_as_it_is_known(preview: Preview | Unavailable, words: str) -> None:
    """No devices, one device, unknown platforms, no variant and no response are distinguished."""
    assert words in enabling(preview)


def test_a_pinned_variant_is_named_without_a_preview() -> None:
    """Without a preview, the pin of the manifest still names the variant that is deployed."""
    wanted = desired_app("new", slots={"chat": {"model_variant_id": "phi-4"}}, deploy={"chat": "production"})
    assert "deploys phi-4; no preview: the app does not exist yet" in text_of(plan_of(wanted))


def test_texts_of_the_control_plane_are_harmless() -> None:
    """Variants, reasons, warnings, platforms, metrics and actors are data: no escape sequence reaches the terminal."""
    evil = Preview(
        variant=ESCAPE,
        reason=ESCAPE,
        devices=2,
        assignments=(Assignment(platform=ESCAPE, devices=2),),
        warnings=(ESCAPE,),
    )
    check = OptimizationCheck(available=True, suggested=ESCAPE, improvement={ESCAPE: ESCAPE}, reason=ESCAPE)
    event = Event(id=ESCAPE, app="demo", actor=ESCAPE, type=ESCAPE, at=AT)
    texts = (enabling(evil), text_of(better(check)), text_of(last_changed(event)))
    assert all("\\x1b" in text and "\x1b" not in text for text in texts)


@pytest.mark.parametrize(
    ("improvement", "words"),
    [
        ({}, ""),
        ({"latency": 0.18}, " (latency 18% better)"),
        ({"quality": -0.021, "latency": 0.1234}, " (latency 12.3% better, quality 2.1% worse)"),
        ({"latency": 0}, " (latency the same)"),
        ({"latency": "much"}, " (latency much)"),
        ({"latency": True}, " (latency true)"),
        ({"latency": None}, " (latency null)"),
    ],
)
def test_improvements_are_written_in_percent(improvement: dict[str, Any], words: str) -> None:
    """Each metric by name, better or worse; a value that is not a number is shown unchanged."""
    assert improvement_words(improvement) == words


def test_the_author_is_shown_under_the_change() -> None:
    """Actor, minute and event: of the object, or of the app if the feed doesn't name the object."""
    event = Event(
        id="evt_1", app="demo", actor="ana@example.com", type="slot.updated", resource=("slot", "chat"), at=AT
    )
    assert "last changed by ana@example.com, 2029-12-31 23:59 UTC (slot.updated)" in text_of(last_changed(event))
    of_app = Event(id="evt_1", app="demo", actor="ana@example.com", at=AT)
    assert "last change of the app by ana@example.com, 2029-12-31 23:59 UTC" in text_of(last_changed(of_app))
    undated = Event(id="evt_1", app="demo", actor="ana@example.com")
    assert "by ana@example.com, at an unknown time" in text_of(last_changed(undated))


def test_the_author_is_in_the_document() -> None:
    """Actor, time, event ID, and whether it is about the object or only its app; null if the author is unknown."""
    event = Event(
        id="evt_1", app="demo", actor="ana@example.com", type="slot.updated", resource=("slot", "chat"), at=AT
    )
    assert drift_of(last_changed(event)) == {
        "actor": "ana@example.com",
        "at": "2029-12-31T23:59:59Z",
        "event": "evt_1",
        "of": "object",
    }
    assert drift_of(last_changed()) is None
