"""The control plane's own state: its store, and what it keeps in memory only.

The org's rules, set by `PUT /_local/policy`: what needs an approval, and names known here beyond the contract.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from octosync.model import JsonValue
from octosync.server.faults import Faults
from octosync.server.limits import RequestsLog, SlidingWindows
from octosync.server.settings import ServerSettings, Token
from octosync.server.store import Store, from_json, to_json


@dataclass(slots=True)
class Plane:
    """Everything that outlives a request. `log`, `faults` and `windows` are in memory: a restart empties them."""

    settings: ServerSettings
    store: Store
    keys: tuple[Token, ...] = ()  # every key that is known: the configured ones, and the demo's where it is seeded
    log: RequestsLog = field(default_factory=RequestsLog)
    faults: Faults = field(default_factory=Faults)
    windows: SlidingWindows = field(init=False)
    next_change_at: float | None = 0.0  # when a deployment next moves on by itself, in POSIX seconds; None: never

    def __post_init__(self) -> None:
        self.windows = SlidingWindows(self.settings.rate_limit, self.settings.rate_window_seconds)


_KEY = "policy"


@dataclass(frozen=True, slots=True)
class OrgPolicy:
    """`require_approval`: the environments where enable and optimize need a person.

    `platforms` and `slot_fields` (`x`, or `serving_policy.x`): names that the contract doesn't have and a newer Octomil might.
    """

    require_approval: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    slot_fields: tuple[str, ...] = ()

    def to_json(self) -> JsonValue:
        """Return the rules in the form in which they are replaced."""
        return {name: list(names) for name, names in asdict(self).items()}


def org_policy(store: Store) -> OrgPolicy:
    """Return the rules in force."""
    stored = store.meta(_KEY)
    return OrgPolicy() if stored is None else OrgPolicy(**{key: tuple(v) for key, v in from_json(stored).items()})


def replace_policy(store: Store, policy: OrgPolicy) -> None:
    """Put other rules in force."""
    store.put_meta(_KEY, to_json(policy.to_json()))
