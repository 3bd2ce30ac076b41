"""Whole lists out of pages: complete, or an error; never half of a list that moved while it was read.

Answers as what they must be: an object is validated against its wire model, then taken as it came.

Unknown fields are kept. What is not as it must be is one error that names operation, field and request, never a value.

Spreading: many reads at once, as many as the connection may have under way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Generic, TypeVar

from pydantic import ValidationError

from octosync.contract.requests import LARGEST_PAGE
from octosync.contract.responses import Wire
from octosync.errors import RemoteError
from octosync.model import JsonObject, JsonValue
from octosync.octomil.client import ApiResponse, Octomil
from octosync.octomil.rate_limit import Reservation
from octosync.octomil.response import Translator

# Of a name that the control plane gives to an object: no real one comes near, and a URL has room for it.
MAX_NAME_LENGTH = 512

T = TypeVar("T")
W = TypeVar("W", bound=Wire)


@dataclass(frozen=True, slots=True)
class ReadResult(Generic[T]):
    """What was read, and since when it is known, in seconds of the client's clock."""

    value: T
    at: float


def validate_object(
    client: Octomil, operation_id: str, model: type[Wire], body: JsonValue, request_id: str | None
) -> JsonObject:
    """Return the object as it came, if it is what the model says. Raises `Unreadable`."""
    parse_model(client, operation_id, model, body, request_id)
    assert isinstance(body, Mapping)  # noqa: S101 — what was parsed into a model is an object
    return body


def parse_model(client: Octomil, operation_id: str, model: type[W], body: JsonValue, request_id: str | None) -> W:
    """Return the object as its wire model, the API key masked in it: such objects are shown, and never written back.

    Raises `Unreadable`; the error names fields, never their values.
    """
    if body is None:
        problem = "it is empty"
    elif not isinstance(body, Mapping):
        problem = "it is not an object"
    else:
        try:
            return model.model_validate(client.concealer().masked(body))
        except ValidationError as invalid:
            first = invalid.errors(include_input=False, include_url=False, include_context=False)[0]
            problem = f"field {'.'.join(map(str, first['loc']))}: {first['msg'].lower()}"
    raise translator_for(client, operation_id).wrong_shape(problem, request_id)


def translator_for(client: Octomil, operation_id: str) -> Translator:
    """Return what turns an operation's answers into errors."""
    return Translator(client.connection, client.contract.operations[operation_id], client.concealer())


def text_field(item: JsonObject, key: str) -> str | None:
    """Return the text or number of a field; None for what is missing, empty or too long."""
    value = item.get(key)
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if text and len(text) <= MAX_NAME_LENGTH else None


def name_field(item: JsonObject, key: str) -> str | None:
    """Return the text or number by which an item is known; None for what is missing, empty, too long or not printable."""
    text = text_field(item, key)
    return text if text is not None and text.isprintable() else None


def path_segment(item: JsonObject, key: str) -> str | None:
    """Return a name that may be a segment of a URL's path; None also for dots and slashes, which would name another path."""
    name = name_field(item, key)
    return None if name in {".", ".."} or name is None or "/" in name or "\\" in name else name


def parse_time(text: str | None) -> datetime | None:
    """Read a time of the control plane's, UTC where it names no zone; None for none, or for what is not one."""
    try:
        at = datetime.fromisoformat(text or "")
        return at.replace(tzinfo=UTC) if at.utcoffset() is None else at.astimezone(UTC)
    except (ValueError, OverflowError):  # OverflowError: the first or last day of the calendar, in another zone
        return None


PAGE = LARGEST_PAGE
_LONGEST_LIST = 100_000
_MOST_PAGES = 1_000  # of a list, at whatever limit the control plane answers with
_PASSES = 3


@dataclass(frozen=True, slots=True)
class Listing:
    """A whole list. `sent_at` is when its first page was asked for, by the client's clock."""

    items: tuple[JsonObject, ...]
    request_id: str | None
    sent_at: float


@dataclass(slots=True)
class _Pass:
    """One walk over the pages. `moved` says that the list changed under it: then it counts for nothing."""

    items: dict[str, JsonObject] = field(default_factory=dict)
    total: int | None = None
    offset: int = 0
    pages: int = 0
    moved: bool = False
    request_id: str | None = None
    sent_at: float = 0.0


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page: its items, the `total` of the whole list where the answer says it, and the limit that was in force."""

    items: tuple[JsonObject, ...]
    total: int | None
    limit: int
    request_id: str | None

    def is_last(self, offset: int) -> bool:
        """Say whether nothing comes after this page, which begins at an offset."""
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
) -> Listing:
    """Read all pages of a list, `{"<plural>": […], total, limit, offset}` or a bare array.

    `identify` names an item, None where it lacks what that needs. `query` is sent with every page, `within` a reservation
    for them. A list that changes between two pages is read again from the start. Raises `RemoteError`: no page, no list.
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
    assert listing is not None  # noqa: S101 — every length of it is worth it
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
) -> Listing | None:
    """Read all pages of a list as `read_list` does, or only the first one, and return None.

    `worth` decides by how many further requests the whole list takes, as far as its first page says.
    """
    translator = translator_for(client, operation_id)
    request_id = None
    for _ in range(_PASSES):
        walk = await _walk(
            client, translator, parameters, plural, identify, asked=query or {}, worth=worth, within=within
        )
        if walk is None:
            return None
        if not walk.moved:
            return Listing(tuple(walk.items.values()), walk.request_id, walk.sent_at)
        request_id = walk.request_id
    raise translator.wrong_shape(
        f"{plural} changes or repeats itself while it is read page by page, {_PASSES} times over", request_id
    )


async def _walk(
    client: Octomil,
    translator: Translator,
    parameters: Mapping[str, str],
    plural: str,
    identify: Callable[[JsonObject], str | None],
    *,
    asked: Mapping[str, str],
    worth: Callable[[int], bool],
    within: Reservation | None,
) -> _Pass | None:
    walk = _Pass()
    while True:
        query: dict[str, str | int] = {**asked, "limit": PAGE, "offset": walk.offset}
        response = await client.call(translator.operation.id, parameters, query=query, within=within)
        if walk.offset == 0:
            walk.sent_at = response.sent_at
        walk.request_id = response.request_id
        page = _page(response, translator, plural)
        _add(walk, page, translator, plural, identify)
        if walk.moved or _is_last(walk, page):
            return walk
        if walk.offset == len(page.items) and not worth(_further_requests(walk, page)):
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
    """Read one page of a list that only grows at its front: a feed. `limit` is at most 100. Raises `RemoteError`."""
    response = await client.call(operation_id, parameters, query={"limit": limit, "offset": offset})
    return _page(response, translator_for(client, operation_id), plural, asked=limit)


def _further_requests(walk: _Pass, page: ListPage) -> int:
    """Say how many more pages there are after the first one: at least one, where the answer has no total."""
    if walk.total is None:
        return 1
    return -(-(walk.total - walk.offset) // max(1, page.limit))


def _page(response: ApiResponse, translator: Translator, plural: str, *, asked: int = PAGE) -> ListPage:
    body = response.body
    if body is None:
        raise translator.wrong_shape(f"it is empty, but a list of {plural} is needed", response.request_id)
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
    walk: _Pass, page: ListPage, translator: Translator, plural: str, identify: Callable[[JsonObject], str | None]
) -> None:
    for index, item in enumerate(page.items):
        name = identify(item)
        if name is None:
            raise _nameless(translator, plural, walk.offset + index, walk.request_id)
        if name in walk.items:
            walk.moved = True
        walk.items[name] = item
    if walk.offset and page.total != walk.total:
        walk.moved = True
    walk.total = page.total
    walk.offset += len(page.items)
    walk.pages += 1
    if walk.pages >= _MOST_PAGES and not _is_last(walk, page):
        raise translator.wrong_shape(f"{plural} has more than {_MOST_PAGES} pages", walk.request_id)
    if walk.offset > _LONGEST_LIST:
        raise translator.wrong_shape(f"{plural} has more than {_LONGEST_LIST} entries", walk.request_id)


def _is_last(walk: _Pass, page: ListPage) -> bool:
    """Decide whether the list ends here; one that ends before its own total has moved."""
    if walk.total is not None:
        if walk.offset >= walk.total:
            return True
        walk.moved = not page.items
        return walk.moved
    return len(page.items) != page.limit  # more than asked for is a whole list from a server that doesn't page


def _nameless(translator: Translator, plural: str, index: int, request_id: str | None) -> RemoteError:
    return translator.wrong_shape(f"{plural}[{index}] has no usable id or name", request_id)


def _count(value: JsonValue) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
