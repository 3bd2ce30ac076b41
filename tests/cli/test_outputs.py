"""`-o` and `--write`: standard output, files and the GitHub runner get the same run, however it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.projects import ACTIONS, Project
from tests.support.workdirs import Workdir
from tests.support.workflow_commands import commands_in, outputs_in

BAD = "apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: search}\nspec: {nme: x}\n"
DOWN: dict[str, Any] = {"operation": "apps.get", "action": "status", "status": 501, "times": None}
FILES = (
    "--write",
    "markdown=out.md",
    "--write",
    "json=out.json",
    "--write",
    "text=out.txt",
    "--write",
    "github=out.log",
)


@pytest.fixture
def runner(project: Project) -> dict[str, Any]:
    """Make the files that GitHub's runner names, which are there and empty."""
    names = {"GITHUB_OUTPUT": "output", "GITHUB_STEP_SUMMARY": "summary"}
    return {variable: str(project.workdir.write(name, "")) for variable, name in names.items()}


def read(project: Project, name: str) -> str:
    """Return what is in a file."""
    return (project.workdir.directory / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("command", ["plan", "apply"])
def test_a_file_has_what_standard_output_would_have(project: Project, command: str) -> None:
    """Of each format, byte for byte; and the text on the screen is as it is without the files, whose requests it shares."""
    project.declare()
    run = project.plan if command == "plan" else project.apply
    project.log()
    screen = run(*FILES)
    asked = project.log()
    assert (screen.code, screen.stderr) == (0, "")
    assert read(project, "out.txt") == screen.stdout
    if command == "plan":
        alone = run()
        assert (alone.stdout, project.log()) == (screen.stdout, asked)
        assert run("-o", "markdown").stdout == read(project, "out.md")
        assert run("-o", "github").stdout == read(project, "out.log")
        other = json.loads(run("-o", "json").stdout)
        assert {**other, "timestamp": ""} == {**json.loads(read(project, "out.json")), "timestamp": ""}
    assert {path.name for path in project.workdir.directory.glob(".*")} <= {".octosync"}  # no half file is left


def test_a_run_that_fails_says_so_in_its_files(project: Project, runner: dict[str, Any]) -> None:
    """The control plane is down: the error is in every file and output, for a workflow's later steps."""
    project.declare()
    project.break_with(DOWN)
    ran = project.plan(*FILES, **runner)
    assert (ran.code, ran.stdout) == (75, "")
    document = json.loads(read(project, "out.json"))
    assert (document["format_version"], document["errored"], document["exit_code"]) == ("1.0", True, 75)
    assert document["errors"][0]["reference"] == "unavailable"
    assert "unavailable: the control plane failed" in read(project, "out.md")
    assert read(project, "out.txt") == ran.stderr
    assert commands_in(read(project, "out.log"))[0].name == "error"
    assert outputs_in(read(project, "output"))["exit-code"] == "75"
    assert read(project, "summary") == read(project, "out.md")


@pytest.mark.parametrize("command", ["validate", "plan", "apply"])
def test_a_bad_manifest_is_marked_on_its_line(project: Project, command: str, runner: dict[str, Any]) -> None:
    """File, line and column, from the repository's root; on standard output, with text about it on standard error or in files."""
    project.declare(text=BAD)
    where = () if command == "validate" else ("--url", project.url)
    yes = ("--yes",) if command == "apply" else ()
    runner["GITHUB_WORKSPACE"] = str(project.workdir.directory.parent)
    ran = project.workdir.octosync(
        command, "-f", "apps", *where, *yes, "-o", "github", "--write", "json=out.json", **runner
    )
    assert ran.code == 1
    (said,) = commands_in(ran.stdout)
    assert said.properties == {
        "file": f"{project.workdir.directory.name}/apps/search.yaml", "line": "4", "col": "8", "title": "octosync: unknown-field",
    }  # fmt: skip
    assert json.loads(read(project, "out.json"))["diagnostics"][0]["rule"] == "unknown-field"
    assert outputs_in(read(project, "output"))["errors"] == "1"
    assert project.log() == []


def test_usage_that_is_found_late_is_in_the_files(project: Project) -> None:
    """64: an apply that nobody can confirm says so to later steps, too."""
    project.declare()
    ran = project.workdir.octosync("apply", "-f", "apps", "--url", project.url, "--write", "json=out.json")
    assert ran.code == json.loads(read(project, "out.json"))["exit_code"] == 64


def test_what_a_guard_refuses_is_in_an_applys_files(project: Project) -> None:
    """4: the plan, the refusal, and that nothing was written."""
    project.declare()
    assert project.apply().code == 0
    project.declare(text="apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: search}\nspec: {slots: []}\n")
    project.workdir.write("octosync.yaml", "guards: {maxDeletes: 0}\n")
    ran = project.apply("-o", "json", *FILES)
    assert ran.code == 4
    document = json.loads(ran.stdout)
    assert ran.stdout == read(project, "out.json")
    assert (document["run"], document["error"]["reference"]) == (None, "guard-refused")
    assert "**Nothing was written.**" in read(project, "out.md")
    assert read(project, "out.txt").endswith("Nothing was written.\n")
    assert commands_in(read(project, "out.log"))[0].properties["title"] == "octosync: blocked by guard deletes"


def test_the_runner_is_told(project: Project, runner: dict[str, Any]) -> None:
    """Outputs have counts, the exit code and files' paths, never the plan; the summary has the Markdown, after what is there."""
    project.declare()
    project.workdir.write("summary", "before\n")
    ran = project.plan("-o", "github", "--write", "markdown=out.md", "--plan-out", "plan.json", **runner)
    assert ran.code == 0
    values = outputs_in(read(project, "output"))
    assert (values["exit-code"], values["changes"], values["create"], values["errors"]) == (
        "0",
        str(ACTIONS),
        str(ACTIONS),
        "0",
    )
    assert (values["markdown-file"], values["plan-file"]) == ("out.md", "plan.json")
    assert "chat" not in read(project, "output")
    assert read(project, "summary") == f"before\n\n{read(project, 'out.md')}"
    applied = project.apply("--write", "github=out.log", **runner)
    assert applied.code == 0
    values = outputs_in(read(project, "output"))
    assert values["done"] == str(ACTIONS)
    assert values["run"] in applied.stdout


def test_only_a_run_for_github_tells_the_runner(project: Project, runner: dict[str, Any]) -> None:
    """Where no such format is asked for, its files stay as they are."""
    project.declare()
    assert project.plan("--write", "markdown=out.md", **runner).code == 0
    assert read(project, "output") == read(project, "summary") == ""


def test_a_summary_stays_below_its_limit(project: Project, runner: dict[str, Any]) -> None:
    """GitHub drops a summary of more than 1 MiB: what is there counts, and where no room is left nothing is added."""
    project.declare()
    for before in (1024 * 1024 - 400, 1024 * 1024):
        project.workdir.write("summary", "x" * before)
        assert project.plan("-o", "github", **runner).code == 0
        assert before <= len(read(project, "summary").encode()) <= max(before, 1024 * 1024 - 1)


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        (["nope=x"], 64, "not one of text"),
        (["json"], 64, "FORMAT=FILE"),
        (["json="], 64, "does not name a file"),
        (["json=-"], 64, "-o"),
        (["json=x", "markdown=./x"], 64, "the same file"),
        (["json=no/such/folder/x"], 1, "folder no/such/folder does not exist"),
        (["json=apps"], 1, "it is a folder"),
    ],
    ids=str,
)
def test_what_can_not_be_written_is_said_first(project: Project, given: list[str], code: int, words: str) -> None:
    """Before any request, and before any file."""
    project.declare()
    before = project.workdir.files()
    ran = project.plan(*(part for destination in given for part in ("--write", destination)))
    assert (ran.code, ran.stdout) == (code, "")
    assert words in ran.stderr
    assert project.log() == []
    assert project.workdir.files() == before


def test_a_runners_file_that_can_not_be_written_is_said_first(project: Project) -> None:
    """So is a folder that GITHUB_OUTPUT names."""
    project.declare()
    outputs: dict[str, Any] = {"GITHUB_OUTPUT": str(project.workdir.directory)}
    ran = project.plan("-o", "github", **outputs)
    assert ran.code == 1
    assert "value of GITHUB_OUTPUT" in ran.stderr
    assert project.log() == []


def test_a_plan_file_is_not_overwritten_by_a_report(project: Project) -> None:
    """`--plan-out` and `--write` to one file contradict each other."""
    project.declare()
    ran = project.plan("--plan-out", "plan.json", "--write", "json=plan.json")
    assert ran.code == 64
    assert "--plan-out and --write json name the same file" in ran.stderr


def test_a_file_is_replaced_as_it_was(project: Project) -> None:
    """A link stays a link, and what it points to keeps its mode; a new file is for everybody, as other programs write one."""
    project.declare()
    target = project.workdir.write("kept.md", "old")
    target.chmod(0o640)
    (project.workdir.directory / "link.md").symlink_to(target)
    assert project.plan("--write", "markdown=link.md").code == 0
    assert (project.workdir.directory / "link.md").is_symlink()
    assert target.read_text().startswith("### octosync plan")
    assert target.stat().st_mode & 0o777 == 0o640


def test_a_stream_is_written_to(project: Project) -> None:
    """`/dev/stdout` takes a report after what is on the screen, also where that is a file: it is not replaced."""
    project.declare()
    log = project.workdir.directory / "log"
    with log.open("ab") as file:
        where = ("plan", "-f", "apps", "--url", project.url)
        assert project.workdir.run(*where, "--write", "github=/dev/stdout", stdout=file).code == 0
    said = log.read_text(encoding="utf-8")
    assert "octosync plan" in said
    assert len(commands_in(said)) == ACTIONS


def test_a_text_is_no_command_on_a_runner(workdir: Workdir) -> None:
    """Text reports quote manifests: what the runner would take for a command there is broken up, and only there."""
    manifest = BAD.replace("nme: x", "nme: '##[add-mask]x'") + "---\n::stop-commands::x\n"
    workdir.write("apps/a.yaml", manifest)
    here = workdir.octosync("validate", "-f", "apps")
    there = workdir.octosync("validate", "-f", "apps", GITHUB_ACTIONS="true")
    assert "##[add-mask]" in here.stdout
    assert commands_in(there.stdout) == []
    assert there.stdout.replace("\u200b", "") == here.stdout


def test_a_folder_of_the_repository_is_found_without_a_runner(workdir: Workdir, tmp_path: Path) -> None:
    """Outside of GitHub's runner it is Git's, else this folder, from which files are named."""
    workdir.write("apps/a.yaml", BAD)
    (said,) = commands_in(workdir.octosync("validate", "-f", str(tmp_path / "apps"), "-o", "github").stdout)
    assert said.properties["file"] == "apps/a.yaml"
