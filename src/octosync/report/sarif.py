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
from octosync.model import JsonObject, Severity
from octosync.plan import FINDINGS, GUARDS
from octosync.report.annotations import GUARD, Annotation, PathResolver, problems_of
from octosync.report.run_report import PlanReport, RunReport
from octosync.report.text import visible

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


def sarif_document(report: RunReport, resolve_path: PathResolver, rules: Mapping[str, RuleHelp]) -> JsonObject:
    """Return a run as SARIF. `rules` are those of manifests; plans' findings and guards are known here."""
    known = {
        **rules,
        **{one.id: RuleHelp(one.severity, one.meaning) for one in FINDINGS.values()},
        **{f"{GUARD}{name}": RuleHelp(Severity.ERROR, guard.refuses) for name, guard in GUARDS.items()},
    }
    remarks = sorted(problems_of(report), key=lambda one: one.sort_key)
    ids = sorted({remark.rule for remark in remarks if not remark.is_failure})
    marked = [
        (remark, place) for remark in remarks if not remark.is_failure and (place := _place(remark, resolve_path))
    ]
    placed = {id(remark) for remark, _ in marked}
    notified = [remark for remark in remarks if id(remark) not in placed]
    run: JsonObject = {
        "tool": {
            "driver": {
                "name": "octosync",
                "semanticVersion": report.version,
                "rules": [_rule(id_, known.get(id_)) for id_ in ids],
            }
        },
        "invocations": [_invocation(report, [_notification(one, resolve_path, ids) for one in notified])],
        "originalUriBaseIds": {_ROOT: {"description": {"text": "The root of the repository."}}},
        "columnKind": "unicodeCodePoints",
        "results": list(_results(marked, resolve_path, ids)),
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _place(remark: Annotation, resolve_path: PathResolver) -> JsonObject | None:
    """Return where a remark stands; None for what has no place in the repository."""
    origin = remark.origin
    file = None if origin is None else resolve_path(origin)
    if origin is None or file is None:
        return None
    # A colon in its first segment would make a scheme of it.
    uri = quote(file, safe="/", errors="surrogatepass")
    artifact: JsonObject = {"artifactLocation": {"uri": uri, "uriBaseId": _ROOT}}
    if not origin.line:
        return artifact
    end = {"endColumn": origin.column + remark.width} if remark.width > 1 else {}
    return {**artifact, "region": {"startLine": origin.line, "startColumn": origin.column, **end}}


def _rule(id_: str, known: RuleHelp | None) -> JsonObject:
    if known is None:
        return {"id": visible(id_)}
    text = {"text": _text([known.meaning])}
    return {
        "id": id_,
        "shortDescription": text,
        "help": text,
        "defaultConfiguration": {"level": _LEVELS[known.severity]},
    }


def _invocation(report: RunReport, notifications: Sequence[JsonObject]) -> JsonObject:
    failed = (report.error is not None and not isinstance(report.error, GuardRefused)) or (
        isinstance(report, PlanReport) and report.plan.errored
    )
    return {
        "executionSuccessful": not failed,
        "exitCode": int(report.exit_code),
        "toolExecutionNotifications": notifications,
    }


def _notification(remark: Annotation, resolve_path: PathResolver, ids: Sequence[str]) -> JsonObject:
    place = _place(remark, resolve_path)
    lines = remark.lines
    if place is None and remark.origin is not None:
        lines = (*lines, f"declared at {visible(str(remark.origin))}")
    rule = "descriptor" if remark.is_failure else "associatedRule"
    index = {} if remark.is_failure else {"index": ids.index(remark.rule)}
    return {
        "level": _LEVELS[remark.severity],
        "message": {"text": _text(lines)},
        rule: {"id": visible(remark.rule), **index},
        **({} if place is None else {"locations": [{"physicalLocation": place}]}),
    }


def _results(
    marked: Iterable[tuple[Annotation, JsonObject]], resolve_path: PathResolver, ids: Sequence[str]
) -> Iterator[JsonObject]:
    seen: Counter[str] = Counter()
    for remark, place in marked:
        file = None if remark.origin is None else resolve_path(remark.origin)
        same = f"{remark.rule}\n{file}\n{remark.about}"
        fingerprint = sha256(f"{same}\n{seen[same]}".encode("utf-8", "surrogatepass")).hexdigest()
        seen[same] += 1
        yield {
            "ruleId": visible(remark.rule),
            "ruleIndex": ids.index(remark.rule),
            "level": _LEVELS[remark.severity],
            "message": {"text": _text(remark.lines)},
            "locations": [{"physicalLocation": place}],
            "partialFingerprints": {_FINGERPRINT: fingerprint[:32]},
        }


def _text(lines: Iterable[str]) -> str:
    return _SIGNS.sub(lambda sign: f"{sign[0]}\u200b", "\n".join(lines))
