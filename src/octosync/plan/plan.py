"""The plan: a frozen value, made before and apart from apply, that every report and apply itself read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from octosync.errors import OctosyncError
from octosync.model import Address, Deployment, Diagnostic, Kind, Questions, Section, State
from octosync.plan.actions import Action, ActionKey, Verb
from octosync.plan.drift import LastChange
from octosync.plan.guards.freeze import Freeze
from octosync.plan.holding import Held
from octosync.plan.optimizing import Recommendation


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftAlone:
    """What the plan saw and does not touch.

    `unmanaged_apps` counts live apps that were never declared, None where no list was read. `suspended` apps are left
    alone by their own annotation. `unknown_targets` sit on platforms that octosync does not know. `undeclared_deployments`
    are live in environments that their slot does not declare: there is no API to undeploy. `rolled_back` ones are not
    enabled again. `waiting` halves of moves, and archives of their apps, wait for a suspended app.

    With a base: `orphan_apps` it declared, and no manifest does any more. `stale` objects were changed at the base's own
    revision, and not here. `released` ones stood in a section that is no longer declared.
    """

    unmanaged_apps: int | None = None
    suspended: tuple[str, ...] = ()
    unknown_targets: tuple[Address, ...] = ()
    undeclared_deployments: tuple[Address, ...] = ()
    rolled_back: tuple[Address, ...] = ()
    orphan_apps: tuple[str, ...] = ()
    stale: tuple[Address, ...] = ()
    released: tuple[Address, ...] = ()
    waiting: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would be written, in an order in which it can be, and what was looked at to know it.

    `desired` is the state that it was made for. `errors` are apps that could not be read or planned: a plan that has
    any is never applied, not in part. `archived_undeclared` are live archived apps that the manifests want otherwise.
    `held` changes wait for their time. `drifted` are the objects that somebody changed on the control plane, held or not,
    for what is known with a base. `live_counts` says how many live objects of each kind were read; `fingerprints`
    cover every object that was compared. `recommendations` are better variants that it does not roll out, `last_changes`
    who made what it would change back. `canaries`, `traffic` and `frozen` are what guards judge by: running canaries, how
    many requests an app had, and which apps that it acts on are inside a freeze window. `questions` are what it still has to
    know; until they are answered, it is a draft.
    """

    desired: State
    actions: tuple[Action, ...] = ()
    held: tuple[Held, ...] = ()
    drifted: tuple[Address, ...] = ()
    unchanged: tuple[Address, ...] = ()
    errors: Mapping[str, OctosyncError] = field(default_factory=dict)
    archived_undeclared: tuple[Address, ...] = ()
    left_alone: LeftAlone = field(default_factory=LeftAlone)
    diagnostics: tuple[Diagnostic, ...] = ()
    fingerprints: Mapping[Address, str] = field(default_factory=dict)
    live_counts: Mapping[Kind, int] = field(default_factory=dict)
    recommendations: tuple[Recommendation, ...] = ()
    last_changes: Mapping[Address, LastChange] = field(default_factory=dict)
    canaries: tuple[Deployment, ...] = ()
    traffic: Mapping[str, int] = field(default_factory=dict)
    frozen: Mapping[str, Freeze] = field(default_factory=dict)
    questions: Questions = field(default_factory=Questions)
    requests_used: int = 0

    @property
    def apps(self) -> tuple[str, ...]:
        """The declared apps that the plan is about."""
        return tuple(self.desired.apps)

    @property
    def sections(self) -> Mapping[Section, int]:
        """How many apps declare each section."""
        return {section: sum(section in app.sections for app in self.desired) for section in Section}

    @property
    def requests_to_apply(self) -> int:
        """How many writes apply sends when nothing goes wrong."""
        return len(self.actions)

    @property
    def errored(self) -> bool:
        """Whether an app could not be read or planned."""
        return bool(self.errors)

    @property
    def shown(self) -> tuple[Action, ...]:
        """The actions, and those that are held: all that a report has a row for."""
        return (*self.actions, *(one.action for one in self.held))

    def count(self, verb: Verb) -> int:
        """How many actions have a verb."""
        return sum(action.verb is verb for action in self.actions)

    def by_key(self) -> Mapping[ActionKey, Action]:
        """Index the actions by what names them."""
        return {action.key: action for action in self.actions}

    def by_app(self) -> Iterator[tuple[str, tuple[Action, ...]]]:
        """Group the actions for people: apps in order, within one the app first, then its objects by address."""
        shown = sorted(self.actions, key=lambda a: (a.address.app, a.verb is Verb.ARCHIVE, a.address.sort_key))
        for slug, mine in groupby(shown, key=lambda a: a.address.app):
            yield slug, tuple(mine)
