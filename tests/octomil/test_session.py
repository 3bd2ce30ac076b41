"""A key that changes while the client runs: which requests use which key, and no message shows one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest
from tests.support.clients import KEY, client_of

from octosync.errors import ConfigError, CredentialRefused, RemoteError
from octosync.model import Secret
from octosync.octomil import Connection, Octomil

NEW = "oct_test_new_key_00000b7c2"
_Responder = Callable[[httpx.Request], Coroutine[Any, Any, httpx.Response]]


def _client(answering: _Responder, **settings: Any) -> Octomil:
    connection = Connection(
        **{
            "url": "https://api.octomil.com",
            "token": Secret(KEY),
            "token_source": "the old file",
            "backoff": 0.0,
            **settings,
        }
    )
    return Octomil(connection, transport=httpx.MockTransport(answering))


class _Plane:
    """Records the key of each request in the order of sending. Delays responses on request."""

    def __init__(self, *statuses: int) -> None:
        self.keys: list[str | None] = []
        self.statuses = list(statuses)
        self.requested = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def respond(self, request: httpx.Request) -> httpx.Response:
        key = request.headers.get("authorization")
        self.keys.append(key and key.removeprefix("Bearer "))
        status = self.statuses.pop(0) if self.statuses else 200
        self.requested.set()
        await self.may_answer.wait()
        message = f"{key} is not {NEW}, and was {KEY}"
        return httpx.Response(status, json={} if status == 200 else {"code": "nope", "message": message})


async def _get(client: Octomil) -> None:
    await client.call("apps.get", {"slug": "a"})


async def test_later_requests_use_the_new_key_in_every_view() -> None:
    """Every request after the change has the new key."""
    plane = _Plane()
    async with _client(plane.respond) as client:
        background = client.background
        await _get(client)
        client.use_token(Secret(NEW), "the new file")
        await _get(client)
        await _get(background)
        assert client.connection.token_source == background.connection.token_source == "the new file"
    assert plane.keys == [KEY, NEW, NEW]


async def test_a_request_in_progress_keeps_the_old_key_and_a_waiting_one_gets_the_new() -> None:
    """A request that queued before the change is sent with the new key."""
    plane = _Plane()
    plane.may_answer.clear()
    async with _client(plane.respond, concurrency=1) as client:
        calls = asyncio.gather(_get(client), _get(client), _get(client.background))
        await plane.requested.wait()
        client.use_token(Secret(NEW), "the new file")
        plane.may_answer.set()
        await calls
    assert plane.keys == [KEY, NEW, NEW]


@pytest.mark.parametrize("status", [503, 429, 401])
async def test_a_retry_uses_the_new_key(status: int) -> None:
    """A request whose old key was rejected after the change is retried with the new key."""
    plane = _Plane(status)
    plane.may_answer.clear()
    async with _client(plane.respond) as client:
        call = asyncio.create_task(_get(client))
        await plane.requested.wait()
        client.use_token(Secret(NEW), "the new file")
        plane.may_answer.set()
        await call
    assert plane.keys == [KEY, NEW]


async def test_a_refused_key_is_named_by_its_source() -> None:
    """The error names the rejected key. The rejection of the current key is not retried."""
    plane = _Plane(401, 401)
    async with _client(plane.respond) as client:
        with pytest.raises(CredentialRefused) as old:
            await _get(client)
        client.use_token(Secret(NEW), "the new file")
        with pytest.raises(CredentialRefused) as new:
            await _get(client)
    assert plane.keys == [KEY, NEW]
    assert "key from the old file, ends in …a91f" in old.value.hints
    assert "key from the new file, ends in …b7c2" in new.value.hints


async def test_no_message_shows_the_old_or_the_new_key() -> None:
    """If a response echoes either key, to a current or a later request, the error contains neither."""
    plane = _Plane(422, 422)
    plane.may_answer.clear()
    async with _client(plane.respond) as client:
        calls = [asyncio.create_task(_get(client))]
        await plane.requested.wait()
        client.use_token(Secret(NEW), "the new file")
        calls.append(asyncio.create_task(_get(client)))
        plane.may_answer.set()
        errors = await asyncio.gather(*calls, return_exceptions=True)
        shown = client.redactor().text(f"{KEY} {NEW}")
    assert plane.keys == [KEY, NEW]
    for error in errors:
        assert isinstance(error, RemoteError)
        assert error.message.count("(sensitive)") == 3
        assert KEY not in str(error)
        assert NEW not in str(error)
    assert shown == "(sensitive) (sensitive)"


@pytest.mark.parametrize("bad", ["", "two words", "line\nbreak", "ключ"])
async def test_an_invalid_key_is_refused_and_the_old_one_is_kept(bad: str) -> None:
    """An invalid key is rejected, and the old key stays in use."""
    plane = _Plane()
    async with _client(plane.respond) as client:
        with pytest.raises(ConfigError) as refused:
            client.use_token(Secret(bad), "the new file")
        await _get(client)
        assert client.connection.token_source == "the old file"
    assert plane.keys == [KEY]
    assert refused.value.reference == "token-unusable"
    assert "the new file" in refused.value.message
    assert not bad or bad not in str(refused.value)


async def test_a_first_key_may_be_set_later_but_is_never_sent_unencrypted() -> None:
    """A client without a key accepts one later. Over plain HTTP beyond loopback it is refused before anything is sent."""
    plane = _Plane()
    async with _client(plane.respond, token=None) as client:
        await _get(client)
        client.use_token(Secret(NEW), "the new file")
        await _get(client)
    async with _client(plane.respond, token=None, url="http://octomil.example") as client:
        with pytest.raises(ConfigError) as refused:
            client.use_token(Secret(NEW), "the new file")
        await _get(client)
    assert plane.keys == [None, NEW, None]
    assert refused.value.reference == "insecure-url"


def test_the_current_key_is_masked_however_often_it_changes() -> None:
    """Old keys are forgotten after many rotations. The current key is always masked, even if it was in use before."""
    client = client_of("https://api.octomil.com")
    keys = [f"oct_test_rotated_{number:04}" for number in range(100)]
    for key in [*keys, KEY, *keys[:7], KEY, keys[50]]:
        client.use_token(Secret(key), "the file")
    conceal = client.redactor().text
    assert conceal(KEY) == conceal(keys[50]) == conceal(keys[6]) == "(sensitive)"
    assert conceal(keys[99]) == keys[99]


async def test_a_new_key_does_not_reset_the_window() -> None:
    """The window of the rate limit continues, since the limit may belong to the org."""
    plane = _Plane()
    async with _client(plane.respond) as client:
        await _get(client)
        client.use_token(Secret(NEW), "the new file")
        await _get(client)
        assert client.budget.used == 2
