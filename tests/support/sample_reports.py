"""Sample reports: plans that the planner makes from desired and live state, and facts about their run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from tests.support.states import child_app, desired_app, live_app, observation, plan_of

from octosync.contract import Contract
from octosync.errors import ErrorResponse, ExitCode, Forbidden
from octosync.model import JsonObject, Origin, Outcome, Sensitivity
from octosync.plan import ControlPlane, GitRevision, Invocation, ManifestSet, Plan, RunInfo, plan_document
from octosync.report import ApplyReport, PlanReport

VERSION = "0.1.0"
SECRET = "hunter2-correct-horse"
SENSITIVITY = Sensitivity()


def run_info(**more: Any) -> RunInfo:
    """Return facts about a run on production."""
    facts: dict[str, Any] = {
        "octosync_version": VERSION,
        "timestamp": datetime(2030, 1, 1, 12, 30, 15, 999, tzinfo=UTC),
        "control_plane": ControlPlane(url="https://api.octomil.com/api/v1", org_id="8f1c", context="production"),
        "invocation": Invocation(paths=("apps/",)),
        "manifests": ManifestSet(
            compute_digest=lambda: "sha256:" + "ab" * 32, files=14, apps=41, git=GitRevision(revision="3f9d2c1")
        ),
    }
    return RunInfo(**{**facts, **more})


def document_of(plan: Plan, **more: Any) -> JsonObject:
    """Return a plan's document with these facts."""
    facts: dict[str, Any] = {"about": run_info(), "contract": Contract(), "sensitivity": SENSITIVITY}
    document = plan_document(plan, **{**facts, **more})
    return {**document, "resource_changes": [*document["resource_changes"].as_json()]}


def plan_report(plan: Plan, **more: Any) -> PlanReport:
    """Return the report of a plan with these facts."""
    return PlanReport(plan=plan, **{"about": run_info(), "sensitivity": SENSITIVITY, "version": VERSION, **more})


def apply_report(plan: Plan, outcomes: Sequence[Outcome] = (), **more: Any) -> ApplyReport:
    """Return the report of an apply; by default the writes have the exit code of the run."""
    code = more.get("exit_code", ExitCode.DONE)
    facts = {"about": run_info(), "sensitivity": SENSITIVITY, "version": VERSION, "write_code": code, **more}
    return ApplyReport(plan=plan, outcomes=outcomes, **facts)


def mixed_plan() -> Plan:
    """Return a plan with nearly every kind of change: create, update, remove, move, archive, sensitive values, no change."""
    return plan_of(
        [
            desired_app(
                "canary-demo",
                fields={"name": "Canary demo"},
                targets=["ios:com.octomil.canary-demo", "macos:com.octomil.checkout"],
                slots={
                    "chat": {"serving_policy": "local_only", "preferred_engines": ["coreml", "mlx"]},
                    "vision": {},
                },
                config={"model": "@app/canary-demo/chat", "api_key": SECRET, "parameters": {"temperature": 0.2}},
                labels={"team": "assistants", "deploy-token": SECRET},
                origin=Origin("apps/demo.yaml", 4, 3),
            ),
            desired_app("checkout", targets=[], slots={}, origin=Origin("apps/checkout.yaml", 1, 1)),
            desired_app(
                "fresh",
                fields={"name": "Fresh", "description": "New here"},
                slots={"tts": {"public_client_allowed": True, "bindings": [{"binding_key": "b", "token": SECRET}]}},
                config={"parameters": {"max_tokens": 512}},
                origin=Origin("apps/fresh.yaml", 2, 1),
            ),
            desired_app("goes", archived=True, origin=Origin("apps/old.yaml", 1, 1)),
            child_app("same", slots={"chat": {"serving_policy": "local_first"}}),
        ],
        observation(
            live_app(
                "canary-demo",
                targets=["macos:com.octomil.old"],
                slots={
                    "chat": {"serving_policy": "local_first", "preferred_engines": ["mlx"], "x_note": "kept"},
                    "vision": {},
                },
                config={"model": "@app/canary-demo/chat", "api_key": "old-" + SECRET, "parameters": {}},
            ),
            live_app("checkout", targets=["macos:com.octomil.checkout"], slots={"chat": {"model_variant_id": "phi-4"}}),
            live_app("goes", targets=["ios:com.octomil.goes"]),
            live_app("same", slots={"chat": {}}),
            unmanaged=("one", "two"),
            requests=14,
        ),
    )


def steady_plan(**more: Any) -> Plan:
    """Return a plan of two apps without changes."""
    app = desired_app("steady", targets=["ios:com.octomil.steady"], slots={"chat": {}}, config=None)
    live = live_app("steady", targets=["ios:com.octomil.steady"], slots={"chat": {}})
    return plan_of([app, desired_app("other")], observation(live, live_app("other"), requests=8, **more))


def errored_plan() -> Plan:
    """Return a plan of three apps: one could not be read, one is suspended, one is created."""
    refused = Forbidden(
        "forbidden",
        "GET /apps/closed/slots: the key may not read slots (403 insufficient_scope)",
        hints=("Give the key the scope apps:read.",),
        operation="apps.list_slots",
        response=ErrorResponse(status=403, request_id="req_77c0"),
    )
    return plan_of(
        [desired_app("closed", slots={}), desired_app("incident", targets=[], suspended=True), desired_app("new")],
        observation(
            live_app("incident", targets=["ios:com.octomil.incident", "tvos:com.octomil.incident"]),
            errors={"closed": refused},
            requests=5,
        ),
    )
