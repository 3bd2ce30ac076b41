"""Trace rendered documents to the files that kustomize rendered them from, by its annotations.

With `buildMetadata: [originAnnotations]` in a kustomization, kustomize adds to every document the path of its file, relative
to the kustomization's folder (observed with 5.5). Values that a patch added are not in that file: only their document is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field
from typing import Final

from octosync.manifest.load.files import File
from octosync.manifest.schema.models import KINDS
from octosync.manifest.schema.rules import Findings
from octosync.manifest.schema.shapes import Shape, shape_of
from octosync.manifest.yaml.loader import parse
from octosync.manifest.yaml.nodes import Mapping, Node, Scalar, Sequence, YamlDocument, plain
from octosync.manifest.yaml.source import HasPosition, Source
from octosync.model import JsonValue, Sensitivity, canonical_json

_ORIGIN: Final = "config.kubernetes.io/origin"
_GROUP: Final = "config.kubernetes.io"  # and groups that end with it: bookkeeping of kustomize and similar renderers


def is_bookkeeping(annotation: str) -> bool:
    """Return whether an annotation is a renderer's bookkeeping, which declares nothing."""
    group = annotation.partition("/")[0]
    return group == _GROUP or group.endswith(f".{_GROUP}")


@dataclass(slots=True)
class RenderedOrigins:
    """Finds the origins of one rendered file's documents. `open_` is None if the kustomization's folder is unknown.

    `opened` maps the path of every file opened so far to its content; None if there was none.
    """

    source: Source
    sensitivity: Sensitivity
    open_: Callable[[str], File | None] | None
    opened: dict[str, bytes | None] = field(default_factory=dict)
    _read: dict[str, tuple[Source, list[YamlDocument]] | None] = field(default_factory=dict)

    def trace(self, document: YamlDocument) -> None:
        """Record in the source the origins of a document's values, if the document is annotated."""
        path = self._path_of(document.root)
        if path is None:
            self.source.set_own(document.root.line)
            return
        opened = self._opened(path)
        found = _same_document(document.root, opened[1]) if opened is not None else None
        if opened is None or found is None:
            self.source.set_origin_path(document.root.line, path)
            return
        kind = document.root.get("kind") if isinstance(document.root, Mapping) else None
        model = KINDS.get(str(plain(kind))) if kind is not None else None
        shape = shape_of(model) if model is not None else None
        self.source.set_origin(document.root.line, opened[0], found.root, _pairs(document.root, found.root, shape))

    def _path_of(self, root: Node) -> str | None:
        """Return the path in the annotation; None if there is none, or the file is in another repository."""
        text = _node_at(root, "metadata", "annotations", _ORIGIN)
        if not isinstance(text, Scalar) or not isinstance(text.value, str):
            return None
        _, documents = parse("", text.value.encode("utf-8", "replace"), self.sensitivity, Findings())
        origin = documents[0].root if documents else None
        path = _node_at(origin, "path")
        if not isinstance(path, Scalar) or not isinstance(path.value, str) or _node_at(origin, "repo") is not None:
            return None
        return path.value

    def _opened(self, path: str) -> tuple[Source, list[YamlDocument]] | None:
        if path not in self._read:
            file = self.open_(path) if self.open_ is not None else None
            self.opened[path] = None if file is None else file.data
            self._read[path] = (
                None if file is None else parse(file.name, file.data, self.sensitivity, Findings(), base=file.base)
            )
        return self._read[path]


def _node_at(node: Node | None, *keys: str) -> Node | None:
    for key in keys:
        node = node.get(key) if isinstance(node, Mapping) else None
    return node


def _same_document(root: Node, documents: Iterable[YamlDocument]) -> YamlDocument | None:
    """Return the document with the same kind and name, else the only one of the kind, since kustomize may prefix names."""
    of_kind = [document for document in documents if _text(document.root, "kind") == _text(root, "kind")]
    name = _text(root, "metadata", "name")
    named = [document for document in of_kind if _text(document.root, "metadata", "name") == name]
    found = named or of_kind
    return found[0] if len(found) == 1 else None


def _text(root: Node, *keys: str) -> object:
    node = _node_at(root, *keys)
    return node.value if isinstance(node, Scalar) else None


def _pairs(rendered: Node, written: Node, shape: Shape | None) -> Iterator[tuple[HasPosition, HasPosition]]:
    """Yield the nodes at the same path of both that match: equal scalars, and lists and objects with their keys."""
    match rendered, written:
        case Mapping(), Mapping():
            yield rendered, written
            fields = shape.fields if shape is not None else {}
            for key, (key_node, value) in rendered.entries.items():
                if key not in written.entries:
                    continue
                other_key, other = written.entries[key]
                below = list(_pairs(value, other, fields[key].shape if key in fields else None))
                if below:
                    yield key_node, other_key
                yield from below
        case Sequence(), Sequence():
            yield rendered, written
            item_shape, key_names = (
                (shape.parts[0], shape.key) if shape is not None and shape.type is list else (None, ())
            )
            written_items = {canonical_json(_identity(item, key_names)): item for item in reversed(written.items)}
            for item in rendered.items:
                if (same := written_items.get(canonical_json(_identity(item, key_names)))) is not None:
                    yield from _pairs(item, same, item_shape)
        case Scalar(), Scalar() if rendered.value == written.value and type(rendered.value) is type(written.value):
            yield rendered, written


def _identity(item: Node, keys: tuple[str, ...]) -> JsonValue:
    """Return the identity of a list item: the merge keys of such lists, else its whole value."""
    value = plain(item)
    if keys and isinstance(value, AnyMapping):
        return [value.get(key) for key in keys]
    return value
