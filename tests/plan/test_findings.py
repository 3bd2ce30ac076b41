"""What a plan says beyond its changes has names of its own."""

from __future__ import annotations

from octosync.manifest import RULES
from octosync.plan import FINDINGS
from octosync.plan.plan import RULES_OF_PLANS


def test_a_name_means_one_thing() -> None:
    """No finding of a plan has the name of a manifest's rule, but for those that a plan knows better, equally grave."""
    assert FINDINGS.keys() & RULES.keys() == RULES_OF_PLANS
    assert all(FINDINGS[name].severity is RULES[name].severity for name in RULES_OF_PLANS)
