"""Which live binding a declared one is about: bindings have no order, and may be declared in part."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence

from octosync.model import JsonValue, canonical_json, json_equal


def pair(desired: Sequence[JsonValue], live: Sequence[JsonValue]) -> list[int | None]:
    """Return for each declared binding the index of its live partner, None where it has none.

    A binding with a `binding_key` is about the live one with that key. The others are about one that has all they declare:
    an equal one first, and otherwise so that as many as can be find one, whatever the order of either list.
    """
    partner: dict[int, int] = {}
    holder: dict[int, int] = {}
    keys = [key_of(binding) for binding in live]
    texts = [canonical_json(binding) for binding in live]
    _match({i: key for i, one in enumerate(desired) if (key := key_of(one)) is not None}, keys, partner, holder)
    rest = [i for i, one in enumerate(desired) if key_of(one) is None]
    _match({i: canonical_json(desired[i]) for i in rest}, texts, partner, holder)
    open_ = [j for j in range(len(live)) if j not in holder]
    rest = [i for i in rest if i not in partner]
    candidates = _candidates({i: desired[i] for i in rest}, {j: live[j] for j in open_})
    for i in rest:
        _find_place(i, candidates, partner, holder)
    return [partner.get(i) for i in range(len(desired))]


def key_of(binding: JsonValue) -> str | None:
    """Return the canonical text of a binding's `binding_key`, None where it has none."""
    key = binding.get("binding_key") if isinstance(binding, Mapping) else None
    return None if key is None else canonical_json(key)


def contains(live: JsonValue, declared: JsonValue) -> bool:
    """Say whether a live binding has every field that is declared, each with its declared value."""
    if isinstance(live, Mapping) and isinstance(declared, Mapping):
        return all(key in live and json_equal(value, live[key]) for key, value in declared.items())
    return json_equal(live, declared)


def _match(
    wanted: Mapping[int, str], offered: Sequence[str | None], partner: dict[int, int], holder: dict[int, int]
) -> None:
    """Pair what has the same text, in order."""
    places: defaultdict[str | None, deque[int]] = defaultdict(deque)
    for j, text in enumerate(offered):
        if j not in holder:
            places[text].append(j)
    for i, text in wanted.items():
        if places[text]:
            j = places[text].popleft()
            partner[i], holder[j] = j, i


def _candidates(wanted: Mapping[int, JsonValue], offered: Mapping[int, JsonValue]) -> dict[int, list[int]]:
    """Return for each declared binding the live ones that have all it declares, in order.

    By an index of the live ones' fields: comparing each with each took half a minute for 3,000 of both.
    """
    objects = {j: binding for j, binding in offered.items() if isinstance(binding, Mapping)}
    having: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for j, binding in objects.items():
        for name, value in binding.items():
            having[name, canonical_json(value)].add(j)
    found: dict[int, list[int]] = {}
    for i, declared in wanted.items():
        fields = declared.items() if isinstance(declared, Mapping) else ()
        places = [having.get((name, canonical_json(value)), set()) for name, value in fields]
        everywhere = set(objects) if isinstance(declared, Mapping) else set()
        found[i] = sorted(set.intersection(*sorted(places, key=len)) if places else everywhere)
    return found


def _find_place(
    start: int, candidates: Mapping[int, Sequence[int]], partner: dict[int, int], holder: dict[int, int]
) -> None:
    """Give `start` a partner, moving others to another of theirs where that makes room (an augmenting path)."""
    reached_from: dict[int, int] = {}
    queue = deque([start])
    while queue:
        i = queue.popleft()
        for j in candidates[i]:
            if j in reached_from:
                continue
            reached_from[j] = i
            if j in holder:
                queue.append(holder[j])
                continue
            place: int | None = j
            while place is not None:
                mover = reached_from[place]
                left = partner.get(mover)
                partner[mover], holder[place] = place, mover
                place = left
            return
