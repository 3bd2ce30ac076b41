"""The base of a three-way plan: what was declared before, so that a removal can be told from what nobody ever declared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from octosync.model import App, Deployment, Observation, Section, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """Desired states to compare the tree with.

    `state` is the manifests' at the merge base of a revision and the tree. `tip` is that revision's own, None where it has
    not moved on since. `attempted` are those of revisions that an apply began and did not finish. `unknown` are apps that the
    base's manifests name and could not give: they count as not declared there, and nothing may be pruned.

    Of `presumed` apps nothing is remembered: `state` has the tree's own in their place. So nothing of them counts as
    removed, whatever differs may be somebody's change, and its reason is what it would be without a base.
    """

    state: State = field(default_factory=State)
    tip: State | None = None
    attempted: tuple[State, ...] = ()
    unknown: frozenset[str] = frozenset()
    presumed: frozenset[str] = frozenset()

    @property
    def before(self) -> State:
        """Every app that was declared: as the base had it, else as an unfinished apply did."""
        return State({slug: app for one in (*reversed(self.attempted), self.state) for slug, app in one.apps.items()})

    def earlier(self, slug: str) -> tuple[App, ...]:
        """Return an app as it was declared, by the base first, then by unfinished applies."""
        return tuple(app for one in (self.state, *self.attempted) if (app := one.apps.get(slug)) is not None)

    def kept(self, keep: Callable[[App], bool]) -> Base:
        """Leave out of every state the apps that are not to be kept."""

        def of(state: State) -> State:
            return State.of(*filter(keep, state))

        tip = None if self.tip is None else of(self.tip)
        return replace(self, state=of(self.state), tip=tip, attempted=tuple(map(of, self.attempted)))


def changed_apps(tree: State, base: Base) -> frozenset[str]:
    """Return the apps that tree and base declare differently, wherever they do; what the base can't tell counts as that.

    So do those of which an unfinished apply may have left something live that the tree does not declare.
    """
    every = {*tree.apps, *base.before.apps}
    sides = (base.state, *base.attempted)
    differing = (slug for slug in every if any(_differ(tree.apps.get(slug), one.apps.get(slug)) for one in sides))
    return frozenset(differing) | (base.unknown & tree.apps.keys())


def _differ(one: App | None, other: App | None) -> bool:
    return one is not other and _placeless(one) != _placeless(other)


def _placeless(app: App | None) -> App | None:
    """Leave out where things stand in the manifests, and by which name a policy is called."""
    if app is None:
        return None
    config = app.inference_config
    return replace(
        app,
        origin=None,
        targets=tuple(replace(one, origin=None) for one in app.targets),
        slots=tuple(
            replace(
                one, origin=None, preset=None, deploy=None if one.deploy is None else replace(one.deploy, origin=None)
            )
            for one in app.slots
        ),
        inference_config=None if config is None else replace(config, origin=None),
    )


def as_live(state: State, tree: State) -> Observation:
    """Return what would be read if a state were live, and nothing else.

    An app that only children of the tree name is taken to be there, with nothing in it: whether it is can't be told.
    """
    extended = (App(slug=app.slug, declared=False) for app in tree if not app.declared and app.slug not in state.apps)
    return Observation(state=State.of(*map(_live, (*state, *extended))))


def _live(app: App) -> App:
    return replace(
        app,
        whole=frozenset(Section),
        deployments=tuple(
            Deployment(
                id=f"{slot.capability}@{environment}",
                app=app.slug,
                capability=slot.capability,
                environment=environment,
                status="active",
                live=True,
            )
            for slot in app.slots
            if slot.deploy is not None
            for environment in slot.deploy.environments
        ),
    )
