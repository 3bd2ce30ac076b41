"""Which revision was applied in full last: the newest deployment of an environment that reached `success`.

Public: a job with an `environment` makes a deployment of its revision, whose statuses follow the job; a later success turns an
earlier one `inactive`, which its statuses still tell. Lists have the newest first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from octosync.forge.github import GitHub, unreadable
from octosync.forge.marked import text_in
from octosync.model import JsonObject

# So far back is looked for a success; beyond it, a full plan is what is due.
DEEPEST: Final = 100
_REVISION: Final = re.compile(r"[0-9A-Za-z]{1,64}")
_NOT_BEGUN: Final = frozenset({"waiting", "queued", "pending"})


@dataclass(frozen=True, slots=True)
class Applied:
    """`base` was applied in full last, None if nothing was; `attempted`, newest first, were begun after it and not finished."""

    base: str | None
    attempted: tuple[str, ...]


def applied(github: GitHub, environment: str, *, current: str | None = None) -> Applied:
    """Find the last revision that was applied in full to an environment, and those that were tried after it.

    `current` is the revision of this run, whose own deployment is under way and no attempt before it. Without a success
    among the newest `DEEPEST` deployments there is none. Raises `RemoteError`.
    """
    attempted: dict[str, None] = {}
    query = {"environment": environment}
    for _, deployment in zip(range(DEEPEST), github.pages("deployments", query), strict=False):
        revision = _revision(deployment)
        states = _states(github, deployment)
        if "success" in states:
            return Applied(revision, tuple(one for one in attempted if one != revision))
        if states - _NOT_BEGUN and revision != current:
            attempted[revision] = None
    return Applied(None, tuple(attempted))


def _states(github: GitHub, deployment: JsonObject) -> set[str]:
    number = deployment.get("id")
    if not isinstance(number, int):
        raise unreadable("deployments", "a deployment has no id")
    return {text_in(status, "state") for status in github.pages(f"deployments/{number}/statuses")}


def _revision(deployment: JsonObject) -> str:
    revision = text_in(deployment, "sha")
    if not _REVISION.fullmatch(revision):
        raise unreadable("deployments", "a deployment has no revision")
    return revision
