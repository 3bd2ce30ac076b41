"""A simulated control plane: it implements the documented effect of the API's writes, and none of octosync's logic.

It takes operations as apply sends them (id, parameters, body) and rejects what the API rejects. It is read as the client
reads: declared sections of declared apps only, nothing of a suspended app, no children of an archived one.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.support.states import NOW, live_app, live_target, observation

from octosync.model import Observation, Section, State
from octosync.plan import Action, ActionKey

READ_ONLY = {"id", "app_id", "org_id", "capability", "slug", "created_at", "updated_at", "archived_at"}
SLOT_DEFAULTS: Mapping[str, Any] = {
    "serving_policy": "local_first",
    "bindings": [],
    "preferred_engines": [],
    "public_client_allowed": False,
}


class Refused(Exception):
    """The control plane rejects a request because of its state."""


@dataclass
class PlaneApp:
    """An app as the control plane stores it: plain wire values. `targets` are (platform, identifier) by id."""

    fields: dict[str, Any]
    targets: dict[str, tuple[str, str]] = field(default_factory=dict)
    slots: dict[str, dict[str, Any]] = field(default_factory=dict)
    config: dict[str, Any] | None = None
    archived: bool = False


@dataclass
class SimulatedPlane:
    """All apps of an org by slug. `sent` lists the successful operations."""

    apps: dict[str, PlaneApp] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)

    def snapshot(self) -> dict[str, PlaneApp]:
        """Return a copy of the apps for later comparison."""
        return copy.deepcopy(self.apps)

    def holder_of(self, unique_key: tuple[str, str]) -> str | None:
        """Return the slug of the app that a target is registered to; archived apps keep theirs."""
        return next((slug for slug, app in self.apps.items() if unique_key in app.targets.values()), None)

    def perform(self, operation: str, parameters: Mapping[str, str], body: Any) -> None:
        """Carry out one write. Raise `Refused` if the API would answer 404, 409 or 422."""
        body = copy.deepcopy(body)
        if operation == "apps.create":
            self._create(body)
        else:
            app = self.apps.get(parameters["slug"])
            if app is None or app.archived:
                raise Refused(f"{operation}: {parameters['slug']} is absent or archived")
            self._write(app, operation, parameters, body)
        self.sent.append(operation)

    def _create(self, body: dict[str, Any]) -> None:
        slug = body.pop("slug")
        if slug in self.apps or not body.get("name"):
            raise Refused(f"apps.create: {slug} is taken or has no name")
        self.apps[slug] = PlaneApp(body)

    def _write(self, app: PlaneApp, operation: str, parameters: Mapping[str, str], body: Any) -> None:
        if isinstance(body, dict) and operation != "apps.put_inference_config" and READ_ONLY & body.keys():
            raise Refused(f"{operation}: read-only fields in {body}")
        capability = parameters.get("capability", "")
        match operation:
            case "apps.update":
                app.fields |= body
            case "apps.archive":
                app.archived = True
            case "apps.create_target":
                key = (body["platform"], body["identifier"])
                if self.holder_of(key) is not None:
                    raise Refused(f"{key} is held by {self.holder_of(key)}")
                app.targets[f"new-{len(self.sent)}"] = key
            case "apps.delete_target":
                self._take(app.targets, parameters["target_id"])
            case "apps.put_slot":
                app.slots[capability] = {**SLOT_DEFAULTS, **body}
            case "apps.delete_slot":
                self._take(app.slots, capability)
            case "apps.put_inference_config" | "apps.delete_inference_config":
                app.config = body if operation == "apps.put_inference_config" else None
            case _:
                raise Refused(f"no such write: {operation}")

    @staticmethod
    def _take(objects: dict[str, Any], key: str) -> None:
        if key not in objects:
            raise Refused(f"{key} does not exist")
        del objects[key]

    def observed(self, desired: State) -> Observation:
        """Return the observation of the declared apps."""
        found = []
        for app in desired:
            stored = self.apps.get(app.slug)
            if stored is None or (app.suspension is not None and app.suspension.is_active(NOW)):
                continue
            read: Collection[Section] = () if stored.archived else app.sections
            live = live_app(
                app.slug,
                name=stored.fields["name"],
                fields={key: value for key, value in stored.fields.items() if key != "name"},
                description=stored.fields.get("description"),
                slots=stored.slots,
                config=stored.config,
                archived=stored.archived,
                read=read,
                targets=tuple(
                    live_target(app.slug, f"{platform}:{identifier}", id_=id_)
                    for id_, (platform, identifier) in sorted(stored.targets.items())
                ),
            )
            found.append(live)
        return observation(*found)


def carry_out(actions: Iterable[Action], plane: SimulatedPlane, chance: Random | None = None) -> set[ActionKey]:
    """Send actions; return those that were refused, or skipped because a dependency was.

    The order is that of the plan, or with `chance` any order that the dependencies allow, as with concurrent workers.
    """
    undone: set[ActionKey] = set()
    for action in actions if chance is None else _any_order(list(actions), chance):
        if undone.intersection(action.depends_on):
            undone.add(action.key)
            continue
        try:
            plane.perform(action.operation, action.parameters, action.body)
        except Refused:
            undone.add(action.key)
    return undone


def _any_order(waiting: list[Action], chance: Random) -> Iterator[Action]:
    while waiting:
        pending = {action.key for action in waiting}
        ready = [action for action in waiting if pending.isdisjoint(action.depends_on)]
        action = ready[chance.randrange(len(ready))]
        waiting.remove(action)
        yield action
