from __future__ import annotations

import shlex
from typing import Any

import pytest
from tests.support.sample_reports import run_info

from octosync.plan import ControlPlane, Invocation

ASKED = Invocation(
    paths=("a b/", "-"),
    kustomize="k",
    apps=("x*",),
    selector="t=1",
    base="main",
    changed_only=True,
    optimize="never",
    previews=False,
)


def test_the_command_line_asks_for_the_same() -> None:
    """The apply of a run has every path and selection of it, quoted so that a shell reads what was meant."""
    command = run_info(invocation=ASKED).apply_command
    assert shlex.split(command) == [
        *("octosync", "apply", "-f", "a b/", "-f", "-", "-k", "k"),
        *("--app", "x*", "-l", "t=1", "--base", "main", "--changed-only", "--optimize", "never", "--no-preview"),
    ]
    assert run_info(invocation=Invocation()).apply_command == "octosync apply"


def test_what_was_typed_goes_before_what_follows() -> None:
    """Where the command line is known it is kept as it was."""
    typed = ("octosync", "apply", "my plan.json")
    assert run_info(invocation=ASKED, typed=typed).apply_command == "octosync apply 'my plan.json'"


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
    """The part before the host's @ is never shown, whatever else the URL is."""
    plane = ControlPlane(url=url)
    assert (plane.public_url, plane.host) == (public, host)


@pytest.mark.parametrize(
    ("limit", "requests", "seconds"), [(100, 0, 0), (100, 1, 1), (100, 5, 3), (60, 60, 60), (0, 9, 0)]
)
def test_seconds_are_rounded_up(limit: int, requests: int, seconds: int) -> None:
    """A time that is told is never shorter than what it takes; without a limit it takes none."""
    assert run_info(requests_per_minute=limit).seconds_for(requests) == seconds


def test_a_time_without_a_zone_is_refused() -> None:
    """A time without a zone would be another moment on another machine."""
    facts: dict[str, Any] = {"timestamp": run_info().timestamp.replace(tzinfo=None)}
    with pytest.raises(ValueError, match="zone"):
        run_info(**facts)
