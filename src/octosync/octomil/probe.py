"""The API probe: try the read operations with at most ten GETs, each sent once and exactly as octosync sends it.

If an operation is absent at its path, likely other paths are tried. This module also fetches an API description from a
URL, without an API key.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, urlsplit

import httpx

from octosync.contract import OPERATIONS, READ_BY_GET, Access, Contract, ErrorCode, Operation
from octosync.contract.operations import BodyTooLarge
from octosync.contract.probe import ProbedOperation, ProbeResult, Verdict, differences_in, items_in
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
from octosync.octomil.transport import Connection, RawResponse, exchange, open_transport, request_of

# Other names of a path's last part; never the name of another resource with a similar response.
_ALSO: Final[Mapping[str, str]] = {
    "targets": "app-targets",
    "slots": "capability-slots",
    "health": "coverage",
    "activity": "events",
    "first-request": "first-inference",
}


def other_paths(contract: Contract, operation_id: str) -> Iterator[str]:
    """Yield other paths for an operation, the likeliest first; each is a valid override."""
    path = contract.operations[operation_id].path
    parts = path.split("/")
    last = max(index for index, part in enumerate(parts) if "{" not in part)
    renamed = [path.replace("-", "_"), path.replace("_", "-")]
    if last > 0 and "{" not in parts[last - 1] and parts[last - 1]:
        renamed.append("/".join([*parts[: last - 1], f"{parts[last - 1]}-{parts[last]}", *parts[last + 1 :]]))
    if parts[last] in _ALSO:
        renamed.append("/".join([*parts[:last], _ALSO[parts[last]], *parts[last + 1 :]]))
    for candidate in dict.fromkeys(renamed):
        if candidate != path and _is_possible(contract, operation_id, candidate):
            yield candidate


def _is_possible(contract: Contract, operation_id: str, path: str) -> bool:
    try:
        contract.overridden(operations={operation_id: {"path": path}})
    except ConfigError:
        return False
    return True


MAX_GETS: Final = 10

# The most important operations first: ten requests are not enough for all. Others follow in the order of their table.
_FIRST: Final = (
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
_READS: Final = tuple(id_ for id_, operation in OPERATIONS.items() if operation.access is Access.READ)
# Operations that need an object from another operation's response.
_NEEDS: Final[Mapping[str, str]] = {"apps.get_slot": "apps.list_slots"}
_ABSENT_STATUSES: Final = frozenset({404, 405, 501})


async def probe_reads(
    client: Octomil,
    app: str | None,
    only: Collection[str] = (),
    *,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> ProbeResult:
    """Try the read operations, or `only` some and those that they need; without an app, with the first app of the list.

    The client must not retry. Raises `CredentialRefused` if the key is rejected from the beginning, `OctosyncError` for an
    app that doesn't exist, and `RemoteError` if there is no response at all.
    """
    if client.connection.attempts != 1:
        raise ValueError("a probe sends each request once: the connection needs attempts=1")
    prober = _Prober(client, app, frozenset(only) or frozenset(_READS), progress)
    for id_ in dict.fromkeys((*_FIRST, *READ_BY_GET)):
        await prober.take(id_)
    return ProbeResult(
        app=prober.app,
        operations=tuple(prober.results.get(id_) or prober.not_tried(id_) for id_ in _READS if prober.is_selected(id_)),
        requests=prober.gets,
    )


@dataclass(slots=True)
class _Prober:
    client: Octomil
    app: str | None
    only: frozenset[str]
    progress: Callable[[int, int], None]
    is_named: bool = False  # whether the caller named the app
    results: dict[str, ProbedOperation] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    bodies: dict[str, JsonValue] = field(default_factory=dict)
    gets: int = 0
    stopped: str = ""  # why nothing more is sent

    def __post_init__(self) -> None:
        self.is_named = self.app is not None

    def is_selected(self, id_: str) -> bool:
        """Return whether to try an operation: it is selected, or a selected one needs it."""
        needed = {_NEEDS[selected] for selected in self.only if selected in _NEEDS}
        if self.is_named:
            needed.add("apps.get")  # a 404 has another meaning if the app doesn't exist
        elif any("{slug}" in self.client.contract.operations[selected].path for selected in self.only):
            needed.add("apps.list")
        return id_ in self.only | needed

    def not_tried(self, id_: str) -> ProbedOperation:
        """Return the result of an operation that is not tried, with the reason."""
        operation = self.client.contract.operations[id_]
        why = self.stopped
        if operation.method != "GET":
            why = f"it is a {operation.method} request, and a probe sends only GET requests"
        elif id_ in self.skipped:
            why = self.skipped[id_]
        elif self.gets >= MAX_GETS:
            why = f"a probe sends at most {MAX_GETS} requests; --operation {id_} tries it"
        return ProbedOperation(operation=operation, verdict=Verdict.NOT_TRIED, notes=(why,))

    async def take(self, id_: str) -> None:
        """Try an operation, if it is selected, its parameters are known, and a request is left."""
        operation = self.client.contract.operations[id_]
        if not self.is_selected(id_) or operation.method != "GET" or self.stopped or self.gets >= MAX_GETS:
            return
        parameters = self._parameters(operation)
        if parameters is None:
            self.skipped[id_] = self._missing_parameters()
            return
        probed = await self._try(operation, parameters)
        if probed.verdict is Verdict.ABSENT:
            probed = await self._try_other_paths(probed, parameters)
        self.results[id_] = probed
        if id_ == "apps.list" and self.app is None:
            self.app = self._first("apps.list", "slug")

    def _parameters(self, operation: Operation) -> Mapping[str, str] | None:
        """Return the path parameters of an operation, None if they are not known."""
        values = {"slug": self.app, "capability": self._first("apps.list_slots", "capability")}
        wanted = {name: value for name, value in values.items() if f"{{{name}}}" in operation.path}
        return None if None in wanted.values() else {name: str(value) for name, value in wanted.items()}

    def _missing_parameters(self) -> str:
        """Return why the parameters are not known: a list is empty, or could not be read."""
        if self.app is not None:
            return "the app has no slots" if "apps.list_slots" in self.bodies else "the app's slots were not read"
        return f"the list of apps {'is empty' if 'apps.list' in self.bodies else 'was not read'}: name an app"

    def _first(self, id_: str, key: str) -> str | None:
        """Return the first name in a list that was read."""
        items = items_in(EXCHANGES[id_], self.bodies.get(id_)) or ()
        names = (path_segment(item, key) for item in items if isinstance(item, Mapping))
        return min((name for name in names if name is not None), default=None)

    async def _try(self, operation: Operation, parameters: Mapping[str, str]) -> ProbedOperation:
        """Send an operation's request once, and return its result."""
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
            return ProbedOperation(operation=operation, verdict=Verdict.DIFFERS, notes=notes)
        self.bodies[operation.id] = body
        empty = exchange.plural is not None and not items_in(exchange, body)
        note = ("the list is empty, so its fields are not checked",) if empty else ()
        return ProbedOperation(operation=operation, verdict=Verdict.CONFIRMED, notes=note)

    def _judge_error(self, operation: Operation, error: RemoteError) -> ProbedOperation:
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
        return ProbedOperation(operation=operation, verdict=verdict, notes=notes)

    def _judge_missing(self, operation: Operation, error: Missing) -> tuple[Verdict, tuple[str, ...]] | None:
        """Return the verdict on a 404 that names an object; None if the operation itself may be absent."""
        if error.code == ErrorCode.APP_NOT_FOUND:
            if operation.id == "apps.get" and self.app not in self._listed():
                raise OctosyncError(
                    "no-such-app",
                    f"the org has no app {self.app}",
                    hints=("Without a name, the first app of the list is used: octosync api probe",),
                )
            return Verdict.DIFFERS, (
                f"it reports that app {self.app} does not exist: does it expect the app's id?",
                error.message,
            )
        if operation.id == "apps.get_inference_config":
            return Verdict.CONFIRMED, ("the app has no inference config, so only the response for that is checked",)
        if error.code == ErrorCode.CAPABILITY_NOT_CONFIGURED:
            return Verdict.DIFFERS, (
                "the list contains this slot, but it can't be read by its capability",
                error.message,
            )
        return None

    def _listed(self) -> Sequence[str | None]:
        items = items_in(EXCHANGES["apps.list"], self.bodies.get("apps.list")) or ()
        return [path_segment(item, "slug") for item in items if isinstance(item, Mapping)]

    async def _try_other_paths(self, absent: ProbedOperation, parameters: Mapping[str, str]) -> ProbedOperation:
        """Try an absent operation at other likely paths, while requests are left."""
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
                return ProbedOperation(operation=absent.operation, verdict=Verdict.DIFFERS, notes=notes, found_at=path)
        return absent


def _other_object(operation: Operation, parameters: Mapping[str, str], body: JsonValue) -> Iterator[str]:
    """Yield a note if a response holds another object than the requested one."""
    key = "slug" if operation.id == "apps.get" else "capability"
    if isinstance(body, Mapping) and body.get(key) != parameters[key]:
        yield f"it returned another {key} than the requested one"


_WHAT = "the document"
_ACCEPT = "application/json, application/yaml;q=0.9, */*;q=0.5"


def is_url(text: str) -> bool:
    """Return whether a text is a URL rather than the name of a file."""
    return text.lower().startswith(("http://", "https://"))


def document_source(url: str) -> Connection:
    """Return the connection to a document, without key and org. The default path is `/openapi.json`.

    Raises `UsageError` for an invalid URL and for one with a user or password, `ConfigError` as `Connection` does.
    """
    parts = _split(url)
    return Connection(
        url=parts._replace(path=parts.path.rstrip("/") or "/openapi.json", query="", fragment="").geturl()
    )


async def fetch_document(
    url: str, source: Connection, *, largest: int, transport: httpx.AsyncBaseTransport | None = None
) -> bytes:
    """Fetch a document from a URL, over the connection `source`. Redirects are not followed. `largest` is in bytes.

    Raises `RemoteError` for any other response; no error shows what follows a `?` in the URL.
    """
    query = _split(url).query
    target = httpx.URL(f"{source.url}?{query}" if query else source.url)
    async with transport or open_transport(source) as http:
        lost: OctosyncError | None = None
        response: RawResponse | None = None
        try:
            response = await exchange(http, request_of("GET", target, {"Accept": _ACCEPT}), source)
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
        "Download it to a file with the credentials that it needs, and pass the file: no API key is sent to fetch a document.",
    )
    if 300 <= response.status < 400:
        message, hints = (
            f"{source.url} redirects elsewhere",
            ("Pass the URL that it redirects to: redirects are not followed.",),
        )
    elif response.status in {401, 403}:
        message = f"{source.url} requires a login"
    elif response.status == 404:
        message = f"{source.url} doesn't exist"
        hints = ("FastAPI serves it at /openapi.json, unless that is switched off.",)
    else:
        message = f"{source.url} can't be fetched"
    details = ErrorResponse(status=response.status)
    raise RemoteError("spec-not-fetched", f"{message} ({response.status})", hints=hints, response=details)


def _too_large(source: Connection, largest: int) -> RemoteError:
    message = f"{source.url} is larger than {largest // 2**20} MiB"
    return Unreadable("spec-too-large", message, hints=("Check that it is an OpenAPI document.",))


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url.strip())
        _ = parts.port  # raises for an invalid port
    except ValueError:
        raise UsageError("bad-spec-url", "the document's URL is invalid", hints=(_EXAMPLE,)) from None
    if "@" in parts.netloc:
        message = f"the document's URL for {parts.hostname} contains a user name or password"
        raise UsageError("credentials-in-url", message, hints=("Download it yourself, and pass the file.",))
    return parts


_EXAMPLE = "For example https://api.octomil.com/openapi.json, or the name of a file."
