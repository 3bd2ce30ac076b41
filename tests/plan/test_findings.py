"""The rules of a plan's diagnostics."""

from __future__ import annotations

from octosync.manifest import RULES
from octosync.plan import FINDINGS
from octosync.plan.plan import RULES_OF_PLANS


def test_rules_of_plans_and_manifests_have_distinct_names() -> None:
    """No finding of a plan shares its name with a manifest rule, except for the rules of both, with the same severity."""
    assert FINDINGS.keys() & RULES.keys() == RULES_OF_PLANS
    assert all(FINDINGS[name].severity is RULES[name].severity for name in RULES_OF_PLANS)
