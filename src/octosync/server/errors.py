"""Error responses in Octomil's nested shape: `{"error": {code, message, details?, request_id}}`.

Codes, shape and statuses are public. A 422 (`validation_error`) has a list of `{"field": "bindings[0].binding_key",
"message": …}` as `details`. FastAPI's own shape remains if no operation is reached: the bare `{"detail": "Not Found"}` of an
unknown route, and the 405.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from octosync.contract import ErrorCode
from octosync.model import JsonValue


class ApiError(Exception):
    """An error response, raised by a handler; the transaction is rolled back."""

    def __init__(
        self,
        status: int,
        code: ErrorCode | str,
        message: str,
        *,
        details: JsonValue = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = str(code)
        self.message = message
        self.details = details
        self.headers = dict(headers or {})

    def body(self, request_id: str) -> JsonValue:
        """Return the response body."""
        details: dict[str, JsonValue] = {} if self.details is None else {"details": self.details}
        return {"error": {"code": self.code, "message": self.message, **details, "request_id": request_id}}


def app_not_found(slug: str) -> ApiError:
    """Return a 404: no app of the org has this slug."""
    return ApiError(404, ErrorCode.APP_NOT_FOUND, f"No app has the slug {_quoted(slug)}", details={"app_slug": slug})


def app_archived(slug: str, archived_at: str) -> ApiError:
    """Return a 409: an archived app accepts no write, not even another archive."""
    return ApiError(
        409,
        ErrorCode.CONFLICT,
        f"App {_quoted(slug)} is archived and can't be changed",
        details={"app_slug": slug, "archived_at": archived_at},
    )


def conflict(message: str, **details: JsonValue) -> ApiError:
    """Return a 409: the object exists, or belongs to another app, which `details` name."""
    return ApiError(409, ErrorCode.CONFLICT, message, details=details)


def capability_not_configured(slug: str, capability: str) -> ApiError:
    """Return a 404: the app has no slot for the capability."""
    return ApiError(
        404,
        ErrorCode.CAPABILITY_NOT_CONFIGURED,
        f"App {_quoted(slug)} has no slot for {_quoted(capability)}",
        details={"app_slug": slug, "capability": capability},
    )


def invalid(*problems: tuple[str, str]) -> ApiError:
    """Return a 422 for (field path, message) pairs; the path of the body as a whole is `body`."""
    details: Sequence[JsonValue] = [{"field": field, "message": message} for field, message in problems]
    field, message = problems[0]
    return ApiError(422, ErrorCode.VALIDATION_ERROR, f"{field}: {message}", details=details)


def _quoted(name: str) -> str:
    return f"'{name[:80]}'"
