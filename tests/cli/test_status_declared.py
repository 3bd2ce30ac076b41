"""`octosync status --declared`: the share of the org that manifests declare, for the requests of a list."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.embedded_planes import ok
from tests.support.projects import Project
from tests.support.workdirs import CommandResult

IN_PART = "apiVersion: octosync.dev/v1\nkind: CapabilitySlot\nspec: {app: app-3, capability: chat}\n"


def declared(project: Project, *arguments: str, **more: Any) -> CommandResult:
    """Run the command on the manifests in `apps`, without a rate limit."""
    return project.workdir.octosync(
        "status", "--declared", "-f", "apps", "--url", project.url, "--rate", "0", *arguments, **more
    )


def document(project: Project, *arguments: str, code: int = 0) -> dict[str, Any]:
    """Run the command and return its JSON."""
    ran = declared(project, *arguments, "-o", "json")
    assert ran.code == code, ran.output
    shown: dict[str, Any] = json.loads(ran.stdout)
    return shown


def manifest(slug: str, labels: str = "") -> str:
    return f"apiVersion: octosync.dev/v1\nkind: App\nmetadata: {{name: {slug}{labels}}}\n"


@pytest.fixture
def org(project: Project) -> Project:
    """Create five apps, one archived. Two of them, the archived one and one that doesn't exist are declared."""
    for number in range(1, 6):
        project.plane.with_app(f"app-{number}")
    ok(project.plane.api.post("/apps/app-5/archive"))
    project.workdir.write("apps/search/app-1.yaml", manifest("app-1", ", labels: {team: search}"))
    project.workdir.write("apps/chat/slots.yaml", IN_PART)
    project.workdir.write("apps/chat/app-5.yaml", manifest("app-5", ", labels: {team: chat}"))
    project.workdir.write("apps/chat/new.yaml", manifest("new", ", labels: {team: chat}"))
    project.log()
    return project


def test_one_list_shows_which_apps_are_declared(org: Project) -> None:
    """Each app counts once; a declared app that the list hides is read individually."""
    shown = document(org)
    assert sorted(org.log()) == ["GET /apps", "GET /apps/app-5", "GET /apps/new"]
    assert shown["format_version"] == "1.0"
    assert shown["cost"] == {"requests_used": 3}
    assert shown["manifests"] == {"paths": ["apps"], "files": 4, "apps": 4}
    assert shown["summary"] == {
        "live": 4,
        "declared": 4,
        "declared_live": 2,
        "declared_archived": 1,
        "declared_not_live": 1,
        "declared_unknown": 0,
        "declared_in_part": 1,
        "undeclared": 2,
        "declared_share": 0.5,
    }
    assert shown["undeclared"] == ["app-2", "app-4"]
    assert shown["groups"] == []
    text = declared(org).stdout
    assert "\n█████░░░░░  50%  2 of 4 live apps declared\n" in text
    assert "\n  1 declared and not live: new\n" in text
    assert "\n  2 not declared: app-2, app-4\n" in text
    assert text.endswith("Read with 3 requests.\n")


def test_the_list_alone_is_enough_if_all_apps_are_live(org: Project) -> None:
    """No other request is sent."""
    assert document(org, "app-1", "app-3")["summary"]["declared_live"] == 2
    assert org.log() == ["GET /apps"]


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ("label:team", [("chat", 2, 0, 0.0), ("search", 1, 1, 0.25), (None, 1, 1, 0.25)]),
        ("folder", [("apps/chat", 3, 1, 0.25), ("apps/search", 1, 1, 0.25)]),
    ],
)
def test_declared_apps_are_grouped_by_label_or_folder(org: Project, by: str, groups: list[tuple[Any, ...]]) -> None:
    """The number of apps of each group, of live ones, and their share of the org; apps without a value are last."""
    shown = document(org, "--by", by)
    assert [
        (group["group"], group["declared"], group["declared_live"], group["share_of_org"]) for group in shown["groups"]
    ] == groups
    text = declared(org, "--by", by).stdout
    assert "DECLARED   LIVE  OF THE ORG" in text
    assert "search" in text


def test_long_lists_of_names_are_cut_without_full(org: Project) -> None:
    """A few are named; --full names all, and JSON always does."""
    for number in range(10, 25):
        org.plane.with_app(f"more-{number}")
    assert "17 not declared: app-2, app-4, more-10" in (text := declared(org).stdout)
    assert "more-12 and 12 more (--full lists them)\n" in text
    assert "more-24\n" in declared(org, "--full").stdout
    assert len(document(org)["undeclared"]) == 17


def test_a_failed_read_is_never_an_absence(org: Project) -> None:
    """A declared app that can't be read is unknown, with its error, and the exit code is 1."""
    org.break_with({"operation": "apps.get", "slug": "new", "action": "status", "status": 403, "times": None})
    shown = document(org, code=1)
    assert shown["errored"] is True
    assert (shown["summary"]["declared_not_live"], shown["summary"]["declared_unknown"]) == (0, 1)
    assert [(error["slug"], error["reference"]) for error in shown["errors"]] == [("new", "forbidden")]
    text = declared(org).stdout
    assert "error: forbidden: new: " in text
    assert "1 declared and not read: new" in text


def test_a_list_that_cannot_be_read_is_one_error(org: Project) -> None:
    """Nothing else is reported."""
    org.break_with({"operation": "apps.list", "action": "status", "status": 501, "times": None})
    ran = declared(org)
    assert (ran.code, ran.stdout) == (75, "")


def test_invalid_manifests_are_reported_as_by_plan(org: Project) -> None:
    """Every problem with its position, before any request; --strict makes warnings errors."""
    org.workdir.write("apps/bad.yaml", "kind: App\n")
    ran = declared(org)
    assert (ran.code, ran.stdout) == (1, "")
    assert ran.stderr == org.plan("--rate", "0").stderr
    assert org.log() == []
    org.workdir.write("apps/bad.yaml", manifest("warns") + "spec: {slots: [{capability: telepathy}]}\n")
    strict = declared(org, "--strict")
    assert strict.code == 1
    assert strict.stderr == org.plan("--strict", "--rate", "0").stderr


def test_manifests_from_octosync_yaml_and_standard_input(org: Project) -> None:
    """The paths of octosync.yaml need no -f, and standard input has no folder."""
    org.workdir.write("octosync.yaml", "paths: [apps/]\n")
    ran = org.workdir.octosync("status", "--declared", "--url", org.url)
    assert ran.code == 0
    assert " · apps: 4 apps in 4 files\n" in ran.stdout
    piped = org.workdir.octosync(
        "status", "--declared", "-f", "-", "--by", "folder", "--url", org.url, stdin=manifest("app-2").encode()
    )
    assert "\n  (none)         1      1  ██▌░░░░░░░  25%\n" in piped.stdout


@pytest.mark.parametrize(
    ("arguments", "reference"),
    [
        (("--by", "team"), "usage"),
        (("--by", "label:"), "usage"),
        (("--by", "label:api-token"), "sensitive-label"),
        (("--watch",), "conflicting-flags"),
        (("--archived",), "conflicting-flags"),
        (("--state", "x.db"), "conflicting-flags"),
    ],
)
def test_an_invalid_command_line_is_refused(org: Project, arguments: tuple[str, ...], reference: str) -> None:
    """It is refused before anything is read."""
    ran = declared(org, *arguments)
    assert ran.code == 64
    assert ran.stderr.startswith(f"error: {reference}: ")
    assert org.log() == []


@pytest.mark.parametrize("arguments", [("-f", "apps"), ("--by", "folder"), ("--strict",)])
def test_its_options_need_declared(org: Project, arguments: tuple[str, ...]) -> None:
    """Without --declared they would be ignored, so they are refused; environment variables are ignored."""
    ran = org.workdir.octosync("status", *arguments, "--url", org.url)
    assert ran.code == 64
    assert ran.stderr.startswith("error: conflicting-flags: ")
    assert org.workdir.octosync("status", "app-1", "--url", org.url, OCTOSYNC_STRICT="1").code == 0


def test_a_pattern_without_a_match_is_an_error(org: Project) -> None:
    """Patterns narrow both sides; one without a match on either side is an error."""
    assert document(org, "app-*")["summary"]["undeclared"] == 2
    assert document(org, "new")["summary"]["live"] == 0
    ran = declared(org, "x-*")
    assert ran.code == 1
    assert "x-* matches no app of the org and no declared app" in ran.stderr
