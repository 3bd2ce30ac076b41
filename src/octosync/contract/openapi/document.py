"""The parser of OpenAPI documents: JSON or YAML, 3.0 or 3.1, with references inside the document.

A document comes from elsewhere, so nothing in it is trusted: not its size, depth, aliases or types.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import yaml

from octosync.errors import OctosyncError

MAX_DOCUMENT_BYTES: Final = 32 * 1024 * 1024  # bytes

_DEEPEST: Final = 200  # levels of YAML, more than any real document has
_LONGEST_CHAIN: Final = 100  # references to references
_METHODS: Final = ("get", "put", "post", "delete", "patch", "head", "options", "trace")
_WHERE: Final = ("FastAPI serves it at /openapi.json; so does `octosync server`.",)


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentOperation:
    """An operation of the document: `path` includes the path of its server, `parameters` are resolved."""

    id: str | None
    method: str
    path: str
    raw: Mapping[str, Any]
    parameters: tuple[Mapping[str, Any], ...]


class OpenApiDocument:
    """An OpenAPI document. `version` is that of the API, `openapi` that of the format."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        info = mapping_of(root.get("info"))
        self.title = str(info.get("title") or "")
        self.version = str(info.get("version") or "")
        self.openapi = str(root["openapi"])

    @property
    def operations(self) -> Iterator[DocumentOperation]:
        """Yield the operations, in the order of the document."""
        for template, at in mapping_of(self._root.get("paths")).items():
            item = self.resolved(at)
            if item is None:
                continue
            for method in _METHODS:
                if isinstance(raw := item.get(method), Mapping):
                    yield self._described(str(template), method, item, raw)

    def resolved(self, node: object) -> Mapping[str, Any] | None:
        """Return the object that a node is or refers to, over several references; None if one leads out of the document."""
        for _ in range(_LONGEST_CHAIN):
            if not isinstance(node, Mapping):
                return None
            if not isinstance(reference := node.get("$ref"), str):
                return node
            node = self.resolve_pointer(reference)
        return None

    def resolve_pointer(self, reference: str) -> object:
        """Return the node that a reference names; None if it doesn't exist or is outside the document."""
        if reference == "#":
            return self._root
        if not reference.startswith("#/"):
            return None
        node: object = self._root
        for token in unquote(reference[2:]).split("/"):
            key = token.replace("~1", "/").replace("~0", "~")
            if isinstance(node, list):
                node = node[int(key)] if key.isascii() and key.isdigit() and int(key) < len(node) else None
            else:
                node = _entry(node, key)
        return node

    def content(self, node: object) -> tuple[object, bool]:
        """Return the schema of a body's JSON, None if it has none, and whether it has another media type instead."""
        types = mapping_of(mapping_of(self.resolved(node)).get("content"))
        for name, media in types.items():
            if re.match(r"application/(?:[\w.+-]+\+)?json\b|\*/\*|application/\*", str(name), re.IGNORECASE):
                return mapping_of(media).get("schema", {}), False
        return None, bool(types)

    def _described(
        self, template: str, method: str, item: Mapping[str, Any], raw: Mapping[str, Any]
    ) -> DocumentOperation:
        # An operation's parameter replaces that of the path with the same name and place.
        given = [self.resolved(node) for at in (item, raw) for node in list_of(at.get("parameters"))]
        parameters = {
            (str(parameter.get("in")), str(parameter.get("name"))): parameter
            for parameter in given
            if parameter is not None
        }
        id_ = raw.get("operationId")
        server = next((_server(at) for at in (raw, item, self._root) if at.get("servers")), "")
        return DocumentOperation(
            id=id_ if isinstance(id_, str) else None,
            method=method.upper(),
            path=server + template,
            raw=raw,
            parameters=tuple(parameters.values()),
        )


def read_document(data: bytes, name: str) -> OpenApiDocument:
    """Parse a document. Raises `OctosyncError` if it is not an OpenAPI document, or not of a supported version."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _unreadable(name, "it is not UTF-8 text") from None
    if text.lstrip()[:1] == "<":
        raise OctosyncError(
            "spec-is-html",
            f"{name} is a web page, not an OpenAPI document",
            hints=("A page that shows the API loads its document from another URL: look for a link to it.", *_WHERE),
        )
    root = _parse(text, name)
    if not isinstance(root, Mapping):
        raise _unreadable(name, "it contains no object")
    if "swagger" in root:
        raise OctosyncError(
            "spec-version",
            f"{name} is a Swagger {root['swagger']} document, but octosync reads OpenAPI 3.0 and 3.1",
            hints=("Convert it, for example with swagger2openapi.",),
        )
    if "openapi" not in root:
        raise _unreadable(name, "it has no field `openapi`")
    if not re.match(r"3\.\d", version := str(root["openapi"])):
        raise OctosyncError(
            "spec-version",
            f"{name} is an OpenAPI {version} document, but octosync reads 3.0 and 3.1",
            hints=("Check for a newer version of octosync.",),
        )
    if not mapping_of(root.get("paths")):
        raise _unreadable(name, "it describes no paths")
    return OpenApiDocument(root)


def _parse(text: str, name: str) -> object:
    problem = ""
    if text.lstrip()[:1] == "{":
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            problem = f"it is not JSON: {error.msg.lower()} in line {error.lineno}"
        except (RecursionError, ValueError):
            raise _unreadable(name, "it is nested too deep, or has numbers too long") from None
    try:
        _check_depth(text, name)
        loaded: object = yaml.load(text, Loader=_Loader)  # noqa: S506 — a safe loader
    except yaml.MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise _unreadable(name, problem or f"it is neither JSON nor YAML: {error.problem}{line}") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise _unreadable(name, problem or "it is neither JSON nor YAML") from None
    return loaded


class _Loader(yaml.CSafeLoader):
    """YAML with JSON's types only: no dates, and no merge keys, which can grow without bound."""

    yaml_implicit_resolvers = {  # noqa: RUF012 — PyYAML's own name for it
        first: [(tag, pattern) for tag, pattern in known if tag.rpartition(":")[2] in {"bool", "int", "float", "null"}]
        for first, known in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }


def _check_depth(text: str, name: str) -> None:
    """Raise `OctosyncError` for deep nesting before the document is composed, which recurses in C without a limit."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            raise _unreadable(name, f"it is nested deeper than {_DEEPEST} levels")


def _unreadable(name: str, why: str) -> OctosyncError:
    return OctosyncError("spec-unreadable", f"{name} is not an OpenAPI document: {why}", hints=_WHERE)


def _server(at: Mapping[str, Any]) -> str:
    """Return the path of the first server, without a trailing slash; "" if there is none."""
    server = mapping_of(next(iter(list_of(at.get("servers"))), None))
    url = str(server.get("url") or "")
    for variable, meaning in mapping_of(server.get("variables")).items():
        url = url.replace(f"{{{variable}}}", str(mapping_of(meaning).get("default", "")))
    try:
        path = urlsplit(url).path
    except ValueError:
        return ""
    return path.rstrip("/") if path.startswith("/") else ""


def _entry(node: object, key: str) -> object:
    """Return an entry; its key may be a number, such as a status code in YAML."""
    if not isinstance(node, Mapping):
        return None
    return node[key] if key in node else next((value for name, value in node.items() if str(name) == key), None)


def mapping_of(node: object) -> Mapping[str, Any]:
    """Return an object unchanged, and an empty one for anything else."""
    return node if isinstance(node, Mapping) else {}


def list_of(node: object) -> list[Any]:
    """Return a list unchanged, and an empty one for anything else."""
    return node if isinstance(node, list) else []
