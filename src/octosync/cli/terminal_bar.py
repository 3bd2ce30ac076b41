"""The progress bar on a terminal, drawn by rich."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text
from rich.theme import Theme

from octosync.cli.progress import left_words, with_countdown

_COLOURS: Final = Theme(
    {
        "bar.back": "bright_black",
        "bar.complete": "cyan",
        "bar.finished": "green",
        "bar.pulse": "cyan",
        "progress.download": "default",
    }
)
_WIDEST: Final = 40  # columns of the bar; a third of a narrow terminal
_LEAST_SECONDS: Final = 1.0  # a shorter rest is not worth an estimate


class _WaitColumn(ProgressColumn):
    """The time left, or a countdown of the current wait.

    The task's `end` is the estimated end of the stage, its `wait` a description, the end of the wait, and whether the estimate
    includes it; both may be missing.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(Column(no_wrap=True, overflow="ellipsis"))
        self._clock = clock

    def render(self, task: Task) -> Text:
        """Return the time left, and if that doesn't include the wait, its description with the seconds left."""
        now = self._clock()
        end: float | None = task.fields.get("end")
        wait: tuple[str, float, bool] | None = task.fields.get("wait")
        facts = [left_words(end - now)] if end is not None and end - now >= _LEAST_SECONDS else []
        if wait and wait[1] > now and not (facts and wait[2]):
            facts.append(with_countdown(wait[0], wait[1] - now))
        return Text(" · ".join(facts), no_wrap=True, overflow="ellipsis")


def make_bar(clock: Callable[[], float]) -> Progress:
    """Return a bar on standard error that disappears at its end."""
    console = Console(stderr=True, theme=_COLOURS)
    return Progress(
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
        BarColumn(min(_WIDEST, console.width // 3)),
        MofNCompleteColumn(),
        _WaitColumn(clock),
        console=console,
        transient=True,
    )
