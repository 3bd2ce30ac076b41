"""The reference covers the code: every field, option and variable is on its page."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, cast

import pytest
import yaml
from docs.commands import all_commands, options_by_name
from docs.executing import ROOT
from docs.fields import headings_of
from docs.generate import PARTS, REFERENCE_PAGES
from docs.markdown import part_names, with_parts
from jsonschema import Draft202012Validator

from octosync.errors import ExitCode
from octosync.manifest import read_configuration
from octosync.manifest.config.schema import ConfigurationFile
from octosync.manifest.schema.models import KINDS
from octosync.manifest.schema.shapes import fields_of
from octosync.model import JsonObject
from octosync.plan import plan_schema
from octosync.report.show.status_json import StatusDocument
from octosync.watch.web import watch_schema

REFERENCE: Final = ROOT / "docs/reference"


def _headings(page: str) -> list[str]:
    return re.findall(r"^#+ `(.+)`$", (REFERENCE / page).read_text(encoding="utf-8"), re.MULTILINE)


def _paths(value: Any, path: str = "") -> Iterator[str]:
    """Yield the paths of all keys in a value, with [] for the items of a list."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield (inner := f"{path}.{key}" if path else key)
            yield from _paths(below, inner)
    elif isinstance(value, list):
        for item in value:
            yield from _paths(item, f"{path}[]")


def test_every_field_has_a_section() -> None:
    """The pages about manifests and octosync.yaml have a section for each field, under its path."""
    of_document = ["apiVersion", "kind"]
    assert of_document + _headings("manifest.md") == list(headings_of("App"))
    assert _headings("configuration.md") == list(headings_of("config"))


def test_the_complete_app_has_every_field() -> None:
    """The first example of the page about manifests has each field of an App."""
    page = (REFERENCE / "manifest.md").read_text(encoding="utf-8")
    example = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])
    assert set(headings_of("App")) - set(_paths(example)) == set()


def test_the_example_of_octosync_yaml_loads(tmp_path: Path) -> None:
    """The example of the page about octosync.yaml has every key at the top, and is read without a problem."""
    page = (REFERENCE / "configuration.md").read_text(encoding="utf-8")
    text = page.partition("```yaml\n")[2].partition("```")[0]
    (tmp_path / "octosync.yaml").write_text(text, encoding="utf-8")
    assert read_configuration(tmp_path / "octosync.yaml").diagnostics == ()
    assert set(yaml.safe_load(text)) == set(fields_of(ConfigurationFile)) - {"stateUrlEnv"}  # which excludes stateUrl


@pytest.mark.parametrize(("page", "schema"), [("plan-document.md", plan_schema), ("status-document.md", watch_schema)])
def test_the_example_of_a_document_is_valid(page: str, schema: Callable[[], JsonObject]) -> None:
    """The example of a JSON document matches its schema, and the page has a section for each object in it."""
    text = (REFERENCE / page).read_text(encoding="utf-8")
    example = json.loads(text.partition("```json\n")[2].partition("```")[0])
    assert [error.message for error in Draft202012Validator(schema()).iter_errors(example)] == []
    definitions = cast("dict[str, dict[str, Any]]", schema()["$defs"])
    objects = {name for name, definition in definitions.items() if "properties" in definition}
    assert objects <= set(_headings(page))


@pytest.mark.parametrize(
    "schema", [plan_schema(), watch_schema(), StatusDocument.json_schema("status")], ids=["plan", "watch", "status"]
)
def test_every_key_of_a_document_has_a_meaning(schema: dict[str, Any]) -> None:
    """Each key of a JSON document is described, or is one object that is described."""
    for name, described in {"": schema, **schema["$defs"]}.items():
        for key, value in described.get("properties", {}).items():
            assert "description" in value or "$ref" in json.dumps(value), f"{name}.{key}"


@pytest.mark.parametrize(
    ("kind", "within"), [("AppTarget", "targets"), ("CapabilitySlot", "slots"), ("InferenceConfig", None)]
)
def test_other_kinds_have_the_fields_of_an_app(kind: str, within: str | None) -> None:
    """A document about one object has the fields that the App's list has, and `app`. An inference config has one."""
    spec = fields_of(fields_of(KINDS[kind])["spec"].shape.type)
    app = fields_of(fields_of(KINDS["App"])["spec"].shape.type)
    items = {"config"} if within is None else set(fields_of(app[within].shape.parts[0].type))
    assert set(spec) == {"app", *items}


_OWN_VARIABLE: Final = re.compile(r"_?(OCTOSYNC|OCTOMIL|GITHUB|GITLAB|GIT|SSL|SSH|XDG|LD|DYLD)(_[A-Z]+)+")


def _variables_in(source: Path) -> Iterator[str]:
    """Yield the environment variables that a module names, or reads from a mapping that is called an environment."""
    code = source.read_text(encoding="utf-8")
    if "environ" not in code and _OWN_VARIABLE.search(code) is None:
        return  # it takes most of the time to parse the modules
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Constant(value=str(text)) if _OWN_VARIABLE.fullmatch(text):
                yield text
            case (
                ast.Call(func=ast.Attribute(value=mapping, attr="get"), args=[ast.Constant(value=str(text)), *_])
                | ast.Subscript(value=mapping, slice=ast.Constant(value=str(text)))
            ) if ast.unparse(mapping) in {"os.environ", "environment"}:
                yield text


def test_every_environment_variable_is_listed() -> None:
    """The page about environment variables lists each variable that octosync reads, and no others."""
    page = (REFERENCE / "environment.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]+) \|", page, re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)}
    options = {variable for _, variable in options_by_name() if variable}
    read = {name for path in (ROOT / "src").rglob("*.py") for name in _variables_in(path)} | options
    assert {name for name in read if f"`{name}`" not in page and f"`{name}=" not in page} == set()
    passed_on = {"HOME", "TMPDIR", "LANG", "LC_ALL", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"}
    assert listed - read - passed_on == {"COLUMNS", "LINES", "LESS", "LV", "ALL_PROXY"} - read


def test_every_option_without_a_variable_is_named() -> None:
    """An option has the variable OCTOSYNC_<NAME>, or the page about environment variables lists it among those without one."""
    page = (REFERENCE / "environment.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"`(--[a-z-]+)`", page.partition("## Options without a variable")[2].partition("\n## ")[0]))
    assert {name for name, variable in options_by_name() if variable is None} == listed
    for name, variable in options_by_name():
        named = f"OCTOSYNC_{name.removeprefix('--').replace('-', '_').upper()}"
        assert variable in {None, "OCTOSYNC_DEBUG" if name == "--verbose" else named}


def test_every_exit_code_is_listed() -> None:
    """The reference lists all exit codes, and each command lists its own."""
    page = (REFERENCE / "exit-codes.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\d, ]+) \|", page, re.MULTILINE)
    assert sorted(int(number) for row in rows for number in row.split(",")) == sorted(ExitCode)
    commands = (REFERENCE / "commands.md").read_text(encoding="utf-8")
    assert commands.count("[Exit codes](exit-codes.md): 0, 1,") == len(list(all_commands()))


@pytest.mark.parametrize("name", sorted(path for path in REFERENCE_PAGES if path.endswith(".md")))
def test_a_page_has_only_known_parts(name: str) -> None:
    """Each comment that opens a generated part names one that exists and closes it."""
    page = (ROOT / name).read_text(encoding="utf-8")
    assert len(part_names(page)) == page.count("<!-- part: ") == page.count("<!-- end of the part -->")
    assert set(part_names(page)) <= set(PARTS)


def test_a_part_is_replaced() -> None:
    """The text between the comments of a part is replaced, and the text around it is kept."""
    comment = "<!-- part: a. Generated by `make docs`; a test compares it with the code. -->"
    page = f"before\n{comment}\n\nold\n\n<!-- end of the part -->\nafter\n"
    expected = f"before\n{comment}\n\nnew\n\n<!-- end of the part -->\nafter\n"
    assert with_parts(page, {"a": lambda: ["new"]}) == expected
    assert with_parts(page.replace("\n\nold\n\n", "\n"), {"a": lambda: ["new"]}) == expected
