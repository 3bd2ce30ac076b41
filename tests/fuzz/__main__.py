"""`make fuzz`: octosync against hostile files, hostile responses, faults and kills, with an independent oracle.

Every case is drawn from a seed. A failure is shrunk and printed with the command that reproduces it.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Final

from tests.fuzz.machine import MACHINE, OFFLINE
from tests.fuzz.manifests import CONFIGURATIONS, GROWTH, KUSTOMIZATIONS, MANIFESTS
from tests.fuzz.plan_files import PLAN_FILES
from tests.fuzz.responses import RESPONSES
from tests.fuzz.runner import Part, Result, run

PARTS: Final = {
    part.name: part
    for part in (MANIFESTS, CONFIGURATIONS, KUSTOMIZATIONS, GROWTH, RESPONSES, MACHINE, OFFLINE, PLAN_FILES)
}
_SHOWN_EVERY: Final = 10.0  # seconds


def main() -> int:
    """Run the parts of the command line; return 1 if a promise was broken."""
    about = "parts: " + "; ".join(f"{part.name} ({part.about}, {part.cases} cases)" for part in PARTS.values())
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__, epilog=about)
    parser.add_argument("parts", nargs="*", metavar="PART", help="which parts to run; all by default")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same cases (default 1)")
    parser.add_argument("--cases", type=int, help="how many cases of each part, instead of its own number")
    parser.add_argument("--seconds", type=float, help="go on with the following seeds for so long")
    parser.add_argument("--replay", default="", help="run the one case of a part that an earlier run printed")
    parser.add_argument("--no-shrink", action="store_true", help="print the first failing case as it was drawn")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.parts) - set(PARTS)):
        parser.error(f"unknown part {unknown[0]}; there are {', '.join(PARTS)}")
    parts = [PARTS[name] for name in arguments.parts] or list(PARTS.values())
    started, seed, failed = time.monotonic(), arguments.seed, False
    while True:
        for part in parts:
            failed |= bool(_run(part, seed, arguments.cases, arguments.replay, shrinks=not arguments.no_shrink).failure)
        seed += 1
        if failed or arguments.seconds is None or time.monotonic() - started > arguments.seconds:
            break
    print(f"It took {time.monotonic() - started:.0f} s, {time.process_time():.0f} s of CPU time.")
    return 1 if failed else 0


def _run(part: Part, seed: int, cases: int | None, replay: str, *, shrinks: bool) -> Result:
    shown = time.monotonic()

    def progress(count: int) -> None:
        nonlocal shown
        if time.monotonic() - shown > _SHOWN_EVERY:
            shown = time.monotonic()
            print(f"{part.name}: {count} of {cases or part.cases} cases", flush=True)

    began = time.monotonic()
    result = run(part, seed=seed, cases=cases, replay=replay, progress=progress, shrinks=shrinks)
    verdict = f"broken by case {result.first_failure}" if result.failure else "kept"
    print(f"{part.name}: seed {seed}, {result.cases} cases, {time.monotonic() - began:.1f} s: {verdict}", flush=True)
    if result.failure:
        again = f"--replay {result.replay}" if result.replay else f"--seed {seed} --cases {cases or part.cases}"
        print(f"\n{result.failure}\n\nAgain:  python -m tests.fuzz {part.name} {again}\n", flush=True)
    return result


if __name__ == "__main__":
    sys.exit(main())
