"""Policies judge the changes of a plan, and guards refuse what they don't accept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.states import NOW, ORIGIN, desired_app, live_app, observation, plan_of

from octosync.model import Judges, Origin, Policy, Requirement, Section, Sensitivity, Severity, State
from octosync.plan import (
    GuardPolicy,
    Override,
    Plan,
    PlanOptions,
    PolicyRun,
    ReadNeeds,
    judge,
    make_plan,
    overrides_of,
    unblocked,
)
from octosync.plan.policies import VARIABLES, PolicyJob, Subject, judge_apps, policy_diagnostics
from octosync.plan.three_way.verdict import Base
from octosync.policies import evaluate

RULE = Origin("octosync.yaml", 7, 11)


def policy(rule: str, name: str = "p", **more: Any) -> Policy:
    """Return a policy with a rule."""
    return Policy(**{"name": name, "rule": rule, "message": "Not like this.", "origin": RULE, **more})


def run_of(*policies: Policy, **more: Any) -> PolicyRun:
    """Return a run with these policies."""
    return PolicyRun(**{"policies": policies, "evaluate": evaluate, "sensitivity": Sensitivity(), **more})


def renamed(*slugs: str, run: PolicyRun, **more: Any) -> Plan:
    """Plan another name for each of these apps."""
    wanted = [desired_app(slug, fields={"name": "B"}) for slug in slugs]
    return plan_of(wanted, map(live_app, slugs), policies=run, **more)


def test_a_change_that_violates_a_policy_is_refused() -> None:
    """The guard has the policy's name, and the flag that lifts this policy alone; other changes are not refused."""
    run = run_of(policy('app.slug != "b"'), policy("!change.destructive", "q"))
    plan = renamed("a", "b", run=run)
    (blocked,) = judge(plan, GuardPolicy())
    assert (blocked.guard, blocked.message, blocked.override) == ("policy:p", "Not like this.", "--allow-policy p")
    assert [str(address) for address in blocked.addresses] == ["app/b"]
    assert [action.address.app for action in unblocked(plan, (blocked,)).actions] == ["a"]
    assert judge(unblocked(plan, (blocked,)), GuardPolicy()) == ()


def test_an_override_lifts_one_policy() -> None:
    """Others still refuse. The override is listed with its flag."""
    plan = renamed("a", run=run_of(policy("false"), policy("false", "q")))
    lifted = GuardPolicy(allowed={"policy:p": True})
    assert [blocked.guard for blocked in judge(plan, lifted)] == ["policy:q"]
    assert overrides_of(lifted) == (Override(guard="policy:p", value="p", source="--allow-policy"),)


@pytest.mark.parametrize("id_", ["policy", "policy:", "deletes:p", "p"])
def test_only_a_policy_can_be_lifted_by_its_name(id_: str) -> None:
    """All policies at once are no guard, and other guards have no parts."""
    with pytest.raises(ValueError, match="neither a limit nor a guard"):
        GuardPolicy(allowed={id_: True})


def test_a_warning_is_a_diagnostic_at_the_object() -> None:
    """It refuses nothing."""
    link = "https://wiki.example.com/p"
    plan = renamed("a", run=run_of(policy("false", severity=Severity.WARNING, link=link)))
    assert judge(plan, GuardPolicy()) == ()
    (found,) = plan.diagnostics
    assert (found.rule, found.severity, found.origin) == ("policy:p", Severity.WARNING, ORIGIN)
    assert (found.summary, found.notes) == ("app/a: Not like this.", (f"See {link}",))


def test_a_policy_without_a_result_refuses_and_is_reported_at_its_rule() -> None:
    """One diagnostic for all that it has no result for."""
    plan = renamed("a", "b", run=run_of(policy("change.after.size == 1"), policy("nope", "q")))
    first, second = judge(plan, GuardPolicy())
    assert len(first.addresses) == len(second.addresses) == 2
    assert first.message == """Not like this. (its rule can't be evaluated: Key not found in map : "size")"""
    assert [(found.rule, found.severity, found.origin) for found in plan.diagnostics] == [
        ("policy-failed", Severity.ERROR, RULE)
    ] * 2
    assert "for app/a and 1 other object" in plan.diagnostics[0].summary


def test_a_warning_without_a_result_is_a_warning() -> None:
    """A policy that refuses nothing does not begin to because its rule is wrong."""
    plan = renamed("a", run=run_of(policy("nope", severity=Severity.WARNING)))
    assert judge(plan, GuardPolicy()) == ()
    assert [(found.rule, found.severity) for found in plan.diagnostics] == [("policy-failed", Severity.WARNING)]


def test_a_policy_about_an_app_refuses_all_changes_of_the_app() -> None:
    """It judges what the manifests declare, in the apps that change."""
    wanted = [
        desired_app(slug, fields={"name": name}, slots={"chat": {"serving_policy": served}})
        for slug, name, served in (("a", "B", "cloud_only"), ("b", "B", "local_only"), ("c", "c", "cloud_only"))
    ]
    live = [
        live_app(slug, slots={"chat": {"serving_policy": served}})
        for slug, served in (("a", "local_only"), ("b", "cloud_only"), ("c", "cloud_only"))
    ]
    rule = 'app.slots.all(slot, slot.serving_policy.routing_mode != "cloud_only")'
    plan = plan_of(wanted, live, policies=run_of(policy(rule, judges=Judges.APP)))
    (blocked,) = judge(plan, GuardPolicy())
    assert [str(address) for address in blocked.addresses] == ["app/a", "app/a/slot/chat"]
    assert [(result.judged, len(result.findings)) for result in plan.policies] == [(2, 1)]


def test_declared_apps_are_judged_without_a_plan() -> None:
    """Every app that the selector is about, by the policies that judge apps."""
    state = State.from_apps(*(desired_app(slug, labels={"tier": tier}) for slug, tier in (("a", "gold"), ("b", "x"))))
    selector = (Requirement("tier", "gold", equal=True),)
    run = run_of(policy("false", judges=Judges.APP, selector=selector), policy("false", "q"))
    results = judge_apps(state, run, NOW)
    found = list(policy_diagnostics(results, refused=False))
    assert [(diagnostic.rule, diagnostic.summary) for diagnostic in found] == [("policy:p", "app/a: Not like this.")]


def test_a_label_in_the_base_counts_for_the_selector() -> None:
    """A change that removes a label, or that removes the app, is still judged by the policies about the label."""
    before = desired_app("a", labels={"data": "restricted"})
    selector = (Requirement("data", "restricted", equal=True),)
    run = run_of(policy('app.labels.size() == 0 && app.base_labels.data == "x"', selector=selector))
    for base in (
        Base(state=State.from_apps(before)),
        Base(state=State.from_apps(desired_app("a")), tip=State.from_apps(before)),
    ):
        assert [blocked.guard for blocked in judge(renamed("a", run=run, base=base), GuardPolicy())] == ["policy:p"]
    assert judge(renamed("a", run=run), GuardPolicy()) == ()
    pruned = plan_of([], live_app("a"), policies=run, base=Base(state=State.from_apps(before)), prune=True)
    assert [blocked.guard for blocked in judge(pruned, GuardPolicy())] == ["policy:p"]


class Recorder:
    """An evaluator that accepts everything, and has the subjects that it was asked about."""

    def __init__(self) -> None:
        self.subjects: list[Any] = []

    def __call__(self, jobs: Sequence[PolicyJob], subjects: Sequence[Subject]) -> Sequence[Sequence[bool | str]]:
        """Record the subjects."""
        self.subjects += [{name: value for part in subject for name, value in part.items()} for subject in subjects]
        return [[True] * len(job.subjects) for job in jobs]


def test_rules_have_the_documented_variables() -> None:
    """The subjects of rules have exactly the variables of the table."""
    recorder = Recorder()
    changes, apps = policy("true"), policy("true", "q", judges=Judges.APP)
    run = run_of(changes, apps, evaluate=recorder, context="production", author="ana", apps=frozenset({"a", "x"}))
    renamed("a", "b", run=run)
    first, _, app, _ = recorder.subjects
    every = {variable.name for variable in VARIABLES}
    assert first.keys() == every
    assert {variable.name for variable in VARIABLES if variable.judges is None} <= app.keys() <= every
    assert (first["change.before"]["name"], first["change.after"]["name"], first["app.fields"]) == (
        "a",
        "B",
        {"name": "B"},
    )
    assert (first["run.apps"], first["run.changes"], first["author"]) == (3, 2, "ana")
    assert first["now"] == NOW.isoformat()


def test_sensitive_values_are_masked_before_a_rule_can_read_them() -> None:
    """Before, after and declared values: a rule and its message can't show a secret."""
    recorder = Recorder()
    live = live_app("a", config={"api_key": "hunter2-live", "n": 1})
    wanted = desired_app("a", config={"api_key": "hunter2-tree", "n": 2})
    plan_of(wanted, live, policies=run_of(policy("true"), evaluate=recorder))
    assert "hunter2" not in repr(recorder.subjects)
    assert recorder.subjects[0]["change.after"] == {"api_key": "(sensitive)", "n": 2}


def test_a_draft_is_not_judged() -> None:
    """A plan with open questions is judged once they are answered, so rules are evaluated once."""
    recorder = Recorder()
    wanted = State.from_apps(desired_app("a", archived=True))
    options = PlanOptions(
        now=NOW,
        policies=run_of(policy("true"), evaluate=recorder),
        read_needs=ReadNeeds(canaries=False, traffic=True, authors_since=None),
    )
    draft = make_plan(wanted, observation(live_app("a")), options)
    assert (bool(draft.questions), draft.policies, recorder.subjects) == (True, (), [])
    whole = make_plan(wanted, observation(live_app("a")), replace(options, read_needs=None))
    assert [result.judged for result in whole.policies] == [1]
    assert [subject["change.action"] for subject in recorder.subjects] == ["archive"]


def test_without_changes_nothing_is_evaluated() -> None:
    """An empty plan needs no process."""

    def fail(jobs: Sequence[PolicyJob], subjects: Sequence[Subject]) -> Sequence[Sequence[bool | str]]:
        raise AssertionError(jobs, subjects)

    plan = plan_of(desired_app("a"), live_app("a"), policies=run_of(policy("false"), evaluate=fail))
    assert [(result.judged, result.findings) for result in plan.policies] == [(0, ())]


def test_fridays_are_in_the_time_zone_of_the_rule() -> None:
    """`now` is a time with a zone, and the number of apps is that of the run."""
    rule = 'now.getDayOfWeek("Europe/Berlin") != 5 || run.apps <= 3'
    friday, thursday = datetime(2026, 11, 26, 23, 30, tzinfo=UTC), datetime(2026, 11, 26, 22, 30, tzinfo=UTC)
    for now, slugs, refused in ((friday, "abcd", 4), (friday, "abc", 0), (thursday, "abcd", 0)):
        blocked = judge(renamed(*slugs, run=run_of(policy(rule)), now=now), GuardPolicy())
        assert sum(len(refusal.addresses) for refusal in blocked) == refused


def test_both_halves_of_a_move_are_refused_together() -> None:
    """A policy about one of them refuses the other, too."""
    wanted = [desired_app("a", targets=["ios:x"]), desired_app("b", targets=[])]
    live = [live_app("a", read=tuple(Section)), live_app("b", targets=["ios:x"])]
    plan = plan_of(wanted, live, policies=run_of(policy('change.action != "delete"')))
    (blocked,) = judge(plan, GuardPolicy())
    assert {address.app for address in blocked.addresses} == {"a", "b"}
