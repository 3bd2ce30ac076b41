"""The state, an SQLite file or a PostgreSQL database: the journal of runs, and what a controller keeps over restarts.

`apply` writes the journal, and bases no decision on it; in a shared state, it takes a lock, and respects what operators asked
for. A controller also stores the baseline of each app, its drift and when it began, what operators asked for, which
notifications it sent, and where it continues after a restart. All of that can be lost: until every app was read once, nothing
counts as removed.

What may not live here: live values, request or response bodies (except the results of optimization checks), and anything
sensitive. A declared value under a sensitive key is never stored, only a digest made with a key of the state, by which the
value is recognized.
"""

from typing import TYPE_CHECKING

from octosync.exports import lazy_exports

if TYPE_CHECKING:
    from octosync.state.baseline import StoredRefusal
    from octosync.state.checkpoint import CheckpointChanges, InSyncApp, StoredCheck, StoredCheckpoint, StoredResync
    from octosync.state.database import Database, StateLocation, StateUrl, check_driver, parse_location
    from octosync.state.inspection import (
        DatabaseFacts,
        PlaneFacts,
        StateFacts,
        check_state,
        examine_database,
        examine_state,
        old_rows,
    )
    from octosync.state.journal import Journal, JournalReader, new_run_id
    from octosync.state.lease import HeldLease, Lease, LeaseHolder, LeaseKeeper, LeaseKind, LeaseName
    from octosync.state.lock import DEFAULT_PATH, lock_holder, state_lock
    from octosync.state.record import Record
    from octosync.state.seal import SealedValue
    from octosync.state.tables import Approvable, ApprovedAction, read_lock_and_controls
    from octosync.state.transfer import back_up, copy_state
    from octosync.state.watch import KEPT_FOR, ControlPlaneState, DamagedFile, WatchState, open_or_replace_journal
else:
    __all__, __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "baseline": "StoredRefusal",
            "checkpoint": "CheckpointChanges InSyncApp StoredCheck StoredCheckpoint StoredResync",
            "database": "Database StateLocation StateUrl check_driver parse_location",
            "inspection": "DatabaseFacts PlaneFacts StateFacts check_state examine_database examine_state old_rows",
            "journal": "Journal JournalReader new_run_id",
            "lease": "HeldLease Lease LeaseHolder LeaseKeeper LeaseKind LeaseName",
            "lock": "DEFAULT_PATH lock_holder state_lock",
            "record": "Record",
            "seal": "SealedValue",
            "tables": "Approvable ApprovedAction read_lock_and_controls",
            "transfer": "back_up copy_state",
            "watch": "KEPT_FOR ControlPlaneState DamagedFile WatchState open_or_replace_journal",
        },
    )
