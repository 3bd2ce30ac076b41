"""The outputs of a run, all rendered from its one report: a format on standard output (`-o`) and files (`--write`).

`jsonl` is the exception: its events are printed as they happen, each with its time, and kept if a file needs them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Final, Self

from octosync import report as reports
from octosync.cli.console import is_quiet, out
from octosync.cli.options import Destination
from octosync.cli.root import AlreadyReported, is_defect, report_failure
from octosync.errors import ExitCode, InternalError, OctosyncError, UsageError
from octosync.report import MAX_BYTES, NOTHING_WRITTEN, RunReport

if TYPE_CHECKING:
    from octosync.cli.event_stream import EventStream
    from octosync.cli.inputs import LoadedInputs
    from octosync.model import State
    from octosync.plan.three_way.verdict import Base
    from octosync.report import BlobLinks, PathResolver, PlanReport


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderContext:
    """What a format depends on besides the report.

    `resolve_path` returns paths relative to the repository root, `links` URLs, `max_bytes` limits Markdown, `full` makes JSON
    complete, `lines` are the lines of the event stream.
    """

    resolve_path: PathResolver
    links: BlobLinks | None = None
    max_bytes: int = MAX_BYTES
    full: bool = False
    lines: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Format:
    """An output format.

    `prints_failures`: it is also printed for a run that failed before it had a plan. `streams`: on standard output, it is
    printed during the run, not at its end.
    """

    render: Callable[[RunReport, RenderContext], str]
    prints_failures: bool = False
    streams: bool = False


def _sarif(report: RunReport, context: RenderContext) -> str:
    from octosync.manifest import RULES

    rules = {
        rule.id: reports.RuleHelp(rule.severity, rule.meaning, f"docs/reference/rules.md#{rule.id}")
        for rule in RULES.values()
    }
    return reports.json_text(reports.sarif_document(report, context.resolve_path, rules))


RENDERERS: Final[Mapping[str, Format]] = MappingProxyType(
    {
        "text": Format(lambda report, _: reports.report_text(report), streams=True),
        "markdown": Format(
            lambda report, context: reports.report_markdown(report, max_bytes=context.max_bytes, links=context.links)
        ),
        "json": Format(lambda report, context: reports.json_text(reports.report_document(report, full=context.full))),
        "jsonl": Format(lambda _, context: "".join(context.lines), streams=True),
        "github": Format(
            lambda report, context: reports.render_annotations(report, context.resolve_path), prints_failures=True
        ),
        "sarif": Format(_sarif, prints_failures=True),
    }
)


def shortened(report: PlanReport) -> PlanReport:
    """Return the report as a quiet run shows it as text: only the summary of the plan."""
    return replace(report, summary_only=True) if is_quiet() else report


_STREAM: Final = "jsonl"
_FOR_RUNNER: Final = "github"


@dataclass(kw_only=True)
class Outputs:
    """The outputs of one run. As a context manager, it writes all of them from the latest report, however the run ends.

    Commands replace `report` during the run, each time with a more complete one.
    """

    report: RunReport
    output: str
    destinations: tuple[Destination, ...] = ()
    plan_out: Path | None = None
    max_bytes: int = MAX_BYTES
    full: bool = False
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    _configuration: str | None = None
    _streams: bool = field(init=False)
    _writes_runner_files: bool = field(init=False)
    _closed: bool = False

    def __post_init__(self) -> None:
        written = {destination.format for destination in self.destinations}
        self._streams = _STREAM in {self.output, *written}
        self._writes_runner_files = _FOR_RUNNER in {self.output, *written}

    @cached_property
    def stream(self) -> EventStream:
        """The events of the run, which nothing reads unless `jsonl` is an output."""
        from octosync.cli.event_stream import EventStream

        prints = self.output == _STREAM
        keeps = any(destination.format == _STREAM for destination in self.destinations)
        return EventStream(prints=prints, keeps=keeps, is_read=prints or keeps)

    def record_inputs(self, inputs: LoadedInputs) -> None:
        """Add the manifests and their diagnostics to the report."""
        manifests = inputs.manifests
        self.report = replace(
            self.report,
            diagnostics=inputs.diagnostics,
            files=manifests.files,
            apps=len(manifests.state.apps) + manifests.known_apps,
            policies=inputs.configuration.policies,
            strict=inputs.strict,
            touched=None if inputs.base is None else _changed_apps(manifests.state, inputs.base),
        )
        self._configuration = inputs.configuration.file

    def record_plan(self, report: PlanReport) -> None:
        """Replace the report by that of the plan, and write its events."""
        self.report = report
        if self._streams:
            self.stream.plan(report)

    def __enter__(self) -> Self:
        """Check that every output can be written before the run starts. Raises `UsageError` and `OctosyncError`."""
        if self.destinations:
            _check_destinations(self.destinations, self.plan_out)
        if self._writes_runner_files:
            from octosync.cli.github_runner import check_runner_files

            check_runner_files(self.environment)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._closed:
            return
        if isinstance(error, OctosyncError):
            self.fail(error)
        elif error is None or isinstance(error, AlreadyReported):
            self.fail(None)
        elif is_defect(error):
            self.fail(InternalError(error), written="")

    def fail(self, error: OctosyncError | None, *, written: str = NOTHING_WRITTEN) -> None:
        """Write the outputs of a run that failed; `error` is None if diagnostics of the manifests ended it.

        `written` is the error's last line: what was written to the control plane.
        """
        if self._closed:
            return
        code = ExitCode.ERROR if error is None else error.exit_code
        report = replace(self.report, exit_code=code, error=error, written=written)
        try:
            self.close(report, prints=RENDERERS[self.output].prints_failures)
        except OctosyncError as unwritable:
            report_failure(unwritable)  # the error that ended the run is still reported and sets the exit code

    def close(self, report: RunReport, *, prints: bool = True) -> None:
        """Write every output, files first, so that a failing standard output doesn't affect them.

        Nothing is printed if `prints` is False or if the format was printed during the run.
        Raises `OctosyncError` for an output that can't be written, after all others were written.
        """
        self._closed = True
        if self._streams:
            self.stream.end(report)
        prints = prints and not RENDERERS[self.output].streams
        context = self._render_context() if prints or self.destinations else None
        errors_of_files = (
            _write_destination(destination, report, context) for destination in self.destinations if context is not None
        )
        errors = [error for error in errors_of_files if error is not None]
        if self._writes_runner_files:
            from octosync.cli.github_runner import write_runner_files

            try:
                links = self._render_context().links
                write_runner_files(report, self._files(report), self.environment, links)
            except OctosyncError as error:
                errors.append(error)
        if prints and context is not None:
            out(RENDERERS[self.output].render(report, context))
        if errors:
            raise errors[0]

    def _render_context(self) -> RenderContext:
        from octosync.cli.github_runner import blob_links, repository_paths

        resolve_path = repository_paths(self.environment, self._configuration)
        return RenderContext(
            resolve_path=resolve_path,
            links=blob_links(self.environment, resolve_path),
            max_bytes=self.max_bytes,
            full=self.full,
            lines=self.stream.lines if self._streams else (),
        )

    def _files(self, report: RunReport) -> dict[str, str]:
        files = {f"{destination.format}-file": str(destination.path) for destination in self.destinations}
        if self.plan_out is not None:
            from octosync.report import PlanReport

            if isinstance(report, PlanReport):
                files["plan-file"] = str(self.plan_out)
        return files


def _changed_apps(desired: State, base: Base) -> frozenset[str]:
    from octosync.plan.three_way.verdict import changed_apps

    return changed_apps(desired, base)


def _check_destinations(destinations: Sequence[Destination], plan_out: Path | None) -> None:
    """Raise `UsageError` for two outputs in one file, and `OctosyncError` for a file that can't be written."""
    from octosync.cli.file_writer import is_stream, why_unwritable

    named = [("--plan-out", plan_out)] if plan_out is not None else []
    named += [(f"--write {destination.format}=", destination.path) for destination in destinations]
    seen: dict[Path, str] = {}
    for flag, path in named:
        if is_stream(path):
            continue  # a device such as /dev/stderr can receive several outputs
        earlier = seen.setdefault(path.resolve(), flag)
        if earlier is not flag:
            raise UsageError(
                "same-file-twice",
                f"{earlier.rstrip('=')} and {flag.rstrip('=')} name the same file, {path}",
                hints=("Name different files.",),
            )
    for destination in destinations:
        if (why := why_unwritable(destination.path)) is not None:
            raise OctosyncError(
                "output-unwritable",
                f"--write {destination.format}={destination.path}: {why}",
                hints=("Name another file.",),
            )


def _write_destination(destination: Destination, report: RunReport, context: RenderContext) -> OctosyncError | None:
    from octosync.cli.file_writer import write_whole

    try:
        write_whole(destination.path, RENDERERS[destination.format].render(report, context), private=False)
    except OSError as error:
        return OctosyncError(
            "output-unwritable",
            f"{destination.path} can't be written: {error.strerror}",
            hints=(f"--write {destination.format}= needs another file.",),
        )
    return None
