"""The pull request of a GitHub Actions job, from the event that started it or from its ref."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from octosync.errors import ConfigError
from octosync.forge.comments import text_field
from octosync.model import JsonObject

_REF: Final = re.compile(r"refs/pull/(\d{1,9})/(?:merge|head)")


@dataclass(frozen=True, slots=True)
class JobEvent:
    """The pull request's number and the revision of its head, None if the event doesn't contain it."""

    pull: int | None = None
    head: str | None = None


def read_job_event(path: Path | None, ref: str) -> JobEvent:
    """Read `GITHUB_EVENT_PATH` and `GITHUB_REF`. Raises `ConfigError` for an event that can't be read."""
    pull = _pull_request(path) if path is not None else {}
    found = _REF.fullmatch(ref)
    number, head = pull.get("number"), pull.get("head")
    return JobEvent(
        number if isinstance(number, int) else int(found[1]) if found else None,
        (text_field(head, "sha") or None) if isinstance(head, Mapping) else None,
    )


def _pull_request(path: Path) -> JsonObject:
    try:
        event = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        why = (error.strerror or "").lower() if isinstance(error, OSError) else "it is not JSON"
        raise ConfigError(
            "event-unreadable",
            f"the event of this job can't be read from {path}: {why}",
            hints=("GITHUB_EVENT_PATH must name it. Or set the pull request with --pull N.",),
        ) from None
    pull = event.get("pull_request") if isinstance(event, Mapping) else None
    return pull if isinstance(pull, Mapping) else {}
