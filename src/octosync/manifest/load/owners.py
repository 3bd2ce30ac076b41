"""Owners: the folders that may declare an app, since CODEOWNERS covers folders and not slugs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

from octosync.manifest.load.documents import Resource
from octosync.manifest.load.files import STDIN_NAME, File
from octosync.manifest.schema.rules import Findings
from octosync.model import Origin


@dataclass(frozen=True, slots=True)
class Owner:
    """Files below octosync.yaml's directory that match `paths` declare the apps that match one of `apps`."""

    paths: str
    apps: tuple[str, ...]

    @property
    def folder(self) -> str:
        """Its folder, for people: `teams/search` of `teams/search/**`."""
        return self.paths.removesuffix("/**") or self.paths

    def owns(self, app: str) -> bool:
        """Return whether this owner owns an app."""
        return any(fnmatchcase(app, pattern) for pattern in self.apps)

    def covers(self, path: str) -> bool:
        """Return whether a file, relative to octosync.yaml's directory, is in this owner's folder."""
        return _matches(_parts(self.paths), path)


def check_owners(
    resources: Iterable[tuple[Resource, File]], owners: tuple[Owner, ...], directory: Path, findings: Findings
) -> None:
    """Report every document outside of its app's folders, and every app declared in another owner's folder.

    A rendered document belongs to the file that it was rendered from, if that is known, and its kustomization must not be in
    another owner's folder. Documents from stdin or unknown files are reported as not checked.
    """
    unjudged: str | None = None
    base = os.path.realpath(directory)
    for resource, file in resources:
        path = file.real or _origin(resource, file)
        if path is None:
            unjudged = unjudged or file.name
        if resource.app is None:
            continue
        wrong = path is not None and _is_wrong(resource.app, path, base, owners, unowned=False)
        rendered_by = None if file.folder is None else str(Path(file.folder, "kustomization.yaml"))
        if not wrong and rendered_by is not None and _is_wrong(resource.app, rendered_by, base, owners, unowned=True):
            wrong, path = True, rendered_by
        if wrong and path is not None:
            _report_owner(resource, resource.app, path, base, owners)
    if unjudged is not None:
        findings.add(
            "owners-not-checked",
            "documents from stdin have no folder, so octosync.yaml's owners are not checked for them"
            if unjudged == STDIN_NAME
            else "the files of rendered documents are not known, so octosync.yaml's owners are checked only for the "
            "kustomization's folder",
            origin=Origin(unjudged),
            notes=()
            if unjudged == STDIN_NAME
            else ("`buildMetadata: [originAnnotations]` in the kustomization names the files",),
        )


def _origin(resource: Resource, file: File) -> str | None:
    """Return the real path of the file that a rendered document was taken from; None if it isn't known."""
    origin = resource.origin.file
    return os.path.realpath(origin) if origin != file.name and Path(origin).is_file() else None


def _is_wrong(app: str, path: str, base: str, owners: tuple[Owner, ...], *, unowned: bool) -> bool:
    """Return whether a file may not declare an app. With `unowned`, a file in no owner's folder may declare any app."""
    by_app = [owner for owner in owners if owner.owns(app)]
    by_path = [owner for owner in owners if owner.covers(_below(path, base))]
    if unowned and not by_path:
        return False
    return bool(by_app or by_path) and not any(owner in by_path for owner in by_app)


def _below(path: str, base: str) -> str:
    return os.path.relpath(path, base).replace(os.sep, "/")


def _report_owner(resource: Resource, app: str, path: str, base: str, owners: tuple[Owner, ...]) -> None:
    at = resource.spec.value_node("app") if resource.kind != "App" and resource.spec else resource.root.node
    metadata = resource.root.record("metadata")
    if resource.kind == "App" and metadata is not None:
        at = metadata.value_node("name")
    name = resource.reporter.quote(app, at)
    if by_app := [owner for owner in owners if owner.owns(app)]:
        where = " or ".join(sorted({owner.paths for owner in by_app}))
        summary = f"app {name} must be declared in {where} (owners in octosync.yaml)"
    else:
        apps = ", ".join(sorted({app for owner in owners if owner.covers(_below(path, base)) for app in owner.apps}))
        summary = f"this folder may only declare {apps} (owners in octosync.yaml), not {name}"
    resource.reporter.report(
        "app-not-owned", at, summary, path="metadata.name" if resource.kind == "App" else "spec.app"
    )


@lru_cache(maxsize=256)
def _parts(glob: str) -> tuple[str, ...]:
    """Split a path pattern: `**` spans folders, `*` and `?` stay within one; a folder means all below it."""
    glob = glob.removeprefix("./")
    glob = f"{glob}**" if glob.endswith("/") else glob
    return tuple(re.findall(r"\*\*/|\*\*|.", glob, re.DOTALL))


def _matches(parts: Sequence[str], path: str) -> bool:
    """Return whether a pattern matches a whole path, in time proportional to their lengths.

    All possible matches are followed at once, as the indexes of the next parts. A match inside of `**/` is at `~index`: it
    skips folders until a slash.
    """
    places = _reached({0}, parts)
    for character in path:
        following: set[int] = set()
        for place in places:
            part = parts[place] if 0 <= place < len(parts) else ""
            if place < 0 or part == "**/":
                following.add(place if place < 0 else ~place)
                if character == "/":
                    following.add((~place if place < 0 else place) + 1)
            elif part == "**" or (part == "*" and character != "/"):
                following.add(place)
            elif part == character or (part == "?" and character != "/"):
                following.add(place + 1)
        places = _reached(following, parts)
    return len(parts) in places


def _reached(places: set[int], parts: Sequence[str]) -> set[int]:
    """Return the indexes and those that are reached by parts that match nothing."""
    waiting = list(places)
    while waiting:
        place = waiting.pop()
        if 0 <= place < len(parts) and parts[place] in {"*", "**", "**/"} and place + 1 not in places:
            places.add(place + 1)
            waiting.append(place + 1)
    return places
