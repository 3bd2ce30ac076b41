"""The JSON Schemas of manifests and octosync.yaml agree with the loader, as far as a schema can express its rules."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, Union

import pytest
import yaml
from docs.executing import ROOT
from jsonschema import Draft202012Validator
from tests.support.examples import seeds
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

# The problems of a single value at its place: all that a schema can express.
SAYABLE = {
    "unknown-field",
    "missing-field",
    "wrong-type",
    "invalid-value",
    "invalid-slug",
    "unknown-kind",
    "unknown-version",
    "secret-in-configuration",
    "octosync-output",  # the loader skips such a document with a notice; in an editor, it is not a manifest
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
    """Every field that the loader accepts is in the schema with its description, and the reverse."""
    accepted = [(title_of(model), sorted(fields_of(model))) for parent in models for model in _models(shape_of(parent))]
    described = [(object_["title"], sorted(object_["properties"])) for object_ in _objects(schema)]
    assert sorted(described) == sorted(accepted)
    assert all(field["description"] for object_ in _objects(schema) for field in object_["properties"].values())


def _full(model: type[ObjectModel]) -> dict[str, Any]:
    return {name: deepcopy(field_example(field)) for name, field in fields_of(model).items()}


def _configuration() -> dict[str, Any]:
    document = _full(ConfigurationFile)
    document["contexts"] = {"local": _full(ContextSection)}
    del document["contexts"]["local"]["tokenFile"]
    del document["notify"][0]["urlEnv"]
    del document["stateUrlEnv"], document["contexts"]["local"]["stateUrlEnv"]
    return document


@pytest.mark.parametrize("kind", KINDS)
def test_a_document_of_all_examples_is_valid(kind: str, workspace: Workspace) -> None:
    """A document with the example of every field is valid for the schema and the loader."""
    document = _full(KINDS[kind])
    assert list(MANIFEST.iter_errors(document)) == []
    found = workspace.load_text(yaml.safe_dump(document)).diagnostics
    assert [diagnostic for diagnostic in found if diagnostic.severity is Severity.ERROR] == []


def test_a_configuration_of_all_examples_is_valid(workspace: Workspace) -> None:
    """An octosync.yaml with the example of every field is valid for the schema and the loader."""
    document = _configuration()
    assert list(CONFIG.iter_errors(document)) == []
    assert workspace.configure(yaml.safe_dump(document)).diagnostics == ()


def _variations(value: Any, shape: Shape) -> Iterator[Any]:
    """Yield copies of a valid value, each with one change that may be invalid."""
    yield from (None, 7, -1, 0.5, True, "", "Ünknown name", "x", [], {}, ["x"], {"zebra": 1})
    if isinstance(value, dict) and shape.is_model:
        yield {**value, "zebra": 1}
        for name, child in value.items():
            yield {key: kept for key, kept in value.items() if key != name}
            for variation in _variations(child, shape.fields[name].shape):
                yield {**value, name: variation}
    elif isinstance(value, list) and value and shape.type is list:
        for variation in _variations(value[0], shape.parts[0]):
            yield [variation]
    elif isinstance(value, dict) and shape.type is dict:
        for name, child in value.items():
            for variation in () if shape.is_opaque else _variations(child, shape.parts[0]):
                yield {**value, name: variation}
    elif shape.type is Union:
        yield from _variations(_full(shape.parts[1].type), shape.parts[1])


def _some_variations(value: Any, shape: Shape) -> list[Any]:
    """Return some of the variations that are documents, and all in a thorough run."""
    variations = [document for document in _variations(value, shape) if document is not None]
    return [variations[number] for number in seeds(len(variations), fewest=40)]


@pytest.mark.parametrize("kind", KINDS)
def test_schema_and_loader_agree_on_manifests(kind: str, workspace: Workspace) -> None:
    """For any single change of a document, the schema rejects it if and only if the loader does, as far as it can express it."""
    for document in _some_variations(_full(KINDS[kind]), shape_of(KINDS[kind])):
        found = workspace.load_text(yaml.dump(document, Dumper=yaml.CSafeDumper, allow_unicode=True)).diagnostics
        # A schema of one field can't express that routing mode auto requires a preference.
        expressible = (
            diagnostic
            for diagnostic in found
            if (diagnostic.rule, diagnostic.path.split(".")[-1]) != ("missing-field", "routingPreference")
        )
        refused = {diagnostic.rule for diagnostic in expressible} & SAYABLE
        assert MANIFEST.is_valid(document) == (not refused), (document, refused)


def test_schema_and_loader_agree_on_octosync_yaml(workspace: Workspace) -> None:
    """The same promise for octosync.yaml."""
    sound = _configuration()
    del sound["requires"]  # only the loader knows version specifiers
    del sound["freeze"][0]["timezone"]  # and time zones
    for document in _some_variations(sound, shape_of(ConfigurationFile)):
        found = workspace.configure(yaml.dump(document, Dumper=yaml.CSafeDumper, allow_unicode=True)).diagnostics
        refused = {diagnostic.rule for diagnostic in found} & SAYABLE
        assert CONFIG.is_valid(document) == (not refused), (document, refused, list(CONFIG.iter_errors(document))[:1])


@pytest.mark.parametrize("path", sorted((ROOT / "examples").rglob("manifests/**/*.yaml")), ids=lambda path: path.stem)
def test_the_examples_match_the_schema(path: Path) -> None:
    """Every shipped manifest matches the schema."""
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        MANIFEST.validate(document)


def test_the_example_configuration_matches_the_schema() -> None:
    """The shipped octosync.yaml matches its schema."""
    CONFIG.validate(yaml.safe_load((ROOT / "examples" / "octosync.yaml").read_text(encoding="utf-8")))


@pytest.mark.parametrize("rule", [rule for rule in RULES.values() if rule.example], ids=lambda rule: rule.id)
def test_the_schema_rejects_the_examples_of_its_rules(rule: Rule) -> None:
    """The schema rejects an example of a rule that it can express, and accepts that of any other rule."""
    _, documents = parse("example.yaml", rule.example.encode(), Sensitivity(), Findings())
    assert all(MANIFEST.is_valid(plain(document.root)) for document in documents) == (rule.id not in SAYABLE)
