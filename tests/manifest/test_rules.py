"""The table of rules."""

from __future__ import annotations

import re

import pytest
from tests.support.manifests import Workspace, rules

from octosync.manifest import RULES, Configuration, Rule


@pytest.mark.parametrize(
    "rule", [one for one in RULES.values() if one.example or one.configuration], ids=lambda one: one.id
)
def test_each_example_breaks_its_rule_and_no_other(rule: Rule, workspace: Workspace) -> None:
    """An example from the reference, as it stands, gives the one diagnostic it is an example of."""
    configuration, found = Configuration(directory=workspace.directory), []
    if rule.configuration:
        configured = workspace.configure(rule.configuration)
        configuration, found = configured.configuration, list(configured.diagnostics)
    if rule.example:
        found += workspace.load_text(rule.example, configuration=configuration).diagnostics
    assert [one.rule for one in found] == [rule.id]
    assert found[0].severity is rule.severity
    assert found[0].origin is not None


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda one: one.id)
def test_each_rule_says_what_it_means(rule: Rule) -> None:
    """A rule has a kebab-case id, a sentence, and an example or the situation in which it happens."""
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule.id)
    assert rule.meaning.endswith(".")
    assert rule.example or rule.configuration or rule.situation


def test_every_problem_of_every_file_is_reported_in_one_pass(workspace: Workspace) -> None:
    """Nobody has to run validate once a mistake: files that don't even parse hide nothing of the others."""
    manifests = {rule.id: rule for rule in RULES.values() if rule.example and not rule.configuration}
    workspace.write(
        {f"{id_}/{id_}.yaml": rule.example.replace("demo", f"demo-{id_}") for id_, rule in manifests.items()}
    )
    found = set(rules(workspace.load()))
    assert found >= set(manifests) - {"invalid-slug"}
