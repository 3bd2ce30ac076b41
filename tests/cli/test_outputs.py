"""`-o` and `--write`: standard output, files and the GitHub runner get the same run, however it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.desks import ACTIONS, Office
from tests.support.invoking import Desk
from tests.support.runner import commands_in, outputs_in

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
def runner(office: Office) -> dict[str, Any]:
    """Make the files that GitHub's runner names, which are there and empty."""
    names = {"GITHUB_OUTPUT": "output", "GITHUB_STEP_SUMMARY": "summary"}
    return {variable: str(office.desk.write(name, "")) for variable, name in names.items()}


def read(office: Office, name: str) -> str:
    """Return what is in a file."""
    return (office.desk.directory / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("command", ["plan", "apply"])
def test_a_file_has_what_standard_output_would_have(office: Office, command: str) -> None:
    """Of each format, byte for byte; and the text on the screen is as it is without the files, whose requests it shares."""
    office.declare()
    run = office.plan if command == "plan" else office.apply
    office.log()
    screen = run(*FILES)
    asked = office.log()
    assert (screen.code, screen.stderr) == (0, "")
    assert read(office, "out.txt") == screen.stdout
    if command == "plan":
        alone = run()
        assert (alone.stdout, office.log()) == (screen.stdout, asked)
        assert run("-o", "markdown").stdout == read(office, "out.md")
        assert run("-o", "github").stdout == read(office, "out.log")
        other = json.loads(run("-o", "json").stdout)
        assert {**other, "timestamp": ""} == {**json.loads(read(office, "out.json")), "timestamp": ""}
    assert {path.name for path in office.desk.directory.glob(".*")} <= {".octosync"}  # no half file is left


def test_a_run_that_fails_says_so_in_its_files(office: Office, runner: dict[str, Any]) -> None:
    """The control plane is down: the error is in every file and output, for a workflow's later steps."""
    office.declare()
    office.break_with(DOWN)
    ran = office.plan(*FILES, **runner)
    assert (ran.code, ran.stdout) == (75, "")
    document = json.loads(read(office, "out.json"))
    assert (document["format_version"], document["errored"], document["exit_code"]) == ("1.0", True, 75)
    assert document["errors"][0]["reference"] == "unavailable"
    assert "unavailable: the control plane failed" in read(office, "out.md")
    assert read(office, "out.txt") == ran.stderr
    assert commands_in(read(office, "out.log"))[0].name == "error"
    assert outputs_in(read(office, "output"))["exit-code"] == "75"
    assert read(office, "summary") == read(office, "out.md")


@pytest.mark.parametrize("command", ["validate", "plan", "apply"])
def test_a_bad_manifest_is_marked_on_its_line(office: Office, command: str, runner: dict[str, Any]) -> None:
    """File, line and column, from the repository's root; on standard output, with text about it on standard error or in files."""
    office.declare(text=BAD)
    where = () if command == "validate" else ("--url", office.url)
    yes = ("--yes",) if command == "apply" else ()
    runner["GITHUB_WORKSPACE"] = str(office.desk.directory.parent)
    ran = office.desk.octosync(
        command, "-f", "apps", *where, *yes, "-o", "github", "--write", "json=out.json", **runner
    )
    assert ran.code == 1
    (said,) = commands_in(ran.stdout)
    assert said.properties == {
        "file": f"{office.desk.directory.name}/apps/search.yaml", "line": "4", "col": "8", "title": "octosync: unknown-field",
    }  # fmt: skip
    assert json.loads(read(office, "out.json"))["diagnostics"][0]["rule"] == "unknown-field"
    assert outputs_in(read(office, "output"))["errors"] == "1"
    assert office.log() == []


def test_usage_that_is_found_late_is_in_the_files(office: Office) -> None:
    """64: an apply that nobody can confirm says so to later steps, too."""
    office.declare()
    ran = office.desk.octosync("apply", "-f", "apps", "--url", office.url, "--write", "json=out.json")
    assert ran.code == json.loads(read(office, "out.json"))["exit_code"] == 64


def test_what_a_guard_refuses_is_in_an_applys_files(office: Office) -> None:
    """4: the plan, the refusal, and that nothing was written."""
    office.declare()
    assert office.apply().code == 0
    office.declare(text="apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: search}\nspec: {slots: []}\n")
    office.desk.write("octosync.yaml", "guards: {maxDeletes: 0}\n")
    ran = office.apply("-o", "json", *FILES)
    assert ran.code == 4
    document = json.loads(ran.stdout)
    assert ran.stdout == read(office, "out.json")
    assert (document["run"], document["error"]["reference"]) == (None, "guard-refused")
    assert "**Nothing was written.**" in read(office, "out.md")
    assert read(office, "out.txt").endswith("Nothing was written.\n")
    assert commands_in(read(office, "out.log"))[0].properties["title"] == "octosync: blocked by guard deletes"


def test_the_runner_is_told(office: Office, runner: dict[str, Any]) -> None:
    """Outputs have counts, the exit code and files' paths, never the plan; the summary has the Markdown, after what is there."""
    office.declare()
    office.desk.write("summary", "before\n")
    ran = office.plan("-o", "github", "--write", "markdown=out.md", "--plan-out", "plan.json", **runner)
    assert ran.code == 0
    values = outputs_in(read(office, "output"))
    assert (values["exit-code"], values["changes"], values["create"], values["errors"]) == (
        "0",
        str(ACTIONS),
        str(ACTIONS),
        "0",
    )
    assert (values["markdown-file"], values["plan-file"]) == ("out.md", "plan.json")
    assert "chat" not in read(office, "output")
    assert read(office, "summary") == f"before\n\n{read(office, 'out.md')}"
    applied = office.apply("--write", "github=out.log", **runner)
    assert applied.code == 0
    values = outputs_in(read(office, "output"))
    assert values["done"] == str(ACTIONS)
    assert values["run"] in applied.stdout


def test_only_a_run_for_github_tells_the_runner(office: Office, runner: dict[str, Any]) -> None:
    """Where no such format is asked for, its files stay as they are."""
    office.declare()
    assert office.plan("--write", "markdown=out.md", **runner).code == 0
    assert read(office, "output") == read(office, "summary") == ""


def test_a_summary_stays_below_its_limit(office: Office, runner: dict[str, Any]) -> None:
    """GitHub drops a summary of more than 1 MiB: what is there counts, and where no room is left nothing is added."""
    office.declare()
    for before in (1024 * 1024 - 400, 1024 * 1024):
        office.desk.write("summary", "x" * before)
        assert office.plan("-o", "github", **runner).code == 0
        assert before <= len(read(office, "summary").encode()) <= max(before, 1024 * 1024 - 1)


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
def test_what_can_not_be_written_is_said_first(office: Office, given: list[str], code: int, words: str) -> None:
    """Before any request, and before any file."""
    office.declare()
    before = office.desk.files()
    ran = office.plan(*(part for destination in given for part in ("--write", destination)))
    assert (ran.code, ran.stdout) == (code, "")
    assert words in ran.stderr
    assert office.log() == []
    assert office.desk.files() == before


def test_a_runners_file_that_can_not_be_written_is_said_first(office: Office) -> None:
    """So is a folder that GITHUB_OUTPUT names."""
    office.declare()
    outputs: dict[str, Any] = {"GITHUB_OUTPUT": str(office.desk.directory)}
    ran = office.plan("-o", "github", **outputs)
    assert ran.code == 1
    assert "value of GITHUB_OUTPUT" in ran.stderr
    assert office.log() == []


def test_a_plan_file_is_not_overwritten_by_a_report(office: Office) -> None:
    """`--plan-out` and `--write` to one file contradict each other."""
    office.declare()
    ran = office.plan("--plan-out", "plan.json", "--write", "json=plan.json")
    assert ran.code == 64
    assert "--plan-out and --write json name the same file" in ran.stderr


def test_a_file_is_replaced_as_it_was(office: Office) -> None:
    """A link stays a link, and what it points to keeps its mode; a new file is for everybody, as other programs write one."""
    office.declare()
    target = office.desk.write("kept.md", "old")
    target.chmod(0o640)
    (office.desk.directory / "link.md").symlink_to(target)
    assert office.plan("--write", "markdown=link.md").code == 0
    assert (office.desk.directory / "link.md").is_symlink()
    assert target.read_text().startswith("### octosync plan")
    assert target.stat().st_mode & 0o777 == 0o640


def test_a_stream_is_written_to(office: Office) -> None:
    """`/dev/stdout` takes a report after what is on the screen, also where that is a file: it is not replaced."""
    office.declare()
    log = office.desk.directory / "log"
    with log.open("ab") as file:
        where = ("plan", "-f", "apps", "--url", office.url)
        assert office.desk.run(*where, "--write", "github=/dev/stdout", stdout=file).code == 0
    said = log.read_text(encoding="utf-8")
    assert "octosync plan" in said
    assert len(commands_in(said)) == ACTIONS


def test_a_text_is_no_command_on_a_runner(desk: Desk) -> None:
    """Text reports quote manifests: what the runner would take for a command there is broken up, and only there."""
    manifest = BAD.replace("nme: x", "nme: '##[add-mask]x'") + "---\n::stop-commands::x\n"
    desk.write("apps/a.yaml", manifest)
    here = desk.octosync("validate", "-f", "apps")
    there = desk.octosync("validate", "-f", "apps", GITHUB_ACTIONS="true")
    assert "##[add-mask]" in here.stdout
    assert commands_in(there.stdout) == []
    assert there.stdout.replace("\u200b", "") == here.stdout


def test_a_folder_of_the_repository_is_found_without_a_runner(desk: Desk, tmp_path: Path) -> None:
    """Outside of GitHub's runner it is Git's, else this folder, from which files are named."""
    desk.write("apps/a.yaml", BAD)
    (said,) = commands_in(desk.octosync("validate", "-f", str(tmp_path / "apps"), "-o", "github").stdout)
    assert said.properties["file"] == "apps/a.yaml"
