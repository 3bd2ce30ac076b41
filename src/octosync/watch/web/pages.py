"""Pages: they render a `ControllerStatus` as HTML. Control characters in values are made visible, then values are escaped.

The `main` of a page depends on the status only, not on the time, so that an unchanged page is a 304. Style, script and icons
have URLs that change with their content.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from octosync.model import counted
from octosync.plan import utc_text
from octosync.report import visible
from octosync.report.errors import diagnostic_lines
from octosync.report.outcomes import STATUS_WORDS
from octosync.report.text import Style, listed, plane_words, seconds_words, time_words
from octosync.watch.approvals import TOKEN_VARIABLE, post_line
from octosync.watch.status import AppState, ControllerStatus
from octosync.watch.web.actions import DURATIONS, button_for
from octosync.watch.web.app_list import AppFilter, app_list, labels_of, matching_apps
from octosync.watch.web.attention import attention_cards
from octosync.watch.web.sessions import ActionNotice, Viewer
from octosync.watch.web.summary import (
    NEEDS_ATTENTION,
    STATE_MEANINGS,
    STATE_WORDS,
    UNKNOWN,
    alarms,
    counts_words,
    mood,
    read_parts,
    title,
    warnings,
)
from octosync.watch.web.views import (
    app_view,
    canary_views,
    queued_lines,
    remark_lines,
    row_mark,
    row_name,
    row_symbol,
    row_verb,
    run_groups,
    sides_of,
    texts_of,
)

_TYPES: Final = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
CACHED: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    """A static file: its `path` below `/static/` contains a hash of its content."""

    path: str
    body: bytes
    content_type: str


@cache
def assets() -> Mapping[str, Asset]:
    """Return the static files by name."""
    found = {}
    for entry in sorted(files("octosync.watch.web").joinpath("static").iterdir(), key=lambda entry: entry.name):
        stem, _, ending = entry.name.rpartition(".")
        if ending in _TYPES:
            body = entry.read_bytes()
            path = f"{stem}.{sha256(body).hexdigest()[:16]}.{ending}"
            found[entry.name] = Asset(path, body, _TYPES[ending])
    return found


def app_url(slug: str) -> str:
    """Return the path of an app's page."""
    return f"/apps/{quote(slug, safe='')}"


def asset_url(name: str) -> str:
    """Return the URL of a static file. Raises `KeyError` if it is unknown."""
    return f"/static/{assets()[name].path}"


def asset_at(path: str) -> Asset | None:
    """Return a file by its path below `/static/`; None if it is unknown or has another version."""
    return next((asset for asset in assets().values() if asset.path == path), None)


_LISTED: Final = 50  # apps in the list of the status page, and beside the details of an app
_PER_PAGE: Final = 100  # apps on a page of the list of all apps
_CODE: Final = re.compile(r"`([^`]+)`")
_PLAIN: Final = Style(colour=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """A request for a page: the `origin` for commands, and the refresh interval of an open page (0: it is not refreshed).

    `viewer` is the person who has signed in, `back` the page that their forms return to, `notice` the result of the last one.
    """

    origin: str
    refresh_seconds: float = 5
    viewer: Viewer | None = None
    back: str = "/"
    notice: ActionNotice | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A rendered page, and the ETag of its `main`."""

    html: str
    etag: str


def status_page(status: ControllerStatus, asked: PageRequest, wanted: AppFilter) -> Page:
    """Render the status page: of all apps, or of those that match the filter."""
    apps = matching_apps(status, wanted)
    cards = attention_cards(status, apps, origin=asked.origin)
    carded = {app.slug for app in apps if app.drift}
    return _page(
        "status.html",
        status,
        asked,
        title(status),
        attention_cards=cards,
        holds=[hold for hold in status.holds if hold.app not in carded],
        canaries=canary_views(apps),
        queued=queued_lines(apps),
        remarks=remark_lines(status),
        runs=run_groups(status.runs),
        found=app_list(status, wanted, per_page=_LISTED),
        wanted=wanted,
    )


def apps_page(status: ControllerStatus, asked: PageRequest, wanted: AppFilter) -> Page:
    """Render a page of the list of the apps that match the filter."""
    heading = "All apps" if wanted.state is None else f"Apps {STATE_WORDS[wanted.state]}"
    found = app_list(status, wanted, per_page=_PER_PAGE)
    return _page("apps.html", status, asked, heading, found=found, wanted=wanted, title=heading)


def app_page(status: ControllerStatus, asked: PageRequest, slug: str, wanted: AppFilter) -> Page:
    """Render an app, with the same diff as the plan, and the list of the apps that match the filter, for wide screens.

    Raises `KeyError` if the app is unknown.
    """
    app = status.apps[slug]
    return _page(
        "app.html",
        status,
        asked,
        f"{app.slug}: {STATE_WORDS[app.state]}",
        app=app,
        view=app_view(app, status),
        attention_cards=attention_cards(status, [app], origin=asked.origin),
        canaries=canary_views([app]),
        runs=run_groups(run for run in status.runs if slug in run.apps),
        labels=labels_of(status, slug),
        owner=status.owners.get(slug, ""),
        found=app_list(status, wanted, per_page=_LISTED, current=slug),
        wanted=wanted,
    )


def form_page(status: ControllerStatus, asked: PageRequest, template: str, heading: str, **more: Any) -> Page:
    """Render a page with a form."""
    return _page(template, status, asked, heading, **more)


def error_page(status: str, message: str, hints: tuple[str, ...]) -> str:
    """Render an error."""
    return _environment().get_template("error.html").render(status=status, message=message, hints=hints)


def _page(template: str, status: ControllerStatus, asked: PageRequest, heading: str, **more: Any) -> Page:
    words, read_at = read_parts(status)
    shared = {
        "status": status,
        "origin": asked.origin,
        "refresh_seconds": asked.refresh_seconds,
        "viewer": asked.viewer,
        "back": asked.back,
        "notice": asked.notice,
        "alarms": tuple(alarms(status)),
        "warnings": tuple(warnings(status)),
        "counts": counts_words(status),
        "read_words": words,
        "read_at": read_at,
        "plane": plane_words(status.control_plane),
        "mood": mood(status),
        "clock": _Clock(status.now),
        **more,
    }
    main = _environment().get_template(template).render(shared)
    # The version is part of it, so that an open page of an older version is replaced, and so is the session.
    shown_to = "" if asked.viewer is None else asked.viewer.csrf
    tag = sha256("\n".join((status.version, heading, asset_url("page.js"), shown_to, main)).encode()).hexdigest()[:32]
    page = _environment().get_template("page.html")
    html = page.render(shared, heading=heading, main=Markup(main), template=template, etag=f'"{tag}"')  # noqa: S704 — escaped above
    return Page(html, f'"{tag}"')


@dataclass(frozen=True, slots=True)
class _Clock:
    """Formats times relative to the current day."""

    now: datetime

    def words(self, at: datetime) -> str:
        """Return a time in UTC: `14:02 UTC` if it is today, else with its date."""
        words = time_words(at)
        return words.partition(" ")[2] if words[:10] == time_words(self.now)[:10] else words

    def until(self, at: datetime) -> str:
        """Return how far a time is away, for pages without JavaScript in columns of ages: `14:02`, or `2026-03-01`."""
        words = time_words(at)
        return words[11:16] if words[:10] == time_words(self.now)[:10] else words[:10]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("octosync.watch.web"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(_WORDS)
    environment.filters["option"] = lambda text: (text, text)
    environment.filters["state_option"] = lambda pair: (pair[0].value, f"{STATE_WORDS[pair[0]]} ({pair[1]:,})")
    return environment


def _shown(value: object) -> object:
    """Return a text with visible control characters: escaped for HTML, they could still reverse the text of the page."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _with_code(text: str) -> Markup:
    """Return a text in which the parts between backticks are code."""
    parts = _CODE.split(visible(text))
    return Markup("").join(  # join escapes the texts
        Markup("<code>{}</code>").format(part) if number % 2 else part for number, part in enumerate(parts)
    )


def _is_time(value: object) -> bool:
    return isinstance(value, datetime)


_WORDS: Final[Mapping[str, object]] = {
    "AppState": AppState,
    "NEEDS_ATTENTION": NEEDS_ATTENTION,
    "STATE_WORDS": STATE_WORDS,
    "STATE_MEANINGS": STATE_MEANINGS,
    "STATUS_WORDS": STATUS_WORDS,
    "DURATIONS": DURATIONS,
    "TOKEN_VARIABLE": TOKEN_VARIABLE,
    "UNKNOWN": UNKNOWN,
    "button_for": button_for,
    "asset_url": asset_url,
    "app_url": app_url,
    "name": lambda text: quote(text, safe=""),  # for ids, which have no spaces
    "counted": counted,
    "listed": lambda items, at_most: listed(items, at_most=at_most),
    "is_time": _is_time,
    "post_line": post_line,
    "row_mark": row_mark,
    "row_name": row_name,
    "row_symbol": row_symbol,
    "row_verb": row_verb,
    "seconds_words": seconds_words,
    "sides_of": sides_of,
    "texts_of": texts_of,
    "utc_text": utc_text,
    "with_code": _with_code,
    "diagnostic_lines": lambda diagnostic: diagnostic_lines(diagnostic, _PLAIN),
}
