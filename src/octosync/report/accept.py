"""The report of `octosync accept`: each accepted object with its new fields and position, and what could not be accepted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from octosync.errors import OctosyncError
from octosync.model import Address, Origin, Sensitivity, counted
from octosync.plan import (
    FieldChange,
    shown_changes,
)
from octosync.report.differences import differences
from octosync.report.errors import error_lines
from octosync.report.run_report import NOTHING_WRITTEN
from octosync.report.text import LIMIT, Style, text_of, visible


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedChange:
    """An object whose live value was written into a manifest: its position and changed fields, or `what` was changed."""

    address: Address
    origin: Origin
    fields: tuple[FieldChange, ...] = ()
    what: str = ""


def render_accepted(
    accepted: Sequence[AcceptedChange],
    same: Iterable[Address],
    nowhere: Iterable[Address],
    refused: Sequence[OctosyncError],
    *,
    patch: bool = False,
    sensitivity: Sensitivity,
    colour: bool = False,
) -> str:
    """Render the accepted changes, or only the errors if anything was refused. `patch`: the edits were printed, not made."""
    style = Style(colour)
    if refused:
        return text_of([*(line for error in refused for line in error_lines(error, style)), f"  {NOTHING_WRITTEN}"])
    lines = [f"{visible(str(address))}: already as declared" for address in same]
    lines += [f"{visible(str(address))}: neither declared nor live" for address in nowhere]
    for change in accepted:
        lines.append(f"{visible(str(change.address))}   {visible(f'{change.origin.file}:{change.origin.line}')}")
        shown = shown_changes(change.fields, sensitivity)
        differing = [
            difference
            for field in shown
            for difference in differences(change.address.kind, field, sensitivity, limit=LIMIT)
        ]
        lines += [f"  {line}" for difference in differing for line in difference.text_lines()] or [f"  {change.what}"]
    if not accepted:
        return text_of([*lines, "Nothing to accept."])
    files = counted(len({change.origin.file for change in accepted}), "file")
    done = "Would accept" if patch else style.green("Accepted")
    rest = (
        "Nothing was written." if patch else f"The next plan does not change {'it' if len(accepted) == 1 else 'them'}."
    )
    return text_of([*lines, "", f"{done} {counted(len(accepted), 'object')} in {files}. {rest}"])
