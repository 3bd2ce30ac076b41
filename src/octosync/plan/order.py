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
    dependencies = _Dependencies(tuple(actions))
    needed = {action.key: set(dependencies.needs_of(action)) for action in dependencies.actions}
    for leaving in dependencies.leaving.values():
        entering = dependencies.entering.get((leaving.platform, leaving.identifier))
        if entering is not None:
            needed[leaving.key] |= needed[entering.key] - {leaving.key}
    with_needs = {
        action.key: replace(action, depends_on=tuple(sorted(needed[action.key], key=_by_address)))
        for action in dependencies.actions
    }
    return tuple(topological(with_needs))


class _Dependencies:
    """The actions of a plan, indexed by what makes one need another."""

    def __init__(self, actions: tuple[Action, ...]) -> None:
        self.actions = actions
        self.by_app: dict[str, list[Action]] = {}
        self.leaving = {(a.platform, a.identifier): a for a in actions if isinstance(a, RemoveTarget)}
        self.entering = {(a.platform, a.identifier): a for a in actions if isinstance(a, RegisterTarget)}
        self.slots = {a.address: a for a in actions if isinstance(a, PutSlot)}
        self.moving_off: dict[str, list[ActionKey]] = {}
        self.letting_go: dict[Address, list[ActionKey]] = {}
        for action in actions:
            self.by_app.setdefault(action.address.app, []).append(action)
            match action:
                case RegisterTarget(moves_from=Address(app=holder)):
                    self.moving_off.setdefault(holder, []).append(action.key)
                case PutInferenceConfig() | DeleteInferenceConfig():
                    for slot in slots_named_in(action.before) - slots_named_in(action.body):
                        self.letting_go.setdefault(slot, []).append(action.key)
                        self.letting_go.setdefault(Address.of_app(slot.app), []).append(action.key)

    def needs_of(self, action: Action) -> Iterator[ActionKey]:
        """Yield what must be done before an action."""
        kinds = NEEDS[type(action)]
        yield from (needed.key for needed in self.by_app[action.address.app] if isinstance(needed, kinds))
        match action:
            case RegisterTarget(platform=platform, identifier=identifier):
                if (platform, identifier) in self.leaving:
                    yield self.leaving[platform, identifier].key
            case ArchiveApp(address=address):
                # An archived holder can't take its target back, so its moves must have succeeded in full.
                yield from self.moving_off.get(address.app, ())
                yield from self.letting_go.get(address, ())
            case DeleteSlot(address=address):
                yield from self.letting_go.get(address, ())
            case EnableCapability(address=address) | OptimizeCapability(address=address):
                capability, _ = address.placement
                if (slot := self.slots.get(Address.of_slot(address.app, capability))) is not None:
                    yield slot.key
            case PutInferenceConfig(body=body):
                named = (self.slots.get(slot) for slot in slots_named_in(body))
                yield from (slot.key for slot in named if slot is not None and slot.before is None)


def slots_named_in(config: JsonObject | None) -> frozenset[Address]:
    """Return the addresses of the slots that an inference config names."""
    text = canonical_json(config)
    return frozenset(Address.of_slot(slug, capability) for slug, capability in _MODEL_REFERENCE.findall(text))


def topological(actions: Mapping[ActionKey, Action]) -> Iterator[Action]:
    """Yield actions after all that they depend on, archives last, otherwise by app, kind and address.

    Raises `ValueError` with the cycle where there is one.
    """
    waiting = {key: {need for need in action.depends_on if need in actions} for key, action in actions.items()}
    followers: dict[ActionKey, list[ActionKey]] = {}
    for key, needs in waiting.items():
        for need in needs:
            followers.setdefault(need, []).append(key)
    ready = [(_priority(actions[key]), key) for key, needs in waiting.items() if not needs]
    heapq.heapify(ready)
    done = 0
    while ready:
        _, key = heapq.heappop(ready)
        done += 1
        yield actions[key]
        for follower in followers.get(key, ()):
            waiting[follower].discard(key)
            if not waiting[follower]:
                heapq.heappush(ready, (_priority(actions[follower]), follower))
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
