"""`octosync status`: live state with at most 7 requests per app; a failed read is never shown as an empty result."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import pty
import re
import signal
import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from tests.support.clients import KEY
from tests.support.embedded_planes import ok, run_plane
from tests.support.projects import Project
from tests.support.virtual_time import skipped_pauses
from tests.support.workdirs import CommandResult, Process

from octosync.contract import CAPABILITIES
from octosync.server import Token

ONE_APP = [
    "GET /apps/demo",
    "GET /apps/demo/activity",
    "GET /apps/demo/deployments",
    "GET /apps/demo/first-request",
    "GET /apps/demo/health",
    "GET /apps/demo/routing/stats",
    "GET /apps/demo/slots",
]
PARTS = {
    "apps.get": "app",
    "apps.list_slots": "slots",
    "apps.deployments": "deployments",
    "apps.health": "coverage",
    "apps.first_request": "first_request",
    "apps.routing_stats": "routing",
    "apps.activity": "last_change",
}


def status(project: Project, *arguments: str, **more: Any) -> CommandResult:
    """Run the command without a rate limit."""
    return project.workdir.octosync("status", *arguments, "--url", project.url, "--rate", "0", **more)


def document(project: Project, *arguments: str, code: int = 0) -> dict[str, Any]:
    """Run the command and return its JSON."""
    ran = status(project, *arguments, "-o", "json")
    assert ran.code == code, ran.output
    shown: dict[str, Any] = json.loads(ran.stdout)
    return shown


@pytest.fixture
def busy(project: Project) -> Project:
    """Create an app with a canary in production, a deployment in staging, a slot without a deployment, and traffic."""
    plane = project.plane
    app = plane.with_app()
    plane.with_target(app)
    plane.with_devices(40)
    plane.with_slot(app, "chat", serving_policy="local_first", model_variant_id="chat-steady-3b-q4")
    custom = {"routing_mode": "auto", "fallback": {"allow_cloud_fallback": False, "allow_local_fallback": True}}
    plane.with_slot(app, "vision", serving_policy=custom)
    for environment in ("production", "staging"):
        ok(plane.api.post(f"{app}/capabilities/chat/enable", json={"environment": environment}), 201)
    variants = ok(plane.local.get("/catalog"))["variants"]
    better = {
        **next(variant for variant in variants if variant["capability"] == "chat"),
        "id": "chat-best",
        "name": "Best",
    }
    better |= {"quality": 9, "latency": 0.1, "platforms": ["ios"], "min_device_class": "low"}
    ok(plane.local.put("/catalog", json={"variants": [*variants, better]}))
    ok(plane.api.post(f"{app}/capabilities/chat/optimize", json={"environment": "production"}))
    plane.tick(180)
    request = {"app_slug": "demo", "capability": "chat", "latency_ms": 20}
    ok(plane.local.post("/requests", json={**request, "route": "local", "count": 3}))
    ok(plane.local.post("/requests", json={**request, "route": "cloud", "count": 1}))
    project.log()
    return project


@pytest.mark.parametrize("slots", [0, 1, 3, len(CAPABILITIES)])
def test_an_app_costs_seven_requests_for_any_number_of_slots(project: Project, slots: int) -> None:
    """Each part is read once, by GET, and the report has the number of requests."""
    app = project.plane.with_app()
    for capability in CAPABILITIES[:slots]:
        project.plane.with_slot(app, capability)
    project.log()
    ran = status(project, "demo")
    assert ran.code == 0
    assert ran.stderr == ""
    assert sorted(project.log()) == ONE_APP
    assert ran.stdout.endswith("Read with 7 requests.\n")
    assert ran.stdout.count("@app/demo/") == slots


def test_only_the_first_page_of_a_list_is_read(busy: Project) -> None:
    """The status mentions that, and an object beyond the first page is not reported as missing."""
    fault = {"action": "set_answer_field", "field": "total", "value": 130, "times": None}
    busy.break_with({"operation": "apps.deployments", **fault}, {"operation": "apps.list_slots", **fault})
    shown = document(busy, "demo")
    assert sorted(busy.log()) == ONE_APP
    assert shown["apps"][0]["incomplete"] == ["deployments", "slots"]
    text = status(busy, "demo").stdout
    assert "Only the first page of its deployments was read" in text
    assert "Only the first page of its slots was read" in text
    assert "not deployed" not in text


def test_a_list_of_slots_without_bindings_is_enough(busy: Project) -> None:
    """A list that omits bindings needs no further request."""
    busy.break_with({"operation": "apps.list_slots", "action": "drop_answer_field", "field": "slots.bindings"})
    assert document(busy, "demo")["apps"][0]["slots"][0]["policy"] == "local_first"
    assert sorted(busy.log()) == ONE_APP


def test_the_document_has_the_live_state(busy: Project) -> None:
    """Reference, variant, policy, coverage, deployments with their canaries, traffic and the last change."""
    shown = document(busy, "demo")
    assert shown["format_version"] == "1.0"
    assert shown["cost"] == {"requests_used": 7}
    assert shown["errored"] is False
    (app,) = shown["apps"]
    assert (app["slug"], app["name"], app["archived"], app["errors"]) == ("demo", "demo", False, [])
    assert app["routing"] | {"average_latency_ms": None} == {
        "total_requests": 4,
        "local_requests": 3,
        "cloud_requests": 1,
        "local_share": 0.75,
        "average_latency_ms": None,
    }
    assert app["first_request"] == {"received": True, "at": "2026-03-01T12:03:00Z"}
    chat, vision = app["slots"]
    assert chat["model_reference"] == "@app/demo/chat"
    assert (chat["variant"], chat["policy"], vision["policy"]) == ("chat-steady-3b-q4", "local_first", "custom")
    assert chat["coverage"]["covered_share"] == 1.0
    assert [
        (deployment["environment"], deployment["status"], deployment["canary"]) for deployment in chat["deployments"]
    ] == [
        ("production", "active", {"percentage": 40.0, "candidate": "chat-best"}),
        ("staging", "completed", None),
    ]
    assert (vision["configured"], vision["variant"], vision["deployments"]) == (True, None, [])


def test_the_text_has_the_same(busy: Project) -> None:
    """The first line has the traffic and the last change, the table each slot's reference, devices and canary."""
    ok(busy.plane.api.patch("/apps/demo", json={"description": "Changed by hand"}))
    text = status(busy, "demo").stdout
    assert "demo  partial · 75% local · changed 2026-03-01 12:03 UTC by ci\n" in text
    chat = next(line for line in text.splitlines() if line.startswith("  @app/demo/chat "))
    assert re.split(" {2,}", chat)[2:4] == ["chat-steady-3b-q4", "local_first"]
    assert "canary 40% → chat-best" in chat
    assert "1 app: 1 partial, 1 canary running. Read with 7 requests.\n" in text


def test_a_deployment_without_a_slot_is_shown(busy: Project) -> None:
    """It is shown and marked as having no slot."""
    ok(busy.plane.api.delete("/apps/demo/slots/chat"), 204)
    chat = document(busy, "demo")["apps"][0]["slots"][0]
    assert (chat["configured"], chat["coverage"], len(chat["deployments"])) == (False, None, 2)
    assert "@app/demo/chat (no slot)" in status(busy, "demo").stdout


def test_a_rolled_back_deployment_is_shown_if_none_is_live(busy: Project) -> None:
    """An environment shows its live deployment, or else the last one that was rolled back."""
    rolled = document(busy, "demo")["apps"][0]["slots"][0]["deployments"][0]["id"]
    ok(busy.plane.local.post(f"/deployments/{rolled}", json={"status": "rolled_back"}))
    chat = document(busy, "demo")["apps"][0]["slots"][0]
    assert [(deployment["status"], deployment["live"]) for deployment in chat["deployments"]] == [
        ("rolled_back", False),
        ("completed", True),
    ]
    ok(busy.plane.api.post("/apps/demo/capabilities/chat/enable", json={"environment": "production"}), 201)
    chat = document(busy, "demo")["apps"][0]["slots"][0]
    assert [deployment["status"] for deployment in chat["deployments"]] == ["started", "completed"]


def test_a_part_that_cannot_be_read_is_an_error_in_its_place(busy: Project) -> None:
    """Everything else is shown, the part is null with its error named, and the exit code is 1."""
    whole = document(busy, "demo")["apps"][0]
    for (operation, part), code in itertools.product(PARTS.items(), (403, 501)):
        busy.break_with({"operation": operation, "action": "status", "status": code, "times": None})
        shown = document(busy, "demo", code=1)
        assert shown["errored"] is True
        (app,) = shown["apps"]
        assert [(error["part"], error["reference"]) for error in app["errors"]] == [
            (part, "forbidden" if code == 403 else "unavailable")
        ]
        assert app["errors"][0]["request_id"]
        hidden = {"app": {"name", "archived"}, "deployments": {"slots"}}.get(part, {part, "slots"})
        assert {key for key in app if app[key] != whole[key]} - {"errors"} <= hidden
        ran = status(busy, "demo")
        assert ran.code == 1
        assert f"demo, {part.replace('_', ' ')}: the control plane" in ran.stdout
        assert "? not read: " in ran.stdout


def test_a_failed_read_is_never_an_absence(busy: Project) -> None:
    """If slots or deployments can't be read, they are never reported as absent."""
    busy.break_with({"operation": "apps.deployments", "action": "status", "status": 403, "times": None})
    text = status(busy, "demo").stdout
    assert "not deployed" not in text
    assert "? not read: deployments (forbidden)" in text
    busy.break_with({"operation": "apps.list_slots", "action": "status", "status": 403, "times": None})
    text = status(busy, "demo").stdout
    assert "(no slot)" not in text
    assert "? not read: slots (forbidden)" in text
    (chat, _) = document(busy, "demo", code=1)["apps"][0]["slots"]
    assert (chat["configured"], chat["variant"], chat["policy"]) == (None, None, None)


def test_an_error_of_all_reads_is_one_error(busy: Project) -> None:
    """A control plane that is down, or refuses the key, is reported once, with its own exit code."""
    busy.break_with({"operation": "*", "action": "status", "status": 501, "times": None})
    down = status(busy, "demo")
    assert (down.code, down.stdout) == (75, "")
    assert down.stderr.startswith("error: unavailable: ")
    busy.break_with()
    refused = status(busy, "demo", OCTOMIL_API_KEY="oct_wrong")
    assert (refused.code, refused.stdout) == (1, "")
    assert refused.stderr.startswith("error: credential-refused: ")


@pytest.fixture
def org(project: Project) -> Project:
    """Create six apps, the last of them archived."""
    for number in range(1, 7):
        project.plane.with_slot(project.plane.with_app(f"app-{number}"))
    ok(project.plane.api.post("/apps/app-6/archive"))
    project.log()
    return project


def slugs(shown: dict[str, Any]) -> list[str]:
    return [app["slug"] for app in shown["apps"]]


def test_without_names_all_apps_are_shown(org: Project) -> None:
    """All unarchived apps are shown, with one list of each kind if that takes fewer requests than reads per app."""
    assert slugs(document(org)) == [f"app-{number}" for number in range(1, 6)]
    log = org.log()
    assert log.count("GET /apps") == log.count("GET /deployments") == log.count("GET /activity") == 1
    assert len(log) == 3 + 5 * 4


def test_events_with_app_ids_cost_no_more(org: Project) -> None:
    """Events with an ID and no slug are enough; a feed or a list that fails is replaced by reads per app."""
    whole = document(org)
    cost = len(org.log())
    org.break_with(
        {"operation": "activity.list", "action": "drop_answer_field", "field": "events.app_slug", "times": None}
    )
    shown = document(org)
    assert shown["apps"] == whole["apps"]
    assert len(org.log()) == cost
    down = {"action": "status", "status": 403, "times": None}
    org.break_with({"operation": "activity.list", **down}, {"operation": "deployments.list", **down})
    shown = document(org)
    assert shown["apps"] == whole["apps"]
    assert len(org.log()) == cost + 2 * 5


def test_archived_apps_are_shown_on_request(org: Project) -> None:
    """By their slug, or all of them with --archived."""
    assert slugs(document(org, "app-6")) == ["app-6"]
    assert slugs(document(org, "app-*", "app-6"))[-1] == "app-6"
    archived = document(org, "--archived")["apps"]
    assert [app["archived"] for app in archived] == [False] * 5 + [True]
    assert "app-6  archived · " in status(org, "app-6").stdout


def test_apps_are_named_by_slug_or_pattern(org: Project) -> None:
    """Slugs are read individually, patterns from the list; nothing is read twice."""
    assert slugs(document(org, "app-2", "app-1", "app-2")) == ["app-1", "app-2"]
    assert "GET /apps" not in org.log()
    assert slugs(document(org, "*-3", "app-1")) == ["app-1", "app-3"]
    log = org.log()
    assert log.count("GET /apps") == 1
    assert "GET /apps/app-1" not in log


def test_many_slugs_are_found_in_one_list(org: Project) -> None:
    """More than a few slugs are searched in the list, and only those that it hides are read individually."""
    assert len(document(org, *(f"app-{number}" for number in range(1, 7)))["apps"]) == 6
    reads = [line for line in org.log() if line.count("/") <= 2 and line.startswith("GET /apps")]
    assert reads == ["GET /apps", "GET /apps/app-6"]


@pytest.mark.parametrize(
    ("patterns", "message", "hint"),
    [
        (("ap-1",), "ap-1 is not an app of the org", "without names lists"),
        (("ap-1", "app-2"), "ap-1 is not an app of the org", "without names lists"),
        (("ap-1", "app-*"), "ap-1 is not an app of the org", "Did you mean app-1?"),
        (("x*",), "x* matches no app", "without names lists"),
        (("",), "'' is not a slug", "Is a variable not set?"),
    ],
)
def test_an_unknown_app_is_an_error(org: Project, patterns: tuple[str, ...], message: str, hint: str) -> None:
    """A typo is never an empty table; the nearest slug is suggested if the apps were listed."""
    ran = status(org, *patterns)
    assert ran.code == (64 if patterns == ("",) else 1)
    assert ran.stdout == ""
    assert message in ran.stderr
    assert hint in ran.stderr


@pytest.mark.parametrize("app", ["", "..", "a/b"])
def test_an_invalid_app_is_refused(project: Project, app: str) -> None:
    """An empty variable or a path would name something else: nothing is sent."""
    ran = status(project, app)
    assert ran.code == 64
    assert ran.stderr.startswith("error: no-slug: ")
    assert project.log() == []


def test_an_org_without_apps_is_no_error(project: Project) -> None:
    """The summary has the number 0."""
    ran = status(project)
    assert (ran.code, ran.stderr) == (0, "")
    assert "0 apps. Read with 1 request." in ran.stdout


@pytest.mark.usefixtures("preloaded")
def test_a_long_duration_is_announced(busy: Project) -> None:
    """It is printed before the reads that the rate limit slows down, with how to read less."""
    with busy.workdir.start("status", "demo", "--url", busy.url, "--rate", "3") as process:
        assert process.stderr is not None
        notice = process.stderr.readline().decode()
        process.kill()
    assert notice == "6 requests at 3 per minute take about 2 min. To read fewer apps: octosync status APP\n"


WAITING = """\
apiVersion: octosync.dev/v1
kind: App
metadata: {name: demo}
spec:
  slots:
    - {capability: chat, deploy: {environments: [production]}}
"""


TO_BE_APPROVED: dict[str, Any] = {"action": "status", "status": 403, "code": "approval_required", "times": 1}


@pytest.fixture
def waiting(project: Project) -> Project:
    """Create an app whose deployment to production awaits approval."""
    project.plane.with_slot(project.plane.with_app(), "chat")
    ok(project.plane.local.put("/policy", json={"require_approval": ["production"]}))
    project.declare("demo", text=WAITING)
    assert project.apply().code == 5
    return project


def test_a_pending_approval_is_shown_from_the_journal(waiting: Project) -> None:
    """The status has what awaits approval and since when, at no further request."""
    shown = document(waiting, "demo")
    (awaited,) = shown["awaiting_approval"]
    assert (awaited["address"], awaited["action"]) == ("app/demo/capability/chat@production", "enable")
    assert shown["cost"] == {"requests_used": 7}
    text = status(waiting, "demo").stdout
    assert "  awaits approval to enable chat in production, since " in text
    assert "1 awaiting approval" in text


def test_a_deployed_capability_awaits_nothing(waiting: Project) -> None:
    """Once it is deployed, nothing is pending; another app, journal or control plane has nothing pending either."""
    waiting.plane.with_app("other")
    assert document(waiting, "other")["awaiting_approval"] == []
    assert document(waiting, "demo", "--state", "none.db")["awaiting_approval"] == []
    assert not (waiting.workdir.directory / "none.db").exists()
    with run_plane(KEY, tokens=(Token("ci", KEY),)) as elsewhere:
        elsewhere.with_app()
        assert document(Project(elsewhere, waiting.workdir), "demo")["awaiting_approval"] == []
    ok(waiting.plane.local.put("/policy", json={"require_approval": []}))
    ok(waiting.plane.api.post("/apps/demo/capabilities/chat/enable", json={}), 201)
    assert document(waiting, "demo")["awaiting_approval"] == []


def test_an_app_that_awaits_approval_does_not_exist_yet(project: Project) -> None:
    """It is shown beside the apps of the org, and no longer once it exists."""
    project.plane.with_app("other")
    project.plane.inject("apps.create", **TO_BE_APPROVED)
    project.declare("demo")
    assert project.apply().code == 5
    text = status(project).stdout
    assert "demo  does not exist yet\n  awaits approval to create app demo, since " in text
    (awaited,) = document(project)["awaiting_approval"]
    assert awaited["address"] == "app/demo"
    assert document(project, "other")["awaiting_approval"] == []
    assert project.apply().code == 0
    assert document(project)["awaiting_approval"] == []


@pytest.mark.parametrize(
    ("operation", "before", "after"),
    [
        ("apps.put_slot", None, "{slots: [{capability: chat}]}"),
        ("apps.delete_slot", "{slots: [{capability: chat}]}", "{slots: []}"),
        ("apps.archive", "{}", "{archived: true}"),
    ],
)
def test_an_approved_change_awaits_nothing(project: Project, operation: str, before: str | None, after: str) -> None:
    """A slot that exists or is deleted, and an app that is archived, are no longer pending."""
    head = "apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: demo}\nspec: "
    project.declare("demo", text=head + (before or "{}"))
    assert project.apply().code == 0
    project.plane.inject(operation, **TO_BE_APPROVED)
    project.declare("demo", text=head + after)
    assert project.apply().code == 5
    assert len(document(project, "demo")["awaiting_approval"]) == 1
    project.workdir.directory.joinpath(".octosync/state.db").rename(project.workdir.directory / "kept.db")
    assert project.apply().code == 0
    assert document(project, "demo", "--state", "kept.db")["awaiting_approval"] == []


def test_an_unreadable_journal_is_reported(waiting: Project) -> None:
    """Pending approvals are then unknown, not empty; the rest is shown."""
    waiting.workdir.write("bad.db", "not a journal, and long enough to be recognised as such")
    ran = status(waiting, "demo", "--state", "bad.db", "-o", "json")
    assert ran.code == 0
    assert ran.stderr.startswith("error: journal-unusable: bad.db: ")
    assert "Pending approvals are not known." in ran.stderr
    assert json.loads(ran.stdout)["awaiting_approval"] is None


@contextmanager
def watching(project: Project, *arguments: str, **streams: Any) -> Iterator[Process]:
    """Watch an app with a short interval; kill the process at the end if it still runs."""
    with project.workdir.start(
        "status", "demo", "--watch=0.1", "--url", project.url, "--rate", "0", *arguments, **streams
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def until(process: Process, words: str) -> str:
    """Read standard output until a line that has some words, and return that line."""
    assert process.stdout is not None
    while line := process.stdout.readline().decode():
        if words in line:
            return line
    raise AssertionError(f"no line with {words!r}")


@pytest.mark.usefixtures("preloaded")
def test_watching_shows_changes_and_ends_with_a_signal(busy: Project) -> None:
    """Without a terminal each status is a separate block; Ctrl-C ends watching quietly, with its own code."""
    with watching(busy) as process:
        assert "40%" in until(process, "canary ")
        until(process, "Read with 7 requests.")
        busy.plane.tick(120)
        assert "60%" in until(process, "60%")
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        assert process.stderr is not None
        assert process.stderr.read() == b""


@pytest.mark.usefixtures("preloaded")
def test_watching_with_jsonl_is_a_line_per_status(busy: Project) -> None:
    """-o jsonl writes each status as a document on a line, with its cost; -o json is one document, so it is refused."""
    with watching(busy, "-o", "jsonl") as process:
        for _ in range(2):
            assert json.loads(until(process, "{"))["cost"] == {"requests_used": 7}
    refused = status(busy, "demo", "--watch", "-o", "json")
    assert refused.code == 64
    assert refused.stderr.startswith("error: endless-document: ")


@pytest.mark.usefixtures("preloaded")
def test_a_failed_read_is_reported_and_watching_continues(busy: Project) -> None:
    """From the first read on, a failed read is retried, and the status is shown once it succeeds."""
    busy.break_with({"operation": "*", "action": "status", "status": 501, "times": None})
    with watching(busy) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(b"error: unavailable: ")
        busy.break_with()
        until(process, "Read with 7 requests.")
        busy.break_with({"operation": "*", "action": "status", "status": 501, "times": None})
        while b"Retrying" not in process.stderr.readline():
            assert process.poll() is None
        busy.break_with()
        until(process, "Read with 7 requests.")


@pytest.mark.parametrize(("app", "key"), [("dmo", KEY), ("demo", "oct_wrong")])
def test_a_permanent_error_ends_watching(busy: Project, app: str, key: str) -> None:
    """A wrong name or a refused key is an error at once; a bare --watch takes no argument for its seconds."""
    ran = status(busy, "--watch", app, OCTOMIL_API_KEY=key)
    assert ran.code == 1
    assert ran.stdout == ""


@pytest.mark.usefixtures("preloaded")
def test_watching_redraws_in_place_on_a_terminal(busy: Project) -> None:
    """The previous status is erased, a line shows its age, and the cursor is visible again at the end."""
    user_end, program_end = pty.openpty()
    fcntl.ioctl(program_end, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 120, 0, 0))
    with watching(busy, stdout=program_end, stderr=program_end, environment={"TERM": "xterm"}) as process:
        os.close(program_end)
        seen = _read_until(user_end, b"as of ", b" 40%")
        busy.plane.tick(60)
        seen += _read_until(user_end, b"as of ", b" 50%")
        busy.break_with({"operation": "*", "action": "status", "status": 501, "times": None})
        seen += _read_until(user_end, b"unavailable")
        process.send_signal(signal.SIGINT)
        with suppress(OSError):  # reading at the end of a terminal raises this
            while piece := os.read(user_end, 65536):
                seen += piece
        assert process.wait() == 130
    os.close(user_end)
    assert b"\x1b[2K\x1b[1A" in seen  # erases lines
    assert seen.rstrip().endswith(b"\x1b[?25h")  # shows the cursor


def _read_until(terminal: int, *words: bytes) -> bytes:
    """Read from the terminal until all words have appeared, in their order."""
    seen = b""
    while not re.search(b".*".join(map(re.escape, words)), seen, re.DOTALL):
        seen += os.read(terminal, 65536)
    return seen


@pytest.mark.usefixtures("preloaded")
def test_a_terminal_that_cannot_move_its_cursor_gets_blocks(busy: Project) -> None:
    """TERM=dumb gets the output of a pipe: one block after another, without an escape."""
    user_end, program_end = pty.openpty()
    with watching(busy, stdout=program_end, environment={"TERM": "dumb"}) as process:
        os.close(program_end)
        seen = _read_until(user_end, b"Read with 7 requests.", b"Read with 7 requests.")
        process.kill()
    os.close(user_end)
    assert b"\x1b" not in seen


def test_a_short_status_has_one_line_for_each_app(busy: Project) -> None:
    """It has the deployments by environment, canaries and the last change; a sentence names what it leaves out."""
    busy.plane.with_app("empty")
    ran = status(busy, "--short")
    assert ran.code == 0, ran.output
    heading, demo, empty = ran.stdout.splitlines()[2:5]
    assert heading.split() == ["APP", "DEPLOYMENTS", "LAST", "CHANGE"]
    assert demo.startswith("demo   production 1, staging 1, 1 canary")
    assert empty.startswith("empty  —")
    assert "octosync status APP" in ran.stdout


def test_the_requests_of_a_short_status_do_not_grow_with_the_apps(project: Project) -> None:
    """Three lists of the org are read, one page of each, for any number of apps that fits into a page."""
    for count in (1, 12):
        for number in range(count):
            project.plane.api.post("/apps", json={"slug": f"app-{number}", "name": "A"})
        project.log()
        ran = status(project, "--short")
        assert ran.code == 0, ran.output
        assert sorted(project.log()) == ["GET /activity", "GET /apps", "GET /deployments"]
        assert sum(line.startswith("app-") for line in ran.stdout.splitlines()) == count
        assert "Read with 3 requests." in ran.stdout


def test_a_short_status_explains_an_empty_last_change(project: Project) -> None:
    """The feed is read one page deep, so the last change of an app may be older: that is stated only if a place is empty."""
    explanation = "No last change: the newest page of the activity feed has none."
    for number in range(101):  # a page has 100 events
        project.plane.api.post("/apps", json={"slug": f"app-{number:03}", "name": "A"})
    ran = status(project, "--short", "app-1*")
    assert (ran.code, explanation in ran.stdout) == (0, False)
    assert explanation in status(project, "--short").stdout.splitlines()


def test_a_list_that_can_not_be_read_is_an_error_of_a_short_status(busy: Project) -> None:
    """What other lists have is shown, and the exit code is 1: nothing that was not read looks like nothing."""
    busy.break_with({"operation": "deployments.list", "action": "status", "status": 500, "times": None})
    with skipped_pauses():
        ran = status(busy, "--short")
    assert ran.code == 1
    assert "demo  ? not read: " in ran.stdout
    assert "—" not in ran.stdout


@pytest.mark.parametrize("arguments", [("--declared",), ("--watch",), ("-o", "json"), ("-o", "jsonl")])
def test_a_short_status_is_text(project: Project, arguments: tuple[str, ...]) -> None:
    """--short with an option that it doesn't support is a usage error."""
    ran = status(project, "--short", *arguments)
    assert ran.code == 64
    assert "conflicting-flags: --short can't be used with" in ran.stderr
