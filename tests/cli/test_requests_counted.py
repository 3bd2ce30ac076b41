"""Requests are the currency: as few reads as can be, and no write that is not needed."""

from __future__ import annotations

import pytest
from tests.support.desks import ACTIONS, APP, Office

APPS = 40


@pytest.fixture
def forty(office: Office) -> Office:
    """40 apps with targets, slots and inference config and no `deploy`, declared and live."""
    office.desk.write(
        "apps/all.yaml", "---\n".join(APP.format(slug=f"app-{i:02}", name=f"App {i}") for i in range(APPS))
    )
    assert office.apply("--rate", "0").code == 0
    return office


def test_a_plan_without_changes_costs_three_requests_an_app_and_one(forty: Office) -> None:
    """40 × 3 + 1: the list once, and each declared section once; all of them reads, and the report says so."""
    forty.log()
    ran = forty.plan("--rate", "0", "--detailed-exitcode")
    assert ran.code == 0
    log = forty.log()
    assert len(log) == APPS * 3 + 1
    assert all(line.startswith("GET ") for line in log)
    assert f"Read {APPS} apps with {APPS * 3 + 1} requests." in ran.stdout


def test_a_second_apply_writes_nothing(office: Office) -> None:
    """The first one sends one write an action, the second none at all."""
    office.declare("search")
    office.declare("notes", name="Notes")
    assert office.apply().code == 0
    assert len(office.writes()) == 2 * ACTIONS
    ran = office.apply()
    assert ran.code == 0
    assert "No changes." in ran.stdout
    assert office.writes() == []


def test_one_app_costs_its_own_sections_only(office: Office) -> None:
    """`--app` reads that app and no other; an undeclared section is not read."""
    office.declare("notes", text="apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: notes}\nspec: {slots: []}\n")
    office.declare("search")
    office.plane.with_app("notes")
    office.log()
    office.plan("--app", "notes")
    assert sorted(office.log()) == ["GET /apps/notes", "GET /apps/notes/slots"]


def test_the_pace_is_kept_and_said(office: Office) -> None:
    """The report says what apply will send, and how long that takes at the limit in force."""
    office.declare()
    assert "apply sends 4 (about 24 s at 10 a minute)" in office.plan("--rate", "10").stdout
    assert "apply sends 4.\n" in office.plan("--rate", "0").stdout
    office.desk.write("octosync.yaml", "rate: {requestsPerMinute: 20}\n")
    assert "(about 12 s at 20 a minute)" in office.plan().stdout
