"""Presence: the org's apps in one list, and by their slug the declared ones that it does not show."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from octosync.errors import CredentialRefused, RemoteError
from octosync.model import App, OrgPresence, Presence
from octosync.octomil.client import Octomil
from octosync.octomil.resources import app_reading, apps_reading
from octosync.octomil.spreading import Read, spread


async def read_presence(
    client: Octomil, declared: Iterable[str], *, progress: Callable[[int, int], None] | None = None
) -> OrgPresence:
    """Read which apps there are, and how the declared ones are: live, archived or absent.

    The list hides archived apps, so a declared one that it doesn't show is read by itself. `progress` is told how many of
    those are read, and how many there are. Raises `RemoteError` for a list that can't be read, and `CredentialRefused`.
    """
    before = client.requests
    listed = (await apps_reading(client)).value
    presences = {slug: Presence.LIVE for slug in declared if slug in listed}
    missing = sorted(slug for slug in declared if slug not in listed)
    errors: dict[str, RemoteError] = {}
    there = len(presences)
    org = _org_of(listed.values())

    def reading(slug: str) -> Read:
        async def read() -> None:
            try:
                app = (await app_reading(client, slug)).value
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

    await spread([reading(slug) for slug in missing], client.connection.concurrency)
    live = {*listed, *(slug for slug, presence in presences.items() if presence is Presence.LIVE)}
    return OrgPresence(
        live=tuple(sorted(live)),
        presences=dict(sorted(presences.items())),
        errors=dict(sorted(errors.items())),
        org_id=org,
        requests=client.requests - before,
    )


def _org_of(apps: Iterable[App]) -> str | None:
    return next((str(app.identity["org_id"]) for app in apps if app.identity.get("org_id")), None)
