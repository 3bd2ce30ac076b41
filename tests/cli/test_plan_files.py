"""Plan files: `plan --plan-out FILE`, a review, and `apply FILE`, which applies exactly the reviewed plan or nothing."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.embedded_planes import ok
from tests.support.projects import APP, Project
from tests.support.workdirs import CommandResult

from octosync import __version__
from octosync.errors import OctosyncError
from octosync.plan import read_approval, what_moved

Document = dict[str, Any]


def assert_refused(project: Project, ran: CommandResult, *named: str, code: int = 3) -> None:
    """Assert that an apply was assert_refused, that the error names what moved, and that nothing was written."""
    assert ran.code == code, ran.output
    for text in named:
        assert text in ran.stderr
    assert "Nothing was written." in ran.stderr
    assert project.writes() == []


@pytest.fixture
def planned(project: Project) -> Project:
    project.plane.with_slot(project.plane.with_app("search", name="Search before"))
    project.declare()
    project.save_plan()
    project.log()
    return project


def rewrite(project: Project, change: Callable[[Document], object]) -> None:
    """Change a plan file as with an editor."""
    path = project.workdir.directory / "plan.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_a_plan_file_is_applied_without_confirmation(planned: Project) -> None:
    """With the same manifests and control plane it is applied, and no terminal is needed."""
    ran = planned.apply_file()
    assert ran.code == 0
    assert len(planned.writes()) == 3
    assert planned.plan("--detailed-exitcode").code == 0


def test_outputs_beside_the_manifests_are_ignored(project: Project) -> None:
    """Plans and results that a run left below -f are no manifests: a notice names each, and the plan is the same."""
    project.declare()
    plan = project.workdir.octosync("plan", "-f", "apps", "--url", project.url)
    files = ("--plan-out", "apps/approved.json", "--write", "json=apps/plan.json", "--write", "sarif=apps/sarif.json")
    project.plan(*files)
    validated = project.workdir.octosync("validate", "-f", "apps", "-o", "json")
    project.workdir.write("apps/validated.json", validated.stdout)
    ran = project.workdir.octosync("plan", "-f", "apps", "--url", project.url)
    assert ran.code == plan.code == 0
    assert ran.output.count("notice: octosync-output: ") == 4
    assert "a plan of octosync, not a manifest" in ran.output
    assert "+ app search" in ran.output


def test_plan_suggests_how_to_apply_the_file(project: Project) -> None:
    """`--plan-out` names the command that applies the file, and that command works."""
    project.declare()
    errors = project.plan("--plan-out", "plan.json").stderr
    command = errors.partition("To apply exactly this plan:  octosync ")[2].split()
    assert command == ["apply", "plan.json", "-f", "apps", "--url", project.url]
    assert project.workdir.octosync(*command).code == 0


def test_the_suggested_command_names_unconfigured_manifests(project: Project) -> None:
    """The suggested command also applies a plan of manifests other than the configured ones."""
    project.declare()
    project.workdir.write("octosync.yaml", "paths: [teams/]\n")
    errors = project.plan("--plan-out", "plan.json").stderr
    command = errors.partition("To apply exactly this plan:  octosync ")[2].split()
    assert command[:3] == ["apply", "plan.json", "-f"]
    assert project.workdir.octosync(*command).code == 0


def test_the_file_is_readable_only_by_its_owner(planned: Project) -> None:
    """0600, also over a file that was readable by others; no partial file is left if it can't be written."""
    path = planned.workdir.directory / "plan.json"
    path.chmod(0o644)
    planned.save_plan()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    ran = planned.plan("--plan-out", "nowhere/plan.json")
    assert ran.code == 1
    assert "nowhere/plan.json" in ran.stderr
    assert not list(planned.workdir.directory.glob(".plan*"))


def test_changed_manifests_are_not_applied(planned: Project) -> None:
    """3: an object is declared with another value than the plan has; this is named, before and after, and nothing else."""
    planned.declare(name="Search after")
    ran = planned.apply_file()
    assert_refused(planned, ran, "  update app/search: after name: Search → Search after\n  Plan again")


def test_a_changed_control_plane_is_not_written_over(planned: Project) -> None:
    """3: the live object changed since the plan."""
    ok(planned.plane.api.patch("/apps/search", json={"name": "By hand"}))
    planned.log()
    assert_refused(planned, planned.apply_file(), "update app/search: before name: Search before → By hand")


def test_an_undeclared_live_field_counts_too(planned: Project) -> None:
    """3: the PUT carries over an undeclared live field, so the approval covers it."""
    planned.declare("second", text=APP.format(slug="second", name="Second").replace("local_first", "cloud_only"))
    planned.plane.with_slot(planned.plane.with_app("second"))
    planned.save_plan()
    planned.plane.with_slot("/apps/second", preferred_engines=["mlx"])
    planned.log()
    assert_refused(planned, planned.apply_file(), "app/second/slot/chat", "preferred_engines")


def test_an_unrelated_change_is_no_obstacle(planned: Project) -> None:
    """Objects that are not in the plan may change."""
    planned.plane.with_slot(planned.plane.with_app("elsewhere"))
    assert planned.apply_file().code == 0


def test_changes_of_other_apps_are_not_applied(planned: Project) -> None:
    """An app that is not in the plan file is named and left as it is, also if its changes need an override."""
    for number in range(11):
        planned.plane.with_slot(planned.plane.with_app(f"extra-{number}"))
        head = f"apiVersion: octosync.dev/v1\nkind: App\nmetadata: {{name: extra-{number}}}\n"
        planned.declare(f"extra-{number}", text=f"{head}spec: {{slots: []}}\n")
    planned.log()
    ran = planned.apply_file()
    assert ran.code == 0, ran.output
    assert "Not in the plan file, left alone: extra-0, extra-1, extra-10," in ran.stdout
    assert len(planned.writes()) == 3
    assert planned.apply().code == 4


def test_a_guard_judges_the_whole_plan(project: Project) -> None:
    """4: removing the rows of an app from a file does not bring a blocked plan below the limit of a guard."""
    for slug in ("one", "two"):
        path = project.plane.with_app(slug)
        for capability in ("chat", "vision", "tts", "embedding", "transcription", "translation"):
            project.plane.with_slot(path, capability)
        head = f"apiVersion: octosync.dev/v1\nkind: App\nmetadata: {{name: {slug}}}\n"
        project.declare(slug, text=f"{head}spec: {{slots: []}}\n")
    assert project.plan("--plan-out", "plan.json").code == 4
    rewrite(
        project,
        lambda plan: plan.update(
            blocked=[], resource_changes=[row for row in plan["resource_changes"] if row["app"] == "one"]
        ),
    )
    project.log()
    ran = project.apply_file()
    assert_refused(project, ran, code=4)
    assert "Blocked (deletes): apply writes nothing." in ran.stdout


def test_an_action_that_is_already_done_is_not_repeated(planned: Project) -> None:
    """3: an approved action that is no longer needed is named."""
    assert planned.apply_file().code == 0
    planned.log()
    assert_refused(planned, planned.apply_file(), "approved, and no longer planned")


def test_a_comment_or_another_file_name_changes_nothing(planned: Project) -> None:
    """The digest covers what is declared: a comment is no change."""
    path = planned.workdir.directory / "apps/search.yaml"
    path.write_text(f"# why not\n{path.read_text()}")
    path.rename(path.with_name("renamed.yaml"))
    assert planned.apply_file().code == 0


def test_another_control_plane_is_refused(planned: Project) -> None:
    """3: a plan for one control plane is not valid for another, even on the same host with another port."""
    rewrite(planned, lambda plan: plan["control_plane"].update(url="https://api.octomil.com/api/v1"))
    assert_refused(planned, planned.apply_file(), "control plane: https://api.octomil.com/api/v1 → ")


def test_another_org_is_refused(planned: Project) -> None:
    """3: the same control plane with another org is assert_refused."""
    rewrite(planned, lambda plan: plan["control_plane"].update(org_id="77ab"))
    assert_refused(planned, planned.apply_file(), "org: 77ab → ")


def drop_row(plan: Document) -> None:
    plan["resource_changes"].pop()


def add_row(plan: Document) -> None:
    row = json.loads(json.dumps(plan["resource_changes"][0]))
    row["address"] = "app/other"
    plan["resource_changes"].append(row)


def change_value(plan: Document) -> None:
    plan["resource_changes"][0]["change"]["after"]["name"] = "Mine"


def change_fingerprint(plan: Document) -> None:
    plan["fingerprints"]["app/search"] = "sha256:" + "0" * 64


def change_operation(plan: Document) -> None:
    plan["resource_changes"][0]["operation"]["path"] = "/apps/other"


@pytest.mark.parametrize("tamper", [drop_row, add_row, change_value, change_fingerprint, change_operation])
def test_a_tampered_file_is_refused(planned: Project, tamper: Callable[[Document], None]) -> None:
    """3: removed, added or changed rows are named, and nothing is written."""
    rewrite(planned, tamper)
    assert_refused(planned, planned.apply_file(), "error: plan-outdated")


def test_a_file_cannot_choose_manifests(planned: Project) -> None:
    """3: paths come from -f or octosync.yaml. A file with other paths is assert_refused, with the command for them."""
    planned.workdir.write("evil/a.yaml", "apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: evil-app}\n")
    rewrite(planned, lambda plan: plan["invocation"].update(paths=["evil"]))
    for paths in ((), ("apps",)):
        ran = planned.apply_file("--yes", paths=paths)
        assert_refused(planned, ran, "planned with -f evil", f"octosync apply plan.json -f evil --url {planned.url}")
    planned.workdir.write("octosync.yaml", "paths: [teams/]\n")
    planned.workdir.write("teams/a.yaml", "apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: a}\n")
    planned.save_plan()
    planned.log()
    assert_refused(
        planned, planned.apply_file(paths=()), "with -f apps; this command and octosync.yaml select -f teams"
    )
    assert planned.apply_file(paths=("apps/", str(planned.workdir.directory / "apps"))).code == 0


def test_paths_of_octosync_yaml_need_not_be_typed(planned: Project) -> None:
    """The same octosync.yaml names the same manifests for the plan and for its apply."""
    planned.workdir.write("octosync.yaml", "paths: [apps]\n")
    options = ("--url", planned.url)
    errors = planned.workdir.octosync("plan", *options, "--plan-out", "plan.json").stderr
    command = errors.partition("To apply exactly this plan:  octosync ")[2].split()
    assert command == ["apply", "plan.json", *options]
    assert planned.workdir.octosync(*command).code == 0


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (("--app", "search"), "-f apps --app search"),
        (("-l", "a=b"), "-f apps -l a=b"),
        (("--optimize", "never"), "-f apps --optimize never"),
        (("--no-preview",), "-f apps --no-preview"),
    ],
)
def test_another_selection_is_refused(planned: Project, given: tuple[str, ...], named: str) -> None:
    """3: a plan with a flag is applied with the flag, and not without it; and vice versa."""
    text = APP.format(slug="search", name="Search").replace("{name: search}", "{name: search, labels: {a: b}}")
    planned.declare(text=text)
    planned.save_plan()
    planned.log()
    message = f"planned with -f apps; this command and octosync.yaml select {named}\n"
    assert_refused(planned, planned.apply_file(*given), message)
    planned.save_plan(*given)
    planned.log()
    assert_refused(
        planned, planned.apply_file(), f"planned with {named}; this", f"octosync apply plan.json {named} --url"
    )
    assert planned.apply_file(*given).code == 0


def test_an_invalid_value_is_refused_at_any_path(planned: Project) -> None:
    """With any value replaced by another, the result is an error of octosync, never a traceback, and never a write."""
    saved = json.loads((planned.workdir.directory / "plan.json").read_text())
    current, deep = json.loads(json.dumps(saved)), json.loads("[" * 400 + "]" * 400)
    for path in list(paths_of(saved)):
        for replacement in (None, True, -1, 1e308, "zzz", "\ud800", [], ["zzz"], {}, {"": [None]}, deep):
            changed = json.loads(json.dumps(saved))
            *above, last = path
            place = changed
            for key in above:
                place = place[key]
            place[last] = replacement
            try:
                approval = read_approval(json.dumps(changed), file="plan.json", octosync_version=__version__)
                "\n".join(what_moved(approval, current))
            except OctosyncError:
                continue  # rejected


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value in a document, inner values included."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from paths_of(item, (*path, key))


def test_another_version_is_refused(planned: Project) -> None:
    """3: the same document may mean other actions for another octosync."""
    rewrite(planned, lambda plan: plan.update(octosync_version="9.9.9"))
    assert_refused(planned, planned.apply_file(), "made by octosync 9.9.9")
    rewrite(planned, lambda plan: plan.update(format_version="2.0"))
    assert_refused(planned, planned.apply_file(), "a plan of format 2.0")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "empty or cut off"),
        (b'{"format_version": "1.0", ', "cut off"),
        (b"[]", "not a JSON object"),
        (b"{}", "format_version"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b"kind: App\n", "not JSON"),
    ],
)
def test_a_file_that_is_not_a_plan_is_refused(planned: Project, content: bytes, named: str) -> None:
    """1: a truncated or unrelated file is assert_refused before any request."""
    planned.workdir.write("plan.json", content)
    assert_refused(planned, planned.apply_file(), "plan.json", named, code=1)
    assert planned.log() == []


def test_a_truncated_file_is_refused(planned: Project) -> None:
    """1: half of a plan approves nothing."""
    path = planned.workdir.directory / "plan.json"
    path.write_bytes(path.read_bytes()[:-40])
    assert_refused(planned, planned.apply_file(), "cut off", code=1)


def test_an_errored_plan_approves_nothing(planned: Project) -> None:
    """1: a plan with an unreadable app is written, is marked as not applicable, and can't be applied."""
    planned.declare("notes", name="Notes")
    planned.break_with({"operation": "apps.list_slots", "action": "garbage", "times": None})
    ran = planned.plan("--plan-out", "plan.json")
    assert ran.code == 1
    assert "can't be applied" in ran.stderr
    planned.break_with()
    assert_refused(planned, planned.apply_file(), "could not be read", code=1)


def test_guards_are_never_loosened_by_a_file(project: Project) -> None:
    """4: a plan with `--allow-protected` needs the flag again; the overrides in the file have no effect."""
    project.plane.with_slot(project.plane.with_app("search"))
    annotated = "metadata: {name: search, annotations: {octosync.dev/protect: 'true'}}"
    project.declare(text=f"apiVersion: octosync.dev/v1\nkind: App\n{annotated}\nspec: {{slots: []}}\n")
    errors = project.plan("--plan-out", "plan.json", "--allow-protected").stderr
    project.log()
    assert errors.rstrip().endswith("--allow-protected")
    ran = project.apply_file()
    assert ran.code == 4
    assert project.writes() == []
    assert project.apply_file("--allow-protected").code == 0


def test_a_missing_file_is_one_clear_error(project: Project) -> None:
    """1: the error names the file, and the option that writes one."""
    ran = project.apply_file()
    assert ran.code == 1
    assert "plan.json" in ran.stderr
    assert "--plan-out" in ran.stderr


def test_a_plan_of_standard_input_reads_it_again(project: Project) -> None:
    """`-f -` is read from standard input again, and must be the same."""
    text = APP.format(slug="search", name="Search").encode()
    options = ("--url", project.url)
    assert project.workdir.octosync("plan", "-f", "-", *options, "--plan-out", "plan.json", stdin=text).code == 0
    changed = project.apply_file(paths=("-",), stdin=text.replace(b"name: Search", b"name: Other"))
    assert changed.code == 3
    assert project.apply_file(paths=("-",), stdin=text).code == 0


def test_a_partial_run_names_the_command_that_continues(planned: Project) -> None:
    """5: the plan file would be assert_refused then, so the command applies the manifests."""
    planned.break_with({"operation": "apps.create_target", "action": "status", "status": 422, "message": "no"})
    ran = planned.apply_file()
    assert ran.code == 5
    assert f"To continue: octosync apply -f apps --url {planned.url}" in ran.stdout


def test_the_file_may_be_anywhere(project: Project, tmp_path: Path) -> None:
    """The file may be in any folder, and is given by any path."""
    project.declare()
    elsewhere = tmp_path / "artifacts"
    elsewhere.mkdir()
    assert project.plan("--plan-out", elsewhere / "p.json").code == 0
    assert project.apply_file(file=str(elsewhere / "p.json")).code == 0


def test_a_link_is_kept(project: Project) -> None:
    """`--plan-out` through a symbolic link writes its target, and the link stays."""
    project.declare()
    link = project.workdir.directory / "latest.json"
    link.symlink_to("plans.json")
    assert project.plan("--plan-out", "latest.json").code == 0
    assert link.is_symlink()
    assert json.loads((project.workdir.directory / "plans.json").read_text())["errored"] is False


def test_a_pipe_is_written_to_and_not_replaced(project: Project) -> None:
    """`--plan-out` writes the plan to a pipe or a device and does not replace it."""
    project.declare()
    pipe = project.workdir.directory / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        ran = project.plan("--plan-out", "pipe")
        written = os.read(reader, 1 << 20)
    finally:
        os.close(reader)
    assert ran.code == 0
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert json.loads(written)["errored"] is False


@pytest.mark.parametrize("named", ["apps", "apps/search.yaml"])
def test_manifests_in_place_of_a_plan_file_are_recognised(project: Project, named: str) -> None:
    """For `octosync apply apps/` the error has the flag for manifests, not that a plan file can't be read."""
    project.declare()
    ran = project.apply_file(file=named)
    assert_refused(project, ran, "not-a-plan-file", f"octosync apply -f {named}", code=1)
