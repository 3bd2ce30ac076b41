from __future__ import annotations

import re
import textwrap
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml
from deploy.runbooks import anchors
from docs.charts import SCHEMES, Chart
from docs.executing import ROOT, executed
from docs.generate import EXECUTED, REFERENCE_PAGES
from docs.performance import PAGE, results, with_results
from docs.watching import UntrueDocumentError
from jsonschema import Draft202012Validator

from octosync.manifest import configuration_schema, manifest_schema

DOCUMENTS = [
    *ROOT.glob("*.md"),
    *(ROOT / ".github").glob("*.md"),
    ROOT / "examples/README.md",
    *(ROOT / "docs").rglob("*.md"),
]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROMISES = (ROOT / "docs/explanation/promises.md").read_text(encoding="utf-8")


def _table(page: str, heading: str) -> list[str]:
    """Return the first column of the table in a page with this header cell."""
    rows = (
        (ROOT / page).read_text(encoding="utf-8").partition(f"\n| {heading} |")[2].partition("\n\n")[0].splitlines()[2:]
    )
    return [row.split("|")[1].strip() for row in rows]


@pytest.mark.parametrize("name", EXECUTED)
def test_a_document_is_true(name: str, tmp_path: Path, command_folder: Path) -> None:
    """Every command of a document works in an empty directory, in order, and its output equals the document's."""
    text = (ROOT / name).read_text(encoding="utf-8")
    assert executed(text, tmp_path, command_folder) == text


def test_every_document_is_run() -> None:
    """Every document with commands is run, and generated pages contain none."""
    commands = {
        path for path in DOCUMENTS if re.search(r"^```(sh|console)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert commands <= {ROOT / name for name in EXECUTED}


@pytest.mark.parametrize("name", REFERENCE_PAGES)
def test_a_reference_page_is_what_the_code_says(name: str) -> None:
    """The generated pages are up to date; `make docs` updates them."""
    assert (ROOT / name).read_text(encoding="utf-8") == REFERENCE_PAGES[name]()


def test_the_page_about_performance_has_the_stored_results() -> None:
    """The page has the results in docs/performance.json and the verified request counts; `make docs` updates it."""
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    assert with_results(page, results()) == page
    assert "Measured on an unknown machine" not in page


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_labels_of_a_chart_are_legible(scheme: str) -> None:
    """A chart is well-formed and has a title and a description. The labels of lines with equal ends don't overlap."""
    names = ["load & plan", "plan", "report", "JSON"]
    chart = Chart(title="Growth", description="All equal.", lines={name: [(100, 0.02), (1000, 0.2)] for name in names})
    svg = ET.fromstring(chart.render(SCHEMES[scheme]))  # noqa: S314 — our own text
    texts = [element for element in svg if element.tag.endswith("}text")]
    assert [element.text for element in svg[:2]] == ["Growth", "All equal."]
    tops = sorted(float(text.attrib["y"]) for text in texts if text.text in {f"{name}, 200 ms" for name in names})
    assert len(tops) == len(names)
    assert all(lower - upper >= 13 for upper, lower in pairwise(tops))


def test_every_dependency_has_its_reason() -> None:
    """The table of dependencies and pyproject.toml name the same packages."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = [*project["dependencies"], *project["optional-dependencies"]["postgres"]]
    names = [re.match(r"[\w-]+", requirement) for requirement in requirements]
    assert _table("docs/explanation/dependencies.md", "package | why") == sorted(
        name[0] for name in names if name is not None
    )


def test_every_event_of_the_log_is_listed() -> None:
    """The page about watch lists the events that the controller logs, and no others."""
    sources = [*(ROOT / "src/octosync/watch").rglob("*.py"), ROOT / "src/octosync/cli/runs/watch.py"]
    found = {
        name
        for source in sources
        for name in re.findall(r'\.(?:_?warn|info|warning|error)\(\s*"([a-z_]+)"', source.read_text(encoding="utf-8"))
    }
    page = (ROOT / "docs/reference/watch.md").read_text(encoding="utf-8")
    rows = page.partition("\n| event |")[2].partition("\n\n")[0].splitlines()[2:]
    listed = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row.split("|")[1])}
    assert listed - {"action", "library"} == found


@pytest.mark.parametrize("promise", re.findall(r"^\|.*\| `(tests/\S+)` \|$", PROMISES, re.MULTILINE))
def test_a_promise_is_held_where_it_says(promise: str) -> None:
    """The files in the table of promises contain tests."""
    assert re.search(r"^\s*(async )?def test_", (ROOT / promise).read_text(encoding="utf-8"), re.MULTILINE)


def test_readme_compares_as_the_page_does() -> None:
    """The rows of README's table of other tools are in the page, word by word. What they are better at is a section there."""
    page = (ROOT / "docs/explanation/comparison.md").read_text(encoding="utf-8")
    rows = README.partition("\n## Compared with other tools\n")[2].partition("\n## ")[0]
    short = [row for row in rows.splitlines() if row.startswith("| ") and not row.startswith("| better at")]
    assert len(short) > 5
    assert [row for row in short if row not in page] == []


def test_links_lead_somewhere() -> None:
    """Relative links of the documents lead to existing files and headings."""
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        links = re.findall(r"\]\((?!https?://)([^)#]*)(?:#([^)]+))?\)", text)
        sources = re.findall(r'(?:src|srcset)="(?!https?://)([^"]+)()"', text)
        for link, anchor in links + sources:
            target = path.parent / link if link else path
            assert target.exists(), f"{path.name}: {link}"
            if anchor:
                assert anchor in anchors(target.read_text(encoding="utf-8")), f"{path.name}: {link}#{anchor}"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("```sh\noctosync plan --no-such-flag\n```", "exits with 64"),
        ("```sh\nmake no-such-target\n```", "no target no-such-target"),
        ("```console\n$ octosync validate -f nowhere\nValid.\n```", "exits with 1"),
        ("```sh\noctosync server --no-such-flag\n```", "does not serve"),
        ("```sh\noctosync watch --no-such-flag\n```", "does not serve"),
    ],
)
def test_an_untrue_document_is_found_out(text: str, complaint: str, tmp_path: Path, command_folder: Path) -> None:
    """A command that fails and a missing make target are errors."""
    with pytest.raises(UntrueDocumentError, match=complaint):
        executed(text, tmp_path, command_folder)


_APP = """```yaml
# apps/a.yaml
apiVersion: octosync.dev/v1
kind: App
metadata: {name: a}
spec: {name: A}
```
"""
_WATCH = "```sh\noctosync watch -f apps/ --url http://127.0.0.1:8787\n```\n"


def test_no_freeze_window_is_open_in_a_document(tmp_path: Path, command_folder: Path) -> None:
    """A freeze window that is always active freezes nothing while a document runs: the output is the same on any day."""
    windows = (
        "freeze: [{cron: '* * * * *', duration: 1h}, {cron: \"0 0 * * *\", duration: 24h, timezone: Europe/Berlin}]"
    )
    text = f"{_APP}```yaml\n# octosync.yaml\n{windows}\n```\n```sh\noctosync plan -f apps/ --url http://127.0.0.1:8787\n```\n"
    assert executed(text, tmp_path, command_folder) == text


def test_a_watch_is_asked_until_it_is_as_shown(tmp_path: Path, command_folder: Path) -> None:
    """A query of the watch is repeated until its output matches the document."""
    text = f"{_APP}{_WATCH}```console\n$ curl -s http://127.0.0.1:9900/readyz\nok\n```\n"
    assert executed(text, tmp_path, command_folder) == text


def test_a_watch_that_does_not_end_well_is_found_out(tmp_path: Path, command_folder: Path) -> None:
    """A watch that a document starts must run until the document ends, and must exit without an error."""
    with pytest.raises(UntrueDocumentError, match="octosync died"):
        executed(f"{_APP}{_WATCH}```sh\nkill -9 $(cat .octosync/state.db.lock)\n```\n", tmp_path, command_folder)


def test_a_command_can_continue_on_the_next_line(tmp_path: Path, command_folder: Path) -> None:
    """A line that ends with a backslash and the next one are a command, in both kinds of blocks; the document keeps its lines."""
    text = "```sh\necho one \\\n  > a.txt\n```\n\n```console\n$ cat \\\n  a.txt\none\n$ echo \\\n  two\n```\n"
    assert executed(text, tmp_path, command_folder) == text.replace("two\n", "two\ntwo\n")


def test_the_output_is_put_in(tmp_path: Path, command_folder: Path) -> None:
    """Output that differs is replaced, exit codes included."""
    text = "```console\n$ octosync validate -f nowhere\nValid.\n$ echo $?\n0\n```\n"
    new = executed(text, tmp_path, command_folder)
    assert "missing-path" in new
    assert new.endswith("$ echo $?\n1\n```\n")
    assert executed(new, tmp_path, command_folder) == new


def _yaml_blocks(text: str) -> Iterator[dict[str, Any]]:
    """Yield the YAML documents in the YAML blocks of a page, also if a block is in a list."""
    for match in re.finditer(r"^( *)```yaml\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL):
        yield from yaml.safe_load_all(textwrap.dedent(match[2]))


_WITH_YAML = {
    path.relative_to(ROOT).as_posix(): blocks
    for path in DOCUMENTS
    # Tests of the rules check their examples, which break the rules.
    if path.name != "rules.md" and (blocks := list(_yaml_blocks(path.read_text(encoding="utf-8"))))
}


@pytest.mark.parametrize("name", _WITH_YAML)
def test_a_yaml_block_is_valid(name: str) -> None:
    """A YAML block of a document is a valid manifest or octosync.yaml, or calls an existing workflow with inputs it has."""
    for block in _WITH_YAML[name]:
        if "jobs" in block:
            for job in block["jobs"].values():
                path = job["uses"].removeprefix("octomil/octosync/").removesuffix("@COMMIT")
                called = yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))[True]["workflow_call"]
                assert set(job["with"]) <= set(called["inputs"])
                assert set(job["secrets"]) <= set(called["secrets"])
        elif block.get("kind") != "Kustomization":  # kustomize renders those of the documents
            is_manifest = block.get("apiVersion", "").startswith("octosync.dev/")
            schema = manifest_schema() if is_manifest else configuration_schema()
            assert [error.message for error in Draft202012Validator(schema).iter_errors(block)] == []
