"""Answers: JSON, pages that a browser may already have, and refusals in the form that was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from hashlib import sha256
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from octosync.errors import OctosyncError, UsageError
from octosync.model import JsonObject
from octosync.report import json_text
from octosync.watch.web.pages import Page, error_page

_NOT_FOUND = frozenset({"app-not-declared"})


def json_answer(document: JsonObject, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer with a document."""
    return Response(json_text(document), status, media_type="application/json", headers=headers)


@dataclass(frozen=True, slots=True)
class TaggedText:
    """A JSON text, and the tag of exactly this text."""

    text: bytes
    etag: str

    @classmethod
    def of(cls, text: str) -> TaggedText:
        """Tag a text."""
        encoded = text.encode()
        return cls(encoded, f'"{sha256(encoded).hexdigest()[:32]}"')


def text_answer(request: Request, text: TaggedText, now: datetime) -> Response:
    """Answer with a JSON text, or with 304 where the client has that very one."""
    if known := _known(request, text.etag, now, "application/json"):
        return known
    return Response(text.text, media_type="application/json", headers=_validators(text.etag, now))


def page_answer(request: Request, page: Page, now: datetime) -> Response:
    """Answer with a page, or with 304 where the browser shows that very one."""
    if known := _known(request, page.etag, now, "text/html"):
        return known
    return HTMLResponse(page.html, headers=_validators(page.etag, now))


def _validators(etag: str, at: datetime) -> dict[str, str]:
    return {"ETag": etag, "Date": format_datetime(at.astimezone(UTC), usegmt=True)}


def _known(request: Request, etag: str, at: datetime, media_type: str) -> Response | None:
    tags = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if etag not in tags:
        return None
    # With its type: a browser takes an answer without one for XML, and complains of an empty document.
    return Response(status_code=304, headers=_validators(etag, at), media_type=media_type)


def refusal(
    request: Request,
    status: int,
    reference: str,
    message: str,
    *,
    hints: tuple[str, ...] = (),
    headers: dict[str, str] | None = None,
) -> Response:
    """Refuse: a page for a browser that reads, JSON for everything else."""
    if request.method in {"GET", "HEAD"} and "text/html" in request.headers.get("accept", ""):
        words = f"{message[:1].upper()}{message[1:]}."
        return HTMLResponse(error_page(f"{status} {HTTPStatus(status).phrase}", words, hints), status, headers=headers)
    error: JsonObject = {"reference": reference, "message": message, "hints": list(hints)}
    return json_answer({"error": error}, status, headers)


def refusal_of(request: Request, error: OctosyncError) -> Response:
    """Refuse what the controller can't do."""
    status = 404 if error.reference in _NOT_FOUND else 400 if isinstance(error, UsageError) else 409
    return refusal(request, status, error.reference, error.message, hints=error.hints)
