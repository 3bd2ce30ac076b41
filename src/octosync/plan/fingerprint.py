"""Fingerprints: how a plan remembers what a live object was, and what of that a plan document may hold.

In memory a fingerprint covers every live field, so that apply notices any change. A digest of a secret can be guessed, so
a document's fingerprints leave sensitive values out, or are made with a key.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

from octosync.model import (
    Deployment,
    InferenceConfig,
    JsonObject,
    JsonValue,
    Secret,
    Sensitivity,
    Slot,
    Target,
    canonical_json,
    digest_of,
)

ABSENT_FINGERPRINT = "absent"
PLAN_KEY: Final = "OCTOSYNC_PLAN_KEY"

_KEY_CHECK: Final = b"octosync plan key"
_CHECK_CHARACTERS: Final = 16


class Fingerprint(str):
    """The digest of a live object, with the content that it covers. It is compared in memory, and never written out."""

    __slots__ = ("content",)

    content: JsonValue

    def __new__(cls, content: JsonValue) -> Self:
        """Digest the content."""
        made = super().__new__(cls, digest_of(content))
        made.content = content
        return made


@dataclass(frozen=True)
class Fingerprinting:
    """How a document's digests are made: without sensitive values, or of everything with a key."""

    sensitivity: Sensitivity
    key: Secret | None = None

    @cached_property
    def key_check(self) -> str | None:
        """What tells whether two documents were made with the same key; None without one."""
        return None if self.key is None else self._keyed(_KEY_CHECK)[:_CHECK_CHARACTERS]

    def digest(self, content: JsonValue) -> str:
        """Return `sha256:…` of the content without sensitive values, or `hmac-sha256:…` of all of it."""
        if self.key is None:
            return digest_of(self.sensitivity.redact(content))
        return f"hmac-sha256:{self._keyed(canonical_json(content).encode('utf-8', 'surrogatepass'))}"

    def shown(self, fingerprint: str) -> str:
        """Return a fingerprint as a document holds it."""
        return self.digest(fingerprint.content) if isinstance(fingerprint, Fingerprint) else fingerprint

    def leaves_out(self, content: JsonValue) -> bool:
        """Return whether a digest leaves a sensitive value of the content out."""
        return self.key is None and self.sensitivity.occurs_in(content)

    def _keyed(self, text: bytes) -> str:
        key = self.key.reveal() if self.key is not None else ""
        return hmac.digest(key.encode("utf-8", "surrogateescape"), text, "sha256").hex()


def content_of(fingerprint: str) -> JsonValue:
    """Return what a fingerprint covers; None for an object that is absent."""
    return fingerprint.content if isinstance(fingerprint, Fingerprint) else None


def fingerprint_of(fields: JsonObject | None) -> str:
    """Digest all normalised live fields but the read-only ones, undeclared included; `absent` for no object."""
    return ABSENT_FINGERPRINT if fields is None else Fingerprint(fields)


def fingerprint_of_app(fields: JsonObject, *, archived: bool) -> str:
    """Digest an app's own fields and whether it is archived."""
    return Fingerprint({"fields": fields, "archived": archived})


def fingerprint_of_target(target: Target | None) -> str:
    """Digest a target with its id, since a removal names it by that."""
    if target is None:
        return ABSENT_FINGERPRINT
    return Fingerprint({"platform": target.platform, "identifier": target.identifier, "id": target.identity.get("id")})


def fingerprint_of_slot(slot: Slot | None) -> str:
    """Digest a slot's fields."""
    return fingerprint_of(None if slot is None else slot.fields)


def fingerprint_of_config(config: InferenceConfig | None) -> str:
    """Digest an inference config."""
    return fingerprint_of(None if config is None else config.config)


def fingerprint_of_deployments(deployments: Iterable[Deployment]) -> str:
    """Digest what is, or was, deployed of a capability to an environment; `absent` for nothing."""
    known = _deployed(deployments)
    return Fingerprint(known) if known else ABSENT_FINGERPRINT


def fingerprint_of_capability(slot: Slot | None, deployments: Iterable[Deployment]) -> str:
    """Digest what an enable or optimize follows from: the slot, and what is deployed of it."""
    return Fingerprint({"slot": None if slot is None else slot.fields, "deployments": _deployed(deployments)})


def _deployed(deployments: Iterable[Deployment]) -> list[JsonValue]:
    """Return what is known of deployments, without what moves by itself: how far a rollout is, and its devices."""
    return [
        {
            "id": one.id,
            "live": one.live,
            "variant": one.variant,
            "candidate": one.canary.candidate if one.canary else None,
            "canary": one.canary is not None,
        }
        for one in sorted(deployments, key=lambda one: one.id)
    ]
