"""`octosync status --declared`: how much of the org the manifests cover."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import Any, Final

import click
from click.core import ParameterSource

from octosync.cli.connecting import RemoteFlags, connect, control_plane
from octosync.cli.console import out, out_json, shows_blocks, wants_colour
from octosync.cli.gathering import Gathered, ManifestFlags, gather_or_report
from octosync.cli.remote import Reach, ask
from octosync.errors import ExitCode, OctosyncError, UsageError
from octosync.manifest.sources import STDIN_NAME
from octosync.model import App, DeclaredApp, Presence, Sensitivity
from octosync.octomil import read_presence
from octosync.report import Extent, declared_document, json_line, render_declared

FOLDER: Final = "folder"
_LABEL: Final = "label:"
_ONLY_DECLARED: Final = ("paths", "env_allowed", "allow_empty", "strict", "by", "full")
_NEVER_DECLARED: Final = ("watch", "archived", "journal")


def check_flags(*, declared: bool) -> None:
    """Refuse options that were typed and mean nothing with, or without, `--declared`. Raises `UsageError`."""
    context = click.get_current_context()
    useless = _NEVER_DECLARED if declared else _ONLY_DECLARED
    for parameter in context.command.params:
        if parameter.name in useless and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE:
            flag = next(name for name in reversed(parameter.opts) if name.startswith("--"))
            means = "means nothing with --declared" if declared else "is for --declared"
            raise UsageError(
                "flags-apart", f"{flag} {means}", hints=("octosync status --help says what goes together.",)
            )


def read_by(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Read `--by`, or fail as click does."""
    if value is None or value == FOLDER or (value.startswith(_LABEL) and value != _LABEL):
        return value
    raise click.BadParameter(f"{value!r} is neither `{FOLDER}` nor `{_LABEL}KEY`", ctx, parameter)


def show_declared(patterns: Sequence[str], by: str | None, flags: Mapping[str, Any]) -> ExitCode:
    """Load the manifests as plan does, read the org's list, and show how the two meet.

    Raises `UsageError` for a label that holds secrets, `OctosyncError` for a pattern that means no app, and what keeps the
    list from being read.
    """
    remote = RemoteFlags(**{name: flags[name] for name in RemoteFlags.__dataclass_fields__})
    manifests = ManifestFlags(**{name: flags[name] for name in ManifestFlags.__dataclass_fields__})
    gathered = gather_or_report(manifests, remote, colour=flags["colour"])
    if isinstance(gathered, ExitCode):
        return gathered
    connection = connect(remote, gathered.configuration, gathered.context, os.environ)
    at = Reach(
        configuration=gathered.configuration,
        context=gathered.context,
        connection=connection,
        typed=remote.typed(flags["config"]),
    )
    group_of = _grouping(by, gathered.configuration.sensitivity)
    extent = _extent(at, gathered, patterns, by, group_of)
    if flags["output"] == "json":
        out_json(declared_document(extent, timestamp=datetime.now(UTC)))
    elif flags["output"] == "jsonl":
        out(json_line(declared_document(extent, timestamp=datetime.now(UTC))))
    else:
        colour, blocks = wants_colour(sys.stdout, flags["colour"]), shows_blocks(sys.stdout)
        out(render_declared(extent, colour=colour, blocks=blocks, full=flags["full"]))
    return ExitCode.ERROR if extent.errors else ExitCode.DONE


def _extent(
    at: Reach, gathered: Gathered, patterns: Sequence[str], by: str | None, group_of: Callable[[App], str | None]
) -> Extent:
    """Ask which of the declared apps are there; of both sides, keep what is meant."""
    desired = [app for app in gathered.manifests.state if _is_meant(app.slug, patterns)]
    slugs = [app.slug for app in desired]
    seen = ask(at, "reading", lambda client, bar: read_presence(client, slugs, progress=bar.advance))
    live = tuple(slug for slug in seen.live if _is_meant(slug, patterns))
    for pattern in patterns:
        if not any(fnmatchcase(slug, pattern) for slug in (*live, *slugs)):
            raise OctosyncError(
                "no-such-app",
                f"{pattern} is no app of the org, and none that is declared",
                hints=("`octosync status --declared` without names shows how the two meet.",),
            )
    return Extent(
        control_plane=control_plane(at.connection, at.context, seen.org_id),
        paths=gathered.paths,
        files=gathered.manifests.files,
        live=live,
        declared=tuple(
            DeclaredApp(
                slug=app.slug,
                presence=seen.presences.get(app.slug, Presence.UNKNOWN),
                in_part=not app.declared,
                group=group_of(app),
            )
            for app in desired
        ),
        errors=seen.errors,
        requests=seen.requests,
        by=by,
    )


def _is_meant(slug: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(slug, pattern) for pattern in patterns)


def _grouping(by: str | None, sensitivity: Sensitivity) -> Callable[[App], str | None]:
    """Return what names an app's group. Raises `UsageError` for a label whose values are never shown."""
    if by is None:
        return lambda _: None
    if by == FOLDER:
        return _folder
    key = by.removeprefix(_LABEL)
    if sensitivity.covers(key):
        raise UsageError(
            "sensitive-label",
            f"--by {by}: values of this label are never shown",
            hints=("octosync.yaml's `sensitive` says which keys hold secrets.",),
        )
    return lambda app: app.labels.get(key)


def _folder(app: App) -> str | None:
    """Name the folder of an app's first document, as it was named on the command line."""
    children = (*app.targets, *app.slots, *((app.inference_config,) if app.inference_config else ()))
    origin = app.origin or next((one.origin for one in children if one.origin is not None), None)
    if origin is None or origin.file == STDIN_NAME:
        return None
    return PurePath(origin.file).parent.as_posix()
