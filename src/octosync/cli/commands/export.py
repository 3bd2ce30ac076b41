"""`octosync export`."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from octosync.cli.command import Command
from octosync.cli.console import err, out_manifest, wants_colour
from octosync.cli.exporting import Made, Wanted, check_names, make
from octosync.cli.failing import report_failure
from octosync.cli.files import WrittenFiles, check_directory, file_name, write_each
from octosync.cli.inputs import load_inputs
from octosync.cli.options import env_option, file_option, option, typed_options
from octosync.cli.progress import ProgressBar
from octosync.cli.remote import Session, control_plane_options, open_session, query
from octosync.cli.run_options import ManifestFlags, RemoteFlags
from octosync.errors import ExitCode, ManifestError, UsageError
from octosync.manifest import closest
from octosync.model import App, Section, State
from octosync.octomil import Octomil
from octosync.report import render_diagnostics, render_export

# As manifests and the plan's JSON name them.
_SECTIONS: Final = {
    "targets": Section.TARGETS,
    "slots": Section.SLOTS,
    "inference_config": Section.INFERENCE_CONFIG,
    "inferenceConfig": Section.INFERENCE_CONFIG,
    "deploy": Section.DEPLOYMENTS,
}
_SHOWN: Final = "targets,slots,inference_config,deploy"
_STDOUT: Final = "-"


def _directory(ctx: click.Context, parameter: click.Parameter, value: str | None) -> Path | None:
    """Read `-o`, None for standard output. An empty one is refused: `-o "$DIR"` without DIR must not mean this folder."""
    if value == "":
        raise click.BadParameter("it is empty; is a variable not set?", ctx, parameter)
    return None if value is None or value == _STDOUT else Path(value)


def _sections(ctx: click.Context, parameter: click.Parameter, value: str) -> frozenset[Section]:
    """Read `--sections`, or fail as click does."""
    names = [name.strip() for name in value.split(",")]
    for name in names:
        if name not in _SECTIONS:
            close = closest(name, _SECTIONS)
            meant = f"; did you mean {close}?" if close else f": {_SHOWN.replace(',', ', ')}"
            raise click.BadParameter(f"{name!r} is no section{meant}", ctx, parameter)
    found = frozenset(_SECTIONS[name] for name in names)
    if Section.DEPLOYMENTS in found and Section.SLOTS not in found:
        raise click.BadParameter("deploy is declared in slots: name slots, too", ctx, parameter)
    return found


@click.command(cls=Command, epilog="Example:  octosync export 'search-*' -o apps/")
@click.argument("names", nargs=-1, metavar="[APP]...")
@option(
    "-o", "--out-dir", callback=_directory, metavar="DIR", help="Write one file per app to DIR. The default is stdout."
)
@option("--force", env=False, is_flag=True, help="Overwrite existing files with different content.")
@option(
    "--sections", default=_SHOWN, show_default=True, callback=_sections, metavar="LIST", help="The sections to export."
)
@option("--archived", is_flag=True, help="Include archived apps.")
@option("--unmanaged", is_flag=True, help="Export only what the manifests of -f or octosync.yaml don't declare.")
@file_option
@env_option
@control_plane_options
def command(
    *,
    names: tuple[str, ...],
    out_dir: Path | None,
    force: bool,
    sections: frozenset[Section],
    archived: bool,
    unmanaged: bool,
    paths: tuple[str, ...],
    env_allowed: tuple[str, ...],
    remote: RemoteFlags,
    config: Path | None,
) -> ExitCode:
    """Write the manifests of live apps. Their plan is empty. APP is a slug or a pattern with *; the default is all apps."""
    if not unmanaged and "paths" in typed_options():
        raise UsageError("manifests-without-unmanaged", "-f names what is declared already: it goes with --unmanaged")
    check_names(names)
    if out_dir is not None:
        check_directory(out_dir)
    session = open_session(remote, config)
    manifests = ManifestFlags(paths=paths, config=config, env_allowed=env_allowed, allow_empty=True)
    declared = _declared(manifests, remote) if unmanaged else None
    wanted = Wanted(names=names, sections=sections, archived=archived, declared=declared)
    made = _ask(session, wanted)
    texts = {
        file_name(slug, rest=not one.app.declared): one.text
        for slug, one in sorted(made.exported.items())
        if one.declares
    }
    if out_dir is None:
        out_manifest("---\n".join(texts.values()))
        placed = WrittenFiles(len(texts), 0)
    else:
        placed = write_each(out_dir, texts, force=force)
    return _report(made, placed, out_dir, unmanaged=unmanaged)


def _ask(session: Session, wanted: Wanted) -> Made:
    async def question(remote: Octomil, bar: ProgressBar) -> Made:
        return await make(remote, wanted, session.configuration, now=datetime.now(UTC), progress=bar.advance)

    return query(session, "reading", question)


def _declared(flags: ManifestFlags, remote: RemoteFlags) -> State:
    """Load what is declared already. Raises `ManifestError`, after reporting it, where that can't be told."""
    inputs = load_inputs(flags, remote)
    if inputs.fails:
        colour = wants_colour(sys.stderr, "auto")
        err(render_diagnostics(inputs.diagnostics, files=inputs.manifests.files, colour=colour))
        raise ManifestError(
            "bad-manifests",
            "the manifests have errors, so what they don't declare can't be told",
            hints=("Mend what is said above.",),
        )
    manifests = inputs.manifests
    return State.of(
        *(
            _both(app, manifests.others.apps.get(slug))
            for slug, app in {**manifests.others.apps, **manifests.state.apps}.items()
        )
    )


def _both(app: App, other: App | None) -> App:
    """Return what is declared of an app in two sets of manifests."""
    if other is None or other is app:
        return app
    return replace(
        app,
        archived=app.archived or other.archived,
        whole=app.whole | other.whole,
        targets=(*app.targets, *other.targets),
        slots=(*app.slots, *other.slots),
        inference_config=app.inference_config or other.inference_config,
    )


def _report(made: Made, placed: WrittenFiles, directory: Path | None, *, unmanaged: bool) -> ExitCode:
    if not made.exported and not made.errors:
        err("Nothing to export: " + ("everything is declared.\n" if unmanaged else "the org has no apps.\n"))
        return ExitCode.DONE
    left_out = [one for _, exported in sorted(made.exported.items()) for one in exported.left_out]
    err(
        render_export(
            left_out,
            made.errors,
            written=placed.written,
            same=placed.same,
            directory=str(directory) if directory is not None else None,
            colour=wants_colour(sys.stderr, "auto"),
        )
    )
    if placed.failed is not None:
        return report_failure(placed.failed, written="")
    return ExitCode.ERROR if made.errors else ExitCode.DONE
