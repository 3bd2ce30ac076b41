"""Pagination: complete lists, read page by page; a list that changes meanwhile is read again, or is an error.

Objects are validated against their wire models and returned unchanged, with their unknown fields. An invalid object is an
error that names the operation, the field and the request, never a value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Generic, TypeVar

from pydantic import ValidationError

from octosync.contract.requests import MAX_PAGE_SIZE
from octosync.contract.responses import Wire
from octosync.errors import RemoteError
from octosync.model import JsonObject, JsonValue
from octosync.octomil.client import ApiResponse, Octomil
from octosync.octomil.rate_limit import Reservation
from octosync.octomil.response import Translator

# Of a name that the control plane gives an object: longer than any real one, and short enough for a URL.
MAX_NAME_LENGTH = 512

T = TypeVar("T")
W = TypeVar("W", bound=Wire)


@dataclass(frozen=True, slots=True)
class ReadResult(Generic[T]):
    """What was read, and the time at which it was requested, in seconds of the client's clock."""

    value: T
    at: float


def validate_object(
    client: Octomil, operation_id: str, model: type[Wire], body: JsonValue, request_id: str | None
) -> JsonObject:
    """Return the object unchanged if it fits the model. Raises `Unreadable`."""
    if isinstance(body, Mapping):
        with suppress(ValidationError):
            model.model_validate(body)
            return body
    parse_model(client, operation_id, model, body, request_id)  # masks the API key, which the error could show
    assert isinstance(body, Mapping)  # noqa: S101 — `parse_model` accepts objects only
    return body


def parse_model(client: Octomil, operation_id: str, model: type[W], body: JsonValue, request_id: str | None) -> W:
    """Return the object as its wire model, with the API key masked: such objects are shown, and never written back.

    Raises `Unreadable`; the error names fields, never their values.
    """
    if body is None:
        problem = "it is empty"
    elif not isinstance(body, Mapping):
        problem = "it is not an object"
    else:
        try:
            return model.model_validate(client.redactor().masked(body))
        except ValidationError as invalid:
            first = invalid.errors(include_input=False, include_url=False, include_context=False)[0]
            problem = f"field {'.'.join(map(str, first['loc']))}: {first['msg'].lower()}"
    raise translator_for(client, operation_id).wrong_shape(problem, request_id)


def translator_for(client: Octomil, operation_id: str) -> Translator:
    """Return the translator for an operation's responses."""
    return Translator(client.connection, client.contract.operations[operation_id], client.redactor())


def text_field(item: JsonObject, key: str) -> str | None:
    """Return a field that is text or a number; None if it is missing, empty or too long."""
    value = item.get(key)
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if text and len(text) <= MAX_NAME_LENGTH else None


def name_field(item: JsonObject, key: str) -> str | None:
    """Return a field that names an item, text or a number; None if it is missing, empty, too long or not printable."""
    text = text_field(item, key)
    return text if text is not None and text.isprintable() else None


def path_segment(item: JsonObject, key: str) -> str | None:
    """Return a name that may be a segment of a URL's path; None also for dots and slashes, which would change the path."""
    name = name_field(item, key)
    return None if name in {".", ".."} or name is None or "/" in name or "\\" in name else name


def parse_time(text: str | None) -> datetime | None:
    """Parse a time of the control plane's, UTC if it has no zone; return None if it is missing or invalid."""
    try:
        at = datetime.fromisoformat(text or "")
        return at.replace(tzinfo=UTC) if at.utcoffset() is None else at.astimezone(UTC)
    except (ValueError, OverflowError):  # OverflowError: the first or last day of the calendar, in another zone
        return None


PAGE = MAX_PAGE_SIZE
_LONGEST_LIST = 100_000
_MOST_PAGES = 1_000  # of a list, whatever page size the control plane uses
_PASSES = 3


@dataclass(frozen=True, slots=True)
class CompleteList:
    """A complete list. `sent_at` is when its first page was requested, by the client's clock."""

    items: tuple[JsonObject, ...]
    request_id: str | None
    sent_at: float


@dataclass(slots=True)
class _Pass:
    """One pass over the pages of a list. With `moved`, the list changed meanwhile, and the pass is discarded."""

    items: dict[str, JsonObject] = field(default_factory=dict)
    total: int | None = None
    offset: int = 0
    pages: int = 0
    moved: bool = False
    request_id: str | None = None
    sent_at: float = 0.0


@dataclass(frozen=True, slots=True)
class ListPage:
    """A page of a list: its items, the `total` of the list if the response has it, and the page size in effect."""

    items: tuple[JsonObject, ...]
    total: int | None
    limit: int
    request_id: str | None

    def is_last(self, offset: int) -> bool:
        """Return whether this page, which begins at `offset`, is the last one."""
        if self.total is not None:
            return not self.items or offset + len(self.items) >= self.total
        return len(self.items) < self.limit


async def read_list(
    client: Octomil,
    operation_id: str,
    parameters: Mapping[str, str],
    *,
    plural: str,
    identify: Callable[[JsonObject], str | None],
    query: Mapping[str, str] | None = None,
    within: Reservation | None = None,
) -> CompleteList:
    """Read all pages of a list, `{"<plural>": […], total, limit, offset}` or a bare array.

    `identify` returns an item's name, None if it has none. `query` is sent with every page, `within` is a reservation for
    them. A list that changes between two pages is read again from the start. Raises `RemoteError` if any page fails.
    """
    listing = await read_list_if(
        client,
        operation_id,
        parameters,
        plural=plural,
        identify=identify,
        query=query,
        within=within,
        worth=lambda _: True,
    )
    assert listing is not None  # noqa: S101 — `worth` is always True
    return listing


async def read_list_if(
    client: Octomil,
    operation_id: str,
    parameters: Mapping[str, str],
    *,
    plural: str,
    identify: Callable[[JsonObject], str | None],
    worth: Callable[[int], bool],
    query: Mapping[str, str] | None = None,
    within: Reservation | None = None,
) -> CompleteList | None:
    """Read all pages of a list as `read_list` does, or only the first one, and return None.

    `worth` is called with the number of further requests that the list takes, according to its first page.
    """
    translator = translator_for(client, operation_id)
    request_id = None
    for _ in range(_PASSES):
        current = await _read_pages(
            client, translator, parameters, plural, identify, extra=query or {}, worth=worth, within=within
        )
        if current is None:
            return None
        if not current.moved:
            return CompleteList(tuple(current.items.values()), current.request_id, current.sent_at)
        request_id = current.request_id
    raise translator.wrong_shape(
        f"{plural} changed or repeated itself while it was read page by page, {_PASSES} times in a row", request_id
    )


async def _read_pages(
    client: Octomil,
    translator: Translator,
    parameters: Mapping[str, str],
    plural: str,
    identify: Callable[[JsonObject], str | None],
    *,
    extra: Mapping[str, str],
    worth: Callable[[int], bool],
    within: Reservation | None,
) -> _Pass | None:
    current = _Pass()
    while True:
        query: dict[str, str | int] = {**extra, "limit": PAGE, "offset": current.offset}
        response = await client.call(translator.operation.id, parameters, query=query, within=within)
        if current.offset == 0:
            current.sent_at = response.sent_at
        current.request_id = response.request_id
        page = _page(response, translator, plural)
        _add(current, page, translator, plural, identify)
        if current.moved or _is_last(current, page):
            return current
        if current.offset == len(page.items) and not worth(_further_requests(current, page)):
            return None


async def read_page(
    client: Octomil,
    operation_id: str,
    parameters: Mapping[str, str],
    *,
    plural: str,
    offset: int = 0,
    limit: int = PAGE,
) -> ListPage:
    """Read one page of a feed, a list that only grows at its front. `limit` is at most 100. Raises `RemoteError`."""
    response = await client.call(operation_id, parameters, query={"limit": limit, "offset": offset})
    return _page(response, translator_for(client, operation_id), plural, asked=limit)


def _further_requests(current: _Pass, page: ListPage) -> int:
    """Return the number of pages after the first one; 1, the least possible, if the response has no total."""
    if current.total is None:
        return 1
    return -(-(current.total - current.offset) // max(1, page.limit))


def _page(response: ApiResponse, translator: Translator, plural: str, *, asked: int = PAGE) -> ListPage:
    body = response.body
    if body is None:
        raise translator.wrong_shape(f"it is empty, expected a list of {plural}", response.request_id)
    envelope = body if isinstance(body, Mapping) else {plural: body}
    if plural not in envelope:
        raise translator.wrong_shape(f"field {plural} is missing", response.request_id)
    items = _objects(envelope[plural])
    if items is None:
        raise translator.wrong_shape(f"{plural} is not a list of objects", response.request_id)
    limit = min(_count(envelope.get("limit")) or asked, PAGE)
    return ListPage(items, _count(envelope.get("total")), limit, response.request_id)


def _objects(value: JsonValue) -> tuple[JsonObject, ...] | None:
    if not isinstance(value, list):
        return None
    objects = tuple(item for item in value if isinstance(item, Mapping))
    return objects if len(objects) == len(value) else None


def _add(
    current: _Pass, page: ListPage, translator: Translator, plural: str, identify: Callable[[JsonObject], str | None]
) -> None:
    for index, item in enumerate(page.items):
        name = identify(item)
        if name is None:
            raise _nameless(translator, plural, current.offset + index, current.request_id)
        if name in current.items:
            current.moved = True
        current.items[name] = item
    if current.offset and page.total != current.total:
        current.moved = True
    current.total = page.total
    current.offset += len(page.items)
    current.pages += 1
    if current.pages >= _MOST_PAGES and not _is_last(current, page):
        raise translator.wrong_shape(f"{plural} has more than {_MOST_PAGES} pages", current.request_id)
    if current.offset > _LONGEST_LIST:
        raise translator.wrong_shape(f"{plural} has more than {_LONGEST_LIST} entries", current.request_id)


def _is_last(current: _Pass, page: ListPage) -> bool:
    """Return whether the list ends with this page; a list that ends before its own total has changed meanwhile."""
    if current.total is not None:
        if current.offset >= current.total:
            return True
        current.moved = not page.items
        return current.moved
    return len(page.items) != page.limit  # more items than requested: a complete list, the server doesn't paginate


def _nameless(translator: Translator, plural: str, index: int, request_id: str | None) -> RemoteError:
    return translator.wrong_shape(f"{plural}[{index}] has no usable id or name", request_id)


def _count(value: JsonValue) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
