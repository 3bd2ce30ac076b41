"""What the guards refuse as text, and the ways out, exactly as to be typed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from octosync.plan import Override, Refusal, trailer_of, way_out_of
from octosync.report.ink import Ink
from octosync.report.run_report import PlanReport
from octosync.report.text import visible
from octosync.report.words import listed


def override_words(override: Override) -> str:
    """Name an override as it was given: a flag with its value, or the guard and where it was loosened."""
    if override.source.startswith("--"):
        return visible(f"{override.source} {override.value}".rstrip())
    value = f"={override.value}" if override.value else ""
    return visible(f"{override.guard}{value} ({override.source})")


def blocked_lines(report: PlanReport, ink: Ink, *, mark: str = "!") -> Iterator[str]:
    """Yield each refusal, then one command line that allows all of them: flags that already are in force stay in it.

    `mark` is what the refused changes are marked with below.
    """
    blocked, overrides, about = report.blocked, report.overrides, report.about
    for one in blocked:
        yield f"{ink.red('Blocked')}: {visible(one.message)} (guard {one.guard})"
        if one.override is not None and one.addresses:
            yield f"  {listed((visible(str(address)) for address in one.addresses), at_most=1)}, marked {mark} below"
        if (way_out := way_out_of(one, about)) is not None:
            yield f"  Way out: {visible(way_out)}"
    flags = tuple(dict.fromkeys(one.override for one in blocked if one.override is not None))
    if flags:
        still = any(one.override is None for one in blocked)
        label = "If the rest is meant, after that:" if still else "If this is meant:"
        yield f"  {label}   {visible(' '.join((about.apply_command, *_in_force(blocked, overrides), *flags)))}"
    trailers = {one.guard: trailer_of(one, about) for one in blocked}
    if lines := [line for line in trailers.values() if line is not None]:
        allows = " ".join(line.removeprefix("Octosync-Allow: ") for line in lines)
        others = [guard for guard, line in trailers.items() if line is None]
        rest = f"   (no commit lifts {' or '.join(others)})" if others else ""
        yield f"  In a commit:       {visible(f'Octosync-Allow: {allows}')}{rest}"


def _in_force(blocked: Sequence[Refusal], overrides: Sequence[Override]) -> Iterator[str]:
    # A guard that still refuses gets a new value; repeating its old one would contradict that.
    refusing = {one.guard for one in blocked}
    for override in overrides:
        if override.guard not in refusing and override.source.startswith("--"):
            yield override_words(override)
