"""The last revision that was applied in full."""

from __future__ import annotations

import pytest
from tests.support.forges import Answer, Forge, refused

from octosync.errors import Forbidden, Unreadable
from octosync.forge import MAX_DEPLOYMENTS, AppliedRevision, GitHub, find_applied_revision

NAME = "octosync-production"


def test_the_newest_success_is_the_base_and_what_failed_after_it_was_attempted(github: GitHub, forge: Forge) -> None:
    """A success counts even if a later one made it inactive; later cancelled and failed runs are named, newest first."""
    forge.add_deployment("a1", "queued", "in_progress", "failure")
    forge.add_deployment("a2", "queued", "in_progress", "success", "inactive")
    forge.add_deployment("a3", "in_progress", "failure")
    forge.add_deployment("a4", "in_progress", "inactive")
    forge.add_deployment("a3", "in_progress", "error")
    assert find_applied_revision(github, NAME) == AppliedRevision("a2", ("a3", "a4"))


def test_what_never_began_was_not_attempted(github: GitHub, forge: Forge) -> None:
    """A run that waits, or is cancelled while it waits, has written nothing; nor has this run, which is in progress."""
    forge.add_deployment("a1", "success")
    forge.add_deployment("a2", "waiting")
    forge.add_deployment("a3")
    forge.add_deployment("a4", "queued", "pending")
    forge.add_deployment("a5", "in_progress")
    assert find_applied_revision(github, NAME, current="a5") == AppliedRevision("a1", ())


def test_what_a_force_push_took_away_is_neither_base_nor_attempt(github: GitHub, forge: Forge) -> None:
    """After a force push, the base is an older success that the clone has, and the lost revisions are returned."""
    forge.add_deployment("a1", "success")
    forge.add_deployment("a2", "failure")
    forge.add_deployment("b1", "success", "inactive")
    forge.add_deployment("b2", "waiting")
    forge.add_deployment("b3", "failure")
    known = ("a1", "a2").__contains__
    assert find_applied_revision(github, NAME, exists=known) == AppliedRevision(
        "a1", ("a2",), gone=("b3", "b1"), gone_base="b1"
    )
    assert find_applied_revision(github, NAME, exists=("a2",).__contains__) == AppliedRevision(
        None, ("a2",), ("b3", "b1", "a1"), "b1"
    )


def test_another_environment_says_nothing_of_this_one(github: GitHub, forge: Forge) -> None:
    """Without a success in this environment there is no base."""
    forge.add_deployment("a1", "success", environment="octosync-staging")
    forge.add_deployment("a2", "failure")
    assert find_applied_revision(github, NAME) == AppliedRevision(None, ("a2",))


def test_a_success_is_found_on_later_pages(github: GitHub, forge: Forge) -> None:
    """The success is found among many deployments and statuses; older deployments are not requested."""
    forge.add_deployment("old", "success")
    forge.add_deployment("base", "success", *["inactive"] * 150)
    for _ in range(MAX_DEPLOYMENTS - 1):
        forge.add_deployment("again", "failure")
    assert find_applied_revision(github, NAME) == AppliedRevision("base", ("again",))
    assert not any(line.endswith("/deployments/1/statuses") for line in forge.requests)


def test_a_list_that_can_not_be_read_is_no_absence(github: GitHub, forge: Forge) -> None:
    """Missing permission and an invalid response are errors, never "nothing was applied yet"."""
    forge.answer_next("deployments", refused(403, "Resource not accessible by integration"))
    with pytest.raises(Forbidden):
        find_applied_revision(github, NAME)
    for body in ([{"id": 1}], [{"sha": "a"}], {"message": "?"}):
        forge.answer_next("deployments", Answer(200, body))
        with pytest.raises(Unreadable):
            find_applied_revision(github, NAME)
