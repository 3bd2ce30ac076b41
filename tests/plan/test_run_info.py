from __future__ import annotations

import shlex
from typing import Any

import pytest
from tests.support.sample_reports import run_info
from tests.support.states import desired_app, live_app, observation, plan_of

from octosync.model import JsonObject
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
    ("limit", "reads", "writes", "from_reading", "after_it"),
    [
        (100, 9, 12, 0, 0),
        (100, 88, 13, 60, 60),  # the last of 101
        (150, 125, 40, 60, 60),  # 25 at once, 15 when the first reads leave the window
        (100, 919, 40, 540, 0),  # the 81 places left suffice, although the objects are read again
        (0, 919, 40, 0, 0),
    ],
)
def test_the_estimate_counts_what_the_window_leaves(
    limit: int, reads: int, writes: int, from_reading: int, after_it: int
) -> None:
    """The whole limit is available at once, reads are a part of it, and requests beyond it wait for the next minute."""
    slots: dict[str, JsonObject] = {f"slot-{number}": {} for number in range(writes)}
    plan = plan_of(desired_app("a", slots=slots), observation(live_app("a"), requests=reads))
    about = run_info(requests_per_minute=limit)
    assert about.seconds_to_apply(plan, reads=True) == from_reading
    assert about.seconds_to_apply(plan, reads=False) == after_it


def test_a_time_without_a_zone_is_rejected() -> None:
    """A time without a zone would be a different moment on another machine."""
    facts: dict[str, Any] = {"timestamp": run_info().timestamp.replace(tzinfo=None)}
    with pytest.raises(ValueError, match="zone"):
        run_info(**facts)
