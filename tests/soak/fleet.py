"""The apps of a soak: what each is declared to be, in files that are replaced as editors and checkouts do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from tests.support.controllers import manifest
from tests.support.file_watch import replace_file

from octosync.contract import expand_policy

POLICIES = ("local_first", "cloud_first", "local_only", "cloud_only")

# (app, type of the object, its key): what an event of the feed is about.
Object = tuple[str, str, str]


@dataclass
class ManifestLoad:
    """One app as it is declared."""

    slug: str
    description: str = "As it was at first"
    slots: dict[str, str] = field(default_factory=lambda: {"chat": "local_first", "speech": "cloud_first"})

    def text(self) -> str:
        """Return its manifest."""
        return manifest(
            self.slug, targets=(f"com.example.{self.slug}",), slots=self.slots, description=self.description
        )


class Fleet:
    """All apps, and how often each object is to be written once all were applied for the first time."""

    def __init__(self, folder: Path, count: int) -> None:
        self._folder = folder
        self.apps = {slug: ManifestLoad(slug) for slug in (f"app-{number:03}" for number in range(count))}
        self.writes: Counter[Object] = Counter()
        self.spared: Counter[Object] = Counter()  # of these, as many as need not be: a later commit came before
        folder.mkdir()
        for app in self.apps.values():
            (folder / f"{app.slug}.json").write_text(app.text(), encoding="utf-8")

    def commit(self, slug: str, number: int) -> None:
        """Change one thing of an app, another one each time."""
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
        """Declare another policy for an app's chat."""
        slots = self.apps[slug].slots
        slots["chat"] = next(one for one in POLICIES if one not in {slots["chat"], avoiding})
        self.writes[slug, "slot", "chat"] += 1
        self._write(slug)

    def overtake(self, slug: str) -> None:
        """Declare another policy for an app's chat, perhaps before the one declared before was ever applied."""
        self.retune(slug)
        self.spared[slug, "slot", "chat"] += 1

    def remove(self, slug: str) -> None:
        """Take an app out of the manifests."""
        (self._folder / f"{slug}.json").unlink()

    def restore(self, slug: str) -> None:
        """Put it back as it was."""
        self._write(slug)

    def spoil(self) -> None:
        """Have a manifest that doesn't parse."""
        (self._folder / "spoiled.json").write_text("{", encoding="utf-8")

    def mend(self) -> None:
        """Take it away."""
        (self._folder / "spoiled.json").unlink()

    def _write(self, slug: str) -> None:
        replace_file(self._folder / f"{slug}.json", self.apps[slug].text())


async def is_live(plane: httpx.AsyncClient, app: ManifestLoad) -> bool:
    """Say whether the control plane shows an app as it is declared; while it answers nothing, it does not."""
    try:
        shown = (await plane.get(f"/api/v1/apps/{app.slug}")).raise_for_status().json()
        slots = (await plane.get(f"/api/v1/apps/{app.slug}/slots")).raise_for_status().json()["slots"]
    except (httpx.HTTPError, ValueError):
        return False
    found = {one["capability"]: one["serving_policy"] for one in slots}
    declared = {name: expand_policy(policy) for name, policy in app.slots.items()}
    return found == declared and shown["description"] == app.description
