"""The base of a three-way plan: what was declared before, so that a removal can be told from what nobody ever declared."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from octosync.model import App, Deployment, Observation, Section, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """Desired states to compare the tree with.

    `state` is the manifests' at the merge base of a revision and the tree. `tip` is that revision's own, None where it has
    not moved on since. `attempted` are those of revisions that an apply began and did not finish. `unknown` are apps that the
    base's manifests name and could not give: they count as not declared there, and nothing may be pruned.
    """

    state: State = field(default_factory=State)
    tip: State | None = None
    attempted: tuple[State, ...] = ()
    unknown: frozenset[str] = frozenset()


def changed_apps(tree: State, base: Base) -> frozenset[str]:
    """Return the apps that tree and base declare differently, wherever they do; what the base can't tell counts as that."""
    every = {*tree.apps, *base.state.apps}
    differing = (slug for slug in every if _placeless(tree.apps.get(slug)) != _placeless(base.state.apps.get(slug)))
    return frozenset(differing) | (base.unknown & tree.apps.keys())


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


def as_live(state: State) -> Observation:
    """Return what would be read if a state were live, and nothing else."""
    return Observation(state=State.of(*map(_live, state)))


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
