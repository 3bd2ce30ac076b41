"""Annotations and SARIF of a change in Git: in files of the checkout, at the lists that objects left, own problems first."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from deploy.runbooks import REPOSITORY, anchors
from tests.support.repositories import Repo
from tests.support.sarif import assert_sarif
from tests.support.workdirs import Workdir
from tests.support.workflow_commands import Command, commands_in

from octosync.manifest import RULES
from octosync.plan import FINDINGS, GUARDS

ROOT = Path(__file__).parents[2]
LISTS = """\
apiVersion: octosync.dev/v1
kind: App
metadata: {{name: {slug}}}
spec:
  targets:
    - {{platform: ios, identifier: com.acme.{slug}}}
{targets}  slots:
    - capability: chat
{slots}"""
CHILD = """\
apiVersion: octosync.dev/v1
kind: CapabilitySlot
metadata: {name: vision}
spec: {app: search, capability: vision}
"""
ALONE = "apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: old}\nspec: {targets: []}\n"


class Change:
    """A branch that changes apps, and the plans of it without a control plane."""

    def __init__(self, workdir: Workdir) -> None:
        self.workdir, self.repo = workdir, Repo.init(workdir.directory)

    def declare(self, slug: str, *, targets: Sequence[str] = (), slots: Sequence[str] = ()) -> None:
        """Write the manifest of an app; `targets` and `slots` are further ones."""
        items = [f"    - {{platform: ios, identifier: {name}}}\n" for name in targets]
        more = "".join(f"    - capability: {name}\n" for name in slots)
        self.workdir.write(f"apps/{slug}.yaml", LISTS.format(slug=slug, targets="".join(items), slots=more))

    def begin(self) -> str:
        """Commit the base, create the branch, and return the short id of the base."""
        self.workdir.write("octosync.yaml", "paths: [apps/]\n")
        self.repo.commit("begin")
        self.repo.branch("change")
        return self.repo.head[:12]

    def plan(self, output: str, *arguments: str, code: int = 0) -> str:
        """Commit the work tree and return its plan against main in a format; `code` is the expected exit code."""
        self.repo.commit()
        ran = self.workdir.octosync("plan", "--base", "main", "--offline", *arguments, "-o", output)
        assert ran.code == code, ran.output
        return ran.stdout

    def annotations(self, *arguments: str) -> list[Command]:
        """Return the annotations of the plan."""
        return commands_in(self.plan("github", *arguments))

    def results(self, *arguments: str, code: int = 0) -> list[Any]:
        """Return the results in the SARIF of the plan; each is in a file of the checkout."""
        document = json.loads(self.plan("sarif", *arguments, code=code))
        for file in re.findall(r'"uri": "([^"]*)"', json.dumps(document)):
            assert (self.workdir.directory / file).is_file(), file
        return assert_sarif(document)


@pytest.fixture
def change(workdir: Workdir) -> Change:
    return Change(workdir)


def places(annotations: Sequence[Command]) -> dict[str, str]:
    """Return the positions of annotations about addresses, by address."""
    found = [(annotation.message.split("\n")[0].split(": ")[0], annotation) for annotation in annotations]
    return {
        address: f"{annotation.properties.get('file')}:{annotation.properties.get('line')}"
        for address, annotation in found
        if address.startswith("app/")
    }


def test_a_removed_object_is_annotated_at_the_list_that_it_left(change: Change) -> None:
    """`targets:` or `slots:` in the branch's own file, whose lines may have moved; the message names the base and its line."""
    change.declare("search", targets=["com.acme.two"], slots=["tts"])
    base = change.begin()
    change.declare("search")
    manifest = change.workdir.directory / "apps" / "search.yaml"
    manifest.write_text(f"# moved\n\n{manifest.read_text()}")
    annotations = change.annotations("--changed-only")
    assert places(annotations) == {
        "app/search/target/ios:com.acme.two": "apps/search.yaml:7",
        "app/search/slot/tts": "apps/search.yaml:9",
    }
    assert f"declared in {base}, at apps/search.yaml:7:7" in annotations[0].message
    assert f"declared in {base}, at apps/search.yaml:10:7" in annotations[1].message
    assert f"{base}:" not in change.plan("github", "--changed-only")


def test_a_removed_document_is_annotated_where_something_remains(change: Change) -> None:
    """At its app, else at the start of its former file, else of octosync.yaml; without that file, the message has all of it."""
    change.workdir.write("apps/search.yaml", ALONE.replace("old", "search"))
    change.workdir.write("apps/vision.yaml", CHILD)
    change.workdir.write("apps/old.yaml", ALONE)
    change.workdir.write("apps/many.yaml", f"{ALONE}---\n{ALONE}".replace("old", "first", 1).replace("old", "last"))
    base = change.begin()
    (change.workdir.directory / "apps" / "vision.yaml").unlink()
    (change.workdir.directory / "apps" / "old.yaml").unlink()
    change.workdir.write("apps/many.yaml", ALONE.replace("old", "first"))
    pruning = ("--changed-only", "--prune", "--allow-archives", "2")
    assert places(change.annotations(*pruning)) == {
        "app/search/slot/vision": "apps/search.yaml:1",
        "app/last": "apps/many.yaml:1",
        "app/old": "octosync.yaml:1",
    }
    (change.workdir.directory / "octosync.yaml").unlink()
    annotations = change.annotations("-f", "apps", *pruning)
    assert places(annotations)["app/old"] == "None:None"
    assert any(f"declared in {base}, at apps/old.yaml:1:1" in annotation.message for annotation in annotations)


def test_results_are_in_files_of_the_checkout(change: Change) -> None:
    """Refused removals, a pruned app, a file of the base that is invalid: each at a file that a code scanner can open."""
    change.declare("search", slots=[f"slot-{number}" for number in range(11)])
    change.workdir.write("apps/vision.yaml", CHILD)
    change.workdir.write("apps/old.yaml", ALONE)
    change.workdir.write("apps/wrong.yaml", ALONE.replace("App", "Ap"))
    base = change.begin()
    change.declare("search")
    for name in ("vision", "old", "wrong"):
        (change.workdir.directory / "apps" / f"{name}.yaml").unlink()
    results = change.results("--changed-only", code=4)
    assert {result["ruleId"] for result in results} == {"guard-deletes", "invalid-base"}
    lines = {result["message"]["text"].split("\n")[0]: result["locations"][0]["physicalLocation"] for result in results}
    assert lines["app/search/slot/slot-3"]["region"]["startLine"] == 7
    assert not re.search(f"{base}(:|%3A)", json.dumps(results))


def test_a_problem_of_the_base_names_its_commit_once(change: Change) -> None:
    """Its summary and its notes name files of the base: without the commit, since no checkout has such paths."""
    change.workdir.write("apps/search.yaml", f"{ALONE}---\n{ALONE}")
    base = change.begin()
    change.workdir.write("apps/search.yaml", ALONE)
    (annotation,) = [found for found in change.annotations() if "invalid-base" in found.properties["title"]]
    assert annotation.properties["file"] == "apps/search.yaml"
    assert annotation.message.split("\n")[1:] == [
        "the other: apps/search.yaml:1:1",
        f"declared in {base}, at apps/search.yaml:8:18",
    ]


def test_a_folder_is_no_file_of_an_annotation(change: Change) -> None:
    """A warning about a folder without manifests names it once, and has no file: GitHub and code scanning open files only."""
    change.declare("search")
    (change.workdir.directory / "empty").mkdir()
    change.begin()
    (warning,) = commands_in(change.workdir.octosync("validate", "-f", "apps", "-f", "empty", "-o", "github").stdout)
    assert "file" not in warning.properties
    assert warning.message.splitlines()[0] == "empty contains no manifests"
    assert not any(line.startswith("declared") for line in warning.message.splitlines())


def test_a_base_file_is_no_commit(change: Change) -> None:
    """With --base-file, the annotation is in the manifest, and the message has the position in that file."""
    change.declare("search", slots=["tts"])
    change.workdir.write("base.yaml", (change.workdir.directory / "apps" / "search.yaml").read_text())
    change.declare("search")
    ran = change.workdir.octosync("plan", "-f", "apps", "--base-file", "base.yaml", "--offline", "-o", "github")
    removal, *_ = commands_in(ran.stdout)
    assert (removal.properties["file"], removal.properties["line"]) == ("apps/search.yaml", "7")
    assert removal.message.endswith("declared at base.yaml:9:7")


def test_own_problems_come_first_and_others_are_counted(change: Change) -> None:
    """With 12 old warnings in other apps: of the change, what destroys comes first, then its warnings, and nothing is cut."""
    for number in range(12):
        change.declare(f"a{number:02}", slots=[f"odd-{number}"])
    change.declare("search", slots=["tts"])
    change.begin()
    change.declare("search", slots=["unusual"])
    annotations = change.annotations("--changed-only")
    assert [annotation.properties["title"] for annotation in annotations] == [
        "octosync: destructive: delete slot",
        "octosync: unknown-capability",
        "octosync: offline",
        "octosync: create slot",
        "octosync plan",
    ]
    counted = "In apps that this change does not touch: 12 warnings. To list them:  octosync validate -f apps"
    assert annotations[-1].message == counted
    for output in ("text", "markdown"):
        report = change.plan(output, "--changed-only")
        assert counted in report
        assert "unusual" in report
        assert "odd-" not in report
    validated = change.workdir.octosync("validate", "-f", "apps/")
    assert validated.stdout.count("unknown-capability") == 13


def test_a_change_of_no_app_counts_the_warnings(change: Change) -> None:
    """No app differs from the base: the text is that line and the count."""
    change.declare("notes", slots=["odd"])
    change.begin()
    applied = change.workdir.octosync("apply", "--base", "main", "--changed-only", "--yes")
    assert applied.stdout.splitlines() == [
        f"No app differs from the base main ({change.repo.git('rev-parse', 'main')[:12]}): nothing to do, no request sent.",
        "In apps that this change does not touch: 1 warning. To list them:  octosync validate -f apps",
    ]


def test_own_warnings_come_first_if_strict_ends_the_run(change: Change) -> None:
    """With --strict, the warnings of all apps end the run before the plan: those of the change are annotated first."""
    for number in range(12):
        change.declare(f"a{number:02}", slots=[f"odd-{number}"])
    change.declare("search")
    change.begin()
    change.declare("search", slots=["unusual"])
    change.repo.commit()
    ran = change.workdir.octosync("plan", "--base", "main", "--changed-only", "--offline", "--strict", "-o", "github")
    assert ran.code == 1
    why, first, *_, last = commands_in(ran.stdout)
    assert why.properties["title"] == "octosync: strict"
    assert "unusual" in first.message
    assert last.message == "Not shown: 3 more warnings."


def test_documents_for_programs_have_all_diagnostics(change: Change) -> None:
    """JSON and SARIF: a code scanner would close the alerts of apps that a run leaves out."""
    change.declare("notes", slots=["odd"])
    change.declare("search")
    change.begin()
    change.declare("search", slots=["unusual"])
    assert {result["message"]["text"].split("`")[1] for result in change.results("--changed-only")} == {
        "odd",
        "unusual",
    }
    rules = [row["rule"] for row in json.loads(change.plan("json", "--changed-only"))["diagnostics"]]
    assert rules.count("unknown-capability") == 2


def test_a_full_plan_annotates_its_change_first(change: Change) -> None:
    """Without --changed-only, warnings of other apps are listed after those of the change."""
    for number in range(12):
        change.declare(f"a{number:02}", slots=[f"odd-{number}"])
    change.declare("search", slots=["tts"])
    change.begin()
    change.declare("search", slots=["unusual"])
    annotations = change.annotations()
    assert [annotation.properties.get("file") for annotation in annotations[:3]] == [
        "apps/search.yaml",
        "apps/search.yaml",
        "apps/a00.yaml",
    ]
    assert annotations[-1].message == "Not shown: 4 more warnings."


def test_each_rule_links_to_its_documentation(change: Change) -> None:
    """The page exists, and has the anchor: for every rule of manifests, every finding and every guard."""
    change.declare("search", slots=["odd"])
    change.begin()
    document = json.loads(change.plan("sarif"))
    (rule,) = [rule for rule in document["runs"][0]["tool"]["driver"]["rules"] if rule["id"] == "unknown-capability"]
    assert rule["helpUri"] == f"{REPOSITORY}docs/reference/rules.md#unknown-capability"
    pages = {
        "docs/reference/rules.md": {*RULES},
        "docs/reference/findings.md": {*FINDINGS},
        "docs/reference/guards.md": {f"guard-{guard}" for guard in GUARDS},
    }
    for page, expected in pages.items():
        text = (ROOT / page).read_text(encoding="utf-8")
        assert expected <= anchors(text) | {*re.findall(r'<a id="([^"]+)"></a>', text)}, page
