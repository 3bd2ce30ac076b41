"""Plan files: written for the one who planned, and read as an approval, never as an authority."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from octosync import __version__
from octosync.errors import PlanFileError
from octosync.model import JsonObject
from octosync.plan import Approval, read_approval
from octosync.report import json_text


def write_plan_file(path: Path, document: JsonObject) -> None:
    """Write a plan for its owner's eyes only, whole or not at all. Raises `PlanFileError`."""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600 by itself
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(json_text(document))
            os.replace(temporary, path)  # noqa: PTH105 — two names, one call
        except BaseException:
            os.unlink(temporary)  # noqa: PTH108 — as above
            raise
    except OSError as error:
        raise PlanFileError(
            "plan-file-unwritable",
            f"the plan can't be written to {path}: {error.strerror}",
            hints=("Name another file.",),
        ) from error


def read_plan_file(path: Path) -> Approval:
    """Read an approval. Raises `PlanFileError` for what is none, `StalePlan` for one of another version."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise PlanFileError(
            "plan-file-unreadable",
            f"the plan file {path} can't be read: {error.strerror}",
            hints=("Write one with `octosync plan --plan-out FILE`.",),
        ) from error
    return read_approval(text, file=str(path), octosync_version=__version__)
