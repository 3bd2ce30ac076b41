"""The local SQLite file. For plan and apply it is a journal: it records, and never decides anything. A watch remembers in it.

What a watch remembers: each app as it was last applied (the base), drift and since when, what people asked of it, what
receivers were told. All of that can be lost: then nothing counts as removed until every app was taken up once.

What may not live here: live values, request or answer bodies, and anything sensitive. A declared value under a sensitive key
is never stored: a digest with a key of this file's own stands in its place, by which it is recognised.
"""

from octosync.state.damaged import DamagedFile, open_or_replace_journal
from octosync.state.drift import StoredRefusal
from octosync.state.journal import DEFAULT_PATH, Journal, JournalReader, new_run_id
from octosync.state.lock import sole_controller
from octosync.state.operator import Approvable, ApprovedAction
from octosync.state.seal import SealedValue
from octosync.state.watch import KEPT_FOR, ControlPlaneState, WatchState

__all__ = [
    "DEFAULT_PATH",
    "KEPT_FOR",
    "Approvable",
    "ApprovedAction",
    "ControlPlaneState",
    "DamagedFile",
    "Journal",
    "JournalReader",
    "SealedValue",
    "StoredRefusal",
    "WatchState",
    "new_run_id",
    "open_or_replace_journal",
    "sole_controller",
]
