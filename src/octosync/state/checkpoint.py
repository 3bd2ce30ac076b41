"""The stored checkpoint of a controller: what lets it continue after a restart without reading every app again.

It is the position in the activity feed, the apps that were in sync when they were last read, the progress of the resync, and
the results of optimization checks, which are requested once a day. The position is never ahead of the apps: an app that an
event before the position is about was read after the event, or is not among the apps in sync.

The values of manifests, the ids of events and the fleets are stored as keyed digests only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from octosync.model import Address, JsonValue, OptimizationCheck
from octosync.state.codec import bytes_of, document_of, flag_of, items_of, object_of, text_of
from octosync.state.journal import time_of, time_text
from octosync.state.tables import ControlPlaneTable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class InSyncApp:
    """An app that was as declared at a time. `basis` is a keyed digest of its manifest and of what else decides that.

    `app_id` is its id on the control plane, by which events may name it; None if it is unknown.
    """

    at: datetime
    basis: str
    app_id: str | None = None


@dataclass(frozen=True, slots=True)
class StoredResync:
    """The last resync: when it began, by which version of octosync, and when the last one ended that did, after how long."""

    began: datetime | None = None
    version: str = ""
    ended: datetime | None = None
    seconds: float | None = None

    @property
    def is_unfinished(self) -> bool:
        """Whether it was interrupted."""
        return self.began is not None and (self.ended is None or self.ended < self.began)


@dataclass(frozen=True, slots=True)
class StoredCheck:
    """The result of an optimization check, when it was requested, and a keyed digest of the fleet that it is about."""

    at: datetime
    fleet: str
    check: OptimizationCheck


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """A checkpoint. `position` has keyed digests of the newest events of the feed, newest first."""

    position: tuple[str, ...] = ()
    resync: StoredResync = field(default_factory=StoredResync)
    in_sync: Mapping[str, InSyncApp] = field(default_factory=dict)
    checks: Mapping[Address, StoredCheck] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CheckpointChanges:
    """The changes since the last save: None deletes. `replaces_apps`: the apps that are not named are deleted, too."""

    position: tuple[str, ...]
    resync: StoredResync
    in_sync: Mapping[str, InSyncApp | None] = field(default_factory=dict)
    checks: Mapping[Address, StoredCheck | None] = field(default_factory=dict)
    replaces_apps: bool = False


class CheckpointTable(ControlPlaneTable):
    """The checkpoint of one control plane."""

    def keyed_digest(self, value: JsonValue) -> str:
        """Return a keyed digest, by which a value is recognized without being stored."""
        return self._seals.digest_of(value)

    def checkpoint(self) -> StoredCheckpoint:
        """Return the stored checkpoint; an empty one if there is none."""
        with self._read("the checkpoint") as database:
            number = self._number()
            row = database.execute(
                "select position, began, version, ended, seconds from checkpoint where plane = ?", (number,)
            ).fetchone()
            apps = database.execute(
                "select app, at, basis, app_id from in_sync where plane = ? order by app", (number,)
            ).fetchall()
            checks = database.execute(
                "select address, at, fleet, document from optimization_check where plane = ? order by address",
                (number,),
            ).fetchall()
            position, began, version, ended, seconds = row or ("[]", None, "", None, None)
            return StoredCheckpoint(
                position=tuple(map(text_of, items_of(json.loads(position)))),
                resync=StoredResync(_time(began), version, _time(ended), seconds),
                in_sync={slug: InSyncApp(time_of(at), basis, app_id) for slug, at, basis, app_id in apps},
                checks={
                    Address.parse(address): StoredCheck(time_of(at), fleet, _check_of(document))
                    for address, at, fleet, document in checks
                },
            )

    def save_checkpoint(self, changes: CheckpointChanges) -> None:
        """Store changes of the checkpoint, all of them or none."""
        resync = changes.resync
        with self.journal.transaction() as database:
            number = self._own_number()
            database.execute(
                "insert into checkpoint values (?, ?, ?, ?, ?, ?) on conflict (plane) do update set "
                "position = excluded.position, began = excluded.began, version = excluded.version, "
                "ended = excluded.ended, seconds = excluded.seconds",
                (
                    number,
                    json.dumps(changes.position),
                    _text(resync.began),
                    resync.version,
                    _text(resync.ended),
                    resync.seconds,
                ),
            )
            if changes.replaces_apps:
                database.execute("delete from in_sync where plane = ?", (number,))
            database.executemany(
                "delete from in_sync where plane = ? and app = ?",
                [(number, slug) for slug in _deleted(changes.in_sync)],
            )
            database.executemany(
                "insert into in_sync values (?, ?, ?, ?, ?) on conflict (plane, app) "
                "do update set at = excluded.at, basis = excluded.basis, app_id = excluded.app_id",
                [
                    (number, slug, time_text(app.at), app.basis, app.app_id)
                    for slug, app in changes.in_sync.items()
                    if app is not None
                ],
            )
            database.executemany(
                "delete from optimization_check where plane = ? and address = ?",
                [(number, str(address)) for address in _deleted(changes.checks)],
            )
            database.executemany(
                "insert into optimization_check values (?, ?, ?, ?, ?) on conflict (plane, address) "
                "do update set at = excluded.at, fleet = excluded.fleet, document = excluded.document",
                [
                    (number, str(address), time_text(stored.at), stored.fleet, _check_document(stored.check))
                    for address, stored in changes.checks.items()
                    if stored is not None
                ],
            )


def _deleted(changes: Mapping[T, object]) -> Iterable[T]:
    return (key for key, value in changes.items() if value is None)


def _check_document(check: OptimizationCheck) -> bytes:
    return bytes_of(
        {
            "available": check.available,
            "current": check.current,
            "suggested": check.suggested,
            "improvement": check.improvement,
            "reason": check.reason,
        }
    )


def _check_of(document: bytes) -> OptimizationCheck:
    stored = object_of(document_of(document))
    texts = {key: stored[key] for key in ("current", "suggested", "reason")}
    return OptimizationCheck(
        available=flag_of(stored["available"]),
        improvement=object_of(stored["improvement"]),
        **{key: None if text is None else text_of(text) for key, text in texts.items()},
    )


def _text(at: datetime | None) -> str | None:
    return None if at is None else time_text(at)


def _time(text: str | None) -> datetime | None:
    return None if text is None else time_of(text)
