"""`Octosync-Allow`: the guards that a line of a commit message lifts. An invalid term lifts nothing."""

from __future__ import annotations

import pytest
from tests.support.states import policy_of

from octosync.plan import Commit, GuardPolicy, Override, allowances_in, in_force, loosened

LISTED = ("deletes", "archives", "during-canary", "diverged", "live-traffic", "policy")


def lifted(*messages: str, listed: tuple[str, ...] = LISTED) -> tuple[list[tuple[str, str]], int]:
    """Return the guards and values that messages lift, and the number of warnings."""
    commits = [Commit("1f3c" + "0" * 36, message) for message in messages]
    found = allowances_in(commits, listed)
    return [(override.guard, override.value) for override in found.overrides], len(found.diagnostics)


def test_the_line_may_be_anywhere_in_the_message() -> None:
    """Squash merges put it in the middle. The key is case-insensitive, and commas may separate the terms."""
    assert lifted("Fix\n\nOctosync-Allow: deletes=14 live-traffic\n\nMore.") == (
        [("deletes", "14"), ("live-traffic", "")],
        0,
    )
    assert lifted("* Fix\n\n  octosync-allow: archives=2, during-canary\n") == (
        [("archives", "2"), ("during-canary", "")],
        0,
    )
    assert lifted("Octosync-Allow: deletes=1\r\nOctosync-Allow: archives=1") == (
        [("deletes", "1"), ("archives", "1")],
        0,
    )


@pytest.mark.parametrize(
    "message", ["see Octosync-Allow: deletes=14", "> Octosync-Allow: deletes=1", "Octosync-Allowed: x", ""]
)
def test_a_mention_within_other_text_is_ignored(message: str) -> None:
    """A mention or a quotation allows nothing and gives no warning."""
    assert lifted(message) == ([], 0)


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
        "deletes:x",
        "policy",
        "policy:",
        "policy:a=1",
        "",
    ],
)
def test_an_invalid_term_allows_nothing_and_is_a_warning(term: str) -> None:
    """An unknown guard, a missing or invalid number, an unexpected value: one warning each."""
    assert lifted(f"Octosync-Allow: {term}") == ([], 1)


def test_a_warning_is_about_its_term_and_not_about_the_line() -> None:
    """The other terms of the line count, and the warning does not cover them."""
    found = allowances_in([Commit("a" * 40, "Octosync-Allow: diverged deletes=3 nonsense")], LISTED)
    assert [override.guard for override in found.overrides] == ["diverged", "deletes"]
    (warning,) = found.diagnostics
    assert warning.summary == "commit aaaaaaaaaaaa: `nonsense` in its Octosync-Allow line allows nothing: unknown guard"


def test_a_policy_is_lifted_by_its_name() -> None:
    """Each policy alone; `policy` in `guards.trailers` stands for all of them."""
    assert lifted("Octosync-Allow: policy:a policy:b") == ([("policy:a", ""), ("policy:b", "")], 0)
    assert lifted("Octosync-Allow: policy:a", listed=("deletes",)) == ([], 1)
    lines = allowances_in([Commit("a" * 40, "Octosync-Allow: policy:a")], LISTED)
    assert loosened(GuardPolicy(), in_force(lines, GuardPolicy())).allowed == {"policy:a": True}


def test_only_listed_guards_can_be_lifted() -> None:
    """`guards.trailers` decides; `protected` is not in it by default."""
    assert lifted("Octosync-Allow: protected deletes=3") == ([("deletes", "3")], 1)
    assert lifted("Octosync-Allow: protected deletes=3", listed=("protected",)) == ([("protected", "")], 1)
    assert lifted("Octosync-Allow: deletes=3", listed=()) == ([], 1)


def test_the_source_is_the_commit() -> None:
    """Reports name the commit and not its author, which can be set to any text."""
    found = allowances_in([Commit("1f3c" + "0" * 36, "Octosync-Allow: diverged")], LISTED)
    assert found.overrides == (Override(guard="diverged", value="", source="commit 1f3c00000000"),)


def test_numbers_of_several_commits_add_up() -> None:
    """Each change was reviewed for its own removals."""
    commits = [Commit(str(number) * 40, f"Octosync-Allow: deletes={number}") for number in (4, 5)]
    policy = loosened(GuardPolicy(), allowances_in(commits, LISTED).overrides)
    assert policy.allowed == {"deletes": 9}


def test_the_command_line_takes_precedence() -> None:
    """A flag decides about its guard; the lines of the commits apply to the other guards."""
    found = allowances_in([Commit("a" * 40, "Octosync-Allow: deletes=14 live-traffic")], LISTED)
    policy = policy_of(allow_deletes=0)
    remaining = in_force(found, policy)
    assert [override.guard for override in remaining] == ["live-traffic"]
    assert loosened(policy, remaining).allowed == {"deletes": 0, "live-traffic": True}
