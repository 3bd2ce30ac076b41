"""A fleet for tests of capabilities: two variants of chat, and an app with devices of two classes."""

from __future__ import annotations

from typing import Any

import httpx
from tests.support.embedded_planes import EmbeddedPlane, ok

CHAT = {"capability": "chat", "platforms": ["ios"], "size_bytes": 1}
SMALL: dict[str, Any] = {**CHAT, "id": "small", "name": "S", "min_device_class": "low", "latency": 0.5, "quality": 0.6}
LARGE: dict[str, Any] = {**CHAT, "id": "large", "name": "L", "min_device_class": "high", "latency": 1.0, "quality": 1.2}


def with_fleet(plane: EmbeddedPlane, *variants: dict[str, Any], high: int = 90, low: int = 10) -> str:
    """Create an app with an iOS target, devices and a chat slot, and a catalog of these variants; return the app's path."""
    ok(plane.local.put("/catalog", json={"variants": list(variants)}))
    app = plane.with_app()
    plane.with_target(app)
    for count, device_class in ((high, "high"), (low, "low")):
        if count:
            plane.with_devices(count, device_class)
    plane.with_slot(app)
    return app


def post(plane: EmbeddedPlane, app: str, action: str, environment: str | None = None) -> httpx.Response:
    """Call a capability operation of chat."""
    body = None if environment is None else {"environment": environment}
    return plane.api.post(f"{app}/capabilities/chat/{action}", json=body)
