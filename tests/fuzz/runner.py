"""The runner of the fuzzer's parts: hypothesis draws and shrinks the cases, and a CPU alarm ends cases that hang."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Final
from unittest.mock import patch

import hypothesis
from hypothesis import HealthCheck, Phase, given, reproduce_failure, settings
from hypothesis import strategies as st
from hypothesis.internal.cache import LRUCache
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants

CPU_LIMIT: Final = 5.0  # seconds of a case, all threads together; an ordinary case takes some milliseconds
_REPLAY: Final = re.compile(r"@reproduce_failure\('[^']+', b'([^']+)'\)")
# Lines of hypothesis: the notes of the case and the command that replays it are more useful.
_BOILERPLATE: Final = ("Draw ", "Failing test case", "Falsifying example", "    data=data(", ")", "You can reproduce")
_LONGEST_NOTE: Final = 6000

Case = Callable[[st.DataObject], None]


class Finding(Exception):
    """A case broke a promise, which the text names."""


class Hang(BaseException):
    """A case used more CPU time than allowed. Not an `Exception`, so that octosync doesn't catch it."""


@dataclass(frozen=True)
class Part:
    """A part of the fuzzer. `open` sets up the shared parts of its cases; a short run has `cases` of them.

    With `shrinks` False, cases are minimal as they are drawn.
    """

    name: str
    about: str
    open: Callable[[], AbstractContextManager[Case]]
    cases: int
    shrinks: bool = True


@dataclass
class Result:
    """The result of a part: `failure` is empty if every promise was kept."""

    cases: int = 0
    first_failure: int | None = None  # the number of the first failing case, before shrinking
    failure: str = ""
    replay: str = ""


class _Unshrinkable(BaseException):
    """A case hangs: shrinking it would take hours."""


def run(
    part: Part,
    *,
    seed: int,
    cases: int | None = None,
    replay: str = "",
    progress: Callable[[int], None] = lambda _: None,
    shrinks: bool = True,
) -> Result:
    """Run a part: `cases` of them from a seed, or a single case that an earlier run printed."""
    count = cases or part.cases
    with part.open() as case, _same_draws():
        try:
            return _tried(case, count, seed, replay, progress, shrinks=shrinks and part.shrinks)
        except _Unshrinkable:
            return _tried(case, count, seed, replay, progress, shrinks=False)


def _tried(case: Case, count: int, seed: int, replay: str, progress: Callable[[int], None], *, shrinks: bool) -> Result:
    result = Result()

    def attempt(data: st.DataObject) -> None:
        if result.first_failure is None:
            result.cases += 1
            progress(result.cases)
        try:
            with _cpu_alarm():
                case(data)
        except Hang:
            if shrinks:
                raise _Unshrinkable from None
            result.first_failure = result.first_failure or result.cases
            raise Finding(f"the case used more than {CPU_LIMIT:g} s of CPU time") from None
        except Exception:
            result.first_failure = result.first_failure or result.cases
            raise

    test = given(st.data())(attempt)
    chosen = reproduce_failure(hypothesis.__version__, replay.encode()) if replay else hypothesis.seed(seed)
    configured = settings(
        max_examples=count,
        phases=(Phase.generate, Phase.shrink) if shrinks else (Phase.generate,),
        deadline=None,
        database=None,
        print_blob=True,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )(chosen(test))
    try:
        configured()
    except Exception as error:  # noqa: BLE001 — a traceback of octosync's is what is looked for
        notes = "\n".join(getattr(error, "__notes__", ()))
        result.failure = _shown(error, notes)
        found = _REPLAY.search(notes)
        result.replay = replay or (found[1] if found else "")
    return result


@contextmanager
def _same_draws() -> Iterator[None]:
    """Keep hypothesis from drawing constants of the loaded modules, which would change the cases of a seed."""
    with (
        patch.object(providers, "_get_local_constants", Constants, create=True),
        patch.object(providers, "CONSTANTS_CACHE", LRUCache(1024), create=True),
    ):
        yield


def _shown(error: Exception, notes: str) -> str:
    """Return the failure with the notes of its minimal case, and the origin of an octosync exception."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        if "octosync" in (name := trace.tb_frame.f_code.co_filename) and "/fuzz/" not in name:
            places.append(f"  {name.partition('src/')[2] or name}:{trace.tb_lineno} {trace.tb_frame.f_code.co_name}")
        trace = trace.tb_next
    if isinstance(error, BaseExceptionGroup):  # hypothesis reports a flaky case as a group
        notes += "".join(f"\n{type(inner).__name__}: {inner}" for inner in error.exceptions)
    kept = "\n".join(line for line in _REPLAY.split(notes)[0].splitlines() if not line.startswith(_BOILERPLATE))
    body = "\n".join((*([] if isinstance(error, Finding) else places[-3:]), kept))
    return f"{type(error).__name__}: {str(error)[:2000]}\n{body[:_LONGEST_NOTE]}"


@contextmanager
def _cpu_alarm() -> Iterator[None]:
    """Raise `Hang` in code that uses too much CPU time. Regular expressions react to signals, and so does all Python code."""

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, CPU_LIMIT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
