"""What became of what was waited for, as people read it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tests.support.golden import assert_golden
from tests.support.sample_reports import apply_report, steady_plan

from octosync.errors import ExitCode, Forbidden
from octosync.model import Address, Canary, RolloutResult, RolloutStatus
from octosync.report import exit_code_of_rollouts, render_rollouts, rollout_share, rollout_words

GOLDEN = Path(__file__).parent / "golden"
ANSI = re.compile(r"\x1b\[\d+m")
CANARY = Canary(candidate="chat-next", percentage=40.0)


def rollout(app: str, name: str = "chat@production", **facts: Any) -> RolloutStatus:
    """Make a standing of a deployment that is active."""
    capability, environment = name.split("@")
    address = Address.of_capability(app, capability, environment)
    return RolloutStatus(
        address=address, **{"deployment": f"dep_{app}", "status": "active", "variant": "chat-base", **facts}
    )


EVERY = (
    rollout("assistant", result=RolloutResult.COVERED, coverage="covered", covered=1240, devices=1240),
    rollout("assistant", "vision@staging", result=RolloutResult.NO_DEVICES, coverage="uncovered", covered=0, devices=0),
    rollout("checkout", result=RolloutResult.FAILED, status="failed", coverage="partial", covered=10, devices=40),
    rollout(
        "field-notes",
        result=RolloutResult.ROLLED_BACK,
        status="rolled_back",
        coverage="uncovered",
        covered=0,
        devices=40,
    ),
    rollout("maps", result=RolloutResult.ROLLED_BACK, ended=CANARY, coverage="covered", covered=40, devices=40),
    rollout("notes", result=RolloutResult.TIMED_OUT, canary=CANARY, coverage="covered", covered=40, devices=40),
    rollout("reader", result=RolloutResult.TIMED_OUT, deployment=None, status=None, coverage="warming"),
    rollout(
        "search",
        result=RolloutResult.UNREADABLE,
        error=Forbidden("forbidden", "the key may not (403, apps.health, request req_1)", hints=("Use another key.",)),
    ),
    rollout("talk", "tts@production", result=RolloutResult.AWAITING_APPROVAL, deployment=None, status=None),
)


def text_of(*rollouts: RolloutStatus, **more: Any) -> str:
    colour = more.pop("colour", False)
    facts = {
        "timeout": "10m",
        "resume_command": "octosync apply -f apps/ --wait=10m",
        "status_command": "octosync status --context production",
        "run_id": "01JD",
        "history": "octosync history 01JD",
        "exit_code": ExitCode.UNCOVERED,
        "write_code": ExitCode.DONE,
    }
    return render_rollouts(apply_report(steady_plan(), waited=rollouts, **{**facts, **more}), colour=colour)


def test_a_wait_reads_as_people_expect() -> None:
    """One line each, aligned, with a bar where there is a share; then what to do, each thing once; last the exit code."""
    assert_golden(GOLDEN / "waited.txt", text_of(*EVERY))


def test_where_all_is_well_nothing_is_to_be_done() -> None:
    """No advice for what is covered, or was not waited for."""
    assert text_of(*EVERY[:2], exit_code=ExitCode.DONE).splitlines()[2:] == [
        "Run 01JD: octosync history 01JD        exit 0"
    ]
    assert text_of(EVERY[0], run_id=None, exit_code=ExitCode.DONE).count("\n") == 1


def test_only_what_another_apply_would_follow_is_to_be_followed_again() -> None:
    """What stands still is looked at instead: an apply that touches nothing would not wait for it."""
    still = rollout("a", result=RolloutResult.TIMED_OUT, coverage="partial", covered=1, devices=2)
    assert "follow it again" not in text_of(still)
    assert "To show the status: octosync status --context production a\n" in text_of(still)
    assert "To wait again: octosync apply -f apps/ --wait=10m (" in text_of(EVERY[5])


def test_colour_only_adds_colour_to_a_wait() -> None:
    """The coloured lines without their colours are the plain ones; what failed is red."""
    coloured = text_of(*EVERY, colour=True)
    assert ANSI.sub("", coloured) == text_of(*EVERY)
    assert "\x1b[31m✗\x1b[0m checkout" in coloured
    assert "\x1b[32m✓\x1b[0m assistant" in coloured


def test_a_terminals_orders_in_names_are_not_obeyed() -> None:
    """What the control plane calls a variant, a status or a deployment is shown, not sent to the terminal."""
    wiped = "\x1b[2J"
    for facts in (
        {"status": wiped, "result": RolloutResult.FAILED},
        {"deployment": wiped, "result": RolloutResult.TIMED_OUT},
        {"coverage": wiped, "result": RolloutResult.TIMED_OUT},
        {"canary": Canary(candidate=wiped)},
        {"ended": CANARY, "variant": wiped, "result": RolloutResult.ROLLED_BACK},
        {"result": RolloutResult.UNREADABLE, "error": Forbidden("forbidden", wiped, hints=(wiped,))},
    ):
        text = text_of(rollout("a", **facts))
        assert "\x1b" not in text
        assert r"\x1b[2J" in text


@pytest.mark.parametrize(
    ("facts", "share", "words"),
    [
        (
            {"canary": CANARY, "covered": 1, "devices": 4},
            (40, 100),
            "canary to chat-next at 40%",
        ),
        ({"canary": Canary(), "covered": 1, "devices": 4}, None, "canary"),
        ({"canary": Canary(percentage=400.0)}, (100, 100), "canary at 400%"),
        ({"covered": 9, "devices": 4}, (4, 4), "9 of 4 devices covered"),
        ({"covered": 0, "devices": 0}, None, "0 of 0 devices covered"),
        ({"coverage": "partial"}, None, "partial"),
    ],
)
def test_a_share_is_one_only_where_it_is_known(
    facts: dict[str, Any], share: tuple[float, float] | None, words: str
) -> None:
    """A bar is never guessed, and never longer than it is wide; the words say what was read."""
    one = rollout("a", **facts)
    assert rollout_share(one) == share
    assert rollout_words(one) == f"{words}, active"


@pytest.mark.parametrize("result", [*RolloutResult, None])
def test_the_exit_code_of_a_wait(result: RolloutResult | None) -> None:
    """6 where something was waited for in vain; what was not waited for is no failure."""
    fails = result in {
        RolloutResult.FAILED,
        RolloutResult.ROLLED_BACK,
        RolloutResult.TIMED_OUT,
        RolloutResult.UNREADABLE,
    }
    code = exit_code_of_rollouts([EVERY[0], rollout("a", result=result)])
    assert code is (ExitCode.UNCOVERED if fails else ExitCode.DONE)
