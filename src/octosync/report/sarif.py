"""SARIF 2.1.0 (OASIS): what is wrong with manifests, and what guards refuse, for code scanning and editors.

What has a place in the repository is a result. What has none, such as an error that ended the run, is a notification of the
run. Nothing in the document depends on the clock, and its fingerprints stay when lines move.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final
from urllib.parse import quote

from octosync.errors import GuardRefused
from octosync.model import JsonObject, JsonValue, Origin, Severity
from octosync.plan import FINDINGS, GUARDS
from octosync.report.ended import Ended
from octosync.report.github import Places
from octosync.report.plain import visible
from octosync.report.remarks import GUARD, Remark, problems_of

_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_ROOT: Final = "%SRCROOT%"
_FINGERPRINT: Final = "octosync/v1"
_LEVELS: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTICE: "note"}
# What a viewer would make a link or an argument of.
_SIGNS: Final = re.compile(r"\](?=\()|\{(?=\d)")


@dataclass(frozen=True, slots=True)
class RuleHelp:
    """What a rule means, and how grave it is."""

    severity: Severity
    meaning: str


def sarif_document(ended: Ended, places: Places, rules: Mapping[str, RuleHelp]) -> JsonObject:
    """Return a run as SARIF. `rules` are those of manifests; plans' findings and guards are known here."""
    known = {
        **rules,
        **{one.id: RuleHelp(one.severity, one.meaning) for one in FINDINGS.values()},
        **{f"{GUARD}{name}": RuleHelp(Severity.ERROR, guard.meaning) for name, guard in GUARDS.items()},
    }
    marked, unmarked = _split(sorted(problems_of(ended), key=lambda one: one.sort_key), places)
    ids = sorted({remark.rule for remark in (*(remark for remark, _, _ in marked), *unmarked)})
    run: JsonObject = {
        "tool": {
            "driver": {
                "name": "octosync",
                "semanticVersion": ended.version,
                "rules": [_rule(id_, known.get(id_)) for id_ in ids],
            }
        },
        "invocations": [_invocation(ended, unmarked, ids)],
        "originalUriBaseIds": {_ROOT: {"description": {"text": "The root of the repository."}}},
        "columnKind": "unicodeCodePoints",
        "results": list(_results(marked, ids)),
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _split(remarks: Iterable[Remark], places: Places) -> tuple[list[tuple[Remark, Origin, str]], list[Remark]]:
    """Tell what has a place in the repository, with its file, from what has none."""
    marked, unmarked = [], []
    for remark in remarks:
        file = None if remark.origin is None else places(remark.origin)
        if remark.origin is None or file is None:
            unmarked.append(remark)
        else:
            marked.append((remark, remark.origin, file))
    return marked, unmarked


def _rule(id_: str, known: RuleHelp | None) -> JsonObject:
    if known is None:
        return {"id": id_}
    text = {"text": _text([known.meaning])}
    return {
        "id": id_,
        "shortDescription": text,
        "help": text,
        "defaultConfiguration": {"level": _LEVELS[known.severity]},
    }


def _invocation(ended: Ended, unmarked: Sequence[Remark], ids: Sequence[str]) -> JsonObject:
    failed = (ended.error is not None and not isinstance(ended.error, GuardRefused)) or (
        ended.planned is not None and ended.planned.plan.errored
    )
    return {
        "executionSuccessful": not failed,
        "exitCode": int(ended.exit_code),
        "toolExecutionNotifications": [
            {
                "level": _LEVELS[remark.severity],
                "message": {"text": _text(_with_place(remark))},
                "associatedRule": {"id": remark.rule, "index": ids.index(remark.rule)},
            }
            for remark in unmarked
        ],
    }


def _with_place(remark: Remark) -> Iterator[str]:
    yield from remark.lines
    if remark.origin is not None:
        yield f"declared at {visible(str(remark.origin))}"


def _results(marked: Sequence[tuple[Remark, Origin, str]], ids: Sequence[str]) -> Iterator[JsonObject]:
    seen: Counter[str] = Counter()
    for remark, origin, file in marked:
        same = f"{remark.rule}\n{file}\n{remark.about}"
        fingerprint = sha256(f"{same}\n{seen[same]}".encode("utf-8", "surrogatepass")).hexdigest()
        seen[same] += 1
        yield {
            "ruleId": remark.rule,
            "ruleIndex": ids.index(remark.rule),
            "level": _LEVELS[remark.severity],
            "message": {"text": _text(remark.lines)},
            "locations": [{"physicalLocation": _location(origin, file, remark.width)}],
            "partialFingerprints": {_FINGERPRINT: fingerprint[:32]},
        }


def _location(origin: Origin, file: str, width: int) -> JsonObject:
    # A colon in its first segment would make a scheme of it.
    uri = quote(file, safe="/", errors="surrogatepass")
    location: dict[str, JsonValue] = {"artifactLocation": {"uri": uri, "uriBaseId": _ROOT}}
    if origin.line:
        end = {"endColumn": origin.column + width} if width > 1 else {}
        location["region"] = {"startLine": origin.line, "startColumn": origin.column, **end}
    return location


def _text(lines: Iterable[str]) -> str:
    return _SIGNS.sub(lambda sign: f"{sign[0]}\u200b", "\n".join(lines))
