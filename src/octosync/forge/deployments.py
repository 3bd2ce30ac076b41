"""Which revision was applied in full last: the newest deployment of an environment that reached `success`.

Public: a job with an `environment` makes a deployment of its revision, whose statuses follow the job; a later success turns an
earlier one `inactive`, which its statuses still tell. Lists have the newest first.
"""

from __future__ import annotations

import re
from collections.abc import Callable
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
    """`base` was applied in full last, None if nothing was; `attempted`, newest first, were begun after it and not finished.

    Neither is a revision that the clone lacks: `gone`, newest first, were begun, and `gone_base` was the last applied in full.
    """

    base: str | None
    attempted: tuple[str, ...]
    gone: tuple[str, ...] = ()
    gone_base: str | None = None


def applied(
    github: GitHub, environment: str, *, current: str | None = None, exists: Callable[[str], bool] = lambda _: True
) -> Applied:
    """Find the last revision that was applied in full to an environment, and those that were tried after it.

    `current` is the revision of this run, whose own deployment is under way and no attempt before it. `exists` returns whether
    the clone has a revision; after a force push an older success can be the base. Without a success among the newest
    `DEEPEST` deployments there is none. Raises `RemoteError`.
    """
    attempted: dict[str, None] = {}
    gone: dict[str, None] = {}
    gone_base: str | None = None
    query = {"environment": environment}
    for _, deployment in zip(range(DEEPEST), github.pages("deployments", query), strict=False):
        revision = _revision(deployment)
        states = _states(github, deployment)
        if not states - _NOT_BEGUN or ("success" not in states and revision == current):
            continue
        if not exists(revision):
            gone[revision] = None
            gone_base = gone_base or (revision if "success" in states else None)
        elif "success" in states:
            return Applied(revision, tuple(one for one in attempted if one != revision), tuple(gone), gone_base)
        else:
            attempted[revision] = None
    return Applied(None, tuple(attempted), tuple(gone), gone_base)


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
