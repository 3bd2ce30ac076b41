"""A key that changes while the client runs: which requests use which key, and no message shows any."""

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
_Answering = Callable[[httpx.Request], Coroutine[Any, Any, httpx.Response]]


def _client(answering: _Answering, **settings: Any) -> Octomil:
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
    """Records the key of each request in the order of sending; delays responses on request."""

    def __init__(self, *statuses: int) -> None:
        self.keys: list[str | None] = []
        self.statuses = list(statuses)
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def answer(self, request: httpx.Request) -> httpx.Response:
        key = request.headers.get("authorization")
        self.keys.append(key and key.removeprefix("Bearer "))
        status = self.statuses.pop(0) if self.statuses else 200
        self.asked.set()
        await self.may_answer.wait()
        said = f"{key} is not {NEW}, and was {KEY}"
        return httpx.Response(status, json={} if status == 200 else {"code": "nope", "message": said})


async def _get(client: Octomil) -> None:
    await client.call("apps.get", {"slug": "a"})


async def test_later_requests_go_with_the_new_key_in_every_view() -> None:
    """Every request after the change carries the new key."""
    plane = _Plane()
    async with _client(plane.answer) as client:
        background = client.background
        await _get(client)
        client.use_token(Secret(NEW), "the new file")
        await _get(client)
        await _get(background)
        assert client.connection.token_source == background.connection.token_source == "the new file"
    assert plane.keys == [KEY, NEW, NEW]


async def test_what_is_under_way_ends_with_the_old_key_and_what_waits_goes_with_the_new() -> None:
    """A request that queued before the change doesn't take the old key along."""
    plane = _Plane()
    plane.may_answer.clear()
    async with _client(plane.answer, concurrency=1) as client:
        calls = asyncio.gather(_get(client), _get(client), _get(client.background))
        await plane.asked.wait()
        client.use_token(Secret(NEW), "the new file")
        plane.may_answer.set()
        await calls
    assert plane.keys == [KEY, NEW, NEW]


@pytest.mark.parametrize("status", [503, 429, 401])
async def test_a_retry_goes_with_the_new_key(status: int) -> None:
    """A request whose old key was rejected after the change is retried with the new one."""
    plane = _Plane(status)
    plane.may_answer.clear()
    async with _client(plane.answer) as client:
        call = asyncio.create_task(_get(client))
        await plane.asked.wait()
        client.use_token(Secret(NEW), "the new file")
        plane.may_answer.set()
        await call
    assert plane.keys == [KEY, NEW]


async def test_a_refused_key_is_named_by_where_it_came_from() -> None:
    """The error names the rejected key, and the rejection of the current key is not retried."""
    plane = _Plane(401, 401)
    async with _client(plane.answer) as client:
        with pytest.raises(CredentialRefused) as old:
            await _get(client)
        client.use_token(Secret(NEW), "the new file")
        with pytest.raises(CredentialRefused) as new:
            await _get(client)
    assert plane.keys == [KEY, NEW]
    assert "key from the old file, ends in …a91f" in old.value.hints
    assert "key from the new file, ends in …b7c2" in new.value.hints


async def test_no_message_shows_the_old_or_the_new_key() -> None:
    """An answer that echoes either, to a request under way or to a later one, brings neither into an error."""
    plane = _Plane(422, 422)
    plane.may_answer.clear()
    async with _client(plane.answer) as client:
        calls = [asyncio.create_task(_get(client))]
        await plane.asked.wait()
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
async def test_a_key_that_can_not_work_is_refused_and_the_old_one_stays(bad: str) -> None:
    """An unusable key is rejected, and the old one is kept."""
    plane = _Plane()
    async with _client(plane.answer) as client:
        with pytest.raises(ConfigError) as refused:
            client.use_token(Secret(bad), "the new file")
        await _get(client)
        assert client.connection.token_source == "the old file"
    assert plane.keys == [KEY]
    assert refused.value.reference == "token-unusable"
    assert "the new file" in refused.value.message
    assert not bad or bad not in str(refused.value)


async def test_a_first_key_may_come_later_but_never_unencrypted() -> None:
    """A client without one takes one; not over plain HTTP to elsewhere, which is refused before anything is sent."""
    plane = _Plane()
    async with _client(plane.answer, token=None) as client:
        await _get(client)
        client.use_token(Secret(NEW), "the new file")
        await _get(client)
    async with _client(plane.answer, token=None, url="http://octomil.example") as client:
        with pytest.raises(ConfigError) as refused:
            client.use_token(Secret(NEW), "the new file")
        await _get(client)
    assert plane.keys == [None, NEW, None]
    assert refused.value.reference == "insecure-url"


def test_the_key_in_force_is_masked_however_often_it_changes() -> None:
    """Keys that rotate for months are forgotten in time, the one in force never, though it was in force before."""
    client = client_of("https://api.octomil.com")
    keys = [f"oct_test_rotated_{number:04}" for number in range(100)]
    for key in [*keys, KEY, *keys[:7], KEY, keys[50]]:
        client.use_token(Secret(key), "the file")
    conceal = client.redactor().text
    assert conceal(KEY) == conceal(keys[50]) == conceal(keys[6]) == "(sensitive)"
    assert conceal(keys[99]) == keys[99]


async def test_another_key_begins_no_new_window() -> None:
    """The pace goes on as it was: the limit may be the org's."""
    plane = _Plane()
    async with _client(plane.answer) as client:
        await _get(client)
        client.use_token(Secret(NEW), "the new file")
        await _get(client)
        assert client.budget.used == 2
