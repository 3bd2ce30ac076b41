"""`-o` and `--write`: standard output, files and the GitHub runner get the same run, for every exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.projects import ACTIONS, Project
from tests.support.workdirs import Workdir
from tests.support.workflow_commands import commands_in, outputs_in

from octosync.cli.options import FORMATS
from octosync.cli.output import RENDERERS

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
    """Create the empty files that GitHub's runner names."""
    names = {"GITHUB_OUTPUT": "output", "GITHUB_STEP_SUMMARY": "summary"}
    return {variable: str(project.workdir.write(name, "")) for variable, name in names.items()}


def read(project: Project, name: str) -> str:
    """Return the content of a file."""
    return (project.workdir.directory / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("command", ["plan", "apply"])
def test_a_file_equals_standard_output(project: Project, command: str) -> None:
    """Each format, byte for byte; the text on the terminal, and the requests, are the same as without the files."""
    project.declare()
    run = project.plan if command == "plan" else project.apply
    project.log()
    screen = run(*FILES)
    requests = project.log()
    assert (screen.code, screen.stderr) == (0, "")
    assert read(project, "out.txt") == screen.stdout
    if command == "plan":
        alone = run()
        assert (alone.stdout, project.log()) == (screen.stdout, requests)
        assert run("-o", "markdown").stdout == read(project, "out.md")
        assert run("-o", "github").stdout == read(project, "out.log")
        document = json.loads(run("-o", "json").stdout)
        assert {**document, "timestamp": ""} == {**json.loads(read(project, "out.json")), "timestamp": ""}
    assert {path.name for path in project.workdir.directory.glob(".*")} <= {".octosync"}  # no partial file is left


def test_a_failed_run_is_in_its_files(project: Project, runner: dict[str, Any]) -> None:
    """The control plane is down: the error is in every file and output, for later steps of the workflow."""
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
def test_an_invalid_manifest_is_marked_on_its_line(project: Project, command: str, runner: dict[str, Any]) -> None:
    """File, line and column are relative to the root of the repository, in the annotation on standard output."""
    project.declare(text=BAD)
    options = () if command == "validate" else ("--url", project.url)
    yes = ("--yes",) if command == "apply" else ()
    runner["GITHUB_WORKSPACE"] = str(project.workdir.directory.parent)
    ran = project.workdir.octosync(
        command, "-f", "apps", *options, *yes, "-o", "github", "--write", "json=out.json", **runner
    )
    assert ran.code == 1
    (annotation,) = commands_in(ran.stdout)
    assert annotation.properties == {
        "file": f"{project.workdir.directory.name}/apps/search.yaml", "line": "4", "col": "8", "title": "octosync: unknown-field",
    }  # fmt: skip
    assert json.loads(read(project, "out.json"))["diagnostics"][0]["rule"] == "unknown-field"
    assert outputs_in(read(project, "output"))["errors"] == "1"
    assert project.log() == []


def test_a_late_usage_error_is_in_the_files(project: Project) -> None:
    """64: an apply that can't be confirmed is in the files for later steps too."""
    project.declare()
    ran = project.workdir.octosync("apply", "-f", "apps", "--url", project.url, "--write", "json=out.json")
    assert ran.code == json.loads(read(project, "out.json"))["exit_code"] == 64


def test_a_refusal_is_in_the_files_of_an_apply(project: Project) -> None:
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


def test_the_runner_gets_outputs_and_a_summary(project: Project, runner: dict[str, Any]) -> None:
    """Outputs have counts, the exit code and paths, never the plan; the summary has the Markdown, after its earlier content."""
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


def test_only_a_run_with_a_github_format_writes_runner_files(project: Project, runner: dict[str, Any]) -> None:
    """Without such a format its files stay unchanged."""
    project.declare()
    assert project.plan("--write", "markdown=out.md", **runner).code == 0
    assert read(project, "output") == read(project, "summary") == ""


def test_a_summary_stays_below_its_limit(project: Project, runner: dict[str, Any]) -> None:
    """GitHub drops a summary of more than 1 MiB: existing content counts, and without room nothing is added."""
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
def test_an_invalid_destination_is_reported_first(project: Project, given: list[str], code: int, words: str) -> None:
    """It is reported before any request, and before any file is written."""
    project.declare()
    before = project.workdir.files()
    ran = project.plan(*(part for destination in given for part in ("--write", destination)))
    assert (ran.code, ran.stdout) == (code, "")
    assert words in ran.stderr
    assert project.log() == []
    assert project.workdir.files() == before


def test_an_invalid_runner_file_is_reported_first(project: Project) -> None:
    """GITHUB_OUTPUT must not be a folder."""
    project.declare()
    outputs: dict[str, Any] = {"GITHUB_OUTPUT": str(project.workdir.directory)}
    ran = project.plan("-o", "github", **outputs)
    assert ran.code == 1
    assert "value of GITHUB_OUTPUT" in ran.stderr
    assert project.log() == []


def test_a_plan_file_is_not_overwritten_by_a_report(project: Project) -> None:
    """`--plan-out` and `--write` must not name the same file."""
    project.declare()
    ran = project.plan("--plan-out", "plan.json", "--write", "json=plan.json")
    assert ran.code == 64
    assert "--plan-out and --write json name the same file" in ran.stderr


def test_a_replaced_file_keeps_its_link_and_mode(project: Project) -> None:
    """A link stays a link, and its target keeps its mode."""
    project.declare()
    target = project.workdir.write("kept.md", "old")
    target.chmod(0o640)
    (project.workdir.directory / "link.md").symlink_to(target)
    assert project.plan("--write", "markdown=link.md").code == 0
    assert (project.workdir.directory / "link.md").is_symlink()
    assert target.read_text().startswith("### octosync plan")
    assert target.stat().st_mode & 0o777 == 0o640


@pytest.mark.usefixtures("preloaded")
def test_a_stream_is_appended_to(project: Project) -> None:
    """`/dev/stdout` gets a report after the text, also if it is a file: it is not replaced."""
    project.declare()
    log = project.workdir.directory / "log"
    with log.open("ab") as file:
        command = ("plan", "-f", "apps", "--url", project.url)
        assert project.workdir.run(*command, "--write", "github=/dev/stdout", stdout=file).code == 0
    text = log.read_text(encoding="utf-8")
    assert "octosync plan" in text
    assert len(commands_in(text)) == ACTIONS


def test_a_text_is_no_command_on_a_runner(workdir: Workdir) -> None:
    """Text reports quote manifests: only what the runner would read as a command is broken up, and only on a runner."""
    manifest = BAD.replace("nme: x", "nme: '##[add-mask]x'") + "---\n::stop-commands::x\n"
    workdir.write("apps/a.yaml", manifest)
    locally = workdir.octosync("validate", "-f", "apps")
    on_runner = workdir.octosync("validate", "-f", "apps", GITHUB_ACTIONS="true")
    assert "##[add-mask]" in locally.stdout
    assert commands_in(on_runner.stdout) == []
    assert on_runner.stdout.replace("\u200b", "") == locally.stdout


def test_the_root_of_the_repository_is_found_without_a_runner(workdir: Workdir, tmp_path: Path) -> None:
    """Outside of GitHub's runner, files are relative to the Git work tree, or else to the working directory."""
    workdir.write("apps/a.yaml", BAD)
    (annotation,) = commands_in(workdir.octosync("validate", "-f", str(tmp_path / "apps"), "-o", "github").stdout)
    assert annotation.properties["file"] == "apps/a.yaml"


def test_every_format_has_a_renderer() -> None:
    """The command line offers the formats that can be rendered, and no others."""
    assert tuple(RENDERERS) == FORMATS
