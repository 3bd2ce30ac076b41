"""Ties: apps that have to be planned together, since a target moves between them. A move is both its halves, or nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from octosync.model import State


def ties(tree: State, base: State, holders: Mapping[tuple[str, str], str]) -> Mapping[str, frozenset[str]]:
    """Return for each app that gives a target to another one, or gets one, all that it is tied to, itself included.

    The tree says where a target is to be; the base, and `holders` (slugs by platform and identifier, as far as live state
    is known) say where it is. Swaps, cycles and chains are one. Apps that neither tree nor base has give nothing away, so
    nobody is tied to them; apps without ties are not in it.
    """
    wanted = {target.unique_key: app.slug for app in tree for target in app.targets}
    tied: dict[str, set[str]] = {}
    for one, other in _moves(wanted, tree, base, holders):
        mine, others = tied.setdefault(one, {one}), tied.setdefault(other, {other})
        if mine is others:
            continue
        smaller, larger = sorted((mine, others), key=len)
        larger |= smaller
        for slug in smaller:
            tied[slug] = larger
    return {slug: frozenset(tied[slug]) for slug in sorted(tied)}


def _moves(
    wanted: Mapping[tuple[str, str], str], tree: State, base: State, holders: Mapping[tuple[str, str], str]
) -> Iterator[tuple[str, str]]:
    """Yield by whom a target is to be had, and by whom it is."""
    for app in base:
        for target in app.targets:
            slug = wanted.get(target.unique_key, app.slug)
            if slug != app.slug:
                yield slug, app.slug
    for key, holder in holders.items():
        slug = wanted.get(key, holder)
        if slug != holder and (holder in tree.apps or holder in base.apps):
            yield slug, holder
