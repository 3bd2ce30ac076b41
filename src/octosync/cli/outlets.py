"""Where a run's report goes: one format on standard output, others into files, all at its end and from one value."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import click

from octosync import __version__
from octosync.cli.completing import starting_with
from octosync.cli.console import out
from octosync.cli.failing import report_failure
from octosync.cli.files import is_stream, why_unwritable, write_whole
from octosync.cli.formats import FORMATS, Frame
from octosync.cli.gathering import Gathered
from octosync.cli.options import F, option, output_option, stacked
from octosync.cli.places import places_in
from octosync.cli.runner import check_runner, tell_runner
from octosync.cli.stream import Stream
from octosync.errors import ExitCode, OctosyncError, UsageError
from octosync.report import MAX_BYTES, NOTHING_WRITTEN, Applied, Ended, Planned

_STREAM: Final = "jsonl"
_FOR_RUNNER: Final = "github"


@dataclass(frozen=True, slots=True)
class Destination:
    """A file, and the format that it is to have."""

    format: str
    path: Path


def outlet_options(*formats: str) -> Callable[[F], F]:
    """`-o` and `--write`."""

    def destinations(ctx: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> tuple[Destination, ...]:
        try:
            return tuple(_destination(one, formats) for one in given)
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, parameter) from None

    write = option(
        "--write",
        "destinations",
        multiple=True,
        metavar="FORMAT=FILE",
        callback=destinations,
        shell_complete=starting_with(f"{name}=" for name in formats),
        help=f"Write a format to a file as well: {', '.join(formats)}. Repeatable.",
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
class Outlets:
    """The outlets of one run. As a context manager, they are served however the run ends: what it comes to know is kept here."""

    command: str
    output: str
    destinations: tuple[Destination, ...] = ()
    plan_out: Path | None = None
    max_bytes: int = MAX_BYTES
    full: bool = False
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    planned: Planned | None = None
    stream: Stream = field(init=False)
    _gathered: Gathered | None = None
    _closed: bool = False

    def __post_init__(self) -> None:
        kept = any(one.format == _STREAM for one in self.destinations)
        self.stream = Stream(prints=self.output == _STREAM, keeps=kept)

    def saw(self, gathered: Gathered) -> None:
        """Keep what the manifests came to."""
        self._gathered = gathered

    def plans(self, planned: Planned) -> Planned:
        """Keep the plan, and return it."""
        self.planned = planned
        self.stream.plan(planned)
        return planned

    def __enter__(self) -> Self:
        """Check that everything can be written, before anything is done. Raises `UsageError` and `OctosyncError`."""
        _refuse_same(self.destinations, self.plan_out)
        for one in self.destinations:
            if (why := why_unwritable(one.path)) is not None:
                raise OctosyncError(
                    "output-unwritable", f"--write {one.format}={one.path}: {why}", hints=("Name another file.",)
                )
        if self._tells_runner:
            check_runner(self.environment)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, OctosyncError):
            self.failed(error)

    def failed(self, error: OctosyncError | None, *, written: str = NOTHING_WRITTEN) -> None:
        """Say what can be said of a run that ended without a report; None: what was found in the manifests ended it.

        `written` is what that means for the control plane.
        """
        if self._closed:
            return
        code = ExitCode.ERROR if error is None else error.exit_code
        try:
            self.close(
                replace(self.ended(code, error=error), written=written), prints=FORMATS[self.output].tells_failures
            )
        except OctosyncError as unwritable:
            report_failure(unwritable)  # what ended the run is still to be reported, and is its exit code

    def ended(self, code: ExitCode, *, applied: Applied | None = None, error: OctosyncError | None = None) -> Ended:
        """Return the run's value: all that is known of it now, and how it ends."""
        gathered = self._gathered
        return Ended(
            command=self.command,
            exit_code=code,
            version=__version__,
            diagnostics=() if gathered is None else gathered.diagnostics,
            files=0 if gathered is None else gathered.manifests.files,
            apps=0 if gathered is None else len(gathered.manifests.state.apps),
            strict=gathered is not None and gathered.strict,
            planned=self.planned,
            applied=applied,
            error=error,
        )

    def close(self, ended: Ended, *, prints: bool = True) -> None:
        """Serve every outlet, files first: nothing that happens to standard output keeps them from being written.

        `prints` False leaves standard output alone; so do the formats that are printed as the run goes.
        Raises `OctosyncError` where something can't be written, after all that can be was.
        """
        self._closed = True
        self.stream.end(ended)
        frame = Frame(
            places=places_in(self.environment), max_bytes=self.max_bytes, full=self.full, lines=self.stream.lines
        )
        errors = [error for one in self.destinations if (error := _written(one, ended, frame)) is not None]
        if self._tells_runner:
            try:
                tell_runner(ended, self._files(ended), self.environment)
            except OctosyncError as error:
                errors.append(error)
        if prints and not FORMATS[self.output].streams:
            out(FORMATS[self.output].render(ended, frame))
        if errors:
            raise errors[0]

    @property
    def _tells_runner(self) -> bool:
        return _FOR_RUNNER in {self.output, *(one.format for one in self.destinations)}

    def _files(self, ended: Ended) -> dict[str, str]:
        files = {f"{one.format}-file": str(one.path) for one in self.destinations}
        if self.plan_out is not None and ended.planned is not None:
            files["plan-file"] = str(self.plan_out)
        return files


def _refuse_same(destinations: Sequence[Destination], plan_out: Path | None) -> None:
    named = [("--plan-out", plan_out)] if plan_out is not None else []
    named += [(f"--write {one.format}=", one.path) for one in destinations]
    seen: dict[Path, str] = {}
    for flag, path in named:
        if is_stream(path):
            continue  # a device, such as /dev/stderr, takes more than one
        other = seen.setdefault(path.resolve(), flag)
        if other is not flag:
            raise UsageError(
                "same-file-twice",
                f"{other.rstrip('=')} and {flag.rstrip('=')} name the same file, {path}",
                hints=("Name a file for each.",),
            )


def _written(one: Destination, ended: Ended, frame: Frame) -> OctosyncError | None:
    try:
        write_whole(one.path, FORMATS[one.format].render(ended, frame), private=False)
    except OSError as error:
        return OctosyncError(
            "output-unwritable",
            f"{one.path} can't be written: {error.strerror}",
            hints=(f"It was to have the run as {one.format}: name another file.",),
        )
    return None
