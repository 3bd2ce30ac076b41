"""An error as text: what and where in its first line, why and what to do next in the lines under it."""

from __future__ import annotations

from collections.abc import Iterator

from octosync.errors import OctosyncError, RemoteError
from octosync.report.ink import Ink
from octosync.report.run_report import NOTHING_WRITTEN
from octosync.report.text import text_of, visible


def render_error(error: OctosyncError, *, written: str = NOTHING_WRITTEN, colour: bool = False) -> str:
    """Render one error; `written` says what the run had done by then ("": not said)."""
    lines = list(error_lines(error, Ink(colour)))
    return text_of((*lines, f"  {visible(written)}") if written else lines)


def error_lines(error: OctosyncError, ink: Ink, *, about: str = "") -> Iterator[str]:
    """Yield the lines of one error; `about` names the app that it concerns, where it concerns one."""
    where = f"{visible(about)}: " if about else ""
    yield f"{ink.red('error')}: {visible(error.reference)}: {where}{with_requests(error.message, request_ids(error))}"
    yield from (f"  {visible(hint)}" for hint in error.hints)


def request_ids(error: OctosyncError) -> tuple[str, ...]:
    """Return the control plane's id of the request that failed, where there is one."""
    return (error.request_id,) if isinstance(error, RemoteError) and error.request_id else ()


def with_requests(message: str, ids: tuple[str, ...]) -> str:
    """Return a message with the ids of its requests, those left out that it names itself."""
    missing = [visible(id_) for id_ in ids if id_ not in message]
    noun = "request" if len(missing) == 1 else "requests"
    return f"{visible(message)} ({noun} {', '.join(missing)})" if missing else visible(message)
