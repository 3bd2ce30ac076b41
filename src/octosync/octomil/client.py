"""The client of a control plane: it sends one operation's request and returns a response or raises an error.

Requests are rate-limited, counted, and retried only if that is safe. The API key may change while requests are in flight.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import TracebackType
from typing import Final, Self, TypeAlias

import httpx

from octosync.contract import Access, Contract, Operation
from octosync.errors import CredentialRefused, Missing, OctosyncError, RemoteError, Unreadable
from octosync.model import Backoff, JsonValue, Redactor, Secret, Sensitivity
from octosync.octomil.failures import TIMED_OUT, FailedAttempt, failure_of
from octosync.octomil.rate_limit import (
    Budget,
    OnRequest,
    OnWait,
    Permit,
    RateLimiter,
    RateOptions,
    RequestPriority,
    Reservation,
    SentRequest,
    WaitNotice,
    WaitReason,
)
from octosync.octomil.response import Translator
from octosync.octomil.retry import MAX_BACKOFF, MAX_RETRY_AFTER, RetryableFailure, RetryPolicy
from octosync.octomil.transport import Connection, RawResponse, exchange, open_transport, request_of

# The number of keys that are masked: the current one, and previous ones, which responses in flight may still echo.
_REMEMBERED_KEYS = 8


@dataclass(frozen=True, slots=True)
class TracedRequest:
    """A request that was sent, for debug output. Its texts are redacted and printable.

    `target` is the path with the query, `code` as in `SentRequest`, `seconds` the time to the complete response, `attempt` the
    number of the attempt, from 1, and `waited` the seconds that it waited for its permit.
    """

    method: str
    target: str
    code: str
    seconds: float
    request_id: str | None
    attempt: int
    waited: float


class HttpSession:
    """The HTTP client and the connection that all views of a client share; the next request is sent with the connection's key.

    `keeps_trying` decides, before each retry, whether it is sent; `trace`, if set, is called with every request. `may_write`, if
    set, raises if nothing may be written any more.
    """

    def __init__(
        self,
        connection: Connection,
        sensitivity: Sensitivity | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.connection = connection
        self._sensitivity = sensitivity
        self._transport = transport
        self._keys: deque[Secret] = deque(maxlen=_REMEMBERED_KEYS)
        self._redactor: Redactor | None = None  # of the current keys
        self._http: httpx.AsyncBaseTransport | None = None
        self.keeps_trying: Callable[[], bool] = lambda: True
        self.trace: Callable[[TracedRequest], None] | None = None
        self.may_write: Callable[[], None] | None = None
        self._remember(connection.token)

    def open(self) -> None:
        """Open the HTTP transport. Raises `ConfigError` if the certificate authorities can't be loaded."""
        self._http = self._transport or open_transport(self.connection)

    async def close(self) -> None:
        """Close all connections."""
        await self.http.aclose()
        self._http = None

    @property
    def http(self) -> httpx.AsyncBaseTransport:
        """The HTTP transport, while it is open."""
        if self._http is None:
            raise RuntimeError("the client is not open: use `async with`")
        return self._http

    def use_token(self, token: Secret, source: str) -> None:
        """Send another key from now on. Raises `ConfigError` for a key that no header can carry, and keeps the old one."""
        self.connection = replace(self.connection, token=token, token_source=source)
        self._remember(token)

    def authorise(self, request: httpx.Request) -> Connection:
        """Add the current key to a request, which must be sent at once; return the connection whose key it is."""
        if self.connection.token is not None:
            request.headers["Authorization"] = f"Bearer {self.connection.token.reveal()}"
        return self.connection

    def redactor(self, body: JsonValue = None) -> Redactor:
        """Return a concealer for the API keys and for the sensitive values of a request's body."""
        if self._redactor is None:
            self._redactor = Redactor(self._keys, self._sensitivity)
        return self._redactor if body is None else self._redactor.including(body)

    def _remember(self, token: Secret | None) -> None:
        if token is None:
            return
        if token in self._keys:
            self._keys.remove(token)  # the current key is always the last to be dropped
        self._keys.append(token)
        self._redactor = None


_DEFAULT_RATE: Final = RateOptions()


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """A success, or a 404 that means absence according to the caller.

    `body` is None if it is empty or the object is absent. `request_ids` are those of all attempts, the last one included.
    `sent_at` is when the attempt was sent, by the client's clock: the body is at least that fresh.
    """

    status: int
    body: JsonValue
    request_id: str | None
    request_ids: tuple[str, ...] = ()
    sent_at: float = 0.0

    @property
    def is_absence(self) -> bool:
        """Whether the object doesn't exist."""
        return self.status == 404


class RequestNotPermitted(Exception):
    """A request was not sent: its condition (`may_send`) no longer held when it could have been sent."""


@dataclass(slots=True)
class _Call:
    """A call, with all its attempts."""

    operation: Operation
    request: Callable[[], httpx.Request]
    body: JsonValue
    within: Reservation | None
    absent: Callable[[Missing], bool] | None
    may_send: Callable[[], bool] | None
    attempts: int = 0
    waited: float = 0.0  # seconds, for the permit of the latest attempt
    token: Secret | None = None  # of the latest attempt
    sent_at: float = 0.0
    error: RemoteError | None = None  # of the latest attempt, if another one may succeed
    request_ids: list[str] = field(default_factory=list)


class Octomil:
    """The client of a control plane, used with `async with`.

    `rate` holds the options of its rate limiter, unless a shared `limiter` is given. `on_wait` is called with what waits and
    for how long, `on_request` with every request. `sensitivity` names the keys whose values no message may show. `transport`
    replaces the HTTP transport. `requests` is the number of requests sent through this view, `backoff` the wait between
    attempts.
    """

    def __init__(
        self,
        connection: Connection,
        contract: Contract | None = None,
        *,
        limiter: RateLimiter | None = None,
        rate: RateOptions = _DEFAULT_RATE,
        on_wait: OnWait | None = None,
        on_request: OnRequest | None = None,
        sensitivity: Sensitivity | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.contract = contract or Contract()
        self.clock = rate.clock
        self.requests = 0
        self._limiter = limiter or RateLimiter(
            connection.requests_per_minute,
            concurrency=connection.concurrency,
            percent_for_writes=rate.percent_for_writes,
            clock=rate.clock,
            sleep=rate.sleep,
            on_wait=on_wait,
        )
        self._owns_limiter = limiter is None
        self.backoff = Backoff(first=connection.backoff, longest=MAX_BACKOFF)
        self._on_wait = on_wait
        self._on_request = on_request
        self._session = HttpSession(connection, sensitivity, transport)
        self._reads, self._writes = RequestPriority.READ, RequestPriority.WRITE
        self._repeats_timeouts = True

    async def __aenter__(self) -> Self:
        self._session.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._owns_limiter:
            self._limiter.close()
        await self._session.close()

    @cached_property
    def background(self) -> Octomil:
        """The same client for background reads: they have the lowest priority and use a part of the rate limit only.

        Its writes are ordinary writes. It shares everything but `requests`, and is open as long as this one is.
        """
        if self._reads is RequestPriority.BACKGROUND:
            return self
        view = copy(self)
        view.requests = 0
        view._reads = RequestPriority.BACKGROUND  # noqa: SLF001 — of the same class
        return view

    @cached_property
    def patient(self) -> Octomil:
        """The same client for writes that nothing waits for: they come after other requests, and use a part of the rate limit.

        Reads that verify such a write have the priority of any read. It shares everything but `requests`.
        """
        view = copy(self)
        view.requests = 0
        view._writes = RequestPriority.PATIENT  # noqa: SLF001 — of the same class
        return view

    @cached_property
    def prompt(self) -> Octomil:
        """The same client for periodic requests: a timeout is not retried, since the next request comes anyway.

        A control plane that hangs is therefore detected after one timeout. It shares everything but `requests`.
        """
        view = copy(self)
        view.requests = 0
        view._repeats_timeouts = False  # noqa: SLF001 — of the same class
        return view

    def pause(self, seconds: float) -> None:
        """Send nothing for `seconds`, in all views."""
        self._limiter.pause(seconds)

    def end_pause(self) -> None:
        """Send again now, in all views, although the control plane asked for a longer pause."""
        self._limiter.end_pause()

    @property
    def connection(self) -> Connection:
        """The current connection; `use_token` replaces it."""
        return self._session.connection

    @property
    def budget(self) -> Budget:
        """The current request budget of all views together."""
        return self._limiter.budget

    def seconds_for(self, requests: int) -> float:
        """Return how long that many requests wait for the rate limit; those in flight count among them."""
        return self._limiter.seconds_for(requests, self._reads)

    def use_token(self, token: Secret, source: str) -> None:
        """Send another API key from now on; `source` is where it came from. Requests in flight keep the old one.

        Retries and waiting requests use the new one. No message shows either. Raises `ConfigError` (`token-unusable`) for a
        key that no header can carry, and keeps the old one.
        """
        self._session.use_token(token, source)

    def keep_trying_while(self, holds: Callable[[], bool]) -> None:
        """Retry only while `holds` returns True, in all views; otherwise the first failure of a call is final."""
        self._session.keeps_trying = holds

    def guard_writes(self, check: Callable[[], None] | None) -> None:
        """Call `check` immediately before every attempt at a write is sent, in all views; None: no more.

        If it raises an `OctosyncError`, nothing is sent, and `call` raises that. It is called after every wait, and once more
        when the connection is open.
        """
        self._session.may_write = check

    def trace_requests(self, trace: Callable[[TracedRequest], None]) -> None:
        """Call `trace` with every request, in all views."""
        self._session.trace = trace

    def redactor(self) -> Redactor:
        """Return a concealer for the API key, which responses may echo."""
        return self._session.redactor()

    def reserve(self, requests: int) -> AbstractAsyncContextManager[Reservation]:
        """Reserve permits for several requests; pass the yielded reservation as `within` to each `call`."""
        return self._limiter.reserve(requests, self._writes)

    async def call(
        self,
        operation_id: str,
        parameters: Mapping[str, str] | None = None,
        *,
        query: Mapping[str, str | int] | None = None,
        body: JsonValue = None,
        within: Reservation | None = None,
        absent: Callable[[Missing], bool] | None = None,
        may_send: Callable[[], bool] | None = None,
    ) -> ApiResponse:
        """Send an operation's request and return its response.

        A read is always retried, a write only if it certainly wasn't carried out; any other lost response to a write raises
        with `sent` True, and the caller has to read the object. A 404 for which `absent` returns True is a response, too.
        `may_send` is called immediately before every attempt, after all waiting; if it returns False, `RequestNotPermitted` is
        raised.
        Raises the fitting subclass of `RemoteError`.
        """
        operation = self.contract.operations[operation_id]
        call = _Call(
            operation=operation,
            request=lambda: self._request(operation, parameters or {}, query or {}, body),
            body=body,
            within=within,
            absent=absent,
            may_send=may_send,
        )
        result = await self._attempt(call)
        for _ in range(1, self.connection.attempts):
            if isinstance(result, ApiResponse):
                break
            await asyncio.sleep(result.delay)
            result = await self._attempt(call)
        if isinstance(result, ApiResponse):
            return result
        raise result.error

    def _request(
        self, operation: Operation, parameters: Mapping[str, str], query: Mapping[str, str | int], body: JsonValue
    ) -> httpx.Request:
        org = {} if self.connection.org is None else {"org_id": self.connection.org}
        content, headers = None, {}
        if body is not None:
            content = json.dumps(body, allow_nan=False, separators=(",", ":"), sort_keys=True, default=dict).encode()
            headers["Content-Type"] = "application/json"
        if {"", ".", ".."} & set(parameters.values()):  # they would change the path
            raise _unusable(operation)
        url = f"{self.connection.url}{operation.url(parameters)}"
        try:
            return request_of(operation.method, url, headers, query={**query, **org}, body=content)
        except httpx.InvalidURL:  # its text is the name
            raise _unusable(operation) from None

    async def _attempt(self, call: _Call) -> ApiResponse | RetryableFailure:
        """Send the request once. Raises the error of a failure after which a retry is not safe or can't succeed."""
        request = call.request()
        asked = self.clock()
        permit = await self._permit(call)
        call.waited = self.clock() - asked
        if call.may_send is not None and not call.may_send():
            permit.release(sent=False)
            raise RequestNotPermitted
        if call.error is not None and not self._session.keeps_trying():
            permit.release(sent=False)
            raise call.error
        check = self._session.may_write if call.operation.access is Access.WRITE else None
        if check is not None:
            try:
                check()
            except BaseException:
                permit.release(sent=False)
                raise
        call.attempts += 1
        outcome = await self._exchange(call, request, permit, check)
        if isinstance(outcome, ApiResponse):
            return outcome
        error = outcome.error
        if isinstance(error, Missing) and call.absent is not None and call.absent(error):
            return ApiResponse(404, None, error.request_id, tuple(call.request_ids), call.sent_at)
        if isinstance(error, CredentialRefused) and call.token != self.connection.token:
            return RetryableFailure(error, 0.0)  # it was the old key that was refused
        lost_write = outcome.retry is RetryPolicy.READS and call.operation.access is Access.WRITE
        if outcome.retry is RetryPolicy.NEVER or lost_write or (outcome.after or 0.0) > MAX_RETRY_AFTER:
            raise error
        call.error, delay = error, self._delay(call, outcome)
        is_late = error.reference in TIMED_OUT and not self._repeats_timeouts
        if is_late or not self._session.keeps_trying():
            raise error
        return RetryableFailure(error, delay)

    async def _permit(self, call: _Call) -> Permit:
        if call.within is not None:
            permit = call.within.take() if call.attempts == 0 else None
            return permit or await self._limiter.acquire(RequestPriority.URGENT)
        return await self._limiter.acquire(self._writes if call.operation.access is Access.WRITE else self._reads)

    async def _exchange(
        self, call: _Call, request: httpx.Request, permit: Permit, check: Callable[[], None] | None
    ) -> ApiResponse | FailedAttempt:
        call.sent_at = self.clock()
        connection = self._session.authorise(request)
        call.token = connection.token
        if call.operation.access is not Access.WRITE:
            connection = connection.for_reads
        problem: Exception
        sent = True
        code = "cancelled"
        known = len(call.request_ids)
        try:
            raw = await exchange(self._session.http, request, connection, check)
            code = str(raw.status)
            outcome = self._read(call, connection, raw)
            if isinstance(outcome, FailedAttempt) and raw.status < 400 and isinstance(outcome.error, Unreadable):
                code = outcome.error.reference  # a success that can't be read is not counted as one
            return outcome  # noqa: TRY300 — an `else` would come after `finally` has counted the request
        except Exception as caught:  # noqa: BLE001 — anything but a failure of the exchange is raised again below
            problem = caught
            lost = failure_of(problem, connection, call.operation.id)
            sent = lost.error.sent if lost is not None else not isinstance(problem, OctosyncError)  # that of the check
            code = "error" if lost is None else lost.error.reference
        finally:
            self.requests += sent
            permit.release(sent=sent)
            if self._on_request is not None:
                is_background = self._reads is RequestPriority.BACKGROUND and call.operation.access is not Access.WRITE
                self._on_request(SentRequest(call.operation.id, code, self.clock() - call.sent_at, is_background))
            if self._session.trace is not None:
                self._session.trace(self._traced(call, request, code, call.request_ids[known:]))
        # Outside the handler, so that no foreign exception, which holds the request and its key, is chained to ours.
        if lost is None:
            raise problem
        return lost

    def _traced(self, call: _Call, request: httpx.Request, code: str, request_ids: Sequence[str]) -> TracedRequest:
        return TracedRequest(
            method=request.method,
            target=self._session.redactor().text(request.url.raw_path.decode("ascii", "replace")),
            code=code,
            seconds=self.clock() - call.sent_at,
            request_id=request_ids[-1] if request_ids else None,
            attempt=call.attempts,
            waited=call.waited,
        )

    def _read(self, call: _Call, connection: Connection, raw: RawResponse) -> ApiResponse | FailedAttempt:
        translator = Translator(connection, call.operation, self._session.redactor(call.body))
        request_id = translator.request_id(raw)
        if request_id is not None:
            call.request_ids.append(request_id)
        body = translator.read(raw)
        if isinstance(body, FailedAttempt):
            return body
        return ApiResponse(raw.status, body, request_id, tuple(call.request_ids), call.sent_at)

    def _delay(self, call: _Call, outcome: FailedAttempt) -> float:
        """Return how long this call waits before its retry; after a 429, the limiter makes all requests wait instead."""
        delay = self.backoff.draw(call.attempts)
        if outcome.pauses_all:
            self._limiter.pause(delay if outcome.after is None else outcome.after)
            return 0.0
        delay = max(delay, outcome.after or 0.0)
        if self._on_wait is not None and call.attempts < self.connection.attempts:
            self._on_wait(WaitNotice(1, delay, WaitReason.RETRY))
        return delay


def _unusable(operation: Operation) -> RemoteError:
    """Return the error of a request with a name that can't be part of a URL; nothing was sent."""
    return RemoteError(
        "name-unusable",
        f"a name is empty, only dots, or too long for a URL ({operation.id})",
        hints=("Names of apps, capabilities and targets have at most a few hundred characters.",),
        operation=operation.id,
    )


Read: TypeAlias = Callable[[], Awaitable[None]]


async def run_concurrently(reads: Iterable[Read], workers: int) -> None:
    """Run all reads, at most `workers` at a time. The first one that raises cancels the others."""
    waiting = list(reads)
    queue = iter(waiting)

    async def work() -> None:
        for read in queue:
            await read()

    tasks = [asyncio.create_task(work()) for _ in range(min(workers, len(waiting)))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
