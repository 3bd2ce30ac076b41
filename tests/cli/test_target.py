"""`--target`: plan and apply single objects, by the addresses that plans print."""

from __future__ import annotations

import json

import pytest
from tests.support.projects import Project
from tests.support.workdirs import Workdir

SLOT = "app/search/slot/chat"


@pytest.fixture
def two(project: Project) -> Project:
    """Declare two apps of which one is applied and then changed everywhere."""
    project.declare("search")
    project.declare("notes", name="Notes")
    assert project.apply("--app", "search").code == 0
    text = (project.workdir.directory / "apps/search.yaml").read_text()
    project.workdir.write(
        "apps/search.yaml",
        text.replace("name: Search", "name: Finder").replace("local_first", "local_only").replace("ios", "android"),
    )
    project.log()
    return project


def test_only_the_object_is_read_and_written(two: Project) -> None:
    """A plan reads the app and the section of the object. Its apply writes the object alone, the rest is still planned."""
    planned = two.plan("--target", SLOT)
    assert planned.code == 0
    log = two.log()
    assert [line for line in log if "/apps" in line] == [
        "GET /apps/search",
        "GET /apps/search/slots",
        "GET /apps/search/deployments",  # for the guard during-canary
    ]
    assert "Plan: 1 to update.\n" in planned.stdout
    assert f"warning: partial-plan: this plan is partial: only {SLOT}" in planned.stdout
    applied = two.apply("--target", SLOT)
    assert (applied.code, two.writes()) == (0, ["PUT /apps/search/slots/chat"])
    assert "Plan: 5 to create, 1 to update, 1 to delete." in two.plan().stdout


def test_what_the_object_needs_is_included(two: Project) -> None:
    """A slot of an app that doesn't exist is created with its app."""
    assert two.apply("--target", "app/notes/slot/chat").code == 0
    assert two.writes() == ["POST /apps", "PUT /apps/notes/slots/chat"]


def test_a_removal_is_selected_by_its_address(two: Project) -> None:
    """An object that the manifests no longer declare, in a list that they own, can be selected."""
    assert two.apply("--target", "app/search/target/ios:com.acme.search").code == 0
    (write,) = two.writes()
    assert write.startswith("DELETE /apps/search/targets/")


def test_a_refused_half_of_a_move_names_the_app_to_select(project: Project) -> None:
    """Without a base, the holder of a target is known only from the refusal. It names the app that must be selected too."""
    project.declare("search")
    assert project.apply().code == 0
    declared = (project.workdir.directory / "apps/search.yaml").read_text()
    project.workdir.write("apps/search.yaml", declared.replace("ios", "android"))
    project.workdir.write(
        "apps/notes.yaml", declared.replace("name: search", "name: notes").replace("name: Search", "name: Notes")
    )
    target = "app/notes/target/ios:com.acme.search"
    refused = project.apply("--target", target)
    assert refused.code == 5
    assert "A run of selected apps or objects must select `search` too." in refused.stdout
    moved = project.apply("--target", target, "--target", "app/search/target/ios:com.acme.search")
    assert moved.code == 0, moved.output


def test_several_objects_are_planned_together(two: Project) -> None:
    """--target is repeatable; every object is planned once."""
    ran = two.plan("--target", SLOT, "--target", "app/search", "--target", SLOT, "-o", "json")
    document = json.loads(ran.stdout)
    assert [row["address"] for row in document["resource_changes"]] == ["app/search", SLOT]
    assert document["invocation"]["objects"] == ["app/search", SLOT]
    assert "objects" not in json.loads(two.plan("-o", "json").stdout)["invocation"]


def test_a_plan_file_approves_only_its_objects(two: Project) -> None:
    """The plan file of some objects is applied with the same --target; without it, the command selects something else."""
    two.save_plan("--target", SLOT)
    other = two.apply_file()
    assert (other.code, two.writes()) == (3, [])
    assert f"--target {SLOT}" in other.stderr
    assert two.apply_file("--target", SLOT).code == 0
    assert two.writes() == ["PUT /apps/search/slots/chat"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--target", "search"), "'search' is not an address, such as app/demo/slot/chat"),
        (("--target", "app/serach/slot/chat"), "no selected manifest declares the app serach"),
        (("--target", "app/search/slot/chatt"), "Did you mean --target app/search/slot/chat?"),
        (("--target", "app/search/capability/chat@production"), "no selected manifest declares it"),
        (("--target", SLOT, "--app", "notes"), "no selected manifest declares the app search"),
        (("--target", SLOT, "--changed-only", "--base", "main"), "each selects what is planned"),
    ],
)
def test_an_object_that_can_not_be_planned_is_a_usage_error(
    two: Project, arguments: tuple[str, ...], named: str
) -> None:
    """An address that no manifest declares, that is not live, or that other options exclude, is never an empty plan."""
    ran = two.apply(*arguments)
    assert ran.code == 64
    assert named in ran.stderr
    assert two.writes() == []


def test_declared_addresses_are_offered(workdir: Workdir) -> None:
    """The shell completes addresses of the manifests in -f or octosync.yaml, and offers nothing for invalid ones."""
    Project(plane=None, workdir=workdir).declare("search")  # type: ignore[arg-type]

    def offered(*words: str) -> list[str]:
        line = " ".join(("octosync", *words))
        ran = workdir.octosync(_OCTOSYNC_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=str(len(words)))
        return [word.partition(",")[2] for word in ran.stdout.split()]

    assert offered("plan", "-f", "apps", "--target", "app/search/s") == ["app/search/slot/chat"]
    assert offered("apply", "--target", "app") == []
    workdir.write("octosync.yaml", "paths: [apps/]\n")
    assert offered("apply", "--target", "app/search/i") == ["app/search/inference-config"]


def test_policies_judge_the_whole_app(two: Project) -> None:
    """A policy sees everything that the manifests declare of an app, although only an object of it is planned."""
    policy = "policies:\n  - {{name: targets, judges: app, rule: 'app.targets.size() == {count}', message: targets}}\n"
    two.workdir.write("octosync.yaml", policy.format(count=1))
    ran = two.plan("--target", SLOT)
    assert ran.code == 0, ran.output
    two.workdir.write("octosync.yaml", policy.format(count=0))
    ran = two.plan("--target", SLOT)
    assert (ran.code, "policy:targets" in ran.stdout) == (4, True)
