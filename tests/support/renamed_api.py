"""The embedded control plane with other names, as if Octomil's API differed: paths and responses are rewritten."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from octosync.server import RunningServer

Rename = Callable[[Any], Any]


@dataclass
class RenamedApi:
    """An ASGI application in front of a control plane that rewrites requests and responses.

    `paths` maps our path endings to the renamed ones; ours are then unknown. `answers` changes the JSON of the responses to
    paths with an ending, `statuses` replaces the response by a status and a body.
    """

    inner: Any
    paths: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[str, Rename] = field(default_factory=dict)
    statuses: Mapping[str, tuple[int, Any]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve an ASGI request."""
        path = str(scope.get("path", ""))
        if scope["type"] != "http" or not path.startswith("/api/"):
            await self.inner(scope, receive, send)
            return
        self.requests.append(f"{scope['method']} {path.removeprefix('/api/v1')}")
        for ours, theirs in self.paths.items():
            if path.endswith(ours):
                await _answer(send, 404, {"detail": "Not Found"})
                return
            if path.endswith(theirs):
                path = path.removesuffix(theirs) + ours
        for end, (status, body) in self.statuses.items():
            if path.endswith(end):
                await _answer(send, status, body)
                return
        sent: list[Any] = []

        async def record(message: Any) -> None:
            sent.append(message)

        await self.inner({**scope, "path": path, "raw_path": path.encode()}, receive, record)
        status = sent[0]["status"]
        body = json.loads(b"".join(message.get("body", b"") for message in sent[1:]) or b"null")
        for end, rename in self.answers.items():
            if path.endswith(end):
                body = rename(body)
        await _answer(send, status, body)


async def _answer(send: Any, status: int, body: Any) -> None:
    headers = [(b"content-type", b"application/json"), (b"x-request-id", b"req_1")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


def rename(running: RunningServer, **changes: Any) -> RenamedApi:
    """Rename parts of a running control plane's API."""
    renamed = RenamedApi(running.app.middleware_stack, **changes)
    running.app.middleware_stack = renamed
    return renamed


def fields(**names: str) -> Rename:
    """Return a rename of fields in every item of the response's list: `identifier="bundle_id"`."""

    def apply(body: Any) -> Any:
        return {
            key: [{names.get(name, name): field for name, field in item.items()} for item in value]
            if isinstance(value, list)
            else value
            for key, value in body.items()
        }

    return apply


def envelope(**names: str) -> Rename:
    """Return a rename of fields of the response itself: `apps="items"`."""
    return lambda body: {names.get(key, key): value for key, value in body.items()}
