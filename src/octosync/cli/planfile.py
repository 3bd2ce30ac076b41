"""Plan files: written for the one who planned, and read as an approval, never as an authority."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from pathlib import Path

from octosync import __version__
from octosync.cli.files import write_whole
from octosync.cli.gathering import Gathered
from octosync.cli.turning import Asked
from octosync.errors import PlanFileError, StalePlan
from octosync.manifest import parse_duration
from octosync.model import JsonObject
from octosync.plan import Approval, read_approval
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


def asked_as_approved(asked: Asked, approval: Approval, file: str) -> Asked:
    """Take from the plan file what it was asked for; the command line must not name others. Raises `StalePlan`."""
    approved = approval.invocation
    given = (
        ("-f", asked.manifests.paths, approved.paths),
        ("--app", asked.apps, approved.apps),
        ("-l", (asked.selector,) if asked.selector else (), (approved.selector,) if approved.selector else ()),
        ("-k", _given(asked.manifests.kustomize), _given(approved.kustomize)),
        ("--base", _given(asked.base.base), _given(approved.base)),
        ("--optimize", (asked.optimize,) if asked.optimize else (), (approved.optimize,) if approved.optimize else ()),
    )
    for flag, now, then in given:
        if now and _places(now) != _places(then):
            raise StalePlan(
                "other-manifests",
                f"{file} was planned with {flag} {' '.join(then) or '(nothing)'}, not with {flag} {' '.join(now)}",
                hints=("Leave the flag out: the plan file says what it was made from.",),
            )
    if asked.base.changed_only and not approved.changed_only:
        raise StalePlan(
            "other-manifests",
            f"{file} was planned without --changed-only",
            hints=("Leave the flag out: the plan file says what it was made from.",),
        )
    paths = approved.paths or asked.manifests.paths
    return replace(
        asked,
        manifests=replace(asked.manifests, paths=paths, kustomize=approved.kustomize),
        base=replace(asked.base, base=approved.base, changed_only=approved.changed_only),
        apps=approved.apps,
        selector=approved.selector,
        optimize=approved.optimize,
        previews=approved.previews,
    )


def check_configured_paths(gathered: Gathered, approval: Approval, file: str) -> None:
    """Hold the plan file's paths against octosync.yaml's: a file must not choose the manifests. Raises `StalePlan`."""
    own, approved = gathered.configuration.paths_of(gathered.context), approval.invocation.paths
    rendered, kustomize = gathered.context.kustomize if gathered.context else None, approval.invocation.kustomize
    if rendered is not None and (kustomize is None or _places((rendered,)) != _places((kustomize,))):
        raise StalePlan(
            "other-manifests",
            f"{file} was planned with {f'-k {kustomize}' if kustomize else 'other manifests'}, and "
            f"{gathered.configuration.file} names kustomization {rendered}",
            hints=("If the plan's are meant, name them with -k or -f, too.",),
        )
    if rendered is None and kustomize is not None and own:
        raise StalePlan(
            "other-manifests",
            f"{file} was planned with -k {kustomize}, and {gathered.configuration.file} names {' '.join(own)}",
            hints=("If the plan's are meant, name them with -k, too.",),
        )
    if rendered is None and kustomize is None and names_others(own, approved):
        raise StalePlan(
            "other-manifests",
            f"{file} was planned with -f {' -f '.join(approved) or '(nothing)'}, and {gathered.configuration.file} "
            f"names {' '.join(own)}",
            hints=("If the plan's are meant, name them with -f, too.",),
        )


def names_others(own: tuple[str, ...], paths: tuple[str, ...]) -> bool:
    """Say whether octosync.yaml's own paths, where it has any, are others than these."""
    return bool(own) and _places(own) != _places(paths)


def _given(value: str | None) -> tuple[str, ...]:
    return (value,) if value is not None else ()


def _places(paths: tuple[str, ...]) -> set[str]:
    return {os.path.normpath(path) for path in paths}
