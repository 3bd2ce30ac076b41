"""`octosync export`.

From live apps to manifests that plan to nothing: which are meant, what is read of them, and the proof.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import click

from octosync.cli.command import Command
from octosync.cli.console import err, out_manifest, wants_colour
from octosync.cli.files import WrittenFiles, check_directory, file_name, write_each
from octosync.cli.inputs import load_inputs
from octosync.cli.options import env_option, file_option, option, typed_options
from octosync.cli.progress import ProgressBar
from octosync.cli.root import report_failure
from octosync.cli.run_options import ManifestFlags, RemoteFlags
from octosync.cli.session import Session, control_plane_options, open_session, query
from octosync.errors import ExitCode, ManifestError, OctosyncError, UsageError
from octosync.manifest import (
    SLUG,
    STDIN,
    Configuration,
    ExportedApp,
    claims_of,
    closest,
    export_app,
    load,
    sections_undeclared,
)
from octosync.model import App, Observation, Section, Severity, State
from octosync.octomil import Octomil, ReadResult, observe, read_apps
from octosync.plan import PlanOptions
from octosync.reconcile import review
from octosync.report import render_diagnostics, render_export


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be exported.

    `names` are slugs and patterns, none for all apps; `archived` apps only where that is said. `declared` is what manifests
    declare already and is left out, None where nothing is.
    """

    names: tuple[str, ...] = ()
    sections: frozenset[Section] = frozenset(Section)
    archived: bool = False
    declared: State | None = None

    @property
    def patterns(self) -> tuple[str, ...]:
        """Those of the names that may mean several apps."""
        return tuple(name for name in self.names if is_pattern(name))

    @property
    def slugs(self) -> tuple[str, ...]:
        """Those of the names that mean one app."""
        return tuple(name for name in self.names if not is_pattern(name))

    def declared_of(self, slug: str) -> App | None:
        """Return what manifests declare of an app."""
        return self.declared.apps.get(slug) if self.declared is not None else None


@dataclass(slots=True)
class Made:
    """The manifests by slug, and the apps that have none, with the reason."""

    exported: dict[str, ExportedApp] = field(default_factory=dict)
    errors: dict[str, OctosyncError] = field(default_factory=dict)


def is_pattern(name: str) -> bool:
    """Say whether a name may mean several apps."""
    return any(one in name for one in "*?[")


def check_names(names: Iterable[str]) -> None:
    """Refuse a slug that no app can have. Raises `UsageError`."""
    for name in names:
        if not is_pattern(name) and not SLUG.fullmatch(name):
            raise UsageError(
                "no-slug",
                f"{name or 'an empty text'} is no app's slug",
                hints=("A slug has 1 to 63 lower-case letters, digits and inner hyphens; * matches several.",),
            )


async def make(
    remote: Octomil,
    wanted: Wanted,
    configuration: Configuration,
    *,
    now: datetime,
    progress: Callable[[int, int], None] | None = None,
) -> Made:
    """Read the wanted apps and make their manifests; each is loaded and planned again, and kept if that comes to nothing.

    Raises `OctosyncError` for a name that no app has, and `RemoteError` for what is in the way of all.
    """
    made = Made()
    listed = None
    if wanted.patterns or not wanted.names:
        listed = await read_apps(remote, archived=wanted.archived)
    slugs = _slugs(wanted, listed, made)
    parts = {slug: sections_undeclared(wanted.declared_of(slug), wanted.sections) for slug in slugs}
    asked = State.from_apps(
        *(
            App(slug=slug, complete_sections=sections)
            for slug, sections in parts.items()
            if _is_wanted(slug, wanted, sections)
        )
    )
    seen = await observe(remote, asked, now=now, listed=listed, progress=progress)
    _raise_if_alike(seen, asked)
    made.errors |= seen.errors
    _refuse_absent(wanted, asked, seen, listed)
    claims = claims_of(wanted.declared or ())
    for live in seen.state:
        if live.archived and not wanted.archived:
            if live.slug in wanted.slugs:
                made.errors[live.slug] = _archived()
            continue
        if live.archived and wanted.declared_of(live.slug) is not None:
            continue
        exported = export_app(
            live,
            parts[live.slug],
            contract=configuration.contract,
            sensitivity=configuration.sensitivity,
            claims=claims,
            declared=wanted.declared_of(live.slug),
        )
        if not exported.declares and not exported.left_out:
            continue
        if (why := _disproof(exported, live, configuration, now)) is None:
            made.exported[live.slug] = exported
        else:
            made.errors[live.slug] = why
    return made


def _slugs(wanted: Wanted, listed: ReadResult[dict[str, App]] | None, made: Made) -> tuple[str, ...]:
    """Return the slugs that are meant, in order. One that no manifest can name goes to the errors."""
    there = listed.value if listed is not None else {}
    for pattern in wanted.patterns:
        if not any(fnmatchcase(slug, pattern) for slug in there):
            raise _no_such_app([pattern], there)
    meant = {slug for slug in there if not wanted.names or any(fnmatchcase(slug, one) for one in wanted.patterns)}
    for slug in sorted(meant):
        if not SLUG.fullmatch(slug):
            meant.remove(slug)
            made.errors[slug] = OctosyncError("no-slug", "a manifest can't name an app with such a slug")
    return tuple(sorted({*meant, *wanted.slugs}))


def _is_wanted(slug: str, wanted: Wanted, sections: frozenset[Section]) -> bool:
    return bool(sections) or wanted.declared_of(slug) is None


def _refuse_absent(wanted: Wanted, asked: State, seen: Observation, listed: ReadResult[dict[str, App]] | None) -> None:
    absent = [
        slug for slug in wanted.slugs if slug in asked.apps and slug not in seen.state.apps and slug not in seen.errors
    ]
    if absent:
        raise _no_such_app(absent, listed.value if listed is not None else {})


def _raise_if_alike(seen: Observation, asked: State) -> None:
    """Raise the error that all apps met alike: the control plane is not what it should be, and once is enough to say so."""
    errors = list(seen.errors.values())
    if (
        len(errors) == len(asked.apps) > 1
        and len({(type(error), error.reference, error.hints) for error in errors}) == 1
    ):
        raise errors[0]


def _no_such_app(names: list[str], there: Mapping[str, App]) -> OctosyncError:
    close = closest(names[0], there)
    hints = (f"Did you mean {close}?",) if close else ("Without a name, all apps of the org are exported.",)
    verb = "is no app" if len(names) == 1 else "are no apps"
    return OctosyncError("no-such-app", f"{', '.join(names)} {verb} of this org", hints=hints)


def _archived() -> OctosyncError:
    return OctosyncError("archived-app", "the app is archived", hints=("--archived exports it all the same.",))


def _disproof(exported: ExportedApp, live: App, configuration: Configuration, now: datetime) -> OctosyncError | None:
    """Load the manifest and plan it against what was read; return why it is not to be trusted, None where it is."""
    if not exported.declares:
        return None
    alone = replace(configuration, owners=())
    manifests = load([STDIN], configuration=alone, now=now, stdin=exported.text.encode())
    refused = next(
        (diagnostic.summary for diagnostic in manifests.diagnostics if diagnostic.severity is Severity.ERROR), None
    )
    if refused is not None:
        return _not_exportable(f"the manifest would be refused: {refused}")
    options = PlanOptions(now=now, contract=configuration.contract)
    plan = review(manifests.state, Observation(state=State.from_apps(live)), options).plan
    if plan.errors:
        return _not_exportable(plan.errors[live.slug].message)
    if plan.actions:
        return _not_exportable(f"the manifest would change {plan.actions[0].address}")
    return None


def _not_exportable(why: str) -> OctosyncError:
    return OctosyncError(
        "not-exportable",
        f"what is live can't be declared so that nothing changes: {why}",
        hints=("Export the other sections alone with --sections.",),
    )


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
def command(  # noqa: PLR0913 — the parameters of a command are its flags
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
    return State.from_apps(
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
        complete_sections=app.complete_sections | other.complete_sections,
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
