"""A program that evaluates the expressions of policies. It is run by its path and imports nothing of octosync.

It reads one JSON document on standard input, and writes one JSON line for each policy. The expressions may be hostile, so the
process has no environment, little memory and, for each policy, little processor time: the kernel ends it, as no expression
returns control to Python while it is evaluated.
"""

from __future__ import annotations

import json
import re
import resource
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from importlib import import_module
from typing import Any

_POSITION = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_STATUS = re.compile(r"^(?:[A-Z_]+: )?(?:ERROR: )?|(?: \[[A-Z_]+\])$")
_CONTAINER = re.compile(r" \(in container '[^']*'\)")
_NO_MEMORY = "std::bad_alloc"
_LONGEST = 300
_MOST_ERRORS = 3  # of a rule that doesn't compile
_MOST_PROBLEMS = 10  # of a rule in what it judges


def limit_resources(memory: int) -> None:
    """Limit memory, and forbid files and core dumps."""
    for kind, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_DATA, memory),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        with suppress(OSError, ValueError):  # macOS has no limit of the address space
            resource.setrlimit(kind, (most, most))


def problem_of(error: object) -> str:
    """Return an error of the library in one line, without its status codes and its copy of the expression."""
    text = str(error).strip()
    if _NO_MEMORY in text or isinstance(error, MemoryError):
        return "it needs too much memory"
    places = _POSITION.findall(text)
    if places:
        words = [
            f"{_CONTAINER.sub('', _STATUS.sub('', message))[:_LONGEST]} (line {line}, column {column} of the rule)"
            for line, column, message in places[:_MOST_ERRORS]
        ]
        return "; ".join(words)
    first = text.splitlines()[0] if text else type(error).__name__
    return _STATUS.sub("", _STATUS.sub("", first))[:_LONGEST]


def _not_true_or_false(kind: str) -> str:
    return f"it is a value of type {kind.lower()}, and not true or false"


class Evaluator:
    """Compiles and evaluates expressions. `scopes` are the types of variables, by the name of a scope."""

    def __init__(self, library: Any, scopes: Mapping[str, Mapping[str, str]]) -> None:  # noqa: ANN401 — an untyped module
        kinds = library.Type
        types = {
            "string": kinds.STRING,
            "bool": kinds.BOOL,
            "int": kinds.INT,
            "timestamp": kinds.TIMESTAMP,
            "map": kinds.Map(kinds.STRING, kinds.DYN),
            "labels": kinds.Map(kinds.STRING, kinds.STRING),
            "list": kinds.List(kinds.DYN),
        }
        self.scopes = scopes
        self._bool, self._dynamic = kinds.BOOL, kinds.DYN
        self._environments = {
            scope: library.NewEnv(variables={name: types[kind] for name, kind in variables.items()})
            for scope, variables in scopes.items()
        }

    def compile(self, scope: str, rule: str) -> Any:  # noqa: ANN401 — an untyped value
        """Return a compiled rule. Raise `ValueError` if it doesn't compile, or isn't true or false."""
        try:
            compiled = self._environments[scope].compile(rule)
        except Exception as error:  # noqa: BLE001 — the library's errors have no common class
            raise ValueError(problem_of(error)) from None
        kind = compiled.return_type()
        if kind not in (self._bool, self._dynamic):
            raise ValueError(_not_true_or_false(kind.name()))
        return compiled

    def evaluate(self, compiled: Any, variables: Mapping[str, Any]) -> bool | str:  # noqa: ANN401 — an untyped value
        """Return whether a rule is true, or why it has no value."""
        try:
            result = compiled.eval(data=variables)
            value, kind = result.plain_value(), result.type()
        except Exception as error:  # noqa: BLE001 — the library's errors have no common class
            return problem_of(error)
        if kind == self._bool and isinstance(value, bool):
            return value
        name = kind.name()
        return problem_of(value) if name in ("ERROR", "UNKNOWN") else _not_true_or_false(name)


def results_of(
    evaluator: Evaluator, policy: Mapping[str, Any], subjects: Sequence[Sequence[Mapping[str, Any]]]
) -> Iterator[bool | str]:
    """Yield the result for each subject of a policy, up to the last of many problems. Raise `ValueError` as `compile` does."""
    compiled = evaluator.compile(policy["scope"], policy["rule"])
    used = {name for name in evaluator.scopes[policy["scope"]] if name.rpartition(".")[2] in policy["rule"]}
    problems = 0
    for index in policy["subjects"]:
        result = evaluator.evaluate(
            compiled, {name: part[name] for part in subjects[index] for name in used & part.keys()}
        )
        yield result
        problems += isinstance(result, str)
        if problems == _MOST_PROBLEMS:
            return


def main() -> None:
    """Evaluate the policies of one document."""
    request = json.load(sys.stdin)
    sys.path.append(request["library"])
    library = import_module("cel_expr_python.cel")
    limit_resources(request["memory"])
    evaluator = Evaluator(library, request["scopes"])
    parts = request["parts"]
    for part in parts:
        if "now" in part:
            part["now"] = datetime.fromisoformat(part["now"])
    subjects = [[parts[number] for number in numbers] for numbers in request["subjects"]]
    for policy in request["policies"]:
        if time.process_time() + request["seconds"] > request["seconds_in_all"]:
            break
        # The default action of the signal ends the process.
        signal.setitimer(signal.ITIMER_PROF, request["seconds"])
        line: dict[str, object]
        try:
            line = {"results": list(results_of(evaluator, policy, subjects))}
        except ValueError as error:
            line = {"problem": str(error)}
        signal.setitimer(signal.ITIMER_PROF, 0)
        line["seconds"] = time.process_time()
        sys.stdout.write(f"{json.dumps(line)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
