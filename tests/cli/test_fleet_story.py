"""A fleet changes: a better variant is recommended, rolled out once, and never reverted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.embedded_planes import ok
from tests.support.fleets import LARGE, SMALL
from tests.support.projects import Project

pytestmark = pytest.mark.no_cover  # slow under coverage; other tests of this package cover the same code

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
      deploy: {{environments: [production], optimize: {optimize}, maxRegression: 1}}
"""
CHECK = "POST /apps/search/capabilities/chat/check-optimization"
OPTIMIZE = "POST /apps/search/capabilities/chat/optimize"
PUT = "PUT /apps/search/slots/chat"


def test_a_fleet_outgrows_its_variant(project: Project) -> None:
    """Old phones get the small variant; with more new ones, the large one is suggested, and `auto` rolls it out.

    One canary is started, however often apply runs. No plan has a change while it runs and after it. When the manifest
    changes the slot later, the variant that Octomil chose stays.
    """
    _declare(project)
    ok(project.plane.local.put("/catalog", json={"variants": [SMALL, LARGE]}))
    _add_devices(project, 50, "low")
    assert project.apply().code == 0
    project.plane.tick(120)
    assert _deployment(project)["status"] == "completed"
    assert _deployment(project)["model_variant_id"] == _variant(project) == "small"
    assert _plan(project) == ([], [])

    _add_devices(project, 450, "high")
    assert _plan(project) == ([], ["small → large"])
    assert "search/chat@production  small → large" in project.plan().stdout
    project.log()
    assert project.apply().code == 0
    assert project.writes() == []

    _declare(project, optimize="auto")
    assert _plan(project) == (["optimize app/search/capability/chat@production"], [])
    assert project.writes() == []
    assert project.apply().code == 0
    assert project.writes() == [OPTIMIZE]

    for percentage in range(10, 100, 10):
        deployment = _deployment(project)
        assert deployment["canary"] == {"percentage": percentage, "candidate_variant_id": "large"}
        assert project.apply().code == 0
        assert _plan(project) == ([], [])
        log = project.log()
        assert not {OPTIMIZE, CHECK, PUT} & set(log)
        project.plane.tick(60)
    assert _deployment(project)["status"] == "completed"
    assert _deployment(project)["model_variant_id"] == _variant(project) == "large"
    assert _plan(project) == ([], [])
    assert CHECK in project.log()

    _declare(project, policy="private", optimize="auto")
    assert _plan(project) == (["update app/search/slot/chat"], [])
    assert project.apply().code == 0
    assert project.writes() == [PUT]
    assert _slot(project)["serving_policy"]["routing_mode"] == "local_only"
    assert _variant(project) == "large"
    assert _plan(project) == ([], [])
    assert project.apply().code == 0
    assert project.writes() == []


def test_the_slot_is_not_written_while_its_canary_runs(project: Project) -> None:
    """A changed policy waits until the canary is complete; the PUT after that keeps the new variant."""
    _declare(project, optimize="auto")
    ok(project.plane.local.put("/catalog", json={"variants": [SMALL, LARGE]}))
    _add_devices(project, 50, "low")
    assert project.apply().code == 0
    _add_devices(project, 450, "high")
    assert project.apply().code == 0

    _declare(project, policy="private", optimize="auto")
    project.log()
    refused = project.apply()
    assert refused.code == 4
    assert "a canary runs: chat@production at 10% to large" in refused.stderr + refused.stdout
    assert project.writes() == []
    project.plane.tick(9 * 60)
    assert project.apply().code == 0
    assert project.writes() == [PUT]
    assert _variant(project) == "large"


def _declare(project: Project, *, policy: str = "local_first", optimize: str = "suggest") -> None:
    project.declare(text=APP.format(policy=policy, optimize=optimize))


def _add_devices(project: Project, count: int, device_class: str) -> None:
    project.plane.with_devices(count, device_class, identifier="com.acme.search")


def _plan(project: Project) -> tuple[list[str], list[str]]:
    """Return the actions of a plan, and its recommendations."""
    document = json.loads(project.plan("-o", "json").stdout)
    return (
        [f"{row['change']['actions'][0]} {row['address']}" for row in document["resource_changes"]],
        [
            f"{recommendation['current_variant']} → {recommendation['suggested_variant']}"
            for recommendation in document["recommendations"]
        ],
    )


def _deployment(project: Project) -> dict[str, Any]:
    (deployment,) = ok(project.plane.api.get("/apps/search/deployments"))["deployments"]
    found: dict[str, Any] = deployment
    return found


def _slot(project: Project) -> dict[str, Any]:
    slot: dict[str, Any] = ok(project.plane.api.get("/apps/search/slots/chat"))
    return slot


def _variant(project: Project) -> str:
    return str(_slot(project)["model_variant_id"])
