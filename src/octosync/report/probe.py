"""What `octosync api probe` says: what came of each read operation, and the overrides that follow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from octosync.contract import OPERATIONS, Contract
from octosync.contract.probe import Probe, Probed, Verdict, overrides_of
from octosync.model import JsonObject, counted
from octosync.plan import FORMAT_VERSION
from octosync.report.ink import Ink
from octosync.report.show.api import overrides_document, overrides_yaml
from octosync.report.text import padded, text_of, visible

_IDS = max(map(len, OPERATIONS))
_WORDS = {verdict: verdict.value.replace("-", " ") for verdict in Verdict}
_OPEN = "what your control plane calls it"


def render_probe(probe: Probe, contract: Contract, *, url: str, colour: bool) -> str:
    """Render what came of each operation, the counts, and the lines for octosync.yaml; `url` is the control plane's."""
    ink = Ink(colour)
    app = f" · app {visible(probe.app)}" if probe.app is not None else ""
    lines = [f"octosync api probe · {url.partition('://')[2]}{app}", ""]
    width = max((len(_sends(one)) for one in probe.operations), default=0)
    for one in probe.operations:
        lines += _lines(one, width, ink)
    lines += ["", _counts(probe, ink)]
    if {one.verdict for one in probe.operations} <= {Verdict.ABSENT, Verdict.NOT_TRIED}:
        lines += ["", f"Nothing is where octosync expects it: check that {url} is the API's URL."]
    else:
        lines += _overrides(probe, contract)
    return text_of(lines)


def probe_document(probe: Probe, contract: Contract, *, url: str) -> JsonObject:
    """Return the same as JSON; `api` is what octosync.yaml has to have, and `incomplete` where a path has a gap to fill."""
    overrides, incomplete = overrides_of(probe, contract)
    return {
        "format_version": FORMAT_VERSION,
        "control_plane": url,
        "app": probe.app,
        "requests": probe.requests,
        "good": probe.is_good,
        "operations": [
            {
                "id": one.operation.id,
                "method": one.operation.method,
                "path": one.operation.path,
                "verdict": one.verdict.value,
                "notes": list(one.notes),
                "found_at": one.found_at,
            }
            for one in probe.operations
        ],
        "api": None if overrides is None else overrides_document(overrides),
        "incomplete": sorted(incomplete),
    }


def _sends(one: Probed) -> str:
    return f"{one.operation.method} {one.operation.path}"


def _lines(one: Probed, width: int, ink: Ink) -> Iterator[str]:
    mark, paint = {
        Verdict.CONFIRMED: ("✓", ink.green),
        Verdict.NOT_TRIED: ("–", ink.dim),
    }.get(one.verdict, ("✗", ink.red))
    notes = tuple(map(visible, one.notes))
    beside = f": {'; '.join(notes)}" if one.verdict.is_good and notes else ""
    head = f"{paint(mark)} {padded(one.operation.id, _IDS)}  {padded(_sends(one), width)}"
    yield f"{head}  {paint(_WORDS[one.verdict])}{ink.dim(beside)}"
    if not one.verdict.is_good:
        yield from (f"    {note}" for note in notes)


def _counts(probe: Probe, ink: Ink) -> str:
    counts = Counter(one.verdict for one in probe.operations)
    said = ", ".join(f"{counts[verdict]} {_WORDS[verdict]}" for verdict in Verdict if counts[verdict])
    return f"{counted(probe.requests, 'GET')}: {ink.green(said) if probe.is_good else ink.red(said)}."


def _overrides(probe: Probe, contract: Contract) -> Iterator[str]:
    overrides, incomplete = overrides_of(probe, contract)
    if overrides is None:
        return
    gap = ", with the path that is right in place of …" if incomplete else ""
    notes = dict.fromkeys(incomplete, _OPEN)
    yield from ("", f"In octosync.yaml, as all of its `api`{gap}:", "")
    yield from map(visible, overrides_yaml(overrides, notes=notes))
