"""`--seed demo`: devices for the shipped examples, and two people's keys. It creates no app, and nothing acts by itself.

Devices belong to a target by platform and identifier, so they wait for the targets that the examples declare.
"""

from __future__ import annotations

from typing import Final

from octosync.server.fleet import add_devices
from octosync.server.settings import Token
from octosync.server.store import Store

# Not secrets: they open nothing but a control plane that was started with the demo's seed.
DEMO_TOKENS: Final = (Token("ana", "demo-key-ana"), Token("ben", "demo-key-ben"))

_FLEET: Final = (
    # platform, identifier                     flagship high  mid  low
    ("ios", "com.octomil.canary-demo",         (310, 480, 360, 90)),
    ("android", "com.octomil.canary-demo",     (120, 290, 430, 260)),
    ("browser", "https://demo.octomil.example", (35, 140, 175, 60)),
    ("ios", "com.octomil.field-notes",         (140, 260, 210, 45)),
    ("android", "com.octomil.field-notes",     (60, 180, 340, 220)),
    ("browser", "https://support.octomil.example", (20, 110, 150, 40)),
    ("macos", "com.octomil.support-desk",      (85, 130, 65, 10)),
)  # fmt: skip
_CLASSES: Final = ("flagship", "high", "mid", "low")


def seed_demo(store: Store) -> None:
    """Let the demo's devices be seen, once in a database's life."""
    if store.meta("seed") is not None:
        return
    for platform, identifier, counts in _FLEET:
        for device_class, count in zip(_CLASSES, counts, strict=True):
            add_devices(store, platform, identifier, device_class, count)
    store.put_meta("seed", "demo")
