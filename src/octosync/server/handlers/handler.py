"""The base of all handlers: the handler of an operation, the call that it gets, pages of lists, and events.

A page is `{"<plural>": [...], "total", "limit", "offset"}`. An event's `resource` names an object as an octosync address does,
by kind and name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic

from pydantic import BaseModel

from octosync.contract import OPERATIONS
from octosync.model import Address, JsonValue
from octosync.server.fleet import Plane
from octosync.server.store import Row, Store
from octosync.server.validation import B, Body, PageQuery, flag_of, page_of


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of an operation, as events show it."""

    type: str
    id: str
    name: str | None = None


ANONYMOUS = Caller("anonymous", "anonymous")
SYSTEM = Caller("system", "system")


@dataclass(frozen=True, slots=True)
class Call:
    """One authorised request of an operation."""

    plane: Plane
    actor: Caller
    parameters: Mapping[str, str]
    query: Mapping[str, str]

    @property
    def store(self) -> Store:
        """The plane's store, in the operation's transaction."""
        return self.plane.store

    @property
    def page(self) -> PageQuery:
        """The page that the request asks for. Raises 422."""
        return page_of(self.query)

    def flag(self, name: str) -> bool:
        """Read a boolean query parameter. Raises 422."""
        return flag_of(self.query, name)


class NoBody(Body):
    """The body of an operation without one: a body that is sent is not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler(Generic[B]):
    """The handler of one operation.

    `run` gets the validated body and returns the JSON of the response, which `response` documents and `status` accompanies
    (204: no body). `body_optional`: a missing body counts as `{}`.
    """

    operation: str
    method: str
    path: str
    run: Callable[[Call, B], JsonValue]
    body: type[B]
    response: type[BaseModel] | None
    status: int = 200
    body_optional: bool = False
    query: tuple[str, ...] = ()


def handles(
    operation: str, *, response: type[BaseModel] | None, status: int = 200, query: tuple[str, ...] = ()
) -> Callable[[Callable[[Call], JsonValue]], Handler[NoBody]]:
    """Make a function the handler of a contract operation without a body."""

    def decorate(function: Callable[[Call], JsonValue]) -> Handler[NoBody]:
        at = OPERATIONS[operation]
        return Handler(
            operation=operation,
            method=at.method,
            path=at.path,
            run=lambda call, _: function(call),
            body=NoBody,
            response=response,
            status=status,
            query=query,
        )

    return decorate


def handles_body(
    operation: str, body: type[B], *, response: type[BaseModel] | None, status: int = 200, body_optional: bool = False
) -> Callable[[Callable[[Call, B], JsonValue]], Handler[B]]:
    """Make a function the handler of a contract operation with a body."""

    def decorate(function: Callable[[Call, B], JsonValue]) -> Handler[B]:
        at = OPERATIONS[operation]
        return Handler(
            operation=operation,
            method=at.method,
            path=at.path,
            run=function,
            body=body,
            response=response,
            status=status,
            body_optional=body_optional,
        )

    return decorate


def control(
    method: str, path: str, body: type[B], *, status: int = 200, body_optional: bool = False
) -> Callable[[Callable[[Call, B], JsonValue]], Handler[B]]:
    """Make a function the handler of a local control, below `/_local`."""

    def decorate(function: Callable[[Call, B], JsonValue]) -> Handler[B]:
        return Handler(
            operation=f"{method} /_local{path}",
            method=method,
            path=f"/_local{path}",
            run=function,
            body=body,
            response=None,
            status=status,
            body_optional=body_optional,
        )

    return decorate


def list_page(
    call: Call, plural: str, source: str, values: Sequence[object], order: str, render: Callable[[Row], JsonValue]
) -> JsonValue:
    """Return the requested page of `source`: constant SQL that follows FROM, with `values` for its placeholders."""
    page, store = call.page, call.store
    total = store.number(f"SELECT count(*) FROM {source}", *values)  # noqa: S608  no client text in it
    rows = store.rows(f"SELECT * FROM {source} ORDER BY {order} LIMIT ? OFFSET ?", *values, page.limit, page.offset)  # noqa: S608  likewise
    return {plural: [render(row) for row in rows], "total": total, "limit": page.limit, "offset": page.offset}


def record_event(store: Store, actor: Caller, app: Row, type_: str, resource: Address, message: str) -> None:
    """Append an event, in the transaction of its write."""
    store.insert(
        "events",
        id=store.new_id("evt"),
        type=type_,
        app_id=app["id"],
        app_slug=app["slug"],
        resource_type=resource.kind.value,
        resource_key=resource.name,
        actor_type=actor.type,
        actor_id=actor.id,
        actor_name=actor.name,
        message=message,
        created_at=store.stamp(),
    )


def event_json(row: Row) -> JsonValue:
    """Return the JSON of an event."""
    actor: dict[str, JsonValue] = {"type": row["actor_type"], "id": row["actor_id"]}
    if row["actor_name"] is not None:
        actor["name"] = row["actor_name"]
    return {
        "id": row["id"],
        "type": row["type"],
        "app_id": row["app_id"],
        "app_slug": row["app_slug"],
        "resource": {"type": row["resource_type"], "key": row["resource_key"]},
        "actor": actor,
        "message": row["message"],
        "created_at": row["created_at"],
    }
