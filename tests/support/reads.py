"""Reads that return the value without its time, which most tests of reads don't need."""

from __future__ import annotations

from octosync import octomil
from octosync.model import App, InferenceConfig, Slot, Target


async def read_app(client: octomil.Octomil, slug: str) -> App | None:
    """Read one app."""
    return (await octomil.read_app(client, slug)).value


async def list_apps(client: octomil.Octomil) -> dict[str, App]:
    """Read all apps of the list."""
    return (await octomil.read_apps(client)).value


async def read_targets(client: octomil.Octomil, slug: str) -> tuple[Target, ...]:
    """Read an app's targets."""
    return (await octomil.read_targets(client, slug)).value


async def read_slots(client: octomil.Octomil, slug: str) -> tuple[Slot, ...]:
    """Read an app's slots."""
    return (await octomil.read_slots(client, slug)).value


async def read_inference_config(client: octomil.Octomil, slug: str) -> InferenceConfig:
    """Read an app's inference config."""
    return (await octomil.read_inference_config(client, slug)).value
