"""Live state in the format of a scenario's live.json: created on a control plane and read from it (see `scenarios`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from tests.support.embedded_planes import EmbeddedPlane, client, ok

from octosync.contract import APP

PEOPLE = {name: f"oct_test_key_of_{name}" for name in ("ana", "ben")}
KEYS_OF_LIVE = frozenset({"apps", "catalog", "by", "allowed", "require_approval", "faults"})
KEYS_OF_APP = frozenset(
    {*APP.writable, "archived", "targets", "slots", "inference_config", "deployments", "devices", "requests"}
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
    """Create the state of a live.json over the API, each object as the person that the file names."""
    set_faults(plane, live, on=False)
    with _authors(plane, live.get("by", {})) as authors:
        loader = _Loader(plane, authors)
        if "catalog" in live:
            variants = [{"id": id_, "name": id_, **_VARIANT, **fields} for id_, fields in live["catalog"].items()]
            ok(plane.local.put("/catalog", json={"variants": variants}))
        for slug, app in live["apps"].items():
            loader.create_app(slug, app)
        loader.create_deployments(live["apps"])
        for slug, app in live["apps"].items():
            loader.record_requests(slug, app)
            if app.get("archived"):
                ok(loader.as_author(f"app/{slug}").api.post(f"/apps/{slug}/archive"))


def set_faults(plane: EmbeddedPlane, live: Live, *, on: bool) -> None:
    """Set or clear the scenario's faults and the environments that need approval."""
    if "faults" in live:
        ok(plane.local.put("/faults", json={"rules": live["faults"] if on else []}))
    if "allowed" in live or "require_approval" in live:
        approval = {"require_approval": live.get("require_approval", [])} if on else {}
        ok(plane.local.put("/policy", json={**live.get("allowed", {}), **approval}))


def read(plane: EmbeddedPlane) -> Live:
    """Return the live state in the format of live.json."""
    listed = ok(plane.api.get("/apps", params={"include_archived": "true", "limit": "100"}))["apps"]
    return {"apps": {app["slug"]: _state_of(plane, app) for app in sorted(listed, key=lambda app: app["slug"])}}


@dataclass(frozen=True)
class _Authors:
    """The control plane with each person's key, and the author of each object."""

    people: Mapping[str, EmbeddedPlane]
    by: Mapping[str, str]
    ci: EmbeddedPlane

    def plane_for(self, address: str) -> EmbeddedPlane:
        return self.people[self.by[address]] if address in self.by else self.ci


@contextmanager
def _authors(plane: EmbeddedPlane, by: Mapping[str, str]) -> Iterator[_Authors]:
    with ExitStack() as stack:
        clients = {
            name: stack.enter_context(client(f"{plane.running.url}/api/v1", PEOPLE[name])) for name in set(by.values())
        }
        yield _Authors({name: replace(plane, api=api) for name, api in clients.items()}, by, plane)


@dataclass
class _Loader:
    plane: EmbeddedPlane
    authors: _Authors
    ids: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def as_author(self, address: str) -> EmbeddedPlane:
        """Return the control plane with the key of the object's author."""
        return self.authors.plane_for(address)

    def create_app(self, slug: str, app: Live) -> None:
        """Create an app with all its objects except deployments."""
        own = {"name": slug, **{name: app[name] for name in APP.writable if name in app}}
        path = self.as_author(f"app/{slug}").with_app(slug, **own)
        for target in app.get("targets", []):
            self.as_author(f"app/{slug}/target/{target}").with_target(path, *_platform_and_identifier(target))
        for capability, fields in app.get("slots", {}).items():
            self.as_author(f"app/{slug}/slot/{capability}").with_slot(path, capability, **fields)
        if "inference_config" in app:
            api = self.as_author(f"app/{slug}/inference-config").api
            ok(api.put(f"{path}/inference-config", json=app["inference_config"]))
        for target, classes in app.get("devices", {}).items():
            platform, identifier = _platform_and_identifier(target)
            for device_class, count in classes.items():
                self.plane.with_devices(count, device_class, platform, identifier=identifier)

    def record_requests(self, slug: str, app: Live) -> None:
        """Record served requests of an app's deployments."""
        for capability, routes in app.get("requests", {}).items():
            for route, count in routes.items():
                recorded = {"app_slug": slug, "capability": capability, "route": route, "count": count}
                ok(self.plane.local.post("/requests", json=recorded))

    def create_deployments(self, apps: Mapping[str, Live]) -> None:
        """Create the deployments: those with a canary first, because server time advances for them."""
        deployments = [(slug, deployment) for slug, app in apps.items() for deployment in app.get("deployments", [])]
        for slug, deployment in deployments:
            if "canary" in deployment:
                self._enable(slug, apps[slug], deployment)
        reached = None
        for slug, deployment in sorted(deployments, key=lambda pair: -_percentage(pair[1])):
            if "canary" in deployment:
                self._run_canaries(reached, _percentage(deployment))
                reached = _percentage(deployment)
                self._optimize(slug, deployment)
        self._run_canaries(reached, _STEP)
        for slug, deployment in deployments:
            if "canary" not in deployment:
                self._enable(slug, apps[slug], deployment)
        for slug, deployment in deployments:
            self._set_status(slug, deployment)
        for slug, deployment in deployments:
            capability = deployment["capability"]
            fields = apps[slug]["slots"].get(capability, {})
            if "model_variant_id" in fields:
                self.as_author(f"app/{slug}/slot/{capability}").with_slot(f"/apps/{slug}", capability, **fields)

    def _optimize(self, slug: str, deployment: Live) -> None:
        capability, environment = deployment["capability"], deployment["environment"]
        api = self.as_author(f"app/{slug}/capability/{capability}@{environment}").api
        started = ok(api.post(f"/apps/{slug}/capabilities/{capability}/optimize", json={"environment": environment}))
        assert started["canary"]["candidate_variant_id"] == deployment["canary"]["candidate_variant_id"]

    def _set_status(self, slug: str, deployment: Live) -> None:
        status = deployment.get("status", "started")
        if status != ("active" if "canary" in deployment else "started"):
            id_ = self.ids[slug, deployment["capability"], deployment["environment"]]
            ok(self.plane.local.post(f"/deployments/{id_}", json={"status": status}))

    def _enable(self, slug: str, app: Live, deployment: Live) -> None:
        capability, environment = deployment["capability"], deployment["environment"]
        if "model_variant_id" in deployment:
            fields = {**app["slots"][capability], "model_variant_id": deployment["model_variant_id"]}
            self.as_author(f"app/{slug}/slot/{capability}").with_slot(f"/apps/{slug}", capability, **fields)
        api = self.as_author(f"app/{slug}/capability/{capability}@{environment}").api
        answer = ok(api.post(f"/apps/{slug}/capabilities/{capability}/enable", json={"environment": environment}), 201)
        self.ids[slug, capability, environment] = answer["id"]

    def _run_canaries(self, reached: int | None, percentage: int) -> None:
        """Advance the running canaries until they are as far ahead of the next one as live.json states."""
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
        **_state_fields(app),
        "targets": sorted(names.values()),
        "slots": {slot["capability"]: _state_fields(slot) for slot in sorted(slots, key=lambda s: s["capability"])},
        **({"inference_config": config.json()} if config.status_code == 200 else {}),
        **({"deployments": list(_deployments(deployments, names))} if deployments else {}),
    }


def _deployments(deployments: Iterable[Live], names: Mapping[str, str]) -> Iterator[Live]:
    for deployment in sorted(deployments, key=lambda item: (item["capability"], item["environment"])):
        yield {
            "capability": deployment["capability"],
            **{name: value for name, value in _state_fields(deployment).items() if name != "app_target_ids"},
            "targets": sorted(names[id_] for id_ in deployment["app_target_ids"]),
        }


def _state_fields(answer: Mapping[str, Any]) -> Live:
    return {name: value for name, value in answer.items() if name not in _NOT_STATE and value is not None}
