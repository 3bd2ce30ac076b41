"""Plan files: written for the one who planned, and read as an approval, never as an authority."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from pathlib import Path

from octosync import __version__
from octosync.cli.files import write_whole
from octosync.cli.run import Run
from octosync.cli.run_options import RunRequest
from octosync.cli.session import chosen_context
from octosync.errors import PlanFileError, StalePlan
from octosync.manifest import STDIN, find_configuration, parse_duration, read_configuration
from octosync.model import JsonObject
from octosync.plan import Approval, Invocation, read_approval
from octosync.report import json_text


def write_plan_file(path: Path, document: JsonObject) -> None:
    """Write a plan for its owner's eyes only, whole or not at all. Raises `PlanFileError`."""
    try:
        write_whole(path, json_text(document), private=True)
    except OSError as error:
        raise PlanFileError(
            "plan-file-unwritable",
            f"the plan can't be written to {path}: {error.strerror}",
            hints=("Name another file.",),
        ) from error


def read_plan_file(path: Path) -> Approval:
    """Read an approval. Raises `PlanFileError` for what is none, `StalePlan` for one of another version."""
    if path.is_dir():
        raise _manifests(path, "a folder")
    try:
        text = path.read_bytes()
    except OSError as error:
        raise PlanFileError(
            "plan-file-unreadable",
            f"the plan file {path} can't be read: {error.strerror}",
            hints=("Write one with `octosync plan --plan-out FILE`.", *_typed_apart(str(path))),
        ) from error
    if path.suffix in {".yaml", ".yml"} and not text.startswith(b"{"):
        raise _manifests(path, "YAML")
    return read_approval(text, file=str(path), octosync_version=__version__)


def _typed_apart(text: str) -> tuple[str, ...]:
    """Say how a timeout is typed, to who put a space before it."""
    try:
        parse_duration(text)
    except ValueError:
        return ()
    return (f"If it is how long to wait: --wait={text}",)


def _manifests(path: Path, kind: str) -> PlanFileError:
    return PlanFileError(
        "not-a-plan-file",
        f"{path} is {kind}, and apply takes a plan file here",
        hints=(f"Manifests are named with -f: octosync apply {shlex.join(('-f', str(path)))}",),
    )


def check_request(request: RunRequest, approval: Approval, file: str) -> None:
    """Compare what a plan file was made from with the command line and octosync.yaml. Raises `StalePlan` for a difference.

    The file is an approval only: what it names has to be named again. Only the name of a base may be another, which
    `check_base` compares.
    """
    now, then = _invocation(request), approval.invocation
    same_base = replace(then, base=now.base) if then.base is not None and now.base is not None else then
    if _comparable(now) != _comparable(same_base):
        raise _stale(request, approval, file, now)


def check_base(run: Run, approval: Approval, file: str) -> None:
    """Refuse a base of another name that is another commit, too. Raises `StalePlan`."""
    revisions = run.inputs.revisions
    if (
        revisions is None
        or revisions.named == approval.invocation.base
        or revisions.base.commit == approval.base_commit
    ):
        return
    raise _stale(run.request, approval, file, run.invocation)


def _invocation(request: RunRequest) -> Invocation:
    """Return what the command line and octosync.yaml name, before any manifest is read."""
    manifests = request.manifests
    paths, kustomize = manifests.paths, manifests.kustomize
    if not paths and kustomize is None:
        configured = read_configuration(manifests.config or find_configuration(Path()))
        if not configured.has_errors:  # otherwise that is what ends the run
            context = chosen_context(request.remote, configured.configuration)
            kustomize = context.kustomize if context is not None else None
            paths = () if kustomize is not None else configured.configuration.paths_of(context)
    return replace(request.invocation((), kustomize), paths=paths)


def _comparable(invocation: Invocation) -> Invocation:
    """Return an invocation with its places as the same text, however they were written."""
    return replace(
        invocation,
        paths=tuple(sorted({STDIN if path == STDIN else _place(path) for path in invocation.paths})),
        kustomize=None if invocation.kustomize is None else _place(invocation.kustomize),
        apps=tuple(sorted(set(invocation.apps))),
    )


def _place(path: str) -> str:
    return os.path.abspath(path)  # noqa: PTH100 — `resolve` would follow links


def _stale(request: RunRequest, approval: Approval, file: str, now: Invocation) -> StalePlan:
    then = approval.invocation
    if then.base is not None and approval.base_commit is not None:
        then = replace(then, base=approval.base_commit)
    again = ("octosync", "apply", file, *then.arguments(), *request.typed_to_look)
    return StalePlan(
        "other-manifests",
        f"{file} was planned with {_words(approval.invocation)}; this command and octosync.yaml name {_words(now)}",
        hints=(
            "A plan file is an approval only: name here what it was planned with.",
            f"If you trust the file: {shlex.join(again)}",
        ),
    )


def _words(invocation: Invocation) -> str:
    return shlex.join(invocation.arguments()) or "nothing"
