"""A process from which others are forked with all of octosync imported already: `python zygote.py`, spoken to in JSON lines.

What is forked is a process like any other, with a pid, signals, streams and an exit code of its own; it only doesn't import
again what takes most of a start. `{"argv", "cwd", "env", "out", "err"}` is answered by `{"pid"}`, `{"pid"}` by `{"code"}`,
null while it runs. All of them are killed when standard input ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any

_PRELOADED = (
    "octosync.cli.commands.apply",
    "octosync.cli.commands.server",
    "octosync.cli.commands.watch",
    "octosync.server.serve",
    "uvicorn.lifespan.off",
    "uvicorn.lifespan.on",
    "uvicorn.loops.asyncio",
    "uvicorn.protocols.http.h11_impl",
)


def become(request: dict[str, Any]) -> None:
    """Become the process that is asked for."""
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
    """Fork what is asked for, until nothing more is; returns in what was forked, too."""
    ours: set[int] = set()
    codes: dict[int, int] = {}
    while line := os.read(0, 1 << 20):
        request = json.loads(line)
        if "argv" in request:
            pid = os.fork()
            if pid == 0:
                become(request)
                return
            ours.add(pid)
            answer: dict[str, Any] = {"pid": pid}
        else:
            pid = request["pid"]
            if pid in ours and (ended := os.waitpid(pid, os.WNOHANG))[0]:
                ours.discard(pid)
                codes[pid] = os.waitstatus_to_exitcode(ended[1])
            answer = {"code": codes.get(pid)}
        os.write(1, json.dumps(answer).encode() + b"\n")
    for pid in ours:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    os._exit(0)


if __name__ == "__main__":
    for name in _PRELOADED:
        import_module(name)
    from octosync.cli import main

    os.write(1, b'{"ready": true}\n')
    serve()
    main()
