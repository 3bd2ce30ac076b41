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
from octosync.watch.log import Log, Value, about, libraries_in
from octosync.watch.settings import LogFormat

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Noon:
    """A clock that does not move."""

    def now(self) -> datetime:
        """Return noon."""
        return NOON + timedelta(milliseconds=5)

    def monotonic(self) -> float:
        """Return a constant."""
        return 0.0

    async def sleep(self, seconds: float) -> None:
        """Yield to other tasks."""
        await asyncio.sleep(0 * seconds)


def _logs(format_: LogFormat = LogFormat.JSON) -> tuple[io.StringIO, Log]:
    stream = io.StringIO()
    return stream, Log(stream, Noon(), format_=format_)


def _lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_lines_have_the_form_of_events() -> None:
    """A line has the form of `--output jsonl`: time, level and message with an @, every other field under its name."""
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


def test_text_lines_are_readable() -> None:
    """A line of text has time, level, message and key=value fields, quoted where needed.

    Fields without a value are omitted.
    """
    stream, log = _logs(LogFormat.TEXT)
    log.warning(
        "full_read",
        message="12 apps read",
        app="notes",
        reason='quoted "no"',
        addresses=["app/a", "app/b"],
        dry=True,
        until=None,
    )
    log.error("failed", message="it failed")
    assert stream.getvalue() == (
        '2026-03-01T12:00:00.005Z WARN  12 apps read  app=notes reason="quoted \\"no\\"" addresses=app/a,app/b dry=true\n'
        "2026-03-01T12:00:00.005Z ERROR it failed\n"
    )


def test_a_bound_log_adds_its_fields_to_every_line() -> None:
    """Each line of the bound log has the run id. Lines of the original log do not."""
    stream, log = _logs()
    run_log = log.bind(run="r1", apps=["a", "b"])
    run_log.info("read", message="read")
    run_log.bind(app="a").info("written", message="written", requests=3)
    log.info("idle", message="idle")
    assert [(line.get("run"), line.get("app")) for line in _lines(stream)] == [("r1", None), ("r1", "a"), (None, None)]


def test_fields_do_not_replace_those_of_the_line() -> None:
    """A field named `event` or `@level` does not change the line's own event and level."""
    stream, log = _logs()
    log.info("applied", message="applied", **{"event": "forged", "@level": "forged", "@timestamp": "forged"})
    (line,) = _lines(stream)
    assert (line["event"], line["@level"], line["@timestamp"]) == ("applied", "info", "2026-03-01T12:00:00.005Z")


@pytest.mark.parametrize("format_", LogFormat)
def test_nothing_acts_on_a_terminal_or_forges_a_line(format_: LogFormat) -> None:
    """Control characters, line breaks and bidirectional controls are escaped in messages, fields and lists."""
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
def test_a_value_that_could_be_secret_is_not_written(format_: LogFormat, body: object) -> None:
    """Of a value of an unexpected type only the type is written, even if the type checker was bypassed with a cast."""
    stream, log = _logs(format_)
    log.info("sent", message="sent", body=cast(Value, body), all=cast(Value, [body]))
    assert "sk-hidden" not in stream.getvalue()
    assert type(body).__name__ in stream.getvalue()


def test_long_texts_and_lists_are_truncated() -> None:
    """A truncated value ends with its original length."""
    stream, log = _logs()
    log.info("read", message="read", text="x" * 5_000, apps=[f"app-{number}" for number in range(1_000)])
    (line,) = _lines(stream)
    assert line["text"].endswith("(5,000 characters)")
    assert line["apps"][-1] == "… 1,000 in all"
    assert len(stream.getvalue()) < 3_000


def test_infinite_numbers_are_text() -> None:
    """A line is valid JSON for every number."""
    stream, log = _logs()
    log.info("read", message="read", seconds=float("inf"), share=float("nan"))
    assert [_lines(stream)[0][name] for name in ("seconds", "share")] == ["inf", "nan"]


def test_a_broken_pipe_does_not_stop_the_controller() -> None:
    """With a broken pipe or a closed stream the log discards its lines."""
    reading, writing = os.pipe()
    stream = os.fdopen(writing, "w")
    log = Log(stream, Noon())
    os.close(reading)
    log.info("first", message="first")
    log.info("second", message="second")
    closed = io.StringIO()
    closed.close()
    Log(closed, Noon()).info("third", message="third")
    with pytest.raises(BrokenPipeError):  # unsent lines are still in its buffer
        stream.close()


def test_an_ascii_stream_accepts_every_text() -> None:
    """Characters that the stream cannot encode, as in the C locale, are written as escapes."""
    raw = io.BytesIO()
    log = Log(io.TextIOWrapper(raw, encoding="ascii", errors="strict"), Noon())
    log.info("read", message="größer …", name="日本")
    assert raw.getvalue().decode("ascii").endswith("gr\\xf6\\xdfer \\u2026  name=\\u65e5\\u672c\n")


def test_libraries_write_to_the_log() -> None:
    """A library's warning is a log line with the name of the library; its messages of lower levels are omitted.

    Also omitted are malformed requests to the status page, with which anyone who reaches it could fill the log.
    """
    stream, log = _logs()
    with libraries_in(log):
        logging.getLogger("watchfiles").warning("lost %d\nbody: sk-hidden", 3)
        logging.getLogger("uvicorn.access").info("GET /")
        logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
        malformed = logging.LogRecord(
            "uvicorn.error", logging.ERROR, "server.py", 1, "%d is not a number", ("a",), None
        )
        logging.getLogger().handlers[-1].handle(malformed)
    logging.getLogger("watchfiles").warning("after")
    assert [(line["@level"], line["event"], line["logger"], line["@message"]) for line in _lines(stream)] == [
        ("warn", "library", "watchfiles", "lost 3"),
        ("error", "library", "uvicorn.error", "%d is not a number"),
    ]


async def test_an_unhandled_exception_of_asyncio_is_logged() -> None:
    """The line has the type and the place of the exception, and not its text."""
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


def test_an_error_of_octosync_is_logged_in_full() -> None:
    """It has its reference and its message, which contains nothing secret."""
    assert about(ManifestError("no-manifests", "there are none")) == {
        "reference": "no-manifests",
        "error": "there are none",
    }


def test_a_quiet_log_has_only_warnings_and_errors() -> None:
    """What happens in the course of things is left out, also of a log with further fields."""
    stream = io.StringIO()
    log = Log(stream, Noon(), format_=LogFormat.JSON, is_quiet=True).bind(app="notes")
    log.info("applied", message="2 applied")
    log.warning("held", message="held")
    log.error("failed", message="failed")
    assert [line["event"] for line in _lines(stream)] == ["held", "failed"]
