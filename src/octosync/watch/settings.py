"""How the controller runs: what the command line fixed for its whole life."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum


class WriteMode(Enum):
    """What is written by itself: manifest changes and drift, manifest changes alone, or nothing."""

    ALL = "all"
    MANIFEST = "manifest"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`interval` is the time between looks at the feed, `resync` between full reads. `drift_hold` None: octosync.yaml's.

    `apps` (patterns) and `selector` choose what it is about.
    """

    interval: timedelta = timedelta(seconds=15)
    resync: timedelta = timedelta(minutes=15)
    heal: WriteMode = WriteMode.ALL
    drift_hold: timedelta | None = None
    apps: tuple[str, ...] = ()
    selector: str | None = None
