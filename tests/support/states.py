"""Builders of desired state, live state and plans: short to write, with the same values as the loader and the client build.

Targets are written as `platform:identifier`, slots as `{capability: fields}` with wire names. Slot fields are normalized
by the contract, as the loader and the client do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from octosync.contract import Contract, normalise_app_fields, normalise_slot_fields
from octosync.errors import OctosyncError
from octosync.model import (
    App,
    Deploy,
    Deployment,
    InferenceConfig,
    JsonObject,
    Observation,
    Origin,
    Section,
    Slot,
    State,
    Suspension,
    Target,
)
from octosync.plan import GuardPolicy, Plan, PlanOptions, make_plan

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
ORIGIN = Origin("apps/demo.yaml", 3, 5)
ORG = "org-1"

# The fields that a control plane returns for every slot.
LIVE_SLOT: JsonObject = {
    "serving_policy": "local_first",
    "bindings": [],
    "preferred_engines": [],
    "public_client_allowed": False,
}

Slots = Mapping[str, Mapping[str, Any]]
Deploys = Mapping[str, Deploy | str]
_UNSET: Any = object()


def target(slug: str, key: str, **more: Any) -> Target:
    """Return a desired target from `platform:identifier`."""
    platform, _, identifier = key.partition(":")
    return Target(app=slug, platform=platform, identifier=identifier, **{"origin": ORIGIN, **more})


def slot(slug: str, capability: str, fields: Mapping[str, Any], **more: Any) -> Slot:
    """Return a desired slot that declares exactly these fields."""
    normal = normalise_slot_fields(dict(fields))
    return Slot(app=slug, capability=capability, fields=normal, **{"origin": ORIGIN, **more})


def desired_app(
    slug: str,
    *,
    targets: Iterable[str] | None = None,
    slots: Slots | None = None,
    config: JsonObject | None = _UNSET,
    suspended: bool | datetime = False,
    deploy: Deploys | None = None,
    **more: Any,
) -> App:
    """Return the state of an App document: it owns each given section completely; `config=None` deletes the config.

    `deploy` maps slots to the environments in which they are enabled, and how they are optimized. `suspended` is True or
    the end of the suspension. `more` are fields of `App` (`fields`, `archived`, `protected`, …).
    """
    whole = {
        Section.TARGETS: targets is not None,
        Section.SLOTS: slots is not None,
        Section.INFERENCE_CONFIG: config is not _UNSET,
    }
    base = child_app(slug, targets=targets or (), slots=slots or {}, config=config, **{"declared": True, **more})
    return replace(
        base,
        complete_sections=frozenset(section for section, owned in whole.items() if owned),
        suspension=Suspension(None if suspended is True else suspended) if suspended else None,
        slots=tuple(replace(slot, deploy=_deploy((deploy or {}).get(slot.capability))) for slot in base.slots),
    )


def _deploy(wanted: Deploy | str | None) -> Deploy | None:
    return Deploy(environments=tuple(wanted.split()), origin=ORIGIN) if isinstance(wanted, str) else wanted


def child_app(
    slug: str,
    *,
    targets: Iterable[str] = (),
    slots: Slots | None = None,
    config: JsonObject | None = _UNSET,
    **more: Any,
) -> App:
    """Return the state of child documents without an App document: no section is owned completely."""
    return App(
        slug=slug,
        targets=tuple(target(slug, key) for key in targets),
        slots=tuple(slot(slug, capability, fields) for capability, fields in (slots or {}).items()),
        inference_config=None if config is _UNSET else InferenceConfig(app=slug, config=config, origin=ORIGIN),
        **{"declared": False, "origin": ORIGIN, **more},
    )


def live_target(slug: str, key: str, *, id_: str = "") -> Target:
    """Return a live target with an id, by default one made of app, platform and identifier."""
    server_fields = {"id": id_ or f"tgt-{slug}-{key}", "app_id": f"id-{slug}"}
    return target(slug, key, server_fields=server_fields, origin=None)


def live_slot(slug: str, capability: str, fields: Mapping[str, Any]) -> Slot:
    """Return a live slot; fields that are not given have the control plane's defaults."""
    server_fields = {"id": f"slot-{slug}-{capability}", "app_id": f"id-{slug}", "capability": capability}
    return slot(slug, capability, {**LIVE_SLOT, **fields}, server_fields=server_fields, origin=None)


def live_app(
    slug: str,
    *,
    name: str = "",
    description: str | None = None,
    targets: Iterable[str | Target] = (),
    slots: Slots | None = None,
    config: JsonObject | None = None,
    deployments: Iterable[Deployment] = (),
    read: Iterable[Section] = tuple(Section),
    **more: Any,
) -> App:
    """Return a live app with the objects of the sections that were `read`."""
    fields = normalise_app_fields({"name": name or slug, "description": description, **more.pop("fields", {})})
    sections = frozenset(read)
    return App(
        slug=slug,
        fields=fields,
        complete_sections=sections,
        targets=tuple(
            target if isinstance(target, Target) else live_target(slug, target)
            for target in targets
            if Section.TARGETS in sections
        ),
        slots=tuple(live_slot(slug, c, f) for c, f in (slots or {}).items() if Section.SLOTS in sections),
        inference_config=InferenceConfig(app=slug, config=config) if Section.INFERENCE_CONFIG in sections else None,
        deployments=tuple(deployments) if Section.DEPLOYMENTS in sections else (),
        server_fields={"id": f"id-{slug}", "slug": slug, "org_id": ORG},
        **more,
    )


def live_deployment(
    slug: str, capability: str = "chat", environment: str = "production", *, status: str = "active", **more: Any
) -> Deployment:
    """Return a live deployment of variant `v1`."""
    return Deployment(
        **{
            "id": f"dep-{slug}-{capability}-{environment}",
            "app": slug,
            "capability": capability,
            "environment": environment,
            "status": status,
            "live": status != "rolled_back",
            "variant": "v1",
            **more,
        }
    )


def observation(
    *apps: App,
    errors: Mapping[str, OctosyncError] | None = None,
    unmanaged: tuple[str, ...] | None = None,
    requests: int = 0,
    **more: Any,
) -> Observation:
    """Return an observation in which these apps are live and every other declared app is absent."""
    return Observation(
        state=State.from_apps(*apps), errors=errors or {}, unmanaged=unmanaged, org_id=ORG, requests=requests, **more
    )


def plan_of(
    desired: App | Iterable[App],
    live: Observation | Iterable[App] | App = (),
    *,
    contract: Contract | None = None,
    now: datetime = NOW,
    **more: Any,
) -> Plan:
    """Return the plan of desired apps for a live state. `more` are further options of the plan."""
    wanted = [desired] if isinstance(desired, App) else list(desired)
    if isinstance(live, App):
        live = [live]
    seen = live if isinstance(live, Observation) else observation(*live)
    return make_plan(State.from_apps(*wanted), seen, PlanOptions(contract=contract or Contract(), now=now, **more))


def policy_of(**settings: Any) -> GuardPolicy:
    """Return a guard policy: limits as in `max_deletes=3`, overrides as in `allow_during_canary=True`."""
    limits = {re.sub("_(.)", lambda found: found[1].upper(), name): value for name, value in settings.items()}
    return GuardPolicy(
        limits={name: value for name, value in limits.items() if not name.startswith("allow")},
        allowed={
            name.removeprefix("allow_").replace("_", "-"): value
            for name, value in settings.items()
            if name.startswith("allow_")
        },
    )


def action_lines(plan: Plan) -> list[str]:
    """Return `verb address` of each action, in the order of the plan."""
    return [f"{action.verb.value} {action.address}" for action in plan.actions]
