"""Health, readiness, metrics and JSON; the headers of every response, and which requests are rejected."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jsonschema
import pytest
from tests.support.controller_http import app_client, web_options
from tests.support.controller_statuses import (
    NOW,
    RecordingApi,
    bad_manifests,
    busy_status,
    commit_status,
    held_app,
    held_plan,
    quiet_app,
    run_status,
    status_of,
    suspended,
)
from tests.support.states import desired_app

from octosync.errors import OctosyncError
from octosync.model import Secret
from octosync.plan import Plan
from octosync.report import visible
from octosync.watch.status import (
    AppReconcileStatus,
    AppState,
    CircuitReason,
    CommitStatus,
    ControllerStatus,
    FreezeStatus,
)
from octosync.watch.web import create_app, watch_schema

_PAGES = ("/", "/apps", "/apps/canary-demo", "/api/status", "/healthz", "/readyz", "/metrics")


@pytest.mark.parametrize(
    ("status", "health", "readiness"),
    [
        (status_of(), (200, "ok\n"), (200, "ok\n")),
        (
            status_of(healthy=False, turned_at=NOW),
            (503, "the control loop makes no progress since 2030-01-01 14:03 UTC\n"),
            (200, "ok\n"),
        ),
        (status_of(ready=False, credential="401: revoked"), (200, "ok\n"), (503, "401: revoked\n")),
        (status_of(ready=False, outage="no connection"), (200, "ok\n"), (503, "no connection\n")),
        (
            status_of(ready=False, full_read_at=None, full_read_total=41, full_read_done=12),
            (200, "ok\n"),
            (503, "first resync: 12 of 41 apps; not all apps have been reconciled yet\n"),
        ),
        (
            status_of(ready=False, full_read_total=3, full_read_done=1),
            (200, "ok\n"),
            (503, "1 of 3 apps read that may have changed; not all apps have been reconciled yet\n"),
        ),
        (status_of(ready=False), (200, "ok\n"), (503, "not all apps have been reconciled yet\n")),
        (
            status_of(ready=False, valid=False, loaded_at=None, full_read_at=None),
            (200, "ok\n"),
            (503, "the manifests can't be loaded, and none are in use yet\n"),
        ),
    ],
)
async def test_probes_report_the_cause(
    status: ControllerStatus, health: tuple[int, str], readiness: tuple[int, str]
) -> None:
    """A probe is 200 with ok, or 503 with the cause."""
    async with app_client(RecordingApi(current=status)) as client:
        responses = [await client.get("/healthz"), await client.get("/readyz")]
    assert [(response.status_code, response.text) for response in responses] == [health, readiness]


async def test_a_probe_reads_no_app() -> None:
    """A probe does not ask for the status of the apps, of which there may be thousands."""

    class WithoutStatus(RecordingApi):
        def status(self) -> ControllerStatus:
            raise AssertionError("asked for every app")

    async with app_client(WithoutStatus(current=status_of())) as client:
        assert [(await client.get(path)).text for path in ("/healthz", "/readyz")] == ["ok\n", "ok\n"]


async def test_metrics_are_served_as_rendered(client: httpx.AsyncClient) -> None:
    """The bytes and their content type are those of the renderer."""
    response = await client.get("/metrics")
    assert response.content == b"octosync_apps 1\n"
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


async def test_every_response_has_strict_headers(client: httpx.AsyncClient) -> None:
    """Pages, documents, files and errors have the same headers. Caches keep only files, and those for good."""
    style = (await client.get("/")).text.partition('rel="stylesheet" href="')[2].partition('"')[0]
    responses = [await client.get(path) for path in (*_PAGES, style, "/nope", "/hold")] + [await client.post("/hold")]
    for response in responses:
        policy = response.headers["content-security-policy"].split("; ")
        assert {"default-src 'none'", "script-src 'self'", "style-src 'self'", "form-action 'self'"} <= set(policy)
        assert {"base-uri 'none'", "frame-ancestors 'none'"} <= set(policy)
        assert not [rule for rule in policy if "unsafe" in rule or "http" in rule or "*" in rule]
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "same-origin"
        assert "access-control-allow-origin" not in response.headers
        assert "set-cookie" not in response.headers
        caching = response.headers["cache-control"]
        assert caching == ("public, max-age=31536000, immutable" if response.url.path == style else "no-store")


async def test_a_defect_has_the_headers_and_shows_nothing(api: RecordingApi) -> None:
    """A defect is a 500 with the same headers and without the text of the exception."""

    def broken() -> bytes:
        raise RuntimeError("inside")

    async with app_client(api, metrics=broken) as client:
        response = await client.get("/metrics")
    assert response.status_code == 500
    assert response.json()["error"]["reference"] == "internal-error"
    assert "inside" not in response.text
    assert "content-security-policy" in response.headers


async def test_pages_load_only_files_of_this_server(client: httpx.AsyncClient) -> None:
    """Each URL that a page loads is served here. Nothing is inline."""
    for path in ("/", "/apps", "/apps/canary-demo"):
        html = (await client.get(path)).text
        loaded = [
            part.partition('"')[0]
            for name in ('src="', 'rel="stylesheet" href="', 'rel="icon" type="image/svg+xml" href="')
            for part in html.split(name)[1:]
        ]
        assert len(loaded) == 3
        for url in loaded:
            assert url.startswith("/static/")
            assert (await client.get(url)).status_code == 200
        assert "style=" not in html
        assert "<script>" not in html
        assert " on" not in "".join(part.partition(">")[0] for part in html.split("<")[1:] if " on" in part)


async def test_a_file_of_another_version_is_not_found(client: httpx.AsyncClient) -> None:
    """The URL of a file depends on its content: an old one is 404, never the new file under the old name."""
    assert (await client.get("/static/style.0123456789abcdef.css")).status_code == 404
    assert (await client.get("/static/style.css")).status_code == 404
    assert (await client.get("/static/..%2Fapp.py")).status_code == 404


@pytest.mark.parametrize("path", _PAGES)
async def test_head_and_other_methods(client: httpx.AsyncClient, api: RecordingApi, path: str) -> None:
    """HEAD responds as GET does. A method that a path does not support is 405, with the supported ones."""
    got, head = await client.get(path), await client.head(path)
    assert (head.status_code, head.headers["content-type"]) == (got.status_code, got.headers["content-type"])
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        response = await client.request(method, path)
        assert response.status_code == 405
        assert "GET" in response.headers["allow"]
        assert response.json()["error"]["reference"] == "method-not-allowed"
    assert api.calls == []


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:9900", 200),
        ("localhost:9900", 200),
        ("LOCALHOST", 200),
        ("[::1]:9900", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example:9900", 421),
        ("localhost.evil.example", 421),
        ("[::1]evil.example", 421),
        ("127.0.0.1:9900@evil.example", 421),
        ("", 421),
    ],
)
async def test_on_loopback_only_its_own_names_are_served(api: RecordingApi, host: str, status: int) -> None:
    """A foreign name that resolves to 127.0.0.1 reads nothing, whether or not the server listens on the network."""
    async with app_client(api) as client:
        assert (await client.get("/", headers={"Host": host})).status_code == status


@pytest.mark.parametrize("path", ["/", "/healthz", "/metrics"])
@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("octosync.example.com", 200),
        ("OctoSync.example.com.:443", 200),
        ("octosync.octosync.svc:9900", 200),
        ("10.1.2.3:9900", 200),
        ("localhost:9900", 200),
        ("10.1.2.4:9900", 421),
        ("evil.example:9900", 421),
        ("octosync.example.com.evil.example", 421),
    ],
)
async def test_on_the_network_only_allowed_names_are_served(
    api: RecordingApi, host: str, status: int, path: str
) -> None:
    """They are --allowed-host, --external-url and the address of the connection, as probes and Prometheus use it."""
    app = create_app(web_options(api, hosts=("octosync.example.com", "octosync.octosync.svc")))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://10.1.2.3:9900") as client:
        assert (await client.get(path, headers={"Host": host})).status_code == status


async def test_commands_never_contain_a_malformed_host(api: RecordingApi) -> None:
    """The host of a request is put into commands only if it is a valid one."""
    async with app_client(api) as client:
        page = await client.get("/", headers={"Host": "x'; rm -rf ~ #"})
    assert "rm -rf" not in page.text


async def document_of(status: ControllerStatus) -> Any:
    """Return the document of a status."""
    async with app_client(RecordingApi(current=status)) as client:
        response = await client.get("/api/status")
    assert response.headers["content-type"] == "application/json"
    return response.json()


async def test_the_document_has_the_whole_status() -> None:
    """It has counts, alarms, budget, apps with drift and refusals, and runs, with times in UTC."""
    document = await document_of(suspended(busy_status()))
    assert document["format_version"] == "1.3"
    assert document["timestamp"] == "2030-01-01T14:03:20Z"
    assert document["counts"]["held"] == 2
    assert set(document["counts"]) == {state.value for state in AppState}
    assert document["suspended"] == {"at": "2030-01-01T13:33:20Z", "reason": "incident 4711"}
    assert document["budget"]["remaining"] == 63
    assert document["full_read"]["resync_seconds"] == 900
    assert document["replica"]["role"] == "alone"
    by_slug = {app["slug"]: app for app in document["apps"]}
    assert list(by_slug) == sorted(by_slug)
    drift = by_slug["canary-demo"]["drift"]
    assert drift == [
        {
            "address": "app/canary-demo/slot/vision",
            "actor": "ana@example.com",
            "at": "2030-01-01T14:01:20Z",
            "first_seen": "2030-01-01T14:02:05Z",
            "until": "2030-01-01T14:31:50Z",
            "contested": False,
            "heals": 0,
        }
    ]
    assert by_slug["canary-demo"]["resource_changes"][0]["held_until"] == "2030-01-01T14:31:50Z"
    assert by_slug["photos"]["hold"]["reason"] == "incident 4711: routing by hand"
    assert by_slug["search-eu"]["error"]["reference"] == "unavailable"
    assert by_slug["search-eu"]["resource_changes"] is None
    assert by_slug["voice"]["canaries"][0]["percentage"] == 40
    assert document["runs"][0]["outcomes"][1]["request_ids"] == ["req_81fa"]


async def test_the_document_has_owners_labels_and_commits() -> None:
    """An app has its owner and labels, without those whose key is sensitive; a run has its commit. Unknown facts are null."""
    status = _described_status()
    document = await document_of(status)
    facts = {app["slug"]: (app["owner"], app["labels"]) for app in document["apps"]}
    assert facts["photos"] == ("teams/media", {"team": "media"})
    assert facts["voice"] == (None, None)
    assert document["manifests"]["commit"]["url"] == "https://github.com/acme/apps/commit/3f9d2c1"
    unknown = {"revision": "a81f0c2", "author": None, "subject": None, "url": None}
    assert [(run["commit"], run["reverts_drift"]) for run in document["runs"]] == [(unknown, True), (None, False)]
    assert document["frozen"] == {"until": "2030-01-06T17:00:00Z", "timezone": "Europe/Berlin", "apps": 1}
    assert document["circuit"] == {"reason": "outage", "since": "2030-01-01T14:03:20Z", "next_probe": None}
    async with app_client(RecordingApi(current=status)) as client:
        for path in ("/apps", "/apps/photos", "/api/status"):
            assert "hunter2" not in (await client.get(path)).text


def _described_status() -> ControllerStatus:
    return replace(
        busy_status(),
        declared={"photos": desired_app("photos", labels={"team": "media", "api-token": "hunter2"})},
        owners={"photos": "teams/media"},
        commit=commit_status("3f9d2c1"),
        runs=(run_status(1, commit=CommitStatus(revision="a81f0c2"), is_revert=True), run_status(2)),
        frozen=FreezeStatus(until=datetime(2030, 1, 6, 17, tzinfo=UTC), timezone="Europe/Berlin", apps=1),
        circuit_open=CircuitReason.OUTAGE,
        circuit_since=NOW,
    )


@pytest.mark.parametrize(
    "status",
    [
        busy_status(),
        _described_status(),
        bad_manifests(suspended(busy_status())),
        replace(busy_status(), valid=False, load_error=OctosyncError("kustomize-failed", "it refuses", hints=("why",))),
        replace(busy_status(), about=None, outage="no connection"),
        ControllerStatus(now=NOW, started=NOW, version="0", control_plane=busy_status().control_plane),
    ],
)
async def test_the_document_matches_its_schema(status: ControllerStatus) -> None:
    """Every document has every key that the published schema names, of the type that it names, and no other key."""
    schema = _strict(watch_schema())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(await document_of(status), schema, cls=jsonschema.Draft202012Validator)


def _strict(schema: Any) -> Any:
    """Return a schema that rejects undescribed keys."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _strict(value) for name, value in schema.items()}
    described = isinstance(schema.get("properties"), dict) and schema.get("type") == "object"
    return {"additionalProperties": False, **closed} if described else closed


async def test_the_document_is_the_same_for_the_same_status() -> None:
    """The same status gives the same bytes, in whatever order its apps are."""
    status = busy_status()
    reversed_status = replace(status, apps=dict(reversed(list(status.apps.items()))))
    assert json.dumps(await document_of(status)) == json.dumps(await document_of(reversed_status))


async def test_without_facts_of_a_run_a_refusal_has_its_flag_only() -> None:
    """Before anything was loaded there is no command to complete. What is known is still included."""
    document = await document_of(replace(busy_status(), about=None))
    blocked = next(app["blocked"] for app in document["apps"] if app["slug"] == "search-old")
    assert (blocked[0]["override"], blocked[0]["trailer"]) == ("--allow-deletes 14", None)


async def test_sensitive_values_are_never_served() -> None:
    """The value of a sensitive key is in no page and no document, as it is in no plan."""
    secret = "hunter2-correct-horse"
    app = held_app(plan=held_plan_with(secret), drift=held_app().drift)
    async with app_client(RecordingApi(current=status_of(app, quiet_app("one")))) as client:
        for path in ("/", "/apps/canary-demo", "/api/status"):
            response = await client.get(path)
            assert response.status_code == 200
            assert secret not in response.text
        assert "(sensitive" in (await client.get("/apps/canary-demo")).text


def held_plan_with(secret: str) -> Plan:
    """Return the plan of the app with a secret in the bindings of its slot."""
    return held_plan("canary-demo", until=NOW + timedelta(minutes=3), bindings=[{"binding_key": "b", "token": secret}])


async def test_hostile_names_are_inert() -> None:
    """Markup, control characters and bidirectional controls are shown as visible text on all pages."""
    evil = '"><script>alert(1)</script>\u202e\x1b[31m/../&amp;'
    app = replace(
        held_app(evil, actor=evil),
        error=evil,
        reference=evil,
        hints=(evil,),
        why_waiting=evil,
        source=evil,
        state=AppState.FAILING,
    )
    status = status_of(app, feed_off=evil, outage=evil, credential=evil, mode="manifest", revision=evil)
    async with app_client(RecordingApi(current=suspended(status))) as client:
        listing = await client.get("/")
        url = listing.text.partition('<h3 id="')[2].partition('<a href="')[2].partition('"')[0]
        page = await client.get(url)
        missing = await client.get("/apps/nope" + url.removeprefix("/apps"), headers={"Accept": "text/html"})
    assert (listing.status_code, page.status_code, missing.status_code) == (200, 200, 404)
    for html in (listing.text, page.text, missing.text):
        assert "<script>alert" not in html
        assert "\u202e" not in html
        assert "\x1b" not in html
        assert "&lt;script&gt;alert(1)&lt;/script&gt;\\u202e\\x1b[31m" in html
    assert visible(evil) not in listing.text, "it is also escaped"


def test_the_token_is_in_no_repr() -> None:
    """The served options can be logged without the token."""
    assert "horse" not in repr(Secret("admin-correct-horse-battery"))


@dataclass
class _Ticking(RecordingApi):
    """An API whose time passes although nothing changes."""

    def status(self) -> ControllerStatus:
        """Return the status, a second later each time."""
        self.current = replace(self.current, now=self.current.now + timedelta(seconds=1))
        return self.current


class _CountedApps(dict[str, AppReconcileStatus]):
    """Apps that count their iterations, with which a rendering begins."""

    iterations = 0

    def values(self) -> Any:
        """Count the iteration."""
        self.iterations += 1
        return super().values()


@pytest.mark.parametrize("path", ["/api/status", "/", "/apps"])
async def test_many_clients_share_one_rendering(path: str) -> None:
    """After a change there is a new rendering, and the tag of the previous one is out of date."""
    apps = _CountedApps((f"app-{number:03}", quiet_app(f"app-{number:03}")) for number in range(300))
    api = _Ticking(current=replace(status_of(), apps=apps))
    async with app_client(api) as client:
        first = await client.get(path)
        once = apps.iterations
        assert once
        responses = await asyncio.gather(*(client.get(path) for _ in range(100)))
        assert apps.iterations == once
        assert {response.text for response in responses} == {first.text}
        known = {"If-None-Match": first.headers["etag"]}
        assert (await client.get(path, headers=known)).status_code == 304
        api.current = replace(api.current, outage="no connection", circuit_open=CircuitReason.OUTAGE)
        assert (await client.get(path, headers=known)).status_code == 200
        assert once < apps.iterations <= 2 * once


class _SlowApps(dict[str, AppReconcileStatus]):
    """Apps whose rendering waits until a probe has its response."""

    def __init__(self, apps: Mapping[str, AppReconcileStatus]) -> None:
        super().__init__(apps)
        self.is_probed = threading.Event()

    def values(self) -> Any:
        """Wait for the probe, which would never come if the event loop did the rendering."""
        assert self.is_probed.wait(20)
        return super().values()


@pytest.mark.parametrize("path", ["/api/status", "/"])
async def test_a_rendering_does_not_delay_a_probe(path: str) -> None:
    """While a page is rendered the event loop serves /healthz."""
    apps = _SlowApps({"app": quiet_app("app")})
    async with app_client(RecordingApi(current=replace(status_of(), apps=apps))) as client:
        page = asyncio.ensure_future(client.get(path))
        await asyncio.sleep(0)
        assert (await client.get("/healthz")).status_code == 200
        apps.is_probed.set()
        assert (await page).status_code == 200
