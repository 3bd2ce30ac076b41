"""Addresses: how a plan, an outcome and a person name one object of the control plane.

Where in the manifests a thing was said.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Self


class Kind(Enum):
    """What an address can name, in the order in which an app's objects are shown; the value is the JSON `type`."""

    APP = "app"
    TARGET = "target"
    SLOT = "slot"
    CAPABILITY = "capability"
    INFERENCE_CONFIG = "inference_config"


_RANK = {kind: rank for rank, kind in enumerate(Kind)}
_SEGMENT = {Kind.TARGET: "target", Kind.SLOT: "slot", Kind.CAPABILITY: "capability"}
_KIND_OF_SEGMENT = {segment: kind for kind, segment in _SEGMENT.items()}
_INFERENCE_CONFIG = "inference-config"


@dataclass(frozen=True, slots=True)
class Address:
    """One object.

    `app/<slug>` · `app/<slug>/target/<platform>:<identifier>` · `app/<slug>/slot/<capability>` ·
    `app/<slug>/inference-config` · `app/<slug>/capability/<capability>@<environment>`.
    """

    app: str
    kind: Kind = Kind.APP
    name: str = ""

    @classmethod
    def of_app(cls, slug: str) -> Self:
        """Address an app itself."""
        return cls(slug, Kind.APP, slug)

    @classmethod
    def of_target(cls, slug: str, platform: str, identifier: str) -> Self:
        """Address a target by what makes it unique in the org."""
        return cls(slug, Kind.TARGET, f"{platform}:{identifier}")

    @classmethod
    def of_slot(cls, slug: str, capability: str) -> Self:
        """Address a capability slot."""
        return cls(slug, Kind.SLOT, capability)

    @classmethod
    def of_inference_config(cls, slug: str) -> Self:
        """Address the app's one inference config."""
        return cls(slug, Kind.INFERENCE_CONFIG, _INFERENCE_CONFIG)

    @classmethod
    def of_capability(cls, slug: str, capability: str, environment: str) -> Self:
        """Address a capability's deployment to one environment."""
        return cls(slug, Kind.CAPABILITY, f"{capability}@{environment}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str()` wrote. Raises `ValueError` for anything else."""
        match text.split("/", 3):
            case ["app", slug] if slug:
                return cls.of_app(slug)
            case ["app", slug, segment] if slug and segment == _INFERENCE_CONFIG:
                return cls.of_inference_config(slug)
            case ["app", slug, segment, name] if slug and name and segment in _KIND_OF_SEGMENT:
                return cls(slug, _KIND_OF_SEGMENT[segment], name)
        raise ValueError(f"not an address: {text}")

    @property
    def placement(self) -> tuple[str, str]:
        """The capability and the environment of a capability's deployment."""
        capability, _, environment = self.name.rpartition("@")
        return capability, environment

    @property
    def sort_key(self) -> tuple[str, int, str]:
        """App first, then the kinds in the order of `Kind`, then the name."""
        return (self.app, _RANK[self.kind], self.name)

    def __lt__(self, other: Address) -> bool:
        return self.sort_key < other.sort_key

    def __str__(self) -> str:
        match self.kind:
            case Kind.APP:
                return f"app/{self.app}"
            case Kind.INFERENCE_CONFIG:
                return f"app/{self.app}/{_INFERENCE_CONFIG}"
            case kind:
                return f"app/{self.app}/{_SEGMENT[kind]}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """A place in a file: `file` as the user named it, `line` and `column` from 1, columns in characters.

    Without a line, where it is 0, the file itself is meant, which may not even exist.
    """

    file: str
    line: int = 0
    column: int = 1

    def __str__(self) -> str:
        return self.file if not self.line else f"{self.file}:{self.line}:{self.column}"
