"""Conformance: compares an OpenAPI document of the API with the contract in force, operation by operation, without I/O.

`document` reads the document, `schemas` compares its schemas, `messages` compares requests and responses, and `compare` matches
the operations and returns all findings, with the overrides that would resolve them.
"""

from typing import TYPE_CHECKING

from octosync.exports import lazy_exports

if TYPE_CHECKING:
    from octosync.contract.openapi.compare import Conformance, OperationComparison, compare_with
    from octosync.contract.openapi.document import MAX_DOCUMENT_BYTES, read_document
    from octosync.contract.openapi.messages import ConformanceFinding, FindingLevel
else:
    __all__, __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "compare": "Conformance OperationComparison compare_with",
            "document": "MAX_DOCUMENT_BYTES read_document",
            "messages": "ConformanceFinding FindingLevel",
        },
    )
