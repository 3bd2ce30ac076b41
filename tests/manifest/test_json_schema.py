"""JSON Schema: it says of manifests and octosync.yaml what the loader says, as far as a schema can."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, Union

import pytest
import yaml
from docs.executing import ROOT
from jsonschema import Draft202012Validator
from tests.support.manifests import Workspace

from octosync.manifest import RULES, Rule, configuration_schema, field_example, manifest_schema
from octosync.manifest.config.schema import ConfigurationFile, ContextSection
from octosync.manifest.schema.models import KINDS
from octosync.manifest.schema.rules import Findings
from octosync.manifest.schema.shapes import ObjectModel, Shape, fields_of, shape_of, title_of
from octosync.manifest.yaml.loader import parse
from octosync.manifest.yaml.nodes import plain
from octosync.model import Sensitivity, Severity

MANIFEST = Draft202012Validator(manifest_schema())
CONFIG = Draft202012Validator(configuration_schema())

# What is wrong with one value, where it stands: all that a schema can say.
SAYABLE = {
    "unknown-field",
    "missing-field",
    "wrong-type",
    "invalid-value",
    "invalid-slug",
    "unknown-kind",
    "unknown-version",
    "secret-in-configuration",
}


def _models(shape: Shape) -> Iterator[type[ObjectModel]]:
    """Yield every model in a shape."""
    if shape.is_model:
        yield shape.type
    for part in (*shape.parts, *(field.shape for field in shape.fields.values())):
        yield from _models(part)


def _objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield every schema of an object with known fields."""
    if isinstance(schema, dict):
        if schema.get("additionalProperties") is False:
            yield schema
        for value in schema.values():
            yield from _objects(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _objects(value)


@pytest.mark.parametrize(
    ("models", "schema"),
    [([*KINDS.values()], manifest_schema()), ([ConfigurationFile], configuration_schema())],
    ids=["manifest", "config"],
)
def test_the_schema_has_the_loaders_fields(models: list[type[ObjectModel]], schema: Any) -> None:
    """Every field that the loader takes is in the schema with its description, and the reverse."""
    taken = [(title_of(one), sorted(fields_of(one))) for model in models for one in _models(shape_of(model))]
    described = [(one["title"], sorted(one["properties"])) for one in _objects(schema)]
    assert sorted(described) == sorted(taken)
    assert all(field["description"] for one in _objects(schema) for field in one["properties"].values())


def _full(model: type[ObjectModel]) -> dict[str, Any]:
    return {name: deepcopy(field_example(field)) for name, field in fields_of(model).items()}


def _configuration() -> dict[str, Any]:
    document = _full(ConfigurationFile)
    document["contexts"] = {"local": _full(ContextSection)}
    del document["contexts"]["local"]["tokenFile"]
    del document["notify"][0]["urlEnv"]
    return document


@pytest.mark.parametrize("kind", KINDS)
def test_a_document_of_examples_is_sound(kind: str, workspace: Workspace) -> None:
    """With the example of every field, a document of a kind is what schema and loader take."""
    document = _full(KINDS[kind])
    assert list(MANIFEST.iter_errors(document)) == []
    found = workspace.load_text(yaml.safe_dump(document)).diagnostics
    assert [one for one in found if one.severity is Severity.ERROR] == []


def test_a_configuration_of_examples_is_sound(workspace: Workspace) -> None:
    """With the example of every field, octosync.yaml is what schema and loader take."""
    document = _configuration()
    assert list(CONFIG.iter_errors(document)) == []
    assert workspace.configure(yaml.safe_dump(document)).diagnostics == ()


def _spoilt(value: Any, shape: Shape) -> Iterator[Any]:
    """Yield copies of a sound value, each with one thing that is changed, wrong or maybe not."""
    yield from (None, 7, -1, 0.5, True, "", "Ünknown name", "x", [], {}, ["x"], {"zebra": 1})
    if isinstance(value, dict) and shape.is_model:
        yield {**value, "zebra": 1}
        for name, one in value.items():
            yield {key: other for key, other in value.items() if key != name}
            for spoilt in _spoilt(one, shape.fields[name].shape):
                yield {**value, name: spoilt}
    elif isinstance(value, list) and value and shape.type is list:
        for spoilt in _spoilt(value[0], shape.parts[0]):
            yield [spoilt]
    elif isinstance(value, dict) and shape.type is dict:
        for name, one in value.items():
            for spoilt in () if shape.is_opaque else _spoilt(one, shape.parts[0]):
                yield {**value, name: spoilt}
    elif shape.type is Union:
        yield from _spoilt(_full(shape.parts[1].type), shape.parts[1])


@pytest.mark.parametrize("kind", KINDS)
def test_schema_and_loader_agree_on_manifests(kind: str, workspace: Workspace) -> None:
    """Whatever one thing is changed in a document, the schema refuses it exactly where the loader does, as far as it can say."""
    for document in _spoilt(_full(KINDS[kind]), shape_of(KINDS[kind])):
        if document is None:
            continue  # no document at all
        found = workspace.load_text(yaml.dump(document, Dumper=yaml.CSafeDumper, allow_unicode=True)).diagnostics
        # That routing mode auto needs a preference is between two fields.
        said = (one for one in found if (one.rule, one.path.split(".")[-1]) != ("missing-field", "routingPreference"))
        refused = {one.rule for one in said} & SAYABLE
        assert MANIFEST.is_valid(document) == (not refused), (document, refused)


def test_schema_and_loader_agree_on_octosync_yaml(workspace: Workspace) -> None:
    """The same for octosync.yaml."""
    sound = _configuration()
    del sound["requires"]  # what a version specifier is, only the loader knows
    del sound["freeze"][0]["timezone"]  # and which time zones there are
    for document in _spoilt(sound, shape_of(ConfigurationFile)):
        if document is None:
            continue  # no document at all
        found = workspace.configure(yaml.dump(document, Dumper=yaml.CSafeDumper, allow_unicode=True)).diagnostics
        refused = {one.rule for one in found} & SAYABLE
        assert CONFIG.is_valid(document) == (not refused), (document, refused, list(CONFIG.iter_errors(document))[:1])


@pytest.mark.parametrize("path", sorted((ROOT / "examples").rglob("manifests/**/*.yaml")), ids=lambda path: path.stem)
def test_the_examples_fit_the_schema(path: Path) -> None:
    """Every shipped manifest is what the schema describes."""
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        MANIFEST.validate(document)


def test_the_examples_configuration_fits_the_schema() -> None:
    """The shipped octosync.yaml is what its schema describes."""
    CONFIG.validate(yaml.safe_load((ROOT / "examples" / "octosync.yaml").read_text(encoding="utf-8")))


@pytest.mark.parametrize("rule", [one for one in RULES.values() if one.example], ids=lambda one: one.id)
def test_the_schema_refuses_what_a_rule_refuses(rule: Rule) -> None:
    """An example of a rule that a schema can hold is refused, one of any other rule is taken."""
    _, documents = parse("example.yaml", rule.example.encode(), Sensitivity(), Findings())
    assert all(MANIFEST.is_valid(plain(one.root)) for one in documents) == (rule.id not in SAYABLE)
