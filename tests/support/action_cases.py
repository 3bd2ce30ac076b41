"""One small case for each kind of action: live state, declared state, and a concurrent change by a teammate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support.plane import Plane
from tests.support.states import desired_app

from octosync.model import App, Deploy, Optimize

A = "/apps/a"
AUTO = Deploy(environments=("production",), optimize=Optimize.AUTO)


@dataclass(frozen=True)
class Case:
    """`prepare` creates the live state, `desired` needs exactly one action, and `write` is its request.

    `interfere` is a teammate's change to the same object.
    """

    operation: str
    prepare: Callable[[Plane], Any]
    desired: App
    write: str
    interfere: Callable[[Plane], Any]


def _put_slot(plane: Plane, **fields: Any) -> None:
    plane.send("PUT", f"{A}/slots/chat", {"serving_policy": "local_first", "bindings": [], **fields})


def _register_anew(plane: Plane) -> None:
    (target,) = plane.send("GET", f"{A}/targets")["targets"]
    plane.send("DELETE", f"{A}/targets/{target['id']}")
    plane.send("POST", f"{A}/targets", {"platform": "ios", "identifier": "com.a"})


def _deployed(plane: Plane) -> None:
    """Deploy a variant, then add a better one to the catalog."""
    plane.app("a", "chat", target="com.a")
    plane.catalog(good=1)
    plane.deploy("a")
    plane.catalog(good=1, better=1.2)


def _roll_back(plane: Plane) -> None:
    """Roll back the deployment; without one, deploy first."""
    deployments = plane.send("GET", f"{A}/deployments")["deployments"]
    (id_,) = [deployment["id"] for deployment in deployments] or [plane.deploy("a")]
    plane.local("POST", f"/deployments/{id_}", {"status": "rolled_back"})


CASES = {
    "create app": Case(
        "apps.create",
        lambda _: None,
        desired_app("a", fields={"name": "Ours"}),
        "POST /api/v1/apps",
        lambda plane: plane.send("POST", "/apps", {"slug": "a", "name": "Theirs"}),
    ),
    "update app": Case(
        "apps.update",
        lambda plane: plane.app("a"),
        desired_app("a", fields={"name": "Ours"}),
        "PATCH /api/v1/apps/a",
        lambda plane: plane.send("PATCH", A, {"description": "theirs"}),
    ),
    "archive app": Case(
        "apps.archive",
        lambda plane: plane.app("a"),
        desired_app("a", archived=True),
        "POST /api/v1/apps/a/archive",
        lambda plane: plane.send("PATCH", A, {"name": "Theirs"}),
    ),
    "register target": Case(
        "apps.create_target",
        lambda plane: plane.app("a"),
        desired_app("a", targets=["ios:com.a"]),
        "POST /api/v1/apps/a/targets",
        lambda plane: plane.app("theirs", target="com.a"),
    ),
    "remove target": Case(
        "apps.delete_target",
        lambda plane: plane.app("a", target="com.a"),
        desired_app("a", targets=[]),
        "DELETE /api/v1/apps/a/targets/",
        _register_anew,
    ),
    "put new slot": Case(
        "apps.put_slot",
        lambda plane: plane.app("a"),
        desired_app("a", slots={"chat": {"serving_policy": "local_only"}}),
        "PUT /api/v1/apps/a/slots/chat",
        lambda plane: _put_slot(plane, serving_policy="cloud_first"),
    ),
    "put live slot": Case(
        "apps.put_slot",
        lambda plane: plane.app("a", "chat"),
        desired_app("a", slots={"chat": {"serving_policy": "local_only"}}),
        "PUT /api/v1/apps/a/slots/chat",
        lambda plane: _put_slot(plane, preferred_engines=["mlx"]),
    ),
    "delete slot": Case(
        "apps.delete_slot",
        lambda plane: plane.app("a", "chat"),
        desired_app("a", slots={}),
        "DELETE /api/v1/apps/a/slots/chat",
        lambda plane: _put_slot(plane, public_client_allowed=True),
    ),
    "put new config": Case(
        "apps.put_inference_config",
        lambda plane: plane.app("a"),
        desired_app("a", config={"model": "ours"}),
        "PUT /api/v1/apps/a/inference-config",
        lambda plane: plane.send("PUT", f"{A}/inference-config", {"model": "theirs"}),
    ),
    "put live config": Case(
        "apps.put_inference_config",
        lambda plane: plane.app("a", config={"model": "before"}),
        desired_app("a", config={"model": "ours"}),
        "PUT /api/v1/apps/a/inference-config",
        lambda plane: plane.send("PUT", f"{A}/inference-config", {"model": "theirs"}),
    ),
    "delete config": Case(
        "apps.delete_inference_config",
        lambda plane: plane.app("a", config={"model": "before"}),
        desired_app("a", config=None),
        "DELETE /api/v1/apps/a/inference-config",
        lambda plane: plane.send("PUT", f"{A}/inference-config", {"model": "theirs"}),
    ),
    "enable capability": Case(
        "apps.capabilities.enable",
        lambda plane: plane.app("a", "chat", target="com.a"),
        desired_app("a", slots={"chat": {}}, deploy={"chat": "production"}),
        "POST /api/v1/apps/a/capabilities/chat/enable",
        _roll_back,
    ),
    "optimize capability": Case(
        "apps.capabilities.optimize",
        _deployed,
        desired_app("a", slots={"chat": {}}, deploy={"chat": AUTO}),
        "POST /api/v1/apps/a/capabilities/chat/optimize",
        _roll_back,
    ),
}

# A registration and a creation replace nothing: the control plane answers 409 if a teammate was faster.
OVERWRITING = {name: case for name, case in CASES.items() if name not in {"create app", "register target"}}


def populate(plane: Plane) -> list[App]:
    """Fill a control plane, and return declarations that need every kind of action, including moves and a swap."""
    plane.app("busy", "chat", "vision", target="com.busy", config={"model": "@app/busy/vision"})
    plane.app("left", target="com.left")
    plane.app("old", "chat", target="com.old", config={"model": "old"})
    plane.app("right", target="com.right")
    plane.app("grown", "chat", target="com.grown")
    plane.catalog(good=1)
    plane.deploy("grown")
    plane.catalog(good=1, better=1.2)
    return [
        desired_app(
            "busy",
            fields={"name": "Busier", "description": "More"},
            targets=["macos:com.busy"],
            slots={"chat": {"serving_policy": "local_only"}, "tts": {"preferred_engines": ["coreml"]}},
            config={"model": "@app/fresh/chat"},
        ),
        desired_app(
            "fresh",
            fields={"name": "Fresh"},
            targets=["ios:com.fresh", "ios:com.old"],
            slots={"chat": {"public_client_allowed": True}, "embedding": {}},
            config={"model": "@app/fresh/chat"},
            deploy={"chat": "production"},
        ),
        desired_app("grown", slots={"chat": {}}, deploy={"chat": AUTO}),
        desired_app("left", targets=["ios:com.right"]),
        desired_app("old", fields={"name": "Old, was"}, targets=[], slots={}, config=None, archived=True),
        desired_app("right", targets=["ios:com.left"]),
    ]
