"""The wire models of responses, with additional or missing fields."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from octosync.contract import DEPLOYED_STATUSES_NOT_LIVE
from octosync.contract.responses import (
    Wire,
    WireActor,
    WireApp,
    WireAssignment,
    WireBootstrapResult,
    WireCanary,
    WireCoverage,
    WireDeployment,
    WireEvent,
    WireFirstRequest,
    WireHealth,
    WireOptimizationCheck,
    WirePreview,
    WireResource,
    WireRoutingDecision,
    WireRoutingStats,
    WireSlot,
    WireTarget,
    WireVariant,
)

# Each model with its minimal valid response.
LEAST: list[tuple[type[Wire], dict[str, Any]]] = [
    (WireApp, {"slug": "demo"}),
    (WireTarget, {"id": "t1", "platform": "ios", "identifier": "com.example"}),
    (WireBootstrapResult, {"app_key": "oct_app_1"}),
    (WireSlot, {"capability": "chat"}),
    (WireVariant, {"id": "v1"}),
    (WireAssignment, {}),
    (WirePreview, {}),
    (WireOptimizationCheck, {"available": False}),
    (WireCanary, {}),
    (WireDeployment, {"id": "d1", "status": "active"}),
    (WireResource, {}),
    (WireActor, {}),
    (WireEvent, {"id": "e1"}),
    (WireCoverage, {"capability": "chat", "status": "covered"}),
    (WireHealth, {"status": "covered"}),
    (WireRoutingStats, {"total_requests": 0}),
    (WireRoutingDecision, {"id": "r1"}),
    (WireFirstRequest, {"received": False}),
]
of_each = pytest.mark.parametrize(("model", "least"), LEAST, ids=lambda value: getattr(value, "__name__", ""))


def test_every_model_is_tested() -> None:
    """The tests below cover every wire model."""
    assert {model for model, _ in LEAST} == set(Wire.__subclasses__())


@of_each
def test_unknown_fields_are_kept(model: type[Wire], least: dict[str, Any]) -> None:
    """An additional field of a newer control plane is never an error, and is kept."""
    read = model.model_validate({**least, "novel": {"deep": [1]}})
    assert read.model_dump()["novel"] == {"deep": [1]}


@of_each
def test_missing_and_null_optional_fields_are_equal(model: type[Wire], least: dict[str, Any]) -> None:
    """An optional field that is missing or null is never an error, and both have the same result."""
    nulls = {name: None for name, field in model.model_fields.items() if not field.is_required()}
    assert model.model_validate({**least, **nulls}) == model.model_validate(least)


@of_each
def test_required_fields_are_required(model: type[Wire], least: dict[str, Any]) -> None:
    """A required field that is missing or null is an error that names it, and so is a response that is not an object."""
    for name in least:
        for answer in ({key: value for key, value in least.items() if key != name}, {**least, name: None}):
            with pytest.raises(ValidationError, match=name):
                model.model_validate(answer)
    with pytest.raises(ValidationError):
        model.model_validate([least])


@pytest.mark.parametrize("policy", ["local_first", {"routing_mode": "auto", "novel": 1}, "turbo", None])
def test_a_policy_may_be_a_name_or_an_object(policy: object) -> None:
    """A server may return either form, and unknown values are kept."""
    assert WireSlot.model_validate({"capability": "chat", "serving_policy": policy}).serving_policy == policy


@pytest.mark.parametrize(
    ("status", "live"),
    [
        ("started", True),
        ("active", True),
        ("paused", True),
        ("completed", True),
        ("rolled_back", False),
        ("novel", True),
    ],
)
def test_a_deployment_is_live_unless_it_was_rolled_back(status: str, live: bool) -> None:
    """An unknown status is neither success nor failure, and counts as live."""
    assert WireDeployment.model_validate({"id": "d", "status": status}).is_live is live
    assert (status not in DEPLOYED_STATUSES_NOT_LIVE) is live


@pytest.mark.parametrize(
    ("status", "canary", "running"),
    [
        ("active", {"percentage": 10}, True),
        ("novel", {}, True),
        ("active", None, False),
        ("completed", {"percentage": 100}, False),
        ("rolled_back", {"percentage": 40}, False),
    ],
)
def test_a_canary_is_running_until_it_is_decided(status: str, canary: object, running: bool) -> None:
    """A canary runs until its deployment is completed or rolled back."""
    deployment = WireDeployment.model_validate({"id": "d", "status": status, "canary": canary})
    assert deployment.has_running_canary is running
