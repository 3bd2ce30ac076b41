"""The evaluator of rules. It runs the program `worker` and never imports the CEL library itself.

A rule may come from the pull request of a stranger. So it is evaluated in a process without environment, files and much memory,
that the kernel ends after a little processor time, and a rule without a result is a problem and never true.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from octosync.model import Judges, Policy
from octosync.plan.policies import PolicyJob, Subject, variables_for
from octosync.policies import worker

SECONDS: Final = 2.0  # of processor time, for a policy in all that it judges
SECONDS_IN_ALL: Final = 10.0  # for all policies
MEMORY: Final = 512 * 1024 * 1024
_DEADLINE: Final = 60.0  # of waiting, on a machine that has little processor time left
_LIBRARY: Final = "cel_expr_python"
_NEEDED: Final = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # for an interpreter that is not in a system folder
_LONGEST: Final = 300

TOO_LONG: Final = f"it takes more than {SECONDS:g} seconds"
_NOT_EVALUATED: Final = "it was not evaluated, because other rules took too long"
_NOT_INSTALLED: Final = "the package cel-expr-python is not installed: pip install cel-expr-python"


def evaluate(jobs: Sequence[PolicyJob], subjects: Sequence[Subject]) -> tuple[tuple[bool | str, ...], ...]:
    """Return the results of each job, in the order of its subjects: whether the rule is true, or why it has no value."""
    return tuple(_results(line, len(job.subjects)) for job, line in zip(jobs, _lines(jobs, subjects), strict=True))


@lru_cache(maxsize=16)
def problems_of(policies: tuple[Policy, ...]) -> tuple[str | None, ...]:
    """Return why rules don't compile, None for each that does."""
    return tuple(
        str(line["problem"]) if "problem" in line else None
        for line in _lines([PolicyJob(policy=policy) for policy in policies], ())
    )


def _results(line: Mapping[str, Any], count: int) -> tuple[bool | str, ...]:
    if "problem" in line:
        return (str(line["problem"]),) * count
    results = tuple(result if isinstance(result, bool) else str(result) for result in line["results"])
    # The worker ends with the last of many problems.
    return results + results[-1:] * (count - len(results))


def _lines(jobs: Sequence[PolicyJob], subjects: Sequence[Subject]) -> list[Mapping[str, Any]]:
    """Return what the worker writes for each job; a rule that ends the process has a problem."""
    found: list[Mapping[str, Any]] = []
    library = _folder_of_library()
    if library is None or not sys.executable:
        return [{"problem": _NOT_INSTALLED}] * len(jobs)
    used = 0.0
    while len(found) < len(jobs):
        lines, why = _run(library, jobs[len(found) :], subjects, SECONDS_IN_ALL - used)
        found += lines
        if len(found) == len(jobs):
            break
        if why == _NOT_EVALUATED:
            return [*found, *[{"problem": why}] * (len(jobs) - len(found))]
        found.append({"problem": why})
        used += SECONDS + (lines[-1]["seconds"] if lines else 0)
    return found


def _folder_of_library() -> str | None:
    spec = find_spec(_LIBRARY)
    places = spec.submodule_search_locations if spec is not None else None
    return str(Path(next(iter(places))).parent) if places else None


def _run(
    library: str, jobs: Sequence[PolicyJob], subjects: Sequence[Subject], seconds: float
) -> tuple[list[Mapping[str, Any]], str]:
    """Return the lines that a worker writes within these seconds of processor time, and why there are not more."""
    parts = {id(part): part for subject in subjects for part in subject}
    numbers = {id_: number for number, id_ in enumerate(parts)}
    request = {
        "library": library,
        "memory": MEMORY,
        "seconds": SECONDS,
        "seconds_in_all": seconds,
        "scopes": {judges.value: variables_for(judges) for judges in Judges},
        "parts": list(parts.values()),
        "subjects": [[numbers[id(part)] for part in subject] for subject in subjects],
        "policies": [
            {"scope": job.policy.judges.value, "rule": job.policy.rule, "subjects": job.subjects} for job in jobs
        ],
    }
    process = subprocess.Popen(  # noqa: S603 — fixed words and the interpreter
        (sys.executable, "-I", "-S", worker.__file__),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for this process, which still reports
        env={name: os.environ[name] for name in _NEEDED if name in os.environ},
    )
    with process:
        try:
            out, errors = process.communicate(json.dumps(request).encode(), timeout=_DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            out, errors = process.communicate()
    return list(_parsed(out)), _why(process.returncode, errors)


def _parsed(out: bytes) -> Iterator[Mapping[str, Any]]:
    for line in out.split(b"\n")[:-1]:  # the rest is no complete line
        yield json.loads(line)


def _why(code: int, errors: bytes) -> str:
    if code == 0:
        return _NOT_EVALUATED
    if -code in (signal.SIGPROF, signal.SIGKILL):
        return TOO_LONG
    words = errors.decode(errors="replace").strip().splitlines()
    return f"its evaluation failed: {words[-1][:_LONGEST] if words else f'exit status {code}'}"
