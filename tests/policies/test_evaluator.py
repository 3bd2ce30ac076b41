from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from tests.support.commands import environment

from octosync.model import Judges, Policy
from octosync.plan.policies import VARIABLES, PolicyJob, Subject, variables_for
from octosync.policies import evaluate, evaluator, problems_of

NONE: dict[str, Any] = {
    "string": "", "bool": False, "int": 0, "timestamp": "2026-11-27T12:00:00+00:00", "map": {}, "labels": {}, "list": [],
}  # fmt: skip
LIST = f"[{','.join(['1'] * 60)}]"
TEXT = f"'{'a' * 1000}'"


def policy(rule: str, judges: Judges = Judges.CHANGE) -> Policy:
    """Return a policy with a rule."""
    return Policy(name="p", rule=rule, message="m", judges=judges)


def subject(**variables: Any) -> Subject:
    """Return the variables of a change, half of them in an object of their own; `__` is a dot in their names."""
    given = {name.replace("__", "."): value for name, value in variables.items()}
    every = {variable.name: given.get(variable.name, NONE[variable.type]) for variable in VARIABLES}
    return [dict([*every.items()][::2]), dict([*every.items()][1::2])]


def result_of(rule: str, **variables: Any) -> bool | str:
    """Evaluate a rule for one subject."""
    ((result,),) = evaluate([PolicyJob(policy=policy(rule), subjects=(0,))], [subject(**variables)])
    return result


def grown(times: int, rule: str) -> str:
    """Return a rule about a text that is 20 times as long after each of `times` steps."""
    for step in range(times, 0, -1):
        rule = f"[{'+'.join([f'x{step - 1}'] * 20)}].all(x{step}, {rule})"
    return f"[{TEXT}].all(x0, {rule})"


RULES: list[tuple[str, dict[str, Any], bool]] = [
    ('change.action == "update"', {"change__action": "update"}, True),
    ('change.action == "update"', {"change__action": "delete"}, False),
    ('"retired" in app.labels', {"app__labels": {"retired": ""}}, True),
    ("has(change.after.engines)", {}, False),
    ("change.before.size() == 0", {"change__before": {}}, True),
    ('app.slots.all(slot, slot.mode != "cloud")', {"app__slots": [{"mode": "local"}, {"mode": "cloud"}]}, False),
    ('now.getDayOfWeek("Europe/Berlin") == 5', {"now": "2026-11-26T23:30:00+00:00"}, True),
    ('now.getDayOfWeek("Europe/Berlin") == 5', {"now": "2026-11-26T22:30:00+00:00"}, False),
    ("run.apps <= 3 && run.changes > 3", {"run__apps": 3, "run__changes": 4}, True),
    ('context == "production" || author == "ana"', {"author": "ana"}, True),
    # A part without a value doesn't matter if the other part decides.
    ('change.kind != "slot" || change.after.engines.size() > 0', {"change__kind": "app"}, True),
]


def test_a_rule_is_true_or_false() -> None:
    """Rules have the variables that are documented, in the types that are documented."""
    jobs = [PolicyJob(policy=policy(rule), subjects=(number,)) for number, (rule, _, _) in enumerate(RULES)]
    results = evaluate(jobs, [subject(**variables) for _, variables, _ in RULES])
    assert results == tuple((result,) for _, _, result in RULES)


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("change.acton == 'a'", "undeclared reference to 'change.acton' (line 1, column 7 of the rule)"),
        ("app.slug ==\n  3", "found no matching overload for '_==_' applied to '(string, int)' (line 1, column 10 of the rule)"),
        ("app.slug", "it is a value of type string, and not true or false"),
        ("change.after", "it is a value of type map<string, dyn>, and not true or false"),
        ("(" * 100 + "true" + ")" * 100, "Expression recursion limit exceeded. limit: 32"),
    ],
)  # fmt: skip
def test_a_rule_that_does_not_compile_has_a_problem(rule: str, problem: str) -> None:
    """Names, types and syntax are checked without a value; the problem names the place in the rule."""
    assert problems_of((policy(rule), policy("true"))) == (problem, None)
    assert result_of(rule) == problem


def test_only_policies_that_judge_changes_know_the_change() -> None:
    """A rule about apps can use neither `change` nor `run`."""
    assert variables_for(Judges.APP).keys() < variables_for(Judges.CHANGE).keys()
    rules = ("change.destructive", "run.apps > 1", "app.protected")
    missing, counted, known = problems_of(tuple(policy(rule, Judges.APP) for rule in rules))
    assert "undeclared reference to 'change.destructive'" in str(missing)
    assert "undeclared reference to 'run.apps'" in str(counted)
    assert known is None


@pytest.mark.parametrize(
    ("rule", "variables", "problem"),
    [
        ("change.after.engines == 1", {}, 'Key not found in map : "engines"'),
        ("change.after.engines", {"change__after": {"engines": "coreml"}}, "it is a value of type string, and not true or false"),
        ("change.after.a == 1", {"change__after": {"a": 2**70}}, None),
        ("change.after.a == ''", {"change__after": {"a": "\ud800"}}, None),
        ("1 / int(change.after.a) == 1", {"change__after": {"a": 0}}, "divide by zero"),
    ],
)  # fmt: skip
def test_a_rule_without_a_value_is_never_true(rule: str, variables: dict[str, Any], problem: str | None) -> None:
    """What a rule can't read or compare is a problem, and so is a value that the library can't represent."""
    result = result_of(rule, **variables)
    assert isinstance(result, str)
    assert problem is None or result == problem


@pytest.mark.parametrize(
    "rule",
    [
        f"{LIST}.all(a, {LIST}.all(b, {LIST}.all(c, true)))",
        grown(3, f"{LIST}.all(a, {LIST}.all(b, x3.matches('(.*)a(.*)a(.*)b') || true))"),
        grown(6, "x6.size() > 0"),
        grown(6, "x6.size() > 0") + " || true",
        "[" * 2000,
    ],
    ids=["nested loops", "slow texts", "long texts", "long texts, or true", "brackets"],
)
def test_a_hostile_rule_ends_and_is_never_true(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that needs too much time or memory ends without a value, and the rules beside it have theirs."""
    monkeypatch.setattr(evaluator, "SECONDS", 0.5)
    jobs = [PolicyJob(policy=policy(text), subjects=(0, 1)) for text in ("true", rule, "app.slug == ''")]
    before, hostile, after = evaluate(jobs, [subject(), subject(app__slug="a")])
    assert (before, after) == ((True, True), (True, False))
    assert all(isinstance(result, str) and result for result in hostile)


def test_after_several_rules_that_take_too_long_no_other_is_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time for all policies is limited, too."""
    monkeypatch.setattr(evaluator, "SECONDS", 0.2)
    monkeypatch.setattr(evaluator, "SECONDS_IN_ALL", 0.5)
    slow = grown(3, f"{LIST}.all(a, {LIST}.all(b, x3.matches('(.*)a(.*)a(.*)b') || true))")
    jobs = [PolicyJob(policy=policy(rule), subjects=(0,)) for rule in (*[slow] * 5, "true")]
    results = [result for (result,) in evaluate(jobs, [subject()])]
    assert results[0] == evaluator.TOO_LONG == "it takes more than 2 seconds"
    assert results[-1] == "it was not evaluated, because other rules took too long"
    assert set(results) == {results[0], results[-1]}


def test_what_subjects_share_is_sent_once() -> None:
    """A large inference config of an app with many changes costs no rule its time that doesn't read it."""
    config = {f"key-{number}": ["x" * 100] * 20 for number in range(2_000)}
    shared, other = subject(app__inference_config=config)
    subjects = [(shared, {**other}) for _ in range(1_000)]
    jobs = [PolicyJob(policy=policy(rule), subjects=tuple(range(1_000))) for rule in ("app.slug == ''", "run.apps < 3")]
    assert {result for results in evaluate(jobs, subjects) for result in results} == {True}


def test_many_subjects_with_a_problem_have_all_of_them_one() -> None:
    """A rule without a value for many changes has none for any that follows."""
    subjects = [subject(change__after={"a": 1})] * 5 + [subject()] * 20 + [subject(change__after={"a": 1})]
    (results,) = evaluate([PolicyJob(policy=policy("change.after.a == 1"), subjects=tuple(range(26)))], subjects)
    assert results[:5] == (True,) * 5
    assert all(isinstance(result, str) for result in results[5:])


def test_this_process_never_loads_the_library() -> None:
    """The library that compiles rules is loaded only by the process that evaluates them."""
    code = """
import json, sys
from octosync.model import Policy
from octosync.policies import problems_of
found = problems_of((Policy(name="p", rule="app.protected", message="m"), Policy(name="p", rule="nope", message="m")))
print(json.dumps([*found, *(name for name in sys.modules if name.startswith("cel"))]))
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment())
    assert json.loads(ended.stdout) == [None, "undeclared reference to 'nope' (line 1, column 1 of the rule)"]
