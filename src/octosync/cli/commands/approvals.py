"""What awaits a person's approval in Octomil, as far as the journal of this place tells: the control plane has no list of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from octosync.cli.console import err
from octosync.errors import OctosyncError, RemoteError
from octosync.model import (
    Address,
    App,
    AppStatus,
    JournalledAction,
    JournalledRun,
    Kind,
    PendingApproval,
    Section,
    Status,
)
from octosync.octomil import Connection
from octosync.report import render_error
from octosync.state import JournalReader

# What nobody has tried again for so long is not waited for any more.
_NEWEST_RUNS: Final = 200


class Approvals:
    """Looks into a journal for actions that were last told to wait. One that is not there has none; what's wrong is said once."""

    def __init__(self, journal: Path, connection: Connection) -> None:
        self._journal = journal
        self._connection = connection
        self._has_complained = False

    def of(self, statuses: Iterable[AppStatus], org: str | None, *, every: bool) -> tuple[PendingApproval, ...] | None:
        """Return what still awaits approval of the apps that are shown, by address; None where the journal can't be read.

        `every`: all of the org's apps are shown, so one that is not there is to be made once it is approved.
        """
        shown = {status.slug: status for status in statuses}
        try:
            last = self._last_actions(org)
        except OctosyncError as error:
            if not self._has_complained:
                self._has_complained = True
                err(render_error(error, written="What awaits approval is not known."))
            return None
        waiting = (awaited for run, action in last for awaited in _awaited(run, action))
        open_ = (
            one
            for one in waiting
            if (not _is_over(one, shown[one.address.app]) if one.address.app in shown else every and _makes_app(one))
        )
        return tuple(sorted(open_, key=lambda one: one.address.sort_key))

    def _last_actions(self, org: str | None) -> list[tuple[JournalledRun, JournalledAction]]:
        """Return the last action at each address of this control plane and org."""
        last: dict[str, tuple[JournalledRun, JournalledAction]] = {}
        with JournalReader(self._journal) as recorded:
            for run in recorded.runs()[:_NEWEST_RUNS]:
                if run.control_plane == self._connection.url and (org is None or run.org_id in {None, org}):
                    for action in reversed(recorded.actions(run.id)):
                        last.setdefault(action.address, (run, action))
        return list(last.values())


def _awaited(run: JournalledRun, action: JournalledAction) -> Iterator[PendingApproval]:
    if action.status is Status.AWAITING_APPROVAL:
        yield PendingApproval(address=Address.parse(action.address), verb=action.verb, run=run.id, at=action.begun_at)


def _makes_app(awaited: PendingApproval) -> bool:
    return awaited.address.kind is Kind.APP and awaited.verb == "create"


def _is_over(awaited: PendingApproval, status: AppStatus) -> bool:
    """Say whether what was asked for has come to pass since, as far as a status shows that."""
    there = any(slot.address == awaited.address for slot in status.slots) if isinstance(status.slots, tuple) else None
    match awaited.address.kind, awaited.verb:
        case Kind.CAPABILITY, verb:
            deployments = () if isinstance(status.deployments, RemoteError) else status.deployments
            mine = [
                deployment for deployment in deployments if deployment.live and deployment.address == awaited.address
            ]
            return bool(mine) and (verb == "enable" or any(one.canary is not None for one in mine))
        case Kind.APP, "create":
            return True  # it is shown
        case Kind.APP, "archive":
            return isinstance(status.app, App) and status.app.archived
        case Kind.SLOT, "create":
            return there is True
        case Kind.SLOT, "delete":
            return there is False and Section.SLOTS not in status.cut
    return False
