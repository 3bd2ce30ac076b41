"""Stored drift: when it began, how often it was reverted, which objects are contested, and what guards reject."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple, TypeAlias

from octosync.model import Address
from octosync.state.journal import time_of, time_text
from octosync.state.seal import SealedValue
from octosync.state.tables import ControlPlaneTable

KnownDrift: TypeAlias = Mapping[Address, tuple[str | SealedValue, datetime]]


class StoredRefusal(NamedTuple):
    """An action that a counting guard rejects, with its message. `basis` is a keyed digest of what the rejection depends on."""

    address: Address
    verb: str
    guard: str
    basis: str
    message: str
    total: str | None
    override: str | None


class DriftRecord(ControlPlaneTable):
    """The drift of one control plane's objects."""

    def record_drift(
        self, app: str, drift: Mapping[Address, str], now: datetime, known: KnownDrift | None = None
    ) -> dict[Address, datetime]:
        """Record all of an app's drift by fingerprints, and return when each object was first seen with its fingerprint.

        For an object with another fingerprint than before, that is now; an object that no longer drifts is deleted. A
        fingerprint is stored as a keyed digest, since it may be the digest of a sensitive value. `known` is what is stored of the
        app, None if the caller doesn't know it.
        """
        known = self.drift().get(app, {}) if known is None else known
        seen = {
            address: min(known[address][1], now) if address in known and known[address][0] == found else now
            for address, found in drift.items()
        }
        if {address: (found, seen[address]) for address, found in drift.items()} != known:
            with self.journal.transaction() as database:
                number = self._own_number()
                database.execute("delete from drift where plane = ? and app = ?", (number, app))
                database.executemany(
                    "insert into drift values (?, ?, ?, ?, ?)",
                    [
                        (number, str(address), app, self._seals.digest_of(found), time_text(seen[address]))
                        for address, found in drift.items()
                    ],
                )
        return seen

    def drift(self) -> dict[str, dict[Address, tuple[SealedValue, datetime]]]:
        """Return the drift by app: the fingerprint of each object, which equals only the same one, and when it was first seen."""
        found: dict[str, dict[Address, tuple[SealedValue, datetime]]] = {}
        with self._read("the drift") as database:
            for app, address, digest, at in database.execute(
                "select app, address, fingerprint, first_seen from drift where plane = ? order by app, address",
                (self._number(),),
            ):
                found.setdefault(app, {})[Address.parse(address)] = (SealedValue(digest, self._seals), time_of(at))
        return found

    def record_revert(self, address: Address, at: datetime) -> None:
        """Record that the drift of an object was reverted. If that is recorded twice, it counts once."""
        with self.journal.transaction() as database:
            number = self._own_number()
            database.execute(
                "insert into heal (plane, address, app, at) select ?, ?, ?, ? "
                "where not exists (select 1 from heal where plane = ? and address = ? and at = ?)",
                (number, str(address), address.app, time_text(at), number, str(address), time_text(at)),
            )

    def reverts(self, since: datetime) -> dict[Address, tuple[datetime, ...]]:
        """Return when each object was reverted since a time, that time included, the earliest first."""
        found: dict[Address, tuple[datetime, ...]] = {}
        with self._read("the reverts of drift") as database:
            for address, at in database.execute(
                "select address, at from heal where plane = ? and at >= ? order by at, rowid",
                (self._number(), time_text(since)),
            ):
                reverted = Address.parse(address)
                found[reverted] = (*found.get(reverted, ()), time_of(at))
        return found

    def record_contested(self, address: Address, at: datetime) -> None:
        """Record that an object is contested. If it was before, the earlier time stays."""
        with self.journal.transaction() as database:
            database.execute(
                "insert into contested values (?, ?, ?, ?) on conflict do nothing",
                (self._own_number(), str(address), address.app, time_text(at)),
            )

    def contested(self) -> dict[Address, datetime]:
        """Return when each contested object became contested."""
        with self._read("the contested objects") as database:
            rows = database.execute(
                "select address, at from contested where plane = ? order by address", (self._number(),)
            )
            return {Address.parse(address): time_of(at) for address, at in rows}

    def forget_reverts(self, *subjects: Address | str) -> None:
        """Delete the reverts of objects, or of apps by their slugs. They are no longer contested."""
        with self.journal.transaction() as database:
            number = self._number()
            for subject in subjects:
                column = "app" if isinstance(subject, str) else "address"
                for table in ("heal", "contested"):
                    database.execute(
                        f"delete from {table} where plane = ? and {column} = ?",  # noqa: S608  our own names
                        (number, str(subject)),
                    )

    def basis_of(self, policy: str, manifest: str) -> str:
        """Return a keyed digest of what a rejection depends on: the limits of the guards, and the digest of an app's manifest."""
        return self._seals.digest_of([policy, manifest])

    def store_refusals(self, app: str, refusals: Iterable[StoredRefusal]) -> None:
        """Store what counting guards reject of an app, in place of what they rejected before."""
        with self.journal.transaction() as database:
            number = self._own_number()
            database.execute("delete from refusal where plane = ? and app = ?", (number, app))
            database.executemany(
                "insert into refusal values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        number,
                        app,
                        refusal.guard,
                        str(refusal.address),
                        refusal.verb,
                        refusal.basis,
                        refusal.message,
                        refusal.total,
                        refusal.override,
                    )
                    for refusal in refusals
                ],
            )

    def refusals(self) -> dict[str, tuple[StoredRefusal, ...]]:
        """Return what counting guards reject, by app."""
        found: dict[str, tuple[StoredRefusal, ...]] = {}
        with self._read("what guards rejected") as database:
            for app, address, *rest in database.execute(
                "select app, address, verb, guard, basis, message, total, override from refusal where plane = ? "
                "order by app, address, verb, guard",
                (self._number(),),
            ):
                found[app] = (*found.get(app, ()), StoredRefusal(Address.parse(address), *rest))
        return found
