"""The changes of a plan in the order of their weight, and the table that counts them.

What needs most attention comes first: removals and archives, then updates, capability changes and creations. Where there are
many apps, they are grouped by folder or owner.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import PurePosixPath
from typing import Final

from octosync.model import App, Sensitivity, counted
from octosync.plan import Plan, Verb
from octosync.report.changes import Group, Row, Weight
from octosync.report.text import Style, cells, padded, visible

MANY: Final = 10  # apps that are listed one by one
_ROWS: Final = 10  # rows of the table, so that the first changes are on the same screen
_OWNER_LABELS: Final = ("owner", "team")
_NO_OWNER: Final = "(none)"
_VERBS: Final = (Verb.CREATE, Verb.UPDATE, Verb.DELETE, Verb.ARCHIVE, Verb.ENABLE, Verb.OPTIMIZE)
_WORDS: Final = (Verb.CREATE, Verb.UPDATE, Verb.DELETE, Verb.ENABLE, Verb.OPTIMIZE, Verb.ARCHIVE)
_HELD: Final = "held"


def verb_words(verbs: Iterable[Verb]) -> str:
    """Return the counts of actions by verb: `2 to create, 1 to update`; "" for none."""
    counts = Counter(verbs)
    return ", ".join(f"{counts[verb]:,} to {verb.value}" for verb in _WORDS if counts[verb])


def totals_of(verbs: Iterable[Verb], held: int) -> str:
    """Return the counts of planned and of held actions: `2 to create; 1 held`; "" for none."""
    return "; ".join(filter(None, (verb_words(verbs), f"{held:,} held" if held else "")))


def row_totals(rows: Iterable[Row]) -> str:
    """Return the counts of rows; "" if none of them changes anything."""
    changing = [row for row in rows if row.verb is not None]
    planned = (row.verb for row in changing if not row.is_held)
    return totals_of(filter(None, planned), sum(row.is_held for row in changing))


@dataclass(frozen=True, slots=True)
class Batch:
    """The apps of a folder or an owner, within a section; `name` is "" if apps are not grouped."""

    name: str
    groups: tuple[Group, ...]

    @property
    def heading(self) -> str:
        """The name with the counts of the batch."""
        words = row_totals(row for group in self.groups for row in group.rows)
        return ": ".join(filter(None, (f"{visible(self.name)} · {counted(len(self.groups), 'app')}", words)))


@dataclass(frozen=True, slots=True)
class ChangeSection:
    """The changes of one weight; those of any weight, without a title, if the plan has only one app."""

    weight: Weight
    title: str
    batches: tuple[Batch, ...]

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups of all batches."""
        return tuple(group for batch in self.batches for group in batch.groups)

    @property
    def heading(self) -> str:
        """The title with the counts of the section."""
        objects = sum(len(group.rows) for group in self.groups)
        return f"{self.title}: {objects:,} in {counted(len(self.groups), 'app')}"


@dataclass(frozen=True, slots=True)
class Grouping:
    """How the apps of a plan are grouped: `unit` is `folder` or the label of the owner, `app` if they are not grouped."""

    unit: str
    names: Mapping[str, str]

    def name_of(self, group: Group) -> str:
        """Return the name of the batch of an app; "" if apps are not grouped."""
        return self.names.get(group.slug, "")


def grouping_of(groups: Sequence[Group], apps: Mapping[str, App], sensitivity: Sensitivity) -> Grouping:
    """Return how to group apps: not at all unless there are many, else by folder or, if they have one, by owner."""
    if len(groups) > MANY:
        for unit, names in _groupings(groups, apps, sensitivity):
            if 1 < len({*names.values()}) <= len(names) // 2:
                return Grouping(unit, names)
    return Grouping("app", {})


def _groupings(
    groups: Sequence[Group], apps: Mapping[str, App], sensitivity: Sensitivity
) -> Iterator[tuple[str, dict[str, str]]]:
    folders = {group.slug: PurePosixPath(group.origin.path if group.origin else "").parent for group in groups}
    for depth in range(max((len(folder.parts) for folder in folders.values()), default=0), 0, -1):
        yield "folder", {slug: f"{PurePosixPath(*folder.parts[:depth])}/" for slug, folder in folders.items()}
    for label in _OWNER_LABELS:
        if not sensitivity.covers(label):
            yield label, {group.slug: apps[group.slug].labels.get(label) or _NO_OWNER for group in groups}


def sections_of(groups: Sequence[Group], grouping: Grouping) -> tuple[ChangeSection, ...]:
    """Return the changes of a plan by weight."""
    if len(groups) == 1:
        return (ChangeSection(groups[0].rows[0].weight, "", (Batch("", tuple(groups)),)),)
    split: dict[Weight, list[Group]] = {weight: [] for weight in Weight}
    for group in groups:
        for weight, rows in groupby(group.rows, key=lambda row: row.weight):
            split[weight].append(replace(group, rows=tuple(rows)))
    found = [weight for weight in Weight if split[weight]]
    return tuple(
        ChangeSection(weight, weight.value if len(found) > 1 else "", _batches(split[weight], grouping))
        for weight in found
    )


def _batches(groups: Sequence[Group], grouping: Grouping) -> tuple[Batch, ...]:
    if len(groups) <= MANY:
        return (Batch("", tuple(groups)),)
    batches: dict[str, list[Group]] = {}
    for group in groups:
        batches.setdefault(grouping.name_of(group), []).append(group)
    return tuple(Batch(name, tuple(batches[name])) for name in sorted(batches))


@dataclass(frozen=True, slots=True)
class SummaryTable:
    """The counts of a plan by app, folder or owner and by verb: the titles of the columns, the rows, and the totals."""

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    totals: tuple[str, ...]

    def lines(self, style: Style) -> Iterator[str]:
        """Yield the table as text."""
        every = (self.titles, *self.rows, self.totals)
        widths = [max(map(cells, cells_of)) for cells_of in zip(*every, strict=True)]
        for row in every:
            numbers = "".join(
                f"  {' ' * (width - cells(number))}{number}" for number, width in zip(row[1:], widths[1:], strict=True)
            )
            line = f"{padded(row[0], widths[0])}{numbers}"
            yield style.bold(line) if row in (self.titles, self.totals) else line


def summary_table(plan: Plan, groups: Sequence[Group], grouping: Grouping) -> SummaryTable:
    """Return the table of a plan. If it would be long, the rows with the least weight are counted in one."""
    keys = {group.slug: grouping.name_of(group) or visible(group.slug) for group in groups}
    counts: dict[str, Counter[str]] = {}
    apps: dict[str, set[str]] = {}
    named = [(action.address.app, action.verb.value) for action in plan.actions]
    for slug, column in (*named, *((change.action.address.app, _HELD) for change in plan.held)):
        counts.setdefault(keys[slug], Counter())[column] += 1
        apps.setdefault(keys[slug], set()).add(slug)
    total = sum(counts.values(), Counter())
    columns = [name for name in (*(verb.value for verb in _VERBS), _HELD) if total[name]]
    order = sorted(counts, key=lambda key: (*(-weight for weight in _weights(counts[key])), key))
    shown, rest = (order, []) if len(order) <= _ROWS else (order[: _ROWS - 1], order[_ROWS - 1 :])

    def row(name: str, keys: Sequence[str]) -> tuple[str, ...]:
        summed = sum((counts[key] for key in keys), Counter())
        of_apps = [f"{sum(len(apps[key]) for key in keys):,}"] if grouping.names else []
        return (visible(name), *of_apps, *(f"{summed[column]:,}" if summed[column] else "–" for column in columns))

    rows = [row(key, [key]) for key in shown]
    if rest:
        rows.append(row(f"{counted(len(rest), f'other {grouping.unit}')}", rest))
    titles = (grouping.unit, *(["apps"] if grouping.names else []), *columns)
    return SummaryTable(titles, tuple(rows), row("total", order))


def _weights(counts: Mapping[str, int]) -> tuple[int, ...]:
    """Return the numbers of changes by weight; held ones, which nothing will happen to, are last."""
    by_verb = {verb: counts.get(verb.value, 0) for verb in Verb}
    return (
        by_verb[Verb.DELETE] + by_verb[Verb.ARCHIVE],
        by_verb[Verb.UPDATE],
        by_verb[Verb.ENABLE] + by_verb[Verb.OPTIMIZE],
        by_verb[Verb.CREATE],
        counts.get(_HELD, 0),
    )
