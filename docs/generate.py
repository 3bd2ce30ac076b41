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
from octosync.plan import FINDINGS, GUARDS, Finding, Guard, plan_schema
from octosync.report import json_text
from octosync.watch.metrics import METRICS, Metric
from octosync.watch.notify.messages import (
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


def guards_table() -> str:
    """Return README's table of the guards."""
    rows = [f"| {guard.id} | {_cell(_phrase(guard.refuses))} | {_override(guard)} |" for guard in GUARDS.values()]
    return "\n".join(("| guard | rejects | override |", "|---|---|---|", *rows))


def _phrase(sentence: str) -> str:
    return (sentence[:1].lower() + sentence[1:]).removesuffix(".")


def _override(guard: Guard) -> str:
    if guard.flag is None:
        return ", or ".join(guard.helps)
    first, *others = guard.flag.takes.value.split("|")
    return " or ".join((f"`{f'{guard.flag.name} {first}'.rstrip()}`", *(f"`{value}`" for value in others)))


def with_guards(readme: str) -> str:
    """Return README with the table of the guards as the code has it."""
    before, _, rest = readme.partition("| guard | rejects | override |")
    _, _, after = rest.partition("\n\n")
    return f"{before}{guards_table()}\n\n{after}"


def main() -> None:
    """Write everything."""
    readme = ROOT / "README.md"
    readme.write_text(with_guards(readme.read_text(encoding="utf-8")), encoding="utf-8")
    for name, text in reference_pages().items():
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_text(text, encoding="utf-8")
    for name in EXECUTED:
        with tempfile.TemporaryDirectory() as folder:
            text = executed((ROOT / name).read_text(encoding="utf-8"), Path(folder))
        (ROOT / name).write_text(text, encoding="utf-8")


def _operations(table: Mapping[str, Operation]) -> Iterator[str]:
    yield from ("# Operations", "", GENERATED, "")
    yield "The operations that octosync can send, and that the embedded control plane serves. Paths are relative to `/api/v1`."
    yield ""
    yield "- **idempotent**: whether the request can be repeated without a further effect. octosync repeats other requests only"
    yield "  after a read has shown that they took no effect."
    yield "- **source**: how it is known that the operation exists. *stated*: it is in Octomil's own list of operations."
    yield "- **path**: how the path and the method are known. They are not public, so all of them are *assumed*."
    yield "- To correct a wrong path, override it in octosync.yaml: `api.operations.<id>: {method, path}`. An override can't"
    yield "  change a read into a write."
    yield ""
    yield "| # | ID | method and path | access | idempotent | source | path | description |"
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
    yield "`octosync validate` checks these rules, and so do `plan` and `apply` before they send a request. Each rule has an"
    yield "example that breaks it. Errors end a run, warnings end it with `--strict`, and notices never do."
    yield ""
    yield "| rule | severity | meaning |"
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
    yield "Findings are the diagnostics of `octosync plan` about live state. The text output contains each with what to do"
    yield "next, the JSON has them in `diagnostics`. Warnings end a run with `--strict`, notices never do. Diagnostics about"
    yield "manifests are in the [table of rules](rules.md)."
    yield ""
    yield "| finding | severity | meaning |"
    yield "|---|---|---|"
    for one in table.values():
        yield f"| `{one.id}` | {one.severity.value} | {_cell(one.meaning)} |"


def _metrics(table: Mapping[str, Metric]) -> Iterator[str]:
    yield from ("# Metrics", "", GENERATED, "")
    yield "`octosync watch` serves these metrics at `/metrics`, for Prometheus. No metric has a label for the app: the status"
    yield "page, `/api/status` and the log show the apps. Every label has a fixed set of values."
    yield ""
    yield "The alerts are [rules](../../deploy/kubernetes/components/monitoring/prometheusrule.yaml) for the Prometheus operator."
    yield "Each alert links to what to do about it."
    yield ""
    yield "| metric | type | meaning |"
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
            yield from ("", "A series appears with its first count.")
        if one.buckets:
            yield from (
                "",
                f"The upper bounds of the buckets are {', '.join(f'{bound:g}' for bound in one.buckets)} seconds.",
            )
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
    yield "`octosync watch` sends notifications to the receivers under `notify` in octosync.yaml: a POST request with JSON per"
    yield "event."
    yield from _yaml("For example:", NOTIFY_EXAMPLE)
    yield ""
    yield "- `url` or `urlEnv`: the URL of the receiver. For other machines it must be https, unless `--insecure` is set. If"
    yield "  the URL itself is a secret, as those of chat programs are, use `urlEnv`. Outputs show only its host."
    yield "- `events`: the events to send, all by default. `secretEnv`: the variable with the secret that signs requests."
    yield "- If a named variable is not set, startup fails."
    yield ""
    yield "| event | meaning |"
    yield "|---|---|"
    for event, meaning in EVENTS.items():
        yield f"| `{event.value}` | {_cell(meaning)} |"
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
        yield f"| `{key}` | {_cell(field.description or '')} |"
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


def _yaml(title: str, text: str) -> Iterator[str]:
    yield from ("", title, "", "```yaml", *text.rstrip("\n").split("\n"), "```")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    main()
