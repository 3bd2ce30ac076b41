"""A run as SARIF 2.1.0 (OASIS), for code scanning and editors: problems of manifests, and refusals of guards.

An annotation with a position in the repository is a result; one without, such as an error that ended the run, is a
notification of the run. Nothing in the document depends on the clock, and fingerprints do not change when lines move.
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
from octosync.report.plan_report import PlanReport
from octosync.report.run_report import RunReport
from octosync.report.text import visible

_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
DOCUMENTATION: Final = "https://github.com/octomil/octosync/blob/main/"
_POLICIES: Final = "docs/how-to/policies.md"
_ROOT: Final = "%SRCROOT%"
_FINGERPRINT: Final = "octosync/v1"
_LEVELS: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTICE: "note"}
# A viewer would read these as the start of a link or a placeholder.
_SIGNS: Final = re.compile(r"\](?=\()|\{(?=\d)")


@dataclass(frozen=True, slots=True)
class RuleHelp:
    """The severity and the meaning of a rule; `page` is its documentation, a URL or below the root of octosync's repository."""

    severity: Severity
    meaning: str
    page: str

    @property
    def url(self) -> str:
        """The URL of its documentation."""
        return self.page if self.page.startswith("https://") else f"{DOCUMENTATION}{self.page}"


def sarif_document(report: RunReport, resolve_path: PathResolver, rules: Mapping[str, RuleHelp]) -> JsonObject:
    """Return a run as SARIF. `rules` are the rules of manifests; findings of plans and guards are added here."""
    known = {
        **rules,
        **{
            finding.id: RuleHelp(finding.severity, finding.meaning, f"docs/reference/findings.md#{finding.id}")
            for finding in FINDINGS.values()
        },
        **{
            f"{GUARD}{name}": RuleHelp(Severity.ERROR, guard.refuses, f"docs/reference/guards.md#{GUARD}{name}")
            for name, guard in GUARDS.items()
        },
        **{
            f"{prefix}{policy.id}": RuleHelp(policy.severity, visible(policy.message), policy.link or _POLICIES)
            for policy in report.policies
            for prefix in ("", GUARD)
        },
    }
    problems = sorted(problems_of(report), key=lambda problem: problem.sort_key)
    ids = sorted({problem.rule for problem in problems if not problem.is_failure})
    marked = [
        (problem, place) for problem in problems if not problem.is_failure and (place := _place(problem, resolve_path))
    ]
    placed = {id(problem) for problem, _ in marked}
    notified = [problem for problem in problems if id(problem) not in placed]
    run: JsonObject = {
        "tool": {
            "driver": {
                "name": "octosync",
                "semanticVersion": report.version,
                "rules": [_rule(id_, known.get(id_)) for id_ in ids],
            }
        },
        "invocations": [_invocation(report, [_notification(problem, resolve_path, ids) for problem in notified])],
        "originalUriBaseIds": {_ROOT: {"description": {"text": "The root of the repository."}}},
        "columnKind": "unicodeCodePoints",
        "results": list(_results(marked, resolve_path, ids)),
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _place(problem: Annotation, resolve_path: PathResolver) -> JsonObject | None:
    """Return the physical location of an annotation; None if it has none in the repository."""
    origin = problem.origin
    file = None if origin is None else resolve_path(origin)
    if origin is None or file is None:
        return None
    # A colon in the first segment would read as a scheme.
    uri = quote(file, safe="/", errors="surrogatepass")
    artifact: JsonObject = {"artifactLocation": {"uri": uri, "uriBaseId": _ROOT}}
    if not origin.line or origin.base:
        return artifact
    end = {"endColumn": origin.column + problem.width} if problem.width > 1 else {}
    return {**artifact, "region": {"startLine": origin.line, "startColumn": origin.column, **end}}


def _rule(id_: str, known: RuleHelp | None) -> JsonObject:
    if known is None:
        return {"id": visible(id_)}
    text = {"text": _text([known.meaning])}
    return {
        "id": id_,
        "shortDescription": text,
        "help": text,
        "helpUri": known.url,
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


def _notification(problem: Annotation, resolve_path: PathResolver, ids: Sequence[str]) -> JsonObject:
    place = _place(problem, resolve_path)
    rule = "descriptor" if problem.is_failure else "associatedRule"
    index = {} if problem.is_failure else {"index": ids.index(problem.rule)}
    return {
        "level": _LEVELS[problem.severity],
        "message": {"text": _text(problem.lines_with_position(in_file=place is not None))},
        rule: {"id": visible(problem.rule), **index},
        **({} if place is None else {"locations": [{"physicalLocation": place}]}),
    }


def _results(
    marked: Iterable[tuple[Annotation, JsonObject]], resolve_path: PathResolver, ids: Sequence[str]
) -> Iterator[JsonObject]:
    seen: Counter[str] = Counter()
    for problem, place in marked:
        file = None if problem.origin is None else resolve_path(problem.origin)
        same = f"{problem.rule}\n{file}\n{problem.about}"
        fingerprint = sha256(f"{same}\n{seen[same]}".encode("utf-8", "surrogatepass")).hexdigest()
        seen[same] += 1
        yield {
            "ruleId": visible(problem.rule),
            "ruleIndex": ids.index(problem.rule),
            "level": _LEVELS[problem.severity],
            "message": {"text": _text(problem.lines_with_position(in_file=True))},
            "locations": [{"physicalLocation": place}],
            "partialFingerprints": {_FINGERPRINT: fingerprint[:32]},
        }


def _text(lines: Iterable[str]) -> str:
    return _SIGNS.sub(lambda sign: f"{sign[0]}\u200b", "\n".join(lines))
