"""The local SQLite file. For plan and apply it is a journal: it records, and never decides anything.

What may not live here: values of objects, request or answer bodies, anything a secret could be in.
"""

from octosync.state.journal import DEFAULT_PATH, Journal
from octosync.state.recorded import RecordedRuns

__all__ = ["DEFAULT_PATH", "Journal", "RecordedRuns"]
