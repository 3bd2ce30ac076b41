"""The one issue of what goes on."""

from __future__ import annotations

from dataclasses import replace

from tests.support.forges import Forge

from octosync.forge import Did, GitHub, Issue, close, keep_open

DRIFT = Issue(marker="drift-production", title="Drift in production", text="slot chat, by ana", head="c" * 40)


def test_it_is_opened_kept_up_to_date_and_closed(github: GitHub, forge: Forge) -> None:
    """One issue goes from drift to none, and is not sent what it says already."""
    assert close(github, DRIFT.marker, None).did is Did.ABSENT
    assert keep_open(github, DRIFT).did is Did.CREATED
    assert keep_open(github, DRIFT).did is Did.UNCHANGED
    assert keep_open(github, replace(DRIFT, text="slot vision, too")).did is Did.UPDATED
    assert close(github, DRIFT.marker, None).did is Did.CLOSED
    assert [issue["state"] for issue in forge.issues] == ["closed"]
    assert keep_open(github, DRIFT).did is Did.CREATED


def test_nobody_elses_issue_and_no_pull_request_is_touched(github: GitHub, forge: Forge) -> None:
    """GitHub lists pull requests among issues; somebody may have copied the text of one."""
    keep_open(github, DRIFT)
    ours = dict(forge.issues[0])
    forge.issues[0] = {**ours, "user": {"login": "mallory"}}
    forge.issues.append({**ours, "number": 2, "pull_request": {}})
    assert keep_open(github, DRIFT).did is Did.CREATED
    assert close(github, DRIFT.marker, None).did is Did.CLOSED
    assert [issue.get("state") for issue in forge.issues] == [None, None, "closed"]


def test_another_context_has_another_issue(github: GitHub, forge: Forge) -> None:
    """The marker tells them apart, as long as the text may be."""
    keep_open(github, DRIFT)
    long = replace(DRIFT, marker="drift-staging", text="### Much\n\n" + "\n\n".join(["x" * 100] * 1_000))
    assert keep_open(github, long).shortened
    assert len(forge.issues) == 2
    assert len(forge.issues[1]["body"]) <= 65_536
