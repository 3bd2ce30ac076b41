"""The order of changes in reports, the table that counts them, and that no change is missing from any format."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from tests.support.examples import examples
from tests.support.random_states import Situation, situations
from tests.support.sample_reports import plan_report
from tests.support.states import NOW, desired_app, live_app, plan_of

from octosync.model import Origin
from octosync.plan import Plan, PlanOptions, Verb, make_plan
from octosync.report import render_plan, render_plan_markdown
from octosync.report.annotations import annotations_of
from octosync.report.fields import path_words
from octosync.report.plan import Overview
from octosync.report.text import Style

SIGNS = {"x": 0, "-": 0, "~": 1, "»": 2, "+": 3}  # archives and removals, updates, capability changes, creations


def table_of(plan: Plan, **more: Any) -> list[list[str]]:
    """Return the cells of the summary table."""
    return [re.split("  +", line) for line in Overview.of_report(plan_report(plan, **more)).table.lines(Style(False))]


@pytest.mark.no_cover
@examples(2_000)
@given(situations())
def test_every_change_is_in_every_format(situation: Situation) -> None:
    """Each changed field is in text, Markdown and annotations, and the changes have the order of their weight."""
    plan = make_plan(situation.desired, situation.plane.observed(situation.desired), PlanOptions(now=NOW))
    report = plan_report(plan)
    text, markdown = render_plan(report, colour=False), render_plan_markdown(report)
    annotations = {
        (found.rule, found.about): "\n".join(found.lines)
        for found in annotations_of(report)
        if found.rule.startswith("planned-")
    }
    marks = [line[2] for line in text.splitlines() if re.match(r"[ !] [x~»+-] ", line)]
    assert [SIGNS[mark] for mark in marks] == sorted(SIGNS[mark] for mark in marks)
    assert len(marks) == len(plan.shown)
    for action in plan.actions:
        annotation = annotations[f"planned-{action.verb.value}", str(action.address)]
        if action.verb is not Verb.UPDATE:
            continue
        for change in action.fields:
            name = path_words(action.address.kind, change.path[:1])
            assert re.search(rf"^      {name}\b", text, re.MULTILINE)
            assert re.search(rf"^[+-] {name}\b", markdown, re.MULTILINE)
            assert re.search(rf"^{name}\b", annotation, re.MULTILINE)


def test_the_table_counts_every_change() -> None:
    """A row for each app, those with removals first, then updates; the last row has the totals."""
    plan = plan_of(
        [
            desired_app("a", slots={"chat": {}, "tts": {}}),
            desired_app("b", fields={"name": "B"}),
            desired_app("c", targets=[], slots={"chat": {}}),
        ],
        [live_app("b"), live_app("c", targets=["ios:c"])],
    )
    assert table_of(plan) == [
        ["app", "create", "update", "delete"],
        ["c", "1", "–", "1"],
        ["b", "–", "1", "–"],
        ["a", "3", "–", "–"],
        ["total", "4", "1", "1"],
    ]


@pytest.mark.parametrize(
    ("file", "labels", "unit", "names"),
    [
        ("apps/t{0}/app-{1}.yaml", {}, "folder", ["apps/t0/", "apps/t1/", "apps/t2/"]),
        ("teams/t{0}/{1}/app.yaml", {}, "folder", ["teams/t0/", "teams/t1/", "teams/t2/"]),
        ("apps.yaml", {"owner": "o{0}"}, "owner", ["o0", "o1", "o2"]),
        ("apps/{1}.yaml", {"team": "t{0}"}, "team", ["t0", "t1", "t2"]),
        ("apps/{1}.yaml", {}, "app", [f"app-{n:02}" for n in range(9)] + ["3 other apps"]),
    ],
)
def test_many_apps_are_grouped(file: str, labels: dict[str, str], unit: str, names: list[str]) -> None:
    """By folder, at the depth that separates them into few groups, else by the label of the owner, else not at all."""
    apps = [
        desired_app(
            f"app-{n:02}",
            origin=Origin(file.format(n % 3, n), 1, 1),
            labels={key: value.format(n % 3) for key, value in labels.items()},
        )
        for n in range(12)
    ]
    table = table_of(plan_of(apps))
    assert table[0][0] == unit
    assert [row[0] for row in table[1:-1]] == names
    assert sum(int(row[-1]) for row in table[1:-1]) == int(table[-1][-1]) == 12
    few = table_of(plan_of(apps[:10]))
    assert Counter(row[0] for row in few[1:-1]) == {f"app-{n:02}": 1 for n in range(10)}
