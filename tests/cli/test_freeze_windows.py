"""Freeze windows in plan and apply: shown, refused, overridden, waited for."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.desks import Office

ALWAYS = 'freeze: [{cron: "0 0 * * *", duration: 24h}]\n'


def frozen(office: Office) -> bool:
    """Plan in every way that can tell, and say whether the guard refuses."""
    document = json.loads(office.plan("-o", "json").stdout)
    return [refusal["guard"] for refusal in document["blocked"]] == ["frozen"]


@pytest.mark.parametrize(("zone", "offset"), [("UTC", 0), ("Asia/Kolkata", 330), ("Etc/GMT+8", -480)])
def test_the_refusal_says_until_when_and_by_which_window(office: Office, zone: str, offset: int) -> None:
    """4: nothing is written, and the end is in UTC, whatever the window's time zone."""
    opened = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=2)
    local = opened + timedelta(minutes=offset)
    # Once a year, so that no other opening follows on this one.
    cron = f"{local.minute} {local.hour} {local.day} {local.month} *"
    office.desk.write("octosync.yaml", f'freeze:\n  - {{cron: "{cron}", duration: 1d, timezone: {zone}}}\n')
    office.declare()
    office.log()
    for ran in (office.plan(), office.apply()):
        assert ran.code == 4
        over = opened + timedelta(days=1)
        said = f"4 changes inside a freeze window (octosync.yaml:2), until {over:%Y-%m-%d %H:%M} UTC (guard frozen)"
        assert said in ran.stdout
        assert "Way out: Wait until then\n" in ran.stdout
        assert "--allow-frozen\n" in ran.stdout
    assert office.writes() == []


def test_a_window_that_is_over_freezes_nothing(office: Office) -> None:
    """0: the end has passed, and the next opening is far away."""
    opened = datetime.now(UTC) - timedelta(days=2)
    cron = f"{opened.minute} {opened.hour} {opened.day} {opened.month} *"
    office.desk.write("octosync.yaml", f'freeze: [{{cron: "{cron}", duration: 47h}}]\n')
    office.declare()
    assert office.apply().code == 0


def test_what_is_as_declared_is_not_refused(office: Office) -> None:
    """0: a freeze window is about changes, and there are none."""
    office.declare()
    assert office.apply().code == 0
    office.desk.write("octosync.yaml", ALWAYS)
    assert (office.plan().code, office.apply().code) == (0, 0)


def test_a_plan_file_is_judged_when_it_is_applied(office: Office) -> None:
    """4: what was planned before the window opened is refused inside it, and applied with the flag, or when it is over."""
    office.declare()
    office.save()
    office.desk.write("octosync.yaml", ALWAYS)
    office.log()
    assert office.apply_file().code == 4
    assert office.writes() == []
    office.desk.write("octosync.yaml", "freeze: []\n")
    assert office.apply_file().code == 0


def test_a_plan_file_lifts_nothing_by_itself(office: Office) -> None:
    """4: the flag that plan had is to be given to apply again, as plan says."""
    office.desk.write("octosync.yaml", ALWAYS)
    office.declare()
    said = office.plan("--plan-out", "plan.json", "--allow-frozen")
    assert said.code == 0
    assert said.stderr.rstrip().endswith("octosync apply plan.json -f apps --url " + office.url + " --allow-frozen")
    assert office.apply_file().code == 4
    assert office.apply_file("--allow-frozen").code == 0


def test_the_flag_comes_from_the_command_line_alone(office: Office) -> None:
    """An environment variable that would be its, and is none, lifts nothing."""
    office.desk.write("octosync.yaml", ALWAYS)
    office.declare()
    assert office.plan(OCTOSYNC_ALLOW_FROZEN="1").code == 4
    assert frozen(office)
