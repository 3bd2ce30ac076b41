"""The table of rules."""

from __future__ import annotations

import re

import pytest
from tests.support.manifests import Workspace, rules

from octosync.manifest import RULES, Configuration, Rule


@pytest.mark.parametrize(
    "rule", [rule for rule in RULES.values() if rule.example or rule.configuration], ids=lambda rule: rule.id
)
def test_each_example_breaks_its_rule_and_no_other(rule: Rule, workspace: Workspace) -> None:
    """An example of the reference, unchanged, has exactly one diagnostic, that of its rule."""
    configuration, found = Configuration(directory=workspace.directory), []
    if rule.configuration:
        configured = workspace.configure(rule.configuration)
        configuration, found = configured.configuration, list(configured.diagnostics)
    if rule.example:
        found += workspace.load_text(rule.example, configuration=configuration).diagnostics
    assert [diagnostic.rule for diagnostic in found] == [rule.id]
    assert found[0].severity is rule.severity
    assert found[0].origin is not None


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.id)
def test_each_rule_is_described(rule: Rule) -> None:
    """A rule has a kebab-case id, a sentence, and an example or the situation in which it occurs."""
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule.id)
    assert rule.meaning.endswith(".")
    assert rule.example or rule.configuration or rule.situation


def test_every_problem_of_every_file_is_reported_in_one_pass(workspace: Workspace) -> None:
    """One run of validate reports all problems: a file that can't be parsed hides none of the others."""
    manifests = {rule.id: rule for rule in RULES.values() if rule.example and not rule.configuration}
    workspace.write(
        {f"{id_}/{id_}.yaml": rule.example.replace("demo", f"demo-{id_}") for id_, rule in manifests.items()}
    )
    found = set(rules(workspace.load()))
    assert found >= set(manifests) - {"invalid-slug"}
