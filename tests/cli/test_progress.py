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


class _Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_time_to_the_end_is_the_wait_for_the_rate_limit(terminal: MemoryStream) -> None:
    """With a rate limit the bar shows how long the remaining requests wait for it."""
    clock = _Clock()
    with redirect_stderr(terminal), ProgressBar("reading", 100, lambda requests: requests * 0.6, clock=clock) as bar:
        clock.now = 1.0
        bar.advance(101, 901)
    assert "101/901" in last_frame(terminal)
    assert "about 8 min left" in last_frame(terminal)


def test_the_bar_has_one_line_on_a_narrow_terminal(terminal: MemoryStream, monkeypatch: pytest.MonkeyPatch) -> None:
    """It shows the end of the stage instead of the next window of the rate limit, and cuts what doesn't fit."""
    monkeypatch.setenv("COLUMNS", "80")
    clock = _Clock()
    with redirect_stderr(terminal), ProgressBar("reading", 100, lambda requests: requests * 0.6, clock=clock) as bar:
        bar.waiting(WaitNotice(47, 41.0))
        first = last_frame(terminal)
        bar.advance(101, 901)
        bar.waiting(WaitNotice(47, 41.0))
    assert len(first) <= 80
    assert last_frame(terminal).split("901", 1)[1].strip() == "about 8 min left"


def test_without_waits_the_time_to_the_end_follows_from_the_speed(terminal: MemoryStream) -> None:
    """A wait of the past says nothing about the rest: it doesn't count as slow work."""
    clock = _Clock()
    with redirect_stderr(terminal), ProgressBar("reading", 100, clock=clock) as bar:
        clock.now = 10.0
        bar.waiting(WaitNotice(3, 60.0))
        clock.now = 70.0
        bar.waiting(WaitNotice(0))
        bar.advance(10, 40)
    assert "about 30 s left" in last_frame(terminal)


def test_an_action_of_several_requests_takes_longer(terminal: MemoryStream) -> None:
    """An apply that reads objects again needs two requests for an action."""
    clock = _Clock()
    with (
        redirect_stderr(terminal),
        ProgressBar("applying", 100, lambda requests: requests * 0.6, requests_each=2.0, clock=clock) as bar,
    ):
        bar.advance(50, 150)
    assert "about 2 min left" in last_frame(terminal)


def test_a_log_shows_the_time_to_the_end() -> None:
    """Without a terminal, lines of progress and of waits have it, too."""
    log, clock = MemoryStream(), _Clock()
    with redirect_stderr(log), ProgressBar("reading", 100, lambda requests: requests * 0.6, clock=clock) as bar:
        clock.now = 11.0
        bar.advance(101, 901)
        bar.waiting(WaitNotice(16, 27.0))
    assert log.text().splitlines() == [
        "reading: 101 of 901, about 8 min left",
        "reading: 101 of 901, about 8 min left; rate limit of 100 requests per minute, 16 waiting, next in 27 s",
    ]
