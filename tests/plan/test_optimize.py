"""Optimizing in a plan: which better variants become canaries, and which are shown, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from tests.support.states import action_lines, desired_app, live_app, live_deployment, observation, plan_of, target

from octosync.errors import ErrorResponse, Forbidden, Unavailable
from octosync.model import Address, App, Canary, Deploy, OptimizationCheck, Optimize, Reason
from octosync.plan import DeployPolicy, OptimizeCapability, Plan, ReadNeeds

CURIOUS = ReadNeeds()


def where(slug: str = "a", environment: str = "production") -> Address:
    """Address chat's deployment."""
    return Address.of_capability(slug, "chat", environment)


def wanted(
    slug: str = "a",
    optimize: Optimize = Optimize.AUTO,
    *,
    least: float | None = 0.05,
    environments: tuple[str, ...] = ("production",),
) -> App:
    """Declare chat as deployed, and how far to optimize it."""
    deploy = Deploy(environments=environments, optimize=optimize, min_improvement=least)
    return desired_app(slug, slots={"chat": {}}, deploy={"chat": deploy})


def live(slug: str = "a", **deployment: Any) -> App:
    """Make the live app, deployed."""
    return live_app(slug, slots={"chat": {}}, deployments=[live_deployment(slug, **deployment)])


def better(improvement: Mapping[str, Any] | None = None, **more: Any) -> OptimizationCheck:
    """Make the answer that there is a better variant."""
    found = {"latency": 0.2, "quality": -0.01} if improvement is None else improvement
    return OptimizationCheck(**{"available": True, "current": "v1", "suggested": "v2", "improvement": found, **more})


def planned(check: Any = None, *, canaries: Any = 0, policy: DeployPolicy | None = None, **more: Any) -> Plan:
    """Plan one deployed app whose check was answered."""
    seen = observation(live(), checks={where(): better() if check is None else check}, canaries=canaries)
    return plan_of(wanted(**more), seen, deploy=policy or DeployPolicy(), read_needs=CURIOUS)


def waits(plan: Plan) -> list[str]:
    """Return what each recommendation waits for."""
    return [one.waiting for one in plan.recommendations]


def test_auto_starts_a_canary() -> None:
    """A large enough improvement is an action with both variants, and no recommendation."""
    plan = planned()
    (action,) = plan.actions
    assert isinstance(action, OptimizeCapability)
    assert (action.reason, action.suggested, action.body) == (
        Reason.BETTER_VARIANT,
        "v2",
        {"environment": "production"},
    )
    assert [(change.path, change.before, change.after) for change in action.fields] == [
        (("model_variant_id",), "v1", "v2")
    ]
    assert plan.recommendations == ()
    assert where() not in plan.unchanged
    assert not plan.questions


@pytest.mark.parametrize("optimize", [Optimize.NEVER, Optimize.SUGGEST])
def test_suggest_shows_and_never_asks_nothing(optimize: Optimize) -> None:
    """`suggest` asks and shows; `never` does not ask."""
    asked = plan_of(wanted(optimize=optimize), observation(live()), read_needs=CURIOUS).questions.checks
    assert asked == (() if optimize is Optimize.NEVER else (where(),))
    plan = planned(optimize=optimize)
    assert plan.actions == ()
    assert waits(plan) == ([] if optimize is Optimize.NEVER else [""])
    assert where() in plan.unchanged


@pytest.mark.parametrize("bound", list(Optimize))
@pytest.mark.parametrize("declared", list(Optimize))
def test_the_flag_is_an_upper_bound(declared: Optimize, bound: Optimize) -> None:
    """The run goes as far as the manifest, and never farther than the flag."""
    plan = planned(optimize=declared, policy=DeployPolicy(optimize=bound))
    levels = list(Optimize)
    effective = levels[min(levels.index(declared), levels.index(bound))]
    assert bool(plan.actions) is (effective is Optimize.AUTO)
    assert bool(plan.recommendations) is (effective is Optimize.SUGGEST)


@pytest.mark.parametrize(
    ("improvement", "least", "acts"),
    [
        ({"latency": 0.05}, 0.05, True),
        ({"latency": 0.049}, 0.05, False),
        ({"latency": -0.5, "quality": 0.3}, 0.05, True),
        ({"latency": 0.001}, None, True),
        ({"latency": 0}, None, False),
        ({"latency": -0.2}, None, False),
        ({}, None, False),
        ({"latency": "much better"}, None, False),
        ({"latency": True}, None, False),
        ({"latency": None}, 0, False),
    ],
)
def test_only_a_number_that_is_large_enough_acts(
    improvement: Mapping[str, Any], least: float | None, acts: bool
) -> None:
    """The largest metric counts; an improvement without a number is never enough."""
    plan = planned(better(improvement), least=least)
    assert bool(plan.actions) is acts
    assert all(waits(plan))
    assert len(plan.recommendations) == (0 if acts else 1)


def test_a_suggestion_without_a_name_is_only_shown() -> None:
    """What has no name can't be compared with what comes of it."""
    assert waits(planned(better(suggested=None))) == ["the orchestrator names no variant"]


def test_a_suggestion_of_what_is_deployed_is_only_shown() -> None:
    """A canary to the variant that runs would change nothing, run after run."""
    assert waits(planned(better(suggested="v1"))) == ["it is what is deployed"]


def test_at_most_so_many_canaries_run_in_the_org() -> None:
    """Those that run count; the rest waits in the order of the addresses, and says for what."""
    slugs = ["a", "b", "c", "d"]
    seen = observation(*map(live, slugs), checks={where(slug): better() for slug in slugs}, canaries=1)
    plan = plan_of(map(wanted, slugs), seen, deploy=DeployPolicy(max_canaries=3), read_needs=CURIOUS)
    assert action_lines(plan) == [
        "optimize app/a/capability/chat@production",
        "optimize app/b/capability/chat@production",
    ]
    assert waits(plan) == ["at most 3 canaries run in the org at once (maxCanaries)"] * 2
    none = plan_of(map(wanted, slugs), seen, deploy=DeployPolicy(max_canaries=1), read_needs=CURIOUS)
    assert none.actions == ()


def test_how_many_run_is_asked_only_when_it_matters() -> None:
    """Not for what is only suggested, too small, or known already; until it is known, nothing acts."""
    unknown = planned(canaries=None)
    assert unknown.questions.canaries
    assert unknown.actions == ()
    assert not planned(canaries=None, optimize=Optimize.SUGGEST).questions
    assert not planned(better({"latency": 0.01}), canaries=None).questions


def test_canaries_that_can_not_be_counted_start_none() -> None:
    """A failed read is no zero."""
    plan = planned(canaries=Unavailable("unavailable", "no answer"))
    assert plan.actions == ()
    assert waits(plan) == ["how many canaries run in the org could not be read: no answer"]
    assert not plan.questions


def test_one_canary_a_slot() -> None:
    """Two environments of a slot are optimized one after the other, production last; a canary that runs counts, too."""
    both = wanted(environments=("production", "staging"))
    checks = {where(environment=one): better() for one in ("production", "staging")}
    two = [live_deployment("a"), live_deployment("a", environment="staging")]
    app = live_app("a", slots={"chat": {}}, deployments=two)
    plan = plan_of(both, observation(app, checks=checks, canaries=0), read_needs=CURIOUS)
    assert action_lines(plan) == ["optimize app/a/capability/chat@staging"]
    assert waits(plan) == ["one canary of a slot at a time"]
    busy = live_app("a", slots={"chat": {}}, deployments=[live_deployment("a", canary=Canary(candidate="v2")), two[1]])
    seen = observation(busy, checks=checks, canaries=1)
    second = plan_of(both, seen, read_needs=CURIOUS)
    assert second.actions == ()
    assert second.questions.checks == ()


def test_while_a_canary_runs_nothing_is_asked() -> None:
    """What is better has been chosen: no request for it."""
    seen = observation(live(canary=Canary(candidate="v2", percentage=40)))
    assert not plan_of(wanted(), seen, read_needs=CURIOUS).questions


def test_development_is_never_optimized_by_itself() -> None:
    """Better variants are rolled out to staging and production alone: in development they are shown."""
    app = wanted(environments=("development",))
    place = where(environment="development")
    there = live_app("a", slots={"chat": {}}, deployments=[live_deployment("a", environment="development")])
    plan = plan_of(app, observation(there, checks={place: better()}, canaries=0), read_needs=CURIOUS)
    assert plan.actions == ()
    assert waits(plan) == [""]


def test_a_check_that_fails_is_a_warning() -> None:
    """A scope that is missing, or an outage: said where it matters, and no failed plan."""
    plan = planned(Forbidden("insufficient-scope", "the key may not", response=ErrorResponse(request_id="req_7")))
    assert not plan.actions
    assert not plan.recommendations
    assert not plan.errored
    (warning,) = plan.diagnostics
    assert warning.rule == "check-failed"
    assert "req_7" in warning.summary


def test_nothing_better_is_nothing_to_say() -> None:
    """The usual case."""
    plan = planned(OptimizationCheck(available=False, reason="the best already"))
    assert not plan.actions
    assert not plan.recommendations
    assert not plan.diagnostics
    assert where() in plan.unchanged


@pytest.mark.parametrize(
    ("there", "targets", "more", "said"),
    [
        (live_app("a", slots={"chat": {}}), [], {}, "it is not deployed yet"),
        (live(), ["ios:x"], {}, "this plan changes the targets"),
        (live(), [], {}, ""),
        (live(canary=Canary(candidate="v2")), ["ios:x"], {}, ""),
        (live_app("a", slots={"chat": {}}), [], {"optimize": Optimize.SUGGEST}, ""),
        (live_app("a", slots={"chat": {}}), [], {"environments": ("development",)}, ""),
    ],
)
def test_a_plan_says_that_the_next_apply_may_start_a_canary(
    there: App, targets: list[str], more: dict[str, Any], said: str
) -> None:
    """What is better is known once it is deployed and its targets are as declared: a notice, with `auto` alone."""
    app = replace(wanted(**more), targets=tuple(target("a", key) for key in targets))
    checks = {where(): OptimizationCheck(available=False)}
    plan = plan_of(app, observation(there, checks=checks, canaries=0))
    found = [one for one in plan.diagnostics if one.rule == "optimizes-later"]
    assert len(found) == bool(said)
    assert all(said in one.summary and one.severity.value == "notice" for one in found)
