from __future__ import annotations

import shlex
from typing import Any

import pytest
from tests.support.sample_reports import run_info

from octosync.plan import ControlPlane, Invocation

INVOCATION = Invocation(
    paths=("a b/", "-"),
    kustomize="k",
    apps=("x*",),
    selector="t=1",
    base="main",
    changed_only=True,
    optimize="never",
    previews=False,
)


def test_apply_command_has_the_options_of_the_run() -> None:
    """`apply_command` has every path and selection of the run, quoted for the shell."""
    command = run_info(invocation=INVOCATION).apply_command
    assert shlex.split(command) == [
        *("octosync", "apply", "-f", "a b/", "-f", "-", "-k", "k"),
        *("--app", "x*", "-l", "t=1", "--base", "main", "--changed-only", "--optimize", "never", "--no-preview"),
    ]
    assert run_info(invocation=Invocation()).apply_command == "octosync apply"


def test_a_typed_command_line_is_kept() -> None:
    """If the typed command line is known, `apply_command` is that command line."""
    typed = ("octosync", "apply", "my plan.json")
    assert run_info(invocation=INVOCATION, typed=typed).apply_command == "octosync apply 'my plan.json'"


@pytest.mark.parametrize(
    ("url", "public", "host"),
    [
        ("https://api.octomil.com/api/v1", "https://api.octomil.com/api/v1", "api.octomil.com"),
        ("http://me:pass@word@h:8787/api/v1", "http://h:8787/api/v1", "h:8787"),
        ("http://[::1]:8787", "http://[::1]:8787", "[::1]:8787"),
        ("me:pass@h/x@y", "h/x@y", "h"),
    ],
)
def test_a_url_is_shown_without_its_credential(url: str, public: str, host: str) -> None:
    """The part before the host's @ is never shown, for any URL."""
    plane = ControlPlane(url=url)
    assert (plane.public_url, plane.host) == (public, host)


@pytest.mark.parametrize(
    ("limit", "requests", "seconds"), [(100, 0, 0), (100, 1, 1), (100, 5, 3), (60, 60, 60), (0, 9, 0)]
)
def test_seconds_are_rounded_up(limit: int, requests: int, seconds: int) -> None:
    """The reported time is never shorter than the real one; without a rate limit it is 0."""
    assert run_info(requests_per_minute=limit).seconds_for(requests) == seconds


def test_a_time_without_a_zone_is_rejected() -> None:
    """A time without a zone would be a different moment on another machine."""
    facts: dict[str, Any] = {"timestamp": run_info().timestamp.replace(tzinfo=None)}
    with pytest.raises(ValueError, match="zone"):
        run_info(**facts)
