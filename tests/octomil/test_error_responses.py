"""Error responses: every status and every shape of error body becomes an error with a hint."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.clients import KEY, client_of
from tests.support.scripted_server import Reply, http_reply, json_reply, scripted_server

from octosync.errors import (
    AwaitingApproval,
    Conflict,
    CredentialRefused,
    Forbidden,
    Missing,
    Rejected,
    RemoteError,
    Unavailable,
    Unreadable,
)
from octosync.octomil.failures import ErrorBody, parse_error_body


async def _refusal(reply: Reply, operation: str = "apps.put_slot", **settings: Any) -> RemoteError:
    """Call once and return the error. Any other exception fails the test."""
    parameters = {"slug": "a", "capability": "chat"} if "slot" in operation else {"slug": "a"}
    async with scripted_server(reply) as server, client_of(server.url, **settings) as client:
        with pytest.raises(RemoteError) as refused:
            await client.call(operation, parameters, body={} if operation == "apps.put_slot" else None)
    return refused.value


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (
            {"error": {"code": "conflict", "message": "taken", "details": {"app_slug": "b"}, "request_id": "r"}},
            ErrorBody(code="conflict", message="taken", details={"app_slug": "b"}, request_id="r"),
        ),
        ({"error": "conflict", "message": "taken", "status_code": 409}, ErrorBody(code="conflict", message="taken")),
        ({"code": "conflict", "message": "taken", "more": 1}, ErrorBody(code="conflict", message="taken")),
        ({"message": "taken"}, ErrorBody(message="taken")),
        ({"detail": "taken"}, ErrorBody(message="taken")),
        ({"detail": {"code": "conflict", "message": "taken"}}, ErrorBody(code="conflict", message="taken")),
        (
            {"detail": [{"loc": ["body", "bindings", 0], "msg": "no", "input": "x"}, {"loc": "name", "msg": "long"}]},
            ErrorBody(fields=(("bindings.0", "no"), ("name", "long"))),
        ),
        (
            {"error": {"code": "validation_error", "details": {"errors": [{"field": "name", "message": "long"}]}}},
            ErrorBody(
                code="validation_error",
                details={"errors": [{"field": "name", "message": "long"}]},
                fields=(("name", "long"),),
            ),
        ),
        ({"error": {"code": 7, "message": None}}, ErrorBody()),
        ({"detail": 7}, None),
        ({"anything": "else"}, None),
        (["no"], None),
        (None, None),
    ],
)
def test_the_four_error_shapes_are_read_into_one(body: Any, fault: ErrorBody | None) -> None:
    """In every error format of the control plane, code, message, fields and details are found."""
    assert parse_error_body(body) == fault


async def test_a_refused_key_is_named_by_its_source_and_last_characters() -> None:
    """The error of a 401 identifies the key without showing it."""
    reply = json_reply({"error": {"code": "invalid_api_key", "message": f"bad {KEY}"}}, 401, request_id="req_77c0")
    error = await _refusal(reply, token_source="OCTOMIL_API_KEY (context production, octosync.yaml:3)")
    assert isinstance(error, CredentialRefused)
    assert (
        str(error)
        == "credential-refused: the control plane rejected the API key (401 invalid_api_key, request req_77c0)"
    )
    assert error.hints == (
        "key from OCTOMIL_API_KEY (context production, octosync.yaml:3), ends in …a91f",
        "Create a key with scope apps:write in the Octomil dashboard, or choose another context with --context.",
    )
    assert not error.sent


async def test_a_missing_key_has_the_hint_how_to_set_one() -> None:
    """A 401 to a request without a key is not attributed to a key."""
    error = await _refusal(json_reply({"detail": "Not authenticated"}, 401), "apps.get", token=None)
    assert isinstance(error, CredentialRefused)
    assert "none is set" in error.message
    assert "OCTOMIL_API_KEY" in error.hints[0]
    assert "--token-file" in error.hints[0]


@pytest.mark.parametrize(
    ("code", "org", "reference", "expected"),
    [
        ("insufficient_scope", None, "insufficient-scope", "the API key lacks the scope apps:write"),
        ("missing_org_context", None, "missing-org-context", "--org"),
        ("missing_org_context", "org-7", "missing-org-context", "the API key may not act in the org org-7"),
        ("no_such_luck", None, "forbidden", "…a91f"),
    ],
)
async def test_a_forbidden_call_names_the_missing_scope_or_org(
    code: str, org: str | None, reference: str, expected: str
) -> None:
    """The error of a 403 names what the key lacks."""
    error = await _refusal(json_reply({"error": {"code": code, "message": "no"}}, 403), org=org)
    assert isinstance(error, Forbidden)
    assert error.reference == reference
    assert expected in " ".join((error.message, *error.hints))


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, {"error": {"code": "approval_required", "message": "ask ben"}}),
        (409, {"code": "approval_required", "message": "ask ben"}),
        (202, {"status": "pending_approval"}),
        (202, {"code": "approval_required", "message": "ask ben"}),
    ],
)
async def test_a_required_approval_is_recognised(status: int, body: Any) -> None:
    """A required approval is reported as such, in every form that the control plane may return."""
    error = await _refusal(json_reply(body, status))
    assert isinstance(error, AwaitingApproval)
    assert "pprove" in error.hints[0]
    assert not error.sent


@pytest.mark.parametrize(
    "reply", [http_reply(202), json_reply({"status": "accepted"}, 202), json_reply(["approval_required"], 202)]
)
async def test_a_bare_202_is_a_success(reply: Reply) -> None:
    """A 202 awaits approval only if its body states that approval is pending."""
    async with scripted_server(reply) as server, client_of(server.url) as client:
        assert (await client.call("apps.archive", {"slug": "a"})).status == 202


async def test_a_conflict_keeps_its_details() -> None:
    """The details of a 409 name the holder of a target."""
    body = {"error": {"code": "conflict", "message": "taken", "details": {"app_slug": "shop", "note": KEY}}}
    error = await _refusal(json_reply(body, 409, request_id="req_5"))
    assert isinstance(error, Conflict)
    assert error.details == {"app_slug": "shop", "note": "(sensitive)"}
    assert (error.code, error.status, error.request_id) == ("conflict", 409, "req_5")
    assert str(error) == (
        "conflict: the control plane reports a conflict: taken (409 conflict, apps.put_slot, request req_5)"
    )


async def test_a_rejection_is_not_repeated_in_its_message() -> None:
    """A message that consists of the first problem is not followed by that problem again."""
    details = [{"field": "name", "message": "too long"}, {"field": "slug", "message": "taken"}]
    body = {"error": {"code": "validation_error", "message": "name: too long", "details": details}}
    error = await _refusal(json_reply(body, 422))
    assert error.message.count("too long") == 1
    assert "slug: taken" in error.message


async def test_a_rejected_body_names_its_fields_and_not_their_values() -> None:
    """A 422 error has fields and reasons, and no value that was sent."""
    detail = [
        {"loc": ["body", "serving_policy", "routing_mode"], "msg": "unknown", "input": "s3cret-value", "type": "enum"}
    ]
    error = await _refusal(json_reply({"detail": detail}, 422))
    assert isinstance(error, Rejected)
    assert "serving_policy.routing_mode: unknown" in error.message
    assert "s3cret-value" not in f"{error!r} {error.details}"


@pytest.mark.parametrize(("status", "reference"), [(402, "plan-limit-exceeded"), (400, "rejected"), (413, "rejected")])
async def test_other_refusals_are_final(status: int, reference: str) -> None:
    """An error that a retry can't fix is raised at once, with `sent` False."""
    error = await _refusal(json_reply({"error": "x", "message": "no"}, status))
    assert isinstance(error, Rejected)
    assert error.reference == reference
    assert not error.sent


@pytest.mark.parametrize(
    ("body", "code", "reference"),
    [
        ({"error": {"code": "app_not_found", "message": "no"}}, "app_not_found", "app-not-found"),
        (
            {"code": "capability_not_configured", "message": "no"},
            "capability_not_configured",
            "capability-not-configured",
        ),
        ({"code": "something_else", "message": "no"}, "something_else", "missing"),
        ({"detail": "App not found"}, None, "missing"),
    ],
)
async def test_a_404_that_names_an_object_is_missing(body: Any, code: str | None, reference: str) -> None:
    """A 404 with the code of an object is final: the object is missing."""
    error = await _refusal(json_reply(body, 404), "apps.get")
    assert isinstance(error, Missing)
    assert (error.code, error.reference) == (code, reference)


@pytest.mark.parametrize("operation", ["apps.get", "apps.put_slot"])
async def test_a_404_without_a_code_is_retried_and_never_an_absence(operation: str) -> None:
    """A cold start may return it briefly, so even a write is retried. The final error doubts the path, not the object."""
    bare = json_reply({"detail": "Not Found"}, 404)
    parameters = {"slug": "a", "capability": "chat"}
    async with scripted_server(bare, bare, json_reply({"slug": "a"})) as server, client_of(server.url) as client:
        assert (await client.call(operation, parameters, absent=lambda _: True)).body == {"slug": "a"}
        assert len(server.received) == 3
    error = await _refusal(bare, operation)
    assert isinstance(error, Unavailable)
    assert error.reference == "unknown-route"
    assert not error.sent
    assert any(f"api.operations.{operation}" in hint for hint in error.hints)


@pytest.mark.parametrize("reply", [http_reply(404, "<html>gone</html>"), http_reply(404), json_reply([], 404)])
async def test_a_404_of_a_proxy_is_never_an_absence(reply: Reply) -> None:
    """The 404 page of a proxy does not mean that the object is absent."""
    error = await _refusal(reply, "apps.get")
    assert isinstance(error, Unreadable)
    assert error.reference == "foreign-answer"
    assert error.hints


async def test_an_html_page_is_attributed_to_a_proxy() -> None:
    """The error of an HTML page has the hint that it may not come from Octomil."""
    error = await _refusal(http_reply(403, "<html>blocked</html>", headers={"Content-Type": "text/html"}))
    assert isinstance(error, Forbidden)
    assert any("proxy" in hint for hint in error.hints)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_another_host_is_not_followed(status: int) -> None:
    """The key is sent only to the host of the context. The other host gets no request."""
    async with scripted_server(json_reply({})) as other:
        elsewhere = other.url.replace("127.0.0.1", "localhost")
        async with scripted_server(http_reply(status, headers={"Location": f"{elsewhere}/steal?a={KEY}"})) as server:
            async with client_of(server.url) as client:
                with pytest.raises(Unreadable) as redirected:
                    await client.call("apps.get", {"slug": "a"})
            assert len(server.received) == 1
        assert other.connections == 0
    assert redirected.value.reference == "redirected"
    assert "http://localhost" in redirected.value.message
    assert KEY not in str(redirected.value)
    assert "127.0.0.1 only" in redirected.value.hints[0]


@pytest.mark.parametrize(
    ("location", "expected"), [("/elsewhere", "change the URL"), ("http://[", "change the URL"), ("", "change the URL")]
)
async def test_a_redirect_on_the_same_host_is_not_followed(location: str, expected: str) -> None:
    """The error names the new location, so that the user can correct the URL."""
    error = await _refusal(http_reply(307, headers={"Location": location}), "apps.get")
    assert error.reference == "redirected"
    assert expected in " ".join(error.hints)


@pytest.mark.parametrize("status", [501, 505])
async def test_an_unsupported_request_is_not_retried(status: int) -> None:
    """A 501 and a 505 are final."""
    async with scripted_server(json_reply({"detail": "no"}, status)) as server, client_of(server.url) as client:
        with pytest.raises(Unavailable):
            await client.call("apps.get", {"slug": "a"})
        assert len(server.received) == 1


async def test_a_408_is_retried_for_reads_only() -> None:
    """After a 408 a read is retried. A write may have been received."""
    slow = json_reply({"detail": "slow"}, 408)
    async with scripted_server(slow, json_reply({})) as server, client_of(server.url) as client:
        await client.call("apps.get", {"slug": "a"})
    assert (await _refusal(slow)).sent


async def test_hostile_texts_are_sanitised() -> None:
    """Text from a response is one truncated line without control characters, including its request id and code."""
    body = {"error": {"code": "c" * 500, "message": "a\x1b[2Jb\nerror: fake " + "x" * 5000}}
    error = await _refusal(json_reply(body, 400, request_id="r" * 500))
    assert "\x1b" not in error.message
    assert "\n" not in error.message
    assert len(error.message) < 700


async def test_the_request_id_in_the_body_is_used_if_the_header_is_missing() -> None:
    """Every error contains a request id if the response had one anywhere."""
    error = await _refusal(http_reply(409, '{"error": {"code": "conflict", "message": "no", "request_id": "req_b"}}'))
    assert error.request_id == "req_b"
    assert "request req_b" in error.message


async def test_a_returned_sensitive_value_is_masked() -> None:
    """If the control plane quotes a sensitive value that it was sent, the error masks it."""
    reply = json_reply({"detail": "bad credential hunter2000"}, 422)
    async with scripted_server(reply) as server, client_of(server.url) as client:
        with pytest.raises(Rejected) as rejected:
            await client.call("apps.put_inference_config", {"slug": "a"}, body={"api_key": "hunter2000"})
    assert "hunter2000" not in f"{rejected.value!r} {rejected.value}"
