"""`archived`, the only change that can't be undone."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.states import action_lines, child_app, desired_app, live_app, plan_of

from octosync.model import Section


def test_a_live_app_is_archived_after_its_other_actions() -> None:
    """Declared sections are applied first, so that `targets: []` frees their identifiers. The archive is last."""
    live = live_app("a", targets=["ios:x"], slots={"chat": {}}, config={"m": 1})
    wanted = desired_app("a", archived=True, fields={"name": "b"}, targets=[], slots={}, config=None)
    plan = plan_of(wanted, live)
    assert action_lines(plan)[-1] == "archive app/a"
    assert len(plan.actions) == 5
    assert set(plan.actions[-1].depends_on) == {action.key for action in plan.actions[:-1]}
    assert plan.diagnostics == ()


def test_an_archive_has_no_body_and_shows_the_updated_app() -> None:
    """The archive has no body, and its `before` is the app after its own update."""
    live = live_app("a", name="old", description="d")
    update, archive = plan_of(desired_app("a", archived=True, fields={"name": "new"}), live).actions
    assert (update.operation, archive.operation) == ("apps.update", "apps.archive")
    assert archive.body is None
    assert archive.before == {"name": "new", "description": "d", "archived": False}
    assert archive.after == {"name": "new", "description": "d", "archived": True}
    assert archive.fingerprint != update.fingerprint
    (later,) = plan_of(desired_app("a", archived=True), live_app("a", name="new", description="d")).actions
    assert (
        later.fingerprint
        == plan_of(desired_app("a"), live_app("a", name="new", description="d")).fingerprints[later.address]
    )
    assert archive.fingerprint == later.fingerprint


def test_an_app_that_is_archived_as_declared_has_no_actions() -> None:
    """Nothing changes, and the children are neither read nor planned."""
    live = live_app("a", archived=True, read=())
    plan = plan_of(desired_app("a", archived=True, fields={"name": "x"}, targets=["ios:x"], slots={"chat": {}}), live)
    assert plan.actions == ()
    assert list(map(str, plan.unchanged)) == list(map(str, plan.fingerprints)) == ["app/a"]
    assert not plan.errored


def test_an_archived_app_that_is_declared_live_is_blocked() -> None:
    """An app can't be unarchived: nothing of it is planned, child documents included, and the plan names it."""
    for wanted in (desired_app("a", targets=["ios:x"]), child_app("a", targets=["ios:x"])):
        plan = plan_of(wanted, live_app("a", archived=True, read=()))
        assert plan.actions == ()
        assert [str(address) for address in plan.archived_undeclared] == ["app/a"]


def test_an_absent_app_is_not_created_to_be_archived() -> None:
    """An absent app that is declared as archived is as declared."""
    plan = plan_of(desired_app("a", archived=True, targets=["ios:x"]))
    assert plan.actions == ()
    assert not plan.errored


@pytest.mark.parametrize(
    ("declared", "live_targets", "read", "stranded"),
    [
        ({"targets": []}, ["ios:x"], Section, None),
        ({"targets": ["ios:x"]}, ["ios:x", "ios:y"], Section, "ios:x"),
        ({"targets": ["ios:new"]}, [], Section, "ios:new"),
        ({"targets": []}, ["toaster:9"], Section, "toaster:9"),
        ({}, ["ios:x", "ios:y"], Section, "ios:x, ios:y"),
        ({}, [], Section, None),
        ({}, ["ios:x"], (), ""),
    ],
)
def test_an_archive_lists_the_identifiers_that_stay_taken(
    declared: dict[str, Any], live_targets: list[str], read: Any, stranded: str | None
) -> None:
    """The targets that an archive leaves registered are listed. If targets weren't read, the plan warns that some may be."""
    plan = plan_of(desired_app("a", archived=True, **declared), live_app("a", targets=live_targets, read=read))
    found = [diagnostic.summary for diagnostic in plan.diagnostics if diagnostic.rule == "archive-strands-identifiers"]
    assert len(found) == (stranded is not None)
    for summary in found:
        assert summary.endswith(f": {stranded}" if stranded else "taken permanently")
