"""The control plane's own state: its store, and what it keeps in memory only."""

from __future__ import annotations

from dataclasses import dataclass, field

from octosync.server.faults import Faults
from octosync.server.limits import SlidingWindows
from octosync.server.requests_log import RequestsLog
from octosync.server.settings import Settings, Token
from octosync.server.store import Store


@dataclass(slots=True)
class Plane:
    """Everything that outlives a request. `log`, `faults` and `windows` are in memory: a restart empties them."""

    settings: Settings
    store: Store
    keys: tuple[Token, ...] = ()  # every key that is known: the configured ones, and the demo's where it is seeded
    log: RequestsLog = field(default_factory=RequestsLog)
    faults: Faults = field(default_factory=Faults)
    windows: SlidingWindows = field(init=False)
    next_change_at: float | None = 0.0  # when a deployment next moves on by itself, in POSIX seconds; None: never

    def __post_init__(self) -> None:
        self.windows = SlidingWindows(self.settings.rate_limit, self.settings.rate_window_seconds)
