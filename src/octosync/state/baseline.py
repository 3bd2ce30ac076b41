"""The stored baseline: each app as it was last applied, or found live as declared."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from octosync.model import App, Sensitivity, State
from octosync.state.codec import app_document, app_of, bytes_of, document_of, values_of, with_values
from octosync.state.seal import Seals, holds_plain_secrets, holds_seals, opened_object
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
