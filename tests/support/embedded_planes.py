"""Embedded control planes for tests, with plain HTTP clients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from tests.support.local_client import LocalClient

from octosync.server import RunningServer, ServerSettings, running_server

JSON = {"Content-Type": "application/json"}


@dataclass
class Clock:
    """A clock that moves only by `advance`."""

    now: datetime = field(default_factory=lambda: datetime(2026, 3, 1, 12, 0, tzinfo=UTC))

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Move the time forward."""
        self.now += timedelta(seconds=seconds)


@dataclass(frozen=True)
class EmbeddedPlane:
    """A running control plane: `api` is a client for `/api/v1`, `local` for `/_local`."""

    running: RunningServer
    api: httpx.Client
    local: httpx.Client

    def with_app(self, slug: str = "demo", **fields: Any) -> str:
        """Create an app and return its path."""
        ok(self.api.post("/apps", json={"slug": slug, "name": slug, **fields}), 201)
        return f"/apps/{slug}"

    def with_slot(self, app: str, capability: str = "chat", **fields: Any) -> str:
        """Configure a slot and return its path."""
        ok(self.api.put(f"{app}/slots/{capability}", json=fields))
        return f"{app}/slots/{capability}"

    def with_target(self, app: str, platform: str = "ios", identifier: str = "com.example.demo") -> str:
        """Register a target and return its id."""
        answer = ok(self.api.post(f"{app}/targets", json={"platform": platform, "identifier": identifier}), 201)
        return str(answer["id"])

    def with_devices(self, count: int, device_class: str = "high", platform: str = "ios", **fields: Any) -> None:
        """Add devices to the fleet."""
        body = {"platform": platform, "identifier": "com.example.demo", "device_class": device_class, "count": count}
        ok(self.local.post("/devices", json={**body, **fields}))

    def tick(self, seconds: float = 60) -> None:
        """Advance the server's time."""
        ok(self.local.post("/tick", json={"seconds": seconds}))

    def inject(self, operation: str, action: str, **fields: Any) -> None:
        """Inject one fault in place of all others."""
        rule = {"operation": operation, "action": action, **fields}
        ok(self.local.put("/faults", json={"rules": [rule]}))

    def log(self) -> list[dict[str, Any]]:
        """Return the received requests, oldest first."""
        requests: list[dict[str, Any]] = ok(self.local.get("/requests-log"))["requests"]
        return requests


@contextmanager
def run_plane(token: str | None = None, **settings: Any) -> Iterator[EmbeddedPlane]:
    """Run a control plane with a fixed clock, and clients that use `token`; its end waits briefly for delayed requests."""
    settings = {"clock": Clock(), "grace_seconds": 0.1, **settings}
    with ExitStack() as stack:
        plane = stack.enter_context(running_server(ServerSettings(**settings)))
        api = stack.enter_context(LocalClient(f"{plane.url}/api/v1", headers=_headers_with(token), timeout=10))
        local = stack.enter_context(LocalClient(f"{plane.url}/_local", timeout=10))
        yield EmbeddedPlane(plane, api, local)


def client(base_url: str, token: str | None = None) -> httpx.Client:
    """Return a client."""
    return httpx.Client(base_url=base_url, headers=_headers_with(token), verify=False, trust_env=False, timeout=10)  # noqa: S501  loopback


def _headers_with(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def ok(answer: httpx.Response, status: int = 200) -> Any:
    """Return the JSON of a response, which must have this status."""
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Return the error of a response, which must have this status and code in Octomil's nested shape."""
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert error["code"] == code
    assert error["request_id"] == answer.headers["X-Request-Id"]
    assert error["message"]
    return error


def invalid_fields(answer: httpx.Response) -> list[str]:
    """Return the field paths that a 422 names."""
    return [problem["field"] for problem in refused(answer, 422, "validation_error")["details"]]
