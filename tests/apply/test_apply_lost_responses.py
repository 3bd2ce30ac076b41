"""Lost responses: apply finds the effect by reading, never writes twice and never claims an unproved result."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.support.action_cases import CASES
from tests.support.harness import Harness, Tap, status_by_action
from tests.support.states import desired_app

from octosync.errors import ExitCode

LOSSES: dict[str, dict[str, Any]] = {
    "cut before": {"action": "cut_before"},
    "cut after": {"action": "cut_after"},
    "500 before": {"action": "status", "status": 500},
    "500 after": {"action": "status", "status": 500, "when": "after"},
    "truncated": {"action": "truncated"},
    "502": {"action": "html", "status": 502, "when": "after"},
    "503": {"action": "status", "status": 503},
    "504 after": {"action": "status", "status": 504, "when": "after"},
    "garbage": {"action": "garbage"},
    "bare 404": {"action": "not_found"},
    "redirect": {"action": "redirect", "location": "https://login.example.com/"},
}

# The first four differ in whether the write took effect. For the others, two kinds of action are enough.
PAIRS = [
    (kind, loss)
    for kind in CASES
    for number, loss in enumerate(LOSSES)
    if number < 4 or kind in {"create app", "put live slot"}
]


@pytest.mark.parametrize(("kind", "loss"), PAIRS)
async def test_a_lost_response_leads_to_exactly_one_effect(harness: Harness, kind: str, loss: str) -> None:
    """Whether or not the write took effect before its response was lost: one effect, outcome done, empty plan."""
    case = CASES[kind]
    case.prepare(harness.plane)
    reviewed = await harness.review(case.desired)
    before = len(harness.events())
    harness.plane.break_with({"operation": case.operation, **LOSSES[loss]})
    applied = await harness.apply(reviewed)
    assert list(status_by_action(applied).values()) == ["done"]
    assert len(harness.events()) == before + 1
    assert applied.wrote
    assert (await harness.review(case.desired)).plan.actions == ()


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("kind", CASES)
async def test_a_response_that_takes_too_long(harness: Harness, kind: str, committed: bool) -> None:
    """A read timeout is a lost response."""
    case = CASES[kind]
    case.prepare(harness.plane)
    reviewed = await harness.review(case.desired)
    before = len(harness.events())

    def too_long(_: httpx.Request, number: int) -> None:
        if number == 1:
            raise httpx.ReadTimeout("nothing came")

    tap = Tap(after=too_long) if committed else Tap(before=too_long)
    applied = await harness.apply(reviewed, transport=tap)
    assert list(status_by_action(applied).values()) == ["done"]
    assert len(harness.events()) == before + 1
    assert len(tap.writes) == (1 if committed else 2)


@pytest.mark.parametrize("kind", CASES)
async def test_after_the_last_attempt_the_action_fails_without_a_claim(harness: Harness, kind: str) -> None:
    """If every attempt fails and reads show no effect, the action fails, nothing was written, and the exit code is 75."""
    case = CASES[kind]
    case.prepare(harness.plane)
    reviewed = await harness.review(case.desired)
    before = harness.state()
    harness.plane.break_with({"operation": case.operation, "action": "status", "status": 503, "times": None})
    harness.plane.log()
    applied = await harness.apply(reviewed)
    (outcome,) = applied.outcomes
    assert (outcome.status.value, outcome.reference) == ("failed", "unavailable")
    assert len(outcome.request_ids) == 3
    assert len(harness.writes()) == 3
    assert harness.state() == before
    assert not applied.wrote
    assert applied.stopped_by is not None
    assert applied.stopped_by.exit_code is ExitCode.UNAVAILABLE


async def test_the_waits_between_attempts_grow(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """After each lost write the next wait is random, up to twice as long, so that clients that fail together spread out."""
    CASES["put live slot"].prepare(harness.plane)
    reviewed = await harness.review(CASES["put live slot"].desired)
    harness.plane.break_with({"operation": "apps.put_slot", "action": "status", "status": 503, "times": None})
    longest: list[float] = []

    def shortest(low: float, high: float) -> float:
        longest.append(high)
        return low

    monkeypatch.setattr("random.uniform", shortest)
    await harness.apply(reviewed, backoff=0.25)
    assert longest == [0.25, 0.5]


@pytest.mark.parametrize("kind", CASES)
async def test_a_lost_response_with_a_failed_read_leaves_the_outcome_unknown(harness: Harness, kind: str) -> None:
    """If neither the response nor the object is available, the action fails as unknown and counts as possibly written."""
    case = CASES[kind]
    case.prepare(harness.plane)
    reviewed = await harness.review(case.desired)
    reads = ["apps.get", "apps.list_targets", "apps.list_slots", "apps.get_inference_config", "apps.deployments"]
    harness.plane.break_with(
        {"operation": case.operation, "action": "cut_after"},
        *({"operation": read, "action": "status", "status": 500, "times": None} for read in reads),
    )
    applied = await harness.apply(reviewed)
    (outcome,) = applied.outcomes
    assert (outcome.status.value, outcome.reference) == ("failed", "outcome-unknown")
    assert "the response was lost" in outcome.message
    assert "the read that followed failed, too" in outcome.message
    assert outcome.hints[0] == "It may have taken effect. Apply again: apply reads the object first."
    assert applied.wrote
    harness.plane.break_with()
    assert (await harness.reconcile(case.desired)).outcomes == ()


@pytest.mark.parametrize("kind", [kind for kind in CASES if kind != "register target"])
async def test_another_user_changed_the_object_meanwhile(harness: Harness, kind: str) -> None:
    """If the object is neither as before nor as declared after a lost response, the action is stale and overwrites nothing."""
    case = CASES[kind]
    case.prepare(harness.plane)
    reviewed = await harness.review(case.desired)
    foreign: dict[str, Any] = {}

    def interfere(_: httpx.Request, number: int) -> None:
        assert number == 1
        case.interfere(harness.plane)
        foreign.update(harness.state())
        harness.plane.break_with({"operation": case.operation, "action": "cut_before"})

    applied = await harness.apply(reviewed, transport=Tap(before=interfere))
    (outcome,) = applied.outcomes
    assert (outcome.status.value, outcome.reference) == ("stale", "object-changed")
    assert harness.state() == foreign
    assert applied.wrote  # our write may have taken effect before the foreign one


async def test_a_delete_that_another_user_did_after_ours_was_lost(harness: Harness) -> None:
    """A DELETE that is resent after a lost response and gets a 404 is done."""
    harness.plane.app("a", "chat")
    reviewed = await harness.review(desired_app("a", slots={}))
    harness.plane.break_with({"operation": "apps.delete_slot", "action": "cut_before"})

    def interfere(_: httpx.Request, number: int) -> None:
        if number == 2:
            harness.plane.send("DELETE", "/apps/a/slots/chat")

    (outcome,) = (await harness.apply(reviewed, transport=Tap(before=interfere))).outcomes
    assert (outcome.status.value, outcome.message) == ("done", "it was already gone")


async def test_many_lost_responses_cost_one_read_each(harness: Harness) -> None:
    """If every response to a slot's PUT is lost after its effect, each slot takes two requests, and all actions are done."""
    desired = desired_app("a", slots={capability: {} for capability in ("chat", "tts", "vision")})
    harness.plane.app("a")
    reviewed = await harness.review(desired)
    harness.plane.log()
    harness.plane.break_with({"operation": "apps.put_slot", "action": "cut_after", "times": None})
    applied = await harness.apply(reviewed)
    assert {outcome.message for outcome in applied.outcomes} == {
        "the response was lost; a read shows that the write took effect"
    }
    assert len(harness.plane.log()) == 6


class Lagging(Tap):
    """A transport to a control plane whose reads lag: the first write takes effect unanswered, and no GET shows it.

    `refusal` is the status of every later response to a write. Without it, the control plane answers them itself.
    """

    def __init__(self, refusal: int | None = None) -> None:
        super().__init__()
        self._refusal = refusal
        self._old: dict[str, httpx.Response] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a GET with the state before the first write, once that was sent."""
        if request.method == "GET":
            return self._old.get(request.url.path) or await super().handle_async_request(request)
        if self.writes and self._refusal is not None:
            self.writes.append(request)
            return httpx.Response(self._refusal, json={"code": "refused", "message": "No"})
        is_first = not self.writes
        for section in ("", "/targets", "/slots", "/inference-config", "/deployments") if is_first else ():
            url = request.url.copy_with(path=f"/api/v1/apps/a{section}", query=None)
            self._old[url.path] = await super().handle_async_request(
                httpx.Request("GET", url, headers={"Authorization": request.headers["Authorization"]})
            )
        response = await super().handle_async_request(request)
        if is_first:
            raise httpx.ReadTimeout("the response is lost")
        return response


# A second attempt succeeds if the write is repeatable. Otherwise it gets a 409 or a 404.
_REPEATABLE = {"update app", "put new slot", "put live slot", "put new config", "put live config"}


@pytest.mark.parametrize("kind", CASES)
async def test_a_write_that_took_effect_never_counts_as_failed_because_reads_lag(harness: Harness, kind: str) -> None:
    """A 409 that names the app itself is done. Any other refusal after a lost response leaves the outcome unknown."""
    case = CASES[kind]
    case.prepare(harness.plane)
    reviewed = await harness.review(case.desired)
    before = len(harness.events())
    lagging = Lagging()
    applied = await harness.apply(reviewed, transport=lagging)
    (outcome,) = applied.outcomes
    is_done = kind in _REPEATABLE | {"register target"}
    expected = ("done", "") if is_done else ("failed", "outcome-unknown")
    assert (outcome.status.value, outcome.reference) == expected, outcome.message
    assert outcome.retryable is not is_done
    assert applied.wrote
    assert len(lagging.writes) == 2
    assert kind in _REPEATABLE or len(harness.events()) == before + 1
    assert (await harness.review(case.desired)).plan.actions == ()


@pytest.mark.parametrize("status", [403, 404, 422])
@pytest.mark.parametrize("kind", ["create app", "put live slot", "remove target", "enable capability"])
async def test_a_refusal_after_a_lost_response_leaves_the_outcome_unknown(
    harness: Harness, kind: str, status: int
) -> None:
    """The refusal concerns the second attempt, not the first: its message is shown, and the outcome stays unknown."""
    case = CASES[kind]
    case.prepare(harness.plane)
    reviewed = await harness.review(case.desired)
    applied = await harness.apply(reviewed, transport=Lagging(status))
    (outcome,) = applied.outcomes
    assert (outcome.status.value, outcome.reference) == ("failed", "outcome-unknown")
    assert "No (" in outcome.message
    assert str(status) in outcome.message
    assert applied.wrote
    assert (await harness.review(case.desired)).plan.actions == ()


async def test_a_refusal_after_a_lost_response_leads_to_a_read(harness: Harness) -> None:
    """If the read shows the first attempt, the outcome is done. A change by another user on top of it is left alone."""
    CASES["create app"].prepare(harness.plane)
    for kind, foreign, result in (("create app", False, "done"), ("put new slot", True, "stale")):
        reviewed = await harness.review(CASES[kind].desired)

        def interfere(_: httpx.Request, number: int, kind: str = kind, foreign: bool = foreign) -> None:
            if number == 2:
                CASES[kind].interfere(harness.plane) if foreign else harness.plane.send(
                    "POST", "/apps", {"slug": "a", "name": "Ours"}
                )
                harness.plane.break_with({"operation": "*", "action": "status", "status": 422, "times": 1})

        harness.plane.break_with({"operation": CASES[kind].operation, "action": "cut_before"})
        applied = await harness.apply(reviewed, transport=Tap(before=interfere))
        assert applied.outcomes[0].status.value == result
        assert applied.wrote
