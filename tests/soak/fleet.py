"""The declared apps of a soak, in files that are replaced as editors and checkouts do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from tests.support.controllers import manifest
from tests.support.file_watch import replace_file

from octosync.contract import expand_policy

POLICIES = ("local_first", "cloud_first", "local_only", "cloud_only")

# (app, type, key): the object of a feed event.
Object = tuple[str, str, str]


@dataclass
class DeclaredApp:
    """The declared state of an app."""

    slug: str
    description: str = "The first description"
    slots: dict[str, str] = field(default_factory=lambda: {"chat": "local_first", "speech": "cloud_first"})

    def text(self) -> str:
        """Return the manifest."""
        return manifest(
            self.slug, targets=(f"com.example.{self.slug}",), slots=self.slots, description=self.description
        )


class Fleet:
    """All apps, and the expected number of writes of each object after the first apply."""

    def __init__(self, folder: Path, count: int) -> None:
        self._folder = folder
        self.apps = {slug: DeclaredApp(slug) for slug in (f"app-{number:03}" for number in range(count))}
        self.writes: Counter[Object] = Counter()
        self.spared: Counter[Object] = Counter()  # writes that may be missing, because a later commit came first
        folder.mkdir()
        for app in self.apps.values():
            (folder / f"{app.slug}.json").write_text(app.text(), encoding="utf-8")

    def commit(self, slug: str, number: int) -> None:
        """Change one field of an app, a different one each time."""
        app = self.apps[slug]
        match number % 4:
            case 0:
                app.description = f"Commit {number}"
                self.writes[slug, "app", slug] += 1
            case 1 if "vision" in app.slots:
                del app.slots["vision"]
                self.writes[slug, "slot", "vision"] += 1
            case 1:
                app.slots["vision"] = "local_only"
                self.writes[slug, "slot", "vision"] += 1
            case _:
                self.retune(slug)
        self._write(slug)

    def retune(self, slug: str, avoiding: str = "") -> None:
        """Declare another serving policy for an app's chat slot."""
        slots = self.apps[slug].slots
        slots["chat"] = next(policy for policy in POLICIES if policy not in {slots["chat"], avoiding})
        self.writes[slug, "slot", "chat"] += 1
        self._write(slug)

    def overtake(self, slug: str) -> None:
        """Declare another serving policy for an app's chat slot, maybe before the previous one was applied."""
        self.retune(slug)
        self.spared[slug, "slot", "chat"] += 1

    def remove(self, slug: str) -> None:
        """Delete an app's manifest."""
        (self._folder / f"{slug}.json").unlink()

    def restore(self, slug: str) -> None:
        """Restore a deleted manifest."""
        self._write(slug)

    def spoil(self) -> None:
        """Add a manifest that doesn't parse."""
        (self._folder / "spoiled.json").write_text("{", encoding="utf-8")

    def mend(self) -> None:
        """Delete the manifest that doesn't parse."""
        (self._folder / "spoiled.json").unlink()

    def _write(self, slug: str) -> None:
        replace_file(self._folder / f"{slug}.json", self.apps[slug].text())


async def is_live(plane: httpx.AsyncClient, app: DeclaredApp) -> bool:
    """Return whether the live app equals the declared one; False if the control plane doesn't answer."""
    try:
        live = (await plane.get(f"/api/v1/apps/{app.slug}")).raise_for_status().json()
        slots = (await plane.get(f"/api/v1/apps/{app.slug}/slots")).raise_for_status().json()["slots"]
    except (httpx.HTTPError, ValueError):
        return False
    policies = {slot["capability"]: slot["serving_policy"] for slot in slots}
    declared = {name: expand_policy(policy) for name, policy in app.slots.items()}
    return policies == declared and live["description"] == app.description
