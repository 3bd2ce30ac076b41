"""The manifests of a Git revision, read from Git objects by the same rules as files on disk; the work tree is not used."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from octosync.errors import ConfigError, UsageError
from octosync.manifest.config.config import FILE_NAME
from octosync.manifest.git.repository import SHOWN, Repository, TreeEntry
from octosync.manifest.load.files import LEFT_OUT_OF_FOLDERS, SUFFIXES, File, display_name
from octosync.manifest.schema.rules import Findings
from octosync.model import Origin

_MOST_LINKS = 40  # as many as Linux follows


@dataclass(frozen=True)
class Revision:
    """One commit and its files. Paths are relative to the repository's root, with slashes; "" is the root."""

    repository: Repository
    commit: str
    _paths: dict[str, Sequence[str]] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """The short commit id, for messages."""
        return self.commit[:SHOWN]

    def label(self, path: str) -> str:
        """Return the name of a file as `git show` accepts it."""
        return f"{self.name}:{display_name(path or '.')}"

    def path_of(self, path: str) -> str:
        """Return a path, relative to the working directory, as a path in the repository.

        Raises `UsageError` if it is outside of the repository.
        """
        inside = self.repository.path_of(path)
        if inside is None:
            raise UsageError(
                "outside-repository",
                f"{display_name(path)} is outside of the repository, so no revision of it is known",
                hints=("Leave --base out, or give what it was as --base-file PATH.",),
            )
        return inside

    def read(self, paths: Iterable[str], findings: Findings) -> list[File]:
        """Return the manifests at paths, relative to the working directory, sorted by name.

        A path that does not exist in the commit has no manifests. Every path that can't be read is an error in `findings`.
        """
        found: dict[str, tuple[bool, str]] = {}
        for path in sorted(set(paths)):
            for name, real in self._find(self.path_of(path), findings):
                found[real] = min(found.get(real, (True, name)), (name != real, name))
        entries = self._entries
        data = self.repository.contents(entries[real].object for real in found)
        files = [
            File(self.label(name), data[entries[real].object], real, base=self.name)
            for real, (_, name) in found.items()
        ]
        return sorted(files, key=lambda file: file.name)

    def file(self, path: str) -> bytes | None:
        """Return the bytes of a file, following links; None if there is none."""
        real = self._resolved(path)
        entry = self._entries.get(real) if real is not None else None
        if entry is None or entry.is_submodule:
            return None
        return self.repository.contents([entry.object])[entry.object]

    def has_file(self, path: str) -> bool:
        """Return whether there is a file at a path, following links."""
        real = self._resolved(path)
        return real is not None and real in self._entries and not self._entries[real].is_submodule

    def export(self, directory: Path) -> None:
        """Write all files and links of the commit to an empty directory, without filters or attributes.

        Links come last, so that nothing is written through a link. Raises `ConfigError` for a path that leaves the directory.
        """
        files = {path: entry for path, entry in self._entries.items() if not entry.is_submodule}
        data = self.repository.contents(entry.object for entry in files.values())
        for path, entry in sorted(files.items(), key=lambda item: (item[1].is_link, item[0])):
            if {"", ".", "..", ".git"} & set(path.lower().split("/")):
                raise ConfigError("hostile-path", f"{self.label(path)} can't be written to disk")
            target = directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if entry.is_link:
                target.symlink_to(data[entry.object].decode(errors="surrogateescape"))
            else:
                target.write_bytes(data[entry.object])

    def configuration_path(self) -> str | None:
        """Return the path of the nearest octosync.yaml in or above the working directory; None if there is none."""
        here = PurePosixPath(self.repository.prefix)
        names = (str(parent / FILE_NAME) for parent in (here, *here.parents))
        return next((name for name in names if name in self._entries), None)

    @cached_property
    def _entries(self) -> dict[str, TreeEntry]:
        return dict(self.repository.entries(self.commit))

    @cached_property
    def _sorted(self) -> Sequence[str]:
        return sorted(self._entries)

    def _below(self, folder: str) -> Iterator[str]:
        """Yield the paths below a folder, in order."""
        prefix = f"{folder}/" if folder else ""
        for at in range(bisect_left(self._sorted, prefix), len(self._sorted)):
            if not self._sorted[at].startswith(prefix):
                return
            yield self._sorted[at]

    def _is_folder(self, path: str) -> bool:
        return next(self._below(path), None) is not None

    def _find(self, path: str, findings: Findings) -> Iterator[tuple[str, str]]:
        """Yield the manifests at a path, as name and resolved path."""
        real = self._resolved(path)
        if real is None:
            self._report(path, "links to something outside of the commit", findings)
        elif real in self._entries:
            if self._entries[real].is_submodule:
                self._report(path, "is a submodule, and what it held is not known here", findings)
            else:
                yield path, real
        elif self._is_folder(real):
            yield from self._walk(path, real, findings)
        elif (module := self._submodule_above(real)) is not None:
            self._report(module, "is a submodule, and what it held is not known here", findings)

    def _walk(self, shown: str, folder: str, findings: Findings) -> Iterator[tuple[str, str]]:
        """Yield a folder's manifests. Linked folders come last; every folder is entered once."""
        waiting = deque([(shown, folder)])
        seen: set[str] = set()
        while waiting:
            name, real = waiting.popleft()
            if real in seen:
                continue
            seen.add(real)
            for path in self._below(real):
                inside = path[len(real) + 1 :] if real else path
                parts = inside.split("/")
                if any(part.startswith(".") for part in parts) or parts[-1] in LEFT_OUT_OF_FOLDERS:
                    continue
                below = f"{name}/{inside}" if name else inside
                entry = self._entries[path]
                if entry.is_submodule:
                    self._report(path, "is a submodule, and what it held is not known here", findings)
                elif not entry.is_link:
                    if path.endswith(SUFFIXES):
                        yield below, path
                elif (target := self._resolved(path)) is not None and self._is_folder(target):
                    waiting.append((below, target))
                elif path.endswith(SUFFIXES):
                    yield from self._find(below, findings)

    def _resolved(self, path: str) -> str | None:
        """Return a path with all links followed; None if they leave the commit or form a loop."""
        for _ in range(_MOST_LINKS):
            link = next((head for head in self._entries_on(path) if self._entries[head].is_link), None)
            if link is None:
                return path
            object_ = self._entries[link].object
            target = self.repository.contents([object_])[object_].decode(errors="surrogateescape")
            rest = path[len(link) + 1 :]
            path = os.path.normpath(str(PurePosixPath(link).parent / target / rest))
            if path.startswith(("/", "../")) or path == "..":
                return None
            path = "" if path == "." else path
        return None

    def _submodule_above(self, path: str) -> str | None:
        return next((head for head in self._entries_on(path) if self._entries[head].is_submodule), None)

    def _entries_on(self, path: str) -> Iterator[str]:
        """Yield the prefixes of a path that are entries of the commit, shortest first."""
        parts = path.split("/")
        heads = ("/".join(parts[:length]) for length in range(1, len(parts) + 1))
        return (head for head in heads if head in self._entries)

    def _report(self, path: str, what: str, findings: Findings) -> None:
        name = self.label(path)
        findings.add("unreadable-path", f"{name} {what}", origin=Origin(name, base=self.name))
