"""Exit codes: every one in the table of the documentation."""

from __future__ import annotations

import json

import pytest
from tests.support.projects import ACTIONS, Project
from tests.support.workdirs import Workdir

from octosync.errors import ExitCode, worst

PROTECTED = """\
apiVersion: octosync.dev/v1
kind: App
metadata: {name: search, annotations: {octosync.dev/protect: "true"}}
spec: {slots: []}
"""


def test_a_plan_ends_with_zero_with_changes_and_without(project: Project) -> None:
    """0: done; a plan without an error, with changes or not."""
    project.declare()
    assert project.plan().code == 0
    assert project.apply().code == 0
    assert project.plan().code == 0


def test_detailed_exitcode_distinguishes_changes(project: Project) -> None:
    """2: with --detailed-exitcode there are changes, and 0 means that there are none."""
    project.declare()
    assert project.plan("--detailed-exitcode").code == 2
    assert project.plan(OCTOSYNC_DETAILED_EXITCODE="1").code == 2
    project.apply()
    assert project.plan("--detailed-exitcode").code == 0


def test_invalid_manifests_are_one(project: Project) -> None:
    """1: invalid manifests, in all three commands, and nothing is sent."""
    project.declare(text="apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: search, nmae: x}\n")
    assert project.plan().code == project.apply().code == 1
    assert project.workdir.octosync("validate", "-f", "apps").code == 1
    assert project.log() == []


def test_one_unreadable_app_is_one_and_nothing_is_applied(project: Project) -> None:
    """1: one app can't be read: the plan is errored and shows the others, and apply writes nothing."""
    project.declare("notes", name="Notes")
    project.declare("search")
    project.break_with({"operation": "apps.get", "slug": "notes", "action": "garbage", "times": None})
    planned = project.plan("-o", "json")
    assert planned.code == 1
    document = json.loads(planned.stdout)
    assert document["errored"] is True
    assert {row["app"] for row in document["resource_changes"]} == {"search"}
    assert project.apply().code == 1
    assert project.writes() == []


def test_a_guards_refusal_is_four(project: Project) -> None:
    """4: a guard refuses: plan shows everything, apply writes nothing; its flag lifts it."""
    project.plane.with_slot(project.plane.with_app("search"))
    project.declare(text=PROTECTED)
    project.log()
    planned = project.plan()
    assert planned.code == 4
    assert "- slot chat" in planned.stdout
    assert project.apply().code == 4
    assert project.writes() == []
    assert project.plan("--allow-protected").code == 0
    assert project.apply("--allow-protected").code == 0


def test_a_partial_apply_is_five(project: Project) -> None:
    """5: some actions failed: the others are done, and another apply does the rest."""
    project.declare()
    project.break_with({"operation": "apps.put_slot", "action": "status", "status": 422, "message": "no"})
    applied = project.apply("-o", "json")
    assert applied.code == 5
    document = json.loads(applied.stdout)
    assert document["exit_code"] == 5
    assert {row["status"] for row in document["outcomes"]} >= {"done", "failed"}
    assert project.apply().code == 0


def test_an_uncovered_rollout_is_six(project: Project) -> None:
    """6: apply --wait wrote everything, and a deployment failed; without --wait it is not read."""
    project.declare(
        text="apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: search}\nspec:\n"
        "  targets: [{platform: ios, identifier: com.example.demo}]\n"
        "  slots: [{capability: chat, deploy: {environments: [production]}}]\n"
    )
    project.plane.with_devices(10)
    fault = {"operation": "apps.deployments", "action": "set_answer_field", "times": None}
    project.break_with({**fault, "field": "deployments.status", "value": "failed"})
    waited = project.apply("--wait", "-o", "json")
    assert waited.code == json.loads(waited.stdout)["exit_code"] == 6
    assert project.apply().code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan"],
        ["plan", "--nope"],
        ["nope"],
        ["plan", "-f", "apps", "--rate", "-1"],
        ["plan", "-f", "apps", "-o", "xml"],
        ["plan", "-f", "apps", "--url", "http://127.0.0.1:1", "--context", "x"],
        ["plan", "-f", "apps", "--context", "x"],
        ["plan", "-f", "apps", "--url", "http://127.0.0.1:1", "--app", "nope"],
        ["plan", "-f", "apps", "--url", "http://127.0.0.1:1", "-l", "team"],
        ["plan", "-f", "apps", "--url", "http://127.0.0.1:1", "--env", "API_TOKEN"],
        ["plan", "-f", "apps", "--allow-deletes", "some"],
        ["apply", "-f", "apps", "--url", "http://127.0.0.1:1"],
        ["apply", "-f", "apps", "--url", "http://127.0.0.1:1", "--yes", "--wait=soon"],
    ],
    ids=" ".join,
)
def test_usage_is_sixty_four(workdir: Workdir, arguments: list[str]) -> None:
    """64: a usage error is on stderr in octosync's own form, with what to do, before anything is sent."""
    workdir.write("apps/search.yaml", "apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: search}\n")
    ran = workdir.octosync(*arguments)
    assert ran.code == 64
    assert ran.stdout == ""
    first, *rest = ran.stderr.splitlines()
    assert first.startswith("error: ")
    assert len(rest) >= 1
    assert ("  Nothing was written." in rest) == (arguments[0] == "apply")  # a plan writes nothing anyway


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["plan", "--app"], "octosync plan"),
        (["plan", "--no-preview=1"], "octosync plan"),
        (["plan", "--nope"], "octosync plan"),
        (["forge", "comment", "--since"], "octosync forge comment"),
        (["--version=1"], "octosync"),
    ],
)
def test_a_usage_error_names_the_help_of_its_command(workdir: Workdir, arguments: list[str], command: str) -> None:
    """The hint is the help of the subcommand, also if the value of an option is missing or not expected."""
    assert f"  Run '{command} --help' for usage.\n" in workdir.octosync(*arguments).stderr


def test_no_arguments_show_the_help(workdir: Workdir) -> None:
    """64: without a command the help is shown, on stderr."""
    ran = workdir.octosync()
    assert ran.code == 64
    assert "Usage: octosync" in ran.stderr


def test_no_terminal_and_no_yes_is_usage(project: Project) -> None:
    """64: apply needs a confirmation or --yes; without a terminal the error names --yes."""
    project.declare()
    ran = project.workdir.octosync("apply", "-f", "apps", "--url", project.url)
    assert ran.code == 64
    assert "--yes" in ran.stderr
    assert project.log() == []


def test_ci_never_prompts(project: Project) -> None:
    """64: `CI=true` never prompts, terminal or not."""
    project.declare()
    ran = project.workdir.octosync("apply", "-f", "apps", "--url", project.url, terminal=True, CI="true")
    assert ran.code == 64
    assert project.log() == []


def test_an_unavailable_control_plane_is_seventy_five(project: Project) -> None:
    """75: the control plane is unavailable, nothing was written: try again."""
    project.declare()
    project.break_with({"operation": "*", "action": "status", "status": 501, "times": None})
    assert project.plan().code == 75
    assert project.apply().code == 75


WRITES = ("apps.create", "apps.put_slot", "apps.create_target", "apps.put_inference_config")


@pytest.mark.parametrize(
    ("fault", "code"),
    [({"status": 501}, 75), ({"status": 401, "code": "invalid_api_key"}, 1), ({"status": 403}, 5)],
    ids=["unavailable", "refused", "forbidden"],
)
def test_a_run_whose_first_write_fails(project: Project, fault: dict[str, object], code: int) -> None:
    """75 if the control plane became unavailable before the first write, 1 if the key is refused, otherwise 5."""
    project.declare()
    project.break_with(*({"operation": name, "action": "status", "times": None, **fault} for name in WRITES))
    ran = project.apply()
    assert ran.code == code
    assert ran.stdout.rstrip().endswith(f"exit {code}")
    assert project.plan("--detailed-exitcode").code == 2


@pytest.mark.parametrize(
    ("codes", "wins"),
    [
        ({64, 75, 1, 3, 4, 5, 6, 2, 0}, 64),
        ({75, 1, 3, 4, 5, 6, 2, 0}, 75),
        ({1, 3, 4, 5, 6, 2, 0}, 1),
        ({3, 4, 5, 6, 2, 0}, 3),
        ({4, 5, 6, 2, 0}, 4),
        ({5, 6, 2, 0}, 5),
        ({6, 2, 0}, 6),
        ({2, 0}, 2),
        ({0}, 0),
    ],
)
def test_the_gravest_of_several_codes_wins(codes: set[int], wins: int) -> None:
    """The precedence is 64, 75, 1, 3, 4, 5, 6, 2, 0."""
    assert worst(*(ExitCode(code) for code in codes)) == wins


def test_an_error_outranks_a_guard_and_a_guard_outranks_changes(project: Project) -> None:
    """The precedence on one command line: 1 over 4, and 4 over 2."""
    project.plane.with_slot(project.plane.with_app("search"))
    project.declare(text=PROTECTED)
    project.declare("notes", name="Notes")
    assert project.plan("--detailed-exitcode").code == 4
    project.break_with({"operation": "apps.get", "slug": "notes", "action": "garbage", "times": None})
    assert project.plan("--detailed-exitcode").code == 1


def test_the_report_counts_applied_changes(project: Project) -> None:
    """0: the last lines have the number of changes, the run and the command that shows it."""
    project.declare()
    ran = project.apply()
    assert f"✓ {ACTIONS} applied" in ran.stdout
    assert ran.stdout.rstrip().endswith(" (octosync history last)")


@pytest.mark.parametrize(
    "arguments",
    [["explain", "nope"], ["history", "--nope"], ["schema", "nope"], ["status", "--file", "apps"]],
    ids=" ".join,
)
def test_an_error_of_a_command_that_only_reads_does_not_state_what_was_written(
    workdir: Workdir, arguments: list[str]
) -> None:
    """A command that can't write ends its error with what to do next."""
    ran = workdir.octosync(*arguments)
    assert ran.code == 64
    assert ran.stderr.startswith("error: ")
    assert "octosync" in ran.stderr.splitlines()[-1]
    assert "written" not in ran.stderr
