"""An app's slots as text: each with the reference that its developer uses, its devices, and what is deployed where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from octosync.contract import ENVIRONMENTS, preset_of
from octosync.contract.policy import known_part
from octosync.errors import RemoteError
from octosync.model import AppStatus, Deployment, JsonValue, Section, counted
from octosync.report.bars import bar, percent_words, share_of
from octosync.report.ink import Ink
from octosync.report.text import cells, padded, visible

NOTHING: Final = "—"  # there is none: a read said so
UNREAD: Final = "?"  # a read failed, or did not go that far
_HEADINGS: Final = ("MODEL REFERENCE", "VARIANT", "POLICY")


@dataclass(frozen=True, slots=True)
class Pen:
    """How a report is drawn: in colour or not, with block characters or in ASCII."""

    ink: Ink
    blocks: bool = True

    def gauge(self, share: float | None) -> str:
        """Draw a share, and write it beside."""
        return f"{bar(share, blocks=self.blocks)} {percent_words(share)}"


def model_reference(slug: str, capability: str) -> str:
    """Return what an app's developer passes to the SDK for a slot (public)."""
    return f"@app/{slug}/{capability}"


def policy_name(policy: JsonValue) -> str | None:
    """Name a slot's serving policy: its preset, else `custom`; None where none is set."""
    if policy is None:
        return None
    known = known_part(policy) if isinstance(policy, Mapping) else policy
    return preset_of(known) or "custom"


def failed_words(error: RemoteError) -> str:
    """Say in a part's place that it could not be read."""
    return f"{UNREAD} not read: {visible(error.reference)}"


def coverage_word(status: str, ink: Ink) -> str:
    """Write a coverage's status; one that is not known is shown as it is."""
    paint = {"covered": ink.green, "partial": ink.yellow, "uncovered": ink.red}.get(status, ink.cyan)
    return paint(visible(status))


def slot_lines(status: AppStatus, label: int, pen: Pen) -> Iterator[str]:
    """Yield an app's capabilities; `label` is how wide the names are that stand before what is said of each."""
    rows = [_row(status, capability) for capability in status.capabilities]
    if isinstance(status.slots, RemoteError):
        yield f"  {padded('slots', label)}  {failed_words(status.slots)}"
    elif not rows:
        yield f"  {padded('slots', label)}  {UNREAD if Section.SLOTS in status.cut else NOTHING}"
    if rows:
        widths = [max(map(cells, column)) for column in zip(_HEADINGS, *rows, strict=True)]
        yield from ("", pen.ink.dim(f"  {_columns(_HEADINGS, widths)}"))
        for capability, row in zip(status.capabilities, rows, strict=True):
            yield f"  {_columns(row, widths)}"
            said = (*_devices(status, capability, pen), *_deployments(status, capability, pen))
            yield from (f"    {padded(name, label - 2)}  {words}" for name, words in said)


def _columns(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(padded(text, width) for text, width in zip(row, widths, strict=True)).rstrip()


def _row(status: AppStatus, capability: str) -> tuple[str, str, str]:
    """Return a slot's reference, variant and policy."""
    reference, slot = visible(model_reference(status.slug, capability)), status.slot(capability)
    if slot is not None:
        policy = policy_name(slot.fields.get("serving_policy"))
        return reference, _variant(slot.fields.get("model_variant_id")), policy or NOTHING
    if isinstance(status.slots, RemoteError) or Section.SLOTS in status.cut:
        return reference, UNREAD, UNREAD
    return f"{reference} (no slot)", NOTHING, NOTHING


def _variant(variant: JsonValue) -> str:
    return NOTHING if variant is None else visible(str(variant))


def _devices(status: AppStatus, capability: str, pen: Pen) -> Iterator[tuple[str, str]]:
    """Yield how many of the app's devices have a capability."""
    one = status.coverage(capability)
    if isinstance(status.health, RemoteError):
        yield "devices", failed_words(status.health)
    elif one is not None:
        word, covered, total = coverage_word(one.status, pen.ink), one.covered_devices, one.total_devices
        if covered is None or total is None:
            yield "devices", word
        elif total == 0:
            yield "devices", f"{word}: no devices seen"
        else:
            yield "devices", f"{pen.gauge(share_of(covered, total))}  {word}: {covered:,} of {counted(total, 'device')}"
    elif status.slot(capability) is not None:
        yield "devices", f"{UNREAD} the coverage does not name it"


def _deployments(status: AppStatus, capability: str, pen: Pen) -> Iterator[tuple[str, str]]:
    """Yield by environment what is deployed."""
    if isinstance(status.deployments, RemoteError):
        yield "deployments", failed_words(status.deployments)
        return
    found = sorted(status.deployments_of(capability), key=_by_environment)
    yield from ((visible(one.environment), _deployment(one, pen)) for one in found)
    if not found:
        cut = Section.DEPLOYMENTS in status.cut
        yield "deployments", f"{UNREAD} none on the page that was read" if cut else "not deployed"


def _by_environment(one: Deployment) -> tuple[int, str]:
    known = ENVIRONMENTS.index(one.environment) if one.environment in ENVIRONMENTS else len(ENVIRONMENTS)
    return known, one.environment


def _deployment(one: Deployment, pen: Pen) -> str:
    status, variant = visible(one.status), _variant(one.variant)
    if one.canary is not None:
        percentage, candidate = one.canary.percentage, _variant(one.canary.candidate)
        word = pen.ink.cyan("canary") if status == "active" else f"{pen.ink.cyan('canary')}, {status}"
        return f"{pen.gauge(None if percentage is None else percentage / 100)}  {word}: {variant} → {candidate}"
    return f"{status if one.live else pen.ink.red(status)}: {variant}"
