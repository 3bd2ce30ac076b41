"""`make lint`'s part for deploy/: what is rendered is what Kubernetes takes, and what is watched is what there is.

Exits with 1 and a line for each problem. Without kubectl it says how to get one, and fails, unless
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
    """Yield what is wrong with the objects of a tree, each problem once, with the first rendering that has it.

    Raises `MissingKubectlError`.
    """
    seen = set()
    try:
        for rendering in renderings(tree):
            for one in rendering.objects:
                for problem in schemas.problems(one):
                    if problem not in seen:
                        seen.add(problem)
                        yield f"{rendering.name}: {problem}"
    except UnrenderableError as error:
        yield str(error)


def query_problems() -> Iterator[str]:
    """Yield what is wrong with alerts and dashboards."""
    for alert, query in queries.alert_queries().items():
        yield from (f"{queries.RULES.name}: {alert}: {one}" for one in queries.problems(query))
    yield from (f"{queries.RULES.name}: {one}" for one in runbooks.problems())
    for dashboard in sorted(queries.DASHBOARDS.glob("*.json")):
        for query in queries.dashboard_queries(dashboard):
            yield from (f"{dashboard.name}: {one}" for one in queries.problems(query))


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
                "kubectl is missing, and renders the overlays of deploy/kubernetes/. Install it (Debian: apt-get install"
                f" kubectl; macOS: brew install kubectl), or set {REQUIRED}=0 to leave them unchecked."
            )
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
