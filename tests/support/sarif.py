"""SARIF's schema, as published by OASIS, and the additional rules of code scanning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft4Validator

_SCHEMA = Path(__file__).parents[1] / "report" / "sarif" / "sarif-2.1.0-rtm.5.json"
_VALIDATOR = Draft4Validator(json.loads(_SCHEMA.read_text(encoding="utf-8")))


def assert_sarif(document: Any) -> list[Any]:
    """Assert that a document is valid SARIF whose results have a location, a rule and a unique fingerprint; return them."""
    _VALIDATOR.validate(document)
    (run,) = document["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == sorted({rule["id"] for rule in rules})
    results: list[Any] = run["results"]
    for result in results:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        place = result["locations"][0]["physicalLocation"]["artifactLocation"]
        assert place["uriBaseId"] in run["originalUriBaseIds"]
        assert ":" not in place["uri"]
        assert not place["uri"].startswith("/")
    prints = [result["partialFingerprints"]["octosync/v1"] for result in results]
    assert len(set(prints)) == len(prints)
    return results
