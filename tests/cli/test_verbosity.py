"""`-v` shows settings and requests without a secret, and `-q` leaves out everything but results and errors."""

from __future__ import annotations

import json
import re

import pytest
from tests.support.clients import KEY
from tests.support.projects import Project
from tests.support.same_responses import same_response
from tests.support.workdirs import Workdir


def requests_in(stderr: str) -> list[str]:
    """Return the lines about requests, without their durations and IDs."""
    lines = re.findall(r"^debug: ((?:GET|PUT|POST) .*)$", stderr, re.MULTILINE)
    return [re.sub(r" \d+(?:\.\d)? m?s( req_\w+)?", "", line) for line in lines]


@pytest.mark.parametrize("flag", [True, False])
def test_each_request_is_one_line_on_standard_error(project: Project, flag: bool) -> None:
    """It has method, path, status, duration and request ID. Standard output is the same as without debug output."""
    project.declare()
    arguments, variables = (("-v",), {}) if flag else ((), {"OCTOSYNC_DEBUG": "1"})
    ran = project.apply("-o", "json", *arguments, **variables)
    assert ran.code == 0
    assert json.loads(ran.stdout)["summary"]["done"] == 4
    assert requests_in(ran.stderr) == [
        "GET /api/v1/apps/search 404",
        "POST /api/v1/apps 201",
        "POST /api/v1/apps/search/targets 201",
        "PUT /api/v1/apps/search/slots/chat 200",
        "PUT /api/v1/apps/search/inference-config 200",
    ]
    assert re.search(r"^debug: GET /api/v1/apps/search 404 \d+ ms req_\w+$", ran.stderr, re.MULTILINE)
    assert KEY not in ran.output


def test_the_settings_are_shown_once(project: Project) -> None:
    """They are the octosync.yaml in use and why, the context, the URL, the org, and where the key comes from."""
    project.declare()
    project.workdir.write(
        "octosync.yaml", f"contexts: {{local: {{url: '{project.url}', tokenEnv: OCTOMIL_API_KEY}}}}\n"
    )
    ran = project.workdir.octosync("plan", "-f", "apps", "--context", "local", "--verbose")
    assert ran.code == 0
    settings = [line for line in ran.stderr.splitlines() if not re.match("debug: (GET|POST)", line)]
    assert [re.sub(r" \d.*|:\d{3,}/.*", "", line) for line in settings] == [
        "debug: octosync",
        f"debug: octosync.yaml: {project.workdir.directory}/octosync.yaml (found in the working directory)",
        "debug: context: local",
        "debug: control plane: http://127.0.0.1",
        f"debug: API key: OCTOMIL_API_KEY (context local, octosync.yaml:1) …{KEY[-4:]}",
    ]
    assert KEY not in ran.output


def test_attempts_and_queries_are_shown(project: Project) -> None:
    """A retry has its number, and a list its query."""
    project.break_with({"operation": "apps.list", "action": "status", "status": 503, "times": 1})
    ran = project.workdir.octosync("export", "-v", "--url", project.url)
    assert requests_in(ran.stderr)[:2] == [
        "GET /api/v1/apps?limit=100&offset=0 503",
        "GET /api/v1/apps?limit=100&offset=0 200, attempt 2",
    ]


def test_a_request_without_a_response_has_the_reference_of_its_error(workdir: Workdir) -> None:
    """It takes the place of the status."""
    ran = workdir.octosync("api", "probe", "-v", "--url", "http://127.0.0.1:1")
    assert ran.code == 75
    assert requests_in(ran.stderr) == ["GET /api/v1/apps?limit=100&offset=0 connection-refused"]


def test_a_hostile_request_id_is_inert(workdir: Workdir) -> None:
    """Control characters and an echoed key are not shown, and the line stays short."""
    id_ = f"\x1b[2Jreq\x07::error::{KEY}" + "x" * 5000
    with same_response(b'{"apps": []}', headers={"X-Request-Id": id_}) as url:
        ran = workdir.octosync("api", "probe", "-v", "--url", url, OCTOMIL_API_KEY=KEY, GITHUB_ACTIONS="true")
    (line,) = [line for line in ran.stderr.splitlines() if "GET /api/v1/apps?" in line]
    assert "\x1b" not in ran.output
    assert "\x07" not in ran.output
    assert KEY not in ran.output
    assert len(line) < 250


def test_quiet_leaves_only_the_result(project: Project) -> None:
    """Plan prints only its summary, apply the summary and the outcomes, and there is neither progress nor a note."""
    project.declare()
    plan = project.plan("-q", "--plan-out", "plan.json", "--write", "markdown=plan.md", terminal=True)
    assert (plan.code, plan.stderr) == (0, "")
    assert "search       4\n" in plan.stdout
    assert "com.acme.search" not in plan.stdout
    assert "com.acme.search" in (project.workdir.directory / "plan.md").read_text()
    apply = project.apply("--quiet")
    assert (apply.code, apply.stderr) == (0, "")
    assert "4 applied" in apply.stdout
    assert "com.acme.search" not in apply.stdout
    assert project.plan("-q").stdout == "No changes.\n"
    export = project.workdir.octosync("export", "-d", "exported", "--url", project.url, "-q")
    assert (export.code, export.output) == (0, "")


def test_quiet_shows_errors_and_what_to_confirm(project: Project) -> None:
    """An error is complete, with its hints, and a person who has to confirm a plan sees all of it."""
    project.declare()
    refused = project.plan("-q", OCTOMIL_API_KEY="wrong-key-0123456789")
    assert refused.code == 1
    assert "error: credential-refused" in refused.stderr
    assert "OCTOMIL_API_KEY" in refused.stderr
    asked = project.workdir.octosync("apply", "-f", "apps", "--url", project.url, "-q", "-o", "text", stdin=None)
    assert asked.code == 64


@pytest.mark.parametrize(
    ("arguments", "variables", "is_debug"),
    [
        (("-q",), {"OCTOSYNC_DEBUG": "1"}, False),
        (("-v",), {"OCTOSYNC_QUIET": "1"}, True),
        ((), {"OCTOSYNC_DEBUG": "0"}, False),
    ],
)
def test_a_typed_option_takes_precedence(
    project: Project, arguments: tuple[str, ...], variables: dict[str, str], is_debug: bool
) -> None:
    """It wins over the variable of the other one."""
    project.declare()
    ran = project.plan(*arguments, **variables)
    assert ran.code == 0
    assert ("debug: " in ran.stderr) == is_debug


def test_quiet_and_verbose_exclude_each_other(project: Project) -> None:
    """Both on one command line are a usage error."""
    ran = project.plan("-q", "-v")
    assert ran.code == 64
    assert "error: quiet-and-verbose" in ran.stderr
