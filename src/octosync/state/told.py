"""What a watch has told its receivers, so that a restart doesn't tell it again."""

from __future__ import annotations

from octosync.state.part import ControlPlanePart
from octosync.state.seal import Sealed


class Told(ControlPlanePart):
    """The fact that was last told about each thing of an app; "" is the app of what is about none."""

    def told(self) -> dict[tuple[str, str], Sealed]:
        """Return the facts by app and thing; each equals only the text that was told."""
        with self._reading("what was told") as database:
            rows = database.execute(
                "select app, about, fact from told where plane = ? order by app, about", (self._number(database),)
            )
            return {(app, about): Sealed(fact, self._seals) for app, about, fact in rows}

    def tell(self, app: str, about: str, fact: str) -> None:
        """Note that a fact was told, in the place of an earlier one about the same thing.

        It is kept as a keyed digest, since it may be one of a sensitive value.
        """
        with self.journal.transaction() as database:
            database.execute(
                "insert into told values (?, ?, ?, ?) on conflict do update set fact = excluded.fact",
                (self._own_number(database), app, about, self._seals.digest_of(fact)),
            )

    def untell(self, app: str, about: str) -> None:
        """Note that it isn't so any more: when it is again, it is news."""
        with self.journal.transaction() as database:
            database.execute(
                "delete from told where plane = ? and app = ? and about = ?",
                (self._number(database), app, about),
            )
