"""How much of an org manifests cover, as text and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from octosync.errors import RemoteError
from octosync.model import DeclaredApp, JsonObject, JsonValue, Presence, counted
from octosync.plan import FORMAT_VERSION, ControlPlane, control_plane_part, utc_text
from octosync.report.errors import error_lines
from octosync.report.show.status_json import error_document
from octosync.report.text import Style, cells, listed, padded, plane_words, share_of, text_of, visible

_SHOWN: Final = 5  # apps of a kind, unless all are asked for
_LINES: Final = {
    Presence.LIVE: "declared and live",
    Presence.ARCHIVED: "declared and archived",
    Presence.ABSENT: "declared and not live",
    Presence.UNKNOWN: "declared and not read",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestCoverage:
    """What manifests declare of an org. `live` are the slugs of its apps, archived ones aside, declared or not.

    `by` is what the declared apps are grouped by, None for nothing; `paths`, `files` and `documented` (apps) are the
    manifests', `errors` why an app's presence is not known.
    """

    control_plane: ControlPlane
    paths: tuple[str, ...]
    files: int
    live: tuple[str, ...]
    declared: tuple[DeclaredApp, ...]
    errors: Mapping[str, RemoteError]
    requests: int
    by: str | None = None

    @property
    def undeclared(self) -> tuple[str, ...]:
        """The apps that are live and not declared, by slug."""
        known = {one.slug for one in self.declared}
        return tuple(slug for slug in self.live if slug not in known)

    @property
    def declared_live(self) -> int:
        """How many declared apps are live."""
        return self.count(Presence.LIVE)

    def count(self, presence: Presence) -> int:
        """Count the declared apps that are there in this way."""
        return sum(one.presence is presence for one in self.declared)

    @property
    def groups(self) -> Mapping[str | None, tuple[DeclaredApp, ...]]:
        """The declared apps by their group, in the order of the names; last those that have none."""
        names = sorted({one.group for one in self.declared}, key=lambda name: (name is None, name or ""))
        return {name: tuple(one for one in self.declared if one.group == name) for name in names}


def render_declared(extent: ManifestCoverage, *, colour: bool, blocks: bool = True, full: bool = False) -> str:
    """Render how much is declared. `full` names every app; `blocks` False draws bars in ASCII."""
    style = Style(colour, blocks)
    loaded = f"{counted(len(extent.declared), 'app')} in {counted(extent.files, 'file')}"
    head = (
        style.bold("octosync status --declared"),
        plane_words(extent.control_plane),
        f"{visible(listed(extent.paths, at_most=3))} {loaded}".lstrip(),
    )
    blocks_of_lines = [
        [" · ".join(head)],
        *(list(error_lines(error, style, about=slug)) for slug, error in extent.errors.items()),
        [_covered(extent, style)],
        list(_counts(extent, full=full)),
        list(_groups(extent, style)),
        [f"Read with {counted(extent.requests, 'request')}."],
    ]
    return text_of(line for block in blocks_of_lines if block for line in ("", *block))[1:]


def _covered(extent: ManifestCoverage, style: Style) -> str:
    share, every = share_of(extent.declared_live, len(extent.live)), counted(len(extent.live), "live app")
    gauge = f"{style.gauge(share)}  " if share is not None else ""
    return f"{gauge}{style.bold(f'{extent.declared_live:,} of {every}')} declared"


def _counts(extent: ManifestCoverage, *, full: bool) -> Iterator[str]:
    """Yield how many apps are there and how, and which, where somebody may want to know."""
    rows = [(extent.count(presence), words, _named(extent, presence)) for presence, words in _LINES.items()]
    rows.append((len(extent.undeclared), "not declared", extent.undeclared))
    width = max(len(f"{count:,}") for count, _, _ in rows)
    for count, words, named in rows:
        if count:
            cut = listed(map(visible, named), at_most=len(named) if full else _SHOWN)
            more = " (--full lists them)" if not full and len(named) > _SHOWN else ""
            yield f"  {count:>{width},} {words}{f': {cut}{more}' if named else ''}"
    if in_part := [one.slug for one in extent.declared if one.in_part]:
        cut = listed(map(visible, in_part), at_most=len(in_part) if full else _SHOWN)
        yield f"  {len(in_part):>{width},} of the declared only in part, without an App document: {cut}"


def _named(extent: ManifestCoverage, presence: Presence) -> tuple[str, ...]:
    if presence is Presence.LIVE:
        return ()
    return tuple(one.slug for one in extent.declared if one.presence is presence)


def _groups(extent: ManifestCoverage, style: Style) -> Iterator[str]:
    """Yield the declared apps by label or folder, and how much of the org each group is."""
    if extent.by is None or not extent.declared:
        return
    title = visible(extent.by).upper() if extent.by == "folder" else f"LABEL {visible(extent.by.partition(':')[2])}"
    names = {name: "(none)" if name is None else visible(name) for name in extent.groups}
    width = max(cells(title), *map(cells, names.values()))
    yield style.dim(f"  {padded(title, width)}  DECLARED   LIVE  OF THE ORG")
    for name, apps in extent.groups.items():
        live = sum(app.presence is Presence.LIVE for app in apps)
        gauge = style.gauge(share_of(live, len(extent.live)))
        yield f"  {padded(names[name], width)}  {len(apps):>8,}  {live:>5,}  {gauge}"


def declared_document(extent: ManifestCoverage, *, timestamp: datetime) -> JsonObject:
    """Return the same as JSON; what could not be read is `unknown`, and `errors` says why."""
    return {
        "format_version": FORMAT_VERSION,
        "timestamp": utc_text(timestamp),
        "control_plane": control_plane_part(extent.control_plane).as_json(),
        "manifests": {"paths": list(extent.paths), "files": extent.files, "apps": len(extent.declared)},
        "errored": bool(extent.errors),
        "summary": {
            "live": len(extent.live),
            "declared": len(extent.declared),
            **_by_presence(extent.declared),
            "declared_in_part": sum(one.in_part for one in extent.declared),
            "undeclared": len(extent.undeclared),
            "declared_share": share_of(extent.declared_live, len(extent.live)),
        },
        "by": extent.by,
        "groups": [] if extent.by is None else _group_documents(extent),
        "declared": [
            {"slug": one.slug, "presence": one.presence.value, "in_part": one.in_part, "group": one.group}
            for one in extent.declared
        ],
        "undeclared": list(extent.undeclared),
        "errors": [{"slug": slug, **error_document(error)} for slug, error in extent.errors.items()],
        "cost": {"requests_used": extent.requests},
    }


def _by_presence(apps: Sequence[DeclaredApp]) -> JsonObject:
    counts = Counter(app.presence for app in apps)
    return {f"declared_{presence.value}": counts[presence] for presence in Presence}


def _group_documents(extent: ManifestCoverage) -> list[JsonValue]:
    live = len(extent.live)
    return [
        {
            "group": name,
            "declared": len(apps),
            **_by_presence(apps),
            "share_of_org": share_of(sum(app.presence is Presence.LIVE for app in apps), live),
        }
        for name, apps in extent.groups.items()
    ]
