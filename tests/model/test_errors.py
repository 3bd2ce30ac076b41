"""The error tree and its exit codes."""

from __future__ import annotations

import ast
import itertools
import re
from pathlib import Path

import pytest

from octosync import errors
from octosync.errors import AwaitingApproval, ErrorResponse, ExitCode, Interrupted, OctosyncError, RemoteError, worst

EXITS: dict[type[OctosyncError], tuple[int, bool]] = {
    errors.OctosyncError: (1, False),
    errors.UsageError: (64, False),
    errors.ConfigError: (1, False),
    errors.ManifestError: (1, False),
    errors.RemoteError: (1, False),
    errors.CredentialRefused: (1, False),
    errors.Forbidden: (1, False),
    errors.Missing: (1, False),
    errors.Conflict: (1, False),
    errors.AwaitingApproval: (1, False),
    errors.Rejected: (1, False),
    errors.Unreadable: (1, False),
    errors.Unavailable: (75, True),
    errors.StateUnavailable: (75, True),
    errors.StateLocked: (1, False),
    errors.LeaseLost: (75, False),
    errors.StateDamaged: (1, False),
    errors.InternalError: (1, False),
    errors.StalePlan: (3, False),
    errors.PlanFileError: (1, False),
    errors.GuardRefused: (4, False),
    errors.Interrupted: (130, False),
}


def _tree(root: type[OctosyncError]) -> set[type[OctosyncError]]:
    return {root, *itertools.chain.from_iterable(_tree(child) for child in root.__subclasses__())}


def test_every_error_of_the_tree_has_its_exit_code() -> None:
    """Each class has its exit code, and only unavailability is retryable."""
    tree = {kind for kind in _tree(OctosyncError) if kind.__module__ == errors.__name__}
    assert {kind: (int(kind.exit_code), kind.retryable) for kind in tree} == EXITS


@pytest.mark.parametrize("kind", EXITS, ids=lambda kind: kind.__name__)
def test_every_class_is_drawn_in_the_tree(kind: type[OctosyncError]) -> None:
    """The picture at the top of the module has every class."""
    assert kind.__name__ in (errors.__doc__ or "")


def test_an_error_is_a_document() -> None:
    """An error has a stable reference, a message and hints; its text starts with the reference."""
    error = OctosyncError("no-such-thing", "there is no thing", hints=("Make one.",))
    assert (error.reference, error.message, error.hints) == ("no-such-thing", "there is no thing", ("Make one.",))
    assert str(error) == "no-such-thing: there is no thing"


def test_a_remote_error_has_the_fields_of_the_response() -> None:
    """A response error has status, code, request id and details; by default nothing was sent."""
    error = RemoteError(
        "r",
        "m",
        operation="apps.get",
        response=ErrorResponse(status=409, code="conflict", request_id="req_1", details={"a": 1}),
    )
    assert (error.operation, error.status, error.code, error.request_id) == ("apps.get", 409, "conflict", "req_1")
    assert error.details == {"a": 1}
    assert error.sent is False


def test_an_error_with_other_hints_is_another_error() -> None:
    """All other fields stay; the raised error is never changed."""
    error = AwaitingApproval("r", "m", hints=("a",), operation="o", response=ErrorResponse(status=403), sent=True)
    other = error.with_hints("b", exit_code=ExitCode.PARTIAL)
    assert (type(other), other.hints, other.exit_code) == (AwaitingApproval, ("b",), ExitCode.PARTIAL)
    assert (other.reference, other.message, other.operation, other.status, other.sent) == ("r", "m", "o", 403, True)
    assert (error.hints, error.exit_code) == (("a",), ExitCode.ERROR)


def test_an_exit_code_is_that_of_the_class_unless_another_is_given() -> None:
    """An error can have its own exit code; other errors keep that of the class."""
    assert Interrupted("r", "m", exit_code=ExitCode.TERMINATED).exit_code is ExitCode.TERMINATED
    assert Interrupted("r", "m", exit_code=None).exit_code is ExitCode.INTERRUPTED


# Interruption first; then the documented order.
PRECEDENCE = [130, 143, 64, 75, 1, 3, 4, 5, 6, 2, 0]


def test_every_code_has_its_place() -> None:
    """Every exit code is in the order of precedence."""
    assert sorted(PRECEDENCE) == sorted(map(int, ExitCode))


@pytest.mark.parametrize(("graver", "milder"), list(itertools.combinations(PRECEDENCE, 2)))
def test_the_graver_code_wins_whatever_the_order(graver: int, milder: int) -> None:
    """If two codes apply, the run exits with the one that is more useful to the caller."""
    assert worst(ExitCode(milder), ExitCode(graver)) is ExitCode(graver)
    assert worst(ExitCode(graver), ExitCode(milder), ExitCode(milder)) is ExitCode(graver)


def test_without_a_code_a_run_is_done() -> None:
    """Without any code the result is success."""
    assert worst() is ExitCode.DONE


def test_a_caught_error_is_never_changed() -> None:
    """An error is immutable: other hints or another exit code make a new error."""
    changed = []
    for path in sorted(Path(errors.__file__).parent.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if not any(re.search(rf"\b{name}\.\w+ =", text) for name in {*re.findall(r"\bas (\w+):", text)}):
            continue  # parsing all files takes seconds
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ExceptHandler) and node.name is not None:
                for part in ast.walk(node):
                    match part:
                        case ast.Assign(targets=[ast.Attribute(value=ast.Name(name))]) if name == node.name:
                            changed.append(f"{path}:{part.lineno}")
    assert not changed
