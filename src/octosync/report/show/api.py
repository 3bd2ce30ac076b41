"""What `octosync api` says: the table of operations, and what came of comparing it.

What `octosync api probe` says: what came of each read operation, and the overrides that follow.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from octosync.contract import OPERATIONS, Contract, Operation
from octosync.contract.openapi import Conformance, ConformanceFinding, FindingLevel, OperationComparison
from octosync.contract.operations import Overrides
from octosync.contract.probe import ProbedOperation, ProbeResult, Verdict, overrides_of
from octosync.contract.requests import EXCHANGES
from octosync.model import JsonObject, counted
from octosync.plan import FORMAT_VERSION
from octosync.report.text import Style, padded, text_of, visible

_IDS: Final = max(map(len, OPERATIONS))
_METHODS: Final = len("DELETE")


def render_operations(contract: Contract, *, colour: bool) -> str:
    """Render the table in force: what is sent where, by which commands, and how that is known."""
    style = Style(colour)
    every = tuple(contract.operations.values())
    paths = max(len(one.path) for one in every)
    head = f"{padded('operation', _IDS)}  {padded('sends', _METHODS + 1 + paths)}  {padded('path from', _SOURCES)}  used by"
    lines = [style.bold(head)]
    moved = 0
    for one in every:
        source = path_source(one)
        moved += source == _OURS
        sends = padded(f"{padded(one.method, _METHODS)} {one.path}", _METHODS + 1 + paths)
        shown = padded(source, _SOURCES)
        shown = style.yellow(shown) if source == _OURS else style.dim(shown)
        lines.append(f"{padded(one.id, _IDS)}  {sends}  {shown}  {', '.join(EXCHANGES[one.id].by)}")
    stated = sum(one.number is not None for one in every)
    lines += [
        "",
        f"{counted(len(every), 'operation')}, {stated} of them of the apps API. Paths are below the URL's own.",
    ]
    if moved:
        lines.append(f"{counted(moved, 'operation')} as octosync.yaml has it (api.operations).")
    return text_of(lines)


def operations_document(contract: Contract) -> JsonObject:
    """Return the same as JSON."""
    return {
        "format_version": FORMAT_VERSION,
        "operations": [
            {
                "id": operation.id,
                "number": operation.number,
                "method": operation.method,
                "path": operation.path,
                "overridden": path_source(operation) == _OURS,
                "access": operation.access.value,
                "idempotent": operation.idempotent,
                "known": operation.provenance.value,
                "path_known": path_source(operation),
                "used_by": list(EXCHANGES[operation.id].by),
                "summary": operation.summary,
            }
            for operation in contract.operations.values()
        ],
    }


_OURS: Final = "octosync.yaml"
_SOURCES: Final = len(_OURS)


def path_source(operation: Operation) -> str:
    """Say where an operation's method and path come from: `assumed`, or octosync.yaml."""
    return operation.path_provenance.value if operation == OPERATIONS[operation.id] else _OURS


def render_conformance(conformance: Conformance, name: str, *, colour: bool) -> str:
    """Render what a document has of each operation, and last the overrides that mend it."""
    style = Style(colour)
    document = conformance.document
    title = " ".join(filter(None, (document.title, document.version)))
    parts = (name, title, f"OpenAPI {document.openapi}")
    lines = [f"octosync api check · {' · '.join(visible(part) for part in parts if part)}", ""]
    for compared in conformance.operations:
        lines += _compared_lines(compared, style)
    if conformance.is_elsewhere:
        base, ours = visible(conformance.base), conformance.expected_base
        lines += [
            "",
            style.yellow(f"The document has all of it below {base}, and octosync's URLs end in {ours}."),
            f"If that is so, name the URL with its path: --url https://HOST{base}",
        ]
    differ = [operation for operation in conformance.operations if not operation.agrees]
    lines += ["", *_verdict(conformance, differ, style)]
    lines += _mending_lines(conformance.mending, differ, style)
    return text_of(lines)


def conformance_document(conformance: Conformance, name: str) -> JsonObject:
    """Return the same as JSON."""
    document = conformance.document
    return {
        "format_version": FORMAT_VERSION,
        "document": {
            "name": name,
            "title": document.title,
            "version": document.version,
            "openapi": document.openapi,
            "base": conformance.base,
        },
        "agrees": conformance.agrees,
        "operations": [
            {
                "id": operation.operation.id,
                "method": operation.operation.method,
                "path": operation.operation.path,
                "overridden": path_source(operation.operation) == _OURS,
                "agrees": operation.agrees,
                "found": operation.found,
                "found_by": None if operation.found is None else "id" if operation.by_id else "path",
                "findings": [_finding_document(finding) for finding in operation.findings],
            }
            for operation in conformance.operations
        ],
        "others": conformance.others,
        "api": None if conformance.mending is None else overrides_document(conformance.mending),
    }


def overrides_document(overrides: Overrides) -> JsonObject:
    """Return overrides as `api` of octosync.yaml has them, without what is empty."""
    whole: JsonObject = {
        "operations": {id_: dict(one) for id_, one in overrides.operations.items()},
        "readOnly": {name: list(fields) for name, fields in overrides.read_only.items()},
        "platforms": list(overrides.platforms),
    }
    return {key: value for key, value in whole.items() if value}


def overrides_yaml(overrides: Overrides, *, notes: Mapping[str, str] | None = None) -> Iterator[str]:
    """Yield the lines of `api` for octosync.yaml; `notes` are comments beside an operation's line."""
    yield "api:"
    if overrides.operations:
        yield "  operations:"
        for id_, one in overrides.operations.items():
            note = (notes or {}).get(id_)
            # Braces and colons mean something in YAML, so paths are quoted; a JSON text is YAML.
            said = {
                key: json.dumps(value, ensure_ascii=False) if key == "path" else value for key, value in one.items()
            }
            fields = ", ".join(f"{key}: {said[key]}" for key in sorted(said))
            yield f"    {id_}: {{{fields}}}{f'   # {note}' if note else ''}"
    if overrides.read_only:
        yield "  readOnly:"
        for name, unsent in overrides.read_only.items():
            yield f"    {name}: [{', '.join(unsent)}]"
    if overrides.platforms:
        yield f"  platforms: [{', '.join(map(json.dumps, overrides.platforms))}]"


def _compared_lines(one: OperationComparison, style: Style) -> Iterator[str]:
    operation = one.operation
    levels = {finding.level for finding in one.findings}
    mark = style.green("✓")
    if FindingLevel.MISMATCH in levels:
        mark = style.red("✗")
    elif FindingLevel.WARNING in levels:
        mark = style.yellow("!")
    where = style.dim("   octosync.yaml") if path_source(operation) == _OURS else ""
    yield f"{mark} {padded(operation.id, _IDS)}  {padded(operation.method, _METHODS)} {operation.path}{where}"
    for finding in one.findings:
        yield f"    {_finding_words(finding, style)}"


def _finding_words(finding: ConformanceFinding, style: Style) -> str:
    words = visible(finding.message)
    match finding.level:
        case FindingLevel.MISMATCH:
            return words
        case FindingLevel.WARNING:
            return f"{style.yellow('warning')}: {words}"
        case FindingLevel.NOTE:
            return style.dim(f"note: {words}")


def _verdict(conformance: Conformance, differ: Sequence[OperationComparison], style: Style) -> Iterator[str]:
    total = len(conformance.operations)
    if differ:
        words = f"{counted(len(differ), 'operation')} {'differs' if len(differ) == 1 else 'differ'}"
        yield f"{style.red(words)}, {total - len(differ)} agree."
    else:
        yield f"{style.green('All agree')}: {counted(total, 'operation')}."
    if vague := sum(operation.agrees and not operation.is_whole for operation in conformance.operations):
        yield style.yellow(f"{counted(vague, 'operation')} could not be compared in full: see the notes.")
    if conformance.others:
        yield f"Of the document's other operations, {conformance.others:,}, octosync needs none."


def _mending_lines(mending: Overrides | None, differ: Iterable[OperationComparison], style: Style) -> Iterator[str]:
    left = [one for one in differ if any(f.level is FindingLevel.MISMATCH and not f.mends for f in one.findings)]
    if mending is not None:
        if mending:
            yield from ("", "In octosync.yaml, as all of its `api`:", "", *map(visible, overrides_yaml(mending)))
        else:
            yield from ("", "Leave `api` out of octosync.yaml: it is what differs.")
        if mending.read_only:
            yield from ("", "A field under readOnly is never sent: take it out of the manifests, too.")
    if left:
        which = ", ".join(one.operation.id for one in left)
        yield from ("", style.yellow(f"No override mends {which}: look for a newer octosync."))


def _finding_document(finding: ConformanceFinding) -> JsonObject:
    return {
        "level": finding.level.value,
        "kind": finding.kind.value,
        "field": finding.field,
        "message": finding.message,
        "mended_by_override": finding.mends,
    }


_WORDS = {verdict: verdict.value.replace("-", " ") for verdict in Verdict}
_OPEN = "what your control plane calls it"


def render_probe(probe: ProbeResult, contract: Contract, *, url: str, colour: bool) -> str:
    """Render what came of each operation, the counts, and the lines for octosync.yaml; `url` is the control plane's."""
    style = Style(colour)
    app = f" · app {visible(probe.app)}" if probe.app is not None else ""
    lines = [f"octosync api probe · {url.partition('://')[2]}{app}", ""]
    width = max((len(_sends(operation)) for operation in probe.operations), default=0)
    for one in probe.operations:
        lines += _lines(one, width, style)
    lines += ["", _counts(probe, style)]
    if {operation.verdict for operation in probe.operations} <= {Verdict.ABSENT, Verdict.NOT_TRIED}:
        lines += ["", f"Nothing is where octosync expects it: check that {url} is the API's URL."]
    else:
        lines += _overrides(probe, contract)
    return text_of(lines)


def probe_document(probe: ProbeResult, contract: Contract, *, url: str) -> JsonObject:
    """Return the same as JSON; `api` is what octosync.yaml has to have, and `incomplete` where a path has a gap to fill."""
    overrides, incomplete = overrides_of(probe, contract)
    return {
        "format_version": FORMAT_VERSION,
        "control_plane": url,
        "app": probe.app,
        "requests": probe.requests,
        "good": probe.is_good,
        "operations": [
            {
                "id": operation.operation.id,
                "method": operation.operation.method,
                "path": operation.operation.path,
                "verdict": operation.verdict.value,
                "notes": list(operation.notes),
                "found_at": operation.found_at,
            }
            for operation in probe.operations
        ],
        "api": None if overrides is None else overrides_document(overrides),
        "incomplete": sorted(incomplete),
    }


def _sends(one: ProbedOperation) -> str:
    return f"{one.operation.method} {one.operation.path}"


def _lines(one: ProbedOperation, width: int, style: Style) -> Iterator[str]:
    mark, paint = {
        Verdict.CONFIRMED: ("✓", style.green),
        Verdict.NOT_TRIED: ("–", style.dim),
    }.get(one.verdict, ("✗", style.red))
    notes = tuple(map(visible, one.notes))
    beside = f": {'; '.join(notes)}" if one.verdict.is_good and notes else ""
    head = f"{paint(mark)} {padded(one.operation.id, _IDS)}  {padded(_sends(one), width)}"
    yield f"{head}  {paint(_WORDS[one.verdict])}{style.dim(beside)}"
    if not one.verdict.is_good:
        yield from (f"    {note}" for note in notes)


def _counts(probe: ProbeResult, style: Style) -> str:
    counts = Counter(operation.verdict for operation in probe.operations)
    said = ", ".join(f"{counts[verdict]} {_WORDS[verdict]}" for verdict in Verdict if counts[verdict])
    return f"{counted(probe.requests, 'GET')}: {style.green(said) if probe.is_good else style.red(said)}."


def _overrides(probe: ProbeResult, contract: Contract) -> Iterator[str]:
    overrides, incomplete = overrides_of(probe, contract)
    if overrides is None:
        return
    gap = ", with the path that is right in place of …" if incomplete else ""
    notes = dict.fromkeys(incomplete, _OPEN)
    yield from ("", f"In octosync.yaml, as all of its `api`{gap}:", "")
    yield from map(visible, overrides_yaml(overrides, notes=notes))
