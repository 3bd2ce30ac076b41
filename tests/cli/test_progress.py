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
    """Return what the bar said last."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.text())
    return [frame for frame in re.split(r"[\r\n]", text) if frame.strip()][-1]


def test_a_wait_is_shown_while_others_go_on(terminal: MemoryStream) -> None:
    """What was sent before the window was full comes back meanwhile; why nothing new goes stays on the screen."""
    with redirect_stderr(terminal), ProgressBar("applying", 40) as bar:
        bar.waiting(WaitNotice(12, 900.0))
        bar.advance(30, 47)
    assert "30/47" in last_frame(terminal)
    assert re.search(r"rate limit of 40 requests per minute, 12 waiting, next in (900|8\d\d) s", last_frame(terminal))


def test_a_wait_that_is_over_is_shown_no_more(terminal: MemoryStream) -> None:
    """When nothing waits any more, the bar says only how far it is."""
    with redirect_stderr(terminal), ProgressBar("reading", 40) as bar:
        bar.waiting(WaitNotice(12, 900.0))
        bar.waiting(WaitNotice(0))
        bar.advance(1, 2)
    assert "1/2" in last_frame(terminal)
    assert "waiting" not in last_frame(terminal)
