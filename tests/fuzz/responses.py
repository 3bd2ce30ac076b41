"""Responses of the control plane with any value in any place: an error or a warning, and never an absence."""

from __future__ import annotations

import gc
import gzip
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from hypothesis import note
from hypothesis import strategies as st
from tests.fuzz.documents import CANARY, at, places, removed, replaced
from tests.fuzz.plane import Answer, World, open_world
from tests.fuzz.runner import Case, Finding, Part

_MANIFEST: Final = """\
apiVersion: octosync.dev/v1
kind: App
metadata: {{name: {slug}}}
spec:
  name: {slug} app
  description: what it is
  targets:
    - {{platform: ios, identifier: com.acme.{slug}}}
    - {{platform: android, identifier: com.acme.{slug}}}
  slots:
    - capability: chat
      servingPolicy: local_first
      preferredEngines: [mlx]
      bindings: [{{binding_key: a, api_key: {secret}}}]
      deploy: {{environments: [production], optimize: suggest}}
    - {{capability: vision, publicClientAllowed: false}}
  inferenceConfig: {{model: "@app/{slug}/chat", api_key: {secret}}}
"""
_COMMANDS: Final[tuple[tuple[str, ...], ...]] = (
    ("plan", "-f", "apps", "-o", "json"),
    ("plan", "-f", "apps", "-o", "markdown"),
    ("apply", "-f", "apps", "--yes", "-o", "json"),
    ("status",),
    ("status", "-o", "json"),
    ("activity", "one"),
    ("decisions", "one"),
    ("export", "-d", "exported", "--force"),
)
_VALUES: Final[tuple[Any, ...]] = (
    None, 0, -1, 10**400, 1.5, True, False, "", "x", "\ud800", "\0", "x" * 70_000, "y" * 70_000,
    "http://[", "../..", "a/b?c#d", [], [None], [[]],

    {}, {"a": None}, {"error": {"code": 5}}, "\u202e\x1b[31m", "9" * 5000, "2026-99-99T00:00:00Z", "0001-01-01T00:00:00+23:59",
)  # fmt: skip
_IDENTITY: Final = {"id", "slug", "app_id", "capability", "environment", "platform", "identifier", "status", "total"}
_BOMB_SIZE: Final = 192 * 1024 * 1024
_MOST_MEMORY: Final = 150 * 1024  # KiB that a case may add to the process
_CODES: Final = {0, 1, 2, 3, 4, 5, 6, 64, 75}
_HTML: Final = b"<!doctype html><html><body><h1>Sign in</h1></body></html>"


def _bodies(body: bytes) -> dict[str, bytes]:
    return {
        "nothing": b"", "HTML": _HTML, "half of it": body[: len(body) // 2], "null": b"null", "a list": b"[]", "an object": b"{}",
        "text": b'"x"', "a number": b"7", "deep": b"[" * 100_000, "NaN": body.replace(b"null", b"NaN") or b"NaN",
        "nul": b"\0" * 64,
        "latin-1": '{"a": "é"}'.encode("latin-1"), "utf-16": '{"a": 1}'.encode("utf-16"), "bom": b"\xef\xbb\xbf" + body,
        "twice": body + body, "blanks": b" " * 100_000 + body,
    }  # fmt: skip


_HEADERS: Final = (
    (b"content-type", b"text/html"), (b"content-type", b"application/json; charset=utf-16"), (b"content-type", b"\xff\xfe"),
    (b"content-encoding", b"gzip"), (b"content-encoding", b"br"), (b"content-encoding", b"zstd"), (b"content-encoding", b"x"),
    (b"location", b"http://127.0.0.1:1/"), (b"set-cookie", b"a=b"), (b"x-request-id", CANARY.encode()[::-1] + b"\x1b[31m"),
    (b"retry-after", b"0"), (b"retry-after", b"9" * 40), (b"retry-after", b"-1"), (b"x-request-id", b"r" * 5000),
)  # fmt: skip
_STATUSES: Final = (
    200,
    201,
    202,
    204,
    206,
    299,
    300,
    304,
    307,
    400,
    401,
    403,
    404,
    405,
    409,
    410,
    418,
    422,
    429,
    500,
    503,
    599,
)


def _bomb() -> bytes:
    return gzip.compress(gzip.compress(b" " * _BOMB_SIZE, 9), 9)


def _changed(data: st.DataObject, answer: Answer, bomb: bytes) -> tuple[Answer, str, bool]:
    """Draw a change of a response; return it, its description, and whether it breaks the response or is a valid other one."""
    draw = data.draw
    absent_config = answer.line.endswith("/inference-config")
    match draw(st.sampled_from(("field", "field", "field", "field", "field", "body", "header", "status", "bomb"))):
        case "field":
            document = json.loads(answer.body)
            paths = places(document)
            telling = [path for path in paths if path and path[-1] in _IDENTITY]
            narrows: bool = draw(st.booleans())
            path = draw(st.sampled_from(telling if telling and narrows else paths))
            old = at(document, path)
            if path and draw(st.integers(0, 5)) == 0:
                new = removed(document, path)
                lies = isinstance(path[-1], int) or absent_config
                return _with(answer, new), f"without {path}", not lies
            value = draw(st.sampled_from(_VALUES))
            # Another text is a valid response, and so is an empty list. An inference config may be any value, including null.
            lies = absent_config or (isinstance(old, str) and isinstance(value, str)) or value in ([], old)
            return _with(answer, replaced(document, path, value)), f"{str(value)[:60]!r} at {path}", not lies
        case "body":
            bodies = _bodies(answer.body)
            name = draw(st.sampled_from(sorted(bodies)))
            harmless = {"bom", "blanks", "NaN", "a list"} | (
                {"nothing", "null", "an object"} if absent_config else set()
            )
            return replace(answer, body=bodies[name]), f"the body is {name}", name not in harmless
        case "header":
            header = draw(st.sampled_from(_HEADERS))
            status = draw(st.sampled_from((answer.status, 429, 503)))
            return replace(answer, headers=(*answer.headers, header), status=status), f"{status} with {header}", True
        case "status":
            status = draw(st.sampled_from(_STATUSES))
            lies = absent_config and status == 404
            return replace(answer, status=status), f"status {status}", not lies
        case _:
            headers = ((b"content-type", b"application/json"), (b"content-encoding", b"gzip, gzip"))
            return replace(answer, headers=headers, body=bomb), "a small body that is gigantic", True


def _with(answer: Answer, document: Any) -> Answer:
    return replace(answer, body=json.dumps(document).encode())


def _record_reads(world: World, command: tuple[str, ...]) -> list[Answer]:
    """Return the reads of a command from a healthy control plane, each of them once."""
    world.layer.change = lambda answer: answer
    ran = world.workdir.octosync(*command)
    assert ran.code == 0, ran.output
    found = {answer.line: answer for answer in world.layer.answers if answer.status == 200}
    world.calm()
    return list(found.values())


def _check(world: World, command: tuple[str, ...], output: str, code: int, *, broken: bool) -> None:
    if code not in _CODES:
        raise Finding(f"exit code {code}: {output[-2000:]}")
    if "Traceback" in output:
        raise Finding(f"a traceback: {output[-2000:]}")
    if CANARY in output and command[0] != "export":
        raise Finding(f"a secret is shown: {output[:3000]}")
    if not broken:
        return
    for method, path, _ in world.writes():
        if method != "PUT" and not (method == "PATCH" or path.endswith("/optimize")):
            raise Finding(f"a broken answer became an absence: {method} {path} was sent")
    if command[0] == "plan" and output.startswith("{"):
        document = json.loads(output[: output.rindex("}") + 1])
        for row in document.get("resource_changes", ()):
            if set(row["change"]["actions"]) & {"create", "delete", "enable", "archive"}:
                raise Finding(f"a broken answer became an absence: {row['change']['actions']} {row['address']}")


@dataclass(frozen=True)
class _Bench:
    """The shared parts of the cases: a control plane, its healthy state, the reads of each command, and the memory in use."""

    world: World
    healthy: sqlite3.Connection
    recorded: Mapping[tuple[str, ...], list[Answer]]
    bomb: bytes
    held: int


@contextmanager
def _open_responses() -> Iterator[Case]:
    with open_world() as world:
        for slug in ("one", "two"):
            world.workdir.write(f"apps/{slug}.yaml", _MANIFEST.format(slug=slug, secret=CANARY))
        assert world.workdir.octosync("apply", "-f", "apps", "--yes").code == 0
        world.plane.local.post("/requests", json={"app_slug": "one", "capability": "chat", "route": "cloud"})
        world.plane.local.put("/catalog", json={"variants": [_better(world)]})
        healthy = world.snapshot()
        recorded = {command: _record_reads(world, command) for command in _COMMANDS}
        bench = _Bench(world, healthy, recorded, _bomb(), _peak_memory(afresh=True))
        try:
            yield lambda data: _case(data, bench)
        finally:
            healthy.close()


def _better(world: World) -> dict[str, Any]:
    """Return the best chat variant of the catalog in a better version, so that a check has something to recommend."""
    variants = world.plane.local.get("/catalog").json()["variants"]
    chat = next(variant for variant in variants if variant["capability"] == "chat")
    return {**chat, "id": "better", "name": "better", "latency": 0.01, "quality": 100}


def _case(data: st.DataObject, bench: _Bench) -> None:
    world = bench.world
    world.restore(bench.healthy)
    command = data.draw(st.sampled_from(_COMMANDS))
    answers = bench.recorded[command]
    answer = answers[data.draw(st.integers(0, len(answers) - 1))]
    changed, what, broken = _changed(data, answer, bench.bomb)
    note(f"octosync {' '.join(command)}\n{answer.line}: {what}")
    world.layer.change = lambda true: (
        replace(changed, method=true.method, target=true.target) if true.line == answer.line else true
    )
    _peak_memory(afresh=True)
    ran = world.workdir.octosync(*command)
    added = _peak_memory() - bench.held
    if added > _MOST_MEMORY:
        raise Finding(f"the answer of {len(changed.body)} bytes took {added // 1024} MiB of memory")
    world.layer.change = None
    _check(world, command, ran.output, ran.code, broken=broken)


def _peak_memory(*, afresh: bool = False) -> int:
    """Return the peak memory of this process in KiB: so far, or with `afresh` from now on. Only Linux reports it."""
    try:
        if afresh:
            gc.collect()
            Path("/proc/self/clear_refs").write_text("5")
        lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    except OSError:
        return 0
    return int(lines["VmHWM"].split()[0])


RESPONSES: Final = Part("responses", "responses of the control plane, mutated", _open_responses, 60)
