"""The org's rules, set by `PUT /_local/policy`: what needs an approval, and names known here beyond the contract."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from octosync.model import JsonValue
from octosync.server.store import Store, from_json, to_json

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


def allowed(store: Store) -> OrgPolicy:
    """Return the rules in force."""
    stored = store.meta(_KEY)
    return OrgPolicy() if stored is None else OrgPolicy(**{key: tuple(v) for key, v in from_json(stored).items()})


def replace_policy(store: Store, policy: OrgPolicy) -> None:
    """Put other rules in force."""
    store.put_meta(_KEY, to_json(policy.to_json()))
