"""`Octosync-Allow`: what a commit's own line lifts, and that whatever is wrong with it lifts nothing."""

from __future__ import annotations

import pytest
from tests.support.states import policy_of

from octosync.plan import Commit, GuardPolicy, Override, allowances_in, in_force, loosened

LISTED = ("deletes", "archives", "during-canary", "diverged", "live-traffic")


def said(*messages: str, listed: tuple[str, ...] = LISTED) -> tuple[list[tuple[str, str]], int]:
    """Return the guards and values that messages lift, and how many warnings they earn."""
    commits = [Commit("1f3c" + "0" * 36, message) for message in messages]
    found = allowances_in(commits, listed)
    return [(one.guard, one.value) for one in found.overrides], len(found.diagnostics)


def test_a_line_of_its_own_anywhere_in_the_message() -> None:
    """Squash merges put it in the middle; the key's case is free; commas may part the terms."""
    assert said("Fix\n\nOctosync-Allow: deletes=14 live-traffic\n\nMore.") == (
        [("deletes", "14"), ("live-traffic", "")],
        0,
    )
    assert said("* Fix\n\n  octosync-allow: archives=2, during-canary\n") == (
        [("archives", "2"), ("during-canary", "")],
        0,
    )
    assert said("Octosync-Allow: deletes=1\r\nOctosync-Allow: archives=1") == ([("deletes", "1"), ("archives", "1")], 0)


@pytest.mark.parametrize(
    "message", ["see Octosync-Allow: deletes=14", "> Octosync-Allow: deletes=1", "Octosync-Allowed: x", ""]
)
def test_within_other_text_it_is_none(message: str) -> None:
    """A mention or a quotation allows nothing, and is nothing to warn of."""
    assert said(message) == ([], 0)


@pytest.mark.parametrize(
    "term",
    [
        "deletes",
        "deletes=",
        "deletes=all",
        "deletes=-1",
        "deletes=1.5",
        "deletes=٣",
        "deletes=9999999999",
        "diverged=yes",
        "delets=3",
        "",
    ],
)
def test_what_is_wrong_allows_nothing_and_is_said(term: str) -> None:
    """An unknown guard, a missing or odd number, a value where none goes: a warning each."""
    assert said(f"Octosync-Allow: {term}") == ([], 1)


def test_a_warning_is_about_its_word_and_not_about_the_line() -> None:
    """What else is on the line counts, and is not said to allow nothing."""
    found = allowances_in([Commit("a" * 40, "Octosync-Allow: diverged deletes=3 nonsense")], LISTED)
    assert [one.guard for one in found.overrides] == ["diverged", "deletes"]
    (warning,) = found.diagnostics
    assert warning.summary == "commit aaaaaaaaaaaa: `nonsense` in its Octosync-Allow line allows nothing: unknown guard"


def test_only_listed_guards_can_be_lifted() -> None:
    """`guards.trailers` decides; `protected` is not in it by itself."""
    assert said("Octosync-Allow: protected deletes=3") == ([("deletes", "3")], 1)
    assert said("Octosync-Allow: protected deletes=3", listed=("protected",)) == ([("protected", "")], 1)
    assert said("Octosync-Allow: deletes=3", listed=()) == ([], 1)


def test_the_source_is_the_commit() -> None:
    """Reports name the commit, and not its author, which is whatever was typed into it."""
    found = allowances_in([Commit("1f3c" + "0" * 36, "Octosync-Allow: diverged")], LISTED)
    assert found.overrides == (Override(guard="diverged", value="", source="commit 1f3c00000000"),)


def test_numbers_of_several_commits_add_up() -> None:
    """Each change was reviewed for its own removals."""
    commits = [Commit(str(at) * 40, f"Octosync-Allow: deletes={at}") for at in (4, 5)]
    policy = loosened(GuardPolicy(), allowances_in(commits, LISTED).overrides)
    assert policy.allowed == {"deletes": 9}


def test_the_command_line_has_the_last_word() -> None:
    """A guard that a flag speaks of is as the flag says; the commits' lines hold for the others."""
    found = allowances_in([Commit("a" * 40, "Octosync-Allow: deletes=14 live-traffic")], LISTED)
    policy = policy_of(allow_deletes=0)
    left = in_force(found, policy)
    assert [one.guard for one in left] == ["live-traffic"]
    assert loosened(policy, left).allowed == {"deletes": 0, "live-traffic": True}
