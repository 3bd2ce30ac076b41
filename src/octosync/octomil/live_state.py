"""Observe: read the live state of the declared apps, with as few requests as possible, and record what can't be read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TypeAlias, TypeVar

from octosync.errors import CredentialRefused, RemoteError, Unavailable
from octosync.model import (
    App,
    Deployment,
    InferenceConfig,
    JsonObject,
    Observation,
    Section,
    Slot,
    State,
    Target,
    safe_text,
)
from octosync.octomil.client import Octomil, Read, run_concurrently
from octosync.octomil.deployments import count_running_canaries, read_deployments, read_org_deployments_if_cheaper
from octosync.octomil.pagination import ReadResult
from octosync.octomil.resources import (
    read_app,
    read_apps,
    read_inference_config,
    read_slots,
    read_targets,
)

T = TypeVar("T")
Progress: TypeAlias = Callable[[int, int], None]

# Above this many apps, the list is cheaper than one request per app.
MAX_APPS_READ_BY_SLUG = 5

# After this many consecutive reads that failed as unavailable, each after all its attempts, the rest is not tried.
_UNAVAILABLE_IN_A_ROW = 10

# Errors that every request would have: they are raised at once, instead of recorded for each app.
_GLOBAL_ERRORS = frozenset(
    {
        "connect-failed",
        "connect-timed-out",
        "connection-refused",
        "host-unknown",
        "insufficient-scope",
        "missing-org-context",
        "throttled",
        "tls-failed",
        "unknown-route",
    }
)


async def observe(
    client: Octomil,
    desired: State,
    *,
    now: datetime | None = None,
    listed: ReadResult[dict[str, App]] | None = None,
    progress: Progress | None = None,
) -> Observation:
    """Read the declared sections of the declared apps.

    Up to 5 apps are read by slug, more with the list. A declared app that the list omits, or shows without its name or a
    declared field, is read by slug. Of an app that is suspended at `now` (with a zone; default: the current time) only targets
    are read, since another app may need one of them; of an archived app, no children. `listed` is the list, if it was read
    already, perhaps with deployments: then they are among its complete sections. `progress` is called with the number of reads
    that are done and the number that is expected.

    A failed read of one app is in `errors`. Raises `RemoteError` for a failure that affects all apps: a rejected credential,
    no connection, an outage, or an org that isn't the configured one.
    """
    reader = _ObservationReader(client, desired, now or datetime.now(UTC), progress)
    requests_before = client.requests
    if listed is None and len(reader.wanted) > MAX_APPS_READ_BY_SLUG:
        listed = await reader.read_list()
    missing = reader.wanted if listed is None else reader.take(listed)
    reader.expected += len(missing)
    await run_concurrently([partial(reader.read_app, app) for app in missing], client.connection.concurrency)
    if reader.apps:
        await reader.read_org_deployments()
        await run_concurrently(reader.section_reads(), client.connection.concurrency)
    return reader.observation(client.requests - requests_before)


class _ObservationReader:
    """The reads of one observation. Each result has a place of its own, so their order doesn't matter."""

    def __init__(self, client: Octomil, desired: State, now: datetime, progress: Progress | None) -> None:
        self._client = client
        self._desired = desired
        self._declared = frozenset(desired.apps)
        self._now = now
        self.wanted = [desired.apps[slug] for slug in sorted(desired.apps)]
        self.apps: dict[str, App] = {}
        self._targets: dict[str, tuple[Target, ...]] = {}
        self._slots: dict[str, tuple[Slot, ...]] = {}
        self._configs: dict[str, InferenceConfig] = {}
        self._deployments: dict[str, tuple[Deployment, ...]] = {}
        self._canaries: int | RemoteError | None = None
        self._errors: dict[tuple[str, Section | None], RemoteError] = {}
        self._unavailable = 0
        self._read_at: dict[tuple[str, Section | None], float] = {}
        self._unmanaged: tuple[str, ...] | None = None
        self._org: str | None = None
        self._progress = progress
        self._done = 0
        self.expected = 0

    async def read_list(self) -> ReadResult[dict[str, App]]:
        """Read the org's apps."""
        self.expected += 1
        reading = await read_apps(self._client)
        self._advance()
        return reading

    def take(self, reading: ReadResult[dict[str, App]]) -> list[App]:
        """Take the declared apps from the list; return those that it omits or shows incompletely."""
        self._check_orgs(app.server_fields for app in reading.value.values())
        for desired in self.wanted:
            listed = reading.value.get(desired.slug)
            if listed is not None and listed.fields.keys() >= {"name", *desired.fields}:
                self.apps[desired.slug] = listed
                self._read_at[desired.slug, None] = reading.at
                if Section.DEPLOYMENTS in listed.complete_sections & _sections_to_read(desired, self._now):
                    self._deployments[desired.slug] = listed.deployments
                    self._read_at[desired.slug, Section.DEPLOYMENTS] = reading.at
        self._unmanaged = tuple(slug for slug in reading.value if slug not in self._declared)
        return [desired for desired in self.wanted if desired.slug not in self.apps]

    async def read_app(self, desired: App) -> None:
        """Read an app by its slug."""
        reading = read_app(self._client, desired.slug, needed=desired.fields)
        app = await self._read_or_record(desired.slug, None, reading)
        if app is not None:
            self._check_orgs([app.server_fields])
            self.apps[desired.slug] = app

    async def read_org_deployments(self) -> None:
        """Read the deployments of all apps that declare some with the org's list, if that takes fewer requests."""
        wanted = {
            slug: self.apps[slug]
            for slug, section in self._sections()
            if section is Section.DEPLOYMENTS and (slug, section) not in self._read_at
        }
        reading = await read_org_deployments_if_cheaper(self._client, wanted) if wanted else None
        if not isinstance(reading, ReadResult):
            self._canaries = reading
            return
        self._canaries = count_running_canaries(reading.value)
        for slug in wanted:
            self._deployments[slug] = tuple(deployment for deployment in reading.value if deployment.app == slug)
            self._read_at[slug, Section.DEPLOYMENTS] = reading.at

    def section_reads(self) -> list[Read]:
        """Return the reads of the declared sections that are still needed."""
        reads = [self._section_read(*place) for place in self._sections() if place not in self._read_at]
        self.expected += len(reads)
        return reads

    def _sections(self) -> Iterator[tuple[str, Section]]:
        """Yield the declared sections of the apps that exist and are not archived."""
        for desired in self.wanted:
            if desired.slug in self.apps and not self.apps[desired.slug].archived:
                sections = _sections_to_read(desired, self._now)
                yield from ((desired.slug, section) for section in Section if section in sections)

    def _section_read(self, slug: str, section: Section) -> Read:
        read = {
            Section.TARGETS: self._read_targets,
            Section.SLOTS: self._read_slots,
            Section.INFERENCE_CONFIG: self._read_inference_config,
            Section.DEPLOYMENTS: self._read_deployments,
        }[section]
        return partial(read, slug)

    async def _read_targets(self, slug: str) -> None:
        targets = await self._read_or_record(slug, Section.TARGETS, read_targets(self._client, slug))
        if targets is not None:
            self._check_orgs(target.server_fields for target in targets)
            self._targets[slug] = targets

    async def _read_slots(self, slug: str) -> None:
        slots = await self._read_or_record(slug, Section.SLOTS, read_slots(self._client, slug))
        if slots is not None:
            self._check_orgs(slot.server_fields for slot in slots)
            self._slots[slug] = slots

    async def _read_inference_config(self, slug: str) -> None:
        config = await self._read_or_record(slug, Section.INFERENCE_CONFIG, read_inference_config(self._client, slug))
        if config is not None:
            self._configs[slug] = config

    async def _read_deployments(self, slug: str) -> None:
        placements = self._desired.apps[slug].placements
        reading = read_deployments(self._client, slug, needed=placements)
        deployments = await self._read_or_record(slug, Section.DEPLOYMENTS, reading)
        if deployments is not None:
            self._deployments[slug] = deployments

    async def _read_or_record(self, slug: str, section: Section | None, reading: Awaitable[ReadResult[T]]) -> T | None:
        """Await a read; keep an error of this app, raise an error that every read would have."""
        try:
            result = await reading
        except RemoteError as error:
            if isinstance(error, CredentialRefused) or error.reference in _GLOBAL_ERRORS:
                raise
            self._unavailable = self._unavailable + 1 if isinstance(error, Unavailable) else 0
            if self._unavailable >= _UNAVAILABLE_IN_A_ROW:
                raise  # an outage costs a few requests, not all of them with all their attempts
            self._errors[slug, section] = error
            self._advance()
            return None
        self._unavailable = 0
        self._advance()
        self._read_at[slug, section] = result.at
        return result.value

    def _check_orgs(self, server_field_sets: Iterable[JsonObject]) -> None:
        """Raise `RemoteError` if responses name another org than the configured one, or two orgs."""
        configured = self._client.connection.org
        for named in (server_fields.get("org_id") for server_fields in server_field_sets):
            if not isinstance(named, str) or named == self._org:
                continue
            if configured is not None and named != configured:
                raise RemoteError(
                    "wrong-org",
                    f"the control plane returned objects of the org {safe_text(named)}, but {configured} is configured",
                    hints=("Check --org or OCTOMIL_ORG_ID, and that the API key is that org's.",),
                )
            if self._org is not None:
                first, second = sorted((safe_text(named), safe_text(self._org)))
                raise RemoteError(
                    "mixed-orgs",
                    f"the control plane returned objects of two orgs, {first} and {second}",
                    hints=("Select one with --org or OCTOMIL_ORG_ID.",),
                )
            self._org = named

    def observation(self, requests: int) -> Observation:
        """Return the observation. Raises the first error if the control plane was unavailable for every app."""
        errors = {slug: self._errors[slug, section] for slug, section in sorted(self._errors, key=_order, reverse=True)}
        failed = [errors[slug] for slug in sorted(errors)]
        if failed and len(failed) == len(self.wanted) and all(isinstance(error, Unavailable) for error in failed):
            raise failed[0]
        return Observation(
            state=State.from_apps(*(self._complete(app) for slug, app in self.apps.items() if slug not in errors)),
            errors=dict(sorted(errors.items())),
            unmanaged=self._unmanaged,
            org_id=self._org,
            read_at={key: self._read_at[key] for key in sorted(self._read_at, key=_order)},
            requests=requests,
            canaries=self._canaries,
        )

    def _complete(self, app: App) -> App:
        """Return the app with the sections that were read."""
        slug = app.slug
        return replace(
            app,
            complete_sections=frozenset(section for section in Section if (slug, section) in self._read_at),
            targets=self._targets.get(slug, ()),
            slots=self._slots.get(slug, ()),
            inference_config=self._configs.get(slug),
            deployments=self._deployments.get(slug, ()),
        )

    def _advance(self) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self.expected)


def _sections_to_read(app: App, now: datetime) -> frozenset[Section]:
    if app.suspension is not None and app.suspension.is_active(now):
        return app.sections & {Section.TARGETS}
    return app.sections


def _order(key: tuple[str, Section | None]) -> tuple[str, int]:
    """Return the sort key: by app, its fields before its sections, these in the order of their definition."""
    slug, section = key
    return (slug, -1 if section is None else list(Section).index(section))
