"""The progress bar on a terminal, drawn by rich."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from octosync.cli.progress import left_words, with_countdown


class _WaitColumn(ProgressColumn):
    """The time left, and a countdown of the current wait.

    The task's `end` is the estimated end of the stage, its `wait` a description and the end of the wait; both may be missing.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock

    def render(self, task: Task) -> Text:
        """Return the time left, and the description of the wait with its seconds left."""
        now = self._clock()
        end: float | None = task.fields.get("end")
        wait: tuple[str, float] | None = task.fields.get("wait")
        facts = [left_words(end - now)] if end is not None and end > now else []
        facts += [with_countdown(wait[0], wait[1] - now)] if wait and wait[1] > now else []
        return Text(" · ".join(facts))


def make_bar(clock: Callable[[], float]) -> Progress:
    """Return a bar on standard error that disappears at its end."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _WaitColumn(clock),
        console=Console(stderr=True),
        transient=True,
    )
