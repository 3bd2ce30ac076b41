"""The checks of deploy/ that `make lint` runs: rendered objects against Kubernetes' schemas, queries against the metrics.

Exits with 1 and prints a line for each problem. Without kubectl, it fails and prints how to install it, unless
`OCTOSYNC_REQUIRE_KUBECTL=0` is set.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from deploy import queries, runbooks, schemas
from deploy.kustomizations import KUBERNETES, REQUIRED, MissingKubectlError, UnrenderableError, renderings


def problems(tree: Path = KUBERNETES) -> Iterator[str]:
    """Yield the problems of the objects in a tree, each once, with the first rendering that has it.

    Raise `MissingKubectlError` if kubectl is not installed.
    """
    seen = set()
    try:
        for rendering in renderings(tree):
            for rendered in rendering.objects:
                for problem in schemas.problems(rendered):
                    if problem not in seen:
                        seen.add(problem)
                        yield f"{rendering.name}: {problem}"
    except UnrenderableError as error:
        yield str(error)


def query_problems() -> Iterator[str]:
    """Yield the problems of alerts and dashboards."""
    for alert, query in queries.alert_queries().items():
        yield from (f"{queries.RULES.name}: {alert}: {problem}" for problem in queries.problems(query))
    yield from (f"{queries.RULES.name}: {problem}" for problem in runbooks.problems())
    for dashboard in sorted(queries.DASHBOARDS.glob("*.json")):
        for query in queries.dashboard_queries(dashboard):
            yield from (f"{dashboard.name}: {problem}" for problem in queries.problems(query))


def main() -> int:
    """Print each problem on standard error and return the exit code."""
    found = list(query_problems())
    try:
        found += problems()
    except MissingKubectlError:
        if os.environ.get(REQUIRED) == "0":
            print(f"deploy/: kubectl is missing, and {REQUIRED}=0: the overlays were not rendered.", file=sys.stderr)
        else:
            found.append(
                "kubectl is missing, so the overlays of deploy/kubernetes/ can't be rendered. Install it (Debian: apt-get install"
                f" kubectl; macOS: brew install kubectl), or set {REQUIRED}=0 to skip this check."
            )
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
