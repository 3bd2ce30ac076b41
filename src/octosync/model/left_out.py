"""What an export leaves out of a manifest."""

from __future__ import annotations

from dataclasses import dataclass

from octosync.model.address import Address


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something live that a manifest doesn't declare: of which object, its name in manifests, and why."""

    address: Address
    name: str
    why: str
