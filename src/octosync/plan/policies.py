"""Policies: what their rules can use, and what they find in a plan or in declared apps. Pure: the evaluator is an input.

A rule is an expression in CEL that must be true. Objects have the API's field names, as in the plan's JSON, and an object that
does not exist has no fields: `{}`. Sensitive values are masked before a rule can read them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, TypeAlias

from octosync.model import (
    SENSITIVE,
    Address,
    App,
    Diagnostic,
    JsonObject,
    JsonValue,
    Judges,
    Origin,
    Policy,
    RecordedPolicy,
    Sensitivity,
    Severity,
    State,
    counted,
)
from octosync.plan.actions import Action, ActionKey
from octosync.plan.three_way.verdict import Base

_PLACE: Final = re.compile(r"\(line 1, column ([1-9]\d*) of the rule\)")
FAILED: Final = "policy-failed"  # the rule of a diagnostic about a policy that has no result


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of rules: its name, its type in CEL, its meaning, and an example. `judges` None: every policy has it."""

    name: str
    type: str
    about: str
    example: JsonValue
    judges: Judges | None = None


VARIABLES: Final = (
    Variable(
        "change.action",
        "string",
        "what the change does: create, update, delete, archive, enable or optimize",
        "update",
        Judges.CHANGE,
    ),
    Variable(
        "change.kind",
        "string",
        "the kind of the object: app, target, slot, inference_config or capability",
        "slot",
        Judges.CHANGE,
    ),
    Variable(
        "change.address", "string", "the address of the object", "app/field-notes/slot/transcription", Judges.CHANGE
    ),
    Variable(
        "change.name",
        "string",
        "the name of the object in its app; a capability's is capability@environment",
        "transcription",
        Judges.CHANGE,
    ),
    Variable("change.reason", "string", "why the object changes, as in the plan's JSON", "drift", Judges.CHANGE),
    Variable(
        "change.destructive",
        "bool",
        "whether the change removes something that can't be restored",
        False,
        Judges.CHANGE,
    ),
    Variable(
        "change.before",
        "map",
        "the object as it is live; {} if it does not exist",
        {"preferred_engines": ["coreml"]},
        Judges.CHANGE,
    ),
    Variable("change.after", "map", "the object as it will be; {} if it is removed", {}, Judges.CHANGE),
    Variable("app.slug", "string", "the slug of the app", "field-notes"),
    Variable("app.labels", "labels", "the labels of the app", {"team": "speech", "data": "restricted"}),
    Variable(
        "app.base_labels",
        "labels",
        "the labels of the app in the base, which a pull request can't change; {} if there are none",
        {"team": "speech"},
    ),
    Variable("app.protected", "bool", "whether the app is protected (annotation octosync.dev/protect)", False),
    Variable("app.archived", "bool", "whether the app is declared as archived", False),
    Variable("app.fields", "map", "the declared fields of the app: name and description", {"name": "Field notes"}),
    Variable(
        "app.targets",
        "list",
        "the declared targets, each with platform and identifier",
        [{"platform": "ios", "identifier": "com.octomil.field-notes"}],
    ),
    Variable(
        "app.slots",
        "list",
        "the declared slots, each with its capability, its declared fields, and the environments in which it is enabled",
        [{"capability": "transcription", "serving_policy": {"routing_mode": "auto"}, "environments": ["production"]}],
    ),
    Variable("app.inference_config", "map", "the declared inference config; {} if there is none", {}),
    Variable("run.apps", "int", "how many apps change in this run", 2, Judges.CHANGE),
    Variable("run.changes", "int", "how many changes the plan has", 7, Judges.CHANGE),
    Variable("context", "string", 'the name of the context in octosync.yaml; "" if there is none', "production"),
    Variable(
        "author",
        "string",
        'who started the run: the account on GitHub or GitLab, else the user of this machine; "" in `octosync watch`',
        "octocat",
    ),
    Variable("now", "timestamp", "the time of the plan", "2026-11-27T16:00:00Z"),
)


def variables_for(judges: Judges) -> Mapping[str, str]:
    """Return the variables of policies that judge changes or apps, with their types."""
    return {variable.name: variable.type for variable in VARIABLES if variable.judges in (None, judges)}


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyJob:
    """A policy and the indices of the subjects that it judges."""

    policy: Policy
    subjects: tuple[int, ...] = ()


# What a rule is evaluated for: objects that together have its variables. Subjects share objects, for example that of an app.
Subject: TypeAlias = Sequence[JsonObject]
# Returns the results of each job, in the order of its subjects: whether the rule is true, or why it has no value.
Evaluator: TypeAlias = Callable[[Sequence[PolicyJob], Sequence[Subject]], Sequence[Sequence[bool | str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRun:
    """The policies of a run, and what their rules know of it.

    `apps` are apps that change in the same run, though they are in other plans.
    """

    policies: tuple[Policy, ...]
    evaluate: Evaluator
    sensitivity: Sensitivity
    context: str = ""
    author: str = ""
    apps: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFinding:
    """What a policy does not accept: a change, or an app with all of its changes (`change` None).

    `problem` is why the rule has no value; "": it is false.
    """

    address: Address
    change: ActionKey | None = None
    origin: Origin | None = None
    problem: str = ""

    def concerns(self, action: Action) -> bool:
        """Return whether an action is what the policy does not accept, or a part of it."""
        return action.address.app == self.address.app if self.change is None else action.key == self.change


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyResult:
    """The result of a policy: how many changes or apps it has judged, and which of these it does not accept."""

    policy: Policy
    judged: int
    findings: tuple[PolicyFinding, ...] = ()

    @property
    def outcome(self) -> str:
        """`passed`, `violated`, or `failed` if the rule has no value for something."""
        return "failed" if self.problems else "violated" if self.findings else "passed"

    @property
    def problems(self) -> tuple[PolicyFinding, ...]:
        """The findings that have no value."""
        return tuple(found for found in self.findings if found.problem)


def recorded_policies(
    results: Iterable[PolicyResult], actions: Collection[Action], overridden: Collection[str]
) -> tuple[RecordedPolicy, ...]:
    """Return the results of policies for the actions of a run, as the journal records them.

    `overridden` are the guards that the run loosens. The outcome is `passed`, `violated`, `overridden` for a violation that was
    allowed, or `failed` for a rule that has no value.
    """
    return tuple(
        RecordedPolicy(result.policy.name, result.policy.severity.value, _outcome(result, actions, overridden))
        for result in results
    )


def _outcome(result: PolicyResult, actions: Collection[Action], overridden: Collection[str]) -> str:
    findings = [found for found in result.findings if any(map(found.concerns, actions))]
    if not findings:
        return "passed"
    if result.policy.id in overridden:
        return "overridden"
    return "failed" if any(found.problem for found in findings) else "violated"


@dataclass(frozen=True, slots=True)
class _Candidate:
    finding: PolicyFinding
    labels: tuple[Mapping[str, str], ...]
    subject: Subject


def judge_plan(
    actions: Sequence[Action], desired: State, base: Base | None, run: PolicyRun, now: datetime
) -> tuple[PolicyResult, ...]:
    """Return what the policies find in a plan: in each of its changes, and in each app that it changes and that is declared."""
    slugs = sorted({action.address.app for action in actions})
    facts = {slug: _app_facts(slug, desired, base, run) for slug in slugs}
    shared = {**_shared(run, now), "run.apps": len({*slugs, *run.apps}), "run.changes": len(actions)}
    changes = (
        _Candidate(
            PolicyFinding(address=action.address, change=action.key, origin=_origin(action, desired)),
            facts[action.address.app].labels,
            (facts[action.address.app].variables, _change_variables(action, run.sensitivity), shared),
        )
        for action in actions
    )
    apps = (_app_candidate(desired.apps[slug], facts[slug], shared) for slug in slugs if slug in desired.apps)
    return _results(run, {Judges.CHANGE: changes, Judges.APP: apps})


def judge_apps(desired: State, run: PolicyRun, now: datetime) -> tuple[PolicyResult, ...]:
    """Return what the policies that judge apps find in declared apps."""
    shared = _shared(run, now)
    apps = (_app_candidate(app, _app_facts(app.slug, desired, None, run), shared) for app in desired)
    return _results(run, {Judges.APP: apps})


def _results(run: PolicyRun, judged: Mapping[Judges, Iterable[_Candidate]]) -> tuple[PolicyResult, ...]:
    policies = [policy for policy in run.policies if policy.judges in judged]
    candidates: list[_Candidate] = []
    indices: dict[Judges, range] = {}
    for judges in {policy.judges: None for policy in policies}:
        start = len(candidates)
        candidates += judged[judges]
        indices[judges] = range(start, len(candidates))
    jobs = [
        PolicyJob(policy=policy, subjects=_selected(policy, candidates, indices[policy.judges])) for policy in policies
    ]
    is_needed = any(job.subjects for job in jobs)
    found = run.evaluate(jobs, [candidate.subject for candidate in candidates]) if is_needed else [()] * len(jobs)
    return tuple(
        PolicyResult(
            policy=job.policy,
            judged=len(job.subjects),
            findings=tuple(
                replace(candidates[index].finding, problem=result if isinstance(result, str) else "")
                for index, result in zip(job.subjects, results, strict=True)
                if result is not True
            ),
        )
        for job, results in zip(jobs, found, strict=True)
    )


def _selected(policy: Policy, candidates: Sequence[_Candidate], indices: Iterable[int]) -> tuple[int, ...]:
    return tuple(index for index in indices if any(map(policy.selects, candidates[index].labels)))


def _origin(action: Action, desired: State) -> Origin | None:
    app = desired.apps.get(action.address.app)
    return action.origin or (app.origin if app is not None else None)


def _app_candidate(app: App, facts: _AppFacts, shared: JsonObject) -> _Candidate:
    finding = PolicyFinding(address=app.address, origin=app.origin)
    return _Candidate(finding, facts.labels, (facts.variables, shared))


def _shared(run: PolicyRun, now: datetime) -> JsonObject:
    return {"context": run.context, "author": run.author, "now": now.astimezone(UTC).isoformat()}


def _change_variables(action: Action, sensitivity: Sensitivity) -> JsonObject:
    return {
        "change.action": action.verb.value,
        "change.kind": action.address.kind.value,
        "change.address": str(action.address),
        "change.name": action.address.name,
        "change.reason": action.reason.value,
        "change.destructive": action.destructive,
        "change.before": sensitivity.redact(action.before or {}, SENSITIVE),
        "change.after": sensitivity.redact(action.after or {}, SENSITIVE),
    }


@dataclass(frozen=True, slots=True)
class _AppFacts:
    labels: tuple[Mapping[str, str], ...]
    variables: JsonObject


def _app_facts(slug: str, desired: State, base: Base | None, run: PolicyRun) -> _AppFacts:
    """Return what rules know of an app: as it is declared, else as the base declared it.

    A selector goes by its labels in the base, too, so that a change of its labels doesn't evade a policy.
    """
    earlier = [app for state in _states(base) if (app := state.apps.get(slug)) is not None]
    app = desired.apps.get(slug) or (earlier[0] if earlier else App(slug=slug))
    config = app.inference_config.config if app.inference_config is not None else None
    slots: list[JsonValue] = [
        {
            **slot.fields,
            "capability": slot.capability,
            "environments": list(slot.deploy.environments) if slot.deploy is not None else [],
        }
        for slot in app.slots
    ]
    return _AppFacts(
        labels=(app.labels, *(known.labels for known in earlier)),
        variables={
            "app.slug": slug,
            "app.labels": dict(app.labels),
            "app.base_labels": dict(earlier[0].labels) if earlier else {},
            "app.protected": app.protected or any(known.protected for known in earlier),
            "app.archived": app.archived,
            "app.fields": run.sensitivity.redact(app.fields, SENSITIVE),
            "app.targets": [{"platform": target.platform, "identifier": target.identifier} for target in app.targets],
            "app.slots": run.sensitivity.redact(slots, SENSITIVE),
            "app.inference_config": run.sensitivity.redact(config or {}, SENSITIVE),
        },
    )


def _states(base: Base | None) -> tuple[State, ...]:
    """Return the states of the base, the newest first."""
    if base is None:
        return ()
    return (base.before,) if base.tip is None else (base.tip, base.before)


def policy_diagnostics(results: Iterable[PolicyResult], *, refused: bool) -> Iterator[Diagnostic]:
    """Yield the violations as diagnostics at what is violated, and one for each rule without a value, at the rule.

    `refused`: a guard refuses violations of policies with the severity error, so that they need no diagnostic.
    """
    for result in results:
        policy = result.policy
        link = () if policy.link is None else (f"See {policy.link}",)
        if not refused or policy.severity is not Severity.ERROR:
            yield from (
                Diagnostic(
                    severity=policy.severity,
                    rule=policy.id,
                    summary=f"{found.address}: {policy.message}",
                    origin=found.origin,
                    notes=link,
                )
                for found in result.findings
                if not found.problem
            )
        if result.problems:
            yield failure_of(policy, result.problems[0].problem, str(result.problems[0].address), len(result.problems))


def failure_of(
    policy: Policy, problem: str, about: str = "", count: int = 1, *, severity: Severity | None = None
) -> Diagnostic:
    """Return the diagnostic about a rule that has no value, at its place; by default, it is as severe as the policy."""
    more = f" and {counted(count - 1, 'other object')}" if count > 1 else ""
    where = f" for {about}{more}" if about else ""
    origin, width = policy.origin, len(policy.rule)
    # A rule in one line shows the place that does not compile.
    if origin is not None and policy.excerpt is not None and (place := _PLACE.search(problem)) is not None:
        origin, width = replace(origin, column=origin.column + int(place[1]) - 1), 1
    return Diagnostic(
        severity=severity or policy.severity,
        rule=FAILED,
        summary=f"policy `{policy.name}`: its rule can't be evaluated{where}: {problem}",
        origin=origin,
        excerpt=policy.excerpt,
        width=width if policy.excerpt is not None else 1,
        notes=("`octosync explain policies` lists the variables of rules.",),
    )
