"""The files that were found valid before, by digests of their bytes: `octosync validate` doesn't parse them again.

The list is in the user's cache folder. It has the names of apps and targets, which only one file may declare, and no values.
Only `validate` uses it, so it decides neither what is planned nor what is applied. It is checked as any input is: a list that
is damaged, or that another user could have written, is ignored.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from octosync import __version__
from octosync.manifest.config.config import Configuration
from octosync.manifest.load.documents import Resource
from octosync.manifest.load.files import File
from octosync.manifest.schema.rules import MOST_LISTED, Findings
from octosync.model import App, State

_MOST_CHARACTERS: Final = 4 * 1024 * 1024  # of the list: about 50,000 apps


class ValidFiles:
    """The list in a folder, for one configuration. `write` replaces a file."""

    def __init__(self, folder: Path, configuration: Configuration, write: Callable[[Path, str], None]) -> None:
        self._path = folder / "valid-files"
        self._write = write
        self._rules = _rules_of(configuration).encode()
        self._lines = _read(self._path)  # the names in each file, by its key
        self._found: list[tuple[str, list[str]]] = []

    def find(self, file: File) -> int:
        """Return the number of apps in a file of the list: it was valid, and declared them alone. 0 if it isn't in the list."""
        key = self._key(file)
        if file.real is None or key not in self._lines:
            return 0
        names = self._lines[key].split("\t")
        self._found.append((key, names))
        return sum(" " not in name for name in names)

    def are_alone(self, apps: Iterable[App]) -> bool:
        """Return whether every name in the files that were found is declared once, if the other files declare `apps`."""
        found, others = [names for _, names in self._found], {*_names(apps)} if self._found else set()
        return len(others.union(*found)) == len(others) + sum(map(len, found))

    def forget_found(self) -> None:
        """Remove the files that were found."""
        for key, _ in self._found:
            self._lines.pop(key, None)
        self._found = []

    def add(self, resources: Iterable[tuple[Resource, File]], state: State, findings: Findings) -> None:
        """Add the files that are valid, at any time and with any variables, and declare their apps alone; write the list."""
        by_file: dict[int, tuple[File, list[Resource]]] = {}
        for resource, file in resources:
            by_file.setdefault(id(file), (file, []))[1].append(resource)
        slugs = {key: {resource.app or "" for resource in own} for key, (_, own) in by_file.items()}
        files_of = Counter(slug for own in slugs.values() for slug in own)
        doubtful = {found.origin.file for found in findings.sorted if found.origin is not None}
        new: dict[str, str] = {}
        for key, (file, own) in by_file.items():
            apps = [state.apps[slug] for slug in sorted(slugs[key]) if slug in state.apps and files_of[slug] == 1]
            is_valid = len(apps) == len(slugs[key]) and file.name not in doubtful and not _may_change(file, own)
            if is_valid and all(map(str.isprintable, names := [*_names(apps)])):
                new[self._key(file)] = "\t".join(names)
        if new and findings.count < MOST_LISTED:
            self._save({**new, **{key: self._lines[key] for key, _ in self._found}, **self._lines})

    def _save(self, entries: Mapping[str, str]) -> None:
        """Write entries, the most recently used first, without the last ones if the list would be too large."""
        lines = "".join(f"{key}\t{names}\n" for key, names in entries.items())
        lines = lines[: lines.rfind("\n", 0, _MOST_CHARACTERS) + 1]
        with suppress(OSError):  # then the next run takes longer, and that is all
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            is_replaceable = not os.path.lexists(self._path) or stat.S_ISREG(self._path.lstat().st_mode)
            if is_replaceable and _is_own(self._path.parent.lstat()):
                self._write(self._path, f"{hashlib.sha256(lines.encode()).hexdigest()}\n{lines}")

    def _key(self, file: File) -> str:
        return hashlib.sha256(self._rules + file.data).hexdigest()


def _names(apps: Iterable[App]) -> Iterator[str]:
    """Yield the names of apps and their targets. A slug contains no space."""
    for app in apps:
        yield app.slug
        for target in app.targets:
            yield f"{target.platform} {target.identifier}"


def _may_change(file: File, resources: Iterable[Resource]) -> bool:
    """Return whether a file may have a suspension that ends, or a variable: written as it is, or with an escape."""
    ends = any(resource.suspension is not None and resource.suspension.until is not None for resource in resources)
    return ends or file.real is None or b"${" in file.data or b"\\" in file.data


def _rules_of(configuration: Configuration) -> str:
    """Return what decides, besides its bytes, whether a file is valid: the code of the checks, and the configuration."""
    package, code = Path(__file__).parents[2], hashlib.sha256(__version__.encode())
    for folder in ("contract", "manifest", "model"):
        for path in sorted(package.joinpath(folder).rglob("*.py")):
            code.update(path.read_bytes())
    contract = configuration.contract
    settings = (configuration.sensitivity.patterns, contract.platforms, sorted(contract.shapes["slot"].read_only))
    return f"{code.hexdigest()} {settings}"


def _read(path: Path) -> dict[str, str]:
    with suppress(OSError, ValueError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode) and _is_own(status) and _is_own(path.parent.lstat()):
                digest, _, lines = file.read(4 * _MOST_CHARACTERS).partition(b"\n")
                if digest == hashlib.sha256(lines).hexdigest().encode():
                    return dict(line.split("\t", 1) for line in lines.decode().split("\n") if line)
    return {}


def _is_own(status: os.stat_result) -> bool:
    """Return whether only this user, and root, can have written a file, or a file in a folder."""
    return status.st_uid == os.geteuid() and not status.st_mode & 0o022
