"""The outputs of a run: one format on standard output, others into files, all at its end and from one report."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import click

from octosync.cli.completing import starting_with
from octosync.cli.console import out
from octosync.cli.failing import AlreadyReported, report_failure
from octosync.cli.files import is_stream, why_unwritable, write_whole
from octosync.cli.formats import FORMATS, Frame
from octosync.cli.github_runner import check_runner, tell_runner
from octosync.cli.inputs import LoadedInputs
from octosync.cli.options import F, option, output_option, stacked
from octosync.cli.places import places_in
from octosync.cli.stream import Stream
from octosync.errors import ExitCode, OctosyncError, UsageError
from octosync.report import MAX_BYTES, NOTHING_WRITTEN, PlanReport, RunReport

_STREAM: Final = "jsonl"
_FOR_RUNNER: Final = "github"


@dataclass(frozen=True, slots=True)
class Destination:
    """A file, and the format that it is to have."""

    format: str
    path: Path


def output_options(*formats: str) -> Callable[[F], F]:
    """`-o` and `--write`."""

    def destinations(ctx: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> tuple[Destination, ...]:
        try:
            return tuple(_destination(text, formats) for text in given)
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, parameter) from None

    write = option(
        "--write",
        "destinations",
        multiple=True,
        metavar="FORMAT=FILE",
        callback=destinations,
        shell_complete=starting_with(f"{name}=" for name in formats),
        help=f"Also write this format to a file: {', '.join(formats)}. Repeatable.",
    )
    return stacked(output_option(*formats), write)


def _destination(given: str, formats: Sequence[str]) -> Destination:
    name, equals, file = given.partition("=")
    if not equals:
        raise ValueError(f"{given!r} is not FORMAT=FILE, such as {formats[1]}=FILE")
    if name not in formats:
        raise ValueError(f"{name!r} in {given!r} is not one of {', '.join(formats)}")
    if file in {"", "-"}:
        raise ValueError(f"{given!r} names no file: what goes to standard output is chosen with -o")
    return Destination(name, Path(file))


@dataclass(kw_only=True)
class Outputs:
    """The outputs of one run. As a context manager, it serves them however the run ends, with the latest report.

    `report` is filled as the run goes; commands replace it by one that knows more.
    """

    report: RunReport
    output: str
    destinations: tuple[Destination, ...] = ()
    plan_out: Path | None = None
    max_bytes: int = MAX_BYTES
    full: bool = False
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    stream: Stream = field(init=False)
    _closed: bool = False

    def __post_init__(self) -> None:
        kept = any(destination.format == _STREAM for destination in self.destinations)
        self.stream = Stream(prints=self.output == _STREAM, keeps=kept)

    def loaded(self, inputs: LoadedInputs) -> None:
        """Report the manifests and their diagnostics."""
        manifests = inputs.manifests
        self.report = replace(
            self.report,
            diagnostics=inputs.diagnostics,
            files=manifests.files,
            apps=len(manifests.state.apps),
            strict=inputs.strict,
        )

    def planned(self, report: PlanReport) -> None:
        """Report the plan."""
        self.report = report
        self.stream.plan(report)

    def __enter__(self) -> Self:
        """Check that everything can be written, before anything is done. Raises `UsageError` and `OctosyncError`."""
        _refuse_same(self.destinations, self.plan_out)
        for destination in self.destinations:
            if (why := why_unwritable(destination.path)) is not None:
                raise OctosyncError(
                    "output-unwritable",
                    f"--write {destination.format}={destination.path}: {why}",
                    hints=("Name another file.",),
                )
        if self._tells_runner:
            check_runner(self.environment)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, OctosyncError):
            self.fail(error)
        elif error is None or isinstance(error, AlreadyReported):
            self.fail(None)

    def fail(self, error: OctosyncError | None, *, written: str = NOTHING_WRITTEN) -> None:
        """Serve a run that ended without a report; `error` is None if diagnostics of the manifests ended it.

        `written` is what that means for the control plane.
        """
        if self._closed:
            return
        code = ExitCode.ERROR if error is None else error.exit_code
        report = replace(self.report, exit_code=code, error=error, written=written)
        try:
            self.close(report, prints=FORMATS[self.output].tells_failures)
        except OctosyncError as unwritable:
            report_failure(unwritable)  # what ended the run is still to be reported, and is its exit code

    def close(self, report: RunReport, *, prints: bool = True) -> None:
        """Serve every output, files first: nothing that happens to standard output keeps them from being written.

        `prints` False leaves standard output alone; so do the formats that are printed as the run goes.
        Raises `OctosyncError` where something can't be written, after all that can be was.
        """
        self._closed = True
        self.stream.end(report)
        frame = Frame(
            places=places_in(self.environment), max_bytes=self.max_bytes, full=self.full, lines=self.stream.lines
        )
        written = (_written(destination, report, frame) for destination in self.destinations)
        errors = [error for error in written if error is not None]
        if self._tells_runner:
            try:
                tell_runner(report, self._files(report), self.environment)
            except OctosyncError as error:
                errors.append(error)
        if prints and not FORMATS[self.output].streams:
            out(FORMATS[self.output].render(report, frame))
        if errors:
            raise errors[0]

    @property
    def _tells_runner(self) -> bool:
        return _FOR_RUNNER in {self.output, *(destination.format for destination in self.destinations)}

    def _files(self, report: RunReport) -> dict[str, str]:
        files = {f"{destination.format}-file": str(destination.path) for destination in self.destinations}
        if self.plan_out is not None and isinstance(report, PlanReport):
            files["plan-file"] = str(self.plan_out)
        return files


def _refuse_same(destinations: Sequence[Destination], plan_out: Path | None) -> None:
    named = [("--plan-out", plan_out)] if plan_out is not None else []
    named += [(f"--write {destination.format}=", destination.path) for destination in destinations]
    seen: dict[Path, str] = {}
    for flag, path in named:
        if is_stream(path):
            continue  # a device, such as /dev/stderr, takes more than one
        earlier = seen.setdefault(path.resolve(), flag)
        if earlier is not flag:
            raise UsageError(
                "same-file-twice",
                f"{earlier.rstrip('=')} and {flag.rstrip('=')} name the same file, {path}",
                hints=("Name a file for each.",),
            )


def _written(destination: Destination, report: RunReport, frame: Frame) -> OctosyncError | None:
    try:
        write_whole(destination.path, FORMATS[destination.format].render(report, frame), private=False)
    except OSError as error:
        return OctosyncError(
            "output-unwritable",
            f"{destination.path} can't be written: {error.strerror}",
            hints=(f"It was to have the run as {destination.format}: name another file.",),
        )
    return None
