"""What files were found to hold, kept from one load to the next, so that only what changed is parsed again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeAlias

from octosync.contract import Contract
from octosync.manifest.load.assemble import Assembled
from octosync.manifest.load.digest import Texts
from octosync.manifest.load.documents import Resource
from octosync.manifest.load.files import File
from octosync.manifest.load.memo import Memo
from octosync.manifest.load.variables import Variables
from octosync.model import Diagnostic, Sensitivity

_Key: TypeAlias = tuple[str, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What one file's bytes were found to hold, at a time: its documents, counted, those of ours, and what is wrong.

    `opened` are the files that a rendered one was traced to: by path what they held, None where there was none.
    """

    data: bytes
    at: datetime
    documents: int
    resources: tuple[Resource, ...]
    diagnostics: tuple[Diagnostic, ...]
    is_empty: bool
    opened: Mapping[str, bytes | None] = field(default_factory=dict)

    def holds(self, file: File, now: datetime) -> bool:
        """Say whether reading a file now would find the same: it has the same bytes, and no suspension has ended since."""
        if file.data != self.data:
            return False
        suspensions = (one.suspension for one in self.resources if one.suspension is not None)
        if any(one.holds(now) != one.holds(self.at) for one in suspensions):
            return False
        return all(_data_of(file, path) == data for path, data in self.opened.items())


class Cache:
    """What the latest load made of files, documents and apps. One load at a time uses it.

    What was made under another configuration counts for nothing. `assembled` and `texts` are of `assemble` and `digest`.
    """

    def __init__(self) -> None:
        self.assembled: Assembled = Memo()
        self.texts: Texts = Memo()
        self._files: Memo[_Key, Parsed] = Memo()
        self._under: tuple[Sensitivity, Variables, Contract] | None = None
        self._parsed: list[str] = []

    @property
    def parsed(self) -> tuple[str, ...]:
        """The names of the files that the latest load parsed."""
        return tuple(self._parsed)

    @contextmanager
    def loading(self, sensitivity: Sensitivity, variables: Variables, contract: Contract) -> Iterator[None]:
        """Serve one load under these; whatever it didn't use is forgotten in the end."""
        # The environment and a context's values may be changed in place: copies tell.
        own = replace(variables, values=dict(variables.values), environment=dict(variables.environment))
        if self._under != (sensitivity, own, contract):
            self._each(Memo.clear)
        self._under = (sensitivity, own, contract)
        self._parsed = []
        try:
            yield
        finally:
            self._each(Memo.turn)

    def find(self, file: File, now: datetime) -> Parsed | None:
        """Return what a file was found to hold, where that is still so."""
        found = self._files.find(_key(file))
        if found is None or not found.holds(file, now):
            return None
        self._files.keep(_key(file), found)
        return found

    def keep(self, file: File, parsed: Parsed) -> None:
        """Keep what a file was found to hold."""
        self._parsed.append(file.name)
        self._files.keep(_key(file), parsed)

    def _each(self, act: Callable[[Memo[Any, Any]], None]) -> None:
        for memo in (self._files, self.assembled, self.texts):
            act(memo)


def _key(file: File) -> _Key:
    return (file.name, file.real is None)


def _data_of(file: File, path: str) -> bytes | None:
    opened = file.open_(path) if file.open_ is not None else None
    return None if opened is None else opened.data
