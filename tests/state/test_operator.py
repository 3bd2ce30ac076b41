"""Holds, suspension and approvals: stored until they are taken back; an approval is for one action, once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from tests.support.states import NOW, ORG

from octosync.model import Address, ControllerSuspension, Hold, Outcome, Status
from octosync.plan import ControlPlane
from octosync.state import Approvable, ApprovedAction, ControlPlaneState, Journal, StateLocation, WatchState

PLANE = ControlPlane(url="https://octomil.example/api/v1", org_id=ORG)
STAGING = ControlPlane(url="https://staging.example/api/v1", org_id=ORG)
APP = Address.of_app("a")
SLOT, TARGET = Address.of_slot("a", "chat"), Address.of_target("a", "ios", "1")


def hold(app: str, hours: int = 1, reason: str = "incident") -> Hold:
    return Hold(app=app, until=NOW + timedelta(hours=hours), reason=reason, at=NOW)


def test_holds_are_kept_over_a_restart(location: StateLocation) -> None:
    """Each hold has its end, reason and time; the latest hold of an app counts, and a release ends it."""
    with Journal(location) as journal:
        state = WatchState(journal).for_control_plane(PLANE)
        for new_hold in (hold("b"), hold("a"), hold("b", 4, "a longer incident"), hold("c")):
            state.hold(new_hold)
        state.release("c")
        state.release("never held")
    with Journal(location) as journal:
        assert WatchState(journal).for_control_plane(PLANE).holds() == (hold("a"), hold("b", 4, "a longer incident"))


def test_the_suspension_is_kept_over_a_restart(location: StateLocation) -> None:
    """The latest suspension is stored with its time and reason, until it is taken back."""
    with Journal(location) as journal:
        assert WatchState(journal).for_control_plane(PLANE).suspension() is None
        WatchState(journal).for_control_plane(PLANE).suspend(NOW, "maintenance")
        WatchState(journal).for_control_plane(PLANE).suspend(NOW + timedelta(hours=1), "longer maintenance")
    with Journal(location) as journal:
        state = WatchState(journal).for_control_plane(PLANE)
        assert state.suspension() == ControllerSuspension(at=NOW + timedelta(hours=1), reason="longer maintenance")
        state.resume()
        assert state.suspension() is None


def test_holds_and_suspension_are_those_of_one_control_plane(state: WatchState, memory: ControlPlaneState) -> None:
    """One database may serve staging and production: what is held or suspended in one goes on in the other."""
    staging = state.for_control_plane(STAGING)
    memory.hold(hold("a"))
    memory.suspend(NOW, "incident")
    assert (staging.holds(), staging.suspension()) == ((), None)
    staging.release("a")
    staging.resume()
    assert memory.holds() == (hold("a"),)
    assert memory.suspension() == ControllerSuspension(at=NOW, reason="incident")


def approved(memory: ControlPlaneState, guard: str, actions: Iterable[Approvable]) -> set[Approvable]:
    """Return which of these actions are approved."""
    keys = {approval.key for approval in memory.approvals() if approval.guard == guard}
    return {action for action in actions if memory.approval_key(action) in keys}


def test_an_approval_is_for_exactly_that(state: WatchState, memory: ControlPlaneState) -> None:
    """It does not approve another object, verb, change, guard or control plane."""
    memory.approve("deletes", [(SLOT, "delete", "as it is")], NOW)
    actions = [
        (SLOT, "delete", "as it is"),
        (SLOT, "delete", "as it is now"),
        (SLOT, "update", "as it is"),
        (TARGET, "delete", "as it is"),
    ]
    assert approved(memory, "deletes", actions) == {actions[0]}
    assert approved(memory, "protected", actions) == set()
    assert approved(state.for_control_plane(STAGING), "deletes", actions) == set()
    assert memory.approvals() == (ApprovedAction("deletes", SLOT, "delete", NOW),)
    assert state.for_control_plane(STAGING).approvals() == ()


def test_an_approval_is_used_once(state: WatchState, memory: ControlPlaneState) -> None:
    """A used approval is removed for every guard; those of another control plane stay."""
    both = [(SLOT, "delete", "1"), (TARGET, "delete", "2")]
    memory.approve("deletes", both, NOW)
    memory.approve("protected", both[:1], NOW)
    state.for_control_plane(STAGING).delete_approvals(memory.approvals())
    assert approved(memory, "deletes", both) == set(both)
    key = memory.approval_key(both[0])
    memory.delete_approvals([approval for approval in memory.approvals() if approval.key == key])
    assert approved(memory, "deletes", both) == {both[1]}
    assert approved(memory, "protected", both) == set()


def test_a_further_approval_leaves_the_ones_before(memory: ControlPlaneState) -> None:
    """Two sets that a guard blocks can be approved one after the other; for the same object the newer approval counts."""
    memory.approve("deletes", [(SLOT, "delete", "1")], NOW)
    memory.approve("archives", [(Address.of_app("b"), "archive", "1")], NOW)
    memory.approve("deletes", [(TARGET, "delete", "2")], NOW)
    memory.approve("deletes", [(SLOT, "delete", "2")], NOW)
    assert [(approval.guard, approval.address) for approval in memory.approvals()] == [
        ("archives", Address.of_app("b")),
        ("deletes", SLOT),
        ("deletes", TARGET),
    ]
    both = [(SLOT, "delete", "1"), (SLOT, "delete", "2")]
    assert approved(memory, "deletes", both) == {both[1]}


def test_an_approval_of_an_action_that_may_be_done_is_withdrawn(state: WatchState, memory: ControlPlaneState) -> None:
    """A process that dies after a write could not record that its approval was used. One whose write failed stays."""
    memory.approve("deletes", [(SLOT, "delete", "1"), (TARGET, "delete", "2"), (APP, "archive", "3")], NOW)
    journal = state.journal
    run = journal.begin_run(control_plane=PLANE.url, org_id=None, digest="", at=NOW)
    for number, (address, verb) in enumerate([(SLOT, "delete"), (TARGET, "delete"), (APP, "delete")]):
        journal.begin_action(run, number, address=address, verb=verb, operation="x", at=NOW + timedelta(seconds=1))
    journal.end_action(run, 1, Outcome(address=TARGET, verb="delete", status=Status.FAILED), NOW)
    memory.delete_used_approvals()
    assert {approval.address for approval in memory.approvals()} == {TARGET, APP}
