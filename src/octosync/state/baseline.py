"""The stored baseline and drift.

The baseline is each app as it was last applied, or found live as declared. Of drift, it is stored when it began, how often it was
reverted, which objects are contested, and what guards reject.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple, TypeAlias

from octosync.model import Address, App, Sensitivity, State
from octosync.state.codec import app_document, app_of, bytes_of, document_of, values_of, with_values
from octosync.state.journal import time_of, time_text
from octosync.state.seal import SealedValue, Seals, holds_plain_secrets, holds_seals, opened_object
from octosync.state.tables import ControlPlaneTable

_NOTHING: Final = State()
_PAGE: Final = 200


class StoredBaseline(ControlPlaneTable):
    """The baseline of one control plane."""

    def baseline(self, tree: State = _NOTHING, sensitivity: Sensitivity | None = None) -> dict[str, App]:
        """Return the stored apps by slug, in slug order.

        Sensitive values are not stored. If the tree has the same value at the same path, it is returned; otherwise a
        `SealedValue`, which equals that value and nothing else. A value that became sensitive after it was stored is sealed
        now. Raises `OctosyncError` (`state-unreadable`) for a row that is not as it was written.
        """
        sensitivity = sensitivity or Sensitivity()
        apps = {slug: self._app(slug, document) for slug, document in self._documents()}
        exposed = [
            app for app in apps.values() if any(holds_plain_secrets(value, sensitivity) for value in values_of(app))
        ]
        if exposed:
            self._seal_again(exposed, sensitivity)
        return {slug: _opened(app, tree.apps.get(slug)) for slug, app in apps.items()}

    def _documents(self) -> Iterator[tuple[str, bytes]]:
        """Yield the stored documents, in slug order. A page of them takes a distant database less time than a statement may."""
        after = ""
        while True:
            with self._read("the baseline") as database:
                rows = database.execute(
                    "select app, document from base where plane = ? and app > ? order by app limit ?",
                    (self._number(), after, _PAGE),
                ).fetchall()
            yield from rows
            if len(rows) < _PAGE:
                return
            after = rows[-1][0]

    def store(self, app: App, sensitivity: Sensitivity | None = None) -> None:
        """Store an app as it is declared, in place of the app that was stored."""
        document = bytes_of(app_document(app, partial(self._seals.seal, sensitivity=sensitivity or Sensitivity())))
        if not self.journal.collects_facts and self._is_stored(app.slug, document):
            return  # an app that is stored again without a change costs no write
        with self.journal.transaction() as database:
            database.execute(
                "insert into base values (?, ?, ?) on conflict (plane, app) do update set document = excluded.document",
                (self._own_number(), app.slug, document),
            )

    def _is_stored(self, slug: str, document: bytes) -> bool:
        with self.journal.documented():
            database = self.journal.database
            known = database.execute(
                "select document = ? from base where plane = ? and app = ?", (document, self._number(), slug)
            ).fetchone()
        return known is not None and bool(known[0])

    def forget(self, slug: str) -> None:
        """Delete the baseline, the drift and the reverts of an app."""
        with self.journal.transaction() as database:
            values = (self._number(), slug)
            for table in ("base", "drift", "heal", "contested"):
                database.execute(f"delete from {table} where plane = ? and app = ?", values)  # noqa: S608  our own names

    def is_complete(self) -> bool:
        """Return whether every declared app was read once. Before that, nothing counts as removed."""
        with self.journal.documented():
            found = self.journal.database.execute("select whole from plane where id = ?", (self._number(),)).fetchone()
        return found is not None and bool(found[0])

    def set_complete(self, whole: bool = True) -> None:
        """Record whether every declared app was read."""
        with self.journal.transaction() as database:
            database.execute("update plane set whole = ? where id = ?", (int(whole), self._own_number()))

    def scope(self) -> str | None:
        """Return which manifests and apps are watched, None if that was not stored."""
        with self._read("the scope of the manifests") as database:
            row = database.execute("select scope from plane where id = ?", (self._number(),)).fetchone()
            return None if row is None or row[0] is None else str(row[0])

    def set_scope(self, scope: str) -> None:
        """Store which manifests and apps are watched."""
        with self.journal.transaction() as database:
            database.execute("update plane set scope = ? where id = ?", (scope, self._own_number()))

    def _app(self, slug: str, document: bytes) -> App:
        with self._read(f"the baseline of app `{slug}`"):
            return stored_app(slug, document, self._seals)

    def _seal_again(self, apps: list[App], sensitivity: Sensitivity) -> None:
        for app in apps:
            self.store(app, sensitivity)
        with self.journal.documented():
            self.journal.database.overwrite_deleted()


def stored_app(slug: str, document: bytes, seals: Seals) -> App:
    """Return the app of a row, with a `SealedValue` for each value that was not stored. Raises as `app_of` does."""
    app = app_of(document_of(document), seals.unseal)
    if app.slug != slug:
        raise ValueError("it is another app")
    return app


def _opened(app: App, there: App | None) -> App:
    if there is None or not any(map(holds_seals, values_of(app))):
        return app
    return with_values(app, there, opened_object)


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
