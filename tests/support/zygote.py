"""A process that has imported all of octosync and forks others: `python zygote.py`, which reads and writes JSON lines.

A forked process is like any other, with its own pid, signals, streams and exit code; it only skips the imports, which
take most of a start. The answer to `{"argv", "cwd", "env", "out", "err"}` is `{"pid"}`, the answer to `{"pid"}` is
`{"code"}`, null while the process runs. All of them are killed when standard input ends.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any

_PRELOADED = (
    "octosync.cli.runs.apply",
    "anyio._backends._asyncio",
    "octosync.cli.runs.watch",
    "uvicorn.lifespan.off",
    "uvicorn.lifespan.on",
    "uvicorn.loops.asyncio",
    "uvicorn.protocols.http.h11_impl",
)


def become(request: dict[str, Any]) -> None:
    """Become the requested process."""
    os.setsid()
    streams = ((os.devnull, os.O_RDONLY), (request["out"], os.O_WRONLY), (request["err"], os.O_WRONLY))
    for number, (path, mode) in enumerate(streams):
        opened = os.open(path, mode | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = ["octosync", *request["argv"]]


def serve() -> None:
    """Fork processes on request until standard input ends; returns in each forked process."""
    running: set[int] = set()
    codes: dict[int, int] = {}
    while line := os.read(0, 1 << 20):
        request = json.loads(line)
        if "argv" in request:
            pid = os.fork()
            if pid == 0:
                become(request)
                return
            running.add(pid)
            answer: dict[str, Any] = {"pid": pid}
        else:
            pid = request["pid"]
            if pid in running and (status := os.waitpid(pid, os.WNOHANG))[0]:
                running.discard(pid)
                codes[pid] = os.waitstatus_to_exitcode(status[1])
            answer = {"code": codes.get(pid)}
        os.write(1, json.dumps(answer).encode() + b"\n")
    for pid in running:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    os._exit(0)


if __name__ == "__main__":
    for name in _PRELOADED:
        import_module(name)
    from octosync.__main__ import COLLECT_AFTER
    from octosync.cli import main

    gc.set_threshold(COLLECT_AFTER)
    gc.freeze()  # a collection in a forked process must not copy the pages of all modules
    os.write(1, b'{"ready": true}\n')
    serve()
    main()
