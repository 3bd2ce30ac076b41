"""The client: one operation in, one answer or one error out; paced, counted, retried only where that is safe."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import httpx
import stamina

from octosync.contract import Access, Contract, Operation
from octosync.errors import Missing
from octosync.model import JsonValue, Sensitivity
from octosync.octomil.conceal import Concealer
from octosync.octomil.connection import Connection
from octosync.octomil.failures import Again, Failed, failed
from octosync.octomil.pacing import OnWait, Pacer, Permit, Priority, Reservation, Sleep, Waiting, WaitReason
from octosync.octomil.retrying import LONGEST_RETRY_AFTER, TryAgain, backoff
from octosync.octomil.translate import Translator
from octosync.octomil.transport import RawAnswer, exchange, open_http


@dataclass(frozen=True, slots=True)
class Answer:
    """A success, or a 404 that the caller said means absence.

    `body` is None for an empty one and for an absence. `request_ids` are those of all attempts, the last one's included.
    `sent_at` is when the answered attempt was sent, by the client's clock: what it tells is at least that fresh.
    """

    status: int
    body: JsonValue
    request_id: str | None
    request_ids: tuple[str, ...] = ()
    sent_at: float = 0.0

    @property
    def is_absence(self) -> bool:
        """Whether the object isn't there."""
        return self.status == 404


class Withheld(Exception):
    """A request was not sent: when its turn came, what had to be true of it no longer was."""


@dataclass(slots=True)
class _Call:
    """One call, over all its attempts."""

    translator: Translator
    request: Callable[[], httpx.Request]
    within: Reservation | None
    absent: Callable[[Missing], bool] | None
    may_send: Callable[[], bool] | None
    attempts: int = 0
    sent_at: float = 0.0
    request_ids: list[str] = field(default_factory=list)

    @property
    def operation(self) -> Operation:
        return self.translator.operation


class Octomil:
    """A control plane, to be entered with `async with`.

    `clock` (seconds) and `sleep` pace it; `on_wait` is told what waits and how long. `sensitivity` says which keys hold
    values that no message may show. `transport` replaces the real one.
    """

    def __init__(
        self,
        connection: Connection,
        contract: Contract | None = None,
        *,
        pacer: Pacer | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
        on_wait: OnWait | None = None,
        sensitivity: Sensitivity | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.connection = connection
        self.contract = contract or Contract()
        self.clock = clock
        self.requests = 0
        self._pacer = pacer or Pacer(
            connection.requests_per_minute,
            concurrency=connection.concurrency,
            clock=clock,
            sleep=sleep,
            on_wait=on_wait,
        )
        self._retrying = stamina.AsyncRetryingCaller(attempts=connection.attempts, timeout=None).on(
            _delay_before_another
        )
        self._on_wait = on_wait
        self._sensitivity = sensitivity
        self._transport = transport
        self._http: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        self._http = open_http(self.connection, self._transport)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._opened.aclose()
        self._http = None

    @asynccontextmanager
    async def reserve(self, requests: int) -> AsyncIterator[Reservation]:
        """Get the pace for several requests together; pass what is yielded as `within` to each `call`."""
        async with self._pacer.reserve(requests) as reservation:
            yield reservation

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
    ) -> Answer:
        """Send one operation's request and return its answer.

        A read is tried again whatever was lost, a write only where it certainly wasn't carried out; every other lost answer
        to a write raises with `sent` True, to be resolved by reading the object. A 404 for which `absent` is true is an
        answer, too. `may_send` is asked at the last moment before every sending, when all waiting is over; False raises
        `Withheld`. Raises `RemoteError` of the kind that fits.
        """
        operation = self.contract.operations[operation_id]
        concealer = Concealer(self.connection.token, self._sensitivity, body)
        call = _Call(
            translator=Translator(self.connection, operation, concealer),
            request=lambda: self._request(operation, parameters or {}, query or {}, body),
            within=within,
            absent=absent,
            may_send=may_send,
        )
        try:
            return await self._retrying(self._attempt, call)
        except TryAgain as exhausted:
            error = exhausted.error
        raise error

    def _request(
        self, operation: Operation, parameters: Mapping[str, str], query: Mapping[str, str | int], body: JsonValue
    ) -> httpx.Request:
        for name, value in parameters.items():
            if value in {"", ".", ".."}:  # would name another path
                raise ValueError(f"{operation.id}: {name} can't be {value!r}")
        org = {} if self.connection.org is None else {"org_id": self.connection.org}
        content, headers = None, {}
        if body is not None:
            content = json.dumps(body, allow_nan=False, separators=(",", ":"), sort_keys=True, default=dict).encode()
            headers["Content-Type"] = "application/json"
        url = f"{self.connection.url}{operation.url(parameters)}"
        return self._opened.build_request(
            operation.method, url, params={**query, **org}, content=content, headers=headers
        )

    async def _attempt(self, call: _Call) -> Answer:
        """Send once. Raises `TryAgain` where another attempt is safe and may help, else the error itself."""
        request = call.request()
        permit = await self._permit(call)
        if call.may_send is not None and not call.may_send():
            permit.release(sent=False)
            raise Withheld
        call.attempts += 1
        outcome = await self._exchange(call, request, permit)
        if isinstance(outcome, Answer):
            return outcome
        error = outcome.error
        if isinstance(error, Missing) and call.absent is not None and call.absent(error):
            return Answer(404, None, error.request_id, tuple(call.request_ids), call.sent_at)
        lost_write = outcome.again is Again.READS and call.operation.access is Access.WRITE
        if outcome.again is Again.NEVER or lost_write or (outcome.after or 0.0) > LONGEST_RETRY_AFTER:
            raise error
        raise TryAgain(error, self._delay(call, outcome))

    async def _permit(self, call: _Call) -> Permit:
        if call.within is not None:
            permit = call.within.take() if call.attempts == 0 else None
            return permit or await self._pacer.acquire(Priority.URGENT)
        return await self._pacer.acquire(Priority.WRITE if call.operation.access is Access.WRITE else Priority.READ)

    async def _exchange(self, call: _Call, request: httpx.Request, permit: Permit) -> Answer | Failed:
        call.sent_at = self.clock()
        problem: Exception
        sent = True
        try:
            raw = await exchange(self._opened, request, self.connection)
            return self._read(call, raw)
        except Exception as caught:  # noqa: BLE001 — what is no failure of the exchange is raised again below
            problem = caught
            lost = failed(problem, self.connection, call.operation.id)
            sent = lost is None or lost.error.sent
        finally:
            self.requests += sent
            permit.release(sent=sent)
        # Outside of the handler, so that no foreign exception, which holds the request and its key, is chained to ours.
        if lost is None:
            raise problem
        return lost

    def _read(self, call: _Call, raw: RawAnswer) -> Answer | Failed:
        request_id = call.translator.request_id(raw)
        if request_id is not None:
            call.request_ids.append(request_id)
        body = call.translator.read(raw)
        if isinstance(body, Failed):
            return body
        return Answer(raw.status, body, request_id, tuple(call.request_ids), call.sent_at)

    def _delay(self, call: _Call, outcome: Failed) -> float:
        """Say how long this call waits by itself; a 429 makes every request wait instead, in the pacer."""
        delay = backoff(call.attempts, self.connection.backoff)
        if outcome.pauses_all:
            self._pacer.pause(delay if outcome.after is None else outcome.after)
            return 0.0
        delay = max(delay, outcome.after or 0.0)
        if self._on_wait is not None and call.attempts < self.connection.attempts:
            self._on_wait(Waiting(1, delay, WaitReason.RETRY))
        return delay

    @property
    def _opened(self) -> httpx.AsyncClient:
        if self._http is None:
            raise RuntimeError("the client is not open: use `async with`")
        return self._http


def _delay_before_another(problem: Exception) -> float | bool:
    """Tell stamina whether to try again, and after how many seconds."""
    return problem.delay if isinstance(problem, TryAgain) else False
