from __future__ import annotations

import asyncio
import io
import json
import logging
import os
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from octosync.errors import ManifestError
from octosync.model import Secret
from octosync.watch.log import Log, LogFormat, Value, about, libraries_in

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Noon:
    """A clock that stands still."""

    def now(self) -> datetime:
        """Return noon."""
        return NOON + timedelta(milliseconds=5)

    def monotonic(self) -> float:
        """Return the same second."""
        return 0.0

    async def sleep(self, seconds: float) -> None:
        """Yield."""
        await asyncio.sleep(0 * seconds)


def _logs(format_: LogFormat = LogFormat.JSON) -> tuple[io.StringIO, Log]:
    stream = io.StringIO()
    return stream, Log(stream, Noon(), format_=format_)


def _lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_lines_look_like_events() -> None:
    """A line is what `--output jsonl` prints too: time, level and message with an @, everything else by name."""
    stream, log = _logs()
    log.info(
        "applied",
        message="2 applied",
        app="notes",
        actions=2,
        seconds=1.5,
        dry=False,
        addresses=["app/notes"],
        until=None,
    )
    assert _lines(stream) == [
        {
            "@timestamp": "2026-03-01T12:00:00.005Z",
            "@level": "info",
            "@message": "2 applied",
            "event": "applied",
            "app": "notes",
            "actions": 2,
            "seconds": 1.5,
            "dry": False,
            "addresses": ["app/notes"],
            "until": None,
        }
    ]


def test_text_is_for_people() -> None:
    """A line of text has time, level, message, and fields as key=value, quoted where that is needed; absent ones not at all."""
    stream, log = _logs(LogFormat.TEXT)
    log.warning(
        "full_read",
        message="12 apps read",
        app="notes",
        reason='says "no"',
        addresses=["app/a", "app/b"],
        dry=True,
        until=None,
    )
    log.error("failed", message="it failed")
    assert stream.getvalue() == (
        '2026-03-01T12:00:00.005Z WARN  12 apps read  app=notes reason="says \\"no\\"" addresses=app/a,app/b dry=true\n'
        "2026-03-01T12:00:00.005Z ERROR it failed\n"
    )


def test_a_bound_log_says_the_run_on_every_line() -> None:
    """Each line of a turn has its run id; the log that it came from has not."""
    stream, log = _logs()
    turn = log.bind(run="r1", apps=["a", "b"])
    turn.info("read", message="read")
    turn.bind(app="a").info("written", message="written", requests=3)
    log.info("idle", message="idle")
    assert [(one.get("run"), one.get("app")) for one in _lines(stream)] == [("r1", None), ("r1", "a"), (None, None)]


def test_fields_cannot_pass_for_the_lines_own() -> None:
    """Whoever names a field `event` or `@level` doesn't change what the line says of itself."""
    stream, log = _logs()
    log.info("applied", message="applied", **{"event": "forged", "@level": "forged", "@timestamp": "forged"})
    (line,) = _lines(stream)
    assert (line["event"], line["@level"], line["@timestamp"]) == ("applied", "info", "2026-03-01T12:00:00.005Z")


@pytest.mark.parametrize("format_", LogFormat)
def test_nothing_acts_on_a_terminal_or_forges_a_line(format_: LogFormat) -> None:
    """Control characters, line breaks and text that turns its direction are shown as escapes, in messages, fields and lists."""
    stream, log = _logs(format_)
    evil = "\x1b[2J\n2026 INFO forged\u202e"
    log.info("read", message=evil, app=evil, apps=[evil])
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert not {"\x1b", "\u202e"} & set(text)
    if format_ is LogFormat.JSON:
        (line,) = _lines(stream)
        assert line["app"] == line["@message"] == line["apps"][0] == "\\x1b[2J\\n2026 INFO forged\\u202e"


@pytest.mark.parametrize("format_", LogFormat)
@pytest.mark.parametrize("body", [Secret("sk-hidden"), {"key": "sk-hidden"}, b"sk-hidden", ValueError("sk-hidden")])
def test_what_could_be_a_body_or_a_token_is_not_written(format_: LogFormat, body: object) -> None:
    """Of a value that has no business in a log only its type is written, even where types were cast away."""
    stream, log = _logs(format_)
    log.info("sent", message="sent", body=cast(Value, body), all=cast(Value, [body]))
    assert "sk-hidden" not in stream.getvalue()
    assert type(body).__name__ in stream.getvalue()


def test_long_texts_and_lists_are_cut() -> None:
    """A line stays a line: what is cut says how long it was."""
    stream, log = _logs()
    log.info("read", message="read", text="x" * 5_000, apps=[f"app-{number}" for number in range(1_000)])
    (line,) = _lines(stream)
    assert line["text"].endswith("(5,000 characters)")
    assert line["apps"][-1] == "… 1,000 in all"
    assert len(stream.getvalue()) < 3_000


def test_numbers_that_json_lacks_are_text() -> None:
    """A line is valid JSON whatever the numbers are."""
    stream, log = _logs()
    log.info("read", message="read", seconds=float("inf"), share=float("nan"))
    assert [_lines(stream)[0][name] for name in ("seconds", "share")] == ["inf", "nan"]


def test_a_broken_pipe_does_not_end_the_controller() -> None:
    """Nobody at the other end of the pipe, or a stream that was closed: the log goes on saying nothing."""
    reading, writing = os.pipe()
    stream = os.fdopen(writing, "w")
    log = Log(stream, Noon())
    os.close(reading)
    log.info("first", message="first")
    log.info("second", message="second")
    closed = io.StringIO()
    closed.close()
    Log(closed, Noon()).info("third", message="third")
    with pytest.raises(BrokenPipeError):  # what was never sent is still in its buffer
        stream.close()


def test_an_ascii_stream_takes_every_text() -> None:
    """In the C locale, too, what it can't encode is written as escapes."""
    raw = io.BytesIO()
    log = Log(io.TextIOWrapper(raw, encoding="ascii", errors="strict"), Noon())
    log.info("read", message="größer …", name="日本")
    assert raw.getvalue().decode("ascii").endswith("gr\\xf6\\xdfer \\u2026  name=\\u65e5\\u672c\n")


def test_libraries_speak_through_the_log() -> None:
    """Warnings of libraries are lines like others, with the library's name; what they only mention is left out.

    So are retries that octosync asked for, in an outage there would be more of them than of anything else, and requests to
    the status page that are none: else anybody who reaches it fills the log.
    """
    stream, log = _logs()
    with libraries_in(log):
        logging.getLogger("watchfiles").warning("lost %d\nbody: sk-hidden", 3)
        logging.getLogger("uvicorn.access").info("GET /")
        logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
        logging.getLogger("stamina").warning("stamina.retry_scheduled")
        wrong = logging.LogRecord("uvicorn.error", logging.ERROR, "server.py", 1, "%d is no number", ("a",), None)
        logging.getLogger().handlers[-1].handle(wrong)
    logging.getLogger("watchfiles").warning("after")
    assert [(one["@level"], one["event"], one["logger"], one["@message"]) for one in _lines(stream)] == [
        ("warn", "library", "watchfiles", "lost 3"),
        ("error", "library", "uvicorn.error", "%d is no number"),
    ]


async def test_an_exception_that_nobody_waits_for_is_logged() -> None:
    """Asyncio's own complaints say what was raised and where, and not the exception's text."""
    stream, log = _logs()

    def fails() -> None:
        raise ValueError("sk-hidden")

    with libraries_in(log):
        asyncio.get_running_loop().call_soon(fails)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    (line,) = _lines(stream)
    assert (line["@level"], line["logger"], line["error"]) == ("error", "asyncio", "ValueError")
    assert line["trace"][-1].endswith("in fails")
    assert "watch/test_log.py:" in line["trace"][-1]
    assert "sk-hidden" not in stream.getvalue()


def test_our_own_errors_say_all_of_it() -> None:
    """An error of octosync's has its reference and its sentence, which is made to be shown."""
    assert about(ManifestError("no-manifests", "there are none")) == {
        "reference": "no-manifests",
        "error": "there are none",
    }
