"""The policies in examples/policies are sound, refuse what their messages forbid, and are those of docs/how-to/policies.md."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from docs.executing import ROOT
from tests.support.states import desired_app, live_app, plan_of
from tests.support.workdirs import Workdir

from octosync.manifest import read_configuration
from octosync.model import App, Sensitivity, State
from octosync.plan import GuardPolicy, PolicyRun, judge
from octosync.plan.three_way.verdict import Base
from octosync.policies import evaluate

FOLDER = ROOT / "examples" / "policies"
THURSDAY, FRIDAY = datetime(2026, 11, 26, 12, tzinfo=UTC), datetime(2026, 11, 27, 12, tzinfo=UTC)
RESTRICTED, RETIRED = {"data": "restricted"}, {"retired": "2026-11"}
ENGINES = {"chat": {"preferred_engines": ["coreml"]}}
NO_ENGINES: Any = {"chat": {"preferred_engines": []}}


def refusing(
    desired: list[App], live: list[App], *, context: str = "production", now: datetime = THURSDAY, **more: Any
) -> list[str]:
    """Return the policies that refuse a plan, each with a result for every change."""
    configured = read_configuration(Path("octosync.yaml"), directory=FOLDER)
    assert configured.diagnostics == ()
    run = PolicyRun(
        policies=configured.configuration.policies, evaluate=evaluate, sensitivity=Sensitivity(), context=context
    )
    plan = plan_of(desired, live, policies=run, now=now, **more)
    assert not any(result.problems for result in plan.policies)
    limits = {"maxDeletes": 99, "maxArchives": 99}
    blocked = judge(plan, GuardPolicy(limits=limits))
    return [refusal.guard.removeprefix("policy:") for refusal in blocked]


def serving(mode: str, labels: dict[str, str]) -> list[App]:
    """Return an app with these labels whose slot has this policy, and one without slots."""
    return [desired_app("a", labels=labels, slots={"chat": {"serving_policy": mode}}), desired_app("b", labels=labels)]


@pytest.mark.parametrize(
    ("mode", "labels", "refused"),
    [("cloud_only", RESTRICTED, True), ("local_only", RESTRICTED, False), ("cloud_only", {}, False)],
)
def test_restricted_data_stays_local(mode: str, labels: dict[str, str], refused: bool) -> None:
    """A slot of an app with restricted data can't be served by the cloud only."""
    assert refusing(serving(mode, labels), []) == ["restricted-data-stays-local"] * refused


def test_a_change_that_removes_the_label_is_judged_by_it() -> None:
    """The label in the base counts."""
    base = Base(state=State.from_apps(*serving("local_only", RESTRICTED)))
    live = [live_app("a", slots={"chat": {"serving_policy": "local_only"}}), live_app("b")]
    assert refusing(serving("cloud_only", {}), live, base=base) == ["restricted-data-stays-local"]


@pytest.mark.parametrize(
    ("slots", "context", "refused"),
    [
        (NO_ENGINES, "production", True),
        ({}, "production", True),
        (NO_ENGINES, "staging", False),
        ({"chat": {"preferred_engines": ["llama.cpp"]}}, "production", False),
        ({"chat": {"public_client_allowed": True}}, "production", False),
    ],
    ids=["no engine", "no slot", "elsewhere", "another engine", "another field"],
)
def test_production_keeps_an_engine(slots: Any, context: str, refused: bool) -> None:
    """The last engine of a slot can't be removed in production, alone or with the slot; elsewhere it can."""
    found = refusing([desired_app("a", slots=slots)], [live_app("a", slots=ENGINES)], context=context)
    assert found == ["production-keeps-an-engine"] * refused


def test_a_slot_without_engines_has_none_to_lose() -> None:
    """Neither does a change of another kind."""
    wanted = desired_app("a", fields={"name": "B"}, slots={"chat": {"public_client_allowed": True}, "tts": {}})
    assert refusing([wanted], [live_app("a", slots=NO_ENGINES)]) == []


@pytest.mark.parametrize(("now", "count", "refused"), [(FRIDAY, 4, True), (FRIDAY, 3, False), (THURSDAY, 4, False)])
def test_few_apps_on_fridays(now: datetime, count: int, refused: bool) -> None:
    """At most 3 apps change in a run on a Friday."""
    found = refusing([desired_app(f"app-{number}") for number in range(count)], [], now=now)
    assert found == ["few-apps-on-fridays"] * refused


@pytest.mark.parametrize("labels", [{}, RETIRED], ids=["without the label", "retired"])
def test_archive_needs_a_label(labels: dict[str, str]) -> None:
    """A declared archive and a pruned app need the label."""
    refused = [] if labels else ["archive-needs-label"]
    assert refusing([desired_app("a", archived=True, labels=labels)], [live_app("a")]) == refused
    base = Base(state=State.from_apps(desired_app("a", labels=labels)))
    assert refusing([], [live_app("a")], base=base, prune=True) == refused


def test_the_examples_are_those_of_the_document() -> None:
    """docs/how-to/policies.md has the same policies, and they accept the other examples."""
    policies = (FOLDER / "octosync.yaml").read_text(encoding="utf-8").partition("\npolicies:")[2]
    assert f"\npolicies:{policies}```" in (ROOT / "docs/how-to/policies.md").read_text(encoding="utf-8")
    ended = Workdir(FOLDER).octosync("validate", "--strict")
    assert (ended.code, ended.stderr) == (0, "")
