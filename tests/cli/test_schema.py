"""`octosync schema`: it prints the published schemas, and the JSON of plans is valid."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from docs.executing import ROOT
from jsonschema import Draft202012Validator
from tests.support.workdirs import Workdir

from octosync.plan import plan_schema
from octosync.plan.file.schema import PlanDocument
from octosync.watch.web import watch_schema

PLAN = Draft202012Validator(plan_schema())
# A scenario that ends without a plan has the document of its failure, or a text.
PLANS = [
    path
    for path in sorted((ROOT / "tests" / "scenarios").glob("*/plan.json"))
    if '"resource_changes"' in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("arguments", [(), ("manifest",), ("config",), ("plan",), ("watch-status",), ("--kustomize",)])
def test_the_published_schema_is_printed(workdir: Workdir, arguments: tuple[str, ...]) -> None:
    """Each schema is printed as the file that the repository publishes, and is a valid schema."""
    name = (arguments or ("manifest",))[0].removeprefix("--")
    ran = workdir.octosync("schema", *arguments)
    assert (ran.code, ran.stderr) == (0, "")
    assert ran.stdout == (ROOT / "schemas" / f"{name}.json").read_text(encoding="utf-8")
    if name != "kustomize":
        Draft202012Validator.check_schema(json.loads(ran.stdout))


@pytest.mark.parametrize("schema", [plan_schema, watch_schema])
def test_definitions_do_not_depend_on_what_was_used_before(schema: Callable[[], dict[str, Any]]) -> None:
    """The definitions of a schema are sorted: their order doesn't depend on which models the process used before."""
    definitions = list(schema()["$defs"])
    assert len(definitions) > 3
    assert definitions == sorted(definitions)


def test_an_unknown_schema_is_a_usage_error(workdir: Workdir) -> None:
    """Another name, and two documents at once, are usage errors."""
    assert workdir.octosync("schema", "plans").code == 64
    assert workdir.octosync("schema", "plan", "--kustomize").code == 64


def _closed(schema: Any) -> Any:
    """Return the schema with no undescribed keys in any object."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    return {**closed, "additionalProperties": False} if isinstance(schema.get("properties"), dict) else closed


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.parent.name)
def test_every_plan_fits_the_schema(path: Path) -> None:
    """Every key of `plan -o json` is described by the schema."""
    document = json.loads(path.read_text(encoding="utf-8"))
    assert [error.message for error in Draft202012Validator(_closed(plan_schema())).iter_errors(document)] == []


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.parent.name)
def test_a_plan_is_read_as_it_was_written(path: Path) -> None:
    """The output of `plan -o json` is read by the model and written again unchanged, with the same order of keys."""
    text = path.read_text(encoding="utf-8")
    document = PlanDocument.model_validate(json.loads(text)).as_json()
    assert json.dumps(document) == json.dumps(json.loads(text))


def test_a_plan_of_a_later_minor_fits_the_schema() -> None:
    """Keys that a later minor version adds are valid, another major version is not."""
    document = json.loads(PLANS[0].read_text(encoding="utf-8"))
    assert PLAN.is_valid({**document, "format_version": "1.7", "weather": "fine"})
    assert not PLAN.is_valid({**document, "format_version": "2.0"})
