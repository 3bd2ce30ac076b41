"""What a watch noticed: since when an object differs, how often it was healed, what is contested, and what guards refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from octosync.model import Address
from octosync.state.migrations import time_of, time_text
from octosync.state.part import ControlPlanePart
from octosync.state.seal import SealedValue


class StoredRefusal(NamedTuple):
    """What a counting guard refused of an app, as it was said; `basis` is a keyed digest of what that rests on."""

    address: Address
    verb: str
    guard: str
    basis: str
    message: str
    total: str | None
    override: str | None


class DriftRecord(ControlPlanePart):
    """What was noticed of a control plane's objects."""

    def record_drift(self, app: str, drift: Mapping[Address, str], now: datetime) -> dict[Address, datetime]:
        """Note all of an app's drift, each object with a fingerprint of what it is, and return since when each is seen so.

        An object with another fingerprint than before is seen so since now; what doesn't drift any more is forgotten. A
        fingerprint is kept as a keyed digest, since it may be one of a sensitive value.
        """
        prints = {str(address): self._seals.digest_of(found) for address, found in drift.items()}
        with self._reading(f"since when app `{app}` drifts") as database:
            known = self._rows(database, app)
            seen = {
                address: min(known[address][1], now) if known.get(address, ("",))[0] == found else now
                for address, found in prints.items()
            }
        if {address: (found, seen[address]) for address, found in prints.items()} != known:
            with self.journal.transaction() as database:
                number = self._own_number(database)
                database.execute("delete from drift where plane = ? and app = ?", (number, app))
                database.executemany(
                    "insert into drift values (?, ?, ?, ?, ?)",
                    [(number, address, app, found, time_text(seen[address])) for address, found in prints.items()],
                )
        return {address: seen[str(address)] for address in drift}

    def drift(self) -> dict[str, dict[Address, tuple[SealedValue, datetime]]]:
        """Return by app what was seen to drift: its fingerprint, which equals only the same one, and since when it is seen so."""
        found: dict[str, dict[Address, tuple[SealedValue, datetime]]] = {}
        with self._reading("what drifts") as database:
            for app, address, digest, at in database.execute(
                "select app, address, fingerprint, first_seen from drift where plane = ? order by app, address",
                (self._number(database),),
            ):
                found.setdefault(app, {})[Address.parse(address)] = (SealedValue(digest, self._seals), time_of(at))
        return found

    def record_revert(self, address: Address, at: datetime) -> None:
        """Note that drift of an object was changed back."""
        with self.journal.transaction() as database:
            database.execute(
                "insert into heal values (?, ?, ?, ?)",
                (self._own_number(database), str(address), address.app, time_text(at)),
            )

    def reverts(self, since: datetime) -> dict[Address, tuple[datetime, ...]]:
        """Return when each object was healed since a time, that time included, the earliest first."""
        found: dict[Address, tuple[datetime, ...]] = {}
        with self._reading("what was healed") as database:
            for address, at in database.execute(
                "select address, at from heal where plane = ? and at >= ? order by at, rowid",
                (self._number(database), time_text(since)),
            ):
                of = Address.parse(address)
                found[of] = (*found.get(of, ()), time_of(at))
        return found

    def record_contested(self, address: Address, at: datetime) -> None:
        """Note that an object is contested; where that was noted before, the time stays."""
        with self.journal.transaction() as database:
            database.execute(
                "insert into contested values (?, ?, ?, ?) on conflict do nothing",
                (self._own_number(database), str(address), address.app, time_text(at)),
            )

    def contested(self) -> dict[Address, datetime]:
        """Return the contested objects, each with since when."""
        with self._reading("what is contested") as database:
            rows = database.execute(
                "select address, at from contested where plane = ? order by address", (self._number(database),)
            )
            return {Address.parse(address): time_of(at) for address, at in rows}

    def forget_reverts(self, of: Address | str) -> None:
        """Begin counting anew for an object, or for a whole app by its slug: it is contested no longer."""
        column, value = ("app", of) if isinstance(of, str) else ("address", str(of))
        with self.journal.transaction() as database:
            for table in ("heal", "contested"):
                database.execute(
                    f"delete from {table} where plane = ? and {column} = ?",  # noqa: S608  our own names
                    (self._number(database), value),
                )

    def basis_of(self, policy: str, manifest: str) -> str:
        """Return what a refusal rests on, as a keyed digest: the guards' limits, and the digest of an app's manifest."""
        return self._seals.digest_of([policy, manifest])

    def store_refusals(self, app: str, refusals: Iterable[StoredRefusal]) -> None:
        """Note what counting guards refuse of an app, in place of what they refused before."""
        with self.journal.transaction() as database:
            number = self._own_number(database)
            database.execute("delete from refusal where plane = ? and app = ?", (number, app))
            database.executemany(
                "insert into refusal values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        number,
                        app,
                        one.guard,
                        str(one.address),
                        one.verb,
                        one.basis,
                        one.message,
                        one.total,
                        one.override,
                    )
                    for one in refusals
                ],
            )

    def refusals(self) -> dict[str, tuple[StoredRefusal, ...]]:
        """Return by app what counting guards refused of it."""
        found: dict[str, tuple[StoredRefusal, ...]] = {}
        with self._reading("what guards refused") as database:
            for app, address, *rest in database.execute(
                "select app, address, verb, guard, basis, message, total, override from refusal where plane = ? "
                "order by app, address, verb, guard",
                (self._number(database),),
            ):
                found[app] = (*found.get(app, ()), StoredRefusal(Address.parse(address), *rest))
        return found

    def _rows(self, database: sqlite3.Connection, app: str) -> dict[str, tuple[str, datetime]]:
        rows: Iterable[tuple[str, str, str]] = database.execute(
            "select address, fingerprint, first_seen from drift where plane = ? and app = ? order by address",
            (self._number(database), app),
        )
        return {address: (found, time_of(at)) for address, found, at in rows}
