"""POST requests: who may send them, their parameters, and their results."""

from __future__ import annotations

import io
import json
from datetime import timedelta

import httpx
import pytest
from starlette.requests import Request
from tests.support.controller_http import AUTHORIZED, app_client
from tests.support.controller_statuses import ADMIN_TOKEN, RecordingApi, busy_status
from tests.support.controllers import FastClock

from octosync.errors import ConfigError, OctosyncError
from octosync.model import Secret
from octosync.watch.log import Log
from octosync.watch.settings import LogFormat
from octosync.watch.web.post_endpoints import POSTS, TokenAuthenticator, admin_token, respond_to_post

_PATHS = tuple(post.path for post in POSTS)


@pytest.mark.parametrize(
    ("path", "result", "call"),
    [
        ("/reconcile", {"queued": 16}, ("reconcile", {"app": None})),
        ("/reconcile?app=voice", {"queued": 1}, ("reconcile", {"app": "voice"})),
        ("/suspend", {"suspended": True}, ("suspend", {"reason": ""})),
        ("/suspend?reason=incident%204711", {"suspended": True}, ("suspend", {"reason": "incident 4711"})),
        ("/resume", {"suspended": False}, ("resume", {})),
        ("/release?app=voice", {"released": "voice"}, ("release", {"app": "voice"})),
        (
            "/approve?guard=deletes&seen=d1",
            {"approved": 14},
            ("approve", {"guard": "deletes", "seen": "d1", "apps": ()}),
        ),
        (
            "/approve?guard=deletes&app=a&app=b&seen=d1",
            {"approved": 14},
            ("approve", {"guard": "deletes", "seen": "d1", "apps": ("a", "b")}),
        ),
        (
            "/hold?app=voice&for=1h30m&reason=why+not",
            {
                "hold": {
                    "app": "voice",
                    "until": "2030-01-01T15:33:20Z",
                    "reason": "why not",
                    "at": "2030-01-01T14:03:20Z",
                }
            },
            ("hold", {"app": "voice", "duration": timedelta(minutes=90), "reason": "why not"}),
        ),
    ],
)
async def test_a_post_with_the_token_is_executed(
    client: httpx.AsyncClient, api: RecordingApi, path: str, result: object, call: object
) -> None:
    """The operation is called once, and the response has its result."""
    response = await client.post(path, headers=AUTHORIZED)
    assert (response.status_code, response.json()) == (200, result)
    assert api.calls == [call]


@pytest.mark.parametrize("path", _PATHS)
@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {ADMIN_TOKEN[:-1]}",
        f"Bearer {ADMIN_TOKEN}x",
        f"Basic {ADMIN_TOKEN}",
        ADMIN_TOKEN,
        "Bearer ünïcode",
    ],
)
async def test_without_the_token_nothing_is_done(
    client: httpx.AsyncClient, api: RecordingApi, path: str, authorization: str | None
) -> None:
    """A missing or wrong token is a 401 that explains how to send it, before any parameter is read."""
    headers = {} if authorization is None else {"Authorization": authorization.encode("latin-1")}
    response = await client.post(path, headers=headers)  # type: ignore[arg-type]  # bytes, for non-ASCII text
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")
    error = response.json()["error"]
    assert error["reference"] == "admin-token-refused"
    assert "Authorization: Bearer $OCTOSYNC_ADMIN_TOKEN" in error["hints"][0]
    assert ADMIN_TOKEN not in response.text
    assert api.calls == []


@pytest.mark.parametrize("given", ["app=voice&app=voice", f"token={ADMIN_TOKEN}", "access_token=x"])
async def test_the_token_is_read_from_the_header_only(client: httpx.AsyncClient, api: RecordingApi, given: str) -> None:
    """Neither the query nor a cookie authorizes, because a page of another site can make a browser send those."""
    response = await client.post(f"/reconcile?{given}", headers={"Cookie": f"token={ADMIN_TOKEN}"})
    assert response.status_code == 401
    assert api.calls == []


@pytest.mark.parametrize("path", _PATHS)
@pytest.mark.parametrize("token", [None, ""])
async def test_posts_are_disabled_without_a_token(api: RecordingApi, path: str, token: str | None) -> None:
    """A controller without a token rejects every POST, whatever it contains, and explains how to enable them."""
    async with app_client(api, admin_token=token) as client:
        responses = [
            await client.post(path, headers=headers) for headers in (AUTHORIZED, {"Authorization": "Bearer "}, {})
        ]
    for response in responses:
        assert response.status_code == 403
        assert response.json()["error"]["reference"] == "posts-disabled"
        assert "OCTOSYNC_ADMIN_TOKEN" in response.json()["error"]["hints"][0]
    assert api.calls == []


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/hold", "/hold needs app, for, reason"),
        ("/hold?app=voice&for=4h", "/hold needs reason"),
        ("/hold?app=voice&for=4h&reason=%20", "reason is empty"),
        ("/hold?app=voice&for=soon&reason=x", "for: 'soon' is not a duration such as 30m, 4h or 1h30m"),
        ("/hold?app=voice&for=0&reason=x", "for: the duration of a hold must not be zero"),
        ("/hold?app=voice&for=4h&reason=a%00b", "reason has a NUL character"),
        ("/hold?app=voice&for=4h&reason=" + "x" * 501, "reason has 501 characters; at most 500 are allowed"),
        ("/release", "/release needs app"),
        ("/approve", "/approve needs guard, seen"),
        ("/approve?guard=deletes", "/approve needs seen"),
        ("/approve?guard=bogus&seen=d1", "guard: unknown guard 'bogus'"),
        ("/approve?guard=", "guard is empty"),
        ("/reconcile?apps=voice", "'apps' is not a parameter of /reconcile"),
        ("/reconcile?app=a&app=b", "app is given twice"),
        ("/resume?app=voice", "'app' is not a parameter of /resume"),
    ],
)
async def test_wrong_parameters_are_rejected_with_what_is_expected(
    client: httpx.AsyncClient, api: RecordingApi, path: str, message: str
) -> None:
    """A typing error is a 400 with the error and the right usage. Nothing is executed."""
    response = await client.post(path, headers=AUTHORIZED)
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["reference"], error["message"]) == ("parameters-wrong", message)
    assert error["hints"]
    assert api.calls == []


async def test_parameters_in_a_body_are_rejected(client: httpx.AsyncClient, api: RecordingApi) -> None:
    """`curl -d app=voice` would otherwise reconcile all apps: a body is a 400."""
    for sent in ({"content": b"app=voice"}, {"data": {"app": "voice"}}, {"json": {"app": "voice"}}):
        response = await client.post("/reconcile", headers=AUTHORIZED, **sent)
        assert response.status_code == 400
        assert response.json()["error"]["message"] == "parameters go into the query, but the request has a body"
    assert api.calls == []


@pytest.mark.parametrize(("reference", "status"), [("app-not-declared", 404), ("nothing-blocked", 409)])
async def test_an_error_of_the_controller_has_its_reference(reference: str, status: int) -> None:
    """The response has the reference, the message and the hints of the error."""
    error = OctosyncError(reference, "it can't be done", hints=("Do something else.",))
    async with app_client(RecordingApi(current=busy_status(), refuses=error)) as client:
        response = await client.post("/reconcile?app=nope", headers=AUTHORIZED)
    assert response.status_code == status
    expected = {"reference": reference, "message": "it can't be done", "hints": ["Do something else."]}
    assert response.json() == {"error": expected}


@pytest.mark.parametrize("path", _PATHS)
async def test_an_operation_is_never_a_get(client: httpx.AsyncClient, api: RecordingApi, path: str) -> None:
    """A link, an image or a crawler changes nothing: GET and HEAD are 405, with or without the token."""
    for method in ("GET", "HEAD"):
        response = await client.request(method, path, headers=AUTHORIZED)
        assert response.status_code == 405
        assert response.headers["allow"] == "POST"
    assert api.calls == []


async def test_a_preflight_of_another_site_is_not_allowed(client: httpx.AsyncClient) -> None:
    """A script of another site may not send the header: its browser asks first, and gets no permission."""
    headers = {
        "Origin": "https://evil.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    response = await client.options("/suspend", headers=headers)
    assert response.status_code == 405
    assert not [name for name in response.headers if name.startswith("access-control")]


async def test_guessed_tokens_are_logged_and_limited(api: RecordingApi) -> None:
    """Each guess is one log line without the token. After ten in a minute even the right token has to wait."""
    clock, logged = FastClock(), io.StringIO()
    authenticator = TokenAuthenticator(Secret(ADMIN_TOKEN), Log(logged, clock, format_=LogFormat.JSON), clock.monotonic)

    def status_of(token: str, address: str = "10.0.0.3") -> int:
        headers = [(b"authorization", f"Bearer {token}".encode())]
        scope = {"type": "http", "method": "POST", "path": "/suspend", "query_string": b"", "headers": headers}
        request = Request({**scope, "client": (address, 4711), "server": ("127.0.0.1", 9900), "scheme": "http"})
        return respond_to_post(request, POSTS[1], api, authenticator).status_code

    assert [status_of(f"guess-{number}") for number in range(12)] == [401] * 10 + [429] * 2
    assert status_of(ADMIN_TOKEN) == 429
    assert api.calls == []
    assert status_of(ADMIN_TOKEN, "10.0.0.4") == 200
    clock.skip(timedelta(minutes=1))
    assert status_of(ADMIN_TOKEN) == 200
    lines = [json.loads(line) for line in logged.getvalue().splitlines()]
    guesses = [line for line in lines if line["event"] != "admin_action"]
    assert [line["event"] for line in guesses] == ["admin_token_refused"] * 10
    assert {line["address"] for line in guesses} == {"10.0.0.3"}
    assert "guess" not in logged.getvalue()


@pytest.mark.parametrize("token", ["x", "open-sesame", "a" * 40, "0101010101010101"])
def test_a_weak_token_is_rejected(token: str) -> None:
    """It is too short or has few different characters. The error explains how to make a strong one, and does not show it."""
    with pytest.raises(ConfigError, match="admin-token-weak") as caught:
        admin_token(token)
    assert "openssl rand -hex 32" in caught.value.hints[0]
    assert token == "x" or token not in str(caught.value)
    assert admin_token("0123456789abcdef") == Secret("0123456789abcdef")
