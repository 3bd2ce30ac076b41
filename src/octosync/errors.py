"""The error classes. An error is a document: what happened, where, why, and what to do next.

    OctosyncError              exit 1
    ├── UsageError             exit 64   usage error: the command line is wrong
    ├── ConfigError            exit 1    octosync.yaml or the environment
    ├── ManifestError          exit 1    manifests can't be read or are not valid
    ├── PlanFileError          exit 1    a saved plan is incomplete, has errors, or is not a plan
    ├── RemoteError            exit 1    the control plane's response prevents octosync from going on
    │   ├── CredentialRefused            401
    │   ├── Forbidden                    403
    │   ├── Missing                      404 that names an absent object
    │   ├── Conflict                     409
    │   ├── AwaitingApproval             the org's guard rails require a person's approval
    │   ├── Rejected                     any other 4xx: the request itself is rejected
    │   ├── Unreadable                   a response that doesn't match the contract
    │   └── Unavailable        exit 75   no connection, 5xx or throttling beyond the retries
    ├── StateUnavailable       exit 75   the database with the state can't be used now
    │   └── StateLocked        exit 1    another process locks the state file
    ├── LeaseLost              exit 75   another process leads now, or holds the lock
    ├── StateDamaged           exit 1    the state file is damaged
    ├── StalePlan              exit 3    the approved plan differs from what would be applied now
    ├── GuardRefused           exit 4    a guard rejects an action of the plan
    ├── Interrupted            exit 130  stopped by a signal; writes in flight were finished
    └── InternalError          exit 1    a defect of octosync; exit 5 if apply had begun to write

The `reference` of every error is stable and kebab-case: people search for it, tests and tools match on it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from errno import errorcode
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Self

from octosync import __version__

if TYPE_CHECKING:
    from traceback import FrameSummary


class ExitCode(IntEnum):
    """The exit codes. `worst` returns the one with precedence if several apply."""

    DONE = 0
    ERROR = 1
    CHANGES = 2
    STALE = 3
    GUARDED = 4
    PARTIAL = 5
    UNCOVERED = 6
    USAGE = 64
    UNAVAILABLE = 75
    INTERRUPTED = 130
    TERMINATED = 143


EXIT_CODES: Final[Mapping[ExitCode, str]] = MappingProxyType(
    {
        ExitCode.DONE: "success",
        ExitCode.ERROR: "an error; nothing was written",
        ExitCode.CHANGES: "plan with --detailed-exitcode: there are changes",
        ExitCode.STALE: "apply: the current plan differs from the approved or confirmed plan",
        ExitCode.GUARDED: "a guard rejects a change; apply writes nothing",
        ExitCode.PARTIAL: "partially applied: some actions failed, were skipped or await approval, or a defect ended the run",
        ExitCode.UNCOVERED: "apply with --wait: applied, but a rollout failed, was rolled back or was not covered in time",
        ExitCode.USAGE: "usage error, or confirmation needed without a terminal or --yes",
        ExitCode.UNAVAILABLE: "the control plane or the state is unavailable, or another run writes; nothing was written",
        ExitCode.INTERRUPTED: "interrupted; writes in progress were finished",
        ExitCode.TERMINATED: "interrupted; writes in progress were finished",
    }
)

_PRECEDENCE = (
    ExitCode.INTERRUPTED,
    ExitCode.TERMINATED,
    ExitCode.USAGE,
    ExitCode.UNAVAILABLE,
    ExitCode.ERROR,
    ExitCode.STALE,
    ExitCode.GUARDED,
    ExitCode.PARTIAL,
    ExitCode.UNCOVERED,
    ExitCode.CHANGES,
    ExitCode.DONE,
)


def worst(*codes: ExitCode) -> ExitCode:
    """Return the code with precedence among several, `DONE` for none."""
    return min(codes, key=_PRECEDENCE.index, default=ExitCode.DONE)


class OctosyncError(Exception):
    """The base of all errors that octosync raises on purpose.

    `reference` is the stable kebab-case name, `message` one sentence that states what and where, `hints` are lines that
    state why and what to do next. `exit_code` is that of the class, unless another is given. An error is never changed once it is
    made.
    """

    exit_code: ExitCode = ExitCode.ERROR
    retryable: bool = False

    def __init__(
        self, reference: str, message: str, *, hints: tuple[str, ...] = (), exit_code: ExitCode | None = None
    ) -> None:
        super().__init__(message)
        self.reference = reference
        self.message = message
        self.hints = hints
        if exit_code is not None:
            self.exit_code = exit_code

    def __str__(self) -> str:
        return f"{self.reference}: {self.message}"


class UsageError(OctosyncError):
    """Usage error: the command line is wrong."""

    exit_code = ExitCode.USAGE


class ConfigError(OctosyncError):
    """octosync.yaml or the environment is wrong."""


class ManifestError(OctosyncError):
    """Manifests can't be read or are not valid. The diagnostics are reported separately."""


class PlanFileError(OctosyncError):
    """A saved plan is incomplete, has errors, or is not a plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorResponse:
    """The details of a failure response.

    `status` is the HTTP status, None if no response came; `code` the response's own error code; `request_id` from
    `X-Request-Id`; `details` the response's structured details; `retry_after` how many seconds a throttled key has to wait,
    if the response states it.
    """

    status: int | None = None
    code: str | None = None
    request_id: str | None = None
    details: object = None
    retry_after: float | None = None


_NO_RESPONSE: Final = ErrorResponse()


class RemoteError(OctosyncError):
    """A request failed, or its response can't be used.

    `response` holds the details of the response; its fields are attributes of the error, too. `sent`: the request may
    have been carried out; for a write, that makes the failure *ambiguous*.
    """

    def __init__(
        self,
        reference: str,
        message: str,
        *,
        hints: tuple[str, ...] = (),
        operation: str = "",
        response: ErrorResponse = _NO_RESPONSE,
        sent: bool = False,
        exit_code: ExitCode | None = None,
    ) -> None:
        super().__init__(reference, message, hints=hints, exit_code=exit_code)
        self.operation = operation
        self.response = response
        self.status = response.status
        self.code = response.code
        self.request_id = response.request_id
        self.details = response.details
        self.retry_after = response.retry_after
        self.sent = sent

    def with_hints(self, *hints: str, exit_code: ExitCode | None = None) -> Self:
        """Return the same error with other hints, and with another exit code if given."""
        return type(self)(
            self.reference,
            self.message,
            hints=hints,
            operation=self.operation,
            response=self.response,
            sent=self.sent,
            exit_code=self.exit_code if exit_code is None else exit_code,
        )


class CredentialRefused(RemoteError):
    """401: the API key is missing, wrong or revoked."""


class Forbidden(RemoteError):
    """403: the key may not do this."""


class Missing(RemoteError):
    """404 that names an absent object (`app_not_found`, `capability_not_configured`, …); never the bare 404 of a route."""


class Conflict(RemoteError):
    """409: the object exists, or is held by another."""


class AwaitingApproval(RemoteError):
    """The org's guard rails require a person's approval (403, 409 or 202 with `approval_required`)."""


class Rejected(RemoteError):
    """Any other 4xx: the request is rejected, and sending it again won't help."""


class Unreadable(RemoteError):
    """A response that doesn't match the contract: not JSON, truncated, a redirect elsewhere, a needed field missing."""


class Unavailable(RemoteError):
    """No connection, 5xx or throttling beyond the retries: try again later."""

    exit_code = ExitCode.UNAVAILABLE
    retryable = True


class StateUnavailable(OctosyncError):
    """The database with the state can't be used now: there is no connection, it is read-only, full or too slow."""

    exit_code = ExitCode.UNAVAILABLE
    retryable = True


class StateLocked(StateUnavailable):
    """Another process locks the state file."""

    exit_code = ExitCode.ERROR
    retryable = False


class LeaseLost(OctosyncError):
    """The lease of this process has ended: another process leads now, or holds the lock."""

    exit_code = ExitCode.UNAVAILABLE


class StateDamaged(OctosyncError):
    """The state file was written by octosync and is damaged."""


class StalePlan(OctosyncError):
    """The approved plan differs from what would be applied now."""

    exit_code = ExitCode.STALE


class GuardRefused(OctosyncError):
    """A guard rejects an action of the plan."""

    exit_code = ExitCode.GUARDED


class Interrupted(OctosyncError):
    """Stopped by a signal."""

    exit_code = ExitCode.INTERRUPTED


ISSUES: Final = "https://github.com/octomil/octosync/issues"
DEBUG: Final = "OCTOSYNC_DEBUG"  # the environment variable


class InternalError(OctosyncError):
    """A defect of octosync. Its cause is the exception that nothing expected.

    No text of that exception is shown: it may quote what was read or sent, such as a secret.
    """

    def __init__(self, defect: Exception, *, hints: tuple[str, ...] = (), exit_code: ExitCode = ExitCode.ERROR) -> None:
        version = ".".join(map(str, sys.version_info[:3]))
        super().__init__(
            "internal-error",
            f"unexpected {_described(defect)}",
            hints=(
                *hints,
                f"This is a defect of octosync. Report it, with these lines and the command:  {ISSUES}",
                f"octosync {__version__}, Python {version}, {sys.platform}. {DEBUG}=1 shows the traceback, without values.",
            ),
            exit_code=exit_code,
        )
        self.__cause__ = defect

    @property
    def traceback(self) -> str:
        """The traceback of the defect and of its causes: files, lines and functions, without the texts of exceptions."""
        return "".join(_traceback_lines(self.__cause__))


def frame_words(error: BaseException, *, at_most: int) -> list[str]:
    """Return where an error was raised, outermost first: the file, line and function of the innermost frames."""
    return [_frame_words(frame) for frame in _frames(error)[-at_most:]]


def _frames(error: BaseException) -> list[FrameSummary]:
    from traceback import extract_tb  # only a failure needs it

    return list(extract_tb(error.__traceback__))


def _frame_words(frame: FrameSummary) -> str:
    return f"{'/'.join(frame.filename.split('/')[-3:])}:{frame.lineno} in {frame.name}"


_PACKAGE: Final = __file__.rpartition("/")[0]


def _described(defect: Exception) -> str:
    """Return the type of an exception, a detail that is never a secret, and the innermost place in octosync's own code."""
    frames = _frames(defect)
    own = [frame for frame in frames if frame.filename.startswith(_PACKAGE)]
    where = "".join(f", {_frame_words(frame)}" for frame in (own or frames)[-1:])
    detail = ""
    if isinstance(defect, OSError):
        detail = f" ({errorcode.get(defect.errno, 'no code')})" if defect.errno is not None else ""
    elif isinstance(defect, ImportError):
        detail = f" ({defect.name})" if defect.name else ""
    return f"{type(defect).__name__}{detail}{where}"


_MOST_CAUSES: Final = 10


def _traceback_lines(error: BaseException | None) -> Iterator[str]:
    from traceback import format_list

    for _ in range(_MOST_CAUSES):
        if error is None:
            return
        yield f"Traceback of {type(error).__name__} (most recent call last):\n"
        yield from format_list(_frames(error))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
