"""The reports of `octosync api`: the table of operations, its comparison with an OpenAPI document, and a probe of the API."""

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
    """Render the active table: the request of each operation, the commands that send it, and the source of its path."""
    style = Style(colour)
    operations = tuple(contract.operations.values())
    paths = max(len(operation.path) for operation in operations)
    head = f"{padded('operation', _IDS)}  {padded('sends', _METHODS + 1 + paths)}  {padded('path from', _SOURCES)}  used by"
    lines = [style.bold(head)]
    moved = 0
    for operation in operations:
        source = path_source(operation)
        moved += source == _OURS
        sends = padded(f"{padded(operation.method, _METHODS)} {operation.path}", _METHODS + 1 + paths)
        shown = padded(source, _SOURCES)
        shown = style.yellow(shown) if source == _OURS else style.dim(shown)
        lines.append(f"{padded(operation.id, _IDS)}  {sends}  {shown}  {', '.join(EXCHANGES[operation.id].by)}")
    of_apps_api = sum(operation.number is not None for operation in operations)
    lines += [
        "",
        f"{counted(len(operations), 'operation')}, {of_apps_api} of them of the apps API. Paths are relative to the URL.",
    ]
    if moved:
        lines.append(f"{counted(moved, 'operation')} overridden in octosync.yaml (api.operations).")
    return text_of(lines)


def operations_document(contract: Contract) -> JsonObject:
    """Return the table as JSON."""
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
    """Return the source of an operation's method and path: its provenance, such as `assumed`, or octosync.yaml."""
    return operation.path_provenance.value if operation == OPERATIONS[operation.id] else _OURS


def render_conformance(conformance: Conformance, name: str, *, colour: bool) -> str:
    """Render the comparison of each operation with a document, and the overrides that correct the differences."""
    style = Style(colour)
    document = conformance.document
    title = " ".join(filter(None, (document.title, document.version)))
    parts = (name, title, f"OpenAPI {document.openapi}")
    lines = [f"octosync api check · {' · '.join(visible(part) for part in parts if part)}", ""]
    for compared in conformance.operations:
        lines += _comparison_lines(compared, style)
    if conformance.is_elsewhere:
        base, ours = visible(conformance.base), conformance.expected_base
        lines += [
            "",
            style.yellow(f"In the document, all paths start with {base}; octosync expects {ours}."),
            f"If this is correct, pass the URL with its path: --url https://HOST{base}",
        ]
    differ = [operation for operation in conformance.operations if not operation.agrees]
    lines += ["", *_verdict(conformance, differ, style)]
    lines += _mending_lines(conformance.mending, differ, style)
    return text_of(lines)


def conformance_document(conformance: Conformance, name: str) -> JsonObject:
    """Return the comparison as JSON."""
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
    """Return overrides in the form of `api` in octosync.yaml, without empty parts."""
    whole: JsonObject = {
        "operations": {id_: dict(override) for id_, override in overrides.operations.items()},
        "readOnly": {name: list(fields) for name, fields in overrides.read_only.items()},
        "platforms": list(overrides.platforms),
    }
    return {key: value for key, value in whole.items() if value}


def overrides_yaml(overrides: Overrides, *, notes: Mapping[str, str] | None = None) -> Iterator[str]:
    """Yield the lines of `api` for octosync.yaml; `notes` are comments on the lines of operations."""
    yield "api:"
    if overrides.operations:
        yield "  operations:"
        for id_, override in overrides.operations.items():
            note = (notes or {}).get(id_)
            # Braces and colons have a meaning in YAML, so that paths are quoted, as JSON.
            values = {
                key: json.dumps(value, ensure_ascii=False) if key == "path" else value
                for key, value in override.items()
            }
            fields = ", ".join(f"{key}: {values[key]}" for key in sorted(values))
            yield f"    {id_}: {{{fields}}}{f'   # {note}' if note else ''}"
    if overrides.read_only:
        yield "  readOnly:"
        for name, unsent in overrides.read_only.items():
            yield f"    {name}: [{', '.join(unsent)}]"
    if overrides.platforms:
        yield f"  platforms: [{', '.join(map(json.dumps, overrides.platforms))}]"


def _comparison_lines(comparison: OperationComparison, style: Style) -> Iterator[str]:
    operation = comparison.operation
    levels = {finding.level for finding in comparison.findings}
    mark = style.green("✓")
    if FindingLevel.MISMATCH in levels:
        mark = style.red("✗")
    elif FindingLevel.WARNING in levels:
        mark = style.yellow("!")
    where = style.dim("   octosync.yaml") if path_source(operation) == _OURS else ""
    yield f"{mark} {padded(operation.id, _IDS)}  {padded(operation.method, _METHODS)} {operation.path}{where}"
    for finding in comparison.findings:
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
        yield f"The document has {counted(conformance.others, 'more operation')}, which octosync does not use."


def _mending_lines(mending: Overrides | None, differ: Iterable[OperationComparison], style: Style) -> Iterator[str]:
    unmended = [
        comparison
        for comparison in differ
        if any(f.level is FindingLevel.MISMATCH and not f.mends for f in comparison.findings)
    ]
    if mending is not None:
        if mending:
            yield from ("", "Set `api` in octosync.yaml to:", "", *map(visible, overrides_yaml(mending)))
        else:
            yield from ("", "Remove `api` from octosync.yaml: it causes the differences.")
        if mending.read_only:
            yield from ("", "Fields under readOnly are never sent. Remove them from the manifests, too.")
    if unmended:
        which = ", ".join(comparison.operation.id for comparison in unmended)
        yield from ("", style.yellow(f"No override corrects {which}: check for a newer version of octosync."))


def _finding_document(finding: ConformanceFinding) -> JsonObject:
    return {
        "level": finding.level.value,
        "kind": finding.kind.value,
        "field": finding.field,
        "message": finding.message,
        "mended_by_override": finding.mends,
    }


_WORDS = {verdict: verdict.value.replace("-", " ") for verdict in Verdict}
_OPEN = "the path on your control plane"


def render_probe(probe: ProbeResult, contract: Contract, *, url: str, colour: bool) -> str:
    """Render the verdict on each operation, the counts, and the lines for octosync.yaml; `url` is the control plane's."""
    style = Style(colour)
    app = f" · app {visible(probe.app)}" if probe.app is not None else ""
    lines = [f"octosync api probe · {url.partition('://')[2]}{app}", ""]
    width = max((len(_sends(operation)) for operation in probe.operations), default=0)
    for probed in probe.operations:
        lines += _lines(probed, width, style)
    lines += ["", _counts(probe, style)]
    if {operation.verdict for operation in probe.operations} <= {Verdict.ABSENT, Verdict.NOT_TRIED}:
        lines += ["", f"No operation was found at its expected path: check that {url} is the URL of the API."]
    else:
        lines += _overrides(probe, contract)
    return text_of(lines)


def probe_document(probe: ProbeResult, contract: Contract, *, url: str) -> JsonObject:
    """Return the probe as JSON; `api` is the value for octosync.yaml, `incomplete` lists operations whose path has a gap."""
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


def _sends(probed: ProbedOperation) -> str:
    return f"{probed.operation.method} {probed.operation.path}"


def _lines(probed: ProbedOperation, width: int, style: Style) -> Iterator[str]:
    mark, paint = {
        Verdict.CONFIRMED: ("✓", style.green),
        Verdict.NOT_TRIED: ("–", style.dim),
    }.get(probed.verdict, ("✗", style.red))
    notes = tuple(map(visible, probed.notes))
    beside = f": {'; '.join(notes)}" if probed.verdict.is_good and notes else ""
    head = f"{paint(mark)} {padded(probed.operation.id, _IDS)}  {padded(_sends(probed), width)}"
    yield f"{head}  {paint(_WORDS[probed.verdict])}{style.dim(beside)}"
    if not probed.verdict.is_good:
        yield from (f"    {note}" for note in notes)


def _counts(probe: ProbeResult, style: Style) -> str:
    counts = Counter(operation.verdict for operation in probe.operations)
    words = ", ".join(f"{counts[verdict]} {_WORDS[verdict]}" for verdict in Verdict if counts[verdict])
    return f"{counted(probe.requests, 'GET')}: {style.green(words) if probe.is_good else style.red(words)}."


def _overrides(probe: ProbeResult, contract: Contract) -> Iterator[str]:
    overrides, incomplete = overrides_of(probe, contract)
    if overrides is None:
        return
    gap = ", with the correct path in place of …" if incomplete else ""
    notes = dict.fromkeys(incomplete, _OPEN)
    yield from ("", f"Set `api` in octosync.yaml to this{gap}:", "")
    yield from map(visible, overrides_yaml(overrides, notes=notes))
