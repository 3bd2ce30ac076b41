"""JSON documents as text."""

from __future__ import annotations

import json
from operator import methodcaller

from pydantic_core import PydanticSerializationError, to_json

from octosync.collector import collector_paused
from octosync.model import JsonObject


def json_text(document: JsonObject) -> str:
    """Return a document as indented text. Keys keep their order; the text is ASCII, so that no terminal or locale changes it.

    A plan's rows may be `ChangeRows`.
    """
    try:
        with collector_paused():
            text = to_json(document, indent=2, ensure_ascii=True, fallback=methodcaller("as_json")).decode("ascii")
    except PydanticSerializationError:  # a lone surrogate, or more than 255 levels
        text = json.dumps(document, indent=2, allow_nan=False, default=lambda rows: [*rows.as_json()])
    text += "\n"  # in place, without a copy of a large document
    return text


def json_line(document: JsonObject) -> str:
    """Return a document as one line of ASCII text, for JSON Lines."""
    return json.dumps(document, allow_nan=False) + "\n"
