"""Servers that are not a control plane, or that refuse access: one clear error each that says what to do."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from tests.support.projects import Project
from tests.support.workdirs import CommandResult

# Fault of every request, exit code, what is said, what is advised.
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


def assert_one_clear_error(ran: CommandResult, code: int, *said: str) -> None:
    """Assert one error with its hints on stderr, and nothing on stdout."""
    assert ran.code == code, ran.output
    first, *rest = ran.stderr.splitlines()
    assert first.startswith("error: ")
    assert rest[-1] == "  Nothing was written."
    assert len(rest) >= 2
    assert all(line.startswith("  ") for line in rest)
    assert all(text in ran.stderr for text in said)
    assert ran.stdout == ""


@pytest.mark.parametrize("name", ANSWERS)
def test_each_answer_is_one_clear_error(project: Project, name: str) -> None:
    """Plan and apply say the same: what was answered, with its request id, and what to do."""
    fault, code, said, advised = ANSWERS[name]
    project.declare()
    project.break_with({"operation": "*", "times": None, **fault})
    for ran in (project.plan(), project.apply()):
        assert_one_clear_error(ran, code, said, advised, "request req_")
    assert project.writes() == []


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_an_error_is_understood(project: Project, shape: str) -> None:
    """The control plane's own words reach the user, in whichever of its shapes they come."""
    project.declare()
    fault = {"action": "status", "status": 403, "shape": shape, "message": "This org is on hold"}
    project.break_with({"operation": "*", "times": None, **fault})
    assert_one_clear_error(project.plan(), 1, "This org is on hold")


def test_a_wrong_key_is_named_by_its_place(project: Project) -> None:
    """A real refusal: where the key came from and its last letters, no more of it."""
    project.declare()
    project.workdir.environment = {"OCTOMIL_API_KEY": "oct_test_wrong_key_123456"}
    ran = project.plan()
    assert_one_clear_error(ran, 1, "401 invalid_api_key", "OCTOMIL_API_KEY, ends in …3456")
    assert "wrong_key" not in ran.output


def test_no_key_is_another_error_than_a_wrong_one(project: Project) -> None:
    """A control plane that wants a key and is given none: say how one is given."""
    project.declare()
    project.workdir.environment = {}
    assert_one_clear_error(project.plan(), 1, "none is set", "OCTOMIL_API_KEY", "--token-file")


def test_tls_to_a_plain_port(project: Project) -> None:
    """https:// to a port that speaks http:// says just that, and the key never left."""
    project.declare()
    ran = project.workdir.octosync("plan", "-f", "apps", "--url", project.url.replace("http://", "https://"))
    assert_one_clear_error(ran, 1, "tls-failed", "http://")
    assert project.log() == []


def test_a_refused_connection(project: Project) -> None:
    """Nothing listens there: try again (75), or start the embedded one."""
    project.declare()
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # held, and not listening
        port = reserved.getsockname()[1]
        ran = project.workdir.octosync("plan", "-f", "apps", "--url", f"http://127.0.0.1:{port}")
    assert_one_clear_error(ran, 75, f"127.0.0.1:{port}", "connection refused", "octosync server")


def test_a_truncated_answer(project: Project) -> None:
    """The connection breaks in the middle of an answer, each time: try again (75)."""
    project.declare()
    project.plane.with_app("search")
    project.break_with({"operation": "apps.get", "action": "truncated", "times": None})
    assert_one_clear_error(project.plan(), 75, "was lost before the response was complete")


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1", "http://", "http://127.0.0.1:99999", "http://127.0.0.1/?a=b", "http://a b", "http://[::1"]
)  # fmt: skip
def test_what_is_no_url_is_said_to_be_none(project: Project, url: str) -> None:
    """A URL that can't be one is refused before anything is sent, with an example."""
    project.declare()
    assert_one_clear_error(project.workdir.octosync("plan", "-f", "apps", "--url", url), 1, "bad-url", "For example")


@pytest.mark.parametrize("flag", ["--url", "--context", "--org"])
def test_an_empty_flag_falls_back_to_nothing(project: Project, flag: str) -> None:
    """`--url "$URL"` with URL unset must not reach another control plane than the one that is meant."""
    project.declare()
    assert_one_clear_error(project.workdir.octosync("plan", "-f", "apps", flag, ""), 64, "empty-value", flag)


def test_an_app_of_several_is_an_error_of_its_own(project: Project) -> None:
    """One app's failed read is told with the plan of the others; what all apps meet alike is told once."""
    project.declare()
    project.declare("notes", name="Notes")
    fault = {"operation": "apps.get", "action": "html", "status": 200, "times": None}
    project.break_with({**fault, "slug": "notes"})
    assert "+ app search" in project.plan().stdout
    project.break_with(fault)
    assert_one_clear_error(project.plan(), 1, "html-answer")


def test_a_key_does_not_travel_unencrypted(project: Project) -> None:
    """http:// beyond this machine is refused, with the flag that allows it."""
    project.declare()
    ran = project.workdir.octosync("plan", "-f", "apps", "--url", "http://octomil.example")
    assert_one_clear_error(ran, 1, "insecure-url", "--insecure")


def test_another_org_than_the_one_that_is_meant(project: Project) -> None:
    """The org in the answers must be the one that was named: nothing is planned for another."""
    project.plane.with_app("search")
    project.declare()
    ran = project.plan("--org", "77ab")
    assert_one_clear_error(ran, 1, "77ab")
    project.break_with({"operation": "apps.get", "action": "set_answer_field", "field": "org_id", "value": "other-org"})
    ran = project.plan("--org", "8f1c5b0e-6d1a-4c5e-9b57-0c70a11ce001")
    assert ran.code == 1
    assert "other-org" in ran.output
