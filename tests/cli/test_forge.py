"""`octosync forge` as a GitHub Actions job runs it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.forges import FORBIDDEN, HEAD, NEXT, TOKEN, Answer, Forge, forge_server, refused
from tests.support.workdirs import CommandResult, Workdir

TEXT = "### 2 to create\n\n@everyone\n"


class Job:
    """A job of pull request 7, with a forge."""

    def __init__(self, forge: Forge, folder: Path) -> None:
        self.forge = forge
        self.summary = folder / "summary.md"
        self.event = folder / "event.json"
        self.event.write_text(json.dumps({"pull_request": {"number": 7, "head": {"sha": HEAD}}}), encoding="utf-8")
        paths = {"GITHUB_STEP_SUMMARY": str(self.summary), "GITHUB_EVENT_PATH": str(self.event)}
        self.workdir = Workdir(folder, {**forge.environment, **paths, "GITHUB_SHA": HEAD})
        self.workdir.write("comment.md", TEXT)

    def comment(self, *arguments: str, stdin: bytes = b"", **environment: Any) -> CommandResult:
        """Comment with the marker `plan`."""
        return self.workdir.octosync("forge", "comment", "--marker", "plan", *arguments, stdin=stdin, **environment)


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    with forge_server() as forge:
        yield Job(forge, tmp_path)


def test_a_pull_request_gets_one_comment(job: Job) -> None:
    """The event has the pull request and its head; the URL is on standard output, and the rest on standard error."""
    ran = job.comment("comment.md")
    assert (ran.code, ran.stdout, ran.stderr) == (0, "https://forge.test/1\n", "Created the comment.\n")
    assert job.comment("-", stdin=TEXT.encode()).stderr == "The comment is up to date.\n"
    assert f"<!-- octosync:plan -->\n<!-- octosync-head:{HEAD} -->\n{TEXT}" in job.forge.comments[0]["body"]
    assert not job.summary.exists()


def test_without_an_event_the_ref_names_the_pull_request(job: Job) -> None:
    """The number is from the ref, and no revision is claimed."""
    assert job.comment("comment.md", GITHUB_EVENT_PATH="").code == 0
    assert "octosync-head" not in job.forge.comments[0]["body"]


def test_a_comment_about_an_earlier_head_is_outdated(job: Job) -> None:
    """`--outdated` marks a comment about an earlier head; the next comment replaces it."""
    job.comment("comment.md")
    job.forge.pulls[7]["head"]["sha"] = NEXT
    assert job.comment("--outdated").stderr == "Updated the comment.\n"
    assert "Outdated" in job.forge.comments[0]["body"]
    assert job.comment("comment.md").stderr == "The comment is up to date.\n"
    assert job.comment("--head", NEXT, "comment.md").code == 0
    assert "Outdated" not in job.forge.comments[0]["body"]


@pytest.mark.parametrize("request_pattern", ["POST", "GET .*/comments"])
def test_without_permission_to_comment_the_text_is_in_the_summary(job: Job, request_pattern: str) -> None:
    """A fork's token is read-only: the text is in the job's summary, a notice has the reason, and the job continues."""
    job.forge.answer_next(request_pattern, FORBIDDEN)
    ran = job.comment("comment.md", GITHUB_ACTIONS="true")
    assert (ran.code, ran.stdout) == (0, "")
    assert ran.stderr.startswith(
        "::notice title=octosync::the forge rejected the comment: the token lacks the permission"
    )
    assert job.summary.read_text(encoding="utf-8") == TEXT + "\n"


def test_without_a_summary_the_text_is_printed(job: Job) -> None:
    """Outside of a GitHub job, the text is not lost either."""
    job.forge.answer_next("POST", FORBIDDEN)
    ran = job.comment("comment.md", GITHUB_STEP_SUMMARY="")
    assert (ran.code, ran.stdout) == (0, TEXT)
    assert ran.stderr.startswith("notice: the forge rejected the comment")


def test_a_text_that_no_form_fits_is_in_the_summary(job: Job) -> None:
    """If the forge rejects the short form as too long, the summary has the text."""
    too_long = Answer(422, {"message": "Validation Failed", "errors": [{"message": "body is too long"}]})
    job.forge.answer_next("POST", too_long, too_long)
    ran = job.comment("comment.md")
    assert ran.code == 0
    assert "body is too long" in ran.stderr
    assert job.summary.read_text(encoding="utf-8") == TEXT + "\n"


def test_the_whole_text_of_a_shortened_comment_is_in_the_summary(job: Job) -> None:
    """A shortened comment points to the whole text."""
    job.workdir.write("comment.md", "### 9 to create\n\n" + "line\n\n" * 20_000)
    ran = job.comment("comment.md")
    assert (ran.code, ran.stdout) == (0, "https://forge.test/1\n")
    assert "too long" in ran.stderr
    assert job.summary.stat().st_size > 100_000


def test_the_outcome_is_a_comment_on_the_merged_pull_request(job: Job) -> None:
    """`--merged` finds the pull request of a push; without one, the summary has the text."""
    job.forge.merged[NEXT] = [{"number": 7, "merged_at": "2026-01-01T00:00:00Z", "merge_commit_sha": NEXT}]
    assert job.comment("--merged", NEXT, "comment.md").stdout == "https://forge.test/1\n"
    assert "Outdated" not in job.forge.comments[0]["body"]
    ran = job.comment("--merged", HEAD, "comment.md")
    assert (ran.code, ran.stdout) == (0, "")
    assert "no pull request was merged as" in ran.stderr
    assert job.summary.read_text(encoding="utf-8") == TEXT + "\n"


@pytest.mark.parametrize(
    ("answer", "code", "reference"),
    [
        (refused(401, "Bad credentials"), 1, "forge-credential-refused"),
        (refused(404, "Not Found"), 1, "forge-missing"),
        (Answer(200, b"<html>"), 1, "forge-unreadable"),
        (refused(429, "API rate limit exceeded", Retry_After="3600"), 75, "forge-throttled"),
    ],
)
def test_other_failures_are_errors(job: Job, answer: Answer, code: int, reference: str) -> None:
    """Any failure other than a missing permission is an error with its reference, without the token."""
    job.forge.answer_next("GET", answer)
    ran = job.comment("comment.md")
    assert ran.code == code
    assert f"error: {reference}: " in ran.stderr
    assert TOKEN not in ran.output


@pytest.mark.parametrize(
    ("arguments", "reference"),
    [
        ((), "usage"),
        (("comment.md", "--outdated"), "usage"),
        (("comment.md", "--merged", HEAD, "--pull", "7"), "usage"),
        (("comment.md", "--merged", ""), "empty-value"),
        (("comment.md", "--since", HEAD), "usage"),
        (("comment.md", "--head", " "), "empty-value"),
        (("absent.md",), "text-unreadable"),
        (("-",), "text-empty"),
    ],
)
def test_an_invalid_command_line_is_refused(job: Job, arguments: tuple[str, ...], reference: str) -> None:
    """It is refused before anything is sent."""
    ran = job.comment(*arguments)
    assert ran.code in {1, 64}
    assert f"error: {reference}: " in ran.stderr
    assert job.forge.requests == []


def test_a_job_without_a_pull_request_is_an_error(job: Job) -> None:
    """A push has no pull request, and the hint names the flag. An unreadable event is a different error."""
    job.event.write_text("{}", encoding="utf-8")
    ran = job.comment("comment.md", GITHUB_REF="refs/heads/main")
    assert (ran.code, "--pull N" in ran.stderr) == (64, True)
    job.event.write_text("{", encoding="utf-8")
    assert "event-unreadable" in job.comment("comment.md").stderr
    assert job.comment("comment.md", "--pull", "7", "--head", HEAD).code == 0


def test_the_last_applied_revision_is_flags_for_apply(job: Job) -> None:
    """The text is for a command line, the JSON for a program; without a deployment nothing is printed."""
    ran = job.workdir.octosync("forge", "applied", "--context", "production")
    assert (ran.code, ran.stdout) == (0, "")
    assert "No deployment of octosync-production was successful" in ran.stderr
    job.forge.add_deployment("c0", "success")
    job.forge.add_deployment("c1", "failure")
    job.forge.add_deployment("c2", "in_progress", "error")
    job.forge.add_deployment(HEAD, "in_progress")
    ran = job.workdir.octosync("forge", "applied", "--environment", "octosync-production")
    assert (ran.code, ran.stdout, ran.stderr) == (0, "--base c0 --attempted c2 --attempted c1\n", "")
    ran = job.workdir.octosync("forge", "applied", "--context", "production", "-o", "json")
    assert json.loads(ran.stdout) == {"format_version": "1.0", "base": "c0", "attempted": ["c2", "c1"], "gone": []}


def test_the_environment_is_the_default_contexts(job: Job) -> None:
    """Without a name it is that of octosync.yaml's default context; without that, it is an error."""
    assert "no-environment" in job.workdir.octosync("forge", "applied").stderr
    job.workdir.write("octosync.yaml", "contexts: {eu: {url: http://127.0.0.1:1}}\ndefaultContext: eu\n")
    assert "octosync-eu" in job.workdir.octosync("forge", "applied").stderr


def test_attempts_without_a_success_give_no_flags(job: Job) -> None:
    """Attempts count only with a base; the JSON still names them."""
    job.forge.add_deployment("c1", "failure")
    ran = job.workdir.octosync("forge", "applied", "--context", "production")
    assert (ran.code, ran.stdout) == (0, "")
    assert "apply must plan all manifests" in ran.stderr
    assert '"c1"' in job.workdir.octosync("forge", "applied", "--context", "production", "-o", "json").stdout


def test_drift_has_one_issue(job: Job) -> None:
    """It is opened, kept up to date and closed."""
    issue = ("forge", "issue", "--marker", "drift-production")
    assert job.workdir.octosync(*issue, "--close").stderr == "The issue does not exist.\n"
    ran = job.workdir.octosync(*issue, "--title", "Drift", "comment.md")
    assert (ran.code, ran.stdout, ran.stderr) == (0, "https://forge.test/1\n", "Created the issue.\n")
    assert job.workdir.octosync(*issue, "--title", "Drift", "comment.md").stderr == "The issue is up to date.\n"
    assert job.workdir.octosync(*issue, "--close").stderr == "Closed the issue.\n"
    assert job.workdir.octosync(*issue).code == 64
    assert job.workdir.octosync(*issue, "--close", "--title", "x").code == 64
    assert job.workdir.octosync(*issue, "comment.md").code == 64


def test_an_issue_that_may_not_be_opened_is_an_error(job: Job) -> None:
    """Drift that could not be reported is an error."""
    job.forge.answer_next("POST", FORBIDDEN)
    ran = job.workdir.octosync("forge", "issue", "--marker", "drift", "--title", "Drift", "comment.md")
    assert (ran.code, "forge-forbidden" in ran.stderr) == (1, True)
