"""`-o markdown`: one document of limited size on standard output for plan and apply, with unchanged exit codes."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from tests.support.markdown import render_markdown
from tests.support.projects import ACTIONS, APP, Project
from tests.support.repositories import Repo

MARKDOWN = ("-o", "markdown")
ARCHIVED = "apiVersion: octosync.dev/v1\nkind: App\nmetadata: {{name: {slug}}}\nspec: {{archived: true}}\n"


def test_a_plan_is_one_document(project: Project) -> None:
    """The summary, the app with its diff, and nothing on standard error."""
    project.declare()
    ran = project.plan(*MARKDOWN)
    assert (ran.code, ran.stderr) == (0, "")
    assert ran.stdout.startswith("### octosync plan · ")
    assert f"**{ACTIONS} to create**" in ran.stdout
    assert "<b>search</b>" in ran.stdout
    assert "+ slot chat" in ran.stdout
    assert not render_markdown(ran.stdout).unbalanced


def test_the_summary_is_the_table_alone(project: Project) -> None:
    """`--summary` prints the counts by app and verb, as text and Markdown; other formats are complete, and so is the code."""
    project.declare("notes")
    project.apply()
    project.declare("notes", name="Notes")
    project.declare()
    project.declare("wiki", name="Wiki")
    text = project.plan("--summary", "--detailed-exitcode")
    assert (text.code, text.stderr) == (2, "")
    assert [line.split() for line in text.stdout.splitlines()] == [
        ["app", "create", "update"],
        ["notes", "–", "1"],
        ["search", "4", "–"],
        ["wiki", "4", "–"],
        ["total", "8", "1"],
    ]
    assert project.plan("--summary", *MARKDOWN).stdout == (
        "| app | create | update |\n| --- | ---: | ---: |\n| notes | – | 1 |\n| search | 4 | – |\n| wiki | 4 | – |\n"
        "| **total** | **8** | **1** |\n"
    )
    assert len(json.loads(project.plan("--summary", "-o", "json").stdout)["resource_changes"]) == 9
    project.apply()
    assert project.plan("--summary").stdout == "No changes.\n"
    project.declare("notes", text=ARCHIVED.format(slug="notes"))
    project.declare("wiki", text=ARCHIVED.format(slug="wiki"))
    blocked = project.plan("--summary").stdout.splitlines()
    assert [line.split()[0] for line in blocked] == ["app", "notes", "wiki", "total", "Blocked"]


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("search.yaml", "search.yaml"),
        ("a b#1?.yaml", "a%20b%231%3F.yaml"),
        ('x"><img src=y>.yaml', "x%22%3E%3Cimg%20src%3Dy%3E.yaml"),
        ("](javascript:alert(1)) @all.yaml", "%5D%28javascript%3Aalert%281%29%29%20%40all.yaml"),
        ("größe`.yaml", "gr%C3%B6%C3%9Fe%60.yaml"),
    ],
)
def test_positions_are_links_to_the_commit(project: Project, name: str, quoted: str) -> None:
    """In a repository that the environment names, each position links to its line in the commit, whatever the file's name."""
    repo = Repo.init(project.workdir.directory)
    repo.write(f"apps/{name}", APP.format(slug="search", name="Search"))
    commit = repo.commit()
    known = {"GITHUB_SERVER_URL": "https://git.example.com", "GITHUB_REPOSITORY": "acme/apps"}
    page = render_markdown(project.plan(*MARKDOWN, **known).stdout)
    links = re.findall(r'<a href="([^"]*)">', project.plan(*MARKDOWN, **known).stdout)
    blob = f"https://git.example.com/acme/apps/blob/{commit}/apps/{quoted}"
    assert links == [f"{blob}#L{line}" for line in (1, 1, 7, 9, 11)]
    assert not page.unbalanced
    assert "img" not in page.names
    for unknown in ({}, {**known, "GITHUB_REPOSITORY": '"><b>'}, {**known, "GITHUB_SERVER_URL": "javascript:x"}):
        assert "<a " not in project.plan(*MARKDOWN, **unknown).stdout


def test_an_apply_is_one_document(project: Project) -> None:
    """The outcomes and the plan, once; without changes, one sentence."""
    project.declare()
    ran = project.apply(*MARKDOWN)
    assert (ran.code, ran.stderr) == (0, "")
    assert ran.stdout.startswith("### octosync apply · ")
    assert ran.stdout.count("\n### ") == 0
    assert f"**✓ {ACTIONS} applied** · exit 0" in ran.stdout
    assert "<b>search</b>" in ran.stdout
    again = project.apply(*MARKDOWN)
    assert again.code == 0
    assert "**No changes.**" in again.stdout


def test_a_partial_apply_has_the_command_that_continues(project: Project) -> None:
    """A failed change has its reason, and the command that continues can be copied."""
    project.declare()
    project.break_with({"operation": "apps.put_slot", "action": "status", "status": 422, "code": "validation_error"})
    ran = project.apply(*MARKDOWN)
    assert ran.code == 5
    assert "✗ 1 failed" in ran.stdout
    assert "✗ create app/search/slot/chat: rejected: " in ran.stdout
    assert f"```sh\noctosync apply -f apps --url {project.url}\n```" in ran.stdout


def test_validate_is_one_document(project: Project) -> None:
    """`validate` reports in Markdown whether they are valid and, within the size limit, the errors with their positions."""
    project.declare()
    valid = project.workdir.octosync("validate", "-f", "apps", *MARKDOWN)
    assert (valid.code, valid.stderr) == (0, "")
    assert valid.stdout == "### octosync validate\n\n**Valid.** · exit 0\n"
    project.declare(text="kind: App\n")
    bad = project.workdir.octosync("validate", "-f", "apps", *MARKDOWN)
    assert (bad.code, bad.stderr) == (1, "")
    assert "**Not valid.** · 2 errors" in bad.stdout
    assert "--> apps/search.yaml:1:1" in bad.stdout
    short = project.workdir.octosync("validate", "-f", "apps", *MARKDOWN, "--max-bytes", "300")
    assert len(short.stdout.encode()) <= 300
    assert "**Not valid.** · 2 errors" in short.stdout


def test_a_refusal_is_shown_with_the_flag(project: Project) -> None:
    """Plan and apply both show what blocks them and exit with 4; apply has written nothing."""
    project.declare()
    assert project.apply().code == 0
    project.log()
    project.declare(
        text="apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: search}\nspec: {slots: [], targets: []}\n"
    )
    project.workdir.write("octosync.yaml", "guards: {maxDeletes: 1}\n")
    for ran in (project.plan(*MARKDOWN), project.apply(*MARKDOWN)):
        assert ran.code == 4
        assert "> **Blocked** (deletes): apply writes nothing." in ran.stdout
        assert "--allow-deletes 2" in ran.stdout
    assert "**Nothing was written.**" in ran.stdout
    assert project.writes() == []


@pytest.mark.parametrize(
    ("arguments", "code"), [((), 0), (("--detailed-exitcode",), 2), (("--detailed-exitcode", "--max-bytes", "1"), 2)]
)
def test_the_exit_code_is_that_of_the_text(project: Project, arguments: Sequence[str], code: int) -> None:
    """Neither the format nor its size limit changes the exit code of a plan."""
    project.declare()
    assert project.plan(*arguments).code == project.plan(*MARKDOWN, *arguments).code == code


def test_the_size_limit_is_kept(project: Project) -> None:
    """`--max-bytes` limits the bytes on standard output; the default fits into a comment on GitHub."""
    for number in range(40):
        project.declare(f"search-{number:02}", name="Süche")
    whole = project.plan(*MARKDOWN).stdout
    assert len(whole.encode()) < 60_000
    for limit in (10_000, 900, 100, 1):
        ran = project.plan(*MARKDOWN, "--max-bytes", str(limit))
        assert ran.code == 0
        assert len(ran.stdout.encode()) <= limit


@pytest.mark.parametrize("limit", ["0", "-1", "many"])
def test_an_invalid_size_limit_is_refused(project: Project, limit: str) -> None:
    """A limit is a number of bytes from 1: 64, and nothing is sent."""
    project.declare()
    ran: Any = project.plan(*MARKDOWN, "--max-bytes", limit)
    assert ran.code == 64
    assert project.log() == []


def test_texts_of_manifests_are_not_markdown(project: Project) -> None:
    """The name of an app is data: it becomes no tag, no mention and no reference."""
    project.declare(name="'</details><img src=x onerror=alert(1)> @everyone closes #1 ``` |'")
    for page in (render_markdown(project.plan(*MARKDOWN).stdout), render_markdown(project.apply(*MARKDOWN).stdout)):
        assert "img" not in page.names
        assert not page.unbalanced
        assert "@everyone" not in page.text
        assert "#1" not in page.text
