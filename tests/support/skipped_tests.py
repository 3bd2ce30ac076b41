"""The last line of a test run: which tests were skipped, and how to run them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest

# Debian packages by the command in the reason.
_PACKAGES = {
    "kubectl": "kubectl",
    "chromium": "chromium",
    "chromedriver": "chromium-driver",
    "bash": "bash",
    "zsh": "zsh",
    "fish": "fish",
    "postgres": "postgresql",
}


def pytest_unconfigure(config: pytest.Config) -> None:
    """Print the line after everything else; not in a worker, in a run without tests or in a quiet run."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if hasattr(config, "workerinput") or reporter is None or config.get_verbosity() < 0:
        return
    skipped = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in reporter.stats.get("skipped", ()))
    if skipped or reporter.stats.get("passed"):
        reporter.write_line(skipped_line(skipped))


def skipped_line(skipped: Mapping[str, int]) -> str:
    """Return the line for the numbers of skipped tests by reason."""
    if not skipped:
        return "No tests were skipped."
    total = sum(skipped.values())
    reasons = "; ".join(f"{reason}: {count}" for reason, count in sorted(skipped.items()))
    words = set(" ".join(skipped).split())
    packages = [package for command, package in _PACKAGES.items() if command in words]
    way = f" To run them: apt-get install {' '.join(packages)}" if packages else ""
    return f"{total} {'test was' if total == 1 else 'tests were'} skipped ({reasons}).{way}"
