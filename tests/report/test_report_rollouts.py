"""The report of the rollouts that an apply waited for."""

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
    """Return the status of an active deployment."""
    capability, environment = name.split("@")
    address = Address.of_capability(app, capability, environment)
    return RolloutStatus(
        address=address, **{"deployment": f"dep_{app}", "status": "active", "variant": "chat-base", **facts}
    )


ROLLOUTS = (
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


def test_a_wait_is_the_golden_one() -> None:
    """One aligned line each, with a bar if there is a share; then what to do, each once; then the exit code."""
    assert_golden(GOLDEN / "waited.txt", text_of(*ROLLOUTS))


def test_a_covered_rollout_needs_no_action() -> None:
    """No advice for a rollout that is covered, or that was not waited for."""
    assert text_of(*ROLLOUTS[:2], exit_code=ExitCode.DONE).splitlines()[2:] == ["Run 01JD (octosync history 01JD)"]
    assert text_of(ROLLOUTS[0], run_id=None, exit_code=ExitCode.DONE).count("\n") == 1


def test_only_a_running_rollout_can_be_waited_for_again() -> None:
    """For a stalled rollout the status command is suggested: an apply without changes would not wait for it."""
    stalled = rollout("a", result=RolloutResult.TIMED_OUT, coverage="partial", covered=1, devices=2)
    assert "follow it again" not in text_of(stalled)
    assert "To show the status: octosync status --context production a\n" in text_of(stalled)
    assert "To wait again: octosync apply -f apps/ --wait=10m (" in text_of(ROLLOUTS[5])


def test_colour_only_adds_colour_to_a_wait() -> None:
    """The coloured lines without their colours are the plain ones; failures are red."""
    coloured = text_of(*ROLLOUTS, colour=True)
    assert ANSI.sub("", coloured) == text_of(*ROLLOUTS)
    assert "\x1b[31m✗\x1b[0m checkout" in coloured
    assert "\x1b[32m✓\x1b[0m assistant" in coloured


def test_names_with_escape_sequences_are_harmless() -> None:
    """A variant, a status or a deployment name of the control plane is shown, not interpreted by the terminal."""
    escape = "\x1b[2J"
    for facts in (
        {"status": escape, "result": RolloutResult.FAILED},
        {"deployment": escape, "result": RolloutResult.TIMED_OUT},
        {"coverage": escape, "result": RolloutResult.TIMED_OUT},
        {"canary": Canary(candidate=escape)},
        {"ended": CANARY, "variant": escape, "result": RolloutResult.ROLLED_BACK},
        {"result": RolloutResult.UNREADABLE, "error": Forbidden("forbidden", escape, hints=(escape,))},
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
def test_a_share_is_shown_only_if_it_is_known(
    facts: dict[str, Any], share: tuple[float, float] | None, words: str
) -> None:
    """A bar is never guessed and never wider than full; the words have the numbers as read."""
    status = rollout("a", **facts)
    assert rollout_share(status) == share
    assert rollout_words(status) == f"{words}, active"


@pytest.mark.parametrize("result", [*RolloutResult, None])
def test_the_exit_code_of_a_wait(result: RolloutResult | None) -> None:
    """6 if a rollout failed or timed out; a rollout that was not waited for is not a failure."""
    fails = result in {
        RolloutResult.FAILED,
        RolloutResult.ROLLED_BACK,
        RolloutResult.TIMED_OUT,
        RolloutResult.UNREADABLE,
    }
    code = exit_code_of_rollouts([ROLLOUTS[0], rollout("a", result=result)])
    assert code is (ExitCode.UNCOVERED if fails else ExitCode.DONE)
