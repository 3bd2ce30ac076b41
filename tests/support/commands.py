"""The octosync command as users start it: a separate process whose output is read while it runs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

OCTOSYNC = (sys.executable, "-m", "octosync")


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment with these variables and without the others that octosync reads."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OCTOSYNC_", "OCTOMIL_"))}
    return {**kept, **variables}


@contextmanager
def start_command(
    *arguments: str, command: Sequence[str | Path] = OCTOSYNC, **variables: str
) -> Iterator[subprocess.Popen[str]]:
    """Start octosync with piped output; kill it if it still runs at the end of the block."""
    process = subprocess.Popen(
        [*command, *arguments],
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def wait_for_url(process: subprocess.Popen[str]) -> str:
    """Wait until `octosync server` prints the URL on which it listens, and return the URL."""
    assert process.stderr is not None
    first = process.stderr.readline()
    found = re.search(r"listens on (http://\S+)", first)
    assert found is not None, first + process.stderr.read()
    return found[1]


def stop_command(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> tuple[str, str]:
    """Send a signal and wait for the end; return the rest of standard output and standard error."""
    process.send_signal(number)
    assert process.stdout is not None
    assert process.stderr is not None
    rest = process.stdout.read(), process.stderr.read()  # not communicate(): it drops what readline has buffered
    process.wait()
    return rest
