"""Documents of octosync's kinds: recognize them, check them against the schema of their kind, read their annotations."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, replace
from datetime import datetime
from operator import itemgetter
from types import MappingProxyType
from typing import cast

from octosync.manifest.load.variables import Variables
from octosync.manifest.schema.checked_object import CheckedObject
from octosync.manifest.schema.models import API_VERSION, GROUP, KINDS, PROTECT, SUSPEND
from octosync.manifest.schema.rules import Findings, Reporter
from octosync.manifest.schema.shapes import is_valid
from octosync.manifest.yaml.nodes import (
    Mapping,
    Node,
    Scalar,
    Sequence,
    UnreadText,
    YamlDocument,
    join,
    may_be_secret,
    type_name,
)
from octosync.manifest.yaml.simple import Origins, PlainTemplate, SimpleFile, templates_in
from octosync.manifest.yaml.source import Source, quoted
from octosync.model import Diagnostic, Origin, Suspension, closest

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_ANNOTATIONS = {annotation.partition("/")[2]: annotation for annotation in (PROTECT, SUSPEND)}
_KINDS = f"the kinds: {', '.join(KINDS)}"
_REFERENCE_ONLY = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One document of octosync's: its kind, its app (None if that could not be read) and its checked spec.

    `spec` is None if it is missing or could not be read. `uses_environment`: it refers to variables of the environment.
    `origins` are those that the reader of simple files recorded.
    """

    kind: str
    app: str | None
    root: CheckedObject
    spec: CheckedObject | None
    labels: AnyMapping[str, str]
    annotations: AnyMapping[str, str]
    protected: bool
    suspension: Suspension | None
    reporter: Reporter
    origin: Origin
    origins: Origins
    uses_environment: bool = False

    def origin_of(self, fields: CheckedObject, key: str | None = None) -> Origin:
        """Return the origin of an object of this document, or of one of its keys."""
        known = self.origins.get((id(fields.values), key))
        return known or _origin_of(fields, key, self.reporter.source)


def _origin_of(fields: CheckedObject, key: str | None, source: Source) -> Origin:
    return source.origin_of(fields.node if key is None else fields.key_node(key))


def with_apps(found: Iterable[Diagnostic], resources: Iterable[Resource]) -> Iterator[Diagnostic]:
    """Yield diagnostics with the apps of the documents that they are in.

    A document ends where the next one of its file starts.
    """
    found = tuple(found)
    starts: dict[str, list[tuple[int, str]]] = {}
    for resource in resources if found else ():
        if resource.app is not None:
            starts.setdefault(resource.origin.file, []).append((resource.origin.line, resource.app))
    documents = {file: sorted(places) for file, places in starts.items()}
    for diagnostic in found:
        origin = diagnostic.origin
        in_file = documents.get(origin.file, []) if origin is not None else []
        at = bisect_right(in_file, origin.line, key=itemgetter(0)) if origin is not None else 0
        if not at:
            yield diagnostic
            continue
        # A document of a file may have been rendered several times, for several apps.
        apps = (app for line, app in in_file if line == in_file[at - 1][0])
        yield replace(diagnostic, apps=frozenset(apps))


def read_document(document: YamlDocument, reporter: Reporter, variables: Variables, now: datetime) -> Resource | None:
    """Return the resource of a document and report its problems; None if it is not octosync's or its kind is unknown."""
    root = document.root
    if isinstance(root, Scalar) and isinstance(root.value, UnreadText):
        return None
    if not isinstance(root, Mapping):
        summary = f"expected an object with apiVersion and kind, got {type_name(root)}"
        reporter.report("wrong-type", root, summary, shows_line=False)
        return None
    kind = _kind(root, reporter)
    if kind is None:
        return None
    if document.has_sensitive:
        _report_secrets(root, reporter, "", inside=False)
    uses_environment = bool(document.templates) and variables.taken_from_environment(document)
    if document.templates:
        variables.replace(document, reporter)
    from octosync.manifest.schema.validate import check

    fields = check(root, KINDS[kind], reporter, kind.lower())
    if fields is None:
        return None
    resource = _resource(kind, fields, reporter, now)
    return replace(resource, uses_environment=True) if uses_environment else resource


def read_simple_document(
    file: SimpleFile, index: int, reporter: Reporter, variables: Variables, now: datetime
) -> Resource | None:
    """Return the resource of a document of a simple file; None if it is not a valid one of octosync's."""
    values = file.documents[index]
    kind = values.get("kind")
    if values.get("apiVersion") != API_VERSION or not isinstance(kind, str) or kind not in KINDS:
        return None
    templates = list(templates_in(values)) if file.has_templates else []
    uses_environment = bool(templates) and _replace_variables(templates, variables, file.source)
    if uses_environment is None or not is_valid(values, KINDS[kind]):
        return None
    root = CheckedObject(values, lambda: (file.root(index), ""))
    resource = _resource(kind, root, reporter, now, file.origins)
    return replace(resource, uses_environment=True) if uses_environment else resource


def _replace_variables(templates: list[PlainTemplate], variables: Variables, source: Source) -> bool | None:
    """Replace the variables in plain texts. Return whether any is the environment's; None if one can't be replaced."""
    scalars = tuple(Scalar(holder[key], 1, 1, 1) for holder, key in templates)
    document, findings = YamlDocument(root=scalars[0], templates=scalars), Findings()
    uses_environment = variables.taken_from_environment(document)
    variables.replace(document, Reporter(findings, source))
    for (holder, key), scalar in zip(templates, scalars, strict=True):
        holder[key] = scalar.value
    return uses_environment if not findings.count else None


def _resource(
    kind: str, root: CheckedObject, reporter: Reporter, now: datetime, origins: Origins = MappingProxyType({})
) -> Resource:
    spec = root.record("spec")
    metadata = root.record("metadata")
    app = (metadata.text("name") if metadata else None) if kind == "App" else (spec.text("app") if spec else None)
    protected, suspension = (
        _annotations(metadata, reporter, now) if metadata and "annotations" in metadata.values else (False, None)
    )
    return Resource(
        kind=kind,
        app=app,
        root=root,
        spec=spec,
        labels=metadata.text_map("labels") if metadata else {},
        annotations=metadata.text_map("annotations") if metadata else {},
        protected=protected,
        suspension=suspension,
        reporter=reporter,
        origin=origins.get((id(root.values), None)) or _origin_of(root, None, reporter.source),
        origins=origins,
    )


def _kind(root: Mapping, reporter: Reporter) -> str | None:
    """Return the kind of a document; None if it is another program's, or can't be determined.

    A document that lacks only its apiVersion is checked against the schema of its kind, too.
    """
    version, kind = root.get("apiVersion"), root.get("kind")
    if version is None and kind is None:
        _report_no_manifest(root, reporter)
        return None
    for name, node in (("apiVersion", version), ("kind", kind)):
        if node is not None and not (isinstance(node, Scalar) and isinstance(node.value, str)):
            reporter.report("wrong-type", node, f"expected a string for `{name}`, got {type_name(node)}", path=name)
    if kind is None:
        _report_missing(root, "kind", "a document needs `kind`", reporter, notes=(_KINDS,))
    if not isinstance(kind, Scalar) or not isinstance(kind.value, str) or isinstance(kind.value, UnreadText):
        return None
    if version is None:
        return _kind_without_version(kind, root, reporter)
    if not isinstance(version, Scalar) or not isinstance(version.value, str) or isinstance(version.value, UnreadText):
        return None
    if version.value == API_VERSION and kind.value in KINDS:
        return kind.value
    _report_kind(version, kind, reporter)
    return None


def _report_no_manifest(root: Mapping, reporter: Reporter) -> None:
    """Report a document without apiVersion and kind: octosync's own outputs are ignored, anything else is an error."""
    from octosync.manifest.load.own_documents import describe_own_document

    if (what := describe_own_document(root)) is not None:
        summary = f"{what} of octosync, not a manifest: the document is ignored"
        reporter.report("octosync-output", root, summary, shows_line=False)
    elif not root.has_unread_key:
        summary = f"not a manifest: expected `apiVersion: {API_VERSION}` and `kind`"
        reporter.report("missing-field", _first_of(root), summary, notes=(_KINDS,))


def _first_of(root: Mapping) -> Scalar:
    return Scalar(None, root.line, root.column, 1)


def _kind_without_version(kind: Scalar, root: Mapping, reporter: Reporter) -> str | None:
    if kind.value in KINDS:
        return str(kind.value)
    _report_missing(root, "apiVersion", f"a document needs `apiVersion`: {API_VERSION}", reporter)
    return None


def _report_missing(root: Mapping, name: str, summary: str, reporter: Reporter, notes: tuple[str, ...] = ()) -> None:
    """Report that a document lacks a field, or that the field is misspelled."""
    for key, (key_node, _) in root.entries.items():
        if closest(key, (name,)) and not isinstance(key_node.value, UnreadText):
            written = f"{reporter.quote(key, key_node)} is not a field of a document"
            reporter.report("unknown-field", key_node, written, path=key, suggestion=name)
            return
    if not root.has_unread_key:
        reporter.report("missing-field", _first_of(root), summary, path=name, notes=notes)


def _report_kind(version: Scalar, kind: Scalar, reporter: Reporter) -> None:
    """Report a document whose apiVersion or kind is not supported."""
    name, group = str(kind.value), str(version.value).partition("/")[0]
    quoted_version, quoted_kind = reporter.quote(version.value, version), reporter.quote(name, kind)
    if group != GROUP and not (name in KINDS and closest(group, (GROUP,))):
        summary = f"{quoted_kind} of {quoted_version} is not octosync's: the document is ignored"
        reporter.report("foreign-document", kind, summary)
        return
    if version.value != API_VERSION:
        summary = f"{quoted_version} is not a supported version"
        reporter.report("unknown-version", version, summary, path="apiVersion", suggestion=API_VERSION)
        return
    reporter.report(
        "unknown-kind",
        kind,
        f"{quoted_kind} is none of {', '.join(KINDS)}",
        path="kind",
        suggestion=closest(name, KINDS),
    )


def _annotations(metadata: CheckedObject, reporter: Reporter, now: datetime) -> tuple[bool, Suspension | None]:
    """Return whether the app is protected, and its suspension; report unknown annotations that look like octosync's."""
    values, sound = metadata.values["annotations"], metadata.text_map("annotations")
    protected, suspension = False, None
    for key in values if isinstance(values, dict) else ():
        text = sound.get(key)
        if key == PROTECT and text is not None:
            protected = text == "true"
            if text not in ("true", "false"):
                _, at, path = _located(metadata, key)
                summary = f'{reporter.quote(text, at)} is neither "true" nor "false"'
                reporter.report("invalid-annotation", at, summary, path=path, suggestion='"true"')
        elif key == SUSPEND and text is not None:
            suspension = _suspension(text, metadata, reporter, now)
        elif key not in _ANNOTATIONS.values():
            _check_unknown(key, metadata, reporter)
    return protected, suspension


def _located(metadata: CheckedObject, key: str) -> tuple[Scalar, Node, str]:
    """Return the key's node, the value's node and the path of an annotation."""
    key_node, value = cast("Mapping", metadata.node.get("annotations")).entries[key]
    return key_node, value, join(metadata.path_to("annotations"), key)


def _check_unknown(key: str, metadata: CheckedObject, reporter: Reporter) -> None:
    """Report an unknown annotation of octosync's group, and a known one whose group is misspelled."""
    group, slash, name = key.partition("/")
    meant = closest(name, _ANNOTATIONS)
    if slash and (group == GROUP or (meant is not None and closest(group, (GROUP,)))):
        at, _, path = _located(metadata, key)
        if isinstance(at.value, UnreadText):
            return
        summary = f"{reporter.quote(key, at)} is not a known annotation"
        suggestion = _ANNOTATIONS[meant] if meant else None
        notes = (f"octosync's: {', '.join(_ANNOTATIONS.values())}",)
        reporter.report("unknown-annotation", at, summary, path=path, suggestion=suggestion, notes=notes)


def _suspension(text: str, metadata: CheckedObject, reporter: Reporter, now: datetime) -> Suspension | None:
    if text in ("true", "false"):
        return Suspension() if text == "true" else None
    try:
        until = datetime.fromisoformat(text.upper()) if _RFC3339.fullmatch(text) else None
    except ValueError:
        until = None
    if until is None:
        _, at, path = _located(metadata, SUSPEND)
        summary = f'{reporter.quote(text, at)} is neither "true" nor a time with its zone'
        notes = ('a time is written like "2030-01-31T18:00:00Z"',)
        reporter.report("invalid-annotation", at, summary, path=path, notes=notes)
        return None
    suspension = Suspension(until)
    if not suspension.is_active(now):
        _, at, path = _located(metadata, SUSPEND)
        summary = f"the suspension ended at {text} and holds no longer"
        reporter.report("suspension-over", at, summary, path=path, notes=("remove the annotation",))
    return suspension


def _report_secrets(node: Node, reporter: Reporter, path: str, *, inside: bool) -> None:
    """Report every literal value under a sensitive key, at any depth."""
    if isinstance(node, Mapping):
        for key, (key_node, value) in node.entries.items():
            sensitive = reporter.source.sensitivity.covers(key) and may_be_secret(value)
            below = path if inside else join(path, key)
            if sensitive and not inside and _holds_literal(value):
                shown = reporter.source.sensitivity.shown_key(key)
                name = quoted(shown) if shown != key else reporter.quote(key, key_node)
                summary = f"a literal under {name}: secrets don't belong in manifests"
                notes = ("octosync never shows it, but anyone with access to the repository can read it",)
                reporter.report("secret-in-manifest", key_node, summary, path=below, notes=notes)
            _report_secrets(value, reporter, below, inside=inside or sensitive)
    elif isinstance(node, Sequence):
        for index, item in enumerate(node.items):
            _report_secrets(item, reporter, join(path, index), inside=inside)


def _holds_literal(node: Node) -> bool:
    match node:
        case Mapping():
            return any(_holds_literal(value) for _, value in node.entries.values())
        case Sequence():
            return any(map(_holds_literal, node.items))
        case Scalar(value=UnreadText()):
            return False
        case Scalar(value=str() as text):
            return bool(text) and not _REFERENCE_ONLY.fullmatch(text)
        case Scalar():
            return False
