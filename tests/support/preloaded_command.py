"""An `octosync` command for scripts that call it often: each call is a separate process whose modules are already loaded.

Run as a program, this module loads all of octosync and forks for each command. The command gets the arguments,
environment, working directory, streams and signals of its caller, and is killed with it. Only the start of Python is
skipped: tests about the start or the end of the interpreter use a real process of `workdirs` or `commands`.
"""

from __future__ import annotations

import fcntl
import gc
import importlib
import importlib.util
import io
import marshal
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

# Modules that octosync imports only when it needs them.
_DEFERRED = ("certifi", "deepdiff", "encodings.idna", "httpcore")

# The module that needs psycopg, which may be missing.
_OPTIONAL = "octosync.state.postgres"

# The script on the PATH: it passes everything on and exits with the exit code it receives. No exit code means a crash.
# It imports only modules that are part of the interpreter: `json` and `socket` would double the time of a command.
_CLIENT_SCRIPT = """\
import marshal, os, sys, _signal, _socket
command = _socket.socket(_socket.AF_UNIX)
command.connect({address!r})
request = marshal.dumps((sys.argv[1:], os.getcwd(), dict(os.environ)))
streams = b"".join(number.to_bytes(4, sys.byteorder) for number in range(3))
command.sendmsg([len(request).to_bytes(4)], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
command.sendall(request)
pid = int.from_bytes(command.recv(4))
for number in (_signal.SIGHUP, _signal.SIGINT, _signal.SIGTERM):
    if _signal.getsignal(number) is not _signal.SIG_IGN:
        _signal.signal(number, lambda number, _: os.kill(pid, number))
command.sendall(b".")
code = command.recv(1)
sys.exit(code[0] if code else "octosync died")
"""


@contextmanager
def shared_folder() -> Iterator[Path]:
    """Yield a folder for a command that several processes share. The command works until the block or this process ends."""
    with tempfile.TemporaryDirectory(prefix="octosync-") as folder:
        os.mkfifo(f"{folder}/alive")
        alive = os.open(f"{folder}/alive", os.O_RDWR)  # the other end is the standard input of the loaded process
        try:
            yield Path(folder)
        finally:
            os.close(alive)


def preloaded_command(shared: Path) -> Path:
    """Return the folder with the command. The first process that calls this with the shared folder loads the modules."""
    address, script, command = shared / "socket", shared / "script.py", shared / "bin" / "octosync"
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not command.exists():
            # -P: modules of this folder must not shadow others.
            loading = (sys.executable, "-P", __file__, address)
            with (shared / "alive").open("rb") as alive:
                subprocess.run(loading, stdin=alive, stdout=subprocess.DEVNULL, check=True)
            script.write_text(_CLIENT_SCRIPT.format(address=str(address)), encoding="utf-8")
            command.parent.mkdir()
            command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -IS "{script}" "$@"\n', encoding="utf-8")
            command.chmod(0o755)
    return command.parent


def _serve(address: str) -> None:
    """Listen, continue in the background, and fork for each command until standard input ends."""
    import octosync.cli

    for module in pkgutil.walk_packages(octosync.__path__, "octosync."):
        if not module.name.endswith("__main__") and (module.name != _OPTIONAL or importlib.util.find_spec("psycopg")):
            importlib.import_module(module.name)
    for name in _DEFERRED:
        importlib.import_module(name)
    gc.freeze()  # a collection in a forked process must not copy the pages of all modules
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        if os.fork() != 0:
            os._exit(0)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the children are not waited for
        while listener.fileno() in select.select([listener.fileno(), 0], [], [])[0]:
            command, _ = listener.accept()
            with command:
                if os.fork() == 0:
                    listener.close()
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    _run(command)


def _run(command: socket.socket) -> NoReturn:
    """Run the command in this forked process, and send its exit code. The caller has to be ready for signals first."""
    size, streams, _, _ = socket.recv_fds(command, 4, 3)
    with command.makefile("rb") as request:
        arguments, folder, environment = marshal.loads(request.read(int.from_bytes(size)))  # noqa: S302 — our own script's request
    command.sendall(os.getpid().to_bytes(4))
    command.recv(1)
    threading.Thread(target=_end_with, args=(command,), daemon=True).start()
    for stream, number in zip(streams, range(3), strict=True):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["octosync", *arguments]
    sys.stdin, sys.stdout, sys.stderr = (_stream(number, mode) for number, mode in enumerate(("rb", "wb", "wb")))
    code = 1
    try:
        from octosync.__main__ import main

        main()
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:  # noqa: BLE001 — as Python does
        traceback.print_exc()
    finally:
        for output in (sys.stdout, sys.stderr):
            output.flush()
        command.sendall(bytes([code]))
        os._exit(code)


def _end_with(caller: socket.socket) -> None:
    """Kill this process when its caller has been killed. Signals are for the main thread."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    caller.recv(1)
    os.kill(os.getpid(), signal.SIGKILL)


def _stream(number: int, mode: str) -> io.TextIOWrapper:
    stream = os.fdopen(number, mode)
    return io.TextIOWrapper(stream, encoding="utf-8", line_buffering=stream.isatty(), write_through=number == 2)


if __name__ == "__main__":
    _serve(sys.argv[1])
