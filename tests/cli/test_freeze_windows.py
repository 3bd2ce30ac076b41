"""Freeze windows in plan and apply: shown, refused, overridden, waited for."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.projects import Project

ALWAYS = 'freeze: [{cron: "0 0 * * *", duration: 24h}]\n'


def frozen(project: Project) -> bool:
    """Return whether the guard refuses the plan."""
    document = json.loads(project.plan("-o", "json").stdout)
    return [refusal["guard"] for refusal in document["blocked"]] == ["frozen"]


@pytest.mark.parametrize(("zone", "offset"), [("UTC", 0), ("Asia/Kolkata", 330), ("Etc/GMT+8", -480)])
def test_the_refusal_has_the_end_and_the_window(project: Project, zone: str, offset: int) -> None:
    """4: nothing is written, and the end is in UTC, for a window in any time zone."""
    opened = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=2)
    local = opened + timedelta(minutes=offset)
    # Once a year, so that no other window follows this one.
    cron = f"{local.minute} {local.hour} {local.day} {local.month} *"
    project.workdir.write("octosync.yaml", f'freeze:\n  - {{cron: "{cron}", duration: 1d, timezone: {zone}}}\n')
    project.declare()
    project.log()
    for ran in (project.plan(), project.apply()):
        assert ran.code == 4
        end = opened + timedelta(days=1)
        message = f"4 changes inside a freeze window (octosync.yaml:2), until {end:%Y-%m-%d %H:%M} UTC (guard frozen)"
        assert message in ran.stdout
        assert "Next step: Wait until then\n" in ran.stdout
        assert "--allow-frozen\n" in ran.stdout
    assert project.writes() == []


def test_a_window_that_is_over_freezes_nothing(project: Project) -> None:
    """0: the end has passed, and the next start is far away."""
    opened = datetime.now(UTC) - timedelta(days=2)
    cron = f"{opened.minute} {opened.hour} {opened.day} {opened.month} *"
    project.workdir.write("octosync.yaml", f'freeze: [{{cron: "{cron}", duration: 47h}}]\n')
    project.declare()
    assert project.apply().code == 0


def test_an_empty_plan_is_not_refused(project: Project) -> None:
    """0: a freeze window is about changes, and there are none."""
    project.declare()
    assert project.apply().code == 0
    project.workdir.write("octosync.yaml", ALWAYS)
    assert (project.plan().code, project.apply().code) == (0, 0)


def test_a_plan_file_is_judged_when_it_is_applied(project: Project) -> None:
    """4: a plan from before the window is refused inside it, and applied with the flag or after the window."""
    project.declare()
    project.save_plan()
    project.workdir.write("octosync.yaml", ALWAYS)
    project.log()
    assert project.apply_file().code == 4
    assert project.writes() == []
    project.workdir.write("octosync.yaml", "freeze: []\n")
    assert project.apply_file().code == 0


def test_a_plan_file_lifts_nothing_by_itself(project: Project) -> None:
    """4: the flag of the plan has to be given to apply again, as plan suggests."""
    project.workdir.write("octosync.yaml", ALWAYS)
    project.declare()
    planned = project.plan("--plan-out", "plan.json", "--allow-frozen")
    assert planned.code == 0
    assert planned.stderr.rstrip().endswith("octosync apply plan.json -f apps --url " + project.url + " --allow-frozen")
    assert project.apply_file().code == 4
    assert project.apply_file("--allow-frozen").code == 0


def test_the_flag_has_no_environment_variable(project: Project) -> None:
    """OCTOSYNC_ALLOW_FROZEN lifts nothing."""
    project.workdir.write("octosync.yaml", ALWAYS)
    project.declare()
    assert project.plan(OCTOSYNC_ALLOW_FROZEN="1").code == 4
    assert frozen(project)
