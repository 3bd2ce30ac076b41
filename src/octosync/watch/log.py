"""The controller's log: one line an event, as text for people or JSON for collectors, on a stream that is handed in.

What it promises is in what it lets through: names, counts, times and sentences, never an object that could have a body or a
token in it, and nothing that a terminal would act on. (structlog would bring `bind` and a JSON renderer; what admits values,
shows control characters, survives a broken pipe and looks like the events of `--output jsonl` would all be ours still.)
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, TextIO, TypeAlias

from octosync.errors import OctosyncError, frame_words
from octosync.model import JsonValue, clipped
from octosync.report import json_line, visible
from octosync.watch.settings import Clock, LogFormat

LogScalar: TypeAlias = str | int | float | bool | None
Value: TypeAlias = LogScalar | Sequence[str | int | float]

_LONGEST_TEXT: Final = 1_000  # characters: a sentence, not a body
_LONGEST_LIST: Final = 20
_FRAMES: Final = 8
_NEWS_FROM: Final = {
    # Below errors it logs malformed requests. Anyone who reaches the status page could fill the log with them.
    "uvicorn.error": logging.ERROR,
}
_BARE: Final = re.compile(r"[\w./:@+%…-]+")


class Log:
    """Writes events. `bind` returns one that has the given fields on every line; both write to the same stream.

    With `is_quiet`, only warnings and errors are written. An event's name is stable, for machines; `message` is a sentence for
    people. A stream that can't be written to is ignored: a broken log is no reason to stop. Never raises.
    """

    def __init__(
        self,
        stream: TextIO,
        clock: Clock,
        *,
        format_: LogFormat = LogFormat.TEXT,
        bound: Mapping[str, Value] | None = None,
        is_quiet: bool = False,
    ) -> None:
        self._stream = stream
        self._clock = clock
        self._format = format_
        self._bound = dict(bound or {})
        self._is_quiet = is_quiet

    def bind(self, **fields: Value) -> Log:
        """Return a log with further fields on every line, such as `run` and `app`."""
        bound = {**self._bound, **fields}
        return Log(self._stream, self._clock, format_=self._format, bound=bound, is_quiet=self._is_quiet)

    def info(self, event: str, /, *, message: str, **fields: Value) -> None:
        """Write what happens in the course of things, unless the log is quiet."""
        if not self._is_quiet:
            self._write("info", event, message, fields)

    def warning(self, event: str, /, *, message: str, **fields: Value) -> None:
        """Write what a person may have to check."""
        self._write("warn", event, message, fields)

    def error(self, event: str, /, *, message: str, **fields: Value) -> None:
        """Write what doesn't work."""
        self._write("error", event, message, fields)

    def _write(self, level: str, event: str, message: str, fields: Mapping[str, Value]) -> None:
        text = clipped(visible(message), _LONGEST_TEXT)
        shown = {name: _shown(value) for name, value in {**self._bound, **fields}.items()}
        at = self._clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if self._format is LogFormat.JSON:
            head: dict[str, JsonValue] = {"@timestamp": at, "@level": level, "@message": text, "event": event}
            line = json_line({**head, **shown, **head})
        else:
            pairs = (f"{visible(name)}={_as_text(value)}" for name, value in shown.items() if value is not None)
            line = f"{at} {level.upper():5} {'  '.join((text, ' '.join(pairs))).rstrip()}\n"
        try:
            self._stream.write(_encodable(line, self._stream))
            self._stream.flush()
        except (OSError, ValueError):  # a broken pipe, a full disk, a closed stream
            return


def about(error: BaseException) -> dict[str, Value]:
    """Return the fields that describe an error, for `log.bind(**about(error)).error(…)`.

    They are its reference and message if it is ours, else its type and the place where it was raised. The text of a foreign error
    is not among them: it may quote what was read or sent.
    """
    if isinstance(error, OctosyncError):
        return {"reference": error.reference, "error": error.message}
    return {"error": type(error).__name__, "trace": frame_words(error, at_most=_FRAMES)}


def defect_place(error: BaseException) -> str:
    """Return where an error was raised: a file, a line and a function."""
    return next(iter(frame_words(error, at_most=1)), "nowhere")


@contextmanager
def libraries_in(log: Log) -> Iterator[None]:
    """Write the warnings and errors of libraries and of asyncio to a log while the context is open."""
    handler, root = _Libraries(log), logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


def library_message(record: logging.LogRecord) -> str:
    """Return the first line of a library's log record: the rest may quote values."""
    try:
        message = record.getMessage()
    except Exception:  # noqa: BLE001 — a library's format and arguments that don't go together
        message = str(record.msg)
    return message.partition("\n")[0]


class _Libraries(logging.Handler):
    """Hands on what comes through the standard library's logging."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        if record.levelno < _NEWS_FROM.get(record.name, logging.WARNING):
            return
        message = library_message(record)
        error = record.exc_info[1] if record.exc_info else None
        write = self._log.warning if record.levelno < logging.ERROR else self._log.error
        write("library", message=message, logger=record.name, **({} if error is None else about(error)))


def _shown(value: object) -> JsonValue:
    """Return a value as it may be logged; for values that may not, only the type."""
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if value - value == 0 else str(value)  # JSON has no infinity
        case str():
            return clipped(visible(value), _LONGEST_TEXT)
        case list() | tuple():
            shown = [_shown(entry) for entry in value[:_LONGEST_LIST]]
            return [*shown, f"… {len(value):,} in all"] if len(value) > _LONGEST_LIST else shown
        case _:
            return f"<{type(value).__name__}>"


def _as_text(value: JsonValue) -> str:
    if isinstance(value, list):
        return ",".join(map(_as_text, value))
    text = json.dumps(value) if isinstance(value, bool) else str(value)
    return text if _BARE.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _encodable(line: str, stream: TextIO) -> str:
    """Return a line with what the stream's encoding lacks written as escapes."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return line.encode(encoding, "backslashreplace").decode(encoding)
