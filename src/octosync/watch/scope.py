"""The scope: which manifests, and which of their apps, a controller is about. What is remembered was declared in one.

Where it is another one than before, an object that is not declared may only be out of sight: then it was not removed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import PurePath
from typing import Self

from octosync.model import App, Section, State
from octosync.watch.manifests.desired import ManifestLoad
from octosync.watch.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestScope:
    """Absolute paths and kustomizations, links in them as they were typed; the context, and which apps were selected."""

    paths: tuple[str, ...] = ()
    kustomizations: tuple[str, ...] = ()
    context: str = ""
    apps: tuple[str, ...] = ()
    selector: str = ""

    @classmethod
    def of(cls, declared: ManifestLoad, settings: Settings) -> Self:
        """Return the scope of a load under what the command line selects."""
        return cls(
            paths=_absolute(declared.watched.paths),
            kustomizations=_absolute(declared.watched.kustomizations),
            context=declared.context.name if declared.context is not None else "",
            apps=tuple(sorted(settings.apps)),
            selector=settings.selector or "",
        )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `text` wrote. Raises `ValueError`, `TypeError` or `KeyError` for anything else."""
        told = json.loads(text)
        return cls(
            paths=tuple(map(str, told["paths"])),
            kustomizations=tuple(map(str, told["kustomizations"])),
            context=str(told["context"]),
            apps=tuple(map(str, told["apps"])),
            selector=str(told["selector"]),
        )

    @property
    def text(self) -> str:
        """This scope as a text, to be remembered."""
        return json.dumps(asdict(self), sort_keys=True)

    def shows(self, other: ManifestScope) -> bool:
        """Say whether every manifest of another scope is seen in this one, whichever apps are selected."""
        return (
            self.context == other.context
            and all(any(PurePath(path).is_relative_to(mine) for mine in self.paths) for path in other.paths)
            and set(other.kustomizations) <= set(self.kustomizations)
        )

    def selects(self, other: ManifestScope) -> bool:
        """Say whether every app that another scope selects is selected in this one."""
        return (self.apps, self.selector) in {((), ""), (other.apps, other.selector)}


def within(app: App, states: Iterable[State]) -> App | None:
    """Return what of an app is declared in any of some states; None for nothing."""
    there = [found for state in states if (found := state.apps.get(app.slug)) is not None]
    targets = {target.unique_key for one in there for target in one.targets}
    slots = {slot.capability for one in there for slot in one.slots}
    has_config = any(one.inference_config is not None for one in there)
    is_declared = any(one.declared for one in there)
    rest = replace(
        app,
        declared=app.declared and is_declared,
        fields=app.fields if is_declared else {},
        archived=app.archived and is_declared,
        whole=app.whole & frozenset[Section]().union(*(one.whole for one in there)),
        targets=tuple(one for one in app.targets if one.unique_key in targets),
        slots=tuple(one for one in app.slots if one.capability in slots),
        inference_config=app.inference_config if has_config else None,
    )
    return rest if rest.declared or rest.sections or rest.whole else None


def _absolute(paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({os.path.abspath(path) for path in paths}))  # noqa: PTH100 — `resolve` would follow links
