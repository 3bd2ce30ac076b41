"""Reviewing: what holds of octosync.yaml while a change to it is reviewed.

Whatever could send a credential elsewhere, or loosen what the change is judged by, is the base's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from octosync.manifest.config.config import Configuration, Configured, Context
from octosync.manifest.config.reader import read_configuration_text
from octosync.manifest.git.revision import Revision
from octosync.manifest.schema.rules import RULES
from octosync.model import Diagnostic, Origin

_WHOLE = {
    "api": "contract",
    "guards": "guards",
    "owners": "owners",
    "env": "env",
    "freeze": "freeze",
    "sensitiveKeys": "sensitivity",
}
_OF_A_CONTEXT = {"url": "url", "org": "org", "tokenEnv": "token_env", "tokenFile": "token_file"}


def configuration_of(revision: Revision, named: Path | None) -> Configured:
    """Read the octosync.yaml of a revision: the one at a path from the working directory, else the nearest one above it.

    Its paths start from the working directory as the tree's do. Which octosync it requires is not asked: the tree's file
    was. Without one, and of one that is outside of the repository, there are no contexts, and defaults hold.
    """
    path = revision.repository.path_of(str(named)) if named is not None else revision.configuration_path()
    data = revision.file(path) if path is not None else None
    if path is None or data is None:
        return Configured(Configuration())
    folder = os.path.relpath(str(PurePosixPath(path).parent), revision.repository.prefix or ".")
    return read_configuration_text(revision.label(path), data, Path(folder), version=None)


def as_reviewed(tree: Configuration, tip: Configuration) -> Configuration:
    """Return the tree's configuration as a plan with a base takes it: what has to be reviewed first is the tip's.

    A context that the tip doesn't have gives neither URL nor token: its `url` is "".
    """
    return replace(
        tree,
        directory=tip.directory if tip.file is not None else tree.directory,
        contexts={name: _context(one, tip.contexts.get(name)) for name, one in tree.contexts.items()},
        contract=tip.contract,
        guards=tip.guards,
        owners=tip.owners,
        env=tip.env,
        freeze=tip.freeze,
        sensitivity=tip.sensitivity,
    )


def notices_of_review(
    tree: Configuration, tip: Configuration, base: Configuration, *, name: str, changed_only: bool
) -> tuple[Diagnostic, ...]:
    """Tell what the tree sets that takes effect after the merge: it differs from the tip's, and from what it was before.

    `name` is how the tip is called. With `changed_only`, a changed `api` advises a full plan: it may concern every app.
    """
    keys = [key for key, field in _WHOLE.items() if _sets(tree, tip, base, field)]
    for context in tree.contexts:
        sides = tree.contexts[context], tip.contexts.get(context), base.contexts.get(context)
        keys += [f"contexts.{context}.{key}" for key, field in _OF_A_CONTEXT.items() if _sets(*sides, field)]
    return tuple(_notices(keys, tree, name, changed_only=changed_only))


def _notices(keys: list[str], tree: Configuration, name: str, *, changed_only: bool) -> Iterator[Diagnostic]:
    for key in keys:
        notes = ("a change of `api` can concern every app: plan once without --changed-only",)
        yield Diagnostic(
            severity=RULES["after-the-merge"].severity,
            rule="after-the-merge",
            summary=f"this change sets `{key}`, and this plan takes it from {name}: it takes effect after the merge",
            origin=Origin(tree.file) if tree.file is not None else None,
            path=key,
            notes=notes if changed_only and key == "api" else (),
        )


def _sets(tree: object, tip: object, base: object, field: str) -> bool:
    mine = getattr(tree, field)
    return all(mine != getattr(other, field, None) for other in (tip, base))


def _context(tree: Context, tip: Context | None) -> Context:
    if tip is None:
        return replace(tree, url="", unreviewed_url=tree.url, org=None, token_env=None, token_file=None)
    return replace(
        tree, url=tip.url, org=tip.org, token_env=tip.token_env, token_file=tip.token_file, origin=tip.origin
    )
