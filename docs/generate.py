"""`make docs`: writes the reference pages from the tables in the code, and puts real output into the documents."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from docs.executing import ROOT, executed

from octosync.contract import OPERATIONS, Access, Operation
from octosync.manifest import RULES, Rule, configuration_schema, kustomize_definitions, manifest_schema
from octosync.plan import FINDINGS, Finding, plan_schema
from octosync.report import json_text
from octosync.watch.metrics import METRICS, Metric

GENERATED: Final = "<!-- Written by `make docs`; a test holds it to the code. -->"

# Documents whose commands are run, and which show what those print.
EXECUTED: Final = ("README.md", "CONTRIBUTING.md", "docs/kubernetes.md")


def reference_pages() -> Mapping[str, str]:
    """Return the generated pages and schemas by their path below the project's root."""
    return {
        "docs/reference/findings.md": "\n".join(_findings(FINDINGS)) + "\n",
        "docs/reference/metrics.md": "\n".join(_metrics(METRICS)) + "\n",
        "docs/reference/operations.md": "\n".join(_operations(OPERATIONS)) + "\n",
        "docs/reference/rules.md": "\n".join(_rules(RULES)) + "\n",
        # kustomize reads nothing outside of its own folder.
        "examples/base/merge-keys.json": json_text(kustomize_definitions()),
        "schemas/config.json": json_text(configuration_schema()),
        "schemas/kustomize.json": json_text(kustomize_definitions()),
        "schemas/manifest.json": json_text(manifest_schema()),
        "schemas/plan.json": json_text(plan_schema()),
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
        yield from ("", f"**Alert on:** {one.alert or 'nothing.'}")


def _yaml(title: str, text: str) -> Iterator[str]:
    yield from ("", title, "", "```yaml", *text.rstrip("\n").split("\n"), "```")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    main()
