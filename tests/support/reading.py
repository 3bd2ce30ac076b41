"""What was read, without its time: most tests of reads ask for no more."""

from __future__ import annotations

from octosync.model import App, InferenceConfig, Slot, Target
from octosync.octomil import (
    Octomil,
    app_reading,
    apps_reading,
    inference_config_reading,
    slots_reading,
    targets_reading,
)


async def read_app(client: Octomil, slug: str) -> App | None:
    """Read one app."""
    return (await app_reading(client, slug)).value


async def list_apps(client: Octomil) -> dict[str, App]:
    """Read all apps that the list shows."""
    return (await apps_reading(client)).value


async def read_targets(client: Octomil, slug: str) -> tuple[Target, ...]:
    """Read an app's targets."""
    return (await targets_reading(client, slug)).value


async def read_slots(client: Octomil, slug: str) -> tuple[Slot, ...]:
    """Read an app's slots."""
    return (await slots_reading(client, slug)).value


async def read_inference_config(client: Octomil, slug: str) -> InferenceConfig:
    """Read an app's inference config."""
    return (await inference_config_reading(client, slug)).value
