"""Progress on a terminal: how much is done, and why and how long requests wait."""

from __future__ import annotations

import re
from contextlib import redirect_stderr

import pytest
from tests.support.workdirs import MemoryStream

from octosync.cli.progress import ProgressBar
from octosync.octomil import WaitNotice


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> MemoryStream:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "140")
    return MemoryStream(terminal=True)


def last_frame(screen: MemoryStream) -> str:
    """Return the last text of the bar."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.text())
    return [frame for frame in re.split(r"[\r\n]", text) if frame.strip()][-1]


def test_a_wait_is_shown_while_requests_finish(terminal: MemoryStream) -> None:
    """Earlier requests still finish, and the reason why no new one is sent stays on the terminal."""
    with redirect_stderr(terminal), ProgressBar("applying", 40) as bar:
        bar.waiting(WaitNotice(12, 900.0))
        bar.advance(30, 47)
    assert "30/47" in last_frame(terminal)
    assert re.search(r"rate limit of 40 requests per minute, 12 waiting, next in (900|8\d\d) s", last_frame(terminal))


def test_a_finished_wait_is_no_longer_shown(terminal: MemoryStream) -> None:
    """When nothing waits, the bar shows only the progress."""
    with redirect_stderr(terminal), ProgressBar("reading", 40) as bar:
        bar.waiting(WaitNotice(12, 900.0))
        bar.waiting(WaitNotice(0))
        bar.advance(1, 2)
    assert "1/2" in last_frame(terminal)
    assert "waiting" not in last_frame(terminal)
