"""Checks that the runbook URL of each alert leads to a heading of the documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from deploy.queries import RULES, alerts

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = "docs/how-to/failures.md"
# The address of the documentation.
REPOSITORY: Final = "https://github.com/octomil/octosync/blob/main/"


def runbooks(path: Path = RULES) -> Mapping[str, str]:
    """Return the runbook of each alert by its name: a path below the project's root, and an anchor."""
    return {alert.name: alert.runbook_url.removeprefix(REPOSITORY) for alert in alerts(path)}


def anchors(markdown: str) -> frozenset[str]:
    """Return the anchors of a document: its own, and those that GitHub makes of headings, lower case with hyphens for spaces."""
    headings = re.findall(r"^#+ (.+)$", markdown, re.MULTILINE)
    made = (re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings)
    return frozenset((*made, *re.findall(r'<a id="([^"]+)"></a>', markdown)))


def problems(root: Path = ROOT) -> Iterator[str]:
    """Yield the alerts whose runbook does not exist."""
    for alert, runbook in runbooks().items():
        page, _, anchor = runbook.partition("#")
        if not (root / page).exists():
            yield f"{alert}: there is no {page}"
        elif anchor not in anchors((root / page).read_text(encoding="utf-8")):
            yield f"{alert}: {page} has no heading for #{anchor}"
