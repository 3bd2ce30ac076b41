"""The tracking issue."""

from __future__ import annotations

from dataclasses import replace

from tests.support.forges import Forge

from octosync.forge import GitHub, Issue, PostStatus, close_issue, keep_issue_open

DRIFT = Issue(marker="drift-production", title="Drift in production", text="slot chat, by ana", head="c" * 40)


def test_it_is_opened_kept_up_to_date_and_closed(github: GitHub, forge: Forge) -> None:
    """One issue is opened, updated and closed, and not sent if it is unchanged."""
    assert close_issue(github, DRIFT.marker, None).status is PostStatus.ABSENT
    assert keep_issue_open(github, DRIFT).status is PostStatus.CREATED
    assert keep_issue_open(github, DRIFT).status is PostStatus.UNCHANGED
    assert keep_issue_open(github, replace(DRIFT, text="slot vision, too")).status is PostStatus.UPDATED
    assert close_issue(github, DRIFT.marker, None).status is PostStatus.CLOSED
    assert [issue["state"] for issue in forge.issues] == ["closed"]
    assert keep_issue_open(github, DRIFT).status is PostStatus.CREATED


def test_nobody_elses_issue_and_no_pull_request_is_touched(github: GitHub, forge: Forge) -> None:
    """A pull request with the same text is not used as the issue, although GitHub lists it."""
    keep_issue_open(github, DRIFT)
    ours = dict(forge.issues[0])
    forge.issues[0] = {**ours, "user": {"login": "mallory"}}
    forge.issues.append({**ours, "number": 2, "pull_request": {}})
    assert keep_issue_open(github, DRIFT).status is PostStatus.CREATED
    assert close_issue(github, DRIFT.marker, None).status is PostStatus.CLOSED
    assert [issue.get("state") for issue in forge.issues] == [None, None, "closed"]


def test_another_context_has_another_issue(github: GitHub, forge: Forge) -> None:
    """The marker identifies an issue, even if its text is shortened."""
    keep_issue_open(github, DRIFT)
    long = replace(DRIFT, marker="drift-staging", text="### Much\n\n" + "\n\n".join(["x" * 100] * 1_000))
    assert keep_issue_open(github, long).shortened
    assert len(forge.issues) == 2
    assert len(forge.issues[1]["body"]) <= 65_536
