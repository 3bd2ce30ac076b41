"""A fleet changes: a better variant is recommended, rolled out once, and never reverted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.desks import Office
from tests.support.fleets import LARGE, SMALL
from tests.support.planes import ok

pytestmark = pytest.mark.no_cover  # at length: what they run is measured by other tests of this room

APP = """\
apiVersion: octosync.dev/v1
kind: App
metadata: {{name: search}}
spec:
  targets:
    - {{platform: ios, identifier: com.acme.search}}
  slots:
    - capability: chat
      servingPolicy: {policy}
      deploy: {{environments: [production], optimize: {optimize}}}
"""
CHECK = "POST /apps/search/capabilities/chat/check-optimization"
OPTIMIZE = "POST /apps/search/capabilities/chat/optimize"
PUT = "PUT /apps/search/slots/chat"


def test_a_fleet_outgrows_its_variant(office: Office) -> None:
    """Old phones get the small variant; once newer ones prevail, the large one is suggested, and `auto` brings it.

    One canary is started, however often apply runs; no plan wants anything while it runs and after it; and whatever the
    manifest changes of the slot later, the variant that Octomil chose stays.
    """
    _declare(office)
    ok(office.plane.local.put("/catalog", json={"variants": [SMALL, LARGE]}))
    _see(office, 50, "low")
    assert office.apply().code == 0
    office.plane.tick(120)
    assert _deployment(office)["status"] == "completed"
    assert _deployment(office)["model_variant_id"] == _variant(office) == "small"
    assert _plan(office) == ([], [])

    _see(office, 450, "high")
    assert _plan(office) == ([], ["small → large"])
    assert "search/chat@production  small → large" in office.plan().stdout
    office.log()
    assert office.apply().code == 0
    assert office.writes() == []

    _declare(office, optimize="auto")
    assert _plan(office) == (["optimize app/search/capability/chat@production"], [])
    assert office.writes() == []
    assert office.apply().code == 0
    assert office.writes() == [OPTIMIZE]

    for percentage in range(10, 100, 10):
        deployment = _deployment(office)
        assert deployment["canary"] == {"percentage": percentage, "candidate_variant_id": "large"}
        assert office.apply().code == 0
        assert _plan(office) == ([], [])
        log = office.log()
        assert not {OPTIMIZE, CHECK, PUT} & set(log)
        office.plane.tick(60)
    assert _deployment(office)["status"] == "completed"
    assert _deployment(office)["model_variant_id"] == _variant(office) == "large"
    assert _plan(office) == ([], [])
    assert CHECK in office.log()

    _declare(office, policy="private", optimize="auto")
    assert _plan(office) == (["update app/search/slot/chat"], [])
    assert office.apply().code == 0
    assert office.writes() == [PUT]
    assert _slot(office)["serving_policy"]["routing_mode"] == "local_only"
    assert _variant(office) == "large"
    assert _plan(office) == ([], [])
    assert office.apply().code == 0
    assert office.writes() == []


def test_the_slot_is_not_written_while_its_canary_runs(office: Office) -> None:
    """A changed policy waits until the canary is complete; the PUT that follows then has the variant that it brought."""
    _declare(office, optimize="auto")
    ok(office.plane.local.put("/catalog", json={"variants": [SMALL, LARGE]}))
    _see(office, 50, "low")
    assert office.apply().code == 0
    _see(office, 450, "high")
    assert office.apply().code == 0

    _declare(office, policy="private", optimize="auto")
    office.log()
    refused = office.apply()
    assert refused.code == 4
    assert "a canary runs: chat@production at 10% to large" in refused.stderr + refused.stdout
    assert office.writes() == []
    office.plane.tick(9 * 60)
    assert office.apply().code == 0
    assert office.writes() == [PUT]
    assert _variant(office) == "large"


def _declare(office: Office, *, policy: str = "local_first", optimize: str = "suggest") -> None:
    office.declare(text=APP.format(policy=policy, optimize=optimize))


def _see(office: Office, count: int, device_class: str) -> None:
    office.plane.with_devices(count, device_class, identifier="com.acme.search")


def _plan(office: Office) -> tuple[list[str], list[str]]:
    """Return what a plan would do, and what it recommends."""
    document = json.loads(office.plan("-o", "json").stdout)
    return (
        [f"{row['change']['actions'][0]} {row['address']}" for row in document["resource_changes"]],
        [
            f"{recommendation['current_variant']} → {recommendation['suggested_variant']}"
            for recommendation in document["recommendations"]
        ],
    )


def _deployment(office: Office) -> dict[str, Any]:
    (deployment,) = ok(office.plane.api.get("/apps/search/deployments"))["deployments"]
    found: dict[str, Any] = deployment
    return found


def _slot(office: Office) -> dict[str, Any]:
    slot: dict[str, Any] = ok(office.plane.api.get("/apps/search/slots/chat"))
    return slot


def _variant(office: Office) -> str:
    return str(_slot(office)["model_variant_id"])
