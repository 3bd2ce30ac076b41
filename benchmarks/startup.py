"""The start of commands, relative to a Python that does nothing."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from benchmarks.fleet import write_manifests
from benchmarks.measure import Figure, Result, Scale
from benchmarks.timing import OCTOSYNC, PYTHON, run, seconds

_ROUNDS: Final = 6  # the first one compiles
_COMPLETION: Final = {"_OCTOSYNC_COMPLETE": "bash_complete", "COMP_WORDS": "octosync plan --al", "COMP_CWORD": "2"}
_LIMITS: Final = {"--help": (6, 4.5), "validate": (16, 12), "plan --help": (10, 7), "a completion": (10, 7)}


def measure_start(scale: Scale) -> Result:
    """Compare the CPU time of commands that need no request with that of `python -c pass`.

    The lowest of several rounds counts: a process of 8 ms is easily disturbed, and disturbances only add to its time.
    """
    with tempfile.TemporaryDirectory() as folder:
        one_file = str(write_manifests(Path(folder) / "apps", 1))
        commands = {
            "--help": [*OCTOSYNC, "--help"],
            "validate": [*OCTOSYNC, "validate", "-f", one_file],
            "plan --help": [*OCTOSYNC, "plan", "--help"],
            "a completion": [*OCTOSYNC],
            "python": [*PYTHON, "-c", "pass"],
        }
        variables = {"a completion": _COMPLETION}
        rounds = [
            {name: run(command, variables=variables.get(name)) for name, command in commands.items()}
            for _ in range(scale.rounds(_ROUNDS))
        ]
    lowest = {name: min(usages[name].cpu for usages in rounds) for name in rounds[0]}
    assert "--allow-deletes" in rounds[0]["a completion"].output
    return Result(
        [
            Figure(
                name=f"CPU of octosync {name} ÷ python -c pass"
                if name != "a completion"
                else f"CPU of {name} ÷ the same",
                value=lowest[name] / lowest["python"],
                must=must,
                aim=aim,
                details=f"{seconds(lowest[name])} against {seconds(lowest['python'])}",
            )
            for name, (must, aim) in _LIMITS.items()
        ]
    )
