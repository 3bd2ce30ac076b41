from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.embedded_planes import JSON, EmbeddedPlane, client, invalid_fields, ok, refused, run_plane
from tests.support.examples import examples

from octosync.contract import OPERATIONS
from octosync.server import ServerSettings, Token, running_server


@pytest.fixture(scope="module")
def shared() -> Iterator[EmbeddedPlane]:
    """Return one control plane for all examples of a property; they may see each other's objects."""
    with run_plane() as plane:
        plane.with_target(plane.with_app("demo"))
        plane.with_slot("/apps/demo")
        plane.with_app("untouched")
        yield plane


@pytest.fixture
def own(plane: EmbeddedPlane) -> EmbeddedPlane:
    """Run a control plane for this test only, with an app whose config can be put."""
    plane.with_app("untouched")
    return plane


def put(plane: EmbeddedPlane, body: bytes, **headers: str) -> httpx.Response:
    """Send a body unchanged to an operation that accepts any JSON object."""
    return plane.api.put("/apps/untouched/inference-config", content=body, headers={**JSON, **headers})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1e400}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": 1, "a": 2}',
        b'{"a": "\\u0000"}',
        b'{"a": ["\\u001b"]}',
        b'{"\\u0007": 1}',
        b'{"a": "\\u0085"}',
        b'{"a": "\\ud800"}',
        b'{"\\udc00": 1}',
        b'{"a": "\xff"}',
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a":' * 70 + b"1" + b"}" * 70,
        b'{"a":' + b"[" * 500 + b"]" * 500 + b"}",
    ],
)
def test_a_body_that_is_no_clean_json_is_refused(own: EmbeddedPlane, body: bytes) -> None:
    """Not UTF-8, not JSON, too deep, duplicate keys, NaN, control characters, lone surrogates: 422, and nothing is stored."""
    ok(put(own, b'{"before": true}'))
    refused(put(own, body), 422, "validation_error")
    assert ok(own.api.get("/apps/untouched/inference-config")) == {"before": True}


def test_text_may_hold_tabs_line_breaks_and_anything_visible(own: EmbeddedPlane) -> None:
    """Tab, line breaks, emoji and surrogate pairs are stored."""
    config = {"text": "a\tb\nc\r\n 😀 é \u200b"}
    assert ok(put(own, json.dumps(config).encode())) == config


def test_a_path_of_a_deep_problem_is_named(own: EmbeddedPlane) -> None:
    """The error names the position of a control character."""
    assert invalid_fields(put(own, b'{"a": [0, {"b": "\\u0001"}]}')) == ["a[1].b"]
    assert invalid_fields(put(own, b'{"a": {"\\u0001": 0}}')) == ["a"]


def test_a_body_must_say_that_it_is_json(own: EmbeddedPlane) -> None:
    """Other content types, or none, are refused, because a web page can make a browser send them. Any JSON type is accepted."""
    for type_ in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "x/json", ""):
        assert invalid_fields(put(own, b"{}", **{"Content-Type": type_})) == ["header.content-type"]
    none = own.api.put("/apps/untouched/inference-config", content=b"{}")
    assert invalid_fields(none) == ["header.content-type"]
    for type_ in ("application/json; charset=utf-8", "Application/JSON", "application/merge-patch+json"):
        ok(put(own, b"{}", **{"Content-Type": type_}))


FOREIGN = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://[broken"},
    {"Origin": "http://127.0.0.1.evil.example"},
    {"Origin": "http://127.0.0.1@evil.example"},
    {"Origin": "http://203.0.113.9"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]
OWN = [
    {},
    {"Host": "localhost:1"},
    {"Host": "LOCALHOST."},
    {"Host": "[::1]:8787"},
    {"Host": "plane.localhost"},
    {"Origin": "http://localhost:3000", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "http://127.0.0.1"},
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none"},
]
REBOUND = [
    "evil.example",
    "127.0.0.1.evil.example",
    "evil.example:80",
    "a@127.0.0.1",
    "203.0.113.9",
    "[broken",
    "127.0.0.1:x",
]


@pytest.mark.parametrize("path", ["/api/v1/apps", "/_local/requests-log", "/openapi.json", "/elsewhere"])
def test_no_web_page_of_another_site_is_answered(own: EmbeddedPlane, path: str) -> None:
    """Any request that a page can make a browser send is refused unread, and so is a rebound host name."""
    own.inject("apps.list", "status", status=503)
    url = own.running.url + path
    for headers in FOREIGN:
        refused(own.local.get(url, headers=headers), 403, "cross_site_request")
    for host in REBOUND:
        refused(own.local.get(url, headers={"Host": host}), 421, "host_unknown")
    statuses = [own.local.get(url, headers=headers).status_code for headers in OWN]
    expected = {"/elsewhere": 404}.get(path, 200)
    assert statuses == [503 if path.startswith("/api") else expected] + [expected] * (len(OWN) - 1)


def test_a_web_page_of_another_site_changes_nothing(plane: EmbeddedPlane) -> None:
    """A POST without a body, which a page can send without a preflight, archives nothing; neither does a simple request."""
    app = plane.with_app("victim")
    for headers in FOREIGN:
        refused(plane.api.post(f"{app}/archive", headers=headers), 403, "cross_site_request")
        body = {"slug": "planted", "name": "Planted"}
        refused(plane.api.post("/apps", json=body, headers=headers), 403, "cross_site_request")
    typeless = plane.api.post("/apps", content=b'{"slug": "planted", "name": "Planted"}')
    assert invalid_fields(typeless) == ["header.content-type"]
    assert [(app["slug"], app["archived_at"]) for app in ok(plane.api.get("/apps"))["apps"]] == [("victim", None)]
    ok(plane.api.post(f"{app}/archive"))


def test_a_server_for_others_is_known_by_the_names_that_it_is_given() -> None:
    """With a wildcard address any IP address is accepted, and host names only if they are allowed; keys are still required."""
    for_others = ServerSettings(tokens=(Token.parse("s"),), hosts=("plane.internal",))
    with running_server(for_others, host="0.0.0.0") as plane, client("") as caller:  # noqa: S104  the point of the test
        url = f"http://127.0.0.1:{httpx.URL(plane.url).port}/api/v1/apps"
        key = {"Authorization": "Bearer s"}
        for host in ("plane.internal:8787", "203.0.113.9", "[2001:db8::1]:80", "localhost"):
            ok(caller.get(url, headers={"Host": host, **key}))
            refused(caller.get(url, headers={"Host": host}), 401, "invalid_api_key")
        refused(caller.get(url, headers={"Host": "evil.example", **key}), 421, "host_unknown")
        ok(caller.get(url, headers={"Origin": "http://plane.internal", **key}))
        refused(caller.get(url, headers={"Origin": "http://203.0.113.9", **key}), 403, "cross_site_request")


def test_a_body_has_at_most_one_mib(own: EmbeddedPlane) -> None:
    """A body of 1 MiB is accepted, one byte more is a 413, however it is sent; the connection can be used again."""
    filler = b" " * (1024 * 1024 - 2)
    ok(put(own, b"{}" + filler))
    refused(put(own, b"{}" + filler + b" "), 413, "payload_too_large")

    def chunks() -> Iterator[bytes]:
        for _ in range(40):
            yield b" " * 65536

    refused(own.api.put("/apps/untouched/inference-config", content=chunks(), headers=JSON), 413, "payload_too_large")
    ok(own.api.get("/apps"))


def test_a_body_without_end_is_not_read_to_the_end(own: EmbeddedPlane) -> None:
    """Far beyond the limit the connection is closed, and the control plane keeps running."""

    def chunks() -> Iterator[bytes]:
        yield from [b" " * 1024 * 1024] * 48

    try:
        refused(
            own.api.put("/apps/untouched/inference-config", content=chunks(), headers=JSON), 413, "payload_too_large"
        )
    except httpx.TransportError:
        assert own.log()[-1]["status"] == 413
    ok(own.api.get("/apps"))


def test_many_problems_are_named_up_to_a_hundred(own: EmbeddedPlane) -> None:
    """A response stays small, whatever the number of errors is."""
    answer = own.api.put("/apps/untouched/slots/chat", json={"bindings": [1] * 5000})
    assert len(invalid_fields(answer)) == 100


def test_unknown_routes_and_methods_are_fastapis_own(own: EmbeddedPlane) -> None:
    """An unknown route is a bare 404, an unknown method a 405, both with a request id."""
    for answer, status, detail in (
        (own.api.get("/nowhere"), 404, "Not Found"),
        (own.api.get("/apps/"), 404, "Not Found"),
        (own.api.put("/apps"), 405, "Method Not Allowed"),
    ):
        assert (answer.status_code, answer.json()) == (status, {"detail": detail})
        assert answer.headers["X-Request-Id"]


def test_every_request_has_its_own_id(own: EmbeddedPlane) -> None:
    """Ids are in the header, in the error and in the log, and each request has a different one."""
    answers = [own.api.get("/apps"), own.api.get("/apps/none"), own.api.get("/none")]
    ids = [answer.headers["X-Request-Id"] for answer in answers]
    assert len(set(ids)) == 3
    assert [entry["request_id"] for entry in own.log()[-3:]] == ids


_TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)
_FIELDS = (
    "slug", "name", "description", "platform", "identifier", "serving_policy", "routing_mode", "routing_preference",
    "fallback", "bindings", "preferred_engines", "public_client_allowed", "model_variant_id", "environment", "device_class",
    "count", "seconds", "variants", "capability", "route", "latency_ms", "app_slug", "status", "require_approval",
)  # fmt: skip
_LIKELY = st.sampled_from(
    ("demo", "ios", "local_first", "auto", "local", "chat", "production", "mid", 1, 10**400, True, {})
)
_BODY = st.dictionaries(st.sampled_from(_FIELDS) | _TEXT, _LIKELY | _JSON, max_size=6)
_SEGMENT = st.sampled_from(("demo", "chat", "none", "bootstrap")) | st.text(min_size=1, max_size=8).map(
    lambda text: text.encode("utf-8", "replace").decode()
)


@examples(150)
@given(
    operation=st.sampled_from(sorted(OPERATIONS)),
    segments=st.tuples(_SEGMENT, _SEGMENT),
    body=_BODY | _JSON,
    query=st.dictionaries(
        st.sampled_from(("limit", "offset", "org_id", "app_id", "include_archived")), _TEXT, max_size=3
    ),
)
def test_nothing_a_client_sends_makes_a_500(
    shared: EmbeddedPlane, operation: str, segments: tuple[str, str], body: Any, query: dict[str, str]
) -> None:
    """Any operation with any names, body and query gets a status below 500 and valid JSON."""
    slug, other = segments
    at = OPERATIONS[operation]
    answer = shared.api.request(
        at.method,
        at.url({"slug": slug, "capability": other, "target_id": other}),
        content=json.dumps(body).encode(),
        headers=JSON,
        params=query,
    )
    assert answer.status_code < 500
    assert answer.status_code == 204 or answer.json() is not None
    assert answer.headers["X-Request-Id"]


_CONTROLS = (
    ("POST", "/devices"), ("POST", "/requests"), ("POST", "/deployments/none"), ("PUT", "/catalog"), ("PUT", "/policy"),
)  # fmt: skip


@examples(60)
@given(at=st.sampled_from(_CONTROLS), body=_BODY)
def test_nothing_a_test_sends_to_the_controls_makes_a_500(
    shared: EmbeddedPlane, at: tuple[str, str], body: Any
) -> None:
    """The local controls are as strict as the operations."""
    method, path = at
    assert shared.local.request(method, path, content=json.dumps(body).encode(), headers=JSON).status_code < 500


@examples(60)
@given(body=st.binary(max_size=60))
def test_any_bytes_are_answered(shared: EmbeddedPlane, body: bytes) -> None:
    """Bytes that are not JSON are always a 422."""
    assert put(shared, body).status_code in {200, 422}
