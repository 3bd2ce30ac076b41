"""The GitHub Actions runner: the job summary, the step outputs, and positions of files as paths and links."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import quote

from octosync.errors import OctosyncError
from octosync.manifest.git.repository import git_root
from octosync.model import Origin
from octosync.report import BlobLinks, PathResolver, RunReport, output_lines, report_markdown, report_values

SUMMARY: Final = "GITHUB_STEP_SUMMARY"
OUTPUT: Final = "GITHUB_OUTPUT"
_PUBLIC_SERVER: Final = "https://github.com"
_SERVER: Final = re.compile(r"https?://[\w.-]+(:\d+)?(/[\w./-]+)?", re.ASCII)
_REPOSITORY: Final = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_COMMIT: Final = re.compile(r"[0-9a-f]{7,64}")
_SUMMARY_BYTES: Final = 1024 * 1024 - 1  # GitHub drops a summary of more than 1 MiB


def check_runner_files(environment: Mapping[str, str]) -> None:
    """Raise `OctosyncError` if one of the runner's files can't be written."""
    for name in (SUMMARY, OUTPUT):
        if file := environment.get(name):
            _append(name, Path(file), "")


def write_runner_files(
    report: RunReport, files: Mapping[str, str], environment: Mapping[str, str], links: BlobLinks | None = None
) -> None:
    """Append the report to the job summary, and its counts and file paths to the step outputs. Raises `OctosyncError`.

    A file that the environment doesn't name is skipped. `files` are the paths of other files of the run by output name,
    `links` the URLs of positions.
    """
    if file := environment.get(SUMMARY):
        path = Path(file)
        size = path.stat().st_size if path.exists() else 0
        separator = "\n" if size else ""
        if (room := _SUMMARY_BYTES - size - len(separator)) > 0:
            _append(SUMMARY, path, separator + report_markdown(report, max_bytes=room, links=links))
    if file := environment.get(OUTPUT):
        _append(OUTPUT, Path(file), output_lines({**report_values(report), **files}))


def _append(name: str, path: Path, text: str) -> None:
    try:
        with path.open("a", encoding="utf-8", newline="") as file:
            file.write(text)
    except OSError as error:
        raise OctosyncError(
            "output-unwritable",
            f"{path} can't be written to: {error.strerror}",
            hints=(f"The path is the value of {name}, which the GitHub runner sets.",),
        ) from error


def repository_paths(environment: Mapping[str, str], configuration: str | None = None) -> PathResolver:
    """Return a function that returns the path of an origin's file relative to the repository root.

    The root is GITHUB_WORKSPACE, else that of the Git work tree, else the current folder. The path is None if no file below it
    has the name, as for standard input. For an origin in the base it is the same file if it still exists, else octosync.yaml
    (`configuration`): code scanning takes no result without a file.
    """
    here = Path.cwd()

    @cache  # Git runs once, and only if a path is needed
    def work_tree() -> Path:
        return git_root(here) or here

    @cache
    def root() -> Path:
        return Path(os.path.realpath(environment.get("GITHUB_WORKSPACE") or work_tree()))

    def existing(file: Path) -> str | None:
        # Links of the folder are resolved, a link that is the file itself is not: the repository has it under its own name.
        found = Path(os.path.realpath(file.parent)) / file.name
        is_below = found.is_relative_to(root()) and os.path.isfile(found)  # noqa: PTH113 — raises for no name
        return found.relative_to(root()).as_posix() if is_below else None

    def path_of(origin: Origin) -> str | None:
        if not origin.base:
            return existing(here / origin.file)
        kept = existing(work_tree() / origin.path) if origin.path != origin.file else None
        return existing(here / configuration) if kept is None and configuration is not None else kept

    return path_of


def blob_links(environment: Mapping[str, str], resolve_path: PathResolver) -> BlobLinks | None:
    """Return a function that returns the URL of a position on GitHub; None if the environment names no repository.

    A position in a commit of the base is linked there, any other one in the commit that is checked out.
    """
    server = environment.get("GITHUB_SERVER_URL", _PUBLIC_SERVER).rstrip("/")
    repository = environment.get("GITHUB_REPOSITORY", "")
    if not (_SERVER.fullmatch(server) and _REPOSITORY.fullmatch(repository)):
        return None

    def link(origin: Origin, revision: str) -> str | None:
        in_base = origin.path != origin.file
        commit, path = (
            (origin.base, origin.path) if in_base else (revision, None if origin.base else resolve_path(origin))
        )
        if path is None or not _COMMIT.fullmatch(commit):
            return None
        line = f"#L{origin.line}" if origin.line else ""
        try:
            return f"{server}/{repository}/blob/{commit}/{quote(path, errors='surrogateescape')}{line}"
        except UnicodeEncodeError:
            return None

    return link
