"""An embedded control plane as a teammate uses it: over plain HTTP, without octosync's client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import FastAPI


@dataclass(frozen=True)
class Plane:
    """An embedded control plane, and plain HTTP to it. `application` is called by controllers, if no server runs it."""

    url: str
    http: httpx.Client
    application: FastAPI | None = None

    def send(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request as a teammate; return the JSON of the response."""
        response = self.http.request(method, f"/api/v1{path}", json=body)
        response.raise_for_status()
        return response.json() if response.content else None

    def app(self, slug: str, *capabilities: str, target: str = "", config: Mapping[str, Any] | None = None) -> None:
        """Create an app with these slots, and with an iOS target and an inference config if given."""
        self.send("POST", "/apps", {"slug": slug, "name": slug.title()})
        for capability in capabilities:
            self.send("PUT", f"/apps/{slug}/slots/{capability}", {"serving_policy": "local_first", "bindings": []})
        if target:
            self.send("POST", f"/apps/{slug}/targets", {"platform": "ios", "identifier": target})
        if config is not None:
            self.send("PUT", f"/apps/{slug}/inference-config", config)

    def break_with(self, *rules: Mapping[str, Any]) -> None:
        """Inject faults."""
        self.http.put("/_local/faults", json={"rules": rules}).raise_for_status()

    def deploy(self, slug: str, capability: str = "chat", environment: str = "production") -> str:
        """Enable a capability as a teammate; return the deployment's id."""
        answer = self.send("POST", f"/apps/{slug}/capabilities/{capability}/enable", {"environment": environment})
        return str(answer["id"])

    def local(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request to the server's local controls; return the JSON of the response."""
        response = self.http.request(method, f"/_local{path}", json=body)
        response.raise_for_status()
        return response.json() if response.content else None

    def catalog(self, **worth: float) -> None:
        """Set the catalog to chat variants that run on every device, with this quality each."""
        variants = [
            {
                "id": name,
                "name": name,
                "capability": "chat",
                "platforms": ["ios", "android", "macos", "browser"],
                "min_device_class": "low",
                "size_bytes": 1,
                "latency": 1,
                "quality": quality,
            }
            for name, quality in worth.items()
        ]
        self.local("PUT", "/catalog", {"variants": variants})

    def log(self) -> list[str]:
        """Return `METHOD path`, without the query, of all requests since the last call."""
        entries = self.http.get("/_local/requests-log", params={"clear": "true"}).json()["requests"]
        return [f"{entry['method']} {entry['path'].partition('?')[0]}" for entry in entries]


def writes_in(log: Iterable[str]) -> list[str]:
    """Return the `METHOD path` lines that may change something; a preview and a check are reads by POST."""
    return [
        line for line in log if not line.startswith("GET ") and not line.endswith(("/preview", "/check-optimization"))
    ]
