"""Capabilities as lines: what enabling and optimizing would do, and the better variants that are only shown."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from octosync.model import Assignment, JsonValue, counted
from octosync.plan import EnableCapability, OptimizeCapability, Recommendation
from octosync.report.text import visible

_SEPARATOR = " · "


def enable_words(action: EnableCapability) -> Iterator[str]:
    """Yield what the orchestrator says that enabling would do, and why it chooses so."""
    preview = action.preview
    if preview is None:
        variant = f"deploys {visible(action.pin)}; " if action.pin is not None else ""
        yield f"{variant}no preview: {visible(action.no_preview)}" if action.no_preview else variant.rstrip("; ")
        return
    if preview.variant is None:
        yield "Octomil finds no variant for it"
    else:
        platforms = _platforms(preview.assignments) if preview.devices else ""
        shown = f" ({platforms})" if platforms else ""
        yield f"would deploy {visible(preview.variant)} to {counted(preview.devices, 'device')}{shown}"
    if preview.reason:
        yield f"because: {visible(preview.reason)}"
    yield from (f"warning: {visible(warning)}" for warning in preview.warnings)
    if action.preview_note:
        yield f"({visible(action.preview_note)})"


def optimize_words(action: OptimizeCapability) -> Iterator[str]:
    """Yield which variant a canary brings, and how much better it is."""
    before = (action.before or {}).get("model_variant_id")
    current = visible(str(before)) if before is not None else "what runs"
    yield f"canary {current} → {visible(action.suggested)}{improvement_words(action.check.improvement)}"
    if action.check.reason:
        yield f"because: {visible(action.check.reason)}"


def recommendation_lines(recommendations: Iterable[Recommendation]) -> Iterator[str]:
    """Yield the better variants that a plan does not roll out, and what an automatic rollout waits for."""
    for number, one in enumerate(recommendations):
        if not number:
            yield "Better variants, not rolled out by this plan:"
        current = visible(one.current) if one.current is not None else "what runs"
        suggested = visible(one.suggested) if one.suggested is not None else "another one"
        waiting = f"; waiting: {visible(one.waiting)}" if one.waiting else ""
        where = f"{visible(one.address.app)}/{visible(one.address.name)}"
        yield f"  {where}  {current} → {suggested}{improvement_words(one.improvement)}{waiting}"


def improvement_words(improvement: Mapping[str, JsonValue]) -> str:
    """Write how much better a variant is, each metric by its name: ` (latency 18 % better, quality 2 % worse)`."""
    parts = [f"{visible(metric)} {_percent(improvement[metric])}" for metric in sorted(improvement)]
    return f" ({', '.join(parts)})" if parts else ""


def _percent(value: JsonValue) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return visible(value if isinstance(value, str) else json.dumps(value))
    if not value:
        return "the same"
    return f"{abs(value) * 100:.3g} % {'better' if value > 0 else 'worse'}"


def _platforms(assignments: Iterable[Assignment]) -> str:
    """Sum devices by platform: `ios 900 · android 340`, most first."""
    counts: Counter[str] = Counter()
    for one in assignments:
        counts[one.platform or "unknown platform"] += one.devices
    return _SEPARATOR.join(
        f"{visible(name)} {count:,}" for name, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    )
