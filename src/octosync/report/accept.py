"""What `octosync accept` says: each object with what its manifest says now and where, and what could not be accepted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from octosync.errors import OctosyncError
from octosync.model import Address, Origin, Sensitivity, counted
from octosync.plan import (
    FieldChange,
    shown_changes,
)
from octosync.report.errors import error_lines
from octosync.report.run_report import NOTHING_WRITTEN
from octosync.report.text import LIMIT, Style, change_words, key_words, text_of, visible


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedChange:
    """One object whose live value is in a manifest now: where it is declared, and the fields that changed there, or `what`."""

    address: Address
    origin: Origin
    fields: tuple[FieldChange, ...] = ()
    what: str = ""


def render_accepted(
    kept: Sequence[AcceptedChange],
    same: Iterable[Address],
    nowhere: Iterable[Address],
    refused: Sequence[OctosyncError],
    *,
    patch: bool = False,
    sensitivity: Sensitivity,
    colour: bool = False,
) -> str:
    """Render what accepting came to; of anything refused, only that. `patch`: the edits were printed, and not made."""
    style = Style(colour)
    if refused:
        return text_of([*(line for error in refused for line in error_lines(error, style)), f"  {NOTHING_WRITTEN}"])
    lines = [f"{visible(str(address))}: as declared already" for address in same]
    lines += [f"{visible(str(address))}: neither declared nor live" for address in nowhere]
    for one in kept:
        lines.append(f"{visible(str(one.address))}   {visible(_place(one))}")
        lines += [f"  {_field(change, sensitivity)}" for change in shown_changes(one.fields, sensitivity)] or [
            f"  {one.what}"
        ]
    if not kept:
        return text_of([*lines, "Nothing to accept."])
    files = counted(len({one.origin.file for one in kept}), "file")
    done = "Would accept" if patch else style.green("Accepted")
    rest = (
        "Nothing was written."
        if patch
        else "The next plan leaves " + ("it" if len(kept) == 1 else "them") + " as live."
    )
    return text_of([*lines, "", f"{done} {counted(len(kept), 'object')} in {files}. {rest}"])


def _place(one: AcceptedChange) -> str:
    return f"{one.origin.file}:{one.origin.line}"


def _field(change: FieldChange, sensitivity: Sensitivity) -> str:
    name = ".".join(key_words(part) for part in change.path)
    return f"{name} {change_words(change, sensitivity, limit=LIMIT)}"
