"""The policies of a run: the check of their rules, and their results for declared apps."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from octosync.cli.audit import actor_of
from octosync.manifest import Configuration, Context
from octosync.model import Diagnostic, Policy, Severity, State
from octosync.plan import PolicyRun
from octosync.plan.policies import failure_of, judge_apps, policy_diagnostics
from octosync.policies import evaluate, problems_of


def check_rules(policies: Iterable[Policy]) -> tuple[Diagnostic, ...]:
    """Return an error for each rule that doesn't compile."""
    checked = tuple(policies)
    problems = problems_of(checked) if checked else ()
    return tuple(
        failure_of(policy, problem, severity=Severity.ERROR)
        for policy, problem in zip(checked, problems, strict=True)
        if problem is not None
    )


def policy_run(
    configuration: Configuration, context: str, environment: Mapping[str, str] = os.environ
) -> PolicyRun | None:
    """Return the policies with what they know of this run in the context of this name; None without policies."""
    if not configuration.policies:
        return None
    return PolicyRun(
        policies=configuration.policies,
        evaluate=evaluate,
        sensitivity=configuration.sensitivity,
        context=context,
        author=actor_of(environment),
    )


def violations_of(state: State, configuration: Configuration, context: Context | None) -> tuple[Diagnostic, ...]:
    """Return what policies find in declared apps. Rules that don't compile are left out, since `check_rules` reports them."""
    run = policy_run(configuration, context.name if context is not None else "")
    if run is None:
        return ()
    problems = zip(run.policies, problems_of(run.policies), strict=True)
    sound = replace(run, policies=tuple(policy for policy, problem in problems if problem is None))
    return tuple(policy_diagnostics(judge_apps(state, sound, datetime.now(UTC)), refused=False))
