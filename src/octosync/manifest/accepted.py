"""Accepted: what accepting one object comes to, and what all kinds of objects have in common on the way there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from octosync.contract import Contract
from octosync.errors import OctosyncError
from octosync.manifest.editing import Edit, Place, without_item
from octosync.manifest.export.export import Exported, export_app
from octosync.manifest.export.yaml_writer import entry
from octosync.model import Address, App, JsonObject, Origin, Section, Sensitivity
from octosync.plan import Action, FieldChange

Claims: TypeAlias = Mapping[tuple[str, str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What accepting one object comes to.

    `app` is what is declared of its app then, `edit` what makes it so in the file of `origin`. `fields` are what changes in
    the manifest; where they are none, `what` says it in words. `lines` are the YAML, for whoever has to write it themselves.
    """

    address: Address
    app: App
    edit: Edit
    origin: Origin
    fields: tuple[FieldChange, ...] = ()
    what: str = ""
    lines: tuple[str, ...] = ()


def refusal(address: Address, why: str, *hints: str) -> OctosyncError:
    """Return the error that says why an object can't be accepted."""
    return OctosyncError("not-acceptable", f"{address} can't be accepted: {why}", hints=hints)


class Accepting:
    """One object on its way into the manifests."""

    def __init__(  # noqa: PLR0917 — what `accept` was given
        self,
        action: Action,
        desired: App,
        live: App,
        contract: Contract,
        sensitivity: Sensitivity,
        claims: Claims,
    ) -> None:
        self.address = action.address
        self.desired = desired
        self.live = live
        self.contract = contract
        self.sensitivity = sensitivity
        self.claims = claims
        # What the action would change, the other way round.
        self.fields = tuple(FieldChange(one.path, one.after, one.before) for one in action.fields)

    def accepted(
        self,
        app: App,
        *places: Place,
        origin: Origin | None,
        fields: tuple[FieldChange, ...] = (),
        what: str = "",
        lines: tuple[str, ...] = (),
    ) -> Accepted:
        """Put together what is accepted. Raises `OctosyncError` where nothing says where it is declared."""
        if origin is None:
            raise refusal(self.address, "nothing says where it is declared")
        return Accepted(
            address=self.address,
            app=app,
            edit=Edit(app=self.desired.slug, places=places),
            origin=origin,
            fields=fields,
            what=what if not fields else "",
            lines=lines,
        )

    def exported(self, live: App, *sections: Section) -> Exported:
        """Return how export would declare what is live, with what it would leave out and why."""
        return export_app(
            live, sections, contract=self.contract, sensitivity=self.sensitivity, claims=dict(self.claims)
        )

    def refuse_left_out(self, exported: Exported, address: Address, names: Iterable[str]) -> None:
        """Refuse what an export would leave out of these fields. Raises `OctosyncError`."""
        wanted = set(names)
        for one in exported.left_out:
            if one.address == address and one.name in wanted:
                raise refusal(self.address, f"{one.name}: {one.why}")


def removals(section: str, kind: str, known_by: JsonObject) -> tuple[Place, Place]:
    """Return where a thing is taken away: out of its app's list, or with its own document."""
    return (
        Place(kind="App", path=("spec", section), item=known_by, change=without_item(known_by)),
        Place(kind=kind, known_by=known_by),
    )


def lines_of(values: JsonObject, *, of_list: bool = False) -> tuple[str, ...]:
    """Return fields as lines of YAML, for whoever has to write them themselves; `of_list`: as an item."""
    lines = [line for name, value in values.items() for line in entry(name, value, 2 if of_list else 0)]
    return tuple([f"- {lines[0].lstrip()}", *lines[1:]] if of_list and lines else lines)
