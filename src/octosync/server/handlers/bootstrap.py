"""Bootstrap: an app, a target and API keys in one transaction. Keys are returned only once, and stored hashed."""

from __future__ import annotations

import hashlib
import secrets
from typing import ClassVar

from pydantic import Field

from octosync.contract import APP, PUBLISHABLE_KEY_PLATFORMS
from octosync.model import JsonValue
from octosync.server import response_models
from octosync.server.handlers.apps import MAX_NAME, SLUG_PATTERN, app_json, insert_app
from octosync.server.handlers.handler import Call, handles_body
from octosync.server.handlers.targets import MAX_IDENTIFIER, insert_target, target_json
from octosync.server.store import Row, Store
from octosync.server.validation import Body

_PREFIXES = {"app": "oct_app_test_", "publishable": "oct_pub_test_"}  # public: the SDKs' key prefixes


class BootstrapRequest(Body):
    """The body of `apps.bootstrap`."""

    read_only: ClassVar[frozenset[str]] = APP.read_only - {"slug"}
    slug: str = Field(pattern=SLUG_PATTERN)
    name: str = Field(min_length=1, max_length=MAX_NAME)
    platform: str
    identifier: str = Field(min_length=1, max_length=MAX_IDENTIFIER)


@handles_body("apps.bootstrap", BootstrapRequest, response=response_models.BootstrapResult, status=201)
def bootstrap(call: Call, body: BootstrapRequest) -> JsonValue:
    """Create an app, a target, an app key, and for ios, android and browser a publishable key, or nothing at all."""
    app = insert_app(call, body.slug, {"name": body.name})
    target = insert_target(call, app, body.platform, body.identifier)
    response: dict[str, JsonValue] = {
        "app": app_json(call, app),
        "target": target_json(target),
        "app_key": _new_key(call.store, app, "app"),
    }
    if body.platform in PUBLISHABLE_KEY_PLATFORMS:
        response["publishable_key"] = _new_key(call.store, app, "publishable")
    return response


def _new_key(store: Store, app: Row, kind: str) -> str:
    key = _PREFIXES[kind] + secrets.token_urlsafe(24)
    digest = hashlib.sha256(key.encode()).hexdigest()
    store.insert("app_keys", app_id=app["id"], kind=kind, sha256=digest, created_at=store.stamp())
    return key


HANDLERS = (bootstrap,)
