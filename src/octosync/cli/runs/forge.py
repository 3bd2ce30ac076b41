"""`octosync forge`: the comment on a pull request, the tracking issue, and the last applied revision."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from octosync.cli.console import err, err_command, out, out_json, read_stdin
from octosync.cli.session import configuration_in
from octosync.errors import ConfigError, ExitCode, Forbidden, OctosyncError, Rejected, UsageError
from octosync.forge import (
    MAX_DEPLOYMENTS,
    AppliedRevision,
    Comment,
    GitHub,
    Issue,
    PostResult,
    PostStatus,
    close_issue,
    find_applied_revision,
    find_merged_pull_request,
    keep_issue_open,
    mark_outdated,
    post_comment,
    read_job_event,
    repository_from_environment,
)
from octosync.manifest.git.repository import Repository
from octosync.plan import FORMAT_VERSION
from octosync.report import render_notice, visible

_MOST_MERGES: Final = 50  # each is a request


def comment(
    *,
    file: str | None,
    marker: str,
    pull: int | None,
    merged: str | None,
    since: str | None,
    head: str | None,
    outdated: bool,
    author: str | None,
) -> ExitCode:
    """Run `octosync forge comment`."""
    if outdated == (file is not None):
        raise UsageError(
            "usage", "expected either FILE or --outdated", hints=("Run `octosync forge comment --help` for usage.",)
        )
    if merged is not None and (pull is not None or outdated):
        raise UsageError("usage", "--merged selects the pull request: it can't be used with --pull or --outdated")
    if since is not None and merged is None:
        raise UsageError("usage", "--since needs --merged", hints=("Run `octosync forge comment --help` for usage.",))
    _refuse_empty(marker=marker, merged=merged, since=since, head=head, author=author)
    text = _text(file) if file is not None else ""
    revisions = () if since is None or merged is None else _merges(since, merged)
    rejections: list[str] = []
    try:
        with _github() as github:
            if merged is None:
                pulls, head = _pull(pull, head)
            else:
                pulls, head = _merged(github, (merged, *revisions)), head or merged
            for number in pulls:
                wanted = Comment(
                    pull=number, marker=marker, text=text, head=head, author=author, follows=merged is None
                )
                try:
                    _print_result(
                        mark_outdated(github, wanted) if outdated else post_comment(github, wanted), "comment", text
                    )
                except (Forbidden, Rejected) as problem:
                    rejections.append(problem.message)
    except (Forbidden, Rejected) as problem:
        rejections.append(problem.message)
        pulls = ()
    if rejections:
        _write_to_summary(text, f"the forge rejected the comment: {rejections[0]}")
    elif not pulls:
        _write_to_summary(
            text, f"no pull request was merged as {merged}: the text is in the job summary instead of a comment"
        )
    return ExitCode.DONE


def issue(
    *, file: str | None, marker: str, title: str | None, closing: bool, head: str | None, author: str | None
) -> ExitCode:
    """Run `octosync forge issue`."""
    if (closing, not closing) != (file is None, title is not None):
        raise UsageError(
            "usage",
            "expected either FILE and --title, or --close",
            hints=("Run `octosync forge issue --help` for usage.",),
        )
    _refuse_empty(marker=marker, title=title, head=head, author=author)
    text = _text(file) if file is not None else ""
    with _github() as github:
        if title is None:
            posted = close_issue(github, marker, author)
        else:
            posted = keep_issue_open(github, Issue(marker=marker, title=title, text=text, head=head, author=author))
    _print_result(posted, "issue", text)
    return ExitCode.DONE


def applied_(environment: str | None, context: str | None, config: Path | None, output: str) -> ExitCode:
    """Run `octosync forge applied`."""
    _refuse_empty(environment=environment, context=context)
    named = environment or f"octosync-{context or _default_context(config)}"
    with _github() as github:
        found = find_applied_revision(github, named, current=os.environ.get("GITHUB_SHA") or None, exists=_exists())
    _check_gone(found, named)
    if found.base is None:
        err(
            f"None of the newest {MAX_DEPLOYMENTS} deployments of {named} was successful: apply must plan all manifests.\n"
            if found.attempted
            else f"No deployment of {named} was successful: apply must plan all manifests.\n"
        )
    if output == "json":
        out_json(
            {
                "format_version": FORMAT_VERSION,
                "base": found.base,
                "attempted": list(found.attempted),
                "gone": list(found.gone),
            }
        )
    else:
        out(_flags(found))
    return ExitCode.DONE


def _exists() -> Callable[[str], bool]:
    """Return a function that returns whether the clone has a revision. Without a full clone, it always returns True."""
    try:
        repository = Repository.around(Path())
    except ConfigError:
        return lambda _: True
    return lambda revision: repository.is_shallow or repository.has(revision)


def _check_gone(found: AppliedRevision, environment: str) -> None:
    """Warn about revisions that a force push has removed. Raise `OctosyncError` if the base is one of them."""
    if found.base is None and found.gone_base is not None:
        raise OctosyncError(
            "base-not-found",
            f"{found.gone_base} was last applied to {environment}, and is not in this clone: was the branch force-pushed?",
            hints=(
                "Start the run again with a base: the revision of the branch that is closest to the live state.",
                "On GitHub: Actions, octosync apply, Run workflow, base.",
            ),
        )
    for revision in found.gone:
        _notice(
            f"{revision} was applied to {environment}, in part or in full, and is not in this clone: was the branch "
            "force-pushed? Its changes count as changes on the control plane."
        )


def _flags(found: AppliedRevision) -> str:
    """Return the flags for apply: none without a base, because --attempted needs one."""
    if found.base is None:
        return ""
    revisions = (*found.attempted, *found.gone)
    words = ["--base", found.base, *(word for revision in revisions for word in ("--attempted", revision))]
    return shlex.join(words) + "\n"


def _pull(pull: int | None, head: str | None) -> tuple[tuple[int, ...], str | None]:
    """Return the number of the pull request, and its head if it is known."""
    path = os.environ.get("GITHUB_EVENT_PATH")
    event = read_job_event(
        Path(path) if path and (pull is None or head is None) else None, os.environ.get("GITHUB_REF", "")
    )
    number = pull or event.pull
    if number is None:
        raise UsageError(
            "no-pull-request",
            "this job does not belong to a pull request",
            hints=("Use --pull N, or --merged SHA for the pull request whose merge created a revision.",),
        )
    return (number,), head or (event.head if number == event.pull else None)


def _merged(github: GitHub, revisions: Sequence[str]) -> tuple[int, ...]:
    """Return the numbers of the pull requests that were merged as these revisions."""
    found = (find_merged_pull_request(github, revision) for revision in dict.fromkeys(revisions))
    return tuple(dict.fromkeys(number for number in found if number is not None))


def _merges(since: str, merged: str) -> tuple[str, ...]:
    repository = Repository.around(Path())
    return repository.merges(
        repository.resolve(since, flag="--since"), repository.resolve(merged, flag="--merged"), most=_MOST_MERGES
    )


def _github() -> GitHub:
    return GitHub(
        repository_from_environment(os.environ),
        on_wait=lambda wait: err(f"Waiting {wait:.0f} s as the forge requests.\n"),
    )


def _default_context(config: Path | None) -> str:
    context = configuration_in(config).default_context
    if context is None:
        raise UsageError(
            "no-environment",
            "no environment is selected, and octosync.yaml has no default context",
            hints=("Use --environment NAME, or --context NAME for octosync-NAME.",),
        )
    return context


def _text(file: str) -> str:
    """Return the text of a file or of standard input. Raise `OctosyncError` if it is unreadable or empty."""
    try:
        data = read_stdin() if file == "-" else Path(file).read_bytes()
        text = data.decode()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise OctosyncError(
            "text-unreadable",
            f"{file} can't be read: {why}",
            hints=("FILE is a Markdown file, or - for standard input.",),
        ) from None
    if not text.strip():
        raise OctosyncError("text-empty", f"{file} is empty", hints=("Did the command that writes it fail?",))
    return text


def _refuse_empty(**values: str | None) -> None:
    for name, value in values.items():
        if value is not None and not value.strip():
            raise UsageError(
                "empty-value", f"--{name} is empty", hints=("Is a variable not set? Otherwise, omit the flag.",)
            )


def _print_result(posted: PostResult, noun: str, text: str) -> None:
    """Print the status and the URL of a comment or issue."""
    words = {
        PostStatus.CREATED: f"Created the {noun}.",
        PostStatus.UPDATED: f"Updated the {noun}.",
        PostStatus.UNCHANGED: f"The {noun} is up to date.",
        PostStatus.CLOSED: f"Closed the {noun}.",
        PostStatus.ABSENT: f"The {noun} does not exist.",
        PostStatus.NEWER: f"The {noun} was not changed: it describes a newer revision.",
    }
    err(f"{words[posted.status]}\n")
    if posted.shortened:
        _write_to_summary(
            text, f"the text is too long for a {noun}, so it was shortened: the full text is in the job summary"
        )
    if posted.url:
        out(f"{posted.url}\n")


def _write_to_summary(text: str, why: str) -> None:
    """Append a text to the job summary, or print it if there is none, with a notice that gives the reason."""
    _notice(why)
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if not text:
        return
    if not summary:
        out(text if text.endswith("\n") else f"{text}\n")
        return
    try:
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(f"{text.rstrip()}\n\n")
    except OSError as error:
        raise OctosyncError(
            "summary-unwritable",
            f"the job summary can't be written: {error.strerror}",
            hints=("GITHUB_STEP_SUMMARY is the path of the file.",),
        ) from None


def _notice(text: str) -> None:
    """Print a notice; in a GitHub job, as a workflow command, so that the page of the job shows it."""
    if os.environ.get("GITHUB_ACTIONS") == "true":
        err_command(render_notice(text))
    else:
        err(f"notice: {visible(text)}\n")
