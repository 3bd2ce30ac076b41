"""Pending approvals in Octomil, read from the local journal: the control plane has no list of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from octosync.cli.console import err
from octosync.errors import ConfigError, OctosyncError, RemoteError
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
from octosync.state import JournalReader, StateLocation

# An action that was not retried in this number of runs is no longer pending.
_NEWEST_RUNS: Final = 200


class ApprovalReader:
    """Reads the pending approvals from a journal. A missing journal has none; an unreadable one is reported once.

    So is the error why its location is not known.
    """

    def __init__(self, location: StateLocation | ConfigError, connection: Connection) -> None:
        self.location = location
        self._connection = connection
        self._reported_failure = False

    def pending(
        self, statuses: Iterable[AppStatus], org: str | None, *, every: bool
    ) -> tuple[PendingApproval, ...] | None:
        """Return the pending approvals of the shown apps, sorted by address; None if the journal can't be read.

        `every`: all apps of the org are shown, so an app that is not among them may be one whose creation is pending.
        """
        shown = {status.slug: status for status in statuses}
        try:
            last = self._last_actions(org)
        except OctosyncError as error:
            if not self._reported_failure:
                self._reported_failure = True
                err(render_error(error, written="Pending approvals are not known."))
            return None
        approvals = (approval for run, action in last for approval in _awaited(run, action))
        open_ = (
            approval
            for approval in approvals
            if (
                not _is_over(approval, shown[approval.address.app])
                if approval.address.app in shown
                else every and _makes_app(approval)
            )
        )
        return tuple(sorted(open_, key=lambda approval: approval.address.sort_key))

    def _last_actions(self, org: str | None) -> list[tuple[JournalledRun, JournalledAction]]:
        """Return the last action at each address of this control plane and org."""
        last: dict[str, tuple[JournalledRun, JournalledAction]] = {}
        if isinstance(self.location, ConfigError):
            raise self.location
        with JournalReader(self.location) as recorded:
            runs = [
                run
                for run in recorded.runs()[:_NEWEST_RUNS]
                if run.control_plane == self._connection.url and (org is None or run.org_id in {None, org})
            ]
            actions = recorded.actions_of([run.id for run in runs])
            for run in runs:
                for action in reversed(actions[run.id]):
                    last.setdefault(action.address, (run, action))
        return list(last.values())


def _awaited(run: JournalledRun, action: JournalledAction) -> Iterator[PendingApproval]:
    if action.status is Status.AWAITING_APPROVAL:
        yield PendingApproval(address=Address.parse(action.address), verb=action.verb, run=run.id, at=action.begun_at)


def _makes_app(awaited: PendingApproval) -> bool:
    return awaited.address.kind is Kind.APP and awaited.verb == "create"


def _is_over(awaited: PendingApproval, status: AppStatus) -> bool:
    """Return whether the status shows that the action has taken effect since."""
    exists = any(slot.address == awaited.address for slot in status.slots) if isinstance(status.slots, tuple) else None
    match awaited.address.kind, awaited.verb:
        case Kind.CAPABILITY, verb:
            deployments = () if isinstance(status.deployments, RemoteError) else status.deployments
            own = [
                deployment for deployment in deployments if deployment.live and deployment.address == awaited.address
            ]
            return bool(own) and (verb == "enable" or any(deployment.canary is not None for deployment in own))
        case Kind.APP, "create":
            return True  # the status shows the app
        case Kind.APP, "archive":
            return isinstance(status.app, App) and status.app.archived
        case Kind.SLOT, "create":
            return exists is True
        case Kind.SLOT, "delete":
            return exists is False and Section.SLOTS not in status.cut
    return False
