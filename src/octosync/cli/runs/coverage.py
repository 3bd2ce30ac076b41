"""`octosync status --declared`: the coverage of the org by the manifests."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import Final

from octosync.cli.commands.status import FOLDER, LABEL, CoverageOptions
from octosync.cli.console import out, out_json, out_text, supports_blocks, wants_colour
from octosync.cli.inputs import LoadedInputs, load_valid_inputs
from octosync.cli.run_options import ManifestFlags, RemoteFlags
from octosync.cli.session import Session, control_plane, query, session_of
from octosync.errors import ExitCode, OctosyncError, UsageError
from octosync.manifest.load.files import STDIN_NAME
from octosync.model import App, DeclaredApp, Presence, Sensitivity
from octosync.octomil import read_presence
from octosync.report import ManifestCoverage, declared_document, json_line, render_declared

# Flags by parameter name, in the order of the help.
_ONLY_DECLARED: Final = {
    "by": "--by",
    "paths": "--file",
    "env_allowed": "--env",
    "allow_empty": "--allow-empty",
    "strict": "--strict",
}
_NEVER_DECLARED: Final = {"watch": "--watch", "archived": "--archived", "journal": "--state"}


def check_flags(typed: Collection[str], *, declared: bool) -> None:
    """Raise `UsageError` for options on the command line that don't apply with, or without, `--declared`."""
    useless = _NEVER_DECLARED if declared else _ONLY_DECLARED
    for name, flag in useless.items():
        if name in typed:
            problem = "can't be used with --declared" if declared else "needs --declared"
            raise UsageError(
                "conflicting-flags", f"{flag} {problem}", hints=("Run `octosync status --help` for usage.",)
            )


def show_declared(
    patterns: Sequence[str], manifests: ManifestFlags, remote: RemoteFlags, shown: CoverageOptions
) -> ExitCode:
    """Load the manifests as plan does, read the list of apps of the org, and show which apps are in which.

    Raises `UsageError` for a label that holds secrets, and `OctosyncError` for a pattern that matches no app or if the list
    can't be read.
    """
    inputs = load_valid_inputs(manifests, remote, colour=shown.colour)
    session = session_of(remote, manifests.config, inputs.configuration, inputs.context)
    group_of = _grouping(shown.by, inputs.configuration.sensitivity)
    extent = _extent(session, inputs, patterns, shown.by, group_of)
    if shown.output == "json":
        out_json(declared_document(extent, timestamp=datetime.now(UTC)))
    elif shown.output == "jsonl":
        out(json_line(declared_document(extent, timestamp=datetime.now(UTC))))
    else:
        colour, blocks = wants_colour(sys.stdout, shown.colour), supports_blocks(sys.stdout)
        out_text(render_declared(extent, colour=colour, blocks=blocks, full=shown.full))
    return ExitCode.ERROR if extent.errors else ExitCode.DONE


def _extent(
    session: Session,
    inputs: LoadedInputs,
    patterns: Sequence[str],
    by: str | None,
    group_of: Callable[[App], str | None],
) -> ManifestCoverage:
    """Return the declared and the live apps that match the patterns."""
    desired = [app for app in inputs.manifests.state if _matches(app.slug, patterns)]
    slugs = [app.slug for app in desired]
    seen = query(session, "reading", lambda client, bar: read_presence(client, slugs, progress=bar.advance))
    live = tuple(slug for slug in seen.live if _matches(slug, patterns))
    for pattern in patterns:
        if not any(fnmatchcase(slug, pattern) for slug in (*live, *slugs)):
            raise OctosyncError(
                "no-such-app",
                f"{pattern} matches no app of the org and no declared app",
                hints=("`octosync status --declared` without names shows all apps.",),
            )
    return ManifestCoverage(
        control_plane=control_plane(session.connection, session.context, seen.org_id),
        paths=inputs.paths,
        files=inputs.manifests.files,
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


def _matches(slug: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(slug, pattern) for pattern in patterns)


def _grouping(by: str | None, sensitivity: Sensitivity) -> Callable[[App], str | None]:
    """Return a function that returns an app's group. Raise `UsageError` for a label whose values are never shown."""
    if by is None:
        return lambda _: None
    if by == FOLDER:
        return _folder
    key = by.removeprefix(LABEL)
    if sensitivity.covers(key):
        raise UsageError(
            "sensitive-label",
            f"--by {by}: values of this label are never shown",
            hints=("`sensitive` in octosync.yaml lists the keys that hold secrets.",),
        )
    return lambda app: app.labels.get(key)


def _folder(app: App) -> str | None:
    """Return the folder of an app's first document, as written on the command line."""
    children = (*app.targets, *app.slots, *((app.inference_config,) if app.inference_config else ()))
    origin = app.origin or next((child.origin for child in children if child.origin is not None), None)
    if origin is None or origin.file == STDIN_NAME:
        return None
    return PurePath(origin.file).parent.as_posix()
