"""`Octosync-Allow`: a commit's own line that lifts guards. It is reviewed with the change, and in force until that is applied."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from octosync.model import Diagnostic
from octosync.plan.diagnostics import FINDINGS
from octosync.plan.guards.flags import TRAILERS, Allowance
from octosync.plan.guards.policy import GuardPolicy, Override
from octosync.plan.guards.table import GUARDS, guard_of
from octosync.plan.plan import Commit

KEY: Final = "Octosync-Allow"
_SHOWN: Final = 12
_LINE: Final = re.compile(rf"[ \t]*{KEY}[ \t]*:(?P<terms>.*)", re.IGNORECASE)
_NUMBER: Final = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Allowances:
    """What commits allow, one override a commit and guard, and what is wrong with their lines."""

    overrides: tuple[Override, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()


def allowances_in(commits: Iterable[Commit], listed: Collection[str]) -> Allowances:
    """Read the lines of commits, in their order, for the guards that `guards.trailers` lists."""
    overrides: dict[Override, None] = {}
    diagnostics: dict[Diagnostic, None] = {}
    for commit in commits:
        for term in _terms(commit.message):
            match _read(term, commit, listed):
                case Override() as override:
                    overrides[override] = None
                case Diagnostic() as diagnostic:
                    diagnostics[diagnostic] = None
    return Allowances(tuple(overrides), tuple(diagnostics))


def in_force(allowances: Allowances, policy: GuardPolicy) -> tuple[Override, ...]:
    """Return what commits allow of guards that no flag of this run is about."""
    return tuple(override for override in allowances.overrides if override.guard not in policy.allowed)


def loosened(policy: GuardPolicy, overrides: Iterable[Override]) -> GuardPolicy:
    """Return a policy with overrides in force. Numbers of several commits add up."""
    numbers: dict[str, int] = {}
    lifted: dict[str, Allowance] = {}
    for override in overrides:
        guard = guard_of(override.guard)
        if guard is not None and guard.counts:
            numbers[override.guard] = numbers.get(override.guard, 0) + int(override.value)
        else:
            lifted[override.guard] = True
    return replace(policy, allowed={**policy.allowed, **lifted, **numbers})


def _terms(message: str) -> Iterator[str]:
    for line in message.splitlines():
        if found := _LINE.fullmatch(line):
            yield from re.split(r"[\s,]+", found["terms"].strip()) if found["terms"].strip() else ("",)


def _read(term: str, commit: Commit, listed: Collection[str]) -> Override | Diagnostic:
    id_, equals, value = term.partition("=")
    name, _, _ = id_.partition(":")
    where = f"commit {commit.id[:_SHOWN]}"
    if not term:
        return _nothing(where, "", f"its {KEY} line names no guard", f"write it like {KEY}: deletes=14")
    guard = guard_of(id_)
    if name not in TRAILERS or (guard is None and not GUARDS[name].has_parts):
        known = ", ".join(sorted(listed)) or "none"
        return _nothing(where, term, "unknown guard", f"guards that a commit can override here: {known}")
    if name not in listed:
        return _nothing(where, term, "a commit can't override this guard", "octosync.yaml: guards.trailers")
    if guard is None:
        return _nothing(where, term, "it names no policy", f"write it like {name}:NAME")
    if guard.counts and not _NUMBER.fullmatch(value):
        return _nothing(where, term, "it needs a number", f"write it like {id_}=14")
    if not guard.counts and equals:
        return _nothing(where, term, "it takes no value", f"write it as {id_}")
    return Override(guard=id_, value=str(int(value)) if value else "", source=where)


def _nothing(where: str, term: str, why: str, note: str) -> Diagnostic:
    summary = f"`{term}` in its {KEY} line allows nothing: {why}" if term else why
    return Diagnostic(
        severity=FINDINGS["allows-nothing"].severity,
        rule="allows-nothing",
        summary=f"{where}: {summary}",
        notes=(note,),
    )
