"""The last line of a test run: which tests were skipped, and how to run these too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest

# Debian's packages, by the command that a reason names.
_PACKAGES = {
    "kubectl": "kubectl",
    "chromium": "chromium",
    "chromedriver": "chromium-driver",
    "bash": "bash",
    "zsh": "zsh",
    "fish": "fish",
}


def pytest_unconfigure(config: pytest.Config) -> None:
    """Print the line, after everything else. A worker has none, nor a run without tests, nor a quiet one."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if hasattr(config, "workerinput") or reporter is None or config.get_verbosity() < 0:
        return
    skipped = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in reporter.stats.get("skipped", ()))
    if skipped or reporter.stats.get("passed"):
        reporter.write_line(skipped_line(skipped))


def skipped_line(skipped: Mapping[str, int]) -> str:
    """Return the line for a run that skipped so many tests for these reasons."""
    if not skipped:
        return "No tests were skipped."
    total = sum(skipped.values())
    reasons = "; ".join(f"{reason}: {count}" for reason, count in sorted(skipped.items()))
    words = set(" ".join(skipped).split())
    packages = [package for command, package in _PACKAGES.items() if command in words]
    way = f" To run them: apt-get install {' '.join(packages)}" if packages else ""
    return f"{total} {'test was' if total == 1 else 'tests were'} skipped ({reasons}).{way}"
