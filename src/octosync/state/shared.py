"""What a run of plan or apply needs to know of a shared state: who writes to the control plane, and what operators asked for.

It is only read, so a role of the database that may not write is enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from octosync.model import ControllerSuspension, Hold, OperatorControls
from octosync.plan import ControlPlane
from octosync.state.database import Database
from octosync.state.journal import JournalReader, time_of
from octosync.state.lease import HeldLease, LeaseKind, LeaseName, read_lease
from octosync.state.location import StateUrl


@dataclass(frozen=True, slots=True)
class SharedView:
    """The lock of runs that write, None if none ever had it, and the controls of a control plane."""

    lock: HeldLease | None
    controls: OperatorControls


def read_shared_view(url: StateUrl, plane: ControlPlane) -> SharedView:
    """Read what the state contains about a control plane; without an org, about all orgs of its URL.

    Whether a hold has ended is decided by the clock of the database: that of a machine may be wrong. Raises `OctosyncError` as
    `JournalReader` does.
    """
    with JournalReader(url) as reader, reader.documented():
        if not reader.exists:
            return SharedView(None, OperatorControls())
        (now,) = reader.database.execute("select clock_timestamp()").fetchone()
        return SharedView(
            lock=read_lease(reader.database, *LeaseName(LeaseKind.APPLY, plane).key),
            controls=OperatorControls(
                holds=_holds(reader.database, plane, now), suspension=_suspension(reader.database, plane)
            ),
        )


# Rows of plane 0 are about every control plane.
_OF_PLANE: Final = (
    "(it.plane = 0 or it.plane in (select id from plane where control_plane = ? and (org_id in (?, '') or ? = '')))"
)


def _holds(database: Database, plane: ControlPlane, now: datetime) -> dict[str, Hold]:
    """Return the holds that have not ended, by app: of several, the longest."""
    rows = database.execute(
        f"select app, until, reason, at from hold it where {_OF_PLANE} order by app, until",  # noqa: S608 — our own words
        _parameters(plane),
    )
    holds = (Hold(app=app, until=time_of(until), reason=reason, at=time_of(at)) for app, until, reason, at in rows)
    return {hold.app: hold for hold in holds if hold.until > now}


def _suspension(database: Database, plane: ControlPlane) -> ControllerSuspension | None:
    row = database.execute(
        f"select at, reason from suspension it where {_OF_PLANE} order by plane desc limit 1",  # noqa: S608 — our own words
        _parameters(plane),
    ).fetchone()
    return None if row is None else ControllerSuspension(at=time_of(row[0]), reason=row[1])


def _parameters(plane: ControlPlane) -> tuple[str, str, str]:
    return plane.url, plane.org_id or "", plane.org_id or ""
