"""The checkpoint: what the controller saves in order to continue after a restart without reading every app again.

It has the position in the activity feed and the apps that were in sync when they were last read. After a restart, an app is
still in sync if no event since the position is about it, and if its manifest is the same. All others are read.

The saved position is never ahead of the saved apps: an app that an event is about leaves the apps in sync before the position
passes the event, in one transaction. So a controller that is killed at any time reads such an app again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from octosync import __version__
from octosync.model import Address, Event, JsonValue, OptimizationCheck
from octosync.state import CheckpointChanges, ControlPlaneState, InSyncApp, StoredCheck, StoredResync

# The newest events that make up a position: a page of the feed, since events of the same time may change places.
POSITION_EVENTS: Final = 100
CHECK_VALID_FOR: Final = timedelta(days=1)
_LONGEST_ID: Final = 200
_LARGEST: Final = 1e12
# A controller that is killed again and again, at once after its start, still gets on with a resync.
_MOST_UNSAVED: Final = 10


class Checkpoint:
    """The checkpoint of one control plane. Changes are saved by `save`.

    Until `accept` is called, no app is recorded as in sync: what is read before the position is taken may miss a change.
    """

    def __init__(self, state: Callable[[], ControlPlaneState]) -> None:
        self._state = state
        self._position: tuple[str, ...] = ()
        self._in_sync: dict[str, InSyncApp] = {}
        self._checks: dict[Address, StoredCheck] = {}
        self._changed_apps: set[str] = set()
        self._changed_checks: set[Address] = set()
        self._is_changed = False
        self._replaces_apps = False
        self._is_loaded = False
        self._accepts_since: float | None = None
        self.resync = StoredResync()

    def load(self, now: datetime) -> None:
        """Read the state file once. What is dated in the future is ignored: the clock is wrong, or was."""
        if self._is_loaded:
            return
        self._is_loaded = True
        stored = self._state().checkpoint()
        self._position = stored.position
        self._in_sync = dict(stored.in_sync)
        self._checks = dict(stored.checks)
        if all(at is None or at <= now for at in (stored.resync.began, stored.resync.ended)):
            self.resync = stored.resync
        self.discard([slug for slug, app in self._in_sync.items() if app.at > now])
        for address in [address for address, stored_check in self._checks.items() if not _is_valid(stored_check, now)]:
            self._forget_check(address)

    def use_another_plane(self) -> None:
        """Save everything at the next save: the org of the control plane has become known."""
        if not self._is_loaded:
            return
        self._is_changed = self._replaces_apps = True
        self._changed_checks |= self._checks.keys()

    def save(self) -> None:
        """Save the changes. Raises `OctosyncError` if the state file can't be written: the next save has them, too."""
        if not self.has_changes:
            return
        apps = self._in_sync.keys() if self._replaces_apps else self._changed_apps
        self._state().save_checkpoint(
            CheckpointChanges(
                position=self._position,
                resync=self.resync,
                in_sync={slug: self._in_sync.get(slug) for slug in sorted(apps)},
                checks={address: self._checks.get(address) for address in sorted(self._changed_checks)},
                replaces_apps=self._replaces_apps,
            )
        )
        self._changed_apps.clear()
        self._changed_checks.clear()
        self._is_changed = self._replaces_apps = False

    @property
    def has_changes(self) -> bool:
        """Whether there is something to save."""
        return bool(self._is_changed or self._changed_apps or self._changed_checks)

    @property
    def is_full(self) -> bool:
        """Whether so much has changed that it is saved between two polls of the feed."""
        return len(self._changed_apps) >= _MOST_UNSAVED

    # -- the position

    def new_events(self, newest: Sequence[Event]) -> tuple[Event, ...] | None:
        """Return the events since the position, oldest first, of the newest ones of the feed, newest first.

        None if the position is unknown, or not among these events: then some may be missing.
        """
        digests = [self._digest_of(event) for event in newest]
        if not self._position or self._position[0] not in digests:
            return None
        known = set(self._position)
        oldest_known = max(place for place, digest in enumerate(digests) if digest in known)
        since = zip(newest[:oldest_known], digests[:oldest_known], strict=True)
        return tuple(event for event, digest in since if digest not in known)[::-1]

    def reaches_position(self, newest: Iterable[Event]) -> bool:
        """Return whether these events contain the position, or there is none."""
        return not self._position or any(self._digest_of(event) == self._position[0] for event in newest)

    @property
    def has_position(self) -> bool:
        """Whether a position is known."""
        return bool(self._position)

    def advance(self, newest: Iterable[Event]) -> None:
        """Set the position after the newest events of the feed, newest first. `discard` the apps that they are about first."""
        position = tuple(map(self._digest_of, newest))
        if position and position != self._position:
            self._position, self._is_changed = position, True

    def _digest_of(self, event: Event) -> str:
        return self.keyed_digest([event.id, None if event.at is None else event.at.isoformat()])

    def keyed_digest(self, value: JsonValue) -> str:
        """Return a keyed digest of a value, as it is stored."""
        return self._state().keyed_digest(value)

    # -- the apps in sync

    @property
    def in_sync(self) -> Mapping[str, InSyncApp]:
        """The apps that were in sync when they were last read, and that no event since is about."""
        return self._in_sync

    def accept(self, since: float) -> None:
        """Record the apps of reconciles that begin after this time, by the monotonic clock: the position was taken before it."""
        if self._accepts_since is None:
            self._accepts_since = since

    def clear(self) -> None:
        """Discard every app, since events may have been missed. Until the next `accept` no app is recorded."""
        self._accepts_since = None
        self._in_sync.clear()
        self._changed_apps.clear()
        self._is_changed = self._replaces_apps = True

    def record(self, slug: str, app: InSyncApp, began: float) -> None:
        """Record that an app is in sync, by a reconcile that began at this time of the monotonic clock."""
        if self._accepts_since is None or began < self._accepts_since or not _is_storable(app.app_id):
            self.discard((slug,))
            return
        self._in_sync[slug] = app
        self._changed_apps.add(slug)

    def discard(self, slugs: Iterable[str]) -> None:
        """Discard apps that are not known to be in sync."""
        for slug in slugs:
            if self._in_sync.pop(slug, None) is not None:
                self._changed_apps.add(slug)

    def keep(self, slugs: Collection[str]) -> None:
        """Discard all apps but these."""
        self.discard([slug for slug in self._in_sync if slug not in slugs])

    # -- the resync

    @property
    def is_resync_due(self) -> bool:
        """Whether the last resync was interrupted, or was made by another version, which may compare differently."""
        return self.resync.is_unfinished or self.resync.version != __version__

    def begin_resync(self, now: datetime, *, may_continue: bool) -> datetime | None:
        """Record that a resync begins. If it continues one that a restart has interrupted, return when that one began."""
        known = self.resync
        if may_continue and known.is_unfinished and known.version == __version__:
            return known.began
        self.resync, self._is_changed = StoredResync(now, __version__, known.ended, known.seconds), True
        return None

    def end_resync(self, now: datetime, seconds: float) -> None:
        """Record that the resync has ended."""
        self.resync, self._is_changed = StoredResync(self.resync.began, self.resync.version, now, seconds), True

    # -- optimization checks

    def check_of(self, address: Address, fleet: str, now: datetime) -> OptimizationCheck | None:
        """Return the result of a check of this fleet, if it is still valid."""
        stored = self._checks.get(address)
        return stored.check if stored is not None and stored.fleet == fleet and _is_valid(stored, now) else None

    def record_check(self, address: Address, stored: StoredCheck) -> None:
        """Record the result of a check; it is saved if it consists of texts and numbers, as it should."""
        self._checks[address] = stored
        if all(_is_number(value) for value in stored.check.improvement.values()):
            self._changed_checks.add(address)

    def forget_checks(self, slug: str) -> None:
        """Forget the results of an app."""
        for address in [known for known in self._checks if known.app == slug]:
            self._forget_check(address)

    def _forget_check(self, address: Address) -> None:
        del self._checks[address]
        self._changed_checks.add(address)


def _is_valid(stored: StoredCheck, now: datetime) -> bool:
    return timedelta() <= now - stored.at < CHECK_VALID_FOR


def _is_number(value: JsonValue) -> bool:
    return isinstance(value, int | float) and abs(value) < _LARGEST


def _is_storable(app_id: str | None) -> bool:
    """Return whether an id can be stored: a control plane may return anything."""
    if app_id is None:
        return True
    try:
        return len(app_id.encode()) <= _LONGEST_ID and "\0" not in app_id  # which PostgreSQL doesn't store
    except UnicodeEncodeError:
        return False
