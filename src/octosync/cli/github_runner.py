"""What GitHub Actions is told beside the log: the job's summary and the step's outputs, in files that it names.

Places in the repository: what a file that was named from here is called from its root.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Final

from octosync.errors import OctosyncError
from octosync.manifest.git.repository import git_root
from octosync.model import Origin
from octosync.report import RunReport, output_lines, report_markdown, report_values

SUMMARY: Final = "GITHUB_STEP_SUMMARY"
OUTPUT: Final = "GITHUB_OUTPUT"
_SUMMARY_BYTES: Final = 1024 * 1024 - 1  # GitHub drops a summary of more than 1 MiB


def check_runner_files(environment: Mapping[str, str]) -> None:
    """Raise `OctosyncError` where one of the files that are named can't be written."""
    for name in (SUMMARY, OUTPUT):
        if file := environment.get(name):
            _append(name, Path(file), "")


def write_runner_files(report: RunReport, files: Mapping[str, str], environment: Mapping[str, str]) -> None:
    """Append the report and the counts, as far as there is where to. Raises `OctosyncError`.

    `files` are the paths of what else was written, by the names of their outputs. The plan itself is not told.
    """
    if file := environment.get(SUMMARY):
        path = Path(file)
        there = path.stat().st_size if path.exists() else 0
        apart = "\n" if there else ""
        if (room := _SUMMARY_BYTES - there - len(apart)) > 0:
            _append(SUMMARY, path, apart + report_markdown(report, max_bytes=room))
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
            hints=(f"{name} names it: it is GitHub's to set.",),
        ) from error


def repository_paths(environment: Mapping[str, str]) -> Callable[[Origin], str | None]:
    """Return what names a place's file from the repository's root: GITHUB_WORKSPACE, else Git's, else this folder.

    It answers None for what is not in there, such as standard input.
    """
    here = Path.cwd()

    @cache  # Git is asked where a place is named, and once
    def root() -> Path:
        return Path(os.path.realpath(environment.get("GITHUB_WORKSPACE") or git_root(here) or here))

    def name(origin: Origin) -> str | None:
        if origin.file.startswith("<"):
            return None
        # The folder's links are followed, the file's own is not: it stands in the repository under its own name.
        file = here / origin.file
        found = Path(os.path.realpath(file.parent)) / file.name
        return found.relative_to(root()).as_posix() if found.is_relative_to(root()) else None

    return name
