"""Order: which action must be done before which.

Within an app, things come up from the app to what refers to it, and go down the other way:

    create, update app
      └─ register target        remove target ── before the same tuple is registered anywhere
      └─ put slot
           └─ enable its capability   once all targets are registered, and removed ones gone: it assigns devices to what
           └─ optimize it             is registered then
           └─ put inference config (for the slots that it names)
                └─ delete slot  (once no config names it)
                     └─ archive app, after everything else of it

An archive can't be undone, so it also comes after everything else of the plan. It depends only on what it names; apply
sends no archive after an action that was not done.

Across apps: a move's removal waits for all that its registration waits for, so that the second half can follow at once;
an inference config waits for the new slots of other apps that it names (`@app/<slug>/<capability>`), and a slot, or an
app, goes only after the configs that cease to name it.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from octosync.model import Address, JsonObject, canonical_json
from octosync.plan.actions import (
    Action,
    ActionKey,
    ArchiveApp,
    CreateApp,
    DeleteInferenceConfig,
    DeleteSlot,
    EnableCapability,
    OptimizeCapability,
    PutInferenceConfig,
    PutSlot,
    RegisterTarget,
    RemoveTarget,
    UpdateApp,
)

# Which kinds of actions of the same app come before an action. Ready actions run app by app, in the order of these rows:
# an app that was just created gets its children at once, while what was read of it is fresh, and a run that dies half-way
# leaves few apps half done.
NEEDS: Final[Mapping[type[Action], tuple[type[Action], ...]]] = {
    CreateApp: (),
    UpdateApp: (),
    RemoveTarget: (),
    RegisterTarget: (CreateApp,),
    PutSlot: (CreateApp,),
    PutInferenceConfig: (CreateApp,),
    DeleteInferenceConfig: (),
    EnableCapability: (CreateApp, RemoveTarget, RegisterTarget),
    OptimizeCapability: (CreateApp, RemoveTarget, RegisterTarget),
    DeleteSlot: (PutInferenceConfig, DeleteInferenceConfig),
    ArchiveApp: (
        UpdateApp,
        RemoveTarget,
        RegisterTarget,
        PutSlot,
        PutInferenceConfig,
        DeleteInferenceConfig,
        EnableCapability,
        OptimizeCapability,
        DeleteSlot,
    ),
}
_RANK: Final = {kind: rank for rank, kind in enumerate(NEEDS)}

# Public: how an app's slot is called.
_MODEL_REFERENCE: Final = re.compile(r"@app/([a-z0-9-]+)/([A-Za-z0-9_.-]+)")


def in_order(actions: Iterable[Action]) -> tuple[Action, ...]:
    """Give every action its dependencies, and sort: dependencies first, archives last, otherwise by app, kind and address.

    Raises `ValueError` with the cycle where there is one, which the table above rules out.
    """
    dependencies = _Dependencies(actions)
    needed = {key: set(dependencies.needs_of(action)) for key, action in dependencies.actions.items()}
    for target, leaving in dependencies.leaving.items():
        if (entering := dependencies.entering.get(target)) is not None:
            needed[leaving] |= needed[entering] - {leaving}
    with_needs = {
        key: replace(action, depends_on=tuple(sorted(needed[key], key=_by_address)))
        if needed[key] or action.depends_on
        else action
        for key, action in dependencies.actions.items()
    }
    return tuple(topological(with_needs))


class _Dependencies:
    """The actions of a plan by their keys, and the keys by what makes one action need another."""

    def __init__(self, actions: Iterable[Action]) -> None:
        self.actions = {action.key: action for action in actions}
        self.of_kind: dict[tuple[str, type[Action]], list[ActionKey]] = {}
        self.leaving: dict[tuple[str, str], ActionKey] = {}
        self.entering: dict[tuple[str, str], ActionKey] = {}
        self.new_slots: dict[Address, ActionKey] = {}
        self.slots: dict[Address, ActionKey] = {}
        self.named: dict[ActionKey, frozenset[Address]] = {}  # the slots that a config names
        self.moving_off: dict[str, list[ActionKey]] = {}
        self.letting_go: dict[Address, list[ActionKey]] = {}
        for key, action in self.actions.items():
            self.of_kind.setdefault((action.address.app, type(action)), []).append(key)
            match action:
                case RemoveTarget(platform=platform, identifier=identifier):
                    self.leaving[platform, identifier] = key
                case RegisterTarget(platform=platform, identifier=identifier, moves_from=holder):
                    self.entering[platform, identifier] = key
                    if holder is not None:
                        self.moving_off.setdefault(holder.app, []).append(key)
                case PutSlot(address=address, before=before):
                    self.slots[address] = key
                    if before is None:
                        self.new_slots[address] = key
                case PutInferenceConfig(before=before, body=body) | DeleteInferenceConfig(before=before, body=body):
                    self.named[key] = slots_named_in(body)
                    for slot in slots_named_in(before) - self.named[key]:
                        self.letting_go.setdefault(slot, []).append(key)
                        self.letting_go.setdefault(Address.of_app(slot.app), []).append(key)

    def needs_of(self, action: Action) -> Iterator[ActionKey]:
        """Yield what must be done before an action."""
        for kind in NEEDS[type(action)]:
            yield from self.of_kind.get((action.address.app, kind), ())
        match action:
            case RegisterTarget(platform=platform, identifier=identifier):
                if (platform, identifier) in self.leaving:
                    yield self.leaving[platform, identifier]
            case ArchiveApp(address=address):
                # An archived holder can't take its target back, so its moves must have succeeded in full.
                yield from self.moving_off.get(address.app, ())
                yield from self.letting_go.get(address, ())
            case DeleteSlot(address=address):
                yield from self.letting_go.get(address, ())
            case EnableCapability(address=address) | OptimizeCapability(address=address):
                capability, _ = address.placement
                if (slot := self.slots.get(Address.of_slot(address.app, capability))) is not None:
                    yield slot
            case PutInferenceConfig():
                yield from (self.new_slots[slot] for slot in self.named[action.key] if slot in self.new_slots)


def slots_named_in(config: JsonObject | None) -> frozenset[Address]:
    """Return the addresses of the slots that an inference config names."""
    text = canonical_json(config)
    return frozenset(Address.of_slot(slug, capability) for slug, capability in _MODEL_REFERENCE.findall(text))


def topological(actions: Mapping[ActionKey, Action]) -> Iterator[Action]:
    """Yield actions after all that they depend on, archives last, otherwise by app, kind and address.

    Raises `ValueError` with the cycle where there is one.
    """
    if not any(action.depends_on for action in actions.values()):  # a plan that only updates objects
        yield from sorted(actions.values(), key=_priority)
        return
    by_rank = sorted(actions, key=lambda key: _priority(actions[key]))
    rank = {key: number for number, key in enumerate(by_rank)}
    waiting = {key: {need for need in actions[key].depends_on if need in actions} for key in by_rank}
    followers: dict[ActionKey, list[ActionKey]] = {}
    for key, needs in waiting.items():
        for need in needs:
            followers.setdefault(need, []).append(key)
    ready = [rank[key] for key, needs in waiting.items() if not needs]  # sorted, so it is a heap
    done = 0
    while ready:
        key = by_rank[heapq.heappop(ready)]
        done += 1
        yield actions[key]
        for follower in followers.get(key, ()):
            waiting[follower].discard(key)
            if not waiting[follower]:
                heapq.heappush(ready, rank[follower])
    if done < len(actions):
        raise ValueError("actions wait for each other: " + " → ".join(_a_cycle(waiting)))


def _a_cycle(waiting: Mapping[ActionKey, set[ActionKey]]) -> Iterator[str]:
    key = min((key for key, needs in waiting.items() if needs), key=_by_address)
    seen: list[ActionKey] = []
    while key not in seen:
        seen.append(key)
        key = min((need for need in waiting[key] if waiting[need]), key=_by_address)
    for step in (*seen[seen.index(key) :], key):
        yield f"{step.verb.value} {step.address}"


def _priority(action: Action) -> tuple[bool, str, int, tuple[str, int, str]]:
    return (isinstance(action, ArchiveApp), action.address.app, _RANK[type(action)], action.address.sort_key)


def _by_address(key: ActionKey) -> tuple[tuple[str, int, str], str]:
    return (key.address.sort_key, key.verb.value)
