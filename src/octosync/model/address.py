"""Addresses name one object of the control plane; origins name a place in a manifest or another file."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Self


class Kind(Enum):
    """The kinds of objects, in the order in which an app's objects are shown; the value is the JSON `type`."""

    APP = "app"
    TARGET = "target"
    SLOT = "slot"
    CAPABILITY = "capability"
    INFERENCE_CONFIG = "inference_config"

    __hash__ = object.__hash__  # that of `Enum` is a call in Python, and every address is hashed several times


_RANK = {kind: rank for rank, kind in enumerate(Kind)}
_SEGMENT = {Kind.TARGET: "target", Kind.SLOT: "slot", Kind.CAPABILITY: "capability"}
_KIND_OF_SEGMENT = {segment: kind for kind, segment in _SEGMENT.items()}
_INFERENCE_CONFIG = "inference-config"


@dataclass(frozen=True, slots=True)
class Address:
    """The address of one object, in plans, outcomes and messages.

    `app/<slug>` · `app/<slug>/target/<platform>:<identifier>` · `app/<slug>/slot/<capability>` ·
    `app/<slug>/inference-config` · `app/<slug>/capability/<capability>@<environment>`.
    """

    app: str
    kind: Kind = Kind.APP
    name: str = ""

    @classmethod
    def of_app(cls, slug: str) -> Self:
        """Return the address of an app itself."""
        return cls(slug, Kind.APP, slug)

    @classmethod
    def of_target(cls, slug: str, platform: str, identifier: str) -> Self:
        """Return the address of a target: platform and identifier are unique in the org."""
        return cls(slug, Kind.TARGET, f"{platform}:{identifier}")

    @classmethod
    def of_slot(cls, slug: str, capability: str) -> Self:
        """Return the address of a capability slot."""
        return cls(slug, Kind.SLOT, capability)

    @classmethod
    def of_inference_config(cls, slug: str) -> Self:
        """Return the address of an app's inference config."""
        return cls(slug, Kind.INFERENCE_CONFIG, _INFERENCE_CONFIG)

    @classmethod
    def of_capability(cls, slug: str, capability: str, environment: str) -> Self:
        """Return the address of a capability's deployment to one environment."""
        return cls(slug, Kind.CAPABILITY, f"{capability}@{environment}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the address of a text that `str()` returned. Raises `ValueError` for any other text."""
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
        """The app, then the kind in the order of `Kind`, then the name."""
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

    Line 0 means the file as a whole; the file may not exist. `base` is "" for the files that a run plans. A file of the base has
    the short commit id, with which `file` then starts (`ec671134c804:apps/search.yaml`), or the name of the base file.
    """

    file: str
    line: int = 0
    column: int = 1
    base: str = ""

    @property
    def path(self) -> str:
        """The file without the commit id: of a file in a commit, its path in the repository."""
        return self.file.removeprefix(f"{self.base}:") if self.base else self.file

    def __str__(self) -> str:
        return self.file if not self.line else f"{self.file}:{self.line}:{self.column}"
