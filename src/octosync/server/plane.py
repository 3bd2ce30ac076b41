"""The control plane's state, and the org's policy: which environments need an approval, and names beyond the contract."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from octosync.model import JsonValue
from octosync.server.faults import Faults
from octosync.server.limits import RequestsLog, SlidingWindows
from octosync.server.settings import ServerSettings, Token
from octosync.server.store import Store, from_json, to_json


@dataclass(slots=True)
class Plane:
    """The state that all requests share. `log`, `faults` and `windows` are in memory: a restart empties them."""

    settings: ServerSettings
    store: Store
    keys: tuple[Token, ...] = ()  # the configured tokens, and the demo's keys with its seed
    log: RequestsLog = field(default_factory=RequestsLog)
    faults: Faults = field(default_factory=Faults)
    windows: SlidingWindows = field(init=False)
    next_change_at: float | None = 0.0  # when a deployment next advances, in POSIX seconds; None: never

    def __post_init__(self) -> None:
        self.windows = SlidingWindows(self.settings.rate_limit, self.settings.rate_window_seconds)


_KEY = "policy"


@dataclass(frozen=True, slots=True)
class OrgPolicy:
    """The org's rules: `require_approval` are the environments in which enable and optimize need a person's approval.

    `platforms` and `slot_fields` (`x`, or `serving_policy.x`) are further valid names, as a newer Octomil might have them.
    """

    require_approval: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    slot_fields: tuple[str, ...] = ()

    def to_json(self) -> JsonValue:
        """Return the rules as the body of `PUT /_local/policy`."""
        return {name: list(names) for name, names in asdict(self).items()}


def org_policy(store: Store) -> OrgPolicy:
    """Return the org's current rules."""
    stored = store.meta(_KEY)
    return OrgPolicy() if stored is None else OrgPolicy(**{key: tuple(v) for key, v in from_json(stored).items()})


def replace_policy(store: Store, policy: OrgPolicy) -> None:
    """Replace the org's rules."""
    store.put_meta(_KEY, to_json(policy.to_json()))
