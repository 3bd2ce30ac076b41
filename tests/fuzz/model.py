"""The expected live state: a model of an org and of the effect of manifests, written without octosync's code."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Final

from hypothesis import strategies as st
from tests.fuzz.documents import CANARY, Draw

SLUGS: Final = ("a", "b", "c", "d", "e")
IDENTIFIERS: Final = tuple(f"com.acme.t{number}" for number in range(7))
PINNED: Final = "pinned"
CHOSEN: Final = "chosen"
CATALOG: Final = [
    {
        "id": name,
        "name": name,
        "capability": "chat",
        "platforms": ["ios"],
        "min_device_class": "low",
        "size_bytes": 1,
        "latency": 1,
        "quality": quality,
    }
    for name, quality in ((PINNED, 1), (CHOSEN, 2))
]
CAPABILITIES: Final = ("chat", "tts", "vision")
_AUTO: Final = {"allow_cloud_fallback": True, "allow_local_fallback": True}
POLICIES: Final[Mapping[str, dict[str, Any]]] = {
    "local_first": {"routing_mode": "auto", "routing_preference": "local", "fallback": _AUTO},
    "cloud_first": {"routing_mode": "auto", "routing_preference": "cloud", "fallback": _AUTO},
    "private": {
        "routing_mode": "local_only",
        "fallback": {"allow_cloud_fallback": False, "allow_local_fallback": True},
    },
}
_DEFAULT_SLOT: Final = {
    "serving_policy": POLICIES["local_first"], "bindings": [], "preferred_engines": [], "public_client_allowed": False,
    "model_variant_id": None,
}  # fmt: skip
_WIRE_NAMES: Final = {
    "servingPolicy": "serving_policy", "preferredEngines": "preferred_engines", "bindings": "bindings",
    "variant": "model_variant_id",    "publicClientAllowed": "public_client_allowed",
}  # fmt: skip


@dataclass
class AppModel:
    """A live app. All its targets are on ios, all its deployments in production."""

    name: str
    description: str | None = None
    archived: bool = False
    targets: set[str] = field(default_factory=set)
    slots: dict[str, dict[str, Any]] = field(default_factory=dict)
    config: Any = None
    deployed: set[str] = field(default_factory=set)


Org = dict[str, AppModel]
Spec = dict[str, Any]  # the spec of a manifest


def expected(live: Org, manifests: Mapping[str, Spec]) -> Org:
    """Return the live state after the manifests are applied. Nothing that they don't declare changes."""
    org = deepcopy(live)
    for slug, spec in manifests.items():
        archives = spec.get("archived", False)
        if archives and (slug not in org or org[slug].archived):
            continue
        app = org.setdefault(slug, AppModel(name=spec.get("name", slug)))
        app.name = spec.get("name", app.name)
        app.description = spec.get("description", app.description)
        if "targets" in spec:
            app.targets = {target["identifier"] for target in spec["targets"]}
        if "slots" in spec:
            app.slots = {slot["capability"]: _slot(app.slots.get(slot["capability"]), slot) for slot in spec["slots"]}
            app.deployed |= {slot["capability"] for slot in spec["slots"] if "deploy" in slot}
        if "inferenceConfig" in spec:
            app.config = spec["inferenceConfig"]
        app.archived = archives
    return org


def _slot(live: dict[str, Any] | None, declared: dict[str, Any]) -> dict[str, Any]:
    slot = {**(_DEFAULT_SLOT if live is None else live)}
    for name, wire in _WIRE_NAMES.items():
        if name in declared:
            slot[wire] = POLICIES[declared[name]] if name == "servingPolicy" else declared[name]
    return slot


def read(connection: sqlite3.Connection) -> Org:
    """Read the live state from the control plane's tables."""
    org: Org = {}
    slugs: dict[str, str] = {}
    for id_, slug, name, description, archived in connection.execute(
        "SELECT id, slug, name, description, archived_at FROM apps"
    ).fetchall():
        org[slug] = AppModel(name, description, archived is not None)
        slugs[id_] = slug
    for id_, identifier in connection.execute("SELECT app_id, identifier FROM targets").fetchall():
        org[slugs[id_]].targets.add(identifier)
    columns = "app_id, capability, serving_policy, bindings, preferred_engines, public_client_allowed, model_variant_id, extra"
    for id_, capability, policy, bindings, engines, public, variant, extra in connection.execute(
        f"SELECT {columns} FROM slots"  # noqa: S608 — a constant
    ).fetchall():
        org[slugs[id_]].slots[capability] = {
            "serving_policy": json.loads(policy), "bindings": json.loads(bindings), "preferred_engines": json.loads(engines),
            "public_client_allowed": bool(public), "model_variant_id": variant, **json.loads(extra),
        }  # fmt: skip
    for id_, config in connection.execute("SELECT app_id, config FROM inference_configs").fetchall():
        org[slugs[id_]].config = json.loads(config)
    for id_, capability in connection.execute("SELECT app_id, capability FROM deployments").fetchall():
        org[slugs[id_]].deployed.add(capability)
    return org


def object_at(org: Org, address: str) -> Any:
    """Return the live object at an address in a comparable form; None if it does not exist."""
    _, slug, *rest = address.split("/", 3)
    app = org.get(slug)
    if app is None:
        return None
    match rest:
        case []:
            return (app.name, app.description, app.archived)
        case ["target", key]:
            return key.partition(":")[2] in app.targets or None
        case ["slot", capability]:
            return comparable_slot(app, capability)
        case ["capability", key]:
            return key.partition("@")[0] in app.deployed or None
        case _:
            return json.dumps(app.config, sort_keys=True) if app.config is not None else None


def comparable_slot(app: AppModel, capability: str) -> str | None:
    """Return a slot as text: bindings have no order, and a variant that the control plane chose is not declared."""
    if capability not in app.slots:
        return None
    slot = dict(app.slots[capability])
    slot["bindings"] = sorted(json.dumps(binding, sort_keys=True) for binding in slot["bindings"])
    if slot["model_variant_id"] == CHOSEN:
        slot["model_variant_id"] = None
    return json.dumps(slot, sort_keys=True)


def differences(found: Org, wanted: Org) -> list[str]:
    """Return the addresses at which two orgs differ, each with both values."""
    addresses = {address for org in (found, wanted) for slug, app in org.items() for address in _addresses(slug, app)}
    return [
        f"{address}: {object_at(found, address)!r}, not {object_at(wanted, address)!r}"
        for address in sorted(addresses)
        if object_at(found, address) != object_at(wanted, address)
    ]


def _addresses(slug: str, app: AppModel) -> list[str]:
    return [
        f"app/{slug}", f"app/{slug}/inference-config", *(f"app/{slug}/target/ios:{name}" for name in app.targets),
        *(f"app/{slug}/slot/{name}" for name in app.slots),
        *(f"app/{slug}/capability/{name}@production" for name in app.deployed),
    ]  # fmt: skip


def draw_org(draw: Draw) -> Org:
    """Draw a live org. There are few targets, so that they move, swap and rotate."""
    org = {slug: _draw_app(draw) for slug in SLUGS if draw(st.integers(0, 3))}
    for identifier in IDENTIFIERS:
        if org and draw(st.integers(0, 3)):
            org[draw(st.sampled_from(sorted(org)))].targets.add(identifier)
    return org


def _draw_app(draw: Draw) -> AppModel:
    return AppModel(
        name=draw(st.sampled_from("nm")),
        description=draw(st.sampled_from((None, "d"))),
        archived=draw(st.integers(0, 9)) == 0,
        slots={
            capability: {**_DEFAULT_SLOT, **_draw_slot(draw), "quota": draw(st.sampled_from((1, 2)))}
            for capability in CAPABILITIES
            if draw(st.booleans())
        },
        config=_draw_config(draw),
    )


def _draw_slot(draw: Draw) -> dict[str, Any]:
    bindings = [
        {"binding_key": key, "api_key": CANARY + draw(st.sampled_from("xy"))} for key in "kl" if draw(st.booleans())
    ]
    return {
        "serving_policy": POLICIES[draw(st.sampled_from(sorted(POLICIES)))],
        "bindings": bindings,
        "preferred_engines": draw(st.sampled_from(([], ["mlx"], ["mlx", "coreml"]))),
        "public_client_allowed": draw(st.booleans()),
        "model_variant_id": draw(st.sampled_from((None, PINNED))),
    }


def _draw_config(draw: Draw) -> Any:
    if draw(st.booleans()):
        return None
    return {"model": draw(st.sampled_from("mn")), "access_token": CANARY + draw(st.sampled_from("xy")), "n": [None, 1]}


def draw_manifests(draw: Draw, live: Org, *, deploys: bool = True) -> dict[str, Spec]:
    """Draw manifests that can be applied in full: none of their targets is held by an app that keeps it."""
    specs = {slug: _draw_spec(draw, live.get(slug), deploys=deploys) for slug in SLUGS if draw(st.integers(0, 4))}
    takers = [
        slug
        for slug, spec in specs.items()
        if "targets" in spec and not (spec.get("archived") and (slug not in live or live[slug].archived))
    ]
    for identifier in IDENTIFIERS:
        holder = next((slug for slug, app in live.items() if identifier in app.targets), None)
        if takers and (holder is None or holder in takers) and draw(st.integers(0, 5)):
            taker = draw(st.sampled_from(takers))
            specs[taker]["targets"].append({"platform": "ios", "identifier": identifier})
    return specs


def _draw_spec(draw: Draw, live: AppModel | None, *, deploys: bool) -> Spec:
    spec: Spec = {}
    if draw(st.booleans()):
        spec["name"] = draw(st.sampled_from("nm"))
    if draw(st.booleans()):
        spec["description"] = draw(st.sampled_from("de"))
    if draw(st.integers(0, 3)):
        spec["targets"] = []
    if draw(st.booleans()):
        spec["slots"] = [
            _draw_slot_spec(draw, capability, deploys) for capability in CAPABILITIES if draw(st.booleans())
        ]
    if draw(st.booleans()):
        spec["inferenceConfig"] = _draw_config(draw)
    if (live is not None and live.archived) or draw(st.integers(0, 7)) == 0:
        spec["archived"] = True
        for slot in spec.get("slots", ()):
            slot.pop("deploy", None)
    return spec


def _draw_slot_spec(draw: Draw, capability: str, deploys: bool) -> dict[str, Any]:
    wire = _draw_slot(draw)
    names = [name for name in sorted(_WIRE_NAMES) if name not in {"servingPolicy", "variant"} and draw(st.booleans())]
    slot = {"capability": capability, **{name: wire[_WIRE_NAMES[name]] for name in names}}
    if draw(st.booleans()):
        slot["servingPolicy"] = draw(st.sampled_from(sorted(POLICIES)))
    if deploys and capability == "chat" and draw(st.integers(0, 2)) == 0:
        slot["deploy"] = {"environments": ["production"], "optimize": "never"}
    return slot
