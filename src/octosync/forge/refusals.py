"""What GitHub's refusals mean: an error each, and for what passes by itself the seconds to wait.

Public: 403 or 429 is a rate limit where `Retry-After` is there, `x-ratelimit-remaining` is 0 (until `x-ratelimit-reset`, in
seconds of Unix time), or the message says so (then a minute at least); any other 403 is a permission that the token lacks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from octosync.errors import (
    CredentialRefused,
    ErrorResponse,
    Forbidden,
    Missing,
    Rejected,
    RemoteError,
    Unavailable,
    Unreadable,
)
from octosync.model import Concealer

# Above this, a job had better end and say so.
LONGEST_WAIT: Final = 120.0
_UNSAID_WAIT: Final = 60.0
_LONGEST_MESSAGE: Final = 300
_LONGEST_ID: Final = 100


def wait_of(answer: httpx.Response) -> float | None:
    """Return for how many seconds a rate limit wants to be left alone, None for an answer that is no rate limit."""
    if answer.status_code not in {403, 429}:
        return None
    asked = answer.headers.get("retry-after", "").strip()
    if asked.isascii() and asked.isdigit():
        return float(asked[:9])
    if answer.headers.get("x-ratelimit-remaining", "").strip() == "0":
        return _until(answer.headers.get("x-ratelimit-reset", ""), answer.headers.get("date", ""))
    if answer.status_code == 429 or "rate limit" in message_of(answer).lower():
        return _UNSAID_WAIT
    return None


def _until(reset: str, date: str) -> float:
    """Return the seconds from the answer's own `Date` to a reset: a clock of ours that is off does no harm."""
    try:
        now = parsedate_to_datetime(date).timestamp()
    except (ValueError, IndexError, TypeError, OverflowError):
        return _UNSAID_WAIT
    text = reset.strip()
    return max(0.0, float(text[:15]) - now) if text.isascii() and text.isdigit() else _UNSAID_WAIT


def message_of(answer: httpx.Response) -> str:
    """Return what GitHub says beside a status, "" where it says nothing that can be read."""
    try:
        body = json.loads(answer.content)
    except (ValueError, RecursionError):
        return ""
    said = body.get("message") if isinstance(body, Mapping) else None
    errors = body.get("errors") if isinstance(body, Mapping) else None
    details = [one.get("message") for one in errors if isinstance(one, Mapping)] if isinstance(errors, list) else []
    parts = [one for one in (said, *details) if isinstance(one, str)]
    return ": ".join(parts)


def refusal(answer: httpx.Response, what: str, concealer: Concealer) -> RemoteError:
    """Read an answer that is no success into the error that it means; `what` says what was asked for."""
    status, said = answer.status_code, concealer.text(message_of(answer), _LONGEST_MESSAGE)
    request_id = concealer.text(answer.headers.get("x-github-request-id", ""), _LONGEST_ID) or None
    kind, reference, message, hints = _meaning(answer, what)
    shown = f"{message} ({status} {said})" if said else f"{message} ({status})"
    return kind(
        reference,
        shown,
        hints=hints,
        operation=what,
        response=ErrorResponse(status=status, request_id=request_id),
        sent=status >= 500,
    )


def _meaning(answer: httpx.Response, what: str) -> tuple[type[RemoteError], str, str, tuple[str, ...]]:
    status = answer.status_code
    wait = wait_of(answer)
    if wait is not None:
        hints = (f"It asks to be left alone for {wait:g} s. Run this again then.",)
        return Unavailable, "forge-throttled", f"the forge throttles: {what}", hints
    if status == 401:
        hints = ("GITHUB_TOKEN is wrong, revoked, or of another forge than GITHUB_API_URL.",)
        return CredentialRefused, "forge-credential-refused", f"the forge refuses the token: {what}", hints
    if status == 403:
        hints = ("The job's `permissions` don't reach this far, or it is of a fork, whose token only reads.",)
        return Forbidden, "forge-forbidden", f"the token may not do this: {what}", hints
    if status in {404, 410}:
        hints = ("It doesn't exist, or the token may not see it: check the job's `permissions`.",)
        return Missing, "forge-missing", f"the forge doesn't find this: {what}", hints
    if 300 <= status < 400:
        hints = ("The repository may have been renamed: set GITHUB_REPOSITORY and GITHUB_API_URL anew.",)
        return Unreadable, "forge-moved", f"the forge sends elsewhere: {what}", hints
    if status >= 500:
        return Unavailable, "forge-unavailable", f"the forge fails: {what}", ("Try again later.",)
    return Rejected, "forge-rejected", f"the forge refuses this: {what}", ()
