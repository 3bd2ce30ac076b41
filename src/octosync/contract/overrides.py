"""The overrides that make a contract what it is, as `api` in octosync.yaml says them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from octosync.contract.contract import Contract
from octosync.contract.operations import OPERATIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """`api` of octosync.yaml; empty where nothing is overridden."""

    operations: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    read_only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    platforms: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return bool(self.operations or self.read_only or self.platforms)

    def with_more(
        self, operations: Mapping[str, Mapping[str, str]], read_only: Mapping[str, Iterable[str]]
    ) -> Overrides:
        """Return these with others over them, in the order of the table."""
        moved = {id_: {**self.operations.get(id_, {}), **operations.get(id_, {})} for id_ in OPERATIONS}
        fields = {
            name: tuple(sorted({*self.read_only.get(name, ()), *read_only.get(name, ())})) for name in Contract().shapes
        }
        return Overrides(
            operations={id_: said for id_, one in moved.items() if (said := _differing(id_, one))},
            read_only={name: said for name, said in fields.items() if said},
            platforms=self.platforms,
        )


def overrides_in(contract: Contract) -> Overrides:
    """Return what a contract differs by from the plain one."""
    plain = Contract()
    moved = {id_: _differing(id_, {"method": one.method, "path": one.path}) for id_, one in contract.operations.items()}
    fields = {
        name: tuple(sorted(shape.read_only - plain.shapes[name].read_only)) for name, shape in contract.shapes.items()
    }
    return Overrides(
        operations={id_: said for id_, said in moved.items() if said},
        read_only={name: said for name, said in fields.items() if said},
        platforms=tuple(one for one in contract.platforms if one not in plain.platforms),
    )


def _differing(id_: str, said: Mapping[str, str]) -> dict[str, str]:
    plain = {"method": OPERATIONS[id_].method, "path": OPERATIONS[id_].path}
    return {key: value for key, value in said.items() if value != plain[key]}
