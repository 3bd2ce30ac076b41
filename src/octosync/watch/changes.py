"""Changes: all apps that one commit touched, judged as one by the guards that count, though they are applied one by one.

A change lives until each of its apps was looked at and nothing that it removes is left to be done: so a refusal stays one,
however often its apps are read again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

from octosync.plan import Plan, Tally


@dataclass(slots=True)
class Change:
    """One change: the apps that it touched, which of them are still to be looked at, and what each would remove."""

    apps: set[str]
    unread: set[str]
    tallies: dict[str, Tally] = field(default_factory=dict)

    @property
    def is_read(self) -> bool:
        """Whether all of its apps were looked at, so that its removals can be judged."""
        return not self.unread

    def tally(self, but: Collection[str]) -> Tally:
        """Add up what the other apps of this change come to."""
        return sum((tally for slug, tally in self.tallies.items() if slug not in but), Tally())


class Changes:
    """The changes that are not done yet. An app is in one at most: the latest that touched it."""

    def __init__(self) -> None:
        self._of: dict[str, Change] = {}

    def begin(self, apps: Iterable[str]) -> None:
        """Begin a change that touches apps."""
        slugs = set(apps)
        self.leave(slugs)
        change = Change(slugs, set(slugs))
        self._of.update(dict.fromkeys(slugs, change))

    def leave(self, apps: Iterable[str]) -> None:
        """Take apps out of the changes that they are in: they are gone, or in a later one."""
        for slug in apps:
            change = self._of.pop(slug, None)
            if change is not None:
                change.apps.discard(slug)
                change.unread.discard(slug)
                change.tallies.pop(slug, None)

    def of(self, slug: str) -> Change | None:
        """Return the change that an app is in."""
        return self._of.get(slug)

    def looked(self, apps: Collection[str], plan: Plan) -> frozenset[str]:
        """Note what a turn of apps plans; return the apps that waited for these to be read, since now all are."""
        freed: set[str] = set()
        first, *others = sorted(apps)
        for slug in (first, *others):
            change = self._of.get(slug)
            if change is None:
                continue
            # What is planned for apps together is counted once, with the first of them.
            change.tallies[slug] = Tally.of(plan) if slug == first else Tally()
            was_read = change.is_read
            change.unread.discard(slug)
            if change.is_read and not was_read:
                freed.update(one for one, tally in change.tallies.items() if _removes(tally))
        return frozenset(freed - set(apps))

    def settled(self, apps: Collection[str], left: Plan) -> None:
        """Note what is left to be removed after a turn of apps, and let a change go that is done."""
        first = min(apps)
        for slug in apps:
            change = self._of.get(slug)
            if change is None:
                continue
            left_over = Tally.of(left) if slug == first else Tally()
            # What was there when it was judged stays what a share is of: what is removed by now counts as removed lately.
            change.tallies[slug] = replace(left_over, there=change.tallies[slug].there)
            if change.is_read and not any(map(_removes, change.tallies.values())):
                for one in change.apps:
                    self._of.pop(one, None)


def _removes(tally: Tally) -> bool:
    return bool(tally.archives or any(tally.removals.values()))
