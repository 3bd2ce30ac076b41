"""The starter workflows of a repository: short files that call the reusable workflows of this version of octosync."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Final

_FOLDER: Final = ".github/workflows"
_NAMES: Final = ("octosync-plan.yml", "octosync-apply.yml", "octosync-drift.yml")
_JOBS: Final = "\njobs:\n"
_CONTEXT: Final = "production"
_APPLY: Final = "  apply:\n"
_PRODUCTION: Final = re.compile(r"(?i)(?<![a-z])(?:prod|production|live)(?![a-z])")
_KEY: Final = "secrets.OCTOMIL_API_KEY "
UNKNOWN_COMMIT: Final = "COMMIT"


def starter_workflows(
    contexts: Sequence[str] = (_CONTEXT,), *, branch: str = "main", commit: str | None = None
) -> Mapping[str, str]:
    """Return the workflows that plan, apply and check for drift, by their path in a repository.

    Each has a job per context, which is a name in octosync.yaml. For a single context, the key is the secret
    `OCTOMIL_API_KEY`; with several, each has its own, such as `OCTOMIL_API_KEY_STAGING`, unless its environment has a secret
    `OCTOMIL_API_KEY`, which takes precedence. Pushes to `branch` are applied: to one context after the other, in the order of
    `promotion_order`.
    `commit` is that of octosync whose workflows they call: unlike a tag, it can't be moved. Where it is not known, they have
    `UNKNOWN_COMMIT` in its place.
    """
    templates = files("octosync.forge") / "starter"
    return {
        f"{_FOLDER}/{name}": _workflow((templates / name).read_text(encoding="utf-8"), contexts, branch).replace(
            f"@{UNKNOWN_COMMIT}", f"@{commit or UNKNOWN_COMMIT}"
        )
        for name in _NAMES
    }


def promotion_order(contexts: Sequence[str]) -> tuple[str, ...]:
    """Return the contexts in the order in which a merge is applied to them: the given one, with production contexts last."""
    return tuple(sorted(contexts, key=lambda context: _PRODUCTION.search(context) is not None))


def secret_name(context: str, contexts: Sequence[str]) -> str:
    """Return the name of the secret that holds a context's key in the starter workflows."""
    return "OCTOMIL_API_KEY" if len(contexts) == 1 else f"OCTOMIL_API_KEY_{_slug(context).replace('-', '_').upper()}"


def _workflow(template: str, contexts: Sequence[str], branch: str) -> str:
    head, _, job = template.partition(_JOBS)
    if branch != "main":
        head = head.replace("[main]", f"[{_scalar(branch)}]")
    head = head.replace(f"octosync-{_CONTEXT}", f"octosync-{contexts[0] if len(contexts) == 1 else 'CONTEXT'}")
    if not job.startswith(_APPLY):
        return head + _JOBS + "\n".join(_job(job, context, contexts) for context in contexts)
    order = promotion_order(contexts)
    jobs = (_job(job, context, contexts, after=before) for context, before in zip(order, (None, *order), strict=False))
    return head + _JOBS + "\n".join(jobs)


def _job(template: str, context: str, contexts: Sequence[str], after: str | None = None) -> str:
    """Return the job of a context. It starts if the same job of the context `after` has succeeded."""
    job = template.replace(f"context: {_CONTEXT}", f"context: {_scalar(context)}")
    if len(contexts) == 1:
        return job
    job = job.replace(_KEY, f"secrets.{secret_name(context, contexts)} ")
    needs = "" if after is None else rf"\n    needs: \1-{_slug(after)}"
    return re.sub(r"\A  (\w+):", rf"  \1-{_slug(context)}:{needs}", job)


def _slug(context: str) -> str:
    """Return a valid name for a job: letters, digits, dashes and underscores."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", context)


def _scalar(text: str) -> str:
    """Return a name as YAML, always in quotes, since parsers differ in which plain words are null, true or a number."""
    return "'" + text.replace("'", "''") + "'"
