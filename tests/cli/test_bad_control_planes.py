"""Servers that are not a control plane, or that refuse access: one clear error each, with what to do."""

from __future__ import annotations

import socket
from functools import partial
from typing import Any

import pytest
from tests.support.projects import Project
from tests.support.virtual_time import skipped_pauses
from tests.support.workdirs import CommandResult

# Fault of every request, exit code, message, hint.
ANSWERS: dict[str, tuple[dict[str, Any], int, str, str]] = {
    "wrong key": ({"action": "status", "status": 401, "code": "invalid_api_key"}, 1, "credential-refused", "OCTOMIL_API_KEY"),
    "no scope": ({"action": "status", "status": 403, "code": "insufficient_scope"}, 1, "insufficient-scope", "apps:read"),
    "a proxy's page": ({"action": "html", "status": 200}, 1, "html-answer", "Check that http"),
    "an empty 200": ({"action": "empty"}, 1, "it is empty", "newer version of octosync"),
    "broken JSON": ({"action": "garbage"}, 1, "not JSON", "Check that http"),
    "a redirect": (
        {"action": "redirect", "location": "https://login.example/"}, 1, "to https://login.example", "login page or proxy"
    ),
    "501": ({"action": "status", "status": 501}, 75, "unavailable", "Try again"),
}  # fmt: skip
SHAPES = ["nested", "flat", "legacy", "detail"]


def assert_one_clear_error(ran: CommandResult, code: int, *parts: str, writes: bool = False) -> None:
    """Assert one error with its hints on stderr, and nothing on stdout. A command that `writes` adds what it wrote."""
    assert ran.code == code, ran.output
    first, *rest = ran.stderr.splitlines()
    assert first.startswith("error: ")
    assert rest
    assert ("  Nothing was written." in rest) == writes
    assert all(line.startswith("  ") for line in rest)
    assert all(part in ran.stderr for part in parts)
    assert ran.stdout == ""


@pytest.mark.parametrize("name", ANSWERS)
def test_each_response_is_one_clear_error(project: Project, name: str) -> None:
    """Plan and apply have the same error: the response, its request ID, and what to do."""
    fault, code, message, hint = ANSWERS[name]
    project.declare()
    project.break_with({"operation": "*", "times": None, **fault})
    for writes, ran in enumerate((project.plan(), project.apply())):
        assert_one_clear_error(ran, code, message, hint, "request req_", writes=bool(writes))
    assert project.writes() == []


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_an_error_is_understood(project: Project, shape: str) -> None:
    """The control plane's message is shown, in any of its shapes of an error."""
    project.declare()
    fault = {"action": "status", "status": 403, "shape": shape, "message": "This org is on hold"}
    project.break_with({"operation": "*", "times": None, **fault})
    assert_one_clear_error(project.plan(), 1, "This org is on hold")


def test_a_wrong_key_is_named_by_its_source(project: Project) -> None:
    """A refused key is reported with its source and its last letters, and no more of it."""
    project.declare()
    project.workdir.environment = {"OCTOMIL_API_KEY": "oct_test_wrong_key_123456"}
    ran = project.plan()
    assert_one_clear_error(ran, 1, "401 invalid_api_key", "OCTOMIL_API_KEY, ends in …3456")
    assert "wrong_key" not in ran.output


def test_a_missing_key_is_not_a_wrong_key(project: Project) -> None:
    """If the control plane needs a key and none is set, the error has the ways to set one."""
    project.declare()
    project.workdir.environment = {}
    assert_one_clear_error(project.plan(), 1, "none is set", "OCTOMIL_API_KEY", "--token-file")


def test_tls_to_a_plain_port(project: Project) -> None:
    """https:// to a port that serves http:// is reported as that, and the key is never sent."""
    project.declare()
    ran = project.workdir.octosync("plan", "-f", "apps", "--url", project.url.replace("http://", "https://"))
    assert_one_clear_error(ran, 1, "tls-failed", "http://")
    assert project.log() == []


def test_a_refused_connection(project: Project) -> None:
    """No server listens: after pauses and retries, try again (75), or start the embedded control plane."""
    project.declare()
    with socket.socket() as reserved, skipped_pauses() as pauses:
        reserved.bind(("127.0.0.1", 0))  # bound, and not listening
        port = reserved.getsockname()[1]
        ran = project.workdir.octosync("plan", "-f", "apps", "--url", f"http://127.0.0.1:{port}")
    assert_one_clear_error(ran, 75, f"127.0.0.1:{port}", "connection refused", "octosync server")
    assert any(seconds > 0 for seconds in pauses)


def test_a_truncated_response(project: Project) -> None:
    """The connection breaks in the middle of every response: after pauses and retries, try again (75)."""
    project.declare()
    project.plane.with_app("search")
    project.break_with({"operation": "apps.get", "action": "truncated", "times": None})
    with skipped_pauses() as pauses:
        ran = project.plan()
    assert_one_clear_error(ran, 75, "was lost before the response was complete")
    assert any(seconds > 0 for seconds in pauses)


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1", "http://", "http://127.0.0.1:99999", "http://127.0.0.1/?a=b", "http://a b", "http://[::1", "prod"]
)  # fmt: skip
def test_an_invalid_url_is_refused(project: Project, url: str) -> None:
    """An invalid URL is a usage error before anything is sent, with an example; from another source, the error names it."""
    project.declare()
    plan = partial(project.workdir.octosync, "plan", "-f", "apps")
    assert_one_clear_error(plan("--url", url), 64, "bad-url", "--url: ", "For example")
    assert_one_clear_error(plan("--offline", "--base-file", "apps", "--url", url), 64, "bad-url", "--url: ")
    assert_one_clear_error(plan(OCTOMIL_API_URL=url), 1, "bad-url", "OCTOMIL_API_URL: ", "For example")


def test_a_wrong_path_in_the_url_is_an_error(project: Project) -> None:
    """A URL below which nothing is served is not an outage that ends (75): 1, and the error doubts the path."""
    project.declare()
    with skipped_pauses():
        ran = project.workdir.octosync("plan", "-f", "apps", "--url", f"{project.url}/xyz")
    assert_one_clear_error(ran, 1, "unknown-route", f"If /xyz is wrong, {project.url} is enough")


def test_a_control_plane_from_a_variable_is_shown(project: Project) -> None:
    """OCTOMIL_API_URL and OCTOMIL_API_BASE name a control plane for other programs, too: each run that uses them says so."""
    project.declare()
    for variable in ("OCTOMIL_API_URL", "OCTOMIL_API_BASE"):
        environment: dict[str, Any] = {variable: project.url}
        ran = project.workdir.octosync("status", "--short", **environment)
        assert ran.code == 0
        assert ran.stderr == f"{variable} names the control plane: {project.url}/api/v1\n"
        assert project.workdir.octosync("status", "--short", "--url", project.url, **environment).stderr == ""


@pytest.mark.parametrize("flag", ["--url", "--context", "--org"])
def test_an_empty_flag_is_refused(project: Project, flag: str) -> None:
    """`--url "$URL"` with URL unset must not reach a different control plane."""
    project.declare()
    assert_one_clear_error(project.workdir.octosync("plan", "-f", "apps", flag, ""), 64, "empty-value", flag)


def test_the_error_of_one_app_is_separate(project: Project) -> None:
    """A failed read of one app is reported with the plan of the others; an error of all apps is reported once."""
    project.declare()
    project.declare("notes", name="Notes")
    fault = {"operation": "apps.get", "action": "html", "status": 200, "times": None}
    project.break_with({**fault, "slug": "notes"})
    assert "+ app search" in project.plan().stdout
    project.break_with(fault)
    assert_one_clear_error(project.plan(), 1, "html-answer")


def test_a_key_is_not_sent_unencrypted(project: Project) -> None:
    """http:// beyond this machine is refused, with the flag that allows it."""
    project.declare()
    ran = project.workdir.octosync("plan", "-f", "apps", "--url", "http://octomil.example")
    assert_one_clear_error(ran, 1, "insecure-url", "--insecure")


def test_another_org_is_refused(project: Project) -> None:
    """The org of the responses must be the given one: nothing is planned for another."""
    project.plane.with_app("search")
    project.declare()
    ran = project.plan("--org", "77ab")
    assert_one_clear_error(ran, 1, "77ab")
    project.break_with({"operation": "apps.get", "action": "set_answer_field", "field": "org_id", "value": "other-org"})
    ran = project.plan("--org", "8f1c5b0e-6d1a-4c5e-9b57-0c70a11ce001")
    assert ran.code == 1
    assert "other-org" in ran.output
