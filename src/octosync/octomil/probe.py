"""A probe: the read operations tried for real, by at most ten GETs, each sent once and exactly as octosync sends it.

Other paths that an operation may have: the few renames that are likely, for a probe that finds nothing at ours.

A document from the web, such as an API's description: fetched once, and never with an API key.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, urlsplit

import httpx

from octosync.contract import OPERATIONS, Access, Contract, ErrorCode, Operation
from octosync.contract.encoding import BodyTooLarge
from octosync.contract.probe import Probe, Probed, Verdict, differences_in, items_in
from octosync.contract.requests import EXCHANGES
from octosync.errors import (
    ConfigError,
    CredentialRefused,
    ErrorResponse,
    Forbidden,
    Missing,
    OctosyncError,
    RemoteError,
    Unreadable,
    UsageError,
)
from octosync.model import JsonValue
from octosync.octomil.client import Octomil
from octosync.octomil.failures import failure_of
from octosync.octomil.pagination import PAGE, path_segment
from octosync.octomil.transport import Connection, RawResponse, exchange, open_http

# What else the last part of a path might be called; never what could be taken for something else that answers alike.
_ALSO: Final[Mapping[str, str]] = {
    "targets": "app-targets",
    "slots": "capability-slots",
    "health": "coverage",
    "activity": "events",
    "first-request": "first-inference",
}


def other_paths(contract: Contract, operation_id: str) -> Iterator[str]:
    """Yield other paths for an operation, likeliest first, each fit to be an override."""
    path = contract.operations[operation_id].path
    parts = path.split("/")
    last = max(index for index, part in enumerate(parts) if "{" not in part)
    renamed = [path.replace("-", "_"), path.replace("_", "-")]
    if last > 0 and "{" not in parts[last - 1] and parts[last - 1]:
        renamed.append("/".join([*parts[: last - 1], f"{parts[last - 1]}-{parts[last]}", *parts[last + 1 :]]))
    if parts[last] in _ALSO:
        renamed.append("/".join([*parts[:last], _ALSO[parts[last]], *parts[last + 1 :]]))
    for other in dict.fromkeys(renamed):
        if other != path and _is_possible(contract, operation_id, other):
            yield other


def _is_possible(contract: Contract, operation_id: str, path: str) -> bool:
    try:
        contract.overridden(operations={operation_id: {"path": path}})
    except ConfigError:
        return False
    return True


MAX_GETS: Final = 10

# What matters most goes first: ten requests are not enough for all.
_ORDER: Final = (
    "apps.list",
    "apps.get",
    "apps.list_targets",
    "apps.list_slots",
    "apps.get_inference_config",
    "apps.deployments",
    "apps.get_slot",
    "apps.routing_stats",
    "apps.activity",
    "apps.health",
    "apps.first_request",
    "apps.routing_decisions",
    "deployments.list",
    "activity.list",
)
_READS: Final = tuple(id_ for id_, one in OPERATIONS.items() if one.access is Access.READ)
PROBED_BY_GET: Final = tuple(id_ for id_ in _READS if id_ in _ORDER)
# What another operation has to have answered, so that there is something to ask for.
_NEEDS: Final[Mapping[str, str]] = {"apps.get_slot": "apps.list_slots"}
_ABSENT_STATUSES: Final = frozenset({404, 405, 501})


async def probe(
    client: Octomil,
    app: str | None,
    only: Collection[str] = (),
    *,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Probe:
    """Try the read operations, or `only` some and what these need; without an app, on the first one of the list.

    The client must not send again by itself. Raises `CredentialRefused` where the key is refused from the beginning,
    `OctosyncError` for an app that is not there, and `RemoteError` where nothing answers at all.
    """
    if client.connection.attempts != 1:
        raise ValueError("a probe sends each request once: the connection needs attempts=1")
    walk = _Walk(client, app, frozenset(only) or frozenset(_READS), progress)
    for id_ in _ORDER:
        await walk.take(id_)
    return Probe(
        app=walk.app,
        operations=tuple(walk.results.get(id_) or walk.not_tried(id_) for id_ in _READS if walk.is_asked(id_)),
        requests=walk.gets,
    )


@dataclass(slots=True)
class _Walk:
    client: Octomil
    app: str | None
    only: frozenset[str]
    progress: Callable[[int, int], None]
    is_named: bool = False  # the app, by whoever asks
    results: dict[str, Probed] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    bodies: dict[str, JsonValue] = field(default_factory=dict)
    gets: int = 0
    stopped: str = ""  # why nothing more is sent

    def __post_init__(self) -> None:
        self.is_named = self.app is not None

    def is_asked(self, id_: str) -> bool:
        """Say whether an operation is to be tried: by itself, or since another one needs it."""
        needed = {_NEEDS[one] for one in self.only if one in _NEEDS}
        if self.is_named:
            needed.add("apps.get")  # a 404 means something else if the app is not there
        elif any("{slug}" in self.client.contract.operations[one].path for one in self.only):
            needed.add("apps.list")
        return id_ in self.only | needed

    def not_tried(self, id_: str) -> Probed:
        """Say why an operation is not tried."""
        operation = self.client.contract.operations[id_]
        why = self.stopped
        if operation.method != "GET":
            why = f"it is sent by {operation.method}, and a probe only GETs"
        elif id_ in self.skipped:
            why = self.skipped[id_]
        elif self.gets >= MAX_GETS:
            why = f"{MAX_GETS} requests are a probe's most; --operation {id_} tries it"
        return Probed(operation=operation, verdict=Verdict.NOT_TRIED, notes=(why,))

    async def take(self, id_: str) -> None:
        """Try an operation, if it is asked for, and there is something to ask for and a request left."""
        operation = self.client.contract.operations[id_]
        if not self.is_asked(id_) or operation.method != "GET" or self.stopped or self.gets >= MAX_GETS:
            return
        parameters = self._parameters(operation)
        if parameters is None:
            self.skipped[id_] = self._why_nothing()
            return
        probed = await self._try(operation, parameters)
        if probed.verdict is Verdict.ABSENT:
            probed = await self._elsewhere(probed, parameters)
        self.results[id_] = probed
        if id_ == "apps.list" and self.app is None:
            self.app = self._first("apps.list", "slug")

    def _parameters(self, operation: Operation) -> Mapping[str, str] | None:
        """Return what fills the path, None where there is nothing."""
        values = {"slug": self.app, "capability": self._first("apps.list_slots", "capability")}
        wanted = {name: value for name, value in values.items() if f"{{{name}}}" in operation.path}
        return None if None in wanted.values() else {name: str(value) for name, value in wanted.items()}

    def _why_nothing(self) -> str:
        """Say why there is nothing to ask for: a list that is empty, or one that could not be read."""
        if self.app is not None:
            return "the app has no slots" if "apps.list_slots" in self.bodies else "the app's slots were not read"
        return f"{'there is no app' if 'apps.list' in self.bodies else 'no list of apps was read'} to ask for: name one"

    def _first(self, id_: str, key: str) -> str | None:
        """Return the first name of a list that was answered."""
        names = (
            path_segment(one, key)
            for one in items_in(EXCHANGES[id_], self.bodies.get(id_)) or ()
            if isinstance(one, Mapping)
        )
        return min((name for name in names if name is not None), default=None)

    async def _try(self, operation: Operation, parameters: Mapping[str, str]) -> Probed:
        """Send an operation's request once, and judge what comes."""
        exchange = EXCHANGES[operation.id]
        query: Mapping[str, str | int] = {"limit": PAGE, "offset": 0} if exchange.query else {}
        self.gets += 1
        self.progress(self.gets, MAX_GETS)
        try:
            response = await self.client.call(operation.id, parameters, query=query)
        except RemoteError as error:
            return self._judge_error(operation, error)
        body = response.body
        notes = differences_in(exchange, body)
        if not notes and operation.id in {"apps.get", "apps.get_slot"}:
            notes = tuple(_other_object(operation, parameters, body))
        if notes:
            return Probed(operation=operation, verdict=Verdict.DIFFERS, notes=notes)
        self.bodies[operation.id] = body
        empty = exchange.plural is not None and not items_in(exchange, body)
        note = ("the list is empty, so its fields are still to be seen",) if empty else ()
        return Probed(operation=operation, verdict=Verdict.CONFIRMED, notes=note)

    def _judge_error(self, operation: Operation, error: RemoteError) -> Probed:
        notes: tuple[str, ...] = (error.message,)
        verdict = Verdict.FAILED
        if isinstance(error, CredentialRefused | Forbidden):
            if isinstance(error, CredentialRefused) and not self.results:
                raise error
            verdict = Verdict.REFUSED
        elif isinstance(error, Missing) and (judged := self._judge_missing(operation, error)) is not None:
            verdict, notes = judged
        elif error.status in _ABSENT_STATUSES:
            verdict = Verdict.ABSENT
        elif isinstance(error, Unreadable) or (
            error.status is not None and 400 <= error.status < 500 and error.status not in {408, 429}
        ):
            verdict = Verdict.DIFFERS
        elif error.status is None or error.status == 429:
            if not self.results:
                raise error
            self.stopped = "nothing more was sent after a request that was " + (
                "throttled" if error.status == 429 else "not answered"
            )
        return Probed(operation=operation, verdict=verdict, notes=notes)

    def _judge_missing(self, operation: Operation, error: Missing) -> tuple[Verdict, tuple[str, ...]] | None:
        """Judge a 404 that names an object; None where it may as well be the operation that is not there."""
        if error.code == ErrorCode.APP_NOT_FOUND:
            if operation.id == "apps.get" and self.app not in self._listed():
                raise OctosyncError(
                    "no-such-app",
                    f"{self.app} is no app of the org",
                    hints=("Without a name, the first app of the list is taken: octosync api probe",),
                )
            return Verdict.DIFFERS, (
                f"it says that there is no app {self.app}: is it named there by its id?",
                error.message,
            )
        if operation.id == "apps.get_inference_config":
            return Verdict.CONFIRMED, ("the app has no inference config, so all that is seen is how that is said",)
        if error.code == ErrorCode.CAPABILITY_NOT_CONFIGURED:
            return Verdict.DIFFERS, ("the list has this slot, and it can't be fetched by its capability", error.message)
        return None

    def _listed(self) -> Sequence[str | None]:
        items = items_in(EXCHANGES["apps.list"], self.bodies.get("apps.list")) or ()
        return [path_segment(one, "slug") for one in items if isinstance(one, Mapping)]

    async def _elsewhere(self, absent: Probed, parameters: Mapping[str, str]) -> Probed:
        """Look for an absent operation under names that are near, as far as requests are left."""
        plain = self.client.contract
        for path in other_paths(plain, absent.operation.id):
            if self.gets >= MAX_GETS or self.stopped:
                break
            self.client.contract = plain.overridden(operations={absent.operation.id: {"path": path}})
            try:
                tried = await self._try(self.client.contract.operations[absent.operation.id], parameters)
            finally:
                self.client.contract = plain
            if tried.verdict is Verdict.CONFIRMED:
                notes = (f"it is at {path}", *tried.notes)
                return Probed(operation=absent.operation, verdict=Verdict.DIFFERS, notes=notes, found_at=path)
        return absent


def _other_object(operation: Operation, parameters: Mapping[str, str], body: JsonValue) -> Iterator[str]:
    """Say where an answer is of another object than the one that was asked for."""
    key = "slug" if operation.id == "apps.get" else "capability"
    if isinstance(body, Mapping) and body.get(key) != parameters[key]:
        yield f"it answers with another {key} than it was asked for"


_WHAT = "the document"
_ACCEPT = "application/json, application/yaml;q=0.9, */*;q=0.5"


def is_url(text: str) -> bool:
    """Say whether a text is meant as a URL rather than as a file."""
    return text.lower().startswith(("http://", "https://"))


def document_source(url: str) -> Connection:
    """Return where a document comes from: no key, no org. Without a path, `/openapi.json` is meant.

    Raises `UsageError` for what is no URL and for one with a user or password in it, `ConfigError` as `Connection` does.
    """
    parts = _split(url)
    return Connection(
        url=parts._replace(path=parts.path.rstrip("/") or "/openapi.json", query="", fragment="").geturl()
    )


async def fetch_document(
    url: str, source: Connection, *, largest: int, transport: httpx.AsyncBaseTransport | None = None
) -> bytes:
    """Fetch the document that a URL names, through its source. No redirect is followed. `largest` is in bytes.

    Raises `RemoteError` for anything but the document; no error shows what follows a `?` in the URL.
    """
    query = _split(url).query
    target = httpx.URL(f"{source.url}?{query}" if query else source.url)
    async with open_http(source, transport) as http:
        lost: OctosyncError | None = None
        response: RawResponse | None = None
        try:
            response = await exchange(http, http.build_request("GET", target, headers={"Accept": _ACCEPT}), source)
        except BodyTooLarge:
            lost = _too_large(source, largest)
        except Exception as problem:
            described = failure_of(problem, source, _WHAT)
            if described is None:
                raise
            lost = described.error
    if lost is not None or response is None:
        raise lost or _too_large(source, largest)
    return _body(response, source, largest)


def _body(response: RawResponse, source: Connection, largest: int) -> bytes:
    if response.status == 200:
        if len(response.body) > largest:
            raise _too_large(source, largest)
        return response.body
    hints: tuple[str, ...] = (
        "Save it to a file, with what it needs to be read, and name that: no API key is sent to fetch a document.",
    )
    if 300 <= response.status < 400:
        message, hints = (
            f"{source.url} redirects elsewhere",
            ("Name the URL that it leads to: no redirect is followed.",),
        )
    elif response.status in {401, 403}:
        message = f"{source.url} wants somebody who is logged in"
    elif response.status == 404:
        message = f"{source.url} doesn't exist"
        hints = ("FastAPI serves it at /openapi.json, unless that is switched off.",)
    else:
        message = f"{source.url} can't be had"
    details = ErrorResponse(status=response.status)
    raise RemoteError("spec-not-fetched", f"{message} ({response.status})", hints=hints, response=details)


def _too_large(source: Connection, largest: int) -> RemoteError:
    message = f"{source.url} has more than {largest // 2**20} MiB"
    return Unreadable("spec-too-large", message, hints=("Check that it is an OpenAPI document.",))


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url.strip())
        _ = parts.port  # raises for a port that is none
    except ValueError:
        raise UsageError("bad-spec-url", "the document's URL is not a URL", hints=(_EXAMPLE,)) from None
    if "@" in parts.netloc:
        message = f"the document's URL for {parts.hostname} carries a user name or password"
        raise UsageError("credentials-in-url", message, hints=("Fetch it yourself, and name the file.",))
    return parts


_EXAMPLE = "For example https://api.octomil.com/openapi.json, or the name of a file."
