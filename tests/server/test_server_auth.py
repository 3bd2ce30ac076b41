from __future__ import annotations

import pytest
from tests.support.embedded_planes import client, ok, refused, run_plane

from octosync.contract import OPERATIONS, Access
from octosync.errors import UsageError
from octosync.server import DEMO_TOKENS, ServerSettings, Token, create_app
from octosync.server.settings import DEFAULT_ORG_ID, SCOPES


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("s3cret", Token("key", "s3cret", SCOPES)),
        ("ana:s3cret", Token("ana", "s3cret", SCOPES)),
        ("ana:s3cret=apps:read", Token("ana", "s3cret", frozenset({"apps:read"}))),
        ("s=apps:write,apps:read", Token("key", "s", SCOPES)),
    ],
)
def test_a_token_is_read_from_its_text(text: str, token: Token) -> None:
    """The format is `[NAME:]T[=SCOPES]`, with both scopes by default."""
    assert Token.parse(text) == token


@pytest.mark.parametrize(
    "text", ["", ":s", "ana:", "ana:s cret", "ana:sss=apps:all", "ana:sss=", "ana:key=sss==", "=apps:read"]
)
def test_a_token_that_makes_no_sense_is_a_usage_error(text: str) -> None:
    """The error names the problem without the secret."""
    with pytest.raises(UsageError) as caught:
        Token.parse(text)
    assert "sss" not in f"{caught.value} {caught.value.hints}"
    assert caught.value.hints


def test_a_token_shows_no_secret() -> None:
    """Neither a token nor settings that contain it show the secret when printed."""
    assert "s3cret" not in repr(ServerSettings(tokens=(Token.parse("ana:s3cret"),)))


def test_without_a_known_key_there_is_no_answer() -> None:
    """A missing key, another scheme or a wrong key is a 401 in Octomil's shape."""
    with run_plane(tokens=(Token.parse("ana:secret"),)) as plane:
        for header in (
            {},
            {"Authorization": "Basic secret"},
            {"Authorization": "Bearer oct_zzz"},
            {"Authorization": "Bearer"},
        ):
            answer = plane.api.get("/apps", headers=header)
            refused(answer, 401, "invalid_api_key")
            assert "oct_zzz" not in answer.text
        ok(plane.api.get("/apps", headers={"Authorization": "bearer secret"}))


def test_a_reading_key_may_read_preview_and_check_but_not_write() -> None:
    """Every read operation is allowed with `apps:read`, every write is refused with `insufficient_scope`, and vice versa."""
    tokens = (Token.parse("reader:r=apps:read"), Token.parse("writer:w=apps:write"))
    with (
        run_plane(tokens=tokens) as plane,
        client(str(plane.api.base_url), "r") as reader,
        client(str(plane.api.base_url), "w") as writer,
    ):
        for operation in OPERATIONS.values():
            url = operation.url({"slug": "none", "capability": "chat", "target_id": "t"})
            allowed, other = (reader, writer) if operation.access is Access.READ else (writer, reader)
            assert allowed.request(operation.method, url).status_code not in {401, 403}
            refused(other.request(operation.method, url), 403, "insufficient_scope")


def test_another_org_is_refused() -> None:
    """If `org_id` is given, it must be the server's."""
    with run_plane(token="s", tokens=(Token.parse("s"),)) as plane:
        ok(plane.api.get("/apps", params={"org_id": DEFAULT_ORG_ID}))
        refused(plane.api.get("/apps?org_id=other"), 403, "missing_org_context")
    with run_plane(org_id="other") as plane:
        assert ok(plane.api.get(plane.with_app() + "?org_id=other"))["org_id"] == "other"


def test_the_demos_keys_have_names_and_leave_the_door_open() -> None:
    """With the demo seed, ana and ben are identified by their keys; without configured keys all others are anonymous."""
    with run_plane(seed="demo") as plane:
        for token in DEMO_TOKENS:
            with client(str(plane.api.base_url), token.secret) as person:
                ok(person.post("/apps", json={"slug": token.name, "name": token.name}), 201)
        plane.with_app("anyone")
        actors = [event["actor"].get("name") for event in ok(plane.api.get("/activity"))["events"]]
        assert actors == [None, "ben", "ana"]
        assert [entry["key"] for entry in plane.log()] == ["ana", "ben", None, None]


def test_the_demos_devices_wait_for_their_targets() -> None:
    """The seed creates no app; a target that the examples declare has its devices at once."""
    with run_plane(seed="demo") as plane:
        assert ok(plane.api.get("/apps?include_archived=true"))["total"] == 0
        app = plane.with_app("canary-demo")
        plane.with_target(app, "ios", "com.octomil.canary-demo")
        plane.with_slot(app)
        assert ok(plane.api.get(f"{app}/health"))["slots"][0]["total_devices"] == 1240


def test_an_unknown_seed_is_a_usage_error() -> None:
    """The only seed is `demo`."""
    with pytest.raises(UsageError):
        create_app(ServerSettings(seed="other"))
