"""What a comparison finds: how much it matters, what it is about, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """How much a finding matters: it won't work, it may not, or it can't be told or is just worth knowing."""

    MISMATCH = "mismatch"
    WARNING = "warning"
    NOTE = "note"


class Kind(Enum):
    """What a finding is about. The value is stable: it is in the JSON output."""

    MISSING = "missing"
    OTHER_PATH = "other-path"
    OTHER_METHOD = "other-method"
    NO_OVERRIDE = "no-override"
    DEPRECATED = "deprecated"
    UNKNOWN_REQUEST_FIELD = "unknown-request-field"
    NEEDED_REQUEST_FIELD = "needed-request-field"
    OTHER_REQUEST_TYPE = "other-request-type"
    UNKNOWN_PARAMETER = "unknown-parameter"
    NEEDED_PARAMETER = "needed-parameter"
    OTHER_PAGING = "other-paging"
    OTHER_BODY = "other-body"
    LACKING_ANSWER_FIELD = "lacking-answer-field"
    OTHER_ANSWER_TYPE = "other-answer-type"
    OTHER_ENVELOPE = "other-envelope"
    CANT_TELL = "cant-tell"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a comparison found. `field` is its dotted path, "" for none; `mends`: an override mends it."""

    level: Level
    kind: Kind
    message: str
    field: str = ""
    mends: bool = False


def cant_tell(what: str, why: str) -> Finding:
    """Note that something can't be compared."""
    return Finding(Level.NOTE, Kind.CANT_TELL, f"{what} can't be compared: {why}")
