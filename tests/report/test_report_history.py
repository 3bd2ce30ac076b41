"""The journal as text and as JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from octosync.model import JournalledAction, JournalledRun, RecordedOverride, RecordedPolicy, RunAudit, Status
from octosync.report import history_document, json_text, render_history, render_run, run_document
from octosync.report.text import seconds_words

AT = datetime(2030, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
DONE = JournalledAction(
    1, "app/a", "create", "apps.create", AT, AT + timedelta(seconds=0.25), Status.DONE, "", ("req_1", "req_2")
)
FAILED = JournalledAction(
    2,
    "app/a/slot/chat",
    "create",
    "apps.put_slot",
    AT,
    AT + timedelta(seconds=75),
    Status.FAILED,
    "rejected",
    ("req_3",),
)
BEGUN = JournalledAction(3, "app/a/target/ios:x", "delete", "apps.delete_target", AT, None, None, "", ())


def run(id_: str = "20300102T030405Z-00aa11", **facts: Any) -> JournalledRun:
    """Return a run that ended after a minute and a half, with a partial result."""
    ended = {"ended_at": AT + timedelta(seconds=90), "exit_code": 5}
    place = {"control_plane": "https://user:hunter2@api.octomil.com/api/v1", "org_id": "org-1", "digest": "sha256:00"}
    return JournalledRun(id=id_, started_at=AT, **{**ended, **place, **facts})


COMMIT = "1a2b3c4d" * 5
AUDIT = RunAudit(
    command="apply",
    actor="octocat",
    host="build-7",
    context="production",
    revision=COMMIT,
    dirty=True,
    base=COMMIT,
    overrides=(RecordedOverride("deletes", "3", "--allow-deletes"), RecordedOverride("archives", "2", "commit abc")),
    flags=("--drift-hold 0",),
    plan_digest="sha256:11",
    policies=(RecordedPolicy("no-cloud", "error", "passed"),),
)
AUDITED = run(audit=AUDIT)
UNFINISHED = run("20300102T030406Z-00bb22", ended_at=None, exit_code=None, org_id=None)


def test_runs_are_a_table() -> None:
    """One row per run: who started it, the commit with an asterisk for other changes, exit code and outcomes."""
    text = render_history([(UNFINISHED, [DONE, BEGUN]), (AUDITED, [DONE, FAILED]), (run(), [])], total=7, colour=False)
    assert text == (
        "RUN                      ACTOR    WHERE         COMMIT    EXIT  OUTCOMES\n"
        "20300102T030406Z-00bb22  -        api.octomil…  -         -     ✓ 1 applied … 1 unknown not ended\n"
        "20300102T030405Z-00aa11  octocat  production    1a2b3c4*  5     ✓ 1 applied ✗ 1 failed\n"
        "20300102T030405Z-00aa11  -        api.octomil…  -         5     ✓ 0 applied\n"
        "The newest 3 of 7 runs: --limit N shows more.\n"
    )


def test_runs_of_one_control_plane_fit_into_80_columns() -> None:
    """The place is a column only if it differs; a long actor is cut."""
    audit = replace(AUDIT, actor="github-actions[bot]")
    lines = render_history([(run(audit=audit), [DONE, FAILED])] * 2, total=2, colour=False).splitlines()
    assert lines[0] == "RUN                      ACTOR         COMMIT    EXIT  OUTCOMES"
    assert lines[1] == "20300102T030405Z-00aa11  github-acti…  1a2b3c4*  5     ✓ 1 applied ✗ 1 failed"
    assert max(map(len, lines)) <= 80


def test_runs_of_several_hosts_have_a_column_for_them() -> None:
    """A shared state has runs of CI and of controllers. The end of a long host distinguishes replicas and runners."""
    replica = replace(AUDIT, command="watch", actor="controller", host="octosync-6d5f8b7c9d-x2x7k", dirty=False)
    recorded = [(run(audit=replica), [DONE]), (AUDITED, [DONE])]
    lines = render_history(recorded, total=2, colour=False).splitlines()
    assert lines == [
        "RUN                      ACTOR       HOST         COMMIT    EXIT  OUTCOMES",
        "20300102T030405Z-00aa11  controller  …7c9d-x2x7k  1a2b3c4   5     ✓ 1 applied",
        "20300102T030405Z-00aa11  octocat     build-7      1a2b3c4*  5     ✓ 1 applied",
    ]
    assert max(map(len, lines)) <= 80
    elsewhere = run(audit=replace(replica, context="staging"))
    lines = render_history([*recorded, (elsewhere, [DONE])], total=3, colour=False).splitlines()
    assert lines[0] == "RUN                      ACTOR    HOST     WHERE    COMMIT    EXIT  OUTCOMES"
    assert lines[1] == "20300102T030405Z-00aa11  contro…  …-x2x7k  produc…  1a2b3c4   5     ✓ 1 applied"
    assert max(map(len, lines)) <= 80


def test_the_audit_of_a_run_is_shown() -> None:
    """Who started it and where, the commit and the base, everything that was loosened, policies, and the plan's digest."""
    text = render_run(AUDITED, [DONE], colour=False)
    assert text.splitlines()[1:7] == [
        "Started 2030-01-02 03:04 UTC, took 1 min 30 s, exit 5",
        "By octocat on build-7, octosync apply, context production",
        f"Commit {COMMIT} with uncommitted changes, base {COMMIT}",
        "Allowed --allow-deletes 3, archives=2 (commit abc), --drift-hold 0",
        "Policies no-cloud (passed)",
        "Plan sha256:11",
    ]
    (listed,) = json.loads(json_text(history_document([(AUDITED, [DONE])], journal="state.db")))["runs"]
    whole = json.loads(json_text(run_document(AUDITED, [DONE], journal="state.db")))
    expected = {
        "command": "apply",
        "actor": "octocat",
        "host": "build-7",
        "context": "production",
        "git": {"revision": COMMIT, "dirty": True, "base": COMMIT},
        "plan_digest": "sha256:11",
        "overrides": [
            {"guard": "deletes", "value": "3", "source": "--allow-deletes"},
            {"guard": "archives", "value": "2", "source": "commit abc"},
        ],
        "flags": ["--drift-hold 0"],
        "policies": [{"policy": "no-cloud", "severity": "error", "outcome": "passed"}],
    }
    for document in (listed, whole):
        assert {name: document[name] for name in expected} == expected
    (earlier,) = json.loads(json_text(history_document([(run(), [])], journal="state.db")))["runs"]
    assert {name: earlier[name] or None for name in expected} == dict.fromkeys(expected)


def test_a_run_is_shown_with_all_its_actions() -> None:
    """Each action has its outcome, its duration, the IDs of its requests, and the reference of its error."""
    assert render_run(run(), [DONE, FAILED], colour=False) == (
        "Run 20300102T030405Z-00aa11 · api.octomil.com, org org-1\n"
        "Started 2030-01-02 03:04 UTC, took 1 min 30 s, exit 5\n"
        "Manifests sha256:00\n"
        "\n"
        "✓ create app/a            250 ms  req_1  req_2\n"
        "✗ create app/a/slot/chat  1 min 15 s  req_3  failed  rejected\n"
        "\n"
        "✓ 1 applied   ✗ 1 failed\n"
    )


def test_a_run_that_never_ended_is_shown_as_unfinished() -> None:
    """An action that began and never ended is unknown, not failed and not done, with how to find out."""
    text = render_run(UNFINISHED, [DONE, BEGUN], colour=False)
    assert "not ended: still running, interrupted or killed\n" in text
    assert "… delete app/a/target/ios:x       -  unknown\n" in text
    assert "The next plan reads whether it took effect.\n" in text


def test_the_documents_have_the_same_facts() -> None:
    """Stable names, times in UTC, null if there is no end, `unknown` for an action without an outcome."""
    listed = json.loads(
        json_text(history_document([(run(), [DONE, FAILED]), (UNFINISHED, [BEGUN])], journal="state.db"))
    )
    whole = json.loads(json_text(run_document(UNFINISHED, [DONE, BEGUN], journal="state.db")))
    for document in (listed, whole):
        assert (document["format_version"], document["journal"]) == ("1.0", "state.db")
    first, second = listed["runs"]
    assert first["summary"]["done"] == first["summary"]["failed"] == 1
    assert (first["started_at"], first["seconds"]) == ("2030-01-02T03:04:05.678Z", 90.0)
    assert (second["ended_at"], second["seconds"], second["exit_code"]) == (None, None, None)
    assert second["summary"]["unknown"] == 1
    assert whole["run"] == UNFINISHED.id
    assert [action["status"] for action in whole["actions"]] == ["done", "unknown"]
    assert whole["actions"][0]["request_ids"] == ["req_1", "req_2"]
    assert (whole["actions"][1]["ended_at"], whole["actions"][1]["seconds"]) == (None, None)


def test_no_escape_and_no_credential_of_a_journal_is_shown() -> None:
    """A journal may come from anywhere: its content is shown as text, and a URL without its credential."""
    hostile = JournalledAction(1, "app/\x1b[31m", "\x1b]0;x", "o", AT, AT, Status.FAILED, "\x1b[2J", ("\x1b[1m",))
    audit = RunAudit(
        command="\x1b[0m", actor="\x1b[1m", host="\x1b[2m", context="\x1b[3m", revision="\x1b[4m", flags=("\x1b[5m",)
    )
    texts = [
        render_history([(run(audit=audit), [])], total=1, colour=False),
        render_run(run(audit=audit), [], colour=False),
        render_run(run("\x1b[5m", org_id="\x1b[6m", digest="\x1b[7m"), [hostile], colour=False),
        render_history([(run("\x1b[5m", control_plane="http://\x1b[8m"), [hostile])], total=1, colour=False),
    ]
    assert all("\x1b" not in text for text in texts)
    shown = "".join((*texts, str(history_document([(run(), [])], journal="j")), render_run(run(), [], colour=False)))
    assert "hunter2" not in shown


def test_colour_changes_no_word() -> None:
    """The coloured text without its colours is the plain text."""
    recorded = [(UNFINISHED, [DONE, FAILED, BEGUN])]
    painted = render_history(recorded, total=1, colour=True) + render_run(*recorded[0], colour=True)
    plain = render_history(recorded, total=1, colour=False) + render_run(*recorded[0], colour=False)
    assert painted != plain
    for code in ("0", "1", "31", "32", "33"):
        painted = painted.replace(f"\x1b[{code}m", "")
    assert painted == plain


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "-"),
        (0.0, "0 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (9.96, "10 s"),
        (59.7, "1 min 0 s"),
        (200, "3 min 20 s"),
        (3599.6, "1 h 0 min"),
        (7500, "2 h 5 min"),
    ],
)
def test_durations_are_short(seconds: float | None, words: str) -> None:
    """Only significant digits, and never 60 seconds or 60 minutes."""
    assert seconds_words(seconds) == words


def test_a_duration_is_never_negative() -> None:
    """A duration is never below zero, for any time zone and for a clock that was set back."""
    assert run(ended_at=AT.astimezone(timezone(timedelta(hours=2))) - timedelta(hours=1)).seconds == 0.0
