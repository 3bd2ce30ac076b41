"""A run in which no app changed: one line."""

from __future__ import annotations

from octosync.plan import RunInfo
from octosync.report.text import visible


def idle_line(about: RunInfo) -> str:
    """Say that no app's manifests differ from the base's, and that nothing was asked."""
    git = about.manifests.git
    at = f" ({git.base[:12]})" if git is not None and git.base is not None else ""
    base = f" {about.invocation.base}{at}" if about.invocation.base is not None else ""
    return visible(f"No app's manifests differ from the base{base}: nothing to do, no request sent.") + "\n"
