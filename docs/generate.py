"""`make docs`: generates the reference pages and the tables of results, and updates the command output in the documents."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from deploy.queries import Alert, alerts
from deploy.runbooks import REPOSITORY
from docs import commands, documents, fields
from docs.executing import ROOT, executed
from docs.markdown import GENERATED, anchor, cell, phrase, with_parts, yaml_block
from docs.performance import PAGE, PICTURES, picture, results, with_results

from octosync.contract import OPERATIONS, Access, Operation
from octosync.manifest import RULES, Rule, configuration_schema, kustomize_definitions, manifest_schema
from octosync.plan import FINDINGS, GUARDS, Finding, Guard, plan_schema
from octosync.report import json_text
from octosync.watch.metrics import METRICS, Metric
from octosync.watch.notify.notices import (
    DELIVERY_HEADER,
    EVENT_HEADER,
    EVENTS,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    NotificationDocument,
)
from octosync.watch.web import watch_schema

NOTIFY_EXAMPLE: Final = """\
notify:
  - {url: "https://hooks.example.com/octosync", events: [failed, held, blocked, contested], secretEnv: OCTOSYNC_NOTIFY_SECRET}
  - {urlEnv: OCTOSYNC_CHAT_URL}
"""

VERIFYING: Final = """\
import hashlib
import hmac


def is_genuine(secret, headers, body, now):
    timestamp = headers["X-Octosync-Timestamp"]
    signed = hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    fresh = abs(now - int(timestamp)) <= 300
    return fresh and hmac.compare_digest(f"sha256={signed}", headers["X-Octosync-Signature"])
"""

# Documents whose commands are run and whose output is compared.
EXECUTED: Final = (
    "README.md",
    "CONTRIBUTING.md",
    "examples/README.md",
    "docs/tutorial.md",
    "docs/explanation/ambiguous-writes.md",
    "docs/explanation/ownership.md",
    "docs/explanation/performance.md",
    "docs/how-to/adopt-an-org.md",
    "docs/how-to/archive.md",
    "docs/how-to/api-differs.md",
    "docs/how-to/canaries.md",
    "docs/how-to/cluster.md",
    "docs/how-to/failures.md",
    "docs/how-to/high-availability.md",
    "docs/how-to/incidents.md",
    "docs/how-to/accept-drift.md",
    "docs/how-to/new-app.md",
    "docs/how-to/kustomize.md",
    "docs/how-to/merge.md",
    "docs/how-to/move-a-target.md",
    "docs/how-to/policies.md",
    "docs/how-to/pull-requests.md",
    "docs/how-to/roll-back.md",
    "docs/how-to/several-teams.md",
    "docs/how-to/watch.md",
    "docs/how-to/write-manifests.md",
    "docs/reference/outputs.md",
)

# Pages that are written by hand and have generated parts.
WITH_PARTS: Final = (
    "docs/reference/commands.md",
    "docs/reference/configuration.md",
    "docs/reference/environment.md",
    "docs/reference/errors.md",
    "docs/reference/exit-codes.md",
    "docs/reference/guards.md",
    "docs/reference/manifest.md",
    "docs/reference/operations.md",
    "docs/reference/plan-document.md",
    "docs/reference/status-document.md",
)


def _guards(guards: Mapping[str, Guard]) -> Iterator[str]:
    yield "| guard | rejects |"
    yield "|---|---|"
    for guard in guards.values():
        yield f"| [`{guard.id}`](#guard-{guard.id}) | {cell(phrase(guard.refuses))} |"


def _guard_sections(guards: Mapping[str, Guard]) -> Iterator[str]:
    lines: list[str] = []
    for guard in guards.values():
        lines += ("", f"## Guard {guard.id}", "", f"Rejects {phrase(guard.refuses)}.", *_limits(guard), "")
        lines += (f"- **{name}:** {value}" for name, value in _overrides(guard))
    yield from lines[1:]


def _limits(guard: Guard) -> Iterator[str]:
    if guard.limits:
        yield from ("", "| limit | default | meaning |", "|---|---|---|")
    for limit in guard.limits:
        link = f"[`guards.{limit.field}`](configuration.md#guards{limit.field.lower()})"
        yield f"| {link} | {limit.default} | {limit.about} |"


def _overrides(guard: Guard) -> Iterator[tuple[str, str]]:
    """Yield what resolves a refusal, by the place where it is done."""
    for help_ in guard.helps:
        yield "To resolve", help_
    if guard.flag is None:
        yield "Override", "none"
        return
    commands = "`plan`, `apply` and `watch`" if guard.flag.in_watch else "`plan` and `apply`"
    values = guard.flag.takes.value.split("|")
    flags = " or ".join(f"`{f'{guard.flag.name} {value}'.rstrip()}`" for value in values)
    yield "Command line", f"{flags}, for {commands}"
    term = f"{guard.id}=N" if guard.counts else f"{guard.id}:NAME" if guard.has_parts else guard.id
    yield (
        "Commit",
        f"`Octosync-Allow: {term}`, {'by default' if guard.flag.in_trailers else 'if `guards.trailers` lists it'}",
    )


def main() -> None:
    """Write the reference pages, the tables of the page about performance, and the documents."""
    performance = ROOT / PAGE
    performance.write_text(with_results(performance.read_text(encoding="utf-8"), results()), encoding="utf-8")
    for name, page in REFERENCE_PAGES.items():
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_text(page(), encoding="utf-8")
    for name in EXECUTED:
        with tempfile.TemporaryDirectory() as folder:
            text = executed((ROOT / name).read_text(encoding="utf-8"), Path(folder))
        (ROOT / name).write_text(text, encoding="utf-8")


def _operations(table: Mapping[str, Operation]) -> Iterator[str]:
    yield "| operation | request and effect |"
    yield "|---|---|"
    for operation in table.values():
        number = "" if operation.number is None else f" {operation.number}"
        access = "**Write**" if operation.access is Access.WRITE else "Read"
        again = "idempotent" if operation.idempotent else "**not idempotent**"
        source = f"Operation{number}: {operation.provenance.value}; path: {operation.path_provenance.value}."
        request = f"`{operation.method} {operation.path}`: {cell(operation.summary)} {access}, {again}. {source}"
        yield f"| {anchor(operation.id)}`{operation.id}` | {request} |"


def _rules(table: Mapping[str, Rule]) -> Iterator[str]:
    yield from ("# Rules", "", GENERATED, "")
    yield "`octosync validate` checks these rules, and so do `plan` and `apply` before they send a request. Each rule has an"
    yield "example that breaks it. Errors end a run, warnings end it with `--strict`, and notices never do."
    yield ""
    yield "| rule | severity | meaning |"
    yield "|---|---|---|"
    for rule in table.values():
        yield f"| [`{rule.id}`](#{rule.id}) | {rule.severity.value} | {cell(rule.meaning)} |"
    for rule in table.values():
        yield from ("", f"## {rule.id}", "", f"{rule.severity.value.capitalize()}. {rule.meaning}")
        if rule.situation:
            yield from ("", f"For example: {rule.situation}")
        if rule.configuration:
            yield from yaml_block(
                "With this octosync.yaml:" if rule.example else "In octosync.yaml:", rule.configuration
            )
        if rule.example:
            yield from yaml_block("For example:", rule.example)


def _findings(table: Mapping[str, Finding]) -> Iterator[str]:
    yield from ("# Findings", "", GENERATED, "")
    yield "Findings are the diagnostics of `octosync plan` about live state. The text output contains each with what to do"
    yield "next, the JSON has them in `diagnostics`. Warnings end a run with `--strict`, notices never do. Diagnostics about"
    yield "manifests are in the [table of rules](rules.md)."
    yield ""
    yield "| finding | severity | meaning |"
    yield "|---|---|---|"
    for finding in table.values():
        yield f"| {anchor(finding.id)}`{finding.id}` | {finding.severity.value} | {cell(finding.meaning)} |"


def _metrics(table: Mapping[str, Metric]) -> Iterator[str]:
    yield from ("# Metrics", "", GENERATED, "")
    yield "`octosync watch` serves these metrics at `/metrics`, for Prometheus. No metric has a label for the app: the status"
    yield "page, `/api/status` and the log show the apps. Every label has a fixed set of values."
    yield ""
    yield "The alerts are [rules](../../deploy/kubernetes/components/monitoring/prometheusrule.yaml) for the Prometheus operator."
    yield "Each alert links to what to do about it."
    yield ""
    yield "With shared state, every replica serves its own metrics. A standby leaves out those that only a leader knows; they are"
    yield "marked below, so `sum` and `max` over the replicas return the value of the leader. Until Prometheus has scraped both"
    yield "replicas after a takeover, the series of the former leader are still there: `max` never counts an app twice."
    yield ""
    yield "| metric | type | meaning |"
    yield "|---|---|---|"
    for metric in table.values():
        labels = f" `{{{','.join(metric.label_names)}}}`" if metric.labels else ""
        yield f"| [`{metric.name}`](#{metric.name}){labels} | {metric.type.value} | {cell(metric.help)} |"
    known_alerts = alerts()
    for metric in table.values():
        yield from ("", f"## {metric.name}", "", " ".join(filter(None, (metric.help, metric.means))))
        if metric.labels:
            yield ""
        for label in metric.labels:
            yield f"- `{label.name}`: {label.words or ', '.join(f'`{value}`' for value in label.values)}"
        if metric.of_leader:
            yield from ("", "A standby doesn't serve it.")
        if not metric.always:
            yield from ("", "A series appears with its first count.")
        if metric.buckets:
            yield from (
                "",
                f"The upper bounds of the buckets are {', '.join(f'{bound:g}' for bound in metric.buckets)} seconds.",
            )
        series = {metric.name, *metric.series}
        yield from _alerts([alert for alert in known_alerts if alert.metrics & series])


def _alerts(found: Sequence[Alert]) -> Iterator[str]:
    """Yield the list of the alerts that use a metric."""
    if not found:
        yield from ("", "**Alerts:** none.")
        return
    yield from ("", "**Alerts:**", "")
    for alert in found:
        page, _, anchor = alert.runbook_url.removeprefix(REPOSITORY).partition("#")
        link = f"../{page.removeprefix('docs/')}#{anchor}"
        yield f"- [{alert.name}]({link}) ({alert.severity}), after {alert.for_}: `{alert.query}`"


def _notifications() -> Iterator[str]:
    yield from ("# Notifications", "", GENERATED, "")
    yield "`octosync watch` sends notifications to the receivers under `notify` in octosync.yaml: a POST request with JSON per"
    yield "event."
    yield from yaml_block("For example:", NOTIFY_EXAMPLE)
    yield ""
    yield "- `url` or `urlEnv`: the URL of the receiver. For other machines it must be https, unless `--insecure` is set. If"
    yield "  the URL itself is a secret, as those of chat programs are, use `urlEnv`. Outputs show only its host."
    yield "- `events`: the events to send, all by default. `secretEnv`: the variable with the secret that signs requests."
    yield "- If a named variable is not set, startup fails."
    yield ""
    yield "| event | meaning |"
    yield "|---|---|"
    for event, meaning in EVENTS.items():
        yield f"| `{event.value}` | {cell(meaning)} |"
    yield ""
    yield "Each fact is sent once. For example, drift that is held is sent again if the object is changed to another value, if"
    yield "the end of the hold changes, or if the drift comes back. After a restart, notifications that all receivers got are"
    yield "not sent again."
    yield ""
    yield "octosync groups notifications: one per event for all apps of a commit, or for manual changes at about the same time."
    yield "The notification of a commit is sent when all of its apps are decided, after 10 minutes at the latest; others are sent"
    yield "after a minute at the latest. A failed load is reported after 5 seconds, so a file that is still being"
    yield "written is not reported. `resolved` reports the end of something that was reported before; drift that is reverted"
    yield "after its hold sends only `resolved`."
    yield from ("", "## Body", "", "| key | meaning |", "|---|---|")
    for key, field in NotificationDocument.model_fields.items():
        yield f"| `{key}` | {cell(field.description or '')} |"
    yield ""
    yield "The body contains names, counts and times, and no values of fields."
    yield from ("", "## Headers", "", "| header | meaning |", "|---|---|")
    yield f"| `{EVENT_HEADER}` | the event |"
    yield f"| `{DELIVERY_HEADER}` | `delivery` of the body |"
    yield f"| `{TIMESTAMP_HEADER}` | the time of this attempt, in Unix seconds |"
    yield f"| `{SIGNATURE_HEADER}` | with `secretEnv`: `sha256=`, and the HMAC-SHA256 of `TIMESTAMP.BODY` in hexadecimal digits |"
    yield from ("", "## Verify the signature", "")
    yield "The timestamp is signed too, to prevent replay attacks: reject old timestamps, and store the `delivery` of recent"
    yield "requests to reject duplicates. Compute the signature over the received bytes of the body, before you parse them."
    yield from ("", "```python", *VERIFYING.rstrip("\n").split("\n"), "```")
    yield from ("", "## Delivery", "")
    yield "A response of 2xx within 10 s confirms the delivery; its body isn't read. After no response, 408, 425, 429 and 5xx,"
    yield "octosync retries for 15 minutes with increasing backoff, and not before `Retry-After`. Any other response is final,"
    yield "and redirects are not followed. A slow receiver delays neither the controller nor other receivers: up to 200"
    yield "notifications wait for it, then the oldest is dropped. The log reports notifications that were not delivered. A"
    yield "notification may arrive twice."


# The generated parts of pages that are otherwise written by hand, by the names in their comments.
PARTS: Final[Mapping[str, Callable[[], Iterable[str]]]] = {
    **commands.PARTS,
    **documents.PARTS,
    **fields.PARTS,
    "operations": lambda: _operations(OPERATIONS),
    "guards": lambda: _guards(GUARDS),
    "guard sections": lambda: _guard_sections(GUARDS),
}


def _with_parts(name: str) -> str:
    return with_parts((ROOT / name).read_text(encoding="utf-8"), PARTS)


# The generated pages, schemas and pictures by their path below the project's root.
REFERENCE_PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "docs/reference/findings.md": lambda: "\n".join(_findings(FINDINGS)) + "\n",
    "docs/reference/metrics.md": lambda: "\n".join(_metrics(METRICS)) + "\n",
    "docs/reference/notifications.md": lambda: "\n".join(_notifications()) + "\n",
    "docs/reference/rules.md": lambda: "\n".join(_rules(RULES)) + "\n",
    # kustomize reads no files outside its own folder.
    "examples/base/merge-keys.json": lambda: json_text(kustomize_definitions()),
    "schemas/config.json": lambda: json_text(configuration_schema()),
    "schemas/kustomize.json": lambda: json_text(kustomize_definitions()),
    "schemas/manifest.json": lambda: json_text(manifest_schema()),
    "schemas/plan.json": lambda: json_text(plan_schema()),
    "schemas/watch-status.json": lambda: json_text(watch_schema()),
    **{name: partial(_with_parts, name) for name in WITH_PARTS},
    **{path: partial(picture, path) for path in PICTURES},
}


if __name__ == "__main__":
    main()
