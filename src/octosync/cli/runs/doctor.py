"""`octosync doctor`: check the setup. Each check is a function that yields its findings; `_LOCAL` and `_REMOTE` list them.

Nothing is changed, and every check ends: requests, git and kustomize have time limits, and only regular files are read.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import cached_property, partial
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import click

from octosync import __version__
from octosync.cli import signals
from octosync.cli.base import BaseRevisions
from octosync.cli.console import is_debug, is_quiet, out_json, out_text, wants_colour
from octosync.cli.contexts import STATE_KEY, chosen_context, read_or_find
from octosync.cli.debug import configuration_words, key_words, show_request
from octosync.cli.progress import ProgressBar
from octosync.cli.root import error_of_defect, is_defect, octosync
from octosync.cli.run_options import BaseFlags, RemoteFlags, StateFlag
from octosync.cli.runs.state import state_findings
from octosync.cli.session import connect, requested_rate
from octosync.cli.state_location import ChosenState, choose_state
from octosync.errors import DEBUG, ConfigError, ExitCode, OctosyncError, RemoteError
from octosync.manifest import Configuration, ConfigurationResult, Context
from octosync.manifest.git.repository import SHOWN, Repository, git_revision, git_root
from octosync.manifest.load.kustomize import tool_version
from octosync.model import Severity, counted
from octosync.octomil import (
    Connection,
    Examination,
    examine,
    load_certificate_authorities,
)
from octosync.plan import PLAN_KEY
from octosync.report.show.doctor import DoctorFinding, FindingStatus, findings_document, render_findings
from octosync.report.text import listed, seconds_words, time_words
from octosync.watch.approvals import TOKEN_VARIABLE

_PROXIES: Final = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy")
_CERTIFICATES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_PREFIX: Final = "OCTOSYNC_"
_ALMOST_THE_SAME: Final = 0.91  # with the prefix, one or two letters of a name
# The variables that are not those of options.
_VARIABLES: Final = frozenset(
    {DEBUG, PLAN_KEY, STATE_KEY, TOKEN_VARIABLE, "OCTOSYNC_PAGER", "OCTOSYNC_NOTIFY_URL", "OCTOSYNC_NOTIFY_SECRET"}
)
_SKEW: Final = timedelta(seconds=30)
_MOST_PROBLEMS: Final = 3  # of octosync.yaml that are shown
_MOST_NAMES: Final = 5


class _NotCheckedError(Exception):
    """A check needs a setting whose error an earlier check has reported."""


@dataclass(frozen=True)
class _Setup:
    """The settings of a run, each read when the first check needs it. Reading one raises `OctosyncError`."""

    remote: RemoteFlags
    config: Path | None
    journal: StateFlag
    base: str | None
    environment: Mapping[str, str]

    @cached_property
    def configured(self) -> ConfigurationResult:
        return read_or_find(self.config)

    @cached_property
    def configuration(self) -> Configuration:
        """octosync.yaml, which the check of the configuration has found valid."""
        if self.configured.has_errors:
            raise _NotCheckedError
        return self.configured.configuration

    @cached_property
    def context(self) -> Context | None:
        return chosen_context(self.remote, self.configuration)

    @cached_property
    def state(self) -> ChosenState:
        return choose_state(self.journal, self.configuration, self.context, self.config, self.environment)

    @cached_property
    def connection(self) -> Connection:
        return connect(self.remote, self.configuration, self.context, self.environment)


Findings: TypeAlias = Iterator[DoctorFinding]


def run(
    *, journal: StateFlag, base: str | None, remote: RemoteFlags, config: Path | None, output: str, colour: str
) -> ExitCode:
    """Run `octosync doctor`."""
    setup = _Setup(remote, config, journal, base, os.environ)
    findings: list[DoctorFinding] = []
    for name, check in _LOCAL.items():
        _add_findings(findings, name, partial(check, setup))
    requests = 0
    if any(finding.status is FindingStatus.ERROR and finding.check in _NEEDED for finding in findings):
        findings.append(_warning("access", "not checked, because of the errors above"))
    else:
        examined = _examined(setup)
        requests = examined.requests
        for name, check_plane in _REMOTE.items():
            _add_findings(findings, name, partial(check_plane, setup, examined))
    failed = any(finding.status is FindingStatus.ERROR for finding in findings)
    if output == "json":
        out_json(findings_document(findings, requests=requests))
    else:
        colour_wanted = wants_colour(sys.stdout, colour)
        out_text(render_findings(findings, requests=requests, colour=colour_wanted, only_problems=is_quiet()))
    return ExitCode.ERROR if failed else ExitCode.DONE


def _add_findings(findings: list[DoctorFinding], name: str, check: Callable[[], Findings]) -> None:
    """Add the findings of a check. Its own error is one of them, unless an earlier check has found the same."""
    try:
        findings.extend(check())
    except _NotCheckedError:
        return
    except Exception as caught:
        if not isinstance(caught, OctosyncError) and not is_defect(caught):
            raise
        error = caught if isinstance(caught, OctosyncError) else error_of_defect(caught)
        if error.message not in {finding.message for finding in findings}:
            findings.append(_error(name, error.message, *error.hints))


def _examined(setup: _Setup) -> Examination:
    configuration = setup.configuration

    async def main(_: signals.StopSignal) -> Examination:
        with ProgressBar("examining the control plane", 0):
            return await examine(
                setup.connection,
                configuration.contract,
                configuration.sensitivity,
                lambda: datetime.now(UTC),
                trace=show_request if is_debug() else None,
            )

    return signals.run(main)


def _ok(check: str, message: str, *advice: str) -> DoctorFinding:
    return DoctorFinding(check, FindingStatus.OK, message, advice)


def _warning(check: str, message: str, *advice: str) -> DoctorFinding:
    return DoctorFinding(check, FindingStatus.WARNING, message, advice)


def _error(check: str, message: str, *advice: str) -> DoctorFinding:
    return DoctorFinding(check, FindingStatus.ERROR, message, advice)


def _versions(setup: _Setup) -> Findings:
    del setup
    yield _ok("version", f"octosync {__version__}, Python {platform.python_version()}, {platform.system()}")


def _configuration(setup: _Setup) -> Findings:
    found = setup.configured
    file = found.configuration.file
    if file is None:
        yield _ok(
            "configuration",
            "no octosync.yaml in this folder or above it: the defaults apply",
            "octosync init writes one.",
        )
        return
    errors = [problem for problem in found.diagnostics if problem.severity is Severity.ERROR]
    if errors:
        shown = (f"{problem.origin or file}: {problem.summary}" for problem in errors[:_MOST_PROBLEMS])
        yield _error("configuration", f"{file} has {counted(len(errors), 'error')}", *shown)
        return
    yield _ok("configuration", configuration_words(found.configuration))
    for problem in found.diagnostics[:_MOST_PROBLEMS]:
        yield _warning("configuration", f"{problem.origin or file}: {problem.summary}", *problem.notes)


def _context(setup: _Setup) -> Findings:
    context, names = setup.context, listed(setup.configuration.contexts, at_most=_MOST_NAMES)
    if context is not None:
        is_given = setup.remote.context is not None
        why = _source(setup, "context") if is_given else "the default of octosync.yaml"
        yield _ok("context", f"{context.name} ({why}), of {names}")
    elif setup.remote.url is not None:
        yield _ok("context", f"none: {_source(setup, 'url')} names the control plane")
    elif names:
        yield _warning(
            "context",
            f"none is chosen, of {names}",
            "Choose one with --context NAME, or set a default in octosync.yaml.",
        )
    else:
        yield _ok("context", "none: octosync.yaml defines no contexts")


def _source(setup: _Setup, option: str) -> str:
    return f"--{option}" if option in setup.remote.from_command_line else f"OCTOSYNC_{option.upper()}"


def _key(setup: _Setup) -> Findings:
    connection = setup.connection
    yield _ok("key", key_words(connection))
    org = "" if connection.org is None else f", org {connection.org}"
    yield _ok("control plane", f"{connection.url}{org}")


def _network(setup: _Setup) -> Findings:
    given = ", ".join(name for name in _PROXIES if setup.environment.get(name))
    proxy = setup.connection.proxy
    if proxy is not None:
        parts = urlsplit(proxy)
        yield _ok("proxy", f"requests go through {parts.hostname}:{parts.port or ''}".rstrip(":") + f" ({given})")
    elif given:
        yield _ok("proxy", f"none for this control plane ({given})")
    if setup.connection.url.startswith("https://"):
        load_certificate_authorities()
    if named := ", ".join(name for name in _CERTIFICATES if setup.environment.get(name)):
        yield _ok("certificates", f"the authorities are those of {named}")


def _git(setup: _Setup) -> Findings:
    if shutil.which("git") is None:
        yield _warning("git", "git is not on the PATH", "--base and the checks of trusted files need it.")
        return
    root = git_root(Path())
    if root is None:
        yield _warning(
            "git",
            "this folder is not in a work tree that git can use",
            "--base needs one. If the folder belongs to another user, git needs safe.directory.",
        )
        return
    revision = git_revision(Path())
    if revision is None:
        yield _warning(
            "git", f"{root} has no commits", "Commit the manifests, so that --base has a revision to compare with."
        )
        return
    state = "not checked for changes" if not revision.is_checked else "with changes" if revision.dirty else "clean"
    yield _ok("git", f"{root} at {revision.revision[:SHOWN]}, {state}")
    if Repository.around(Path()).is_shallow:
        yield _warning(
            "git",
            "the clone is shallow: --base may not find the commit to compare with",
            "Fetch the history:  git fetch --unshallow. In GitHub Actions: actions/checkout with fetch-depth: 0.",
        )
    if setup.base is not None:
        found = BaseRevisions.find(setup.base, BaseFlags(base=setup.base), setup.config)
        yield _ok("git", f"the base of {setup.base} is {found.base.commit[:SHOWN]}")


def _kustomize(setup: _Setup) -> Findings:
    configuration = setup.configuration
    is_needed = any(context.kustomize is not None for context in configuration.contexts.values())
    try:
        tool, version = tool_version(setup.environment)
    except ConfigError as error:
        make = _error if is_needed else _ok
        message = error.message if is_needed else "not installed, and only -k needs it"
        yield make("kustomize", message, *(error.hints if is_needed else ()))
        return
    if version:
        yield _ok("kustomize", f"{tool}: {version}")
    else:
        yield _warning("kustomize", f"{tool} does not print its version", f"Try it:  {Path(tool).name} version")


def _state(setup: _Setup) -> Findings:
    given = setup.journal.location
    location = given if given is not None else setup.state.location
    yield from state_findings(location, setup.environment)


def _environment(setup: _Setup) -> Findings:
    if setup.environment.get("CI"):
        yield _ok("environment", "CI is set: octosync never asks for confirmation")
    known = {*_VARIABLES, *_option_variables(octosync)}
    contexts = setup.configuration.contexts.values()
    named = {setup.configuration.state_url_env}.union(
        *((context.token_env, context.state_url_env) for context in contexts)
    )
    for name in sorted(set(setup.environment) - known - named):
        # Only names that are almost the same: a workflow may have variables of its own, and Kubernetes sets some for Services.
        meant = get_close_matches(name, known, n=1, cutoff=_ALMOST_THE_SAME) if name.startswith(_PREFIX) else ()
        if meant:
            yield _warning("environment", f"octosync does not read {name}", f"Is {meant[0]} meant?")


def _option_variables(command: click.Command) -> Iterator[str]:
    """Yield the environment variables of the options of a command and its subcommands."""
    context = click.Context(command)
    yield from (parameter.envvar for parameter in command.params if isinstance(parameter.envvar, str))
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            if (inner := command.get_command(context, name)) is not None:
                yield from _option_variables(inner)


_LOCAL: Final[Mapping[str, Callable[[_Setup], Findings]]] = {
    "version": _versions,
    "configuration": _configuration,
    "context": _context,
    "key": _key,
    "network": _network,
    "git": _git,
    "kustomize": _kustomize,
    "state": _state,
    "environment": _environment,
}
_NEEDED: Final = frozenset({"configuration", "context", "key", "network"})  # with an error in these, nothing is sent


def _access(setup: _Setup, examined: Examination) -> Findings:
    error = examined.error
    if error is None:
        apps = "" if examined.apps is None else f", {counted(examined.apps, 'app')}"
        whose = "the key may read apps" if setup.connection.token is not None else "apps can be read without a key"
        yield _ok("access", f"{whose}{apps}; whether it may write is known only after a write")
        return
    scopes = error.details.get("scopes") if isinstance(error.details, Mapping) else None
    known = ", ".join(map(str, scopes[:_MOST_PROBLEMS])) if isinstance(scopes, list) and scopes else ""
    yield _error("access", _with_id(error), *((f"The key has the scopes: {known}",) if known else ()), *error.hints)


def _with_id(error: RemoteError) -> str:
    is_shown = error.request_id is None or error.request_id in error.message
    return error.message if is_shown else f"{error.message} (request {error.request_id})"


def _clock(setup: _Setup, examined: Examination) -> Findings:
    del setup
    ahead = examined.ahead
    if ahead is None:
        return
    if abs(ahead) <= _SKEW:
        yield _ok("clock", "the local clock agrees with that of the control plane")
        return
    direction = "behind" if ahead > timedelta() else "ahead of"
    yield _warning(
        "clock",
        f"the local clock is {seconds_words(abs(ahead.total_seconds()))} {direction} that of the control plane",
        "The age of drift and freeze windows depend on it: synchronize it with NTP.",
    )


def _budget(setup: _Setup, examined: Examination) -> Findings:
    own, limit = setup.connection.requests_per_minute, examined.limit
    why = "as set" if requested_rate(setup.remote, setup.configuration) is not None else "the default"
    words = f"{counted(own, 'request')} per minute" if own else "none"
    left = "" if examined.remaining is None else f", {examined.remaining:,} left"
    stated = "" if limit is None else f"; the control plane states {limit:,}{left}"
    message = f"{words} ({why}){stated}"
    if limit is not None and (not own or own > limit):
        yield _warning(
            "rate limit", message, f"Set rate.requestsPerMinute: {limit} in octosync.yaml, or --rate {limit}."
        )
    else:
        yield _ok("rate limit", message)


def _feed(setup: _Setup, examined: Examination) -> Findings:
    del setup
    error, page = examined.feed_error, examined.feed
    if error is not None:
        advice = "Without it, drift has no author and is not held, and watch finds it only by resyncs."
        yield _warning("activity feed", _with_id(error), advice, *error.hints)
    elif page is not None and not page.events:
        yield _ok("activity feed", "it can be read, and is empty")
    elif page is not None:
        oldest = page.events[-1].at
        which = "all" if page.is_last else "the newest"
        yield _ok("activity feed", f"{which} {counted(len(page.events), 'event')} go back to {time_words(oldest)}")


_REMOTE: Final[Mapping[str, Callable[[_Setup, Examination], Findings]]] = {
    "access": _access,
    "clock": _clock,
    "rate limit": _budget,
    "activity feed": _feed,
}
