"""The share of an org's live apps that manifests declare, as text and as JSON (`octosync status --declared`)."""

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

_SHOWN: Final = 5  # apps per line, unless the report is full
_LINES: Final = {
    Presence.LIVE: "declared and live",
    Presence.ARCHIVED: "declared and archived",
    Presence.ABSENT: "declared and not live",
    Presence.UNKNOWN: "declared and not read",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestCoverage:
    """The apps of an org that manifests declare. `live` are the slugs of all its apps that are not archived.

    `by` is the label or folder by which declared apps are grouped, if any; `paths` and `files` are those of the manifests;
    `errors` has the reason for each app whose presence is unknown.
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
        """The slugs of live apps that are not declared."""
        known = {app.slug for app in self.declared}
        return tuple(slug for slug in self.live if slug not in known)

    @property
    def declared_live(self) -> int:
        """The number of declared apps that are live."""
        return self.count(Presence.LIVE)

    def count(self, presence: Presence) -> int:
        """Return the number of declared apps with this presence."""
        return sum(app.presence is presence for app in self.declared)

    @property
    def groups(self) -> Mapping[str | None, tuple[DeclaredApp, ...]]:
        """The declared apps by group, in the order of the names; apps without a group come last."""
        names = sorted({app.group for app in self.declared}, key=lambda name: (name is None, name or ""))
        return {name: tuple(app for app in self.declared if app.group == name) for name in names}


def render_declared(coverage: ManifestCoverage, *, colour: bool, blocks: bool = True, full: bool = False) -> str:
    """Render the share of declared apps. `full` lists every app; without `blocks`, bars are in ASCII."""
    style = Style(colour, blocks)
    loaded = f"{counted(len(coverage.declared), 'app')} in {counted(coverage.files, 'file')}"
    head = (
        style.bold("octosync status --declared"),
        plane_words(coverage.control_plane),
        ": ".join(filter(None, (visible(listed(coverage.paths, at_most=3)), loaded))),
    )
    blocks_of_lines = [
        [" · ".join(head)],
        *(list(error_lines(error, style, about=slug)) for slug, error in coverage.errors.items()),
        [_covered(coverage, style)],
        list(_counts(coverage, full=full)),
        list(_groups(coverage, style)),
        [f"Read with {counted(coverage.requests, 'request')}."],
    ]
    return text_of(line for block in blocks_of_lines if block for line in ("", *block))[1:]


def _covered(coverage: ManifestCoverage, style: Style) -> str:
    share, total = share_of(coverage.declared_live, len(coverage.live)), counted(len(coverage.live), "live app")
    gauge = f"{style.gauge(share)}  " if share is not None else ""
    return f"{gauge}{style.bold(f'{coverage.declared_live:,} of {total}')} declared"


def _counts(coverage: ManifestCoverage, *, full: bool) -> Iterator[str]:
    """Yield the number of apps by presence, and the names of those that are not live."""
    rows = [(coverage.count(presence), words, _named(coverage, presence)) for presence, words in _LINES.items()]
    rows.append((len(coverage.undeclared), "not declared", coverage.undeclared))
    width = max(len(f"{count:,}") for count, _, _ in rows)
    for count, words, named in rows:
        if count:
            cut = listed(map(visible, named), at_most=len(named) if full else _SHOWN)
            more = " (--full lists them)" if not full and len(named) > _SHOWN else ""
            yield f"  {count:>{width},} {words}{f': {cut}{more}' if named else ''}"
    if in_part := [app.slug for app in coverage.declared if app.in_part]:
        cut = listed(map(visible, in_part), at_most=len(in_part) if full else _SHOWN)
        yield f"  {len(in_part):>{width},} of the declared apps only in part, without an App document: {cut}"


def _named(coverage: ManifestCoverage, presence: Presence) -> tuple[str, ...]:
    if presence is Presence.LIVE:
        return ()
    return tuple(app.slug for app in coverage.declared if app.presence is presence)


def _groups(coverage: ManifestCoverage, style: Style) -> Iterator[str]:
    """Yield the declared apps by label or folder, and the share of each group in the org."""
    if coverage.by is None or not coverage.declared:
        return
    title = (
        visible(coverage.by).upper() if coverage.by == "folder" else f"LABEL {visible(coverage.by.partition(':')[2])}"
    )
    names = {name: "(none)" if name is None else visible(name) for name in coverage.groups}
    width = max(cells(title), *map(cells, names.values()))
    yield style.dim(f"  {padded(title, width)}  DECLARED   LIVE  OF THE ORG")
    for name, apps in coverage.groups.items():
        live = sum(app.presence is Presence.LIVE for app in apps)
        gauge = style.gauge(share_of(live, len(coverage.live)))
        yield f"  {padded(names[name], width)}  {len(apps):>8,}  {live:>5,}  {gauge}"


def declared_document(coverage: ManifestCoverage, *, timestamp: datetime) -> JsonObject:
    """Return the coverage as JSON; an app that could not be read is `unknown`, with the reason in `errors`."""
    return {
        "format_version": FORMAT_VERSION,
        "timestamp": utc_text(timestamp),
        "control_plane": control_plane_part(coverage.control_plane).as_json(),
        "manifests": {"paths": list(coverage.paths), "files": coverage.files, "apps": len(coverage.declared)},
        "errored": bool(coverage.errors),
        "summary": {
            "live": len(coverage.live),
            "declared": len(coverage.declared),
            **_by_presence(coverage.declared),
            "declared_in_part": sum(app.in_part for app in coverage.declared),
            "undeclared": len(coverage.undeclared),
            "declared_share": share_of(coverage.declared_live, len(coverage.live)),
        },
        "by": coverage.by,
        "groups": [] if coverage.by is None else _group_documents(coverage),
        "declared": [
            {"slug": app.slug, "presence": app.presence.value, "in_part": app.in_part, "group": app.group}
            for app in coverage.declared
        ],
        "undeclared": list(coverage.undeclared),
        "errors": [{"slug": slug, **error_document(error)} for slug, error in coverage.errors.items()],
        "cost": {"requests_used": coverage.requests},
    }


def _by_presence(apps: Sequence[DeclaredApp]) -> JsonObject:
    counts = Counter(app.presence for app in apps)
    return {f"declared_{presence.value}": counts[presence] for presence in Presence}


def _group_documents(coverage: ManifestCoverage) -> list[JsonValue]:
    live = len(coverage.live)
    return [
        {
            "group": name,
            "declared": len(apps),
            **_by_presence(apps),
            "share_of_org": share_of(sum(app.presence is Presence.LIVE for app in apps), live),
        }
        for name, apps in coverage.groups.items()
    ]
