"""OpenAPI documents for comparisons: the embedded control plane's own, and edits that damage it."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from octosync.contract import Contract
from octosync.contract.openapi import Conformance, OperationComparison, compare_with, read_document
from octosync.octomil import API_PATH
from octosync.server import ServerSettings, create_app


@cache
def _text() -> str:
    return json.dumps(create_app(ServerSettings()).openapi())


def own_document() -> Any:
    """Return a copy of the embedded control plane's document, which the caller may damage."""
    return json.loads(_text())


def compare_document(document: Any, contract: Contract | None = None) -> Conformance:
    """Compare a document with the contract."""
    read = read_document(json.dumps(document).encode(), "openapi.json")
    return compare_with(read, contract or Contract(), API_PATH)


def findings_by_operation(conformance: Conformance) -> dict[str, list[str]]:
    """Return `level: message` of every finding, by operation."""
    return {comparison.operation.id: _lines(comparison) for comparison in conformance.operations if comparison.findings}


def _lines(comparison: OperationComparison) -> list[str]:
    return [f"{finding.level.value}: {finding.message}" for finding in comparison.findings]


def operation_in(document: Any, id_: str) -> Any:
    """Return an operation of a document."""
    return next(
        operation
        for methods in document["paths"].values()
        for operation in methods.values()
        if isinstance(operation, dict) and operation.get("operationId") == id_
    )


def move(document: Any, id_: str, *, path: str | None = None, method: str | None = None) -> None:
    """Move an operation of a document to another path or method."""
    for old_path, methods in list(document["paths"].items()):
        for old_method, operation in list(methods.items()):
            if operation.get("operationId") == id_:
                del methods[old_method]
                document["paths"].setdefault(path or old_path, {})[method or old_method] = operation


def schema_in(document: Any, name: str) -> Any:
    """Return a named schema of a document."""
    return document["components"]["schemas"][name]
