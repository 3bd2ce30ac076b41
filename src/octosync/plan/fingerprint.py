"""Fingerprints: how a plan remembers what a live object was, without keeping it."""

from __future__ import annotations

from octosync.model import InferenceConfig, JsonObject, Slot, Target, digest_of

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
