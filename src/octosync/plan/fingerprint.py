"""Fingerprints: how a plan remembers what a live object was, without keeping it."""

from __future__ import annotations

from collections.abc import Iterable

from octosync.model import Deployment, InferenceConfig, JsonObject, JsonValue, Slot, Target, digest_of

ABSENT_FINGERPRINT = "absent"


def fingerprint_of(fields: JsonObject | None) -> str:
    """Digest all normalised live fields but the read-only ones, undeclared included; `absent` for no object."""
    return ABSENT_FINGERPRINT if fields is None else digest_of(fields)


def fingerprint_of_app(fields: JsonObject, *, archived: bool) -> str:
    """Digest an app's own fields and whether it is archived."""
    return digest_of({"fields": fields, "archived": archived})


def fingerprint_of_target(target: Target | None) -> str:
    """Digest a target with its id, since a removal names it by that."""
    if target is None:
        return ABSENT_FINGERPRINT
    return digest_of({"platform": target.platform, "identifier": target.identifier, "id": target.identity.get("id")})


def fingerprint_of_slot(slot: Slot | None) -> str:
    """Digest a slot's fields."""
    return fingerprint_of(None if slot is None else slot.fields)


def fingerprint_of_config(config: InferenceConfig | None) -> str:
    """Digest an inference config."""
    return fingerprint_of(None if config is None else config.config)


def fingerprint_of_deployments(deployments: Iterable[Deployment]) -> str:
    """Digest what is, or was, deployed of a capability to an environment; `absent` for nothing.

    Left out is what moves by itself: how far a rollout is, and to which devices it goes.
    """
    known: list[JsonValue] = [
        {
            "id": one.id,
            "live": one.live,
            "variant": one.variant,
            "candidate": one.canary.candidate if one.canary else None,
            "canary": one.canary is not None,
        }
        for one in sorted(deployments, key=lambda one: one.id)
    ]
    return digest_of(known) if known else ABSENT_FINGERPRINT


def fingerprint_of_capability(slot: Slot | None, deployments: Iterable[Deployment]) -> str:
    """Digest what an enable or optimize follows from: the slot, and what is deployed of it."""
    return digest_of({"slot": fingerprint_of_slot(slot), "deployments": fingerprint_of_deployments(deployments)})
