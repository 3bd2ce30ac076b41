"""The inference config of an app: an opaque object of at most 64 KiB, sent and returned unchanged, without an envelope."""

from __future__ import annotations

from pydantic import ConfigDict

from octosync.contract import ErrorCode
from octosync.model import Address, JsonObject, JsonValue
from octosync.server import response_models
from octosync.server.errors import ApiError
from octosync.server.handlers.apps import app_by_slug, writable_app
from octosync.server.handlers.handler import Call, handles, handles_body, record_event
from octosync.server.store import Row, Store, from_json, to_json
from octosync.server.validation import Body

MAX_CONFIG_BYTES = 64 * 1024


class InferenceConfigRequest(Body):
    """Any JSON object."""

    model_config = ConfigDict(extra="allow")


def _config_of(store: Store, app: Row) -> str:
    row = store.row("SELECT config FROM inference_configs WHERE app_id = ?", app["id"])
    if row is None:
        raise ApiError(
            404,
            ErrorCode.INFERENCE_CONFIG_NOT_FOUND,
            f"App {app['slug']} has no inference config",
            details={"app_slug": app["slug"]},
        )
    return str(row["config"])


@handles("apps.get_inference_config", response=response_models.InferenceConfig)
def get(call: Call) -> JsonValue:
    """Return the config, its keys in the order in which they were sent."""
    value: JsonValue = from_json(_config_of(call.store, app_by_slug(call.store, call.parameters["slug"])))
    return value


@handles_body("apps.put_inference_config", InferenceConfigRequest, response=response_models.InferenceConfig)
def put(call: Call, body: InferenceConfigRequest) -> JsonValue:
    """Create or replace the config. Raises 413 if it is larger than 64 KiB as compact UTF-8 JSON."""
    store = call.store
    app = writable_app(store, call.parameters["slug"])
    config: JsonObject = body.model_extra or {}
    text = to_json(config)
    if len(text.encode()) > MAX_CONFIG_BYTES:
        raise ApiError(
            413,
            ErrorCode.PAYLOAD_TOO_LARGE,
            f"The inference config is larger than {MAX_CONFIG_BYTES} bytes",
            details={"limit_bytes": MAX_CONFIG_BYTES},
        )
    existed = store.number("SELECT count(*) FROM inference_configs WHERE app_id = ?", app["id"])
    store.run(
        "INSERT INTO inference_configs VALUES (?, ?) ON CONFLICT (app_id) DO UPDATE SET config = excluded.config",
        *(app["id"], text),
    )
    verb = "updated" if existed else "created"
    address = Address.of_inference_config(app["slug"])
    record_event(store, call.actor, app, f"inference_config.{verb}", address, f"Inference config {verb}")
    return config


@handles("apps.delete_inference_config", response=None, status=204)
def delete(call: Call) -> JsonValue:
    """Delete the config. Raises 404 if there is none."""
    store = call.store
    app = writable_app(store, call.parameters["slug"])
    _config_of(store, app)
    store.run("DELETE FROM inference_configs WHERE app_id = ?", app["id"])
    address = Address.of_inference_config(app["slug"])
    record_event(store, call.actor, app, "inference_config.deleted", address, "Inference config deleted")
    return None


HANDLERS = (get, put, delete)
