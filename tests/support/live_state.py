"""Live state as a scenario's file holds it, put onto a control plane and read from it; `scenarios` has the format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from tests.support.embedded_planes import EmbeddedPlane, client, ok

PEOPLE = {name: f"oct_test_key_of_{name}" for name in ("ana", "ben")}
KEYS_OF_LIVE = frozenset({"apps", "catalog", "by", "allowed", "require_approval", "faults"})
KEYS_OF_APP = frozenset(
    {"name", "description", "archived", "targets", "slots", "inference_config", "deployments", "devices", "requests"}
)

Live = dict[str, Any]

_VARIANT = {
    "capability": "chat",
    "platforms": ["android", "browser", "ios", "linux", "macos", "windows"],
    "min_device_class": "low",
    "size_bytes": 1_000_000,
    "latency": 1,
    "quality": 1,
}
_NOT_STATE = frozenset({"id", "app_id", "org_id", "slug", "capability", "created_at", "updated_at", "archived_at"})
_STEP, _STEP_SECONDS = 10, 60.0  # of a canary


def load(plane: EmbeddedPlane, live: Live) -> None:
    """Bring about what a live.json states, over the API and as whom it states."""
    set_faults(plane, live, on=False)
    with _hands(plane, live.get("by", {})) as hands:
        loading = _Loading(plane, hands)
        if "catalog" in live:
            variants = [{"id": id_, "name": id_, **_VARIANT, **fields} for id_, fields in live["catalog"].items()]
            ok(plane.local.put("/catalog", json={"variants": variants}))
        for slug, app in live["apps"].items():
            loading.app(slug, app)
        loading.deploy(live["apps"])
        for slug, app in live["apps"].items():
            loading.route(slug, app)
            if app.get("archived"):
                ok(loading.by(f"app/{slug}").api.post(f"/apps/{slug}/archive"))


def set_faults(plane: EmbeddedPlane, live: Live, *, on: bool) -> None:
    """Put in force what goes wrong and where a person is asked, or end it."""
    if "faults" in live:
        ok(plane.local.put("/faults", json={"rules": live["faults"] if on else []}))
    if "allowed" in live or "require_approval" in live:
        asked = {"require_approval": live.get("require_approval", [])} if on else {}
        ok(plane.local.put("/policy", json={**live.get("allowed", {}), **asked}))


def read(plane: EmbeddedPlane) -> Live:
    """Return what is live, in live.json's format."""
    listed = ok(plane.api.get("/apps", params={"include_archived": "true", "limit": "100"}))["apps"]
    return {"apps": {app["slug"]: _state_of(plane, app) for app in sorted(listed, key=lambda app: app["slug"])}}


@dataclass(frozen=True)
class _Hands:
    """The control plane as each person uses it, and who wrote which object."""

    people: Mapping[str, EmbeddedPlane]
    by: Mapping[str, str]
    ci: EmbeddedPlane

    def of(self, address: str) -> EmbeddedPlane:
        return self.people[self.by[address]] if address in self.by else self.ci


@contextmanager
def _hands(plane: EmbeddedPlane, by: Mapping[str, str]) -> Iterator[_Hands]:
    with ExitStack() as stack:
        clients = {
            name: stack.enter_context(client(f"{plane.running.url}/api/v1", PEOPLE[name])) for name in set(by.values())
        }
        yield _Hands({name: replace(plane, api=api) for name, api in clients.items()}, by, plane)


@dataclass
class _Loading:
    plane: EmbeddedPlane
    hands: _Hands
    ids: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def by(self, address: str) -> EmbeddedPlane:
        """Return the control plane as whoever wrote this object uses it."""
        return self.hands.of(address)

    def app(self, slug: str, app: Live) -> None:
        """Create an app with what it holds, deployments excepted."""
        described = {"description": app["description"]} if "description" in app else {}
        path = self.by(f"app/{slug}").with_app(slug, name=app.get("name", slug), **described)
        for target in app.get("targets", []):
            self.by(f"app/{slug}/target/{target}").with_target(path, *_platform_and_identifier(target))
        for capability, fields in app.get("slots", {}).items():
            self.by(f"app/{slug}/slot/{capability}").with_slot(path, capability, **fields)
        if "inference_config" in app:
            api = self.by(f"app/{slug}/inference-config").api
            ok(api.put(f"{path}/inference-config", json=app["inference_config"]))
        for target, classes in app.get("devices", {}).items():
            platform, identifier = _platform_and_identifier(target)
            for device_class, count in classes.items():
                self.plane.with_devices(count, device_class, platform, identifier=identifier)

    def route(self, slug: str, app: Live) -> None:
        """Let requests of an app have been served, by what is deployed."""
        for capability, routes in app.get("requests", {}).items():
            for route, count in routes.items():
                recorded = {"app_slug": slug, "capability": capability, "route": route, "count": count}
                ok(self.plane.local.post("/requests", json=recorded))

    def deploy(self, apps: Mapping[str, Live]) -> None:
        """Deploy what is deployed: canaries first, since server time has to go on for them."""
        every = [(slug, one) for slug, app in apps.items() for one in app.get("deployments", [])]
        for slug, one in every:
            if "canary" in one:
                self._enable(slug, apps[slug], one)
        reached = None
        for slug, one in sorted(every, key=lambda pair: -_percentage(pair[1])):
            if "canary" in one:
                self._run_canaries(reached, _percentage(one))
                reached = _percentage(one)
                self._optimize(slug, one)
        self._run_canaries(reached, _STEP)
        for slug, one in every:
            if "canary" not in one:
                self._enable(slug, apps[slug], one)
        for slug, one in every:
            self._set_status(slug, one)
        for slug, one in every:
            fields = apps[slug]["slots"].get(one["capability"], {})
            if "model_variant_id" in fields:
                self.by(f"app/{slug}/slot/{one['capability']}").with_slot(f"/apps/{slug}", one["capability"], **fields)

    def _optimize(self, slug: str, deployment: Live) -> None:
        capability, environment = deployment["capability"], deployment["environment"]
        api = self.by(f"app/{slug}/capability/{capability}@{environment}").api
        started = ok(api.post(f"/apps/{slug}/capabilities/{capability}/optimize", json={"environment": environment}))
        assert started["canary"]["candidate_variant_id"] == deployment["canary"]["candidate_variant_id"]

    def _set_status(self, slug: str, deployment: Live) -> None:
        status = deployment.get("status", "started")
        if status != ("active" if "canary" in deployment else "started"):
            id_ = self.ids[slug, deployment["capability"], deployment["environment"]]
            ok(self.plane.local.post(f"/deployments/{id_}", json={"status": status}))

    def _enable(self, slug: str, app: Live, one: Live) -> None:
        capability, environment = one["capability"], one["environment"]
        if "model_variant_id" in one:
            fields = {**app["slots"][capability], "model_variant_id": one["model_variant_id"]}
            self.by(f"app/{slug}/slot/{capability}").with_slot(f"/apps/{slug}", capability, **fields)
        api = self.by(f"app/{slug}/capability/{capability}@{environment}").api
        answer = ok(api.post(f"/apps/{slug}/capabilities/{capability}/enable", json={"environment": environment}), 201)
        self.ids[slug, capability, environment] = answer["id"]

    def _run_canaries(self, reached: int | None, percentage: int) -> None:
        """Let those that run get ahead of one that starts now, by as much as they are to be ahead of it."""
        if reached is not None and reached > percentage:
            self.plane.tick((reached - percentage) / _STEP * _STEP_SECONDS)


def _percentage(deployment: Live) -> int:
    return int(deployment.get("canary", {}).get("percentage", _STEP))


def _platform_and_identifier(target: str) -> Sequence[str]:
    platform, _, identifier = target.partition(":")
    return platform, identifier


def _state_of(plane: EmbeddedPlane, app: Mapping[str, Any]) -> Live:
    path = f"/apps/{app['slug']}"
    targets = ok(plane.api.get(f"{path}/targets"))["targets"]
    slots = ok(plane.api.get(f"{path}/slots"))["slots"]
    config = plane.api.get(f"{path}/inference-config")
    deployments = ok(plane.api.get(f"{path}/deployments", params={"limit": "100"}))["deployments"]
    names = {target["id"]: f"{target['platform']}:{target['identifier']}" for target in targets}
    return {
        **_stated(app),
        "targets": sorted(names.values()),
        "slots": {slot["capability"]: _stated(slot) for slot in sorted(slots, key=lambda s: s["capability"])},
        **({"inference_config": config.json()} if config.status_code == 200 else {}),
        **({"deployments": list(_deployments(deployments, names))} if deployments else {}),
    }


def _deployments(deployments: Iterable[Live], names: Mapping[str, str]) -> Iterator[Live]:
    for one in sorted(deployments, key=lambda one: (one["capability"], one["environment"])):
        yield {
            "capability": one["capability"],
            **{name: value for name, value in _stated(one).items() if name != "app_target_ids"},
            "targets": sorted(names[id_] for id_ in one["app_target_ids"]),
        }


def _stated(answer: Mapping[str, Any]) -> Live:
    return {name: value for name, value in answer.items() if name not in _NOT_STATE and value is not None}
