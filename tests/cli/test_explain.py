"""`octosync explain`: fields, and all names that octosync prints, are explained."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator

import pytest
from docs.executing import ROOT
from tests.support.workdirs import Workdir

from octosync import errors
from octosync.apply import OUTCOMES
from octosync.cli.error_references import ERRORS
from octosync.cli.runs.explain import RENAMED
from octosync.contract import OPERATIONS, ErrorCode
from octosync.errors import ExitCode
from octosync.manifest import RULES, explain_path, explained_roots
from octosync.manifest.load.limits import LOAD_TIMEOUT
from octosync.model import FieldExplanation, Reason
from octosync.plan import FINDINGS, GUARDS
from octosync.plan.policies import VARIABLES
from octosync.watch.notify.notices import EVENTS

SOURCES = ROOT / "src" / "octosync"


def _paths(field: FieldExplanation) -> Iterator[str]:
    yield field.path
    for below in explain_path(field.path).fields:
        yield from _paths(below)


ROOTS = [field.path for field in explained_roots()]
NAMES = sorted({*RULES, *FINDINGS, *GUARDS, *OUTCOMES})


@pytest.mark.parametrize("root", ROOTS)
def test_every_field_is_explained(root: str, workdir: Workdir) -> None:
    """Each field of each document has its path, a meaning, a type, and an example if it has no fields."""
    for path in _paths(explain_path(root)):
        ran = workdir.octosync("explain", path)
        assert (ran.code, ran.stderr) == (0, "")
        assert ran.stdout.startswith(f"{path}\n  ")
        field = explain_path(path)
        assert field.about
        assert field.type
        assert field.fields or field.example is not None


REFERENCE = re.compile(r"[a-z]+(-[a-z]+)*")
ERROR_CLASSES = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}

# What all places that `_references` finds contain.
MENTIONS_ERRORS = re.compile(rf"\b(?:(?:{'|'.join(ERROR_CLASSES)}|_in_part|refusal|_error)\s*[(,]|reference\s*[=,])")


def _texts(*nodes: ast.expr) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and REFERENCE.fullmatch(node.value):
            yield node.value
        elif isinstance(node, ast.IfExp):
            yield from _texts(node.body, node.orelse)


def _is_error_class(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ERROR_CLASSES


def _references(tree: ast.Module) -> Iterator[str]:
    """Yield the references in the calls that make an error, in tuples that describe one, and in variables of that name."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=args, keywords=keywords):
                if name in ERROR_CLASSES or name == "_in_part":
                    yield from _texts(*args[:1])
                elif name == "refusal" or (name == "_error" and args and _is_error_class(args[0])):
                    yield from _texts(*args[1:3])
                yield from _texts(*(keyword.value for keyword in keywords if keyword.arg == "reference"))
            case ast.Assign(targets=[ast.Name(id="reference")], value=value):
                yield from _texts(value)
            case ast.Assign(
                targets=[ast.Tuple(elts=[ast.Name(id="reference"), *_])], value=ast.Tuple(elts=[value, *_])
            ):
                yield from _texts(value)
            case ast.Tuple(elts=[first, second, *_]) if _is_error_class(first):
                yield from _texts(second)


def test_every_reference_of_an_error_is_explained() -> None:
    """`explain` knows every reference in the code, also those that come from a code of the control plane, and no others."""
    sources = (path.read_text(encoding="utf-8") for path in sorted(SOURCES.rglob("*.py")))
    relevant = filter(MENTIONS_ERRORS.search, sources)  # parsing all of them takes twice as long
    found = {reference for source in relevant for reference in _references(ast.parse(source))}
    assert len(found) > 200
    found |= {LOAD_TIMEOUT, *(code.value.replace("_", "-") for code in ErrorCode)}
    explained = {*ERRORS, *RENAMED, *RULES, *OUTCOMES}
    assert found - explained == set()
    assert {*ERRORS, *RENAMED} - found == set()


GROUPS = {
    "errors": ERRORS,
    "reasons": [reason.value for reason in Reason],
    "operations": OPERATIONS,
    "exit-codes": [str(code.value) for code in ExitCode],
    "notifications": [event.value for event in EVENTS],
}


@pytest.mark.parametrize("heading", GROUPS)
def test_other_names_are_explained_by_group(heading: str, workdir: Workdir) -> None:
    """Errors, reasons, operations, exit codes and notifications are listed by group, and each has its meaning."""
    listed = json.loads(workdir.octosync("explain", heading, "-o", "json").stdout)["names"]
    names = {entry["name"]: entry["meaning"] for entry in listed}
    assert names.keys() >= {*GROUPS[heading]}
    assert all(meaning.endswith(".") for meaning in names.values())
    assert workdir.octosync("explain", next(iter(names))).code == 0


@pytest.mark.parametrize("name", NAMES)
def test_every_name_in_messages_is_explained(name: str, workdir: Workdir) -> None:
    """Every rule, finding, guard and outcome of a message has an explanation."""
    ran = workdir.octosync("explain", name)
    assert (ran.code, ran.stderr) == (0, "")
    assert ran.stdout.startswith(f"{name} (")
    assert ran.stdout.count("\n") >= 2


@pytest.mark.parametrize(
    ("path", "others"),
    [
        ("app.spec.slots.capability", "others are accepted, too"),
        ("app.spec.targets.platform", "others are an error, unless `api.platforms` of octosync.yaml lists them"),
    ],
)
def test_a_field_with_known_values_states_what_happens_to_others(path: str, others: str, workdir: Workdir) -> None:
    """The explanation of an open set names its known values, and whether others are accepted."""
    assert others in " ".join(workdir.octosync("explain", path).stdout.split())


def test_a_field_has_its_type_values_and_ownership(workdir: Workdir) -> None:
    """Type, default, values and what is owned."""
    explanation = workdir.octosync("explain", "app.spec.slots.deploy.optimize").stdout
    assert "default  suggest" in explanation
    assert "values   never, suggest, auto" in explanation
    assert "owns     the whole list: a live slot" in workdir.octosync("explain", "app.spec.slots").stdout


@pytest.mark.parametrize(
    ("typed", "path"),
    [
        ("spec.slots[0].servingPolicy", "app.spec.slots.servingPolicy"),
        ("app.spec.slots[12].deploy", "app.spec.slots.deploy"),
        ("App.spec.name", "app.spec.name"),
        ("octosync.yaml", "config"),
        ("octosync.yaml.rate", "config.rate"),
        ("config.contexts.production.tokenEnv", "config.contexts.tokenEnv"),
        ("config.contexts.url", "config.contexts.url"),
    ],
)
def test_a_path_may_be_typed_as_messages_write_it(typed: str, path: str, workdir: Workdir) -> None:
    """Positions, user-defined names and the capital letters of kinds are accepted."""
    assert workdir.octosync("explain", typed).stdout.startswith(f"{path}\n")


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("app.spec.slot", "Did you mean app.spec.slots?"),
        ("app.spec.slot.servingPolcy", "Did you mean app.spec.slots?"),
        ("ap.spec", "Did you mean app.spec?"),
        ("app.spec.name.first", "app.spec.name has no fields: it is a string"),
        ("config.zebra", "config has: requires, contexts,"),
        ("delete", "Did you mean deletes?"),
        ("slots", "Did you mean app.spec.slots?"),
        ("tokenEnv", "Did you mean config.contexts.tokenEnv?"),
        ("gaurds", "Did you mean guards?"),
        ("target-held-elswhere", "Did you mean target-held-elsewhere?"),
        ("zebra", "`octosync explain` lists the available topics."),
        ("", "`octosync explain` lists the available topics."),
        ("..", "`octosync explain` lists the available topics."),
        ("\x1b[31mapp", "`octosync explain` lists the available topics."),
    ],
)
def test_an_unknown_topic_is_a_usage_error_with_a_suggestion(typed: str, hint: str, workdir: Workdir) -> None:
    """A typo is a usage error with the nearest topic, or with the list of topics."""
    ran = workdir.octosync("explain", typed)
    assert ran.code == 64
    assert hint in ran.stderr
    assert "\x1b" not in ran.stderr
    assert ran.stdout == ""


def test_without_a_path_everything_is_listed(workdir: Workdir) -> None:
    """All roots and all names are listed."""
    listing = " ".join(workdir.octosync("explain").stdout.split())
    assert all(f" {name}" in listing for name in (*ROOTS, *NAMES))


def test_policies_are_explained(workdir: Workdir) -> None:
    """`explain policies` lists every variable of rules with its type; each is a topic of its own."""
    ran = workdir.octosync("explain", "policies")
    assert all(f"  {variable.name} " in ran.stdout for variable in VARIABLES)
    (document,) = json.loads(workdir.octosync("explain", "policies", "-o", "json").stdout)["fields"]
    assert [field["path"] for field in document["fields"]] == [f"policies.{variable.name}" for variable in VARIABLES]
    assert "what the change does" in workdir.octosync("explain", "policies.change.action").stdout
    assert workdir.octosync("explain", "policies.change.nope").code == 64
    assert "--allow-policy NAME" in workdir.octosync("explain", "policy:any-name").stdout


@pytest.mark.parametrize(
    ("typed", "category", "names"),
    [
        ("rules", "rule", list(RULES)),
        ("findings", "finding", list(FINDINGS)),
        ("guards", "guard", list(GUARDS)),
        ("Outcomes", "outcome", list(OUTCOMES)),
        ("GUARD", "guard", list(GUARDS)),
    ],
)
def test_a_heading_of_the_list_prints_its_group(typed: str, category: str, names: list[str], workdir: Workdir) -> None:
    """Each name has one entry with its meaning, in text and in JSON; the heading may be in the singular."""
    group = json.loads(workdir.octosync("explain", typed, "-o", "json").stdout)["names"]
    assert [(entry["name"], entry["of"]) for entry in group] == [(name, category) for name in names]
    ran = workdir.octosync("explain", typed)
    assert (ran.code, ran.stderr) == (0, "")
    assert re.findall(r"^  ([a-z0-9-]+)", ran.stdout, re.MULTILINE) == names
    words = " ".join(ran.stdout.split())
    assert all(f"{entry['name']} {entry['meaning']}" in words for entry in group)


def test_json_has_the_same(workdir: Workdir) -> None:
    """`-o json` has the same for tools."""
    document = json.loads(workdir.octosync("explain", "app.spec.slots.deploy", "-o", "json").stdout)
    assert document["format_version"] == "1.0"
    (field,) = document["fields"]
    assert [nested["path"].rpartition(".")[2] for nested in field["fields"]] == [
        "environments",
        "optimize",
        "minImprovement",
        "maxRegression",
    ]
    assert document["names"] == []
    both = json.loads(workdir.octosync("explain", "archive-strands-identifiers", "-o", "json").stdout)["names"]
    assert [explanation["of"] for explanation in both] == ["rule", "finding"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", RULES["unknown-field"].example),
        (
            "b.yaml",
            "apiVersion: octosync.dev/v1\nkind: AppTarget\nspec: {app: a, platform: ios, identifier: a.b, zebra: 1}\n",
        ),
        ("octosync.yaml", "contexts: {production: {url: 'http://127.0.0.1:1', zebra: 1}}\n"),
        ("octosync.yaml", "owners: [{paths: a, apps: [b], zebra: 1}]\n"),
        ("octosync.yaml", "contexts: {'a b': {url: 'http://127.0.0.1:1', zebra: 1}}\n"),
    ],
)
def test_an_unknown_field_leads_to_the_known_ones(name: str, text: str, workdir: Workdir) -> None:
    """The command that a message suggests works, and lists the fields of the object."""
    workdir.write(name, text)
    workdir.write("z.yaml", "apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: z}\n")
    ran = workdir.octosync("validate", "-f", ".")
    (command,) = re.findall(r"`octosync (explain \S+)` explains", ran.output)
    assert workdir.octosync(*command.split()).code == 0


@pytest.mark.parametrize(
    ("former", "category", "references"),
    [
        ("nobody-to-ask", "error", ["confirmation-required", "input-required"]),
        ("keys-nowhere", "error", ["no-key-destination"]),
        ("nothing-to-explain", "error", ["unknown-topic"]),
        ("stdin-twice", "error", ["duplicate-stdin"]),
        ("load-given-up", "error", ["load-timeout"]),
        ("manifests-in-motion", "error", ["manifests-changing"]),
        ("posts-off", "error", ["posts-disabled"]),
        ("plan-moved", "error", ["plan-outdated"]),
        ("base-gone", "error", ["base-not-found"]),
        ("not-placeable", "error", ["edit-failed"]),
        ("not-provable", "error", ["edit-mismatch"]),
        ("flags-apart", "error", ["conflicting-flags"]),
        ("nothing-asked", "error", ["nothing-to-show"]),
        ("bad-pace", "error", ["invalid-rate"]),
        ("not-your-app", "rule", ["app-not-owned"]),
        ("object-moved", "outcome", ["object-changed"]),
    ],
)
def test_a_renamed_reference_is_explained_by_both_names(
    former: str, category: str, references: list[str], workdir: Workdir
) -> None:
    """A script or a search with the former reference finds the new one; the code raises only the new one."""
    names = json.loads(workdir.octosync("explain", former, "-o", "json").stdout)["names"]
    assert [(name["name"], name["of"]) for name in names] == [(reference, category) for reference in references]
    sources = [path.read_text(encoding="utf-8") for path in SOURCES.rglob("*.py")]
    for reference in references:
        assert f"`{former}`" in workdir.octosync("explain", reference).stdout
        assert "".join(sources).count(f'"{reference}"') > 1  # in the table, and where it is raised
    assert "".join(sources).count(f'"{former}"') == len(references)  # in the table only


def test_every_guard_and_outcome_of_the_code_is_explained() -> None:
    """Every guard that refuses a plan, and every outcome of apply, is in the tables."""
    sources = {str(path.relative_to(SOURCES)): path.read_text(encoding="utf-8") for path in SOURCES.rglob("*.py")}
    assert set(re.findall(r'refuse_run\(\s*"([a-z-]+)"', "".join(sources.values()))) <= set(GUARDS)
    pattern = r'(?:Error|Conflict|Unreadable|_unread)\(\s*"([a-z-]+)"|reference="([a-z-]+)"'
    raised = {positional or keyword for positional, keyword in re.findall(pattern, sources["apply/write.py"])}
    assert len(raised) > 5
    assert raised <= set(OUTCOMES)
