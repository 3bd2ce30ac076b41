"""`make docs`: writes the reference pages from the tables in the code, and puts real output into the documents."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from deploy.queries import Alert, alerts
from deploy.runbooks import REPOSITORY
from docs.executing import ROOT, executed

from octosync.contract import OPERATIONS, Access, Operation
from octosync.manifest import RULES, Rule, configuration_schema, kustomize_definitions, manifest_schema
from octosync.plan import FINDINGS, Finding, plan_schema
from octosync.report import json_text
from octosync.watch.metrics import METRICS, Metric
from octosync.watch.notices import (
    DELIVERY_HEADER,
    EVENT_HEADER,
    EVENTS,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    NotificationDocument,
)
from octosync.watch.web import watch_schema

GENERATED: Final = "<!-- Written by `make docs`; a test holds it to the code. -->"

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

# Documents whose commands are run, and which show what those print.
EXECUTED: Final = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/configuration.md",
    "docs/deploying.md",
    "docs/kubernetes.md",
    "docs/octomil-api.md",
    "docs/outputs.md",
    "docs/pull-requests.md",
    "docs/watch.md",
    "docs/watch-failures.md",
    "docs/writing-manifests.md",
)


def reference_pages() -> Mapping[str, str]:
    """Return the generated pages and schemas by their path below the project's root."""
    return {
        "docs/reference/findings.md": "\n".join(_findings(FINDINGS)) + "\n",
        "docs/reference/metrics.md": "\n".join(_metrics(METRICS)) + "\n",
        "docs/reference/notifications.md": "\n".join(_notifications()) + "\n",
        "docs/reference/operations.md": "\n".join(_operations(OPERATIONS)) + "\n",
        "docs/reference/rules.md": "\n".join(_rules(RULES)) + "\n",
        # kustomize reads nothing outside of its own folder.
        "examples/base/merge-keys.json": json_text(kustomize_definitions()),
        "schemas/config.json": json_text(configuration_schema()),
        "schemas/kustomize.json": json_text(kustomize_definitions()),
        "schemas/manifest.json": json_text(manifest_schema()),
        "schemas/plan.json": json_text(plan_schema()),
        "schemas/watch-status.json": json_text(watch_schema()),
    }


def main() -> None:
    """Write everything."""
    for name, text in reference_pages().items():
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_text(text, encoding="utf-8")
    for name in EXECUTED:
        with tempfile.TemporaryDirectory() as folder:
            text = executed((ROOT / name).read_text(encoding="utf-8"), Path(folder))
        (ROOT / name).write_text(text, encoding="utf-8")


def _operations(table: Mapping[str, Operation]) -> Iterator[str]:
    yield from ("# Operations", "", GENERATED, "")
    yield "What octosync may send, and what the embedded control plane serves. Paths stand below `/api/v1`."
    yield ""
    yield "- **known**: where the knowledge comes from that the operation exists and does this. *stated*: Octomil's own list of"
    yield "  operations says so. The path and the method are *assumed* throughout: they are not public."
    yield "- **again**: whether sending it twice does what sending it once does. What does not is never sent again before a read"
    yield "  has shown that it took no effect."
    yield "- A wrong path needs no release: octosync.yaml overrides it, `api.operations.<id>: {method, path}`. An override can't"
    yield "  turn a read into a write."
    yield ""
    yield "| # | id | method and path | access | again | known | path | what it does |"
    yield "|---|---|---|---|---|---|---|---|"
    for one in table.values():
        number = "" if one.number is None else str(one.number)
        access = "**write**" if one.access is Access.WRITE else "read"
        again = "yes" if one.idempotent else "**no**"
        known, path = one.provenance.value, one.path_provenance.value
        sends = f"`{one.method} {one.path}`"
        yield f"| {number} | `{one.id}` | {sends} | {access} | {again} | {known} | {path} | {one.summary} |"


def _rules(table: Mapping[str, Rule]) -> Iterator[str]:
    yield from ("# Rules", "", GENERATED, "")
    yield "What `octosync validate` checks, and `plan` and `apply` before anything is sent: every rule with an example that"
    yield "breaks it. Errors end a run, warnings do with `--strict`, notices never."
    yield ""
    yield "| rule | | means |"
    yield "|---|---|---|"
    for rule in table.values():
        yield f"| [`{rule.id}`](#{rule.id}) | {rule.severity.value} | {_cell(rule.meaning)} |"
    for rule in table.values():
        yield from ("", f"## {rule.id}", "", f"{rule.severity.value.capitalize()}. {rule.meaning}")
        if rule.situation:
            yield from ("", f"For example: {rule.situation}")
        if rule.configuration:
            yield from _yaml("With this octosync.yaml:" if rule.example else "In octosync.yaml:", rule.configuration)
        if rule.example:
            yield from _yaml("For example:", rule.example)


def _findings(table: Mapping[str, Finding]) -> Iterator[str]:
    yield from ("# Findings", "", GENERATED, "")
    yield "What `octosync plan` says beyond the changes, once it has seen what is live. Each stands in the text with what to do"
    yield "next, and as `diagnostics` in the JSON. Warnings end a run with `--strict`, notices never. What is found in the"
    yield "manifests alone is in the [table of rules](rules.md)."
    yield ""
    yield "| finding | | means |"
    yield "|---|---|---|"
    for one in table.values():
        yield f"| `{one.id}` | {one.severity.value} | {_cell(one.meaning)} |"


def _metrics(table: Mapping[str, Metric]) -> Iterator[str]:
    yield from ("# Metrics", "", GENERATED, "")
    yield "What `octosync watch` serves at `/metrics`, for Prometheus. No metric has a label for the app: which apps it is about"
    yield "stands on the status page, in `/api/status` and in the log. Every label has a fixed set of values."
    yield ""
    yield "The alerts are [rules](../../deploy/kubernetes/components/monitoring/prometheusrule.yaml) for the Prometheus operator."
    yield "Each leads to where its remedy stands."
    yield ""
    yield "| metric | type | what it is |"
    yield "|---|---|---|"
    for one in table.values():
        labels = f"{{{','.join(one.label_names)}}}" if one.labels else ""
        yield f"| [`{one.name}`](#{one.name}){f' `{labels}`' if labels else ''} | {one.type.value} | {_cell(one.help)} |"
    for one in table.values():
        yield from ("", f"## {one.name}", "", " ".join(filter(None, (one.help, one.means))))
        if one.labels:
            yield ""
        for label in one.labels:
            yield f"- `{label.name}`: {label.words or ', '.join(f'`{value}`' for value in label.values)}"
        if not one.always:
            yield from ("", "A series begins with the first that it counts.")
        if one.buckets:
            yield from ("", f"Buckets end at {', '.join(f'{bound:g}' for bound in one.buckets)} seconds.")
        series = {one.name, *one.series}
        yield from _alerts([alert for alert in alerts() if alert.metrics & series])


def _alerts(found: Sequence[Alert]) -> Iterator[str]:
    """Show the rules of deploy/ that ask for a metric: what to alert on is said there alone."""
    if not found:
        yield from ("", "**Alerts:** none.")
        return
    yield from ("", "**Alerts:**", "")
    for one in found:
        page, _, anchor = one.runbook_url.removeprefix(REPOSITORY).partition("#")
        link = f"../{page.removeprefix('docs/')}#{anchor}"
        yield f"- [{one.name}]({link}) ({one.severity}), after {one.for_}: `{one.query}`"


def _notifications() -> Iterator[str]:
    yield from ("# Notifications", "", GENERATED, "")
    yield "`octosync watch` tells the receivers under `notify` in octosync.yaml of what happens: a POST of JSON for each event."
    yield from _yaml("For example:", NOTIFY_EXAMPLE)
    yield ""
    yield "- `url` or `urlEnv`: where to. Beyond this machine it has to be https, unless `--insecure` is given. A URL that is a"
    yield "  secret by itself, as those of chat programs are, goes by `urlEnv`. No output shows more of it than its host."
    yield "- `events`: of what, everything by default. `secretEnv`: the variable with the secret that requests are signed with."
    yield "- A variable that is named and isn't set is an error at the start."
    yield ""
    yield "| event | told when |"
    yield "|---|---|"
    for event, meaning in EVENTS.items():
        yield f"| `{event.value}` | {_cell(meaning)} |"
    yield ""
    yield "A fact is told once: drift that is held, for example, again when somebody changes it to something else, when its end"
    yield "moves, or when it comes back after it was gone. What every receiver got is not told again after a restart."
    yield ""
    yield "octosync groups notifications: one per event for all apps of a commit, or for changes that were made by hand at about"
    yield "the same time. A commit's notification is sent when all of its apps are decided, after 10 minutes at the latest;"
    yield "others after a minute at the latest. A failed load is reported after 5 seconds, so a file that is still being"
    yield "written is not reported. `resolved` reports the end of something that was reported before; drift that is reverted"
    yield "after its hold sends only `resolved`."
    yield from ("", "## Body", "", "| key | is |", "|---|---|")
    for key, field in NotificationDocument.model_fields.items():
        yield f"| `{key}` | {_cell(field.description or '')} |"
    yield ""
    yield "There are names, counts and times in it, and no value of any field."
    yield from ("", "## Headers", "", "| header | is |", "|---|---|")
    yield f"| `{EVENT_HEADER}` | the event |"
    yield f"| `{DELIVERY_HEADER}` | the body's `delivery` |"
    yield f"| `{TIMESTAMP_HEADER}` | when this attempt was sent, in Unix seconds |"
    yield f"| `{SIGNATURE_HEADER}` | with `secretEnv`: `sha256=`, and the HMAC-SHA256 of `TIMESTAMP.BODY` in hexadecimal digits |"
    yield from ("", "## Checking the signature", "")
    yield "The timestamp is signed too, so that what was caught on its way can't be sent again much later: refuse old ones, and"
    yield "remember the `delivery` of those that are not. Compare the bytes of the body as they came, before they are parsed."
    yield from ("", "```python", *VERIFYING.rstrip("\n").split("\n"), "```")
    yield from ("", "## Delivery", "")
    yield "An answer of 2xx within 10 s is a delivery; its body isn't read. No answer, 408, 425, 429 and 5xx are tried again for"
    yield "15 minutes, later each time, not before the `Retry-After`; any other answer is final, and redirects are not followed."
    yield "A receiver that is slow keeps neither the controller nor other receivers waiting: 200 notifications wait for it, then"
    yield "the oldest is dropped. What is given up or dropped stands in the log. The same notification may come twice."


def _yaml(title: str, text: str) -> Iterator[str]:
    yield from ("", title, "", "```yaml", *text.rstrip("\n").split("\n"), "```")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    main()
