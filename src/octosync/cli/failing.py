"""How a command fails: the error as a document on stderr, its exit code returned."""

from __future__ import annotations

import sys

from octosync.errors import ExitCode, OctosyncError
from octosync.report import render_error


def report_failure(error: OctosyncError, *, written: str = "Nothing was written.") -> ExitCode:
    """Print an error to stderr and return its exit code. `written` is the last line: what it means for the control plane."""
    sys.stderr.write(render_error(error, written=written))
    return error.exit_code
