"""`octosync export`: write manifests of live apps.

Each manifest is loaded and planned against the live app, and exported only if the plan is empty.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

from octosync.cli.console import err, note, out_manifest, wants_colour
from octosync.cli.file_writer import WrittenFiles, check_directory, file_name, write_each
from octosync.cli.inputs import load_inputs
from octosync.cli.options import typed_options
from octosync.cli.progress import ProgressBar
from octosync.cli.root import report_failure
from octosync.cli.run_options import ManifestFlags, RemoteFlags
from octosync.cli.session import Session, open_session, query
from octosync.errors import ExitCode, ManifestError, OctosyncError, UsageError
from octosync.manifest import (
    SLUG,
    STDIN,
    Configuration,
    ExportedApp,
    claims_of,
    export_app,
    load_manifests,
    sections_undeclared,
)
from octosync.model import App, Observation, Section, Severity, State, closest
from octosync.octomil import Octomil, ReadResult, observe, read_apps
from octosync.plan import PlanOptions
from octosync.reconcile import review
from octosync.report import render_diagnostics, render_export


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """The apps and sections to export.

    `names` are slugs and patterns, empty for all apps. `archived` includes archived apps. `declared` is the state that
    manifests already declare, which is left out; None to leave out nothing.
    """

    names: tuple[str, ...] = ()
    sections: frozenset[Section] = frozenset(Section)
    archived: bool = False
    declared: State | None = None

    @property
    def patterns(self) -> tuple[str, ...]:
        """The names that are patterns."""
        return tuple(name for name in self.names if is_pattern(name))

    @property
    def slugs(self) -> tuple[str, ...]:
        """The names that are slugs."""
        return tuple(name for name in self.names if not is_pattern(name))

    def declared_of(self, slug: str) -> App | None:
        """Return the declared state of an app, None if no manifest declares it."""
        return self.declared.apps.get(slug) if self.declared is not None else None


@dataclass(slots=True)
class ExportResult:
    """The manifests by slug, and the errors of the apps that were not exported."""

    exported: dict[str, ExportedApp] = field(default_factory=dict)
    errors: dict[str, OctosyncError] = field(default_factory=dict)


def is_pattern(name: str) -> bool:
    """Return whether a name is a pattern."""
    return any(character in name for character in "*?[")


def check_names(names: Iterable[str]) -> None:
    """Raise `UsageError` for a name that is neither a slug nor a pattern."""
    for name in names:
        if not is_pattern(name) and not SLUG.fullmatch(name):
            raise UsageError(
                "no-slug",
                f"{name!r} is not a slug",
                hints=("A slug has 1 to 63 lower-case letters, digits and inner hyphens; * matches several.",),
            )


async def export_apps(
    remote: Octomil,
    request: ExportRequest,
    configuration: Configuration,
    *,
    now: datetime,
    progress: Callable[[int, int], None] | None = None,
) -> ExportResult:
    """Read the requested apps, and return their manifests. Each manifest is verified: its plan must be empty.

    Raises `OctosyncError` for a name that no app has, and `RemoteError` for a failure that concerns all apps.
    """
    result = ExportResult()
    listed = None
    if request.patterns or not request.names:
        listed = await read_apps(remote, archived=request.archived)
    slugs = _slugs(request, listed, result)
    parts = {slug: sections_undeclared(request.declared_of(slug), request.sections) for slug in slugs}
    scope = State.from_apps(
        *(
            App(slug=slug, complete_sections=sections)
            for slug, sections in parts.items()
            if _has_requested(slug, request, sections)
        )
    )
    observation = await observe(remote, scope, now=now, listed=listed, progress=progress)
    _raise_common_error(observation, scope)
    result.errors |= observation.errors
    _refuse_absent(request, scope, observation, listed)
    claims = claims_of(request.declared or ())
    for live in observation.state:
        if live.archived and not request.archived:
            if live.slug in request.slugs:
                result.errors[live.slug] = _archived()
            continue
        if live.archived and request.declared_of(live.slug) is not None:
            continue
        exported = export_app(
            live,
            parts[live.slug],
            contract=configuration.contract,
            sensitivity=configuration.sensitivity,
            claims=claims,
            declared=request.declared_of(live.slug),
        )
        if not exported.declares and not exported.left_out:
            continue
        if (why := _verification_error(exported, live, configuration, now)) is None:
            result.exported[live.slug] = exported
        else:
            result.errors[live.slug] = why
    return result


def _slugs(request: ExportRequest, listed: ReadResult[dict[str, App]] | None, result: ExportResult) -> tuple[str, ...]:
    """Return the requested slugs, sorted. A slug that is not valid in a manifest goes to the errors."""
    live = listed.value if listed is not None else {}
    for pattern in request.patterns:
        if not any(fnmatchcase(slug, pattern) for slug in live):
            raise _no_such_app([pattern], live)
    slugs = {
        slug for slug in live if not request.names or any(fnmatchcase(slug, pattern) for pattern in request.patterns)
    }
    for slug in sorted(slugs):
        if not SLUG.fullmatch(slug):
            slugs.remove(slug)
            result.errors[slug] = OctosyncError("no-slug", "the slug is not valid in a manifest")
    return tuple(sorted({*slugs, *request.slugs}))


def _has_requested(slug: str, request: ExportRequest, sections: frozenset[Section]) -> bool:
    return bool(sections) or request.declared_of(slug) is None


def _refuse_absent(
    request: ExportRequest, scope: State, observation: Observation, listed: ReadResult[dict[str, App]] | None
) -> None:
    """Raise `OctosyncError` if a requested slug has neither an app nor an error."""
    absent = [
        slug
        for slug in request.slugs
        if slug in scope.apps and slug not in observation.state.apps and slug not in observation.errors
    ]
    if absent:
        raise _no_such_app(absent, listed.value if listed is not None else {})


def _raise_common_error(observation: Observation, scope: State) -> None:
    """Raise the error if it is the same for all apps: then the cause is not in an app, and one report is enough."""
    errors = list(observation.errors.values())
    if (
        len(errors) == len(scope.apps) > 1
        and len({(type(error), error.reference, error.hints) for error in errors}) == 1
    ):
        raise errors[0]


def _no_such_app(names: list[str], live: Mapping[str, App]) -> OctosyncError:
    close = closest(names[0], live)
    hints = (f"Did you mean {close}?",) if close else ("Without a name, all apps of the org are exported.",)
    return OctosyncError("no-such-app", f"no such app in this org: {', '.join(names)}", hints=hints)


def _archived() -> OctosyncError:
    return OctosyncError("archived-app", "the app is archived", hints=("Use --archived to include archived apps.",))


def _verification_error(
    exported: ExportedApp, live: App, configuration: Configuration, now: datetime
) -> OctosyncError | None:
    """Load the manifest and plan it against the live app. Return the error, None if the plan is empty."""
    if not exported.declares:
        return None
    alone = replace(configuration, owners=())
    manifests = load_manifests([STDIN], configuration=alone, now=now, stdin=exported.text.encode())
    refused = next(
        (diagnostic.summary for diagnostic in manifests.diagnostics if diagnostic.severity is Severity.ERROR), None
    )
    if refused is not None:
        return _not_exportable(f"the manifest would be invalid: {refused}")
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
        f"no manifest of the live app has an empty plan: {why}",
        hints=("Export the other sections with --sections.",),
    )


def run(  # noqa: PLR0913 — the parameters of a command are its flags
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
    colour: str,
) -> ExitCode:
    """Run `octosync export`."""
    if not unmanaged and "paths" in typed_options():
        raise UsageError(
            "manifests-without-unmanaged", "-f needs --unmanaged: it selects the manifests that declare apps already"
        )
    check_names(names)
    if out_dir is not None:
        check_directory(out_dir)
    session = open_session(remote, config)
    manifests = ManifestFlags(paths=paths, config=config, env_allowed=env_allowed, allow_empty=True)
    declared = _declared(manifests, remote, colour) if unmanaged else None
    request = ExportRequest(names=names, sections=sections, archived=archived, declared=declared)
    result = _query(session, request)
    texts = {
        file_name(slug, rest=not exported.app.declared): exported.text
        for slug, exported in sorted(result.exported.items())
        if exported.declares
    }
    if out_dir is None:
        out_manifest("---\n".join(texts.values()))
        written = WrittenFiles(len(texts), 0)
    else:
        written = write_each(out_dir, texts, force=force)
    return _report(result, written, out_dir, unmanaged=unmanaged, colour=wants_colour(sys.stderr, colour))


def _query(session: Session, request: ExportRequest) -> ExportResult:
    async def export(remote: Octomil, bar: ProgressBar) -> ExportResult:
        return await export_apps(remote, request, session.configuration, now=datetime.now(UTC), progress=bar.advance)

    return query(session, "reading", export)


def _declared(flags: ManifestFlags, remote: RemoteFlags, colour: str) -> State:
    """Return the state that the manifests declare. Report errors in them, and raise `ManifestError`."""
    inputs = load_inputs(flags, remote)
    if inputs.fails:
        painted = wants_colour(sys.stderr, colour)
        err(render_diagnostics(inputs.diagnostics, files=inputs.manifests.files, colour=painted))
        raise ManifestError(
            "bad-manifests",
            "the manifests have errors, so it is not known what they declare",
            hints=("Fix the errors above.",),
        )
    manifests = inputs.manifests
    return State.from_apps(
        *(
            _union(app, manifests.others.apps.get(slug))
            for slug, app in {**manifests.others.apps, **manifests.state.apps}.items()
        )
    )


def _union(app: App, others: App | None) -> App:
    """Return the union of what two sets of manifests declare of an app."""
    if others is None or others is app:
        return app
    return replace(
        app,
        archived=app.archived or others.archived,
        complete_sections=app.complete_sections | others.complete_sections,
        targets=(*app.targets, *others.targets),
        slots=(*app.slots, *others.slots),
        inference_config=app.inference_config or others.inference_config,
    )


def _report(
    result: ExportResult, written: WrittenFiles, directory: Path | None, *, unmanaged: bool, colour: bool
) -> ExitCode:
    if not result.exported and not result.errors:
        note("Nothing to export: " + ("everything is declared.\n" if unmanaged else "the org has no apps.\n"))
        return ExitCode.DONE
    left_out = [field for _, exported in sorted(result.exported.items()) for field in exported.left_out]
    show = err if left_out or result.errors else note
    show(
        render_export(
            left_out,
            result.errors,
            written=written.written,
            same=written.same,
            directory=str(directory) if directory is not None else None,
            colour=colour,
        )
    )
    if written.failed is not None:
        return report_failure(written.failed, written="")
    return ExitCode.ERROR if result.errors else ExitCode.DONE
