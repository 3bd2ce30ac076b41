"""Vanishing: what was declared in a document that is gone, which is not the same as being edited out of one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from octosync.manifest.documents import Resource
from octosync.model import Address


@dataclass(frozen=True, slots=True)
class DocumentKey:
    """What a document is known by, in whichever file it stands: kind, app, and a child's own name, "" where it has none.

    A child without a name is known by what it declares.
    """

    kind: str
    app: str
    name: str = ""


# By document, what it declares.
Declarations: TypeAlias = Mapping[DocumentKey, frozenset[Address]]


def declared_by(resource: Resource) -> Declarations:
    """Say what one document declares: nothing where its app could not be read."""
    if resource.app is None:
        return {}
    declared = frozenset(_declared(resource, resource.app))
    return {_key(resource, resource.app, declared): declared}


def together(parts: Iterable[Declarations]) -> Declarations:
    """Put declarations together."""
    found: dict[DocumentKey, frozenset[Address]] = {}
    for part in parts:
        for key, declared in part.items():
            found[key] = found[key] | declared if key in found else declared
    return found


def vanished(before: Declarations, now: Declarations) -> frozenset[Address]:
    """Return what `before` declared in documents that are gone now, and nothing declares any more."""
    gone = [declared for key, declared in before.items() if key not in now]
    if not gone:
        return frozenset()
    return frozenset().union(*gone) - frozenset().union(*now.values())


def _key(resource: Resource, app: str, declared: frozenset[Address]) -> DocumentKey:
    if resource.kind == "App":
        return DocumentKey("App", app)
    metadata = resource.root.record("metadata")
    name = metadata.text("name") if metadata is not None else None
    return DocumentKey(resource.kind, app, name or " ".join(sorted(map(str, declared))))


def _declared(resource: Resource, app: str) -> Iterator[Address]:
    spec = resource.spec
    if resource.kind == "App":
        yield Address.of_app(app)
    if spec is None:
        return
    slots = spec.records("slots") if resource.kind == "App" else [spec]
    targets = spec.records("targets") if resource.kind == "App" else [spec]
    for slot in slots:
        if (capability := slot.text("capability")) is not None:
            yield Address.of_slot(app, capability)
            # What is deployed for it is the slot's.
            deploy = slot.record("deploy")
            for environment in deploy.texts("environments") if deploy is not None else ():
                yield Address.of_capability(app, capability, environment)
    for target in targets:
        platform, identifier = target.text("platform"), target.text("identifier")
        if platform is not None and identifier is not None:
            yield Address.of_target(app, platform, identifier)
    if "inferenceConfig" in spec or "config" in spec:
        yield Address.of_inference_config(app)
