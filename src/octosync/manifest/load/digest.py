"""The digest of desired state. Equal declarations have equal digests, even if they are in different files.

A secret can be guessed from its digest, so a digest that is stored or shown excludes sensitive values or uses a key.
`Memo` caches digests and assembled apps from one load to the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Generic, TypeAlias, TypeVar, cast

from octosync.manifest.load.documents import Resource
from octosync.manifest.load.rendered_origins import is_bookkeeping
from octosync.model import (
    App,
    JsonObject,
    JsonValue,
    Secret,
    Sensitivity,
    Slot,
    State,
    canonical_json,
)

K = TypeVar("K")
V = TypeVar("V")


class Memo(Generic[K, V]):
    """Values by key. The caller checks whether a value is still valid."""

    def __init__(self) -> None:
        self._before: dict[K, V] = {}
        self._now: dict[K, V] = {}

    def find(self, key: K) -> V | None:
        """Return the value that the last round kept, else the one of this round, else None."""
        found = self._before.get(key)
        return found if found is not None else self._now.get(key)

    def keep(self, key: K, value: V) -> None:
        """Keep a value for this round and the next, also a found one that is still valid."""
        self._now[key] = value

    def end_round(self) -> None:
        """End a round."""
        self._before, self._now = self._now, {}

    def clear(self) -> None:
        """Forget everything."""
        self._before, self._now = {}, {}


# The kind of each document of an app that has annotations, and their keys and values.
Annotations: TypeAlias = list[list[JsonValue]]
# By an app's identity: the app, its annotations, and the canonical text of both.
Texts: TypeAlias = Memo[int, tuple[App, Annotations, str]]


def annotations_of(resources: Iterable[Resource], sensitivity: Sensitivity | None) -> dict[str, Annotations]:
    """Return the annotations of apps by slug, for their digest. kustomize's own are ignored: they name files."""
    annotations: dict[str, Annotations] = {}
    for resource in resources:
        if not resource.annotations or resource.app is None:
            continue
        own = {key: value for key, value in resource.annotations.items() if not is_bookkeeping(key)}
        if entries := sorted([key, value] for key, value in _covered(own, sensitivity).items()):
            annotations.setdefault(resource.app, []).append([resource.kind, entries])
    return annotations


def digest(
    state: State,
    annotations: Mapping[str, Annotations] = MappingProxyType({}),
    texts: Texts | None = None,
    *,
    sensitivity: Sensitivity | None = None,
) -> str:
    """Return `sha256:…` over the desired state; with `sensitivity`, without sensitive values.

    `texts` caches the canonical text of apps, by identity.
    """
    import hashlib  # OpenSSL, which most short runs don't need

    made = hashlib.sha256(b"{")
    for number, slug in enumerate(sorted(state.apps)):  # app by app: the whole text would be the largest value of a run
        text = _text(state.apps[slug], annotations.get(slug, []), texts, sensitivity)
        made.update(f"{',' if number else ''}{canonical_json(slug)}:{text}".encode("utf-8", "surrogatepass"))
    made.update(b"}")
    return f"sha256:{made.hexdigest()}"


def keyed_digest(state: State, digest: str, key: Secret) -> str:
    """Return `hmac-sha256:…` over the desired state, sensitive values included, and over the digest without them."""
    import hmac

    text = canonical_json([digest, {app.slug: _declared(app) for app in state}]).encode("utf-8", "surrogatepass")
    return f"hmac-sha256:{hmac.digest(key.reveal().encode('utf-8', 'surrogateescape'), text, 'sha256').hex()}"


def _text(app: App, annotations: Annotations, texts: Texts | None, sensitivity: Sensitivity | None) -> str:
    annotations = sorted(annotations, key=repr)
    known = texts.find(id(app)) if texts is not None else None
    if known is None or known[0] is not app or known[1] != annotations:
        declared = {**_covered(_declared(app), sensitivity), "annotations": annotations}
        known = (app, annotations, canonical_json(declared))
    if texts is not None:
        texts.keep(id(app), known)
    return known[2]


def _covered(value: JsonObject, sensitivity: Sensitivity | None) -> dict[str, Any]:
    redacted = value if sensitivity is None else sensitivity.redact(value)
    return dict(cast("JsonObject", redacted))


def _declared(app: App) -> dict[str, JsonValue]:
    until = app.suspension.until if app.suspension else None
    return {
        "fields": app.fields,
        "archived": app.archived,
        "declared": app.declared,
        "whole": sorted(section.value for section in app.complete_sections),
        "targets": [[target.platform, target.identifier] for target in app.targets],
        "slots": [_declared_slot(slot) for slot in app.slots],
        "inference_config": [app.inference_config.config] if app.inference_config else [],
        "labels": app.labels,
        "protected": app.protected,
        "suspended": [until.isoformat() if until else None] if app.suspension else [],
    }


def _declared_slot(slot: Slot) -> JsonValue:
    deploy = slot.deploy
    return {
        "capability": slot.capability,
        "fields": slot.fields,
        "deploy": None
        if deploy is None
        else [
            sorted(deploy.environments),
            deploy.optimize.value,
            deploy.min_improvement,
            *([] if deploy.max_regression is None else [deploy.max_regression]),
        ],
    }
