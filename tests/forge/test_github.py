"""Requests to GitHub's API: limits, pages, failures, and where the token is sent."""

from __future__ import annotations

import asyncio
import gzip
from email.utils import formatdate

import httpx
import pytest
from tests.support.encodings import REFUSED_ENCODINGS, body_in, limited_memory
from tests.support.forges import TOKEN, Answer, Forge, refused
from tests.support.scripted_server import Reply, json_reply, scripted_server

from octosync.errors import (
    ConfigError,
    CredentialRefused,
    Forbidden,
    OctosyncError,
    RemoteError,
    Unavailable,
    Unreadable,
)
from octosync.forge import GitHub, repository_from_environment
from octosync.forge import github as client
from octosync.forge.comments import url_of
from octosync.forge.github import rate_limit_wait


def test_a_limit_that_passes_is_waited_for(github: GitHub, forge: Forge) -> None:
    """The client waits for primary and secondary limits, with any of their statuses and headers; also for a write."""
    date = formatdate(1_000, usegmt=True)
    limits = (
        refused(403, "You have exceeded a secondary rate limit.", Retry_After="0"),
        refused(429, "Too many", Retry_After="0"),
        Answer(403, {}, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1000", "Date": date}),
    )
    forge.answer_next("POST", *limits)
    github.write("POST", "issues", {"title": "t", "body": "b"})
    assert len(forge.issues) == 1
    assert len(forge.writes()) == 4


def test_a_limit_that_lasts_ends_the_run(github: GitHub, forge: Forge) -> None:
    """A wait of an hour is not accepted: the error names the wait, and is retryable."""
    forge.answer_next("GET", refused(403, "API rate limit exceeded", Retry_After="3600"))
    with pytest.raises(Unavailable, match="rate limit exceeded") as caught:
        github.read("pulls/7")
    assert "3600 s" in caught.value.hints[0]
    assert len(forge.requests) == 1


@pytest.mark.parametrize(
    ("status", "headers", "message", "seconds"),
    [
        (200, {"Retry-After": "9"}, "", None),
        (403, {}, "Resource not accessible by integration", None),
        (403, {"X-RateLimit-Remaining": "12"}, "no", None),
        (403, {"Retry-After": "9"}, "", 9.0),
        (403, {}, "You have exceeded a secondary rate limit", 60.0),
        (429, {}, "", 60.0),
        (429, {"Retry-After": "soon"}, "", 60.0),
        (
            403,
            {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1030", "Date": formatdate(1_000, usegmt=True)},
            "",
            30.0,
        ),
        (
            403,
            {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "990", "Date": formatdate(1_000, usegmt=True)},
            "",
            0.0,
        ),
        (403, {"X-RateLimit-Remaining": "0"}, "", 60.0),
        (
            403,
            {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "?", "Date": formatdate(1_000, usegmt=True)},
            "",
            60.0,
        ),
    ],
)
def test_limits_are_told_from_refusals(
    status: int, headers: dict[str, str], message: str, seconds: float | None
) -> None:
    """A 403 is a rate limit or a missing permission, by its headers and message."""
    assert rate_limit_wait(httpx.Response(status, headers=headers, json={"message": message})) == seconds


def test_a_failure_is_tried_again(github: GitHub, forge: Forge) -> None:
    """Reads and updates are retried, whether the connection breaks or the forge fails."""
    forge.answer_next("GET", Answer(0), refused(502, "Bad gateway"), Answer(500, b"<html>"))
    assert github.read("pulls/7")["number"] == 7


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'"text"', b"{", b"\xff", b"[" * 100_000])
def test_garbage_is_an_error_and_no_absence(github: GitHub, forge: Forge, body: bytes) -> None:
    """A response that is not GitHub's is unreadable."""
    forge.answer_next("GET", Answer(200, body), Answer(200, body))
    with pytest.raises(Unreadable):
        github.read("pulls/7")
    with pytest.raises(Unreadable):
        list(github.pages("issues/7/comments"))


async def test_a_second_response_to_one_request_never_answers_the_next_one(forge: Forge) -> None:
    """What a server sends beyond a response is not read as the response to a later request, which may be about another object."""
    twice = Reply(json_reply({"number": 1}).data + json_reply({"number": 99}).data)
    async with scripted_server(twice, json_reply({"number": 2}), json_reply({"number": 3})) as server:

        def numbers() -> list[object]:
            environment = {**forge.environment, "GITHUB_API_URL": server.url}
            with GitHub(repository_from_environment(environment), backoff=0) as opened:
                return [opened.read(f"pulls/{number}")["number"] for number in (1, 2, 3)]

        assert await asyncio.to_thread(numbers) == [1, 2, 3]


@pytest.mark.parametrize("encoding", REFUSED_ENCODINGS)
def test_an_encoding_that_was_not_asked_for_is_refused(github: GitHub, forge: Forge, encoding: str) -> None:
    """A forge's response of any status is decoded once, and only from gzip."""
    headers = {"Content-Encoding": encoding}
    forge.answer_next("GET", Answer(200, body_in(encoding), headers), Answer(403, body_in(encoding), headers))
    with limited_memory():
        with pytest.raises(Unreadable, match="Content-Encoding"):
            github.read("pulls/7")
        with pytest.raises(Forbidden):
            github.read("pulls/7")


def test_an_answer_beyond_all_measure_is_cut_short(
    github: GitHub, forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A response is limited in size, compressed or not; a response within the limit is read."""
    monkeypatch.setattr(client, "_LARGEST_ANSWER", 2**20)
    packed = {"Content-Encoding": "gzip"}
    large = b" " * 2**22
    forge.answer_next("GET", Answer(200, large), Answer(200, gzip.compress(large), packed), Answer(500, large))
    for _ in range(3):
        with pytest.raises(Unreadable, match="larger than 1 MiB"):
            github.read("pulls/7")
    forge.answer_next("GET", Answer(200, gzip.compress(b'{"number": 8}'), packed))
    assert github.read("pulls/7") == {"number": 8}


def test_the_token_goes_to_no_other_host(github: GitHub, forge: Forge) -> None:
    """A next page elsewhere and a redirect are not followed; a cycle of pages is detected."""
    forge.answer_next("GET", Answer(200, [], {"Link": '<https://evil.test/comments?page=2>; rel="next"'}))
    with pytest.raises(Unreadable, match="another host"):
        list(github.pages("issues/7/comments"))
    forge.answer_next("GET", Answer(301, {}, {"Location": "https://evil.test/"}))
    with pytest.raises(Unreadable, match="redirects to another URL"):
        github.read("pulls/7")
    path = f"{forge.url}/repos/acme/apps/issues/7/comments?per_page=100"
    forge.answer_next("GET", Answer(200, [], {"Link": f'<{path}>; rel="next"'}))
    with pytest.raises(Unreadable, match="loop"):
        list(github.pages("issues/7/comments"))
    forge.answer_next("GET", Answer(200, [], {"Link": f'<{path}&x={"x" * 70_000}>; rel="next"'}))
    with pytest.raises(Unreadable, match="not a URL"):
        list(github.pages("issues/7/comments"))


def test_errors_name_the_request_and_never_the_token(github: GitHub, forge: Forge) -> None:
    """A rejected token and a missing permission are different errors, with GitHub's request id."""
    for answer, kind in ((refused(401, "Bad credentials"), CredentialRefused), (refused(403, "no"), Forbidden)):
        forge.answer_next("GET", answer)
        with pytest.raises(kind) as caught:
            github.read("pulls/7")
        assert caught.value.request_id == "ABCD:1234"
        assert TOKEN not in repr(caught.value) + caught.value.message + "".join(caught.value.hints)
        assert caught.value.__cause__ is None
    assert TOKEN not in repr(github.repository)


def test_a_token_that_the_forge_echoes_is_masked(github: GitHub, forge: Forge) -> None:
    """No part of a response that is shown, in an error or as a URL, has the token or a control sequence."""
    echo = f"you sent\x1b[2J Bearer {TOKEN}, {TOKEN}"
    for status in (401, 403, 404, 422, 429, 503):
        error = {"message": echo, "errors": [{"message": echo}]}
        forge.answer_next("GET", Answer(status, error, {"Retry-After": "3600"} if status > 422 else {}))
        with pytest.raises(RemoteError) as caught:
            github.read("pulls/7")
        shown = f"{caught.value!r} {caught.value} {caught.value.request_id} {caught.value.hints}"
        assert "you sent [2J" in shown
        assert TOKEN not in shown
    forge.comments.append({"id": 1, "body": "x", "user": {"login": TOKEN}, "html_url": f"https://x/\x1b[2J{TOKEN}"})
    (item,) = github.pages("issues/7/comments")
    assert TOKEN not in str(item)
    assert url_of(item) == "https://x/ [2J(sensitive)"


def test_a_forge_that_is_not_there_is_unavailable() -> None:
    """Without a connection the error has the hint to try again."""
    environment = {"GITHUB_API_URL": "http://127.0.0.1:1", "GITHUB_REPOSITORY": "a/b", "GITHUB_TOKEN": TOKEN}
    with (
        GitHub(repository_from_environment(environment), backoff=0) as github,
        pytest.raises(Unavailable, match="can't be reached"),
    ):
        github.read("pulls/7")


@pytest.mark.parametrize(
    ("environment", "reference"),
    [
        ({"GITHUB_TOKEN": ""}, "no-forge-token"),
        ({"GITHUB_TOKEN": "a b"}, "bad-forge-token"),
        ({"GITHUB_REPOSITORY": ""}, "no-repository"),
        ({"GITHUB_REPOSITORY": "a/../b"}, "bad-repository"),
        ({"GITHUB_API_URL": "api.github.com"}, "bad-forge-url"),
        ({"GITHUB_API_URL": "https://u:p@forge.test"}, "bad-forge-url"),
        ({"GITHUB_API_URL": "https://forge.test:x"}, "bad-forge-url"),
        ({"GITHUB_API_URL": "http://forge.test"}, "insecure-forge-url"),
    ],
)
def test_an_environment_that_makes_no_sense_is_refused(environment: dict[str, str], reference: str) -> None:
    """The error comes before any request, and does not show the token."""
    with pytest.raises(ConfigError) as caught:
        repository_from_environment({"GITHUB_REPOSITORY": "acme/apps", "GITHUB_TOKEN": TOKEN, **environment})
    assert isinstance(caught.value, OctosyncError)
    assert caught.value.reference == reference
    assert TOKEN not in str(caught.value)
