"""`octosync init`: create the files of a starter repository."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from octosync.cli.commands.init import APP, CONTEXTS
from octosync.cli.console import ask, can_prompt, out_text
from octosync.cli.file_writer import create_all, file_name
from octosync.errors import UsageError
from octosync.forge import UNKNOWN_COMMIT, promotion_order, secret_name, starter_workflows
from octosync.manifest import (
    LOCAL,
    SLUG,
    configuration_schema,
    manifest_schema,
    starter_app,
    starter_configuration,
)
from octosync.report import json_text, render_init, visible
from octosync.state import DEFAULT_PATH

# Excludes what Git refuses in a branch name and what GitHub reads as a pattern.
_BRANCH: Final = re.compile(r"(?![-/!])(?!.*(?:\.\.|//|@\{))[^\x00-\x20\x7f~^:?*+\[\]\\]+(?<![/.])")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_IGNORED: Final = f"{DEFAULT_PATH.parent}/"
_KEY_FILES: Final = "*.env"
_GITIGNORE: Final = f"""\
# The journal of what was applied from here.
{_IGNORED}
# Files with keys, as of bootstrap.
{_KEY_FILES}
"""


def run(
    directory: Path, slug: str | None, contexts: str | None, branch: str, action_ref: str | None, *, yes: bool
) -> None:
    """Run `octosync init`."""
    if not yes and not can_prompt():
        raise UsageError(
            "input-required",
            "init prompts for an app and contexts, but there is no terminal (or CI is set)",
            hints=("Use --yes for the defaults, with --app and --contexts for other values.",),
        )
    commit = _commit(action_ref) if action_ref is not None else _installed_from()
    slug = _slug(slug if slug is not None else APP if yes else _prompt("Slug of the first app", APP))
    named = _names(
        contexts if contexts is not None else CONTEXTS if yes else _prompt(f"Contexts besides {LOCAL}", CONTEXTS)
    )
    texts = dict(_starter(slug, named, _branch(branch), commit))
    gitignore = directory / ".gitignore"
    unignored: tuple[str, ...] = ()
    if gitignore.exists():
        del texts[".gitignore"]
        unignored = tuple(line for line in (_IGNORED, _KEY_FILES) if not _is_ignored(gitignore, line))
    create_all(directory, texts)
    secrets = {context: secret_name(context, named) for context in promotion_order(named)}
    placeholder = UNKNOWN_COMMIT if commit is None and named else None
    out_text(render_init(str(directory), tuple(texts), secrets, to_ignore=unignored, to_replace=placeholder))


def _prompt(question: str, default: str) -> str:
    return asyncio.run(ask(f"{question} [{default}]: ")) or default


def _slug(text: str) -> str:
    if not SLUG.fullmatch(text):
        raise UsageError(
            "invalid-slug",
            f"`{visible(text)}` is not a slug: expected 1 to 63 lower-case letters, digits and inner hyphens",
            hints=("The slug is the identity of the app in Octomil, and can't be changed later.",),
        )
    return text


def _names(text: str) -> tuple[str, ...]:
    """Return the names of the contexts. Raise `UsageError` for an invalid, repeated or built-in one."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if not SLUG.fullmatch(name) or name.isdigit():
            raise UsageError(
                "invalid-context",
                f"`{visible(name)}` is not a valid context: expected lower-case letters, digits and inner hyphens",
            )
        if name == LOCAL:
            raise UsageError(
                "invalid-context", f"the context {LOCAL} is always created: give only contexts for Octomil"
            )
    if len(set(names)) < len(names):
        raise UsageError("invalid-context", f"`{visible(text)}` contains a context twice")
    return names


def _branch(text: str) -> str:
    """Return the name of a branch. Raise `UsageError` for an invalid name and for a pattern."""
    if not _BRANCH.fullmatch(text):
        raise UsageError(
            "invalid-branch",
            f"`{visible(text)}` is not a valid branch name",
            hints=("Give the branch whose merges are applied, such as --branch main.",),
        )
    return text


def _commit(text: str) -> str:
    """Return a full commit ID. Raise `UsageError` for anything else: a tag or branch can be moved to other code."""
    if not _COMMIT.fullmatch(text):
        raise UsageError(
            "invalid-action-ref",
            f"`{visible(text)}` is not a full commit ID",
            hints=("Give its 40 hexadecimal digits: git ls-remote https://github.com/octomil/octosync",),
        )
    return text


def _installed_from() -> str | None:
    """Return the commit that pip installed octosync from (PEP 610), None if it was not installed from Git."""
    with suppress(PackageNotFoundError, ValueError, KeyError, TypeError):
        commit = json.loads(distribution("octosync").read_text("direct_url.json") or "{}")["vcs_info"]["commit_id"]
        return commit if _COMMIT.fullmatch(commit) else None
    return None


def _starter(slug: str, contexts: Sequence[str], branch: str, commit: str | None) -> Mapping[str, str]:
    """Return the texts of the files by path. Without a context for Octomil there are no workflows."""
    texts = {
        "octosync.yaml": starter_configuration(
            {context: secret_name(context, contexts) for context in contexts}, schema="schemas/config.json"
        ),
        f"apps/{file_name(slug)}": starter_app(slug, schema="../schemas/manifest.json"),
        "schemas/config.json": json_text(configuration_schema()),
        "schemas/manifest.json": json_text(manifest_schema()),
        ".gitignore": _GITIGNORE,
        **(starter_workflows(contexts, branch=branch, commit=commit) if contexts else {}),
    }
    return dict(sorted(texts.items()))


def _is_ignored(path: Path, ignored: str) -> bool:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return any(line.strip().strip("/") == ignored.strip("/") for line in lines)
