"""Status: find apps by slug or glob, and read the live status of each with at most 7 requests.

Presence: which declared apps exist, from the org's list, and for an app that it doesn't show, by its slug.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from octosync.errors import CredentialRefused, RemoteError
from octosync.model import App, AppOverview, AppStatus, Deployment, Event, OrgPresence, Presence, Section, Slot
from octosync.octomil.activity import read_app_events, read_org_events
from octosync.octomil.client import Octomil, Read, run_concurrently
from octosync.octomil.deployments import (
    read_deployments_page,
    read_first_request,
    read_health,
    read_org_deployments,
    read_org_deployments_if_cheaper,
    read_routing_stats,
)
from octosync.octomil.live_state import MAX_APPS_READ_BY_SLUG
from octosync.octomil.pagination import ReadResult
from octosync.octomil.resources import read_app, read_apps, read_slots_page

T = TypeVar("T")
Progress = Callable[[int, int], None]

# With this many apps or more, the org's feed, which takes one request, may save several.
_WORTH_THE_ORG_FEED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundApps:
    """The apps that match patterns, by slug in slug order: each app, or the error of its read.

    `listed` are the slugs of the org's list, None if it was not read; `unmatched` the patterns that match no app.
    """

    apps: Mapping[str, App | RemoteError]
    listed: tuple[str, ...] | None
    unmatched: tuple[str, ...] = ()


def is_glob(pattern: str) -> bool:
    """Return whether a pattern can match more than one slug."""
    return any(sign in pattern for sign in "*?[")


async def find_apps(client: Octomil, patterns: Sequence[str] = (), *, archived: bool = False) -> FoundApps:
    """Find the apps that match slugs and globs, or all apps; archived ones only by slug, or with `archived`.

    A few slugs are read one by one, without the list. Raises `RemoteError` if the list can't be read, and for errors that
    every request would have.
    """
    names = sorted({pattern for pattern in patterns if not is_glob(pattern)})
    globs = sorted({pattern for pattern in patterns if is_glob(pattern)}) or ([] if patterns else ["*"])
    found: dict[str, App | RemoteError] = {}
    listed = None
    unmatched = []
    if globs or len(names) > MAX_APPS_READ_BY_SLUG:
        listed = (await read_apps(client, archived=archived)).value
        for pattern in (*globs, *names):
            matching = {slug: app for slug, app in listed.items() if fnmatchcase(slug, pattern)}
            found |= matching
            if not matching and pattern in globs and patterns:
                unmatched.append(pattern)

    def reading(slug: str) -> Read:
        async def read() -> None:
            app = await _result_or_error(read_app(client, slug))
            if isinstance(app, RemoteError):
                if app.status is None:  # no response: further requests are pointless
                    raise app
                found[slug] = app
            elif app.value is None:
                unmatched.append(slug)
            else:
                found[slug] = app.value

        return read

    await run_concurrently((reading(slug) for slug in names if slug not in found), client.connection.concurrency)
    return FoundApps(
        apps=dict(sorted(found.items())),
        listed=None if listed is None else tuple(listed),
        unmatched=tuple(sorted(unmatched)),
    )


async def read_statuses(
    client: Octomil, found: FoundApps, *, progress: Progress | None = None
) -> tuple[AppStatus, ...]:
    """Read the status of each app: at most six requests per app, and fewer if lists of the org contain it.

    Of lists, one page is read. `progress` is called with the number of reads that are done and the number that is expected.
    Raises `CredentialRefused`, and an error that every read of every app had.
    """
    reader = _StatusReader(client, found.apps, progress)
    if found.listed is not None:
        await reader.read_org_lists()
    reads = reader.reads()
    if progress is not None:
        progress(0, len(reads))
    await run_concurrently(reads, client.connection.concurrency)
    statuses = reader.statuses()
    _raise_common_error(statuses)
    return statuses


async def read_overviews(client: Octomil, found: FoundApps) -> tuple[AppOverview, ...]:
    """Return what lists of the org contain about each app: all deployments, and the newest page of the activity feed.

    The number of requests depends on the pages of these lists, not on the number of apps. Raises `CredentialRefused`.
    """
    apps = {slug: app for slug, app in found.apps.items() if isinstance(app, App)}
    slugs = {str(app.server_fields["id"]): slug for slug, app in apps.items() if "id" in app.server_fields}
    listing = await _result_or_error(read_org_deployments(client, slugs, worth=lambda _: True))
    page = await _result_or_error(read_org_events(client))
    deployed: dict[str, list[Deployment]] = {slug: [] for slug in found.apps}
    if listing is not None and not isinstance(listing, RemoteError):
        for deployment in listing.value:
            deployed.get(deployment.app, []).append(deployment)
    changes: dict[str, Event] = {}
    for event in () if isinstance(page, RemoteError) else page.events:  # newest first
        changes.setdefault(event.app or slugs.get(event.app_id or "", ""), event)
    return tuple(
        AppOverview(
            slug=slug,
            app=app,
            deployments=listing if isinstance(listing, RemoteError) else tuple(deployed[slug]),
            last_change=page if isinstance(page, RemoteError) else changes.get(slug),
        )
        for slug, app in found.apps.items()
    )


@dataclass(slots=True)
class _StatusReader:
    """The reads of one status. Each part of each app has a place of its own, so their order doesn't matter."""

    client: Octomil
    apps: Mapping[str, App | RemoteError]
    progress: Progress | None
    parts: dict[tuple[str, str], Any] = field(default_factory=dict)
    cut: dict[str, set[Section]] = field(default_factory=dict)
    _done: int = 0
    _expected: int = 0

    async def read_org_lists(self) -> None:
        """Read what lists of the whole org contain about the apps, if that takes fewer requests."""
        apps = {slug: app for slug, app in self.apps.items() if isinstance(app, App)}
        reading = await read_org_deployments_if_cheaper(self.client, apps)
        if isinstance(reading, ReadResult):
            found: dict[str, list[Deployment]] = {slug: [] for slug in apps}
            for deployment in reading.value:
                found.get(deployment.app, []).append(deployment)
            self.parts |= {(slug, "deployments"): tuple(deployments) for slug, deployments in found.items()}
        if len(apps) >= _WORTH_THE_ORG_FEED:
            page = await _result_or_error(read_org_events(self.client))
            by_id = {str(app.server_fields["id"]): slug for slug, app in apps.items() if "id" in app.server_fields}
            # Newest first, so an app's first event is its last change; for apps without one, their own feed is read.
            for event in () if isinstance(page, RemoteError) else page.events:
                slug = event.app or by_id.get(event.app_id or "", "")
                if slug in apps:
                    self.parts.setdefault((slug, "last_change"), event)

    def reads(self) -> list[Read]:
        """Return the reads that are still needed."""
        client = self.client
        makers: Mapping[str, Callable[[str], Awaitable[Any]]] = {
            "slots": self._slots,
            "deployments": self._deployments,
            "health": lambda slug: read_health(client, slug),
            "first_request": lambda slug: read_first_request(client, slug),
            "routing": lambda slug: read_routing_stats(client, slug),
            "last_change": self._last_change,
        }
        wanted = [(slug, part) for slug in self.apps for part in makers if (slug, part) not in self.parts]
        self._expected = len(wanted)
        return [self._reading(slug, part, makers[part]) for slug, part in wanted]

    def statuses(self) -> tuple[AppStatus, ...]:
        """Return the status of each app."""
        parts: dict[str, dict[str, Any]] = {slug: {} for slug in self.apps}
        for (slug, name), part in self.parts.items():
            parts[slug][name] = part
        return tuple(
            AppStatus(slug=slug, app=app, cut=frozenset(self.cut.get(slug, ())), **parts[slug])
            for slug, app in self.apps.items()
        )

    def _reading(self, slug: str, part: str, make: Callable[[str], Awaitable[Any]]) -> Read:
        async def read() -> None:
            self.parts[slug, part] = await _result_or_error(make(slug))
            self._done += 1
            if self.progress is not None:
                self.progress(self._done, self._expected)

        return read

    async def _slots(self, slug: str) -> tuple[Slot, ...]:
        slots, whole = await read_slots_page(self.client, slug)
        return self._record(slug, Section.SLOTS, slots, whole=whole)

    async def _deployments(self, slug: str) -> tuple[Deployment, ...]:
        deployments, whole = await read_deployments_page(self.client, slug)
        return self._record(slug, Section.DEPLOYMENTS, deployments, whole=whole)

    async def _last_change(self, slug: str) -> Event | None:
        page = await read_app_events(self.client, slug, limit=1)
        return page.events[0] if page.events else None

    def _record(self, slug: str, section: Section, value: T, *, whole: bool) -> T:
        if not whole:
            self.cut.setdefault(slug, set()).add(section)
        return value


async def _result_or_error(reading: Awaitable[T]) -> T | RemoteError:
    """Return a result, or the error of the read. Raises `CredentialRefused`, which every request would have."""
    try:
        return await reading
    except CredentialRefused:
        raise
    except RemoteError as error:
        return error


def _raise_common_error(statuses: Iterable[AppStatus]) -> None:
    """Raise the error of all reads, if nothing could be read and the error was the same."""
    every = tuple(statuses)
    errors = [error for status in every for error in status.errors.values()]
    if (
        every
        and all(status.is_unread for status in every)
        and len({(type(e), e.reference, e.hints) for e in errors}) == 1
    ):
        raise errors[0]


async def read_presence(
    client: Octomil, declared: Iterable[str], *, progress: Callable[[int, int], None] | None = None
) -> OrgPresence:
    """Read which apps exist, and whether the declared ones are live, archived or absent.

    The list hides archived apps, so a declared app that it doesn't show is read by its slug. `progress` is called with the
    number of those reads that are done, and their total. Raises `RemoteError` if the list can't be read, and
    `CredentialRefused`.
    """
    before = client.requests
    listed = (await read_apps(client)).value
    presences = {slug: Presence.LIVE for slug in declared if slug in listed}
    missing = sorted(slug for slug in declared if slug not in listed)
    errors: dict[str, RemoteError] = {}
    there = len(presences)
    org = _org_of(listed.values())

    def reading(slug: str) -> Read:
        async def read() -> None:
            try:
                app = (await read_app(client, slug)).value
            except CredentialRefused:
                raise
            except RemoteError as error:
                errors[slug], presences[slug] = error, Presence.UNKNOWN
            else:
                found = Presence.LIVE if app is not None else Presence.ABSENT
                presences[slug] = Presence.ARCHIVED if app is not None and app.archived else found
            if progress is not None:
                progress(len(presences) - there, len(missing))

        return read

    await run_concurrently([reading(slug) for slug in missing], client.connection.concurrency)
    live = {*listed, *(slug for slug, presence in presences.items() if presence is Presence.LIVE)}
    return OrgPresence(
        live=tuple(sorted(live)),
        presences=dict(sorted(presences.items())),
        errors=dict(sorted(errors.items())),
        org_id=org,
        requests=client.requests - before,
    )


def _org_of(apps: Iterable[App]) -> str | None:
    return next((str(app.server_fields["org_id"]) for app in apps if app.server_fields.get("org_id")), None)
