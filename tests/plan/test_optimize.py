"""Optimizing in a plan: which better variants become canaries, which are only recommended, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from tests.support.states import action_lines, desired_app, live_app, live_deployment, observation, plan_of, target

from octosync.errors import ErrorResponse, Forbidden, Unavailable
from octosync.model import Address, App, Canary, Deploy, OptimizationCheck, Optimize, Reason
from octosync.plan import DeployPolicy, OptimizeCapability, Plan, ReadNeeds

ALL_NEEDS = ReadNeeds()


def deployment_address(slug: str = "a", environment: str = "production") -> Address:
    """Return the address of chat's deployment."""
    return Address.of_capability(slug, "chat", environment)


def wanted(
    slug: str = "a",
    optimize: Optimize = Optimize.AUTO,
    *,
    least: float | None = 0.05,
    most: float | None = None,
    environments: tuple[str, ...] = ("production",),
) -> App:
    """Declare chat as deployed, with its `optimize` level."""
    deploy = Deploy(environments=environments, optimize=optimize, min_improvement=least, max_regression=most)
    return desired_app(slug, slots={"chat": {}}, deploy={"chat": deploy})


def live(slug: str = "a", **deployment: Any) -> App:
    """Return the live app, deployed."""
    return live_app(slug, slots={"chat": {}}, deployments=[live_deployment(slug, **deployment)])


def better(improvement: Mapping[str, Any] | None = None, **more: Any) -> OptimizationCheck:
    """Return a check that found a better variant."""
    found = {"latency": 0.2, "quality": -0.01} if improvement is None else improvement
    return OptimizationCheck(**{"available": True, "current": "v1", "suggested": "v2", "improvement": found, **more})


def planned(check: Any = None, *, canaries: Any = 0, policy: DeployPolicy | None = None, **more: Any) -> Plan:
    """Plan one deployed app with the answer of its check."""
    seen = observation(live(), checks={deployment_address(): better() if check is None else check}, canaries=canaries)
    return plan_of(wanted(**more), seen, deploy=policy or DeployPolicy(), read_needs=ALL_NEEDS)


def waits(plan: Plan) -> list[str]:
    """Return what each recommendation waits for."""
    return [recommendation.waiting for recommendation in plan.recommendations]


def test_auto_starts_a_canary() -> None:
    """A large enough improvement is an action with both variants, and not a recommendation."""
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
    assert deployment_address() not in plan.unchanged
    assert not plan.questions


@pytest.mark.parametrize("optimize", [Optimize.NEVER, Optimize.SUGGEST])
def test_suggest_recommends_and_never_does_not_check(optimize: Optimize) -> None:
    """`suggest` checks and recommends; `never` does not check."""
    checks = plan_of(wanted(optimize=optimize), observation(live()), read_needs=ALL_NEEDS).questions.checks
    assert checks == (() if optimize is Optimize.NEVER else (deployment_address(),))
    plan = planned(optimize=optimize)
    assert plan.actions == ()
    assert waits(plan) == ([] if optimize is Optimize.NEVER else [""])
    assert deployment_address() in plan.unchanged


@pytest.mark.parametrize("bound", list(Optimize))
@pytest.mark.parametrize("declared", list(Optimize))
def test_the_flag_is_an_upper_bound(declared: Optimize, bound: Optimize) -> None:
    """The run uses the level of the manifest, capped by the flag."""
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
        ({"latency": -0.1, "quality": 0.3}, 0.05, True),
        ({"latency": 0.001}, None, True),
        ({"latency": 0}, None, False),
        ({"latency": -0.2}, None, False),
        ({}, None, False),
        ({"latency": "much better"}, None, False),
        ({"latency": True}, None, False),
        ({"latency": None}, 0, False),
    ],
)
def test_only_a_large_enough_improvement_starts_a_canary(
    improvement: Mapping[str, Any], least: float | None, acts: bool
) -> None:
    """The largest metric counts; an improvement without a number is never enough."""
    plan = planned(better(improvement), least=least)
    assert bool(plan.actions) is acts
    assert all(waits(plan))
    assert len(plan.recommendations) == (0 if acts else 1)


@pytest.mark.parametrize(
    ("improvement", "most", "waiting"),
    [
        ({"latency": -0.429, "quality": 0.167}, None, "latency gets 42.9% worse, more than 10% (maxRegression)"),
        ({"latency": -0.1, "quality": 0.167}, None, None),
        (
            {"latency": -0.101, "memory": -0.3, "quality": 9},
            0.25,
            "memory gets 30% worse, more than 25% (maxRegression)",
        ),
        ({"latency": -0.429, "quality": 0.167}, 0.5, None),
        ({"latency": -0.001, "quality": 0.167}, 0.0, "latency gets 0.1% worse, and maxRegression is 0"),
        ({"latency": "much worse", "quality": 0.167}, 0.0, None),
    ],
)
def test_a_variant_that_is_much_worse_in_any_metric_is_only_recommended(
    improvement: Mapping[str, Any], most: float | None, waiting: str | None
) -> None:
    """`auto` accepts a regression of at most 10%, or what the manifest declares, in each metric; the reason names the worst."""
    plan = planned(better(improvement), most=most)
    assert waits(plan) == ([] if waiting is None else [waiting])
    assert len(plan.actions) == (waiting is None)


def test_a_suggestion_without_a_name_is_only_recommended() -> None:
    """A variant without a name can't be compared with the deployed one later."""
    assert waits(planned(better(suggested=None))) == ["the orchestrator names no variant"]


def test_a_suggestion_of_the_deployed_variant_is_only_recommended() -> None:
    """A canary of the deployed variant would change nothing, run after run."""
    assert waits(planned(better(suggested="v1"))) == ["it is what is deployed"]


def test_the_number_of_canaries_in_the_org_is_limited() -> None:
    """Running canaries count; the other actions wait in the order of their addresses, with the reason."""
    slugs = ["a", "b", "c", "d"]
    seen = observation(*map(live, slugs), checks={deployment_address(slug): better() for slug in slugs}, canaries=1)
    plan = plan_of(map(wanted, slugs), seen, deploy=DeployPolicy(max_canaries=3), read_needs=ALL_NEEDS)
    assert action_lines(plan) == [
        "optimize app/a/capability/chat@production",
        "optimize app/b/capability/chat@production",
    ]
    assert waits(plan) == ["at most 3 canaries run in the org at once (maxCanaries)"] * 2
    none = plan_of(map(wanted, slugs), seen, deploy=DeployPolicy(max_canaries=1), read_needs=ALL_NEEDS)
    assert none.actions == ()


def test_running_canaries_are_counted_only_if_needed() -> None:
    """Not for suggestions, small improvements or a known count. Until the count is known, no canary is planned."""
    unknown = planned(canaries=None)
    assert unknown.questions.canaries
    assert unknown.actions == ()
    assert not planned(canaries=None, optimize=Optimize.SUGGEST).questions
    assert not planned(better({"latency": 0.01}), canaries=None).questions


def test_canaries_that_can_not_be_counted_start_none() -> None:
    """A failed read is not a count of 0."""
    plan = planned(canaries=Unavailable("unavailable", "no answer"))
    assert plan.actions == ()
    assert waits(plan) == ["how many canaries run in the org could not be read: no answer"]
    assert not plan.questions


def test_a_slot_has_one_canary_at_a_time() -> None:
    """Two environments of a slot are optimized in turn, production last; a running canary counts too."""
    both = wanted(environments=("production", "staging"))
    checks = {deployment_address(environment=environment): better() for environment in ("production", "staging")}
    two = [live_deployment("a"), live_deployment("a", environment="staging")]
    app = live_app("a", slots={"chat": {}}, deployments=two)
    plan = plan_of(both, observation(app, checks=checks, canaries=0), read_needs=ALL_NEEDS)
    assert action_lines(plan) == ["optimize app/a/capability/chat@staging"]
    assert waits(plan) == ["one canary of a slot at a time"]
    busy = live_app("a", slots={"chat": {}}, deployments=[live_deployment("a", canary=Canary(candidate="v2")), two[1]])
    seen = observation(busy, checks=checks, canaries=1)
    second = plan_of(both, seen, read_needs=ALL_NEEDS)
    assert second.actions == ()
    assert second.questions.checks == ()


def test_a_running_canary_is_not_checked_again() -> None:
    """The better variant has been chosen, so no request is sent for it."""
    seen = observation(live(canary=Canary(candidate="v2", percentage=40)))
    assert not plan_of(wanted(), seen, read_needs=ALL_NEEDS).questions


def test_development_is_never_optimized_automatically() -> None:
    """Only staging and production get canaries; in development, better variants are recommended."""
    app = wanted(environments=("development",))
    place = deployment_address(environment="development")
    existing = live_app("a", slots={"chat": {}}, deployments=[live_deployment("a", environment="development")])
    plan = plan_of(app, observation(existing, checks={place: better()}, canaries=0), read_needs=ALL_NEEDS)
    assert plan.actions == ()
    assert waits(plan) == [""]


def test_a_check_that_fails_is_a_warning() -> None:
    """A missing scope or an outage is a warning, and the plan does not fail."""
    plan = planned(Forbidden("insufficient-scope", "the key may not", response=ErrorResponse(request_id="req_7")))
    assert not plan.actions
    assert not plan.recommendations
    assert not plan.errored
    (warning,) = plan.diagnostics
    assert warning.rule == "check-failed"
    assert "req_7" in warning.summary


def test_without_a_better_variant_nothing_is_reported() -> None:
    """The usual case: no action, no recommendation and no diagnostic."""
    plan = planned(OptimizationCheck(available=False, reason="the best already"))
    assert not plan.actions
    assert not plan.recommendations
    assert not plan.diagnostics
    assert deployment_address() in plan.unchanged


@pytest.mark.parametrize(
    ("existing", "targets", "more", "reason"),
    [
        (live_app("a", slots={"chat": {}}), [], {}, "it is not deployed yet"),
        (live(), ["ios:x"], {}, "this plan changes the targets"),
        (live(), [], {}, ""),
        (live(canary=Canary(candidate="v2")), ["ios:x"], {}, ""),
        (live_app("a", slots={"chat": {}}), [], {"optimize": Optimize.SUGGEST}, ""),
        (live_app("a", slots={"chat": {}}), [], {"environments": ("development",)}, ""),
    ],
)
def test_a_plan_reports_that_the_next_apply_may_start_a_canary(
    existing: App, targets: list[str], more: dict[str, Any], reason: str
) -> None:
    """A check needs a deployment and targets as declared. Until then, `auto` alone gives a notice."""
    app = replace(wanted(**more), targets=tuple(target("a", key) for key in targets))
    checks = {deployment_address(): OptimizationCheck(available=False)}
    plan = plan_of(app, observation(existing, checks=checks, canaries=0))
    found = [diagnostic for diagnostic in plan.diagnostics if diagnostic.rule == "optimizes-later"]
    assert len(found) == bool(reason)
    assert all(reason in diagnostic.summary and diagnostic.severity.value == "notice" for diagnostic in found)
