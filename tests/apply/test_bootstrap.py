"""Bootstrap: sent once, its keys never recorded, and a lost response resolved by reading."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import httpx
import pytest
from tests.support.harness import Harness, Tap
from tests.support.plane import writes_in

from octosync.apply import BootstrapResult, FirstApp, bootstrap_app, check_slug_is_free
from octosync.errors import ExitCode, OctosyncError, RemoteError
from octosync.model import Status
from octosync.state import Journal, Record

ASKED = FirstApp(slug="notes", name="Notes", platform="ios", identifier="com.acme.notes")
SENT = "POST /api/v1/apps/bootstrap"
THERE = ["POST /api/v1/apps/bootstrap", "GET /api/v1/apps/notes", "GET /api/v1/apps/notes/targets"]
OPERATION = {"operation": "apps.bootstrap"}


async def bootstrap(
    harness: Harness, *, transport: Tap | None = None, may_send: Callable[[], bool] = lambda: True, **settings: Any
) -> BootstrapResult:
    """Bootstrap the app, recorded as a run."""
    with Journal(harness.journal) as journal:
        record = Record.begin(journal, control_plane=harness.plane.url, org_id=None, digest="sha256:0")
        async with harness.client(transport, **settings) as remote:
            return await bootstrap_app(ASKED, remote, record=record, may_send=may_send)


async def test_app_target_and_keys_in_one_request(harness: Harness) -> None:
    """One request creates everything. The result contains the keys, and its repr does not."""
    result = await bootstrap(harness)
    assert harness.plane.log() == [SENT]
    assert (result.error, result.wrote, result.made, result.unrecorded) == (None, True, ASKED, None)
    assert result.keys is not None
    assert result.keys.app.reveal().startswith("oct_app_test_")
    assert result.keys.publishable is not None
    assert result.keys.publishable.reveal().startswith("oct_pub_test_")
    assert "oct_" not in repr(result)
    assert harness.state()["notes"]["targets"] == ["ios:com.acme.notes"]


async def test_it_is_recorded_without_its_keys(harness: Harness) -> None:
    """Before the request the row has no end. Afterwards it has outcome and request id, and the file contains no key."""

    def about_to_go(_: httpx.Request, __: int) -> None:
        assert [action.status for action in harness.last_run()[1]] == [None]

    result = await bootstrap(harness, transport=Tap(before=about_to_go))
    (action,) = harness.last_run()[1]
    assert (action.verb, action.address, action.operation) == ("create", "app/notes", "apps.bootstrap")
    assert (action.status, action.request_ids) == (Status.DONE, result.outcome.request_ids)
    assert action.request_ids[0].startswith("req_")
    content = b"".join(file.read_bytes() for file in harness.journal.parent.glob(f"{harness.journal.name}*"))
    assert b"app/notes" in content
    assert b"oct_app_" not in content
    assert b"oct_pub_" not in content


LOST_BEFORE: list[dict[str, Any]] = [
    {"action": "cut_before"},
    {"action": "status", "status": 500},
    {"action": "status", "status": 503},
    {"action": "html"},
]
LOST_AFTER: list[dict[str, Any]] = [
    {"action": "cut_after"},
    {"action": "status", "status": 504, "when": "after"},
    {"action": "truncated"},
    {"action": "garbage"},
    {"action": "empty"},
    {"action": "drop_answer_field", "field": "app_key"},
    {"action": "set_answer_field", "field": "app_key", "value": "two\nlines"},
    {"action": "set_answer_field", "field": "app_key", "value": ""},
    {"action": "set_answer_field", "field": "app_key", "value": 7},
]


@pytest.mark.parametrize("fault", LOST_BEFORE, ids=lambda fault: f"{fault['action']} {fault.get('status', '')}")
async def test_a_request_without_effect_is_resent_after_a_read(harness: Harness, fault: dict[str, Any]) -> None:
    """If the response is lost, apply sends the request again only after a read shows that the app does not exist."""
    harness.plane.break_with({**OPERATION, **fault})
    result = await bootstrap(harness)
    assert harness.plane.log() == [SENT, "GET /api/v1/apps/notes", SENT]
    assert result.error is None
    assert result.keys is not None


@pytest.mark.parametrize("fault", LOST_AFTER, ids=lambda fault: f"{fault['action']} {fault.get('value', '')!r}")
async def test_a_request_that_took_effect_is_never_resent(harness: Harness, fault: dict[str, Any]) -> None:
    """If the app exists and its keys are lost, the error states where to get a key, and nothing is resent."""
    harness.plane.break_with({**OPERATION, **fault})
    result = await bootstrap(harness)
    assert harness.plane.log() == THERE
    assert (result.keys, result.wrote, result.outcome.status) == (None, True, Status.FAILED)
    assert result.error is not None
    assert (result.error.reference, result.error.exit_code) == ("keys-lost", ExitCode.PARTIAL)
    assert "app `notes` was created with its target ios:com.acme.notes" in result.error.message
    assert "lines" not in result.error.message
    assert "dashboard" in " ".join(result.error.hints)


async def test_a_request_that_never_takes_effect_is_given_up(harness: Harness) -> None:
    """After three attempts, each followed by a read, nothing was created, and the exit code is 75: retry later."""
    harness.plane.break_with({**OPERATION, "action": "cut_before", "times": None})
    result = await bootstrap(harness)
    assert writes_in(harness.plane.log()) == [SENT] * 3
    assert (result.wrote, result.outcome.status) == (False, Status.FAILED)
    assert result.error is not None
    assert result.error.exit_code is ExitCode.UNAVAILABLE
    assert harness.state() == {}


@pytest.mark.parametrize("read", ["apps.get", "apps.list_targets"])
async def test_without_a_read_nothing_is_claimed_or_resent(harness: Harness, read: str) -> None:
    """If the response is lost and the read fails, the error states that the app may exist, and nothing is resent."""
    harness.plane.break_with(
        {**OPERATION, "action": "cut_after"}, {"operation": read, "action": "status", "status": 403, "times": None}
    )
    result = await bootstrap(harness)
    assert writes_in(harness.plane.log()) == [SENT]
    assert result.wrote
    assert result.error is not None
    assert (result.error.reference, result.error.exit_code) == ("outcome-unknown", ExitCode.PARTIAL)


async def test_a_first_request_that_takes_effect_late(harness: Harness) -> None:
    """If the first request takes effect after the read, the second one meets its app: created, with lost keys."""

    def late(_: httpx.Request, number: int) -> None:
        if number == 1:
            raise httpx.ReadTimeout("nothing came")
        harness.plane.send("POST", "/apps/bootstrap", ASKED.body)

    result = await bootstrap(harness, transport=Tap(before=late))
    assert result.error is not None
    assert result.error.reference == "keys-lost"
    assert result.wrote


async def test_an_app_that_another_user_creates_meanwhile(harness: Harness) -> None:
    """A slug that is taken between read and request is refused like any existing app, and nothing is claimed."""
    harness.plane.send("POST", "/apps/bootstrap", ASKED.body)
    result = await bootstrap(harness)
    assert (result.wrote, result.keys) == (False, None)
    assert result.error is not None
    assert (result.error.reference, result.error.exit_code) == ("app-exists", ExitCode.ERROR)


async def test_an_app_without_the_target_belongs_to_another_user(harness: Harness) -> None:
    """Bootstrap is one transaction, so an app of that slug without the target did not come from the lost request."""
    harness.plane.break_with({**OPERATION, "action": "cut_before"})
    harness.plane.app("notes", target="com.acme.other")
    result = await bootstrap(harness)
    assert writes_in(harness.plane.log())[-1] == SENT
    assert result.error is not None
    assert (result.error.reference, result.wrote) == ("app-exists", False)


async def test_a_target_that_is_taken_names_its_holder(harness: Harness) -> None:
    """The error names the app that has the target and what to do. Nothing was created."""
    harness.plane.app("holder", target="com.acme.notes")
    result = await bootstrap(harness)
    assert (result.wrote, list(harness.state())) == (False, ["holder"])
    assert result.error is not None
    assert result.error.reference == "target-held-elsewhere"
    assert "the target ios:com.acme.notes is taken by app `holder`" in result.error.message
    assert "`holder`" in result.error.hints[0]


async def test_a_conflict_that_names_no_app(harness: Harness) -> None:
    """If a 409 names no holder and no app has the slug, the message states that another app has the target."""
    harness.plane.break_with({**OPERATION, "action": "status", "status": 409, "code": "conflict"})
    result = await bootstrap(harness)
    assert result.error is not None
    assert result.error.reference == "target-held-elsewhere"
    assert "another app of the org" in result.error.message


@pytest.mark.parametrize(
    ("status", "reference"), [(401, "credential-refused"), (403, "forbidden"), (422, "rejected"), (404, "missing")]
)
async def test_a_refusal_is_reported_unchanged(harness: Harness, status: int, reference: str) -> None:
    """After a refusal nothing was created, nothing is read and nothing is resent."""
    harness.plane.break_with({**OPERATION, "action": "status", "status": status, "code": "no"})
    result = await bootstrap(harness)
    assert harness.plane.log() == [SENT]
    assert (result.wrote, result.outcome.status) == (False, Status.FAILED)
    assert result.error is not None
    assert result.error.reference == reference


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "answer", "status": 202, "value": {"status": "pending_approval"}},
        {"action": "status", "status": 403, "code": "approval_required"},
    ],
    ids=["202", "403"],
)
async def test_an_approval_is_not_waited_for(harness: Harness, fault: dict[str, Any]) -> None:
    """If the request needs approval, that is the outcome (exit 5), and nothing was created."""
    harness.plane.break_with({**OPERATION, **fault})
    result = await bootstrap(harness)
    assert (result.outcome.status, result.wrote) == (Status.AWAITING_APPROVAL, False)
    assert result.error is not None
    assert result.error.exit_code is ExitCode.PARTIAL
    assert "dashboard" in result.error.hints[0]


@pytest.mark.parametrize(
    ("field", "value", "made"),
    [
        ("app.name", "NOTES", FirstApp(slug="notes", name="NOTES", platform="ios", identifier="com.acme.notes")),
        ("app.slug", "notes-1", FirstApp(slug="notes-1", name="Notes", platform="ios", identifier="com.acme.notes")),
        (
            "target.platform",
            "macos",
            FirstApp(slug="notes", name="Notes", platform="macos", identifier="com.acme.notes"),
        ),
        ("target.identifier", "x", FirstApp(slug="notes", name="Notes", platform="ios", identifier="x")),
    ],
)
async def test_an_app_that_differs_from_the_request_is_reported(
    harness: Harness, field: str, value: str, made: FirstApp
) -> None:
    """If the created app differs from the requested one, the result has its keys and its actual fields, and exit 5."""
    harness.plane.break_with({**OPERATION, "action": "set_answer_field", "field": field, "value": value})
    result = await bootstrap(harness)
    assert (result.outcome.status, result.wrote, result.made) == (Status.NOT_KEPT, True, made)
    assert result.keys is not None
    assert result.error is not None
    assert (result.error.reference, result.error.exit_code) == ("not-kept", ExitCode.PARTIAL)
    assert f"{field.partition('.')[2]} is `{value}`, not `" in result.error.message


@pytest.mark.parametrize("missing", ["app", "target", "publishable_key"])
async def test_a_field_missing_from_the_response_costs_no_key(harness: Harness, missing: str) -> None:
    """Only the app key is required. Other missing fields are assumed to be as requested."""
    harness.plane.break_with({**OPERATION, "action": "set_answer_field", "field": missing, "value": None})
    result = await bootstrap(harness)
    assert (result.error, result.made) == (None, ASKED)
    assert result.keys is not None
    assert (result.keys.publishable is None) is (missing == "publishable_key")


async def test_an_app_in_another_org_is_reported(harness: Harness) -> None:
    """If the key belongs to another org, the app is created there: the keys are returned with the error `wrong-org`."""
    harness.plane.break_with({**OPERATION, "action": "set_answer_field", "field": "app.org_id", "value": "org-2"})
    org = harness.plane.send("POST", "/apps", {"slug": "other", "name": "Other"})["org_id"]
    result = await bootstrap(harness, org=org)
    assert result.keys is not None
    assert result.error is not None
    assert result.error.reference == "wrong-org"
    assert "org-2" in result.error.message


async def test_a_stop_before_the_request(harness: Harness) -> None:
    """Nothing is sent, and the journal records that."""
    result = await bootstrap(harness, may_send=lambda: False)
    assert harness.plane.log() == []
    assert (result.outcome.status, result.wrote) == (Status.NOT_ATTEMPTED, False)
    assert [action.status for action in harness.last_run()[1]] == [Status.NOT_ATTEMPTED]


async def test_a_kill_during_the_request_leaves_it_begun(harness: Harness) -> None:
    """It is unknown whether the request took effect, so its row has no end."""

    def kill(*_: object) -> None:
        runs[0].cancel()

    runs: list[asyncio.Future[BootstrapResult]] = []
    runs.append(asyncio.ensure_future(bootstrap(harness, transport=Tap(before=kill))))
    with pytest.raises(asyncio.CancelledError):
        await runs[0]
    assert [action.status for action in harness.last_run()[1]] == [None]


async def test_a_kill_before_the_request_is_recorded_as_not_attempted(harness: Harness) -> None:
    """Nothing was sent, so the outcome is known."""

    def may_send() -> bool:
        runs[0].cancel()
        raise asyncio.CancelledError

    runs: list[asyncio.Future[BootstrapResult]] = []
    runs.append(asyncio.ensure_future(bootstrap(harness, may_send=may_send)))
    with pytest.raises(asyncio.CancelledError):
        await runs[0]
    assert harness.plane.log() == []
    assert [action.status for action in harness.last_run()[1]] == [Status.NOT_ATTEMPTED]


async def test_a_journal_that_fails_costs_no_key(harness: Harness) -> None:
    """If the beginning can't be recorded, nothing is sent. If the end can't be recorded, the result is still returned."""
    with Journal(harness.journal) as journal, closing(sqlite3.connect(harness.journal)) as another:
        record = Record.begin(journal, control_plane=harness.plane.url, org_id=None, digest="sha256:0")

        def break_journal(*_: object) -> None:
            another.execute("alter table action rename to gone")

        async with harness.client(Tap(after=break_journal)) as remote:
            result = await bootstrap_app(ASKED, remote, record=record, may_send=lambda: True)
            assert result.keys is not None
            assert result.error is None
            assert result.unrecorded is not None
            assert result.unrecorded.reference == "journal-unusable"
            harness.plane.log()
            with pytest.raises(OctosyncError, match="journal"):
                await bootstrap_app(ASKED, remote, record=record, may_send=lambda: True)
    assert harness.plane.log() == []


async def test_a_taken_slug_is_refused_with_a_remedy(harness: Harness) -> None:
    """The error for an existing app has a remedy, and for an archived app it states that its slug stays taken.

    A free slug passes.
    """
    async with harness.client() as remote:
        await check_slug_is_free(ASKED, remote)
        harness.plane.app("notes")
        with pytest.raises(OctosyncError, match="app `notes` already exists") as raised:
            await check_slug_is_free(ASKED, remote)
        assert "Declare the target ios:com.acme.notes in its manifest" in raised.value.hints[0]
        assert "dashboard" in raised.value.hints[1]
        harness.plane.send("POST", "/apps/notes/archive")
        with pytest.raises(OctosyncError, match="is archived; an archived slug"):
            await check_slug_is_free(ASKED, remote)


async def test_a_failed_read_is_not_a_free_slug(harness: Harness) -> None:
    """Any failure to read the app is an error and never counts as its absence."""
    harness.plane.break_with({"operation": "apps.get", "action": "not_found", "times": None})
    async with harness.client() as remote:
        with pytest.raises(RemoteError):
            await check_slug_is_free(ASKED, remote)
