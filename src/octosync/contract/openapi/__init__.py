"""Conformance: somebody else's OpenAPI document of the API against the contract in force, pure, operation by operation.

matching (which operation is which) → requests · answers (what is sent and needed, as `contract.exchanges` says it, against
the document's schemas) → findings → comparing (all of it, and the overrides that mend it).

Conformance.
"""

from octosync.contract.openapi.compare import Compared, Conformance, compare_with
from octosync.contract.openapi.document import LARGEST_DOCUMENT, read_document
from octosync.contract.openapi.messages import Finding, Level

__all__ = ["LARGEST_DOCUMENT", "Compared", "Conformance", "Finding", "Level", "compare_with", "read_document"]
