"""The assignment: which apps this controller reconciles, by which configuration, and which of them together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from octosync.contract import Contract
from octosync.manifest import Configuration, digest
from octosync.manifest.load.selection import matching
from octosync.model import App, JsonValue, Observation, State
from octosync.plan import DeployPolicy, GuardPolicy, RunInfo, linked_apps
from octosync.plan.three_way.verdict import Base, changed_apps
from octosync.watch.manifests.desired import DesiredState, LoadDifference, ManifestLoad, ManifestScope
from octosync.watch.memory import Memory
from octosync.watch.settings import Settings, WriteMode
from octosync.watch.status import CommitStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveConfig:
    """The input of all reconciles: the last good manifests, and the settings of the command line and octosync.yaml.

    `others` are apps that are declared under octosync.yaml's paths, but not under the given ones: nothing of them is removed.
    `unsettled` are apps that were declared differently less than an interval ago: their files may be half-written, so nothing
    is removed from them. `context`, `revision` and `commit` are those of the manifests, if they are known, `owners` are the
    owners of apps, by slug. `apply_again` is the command that finishes by hand what a reconcile could not.
    """

    tree: State = field(default_factory=State)
    others: State = field(default_factory=State)
    configuration: Configuration = field(default_factory=Configuration)
    policy: GuardPolicy = field(default_factory=GuardPolicy)
    deploy: DeployPolicy = field(default_factory=DeployPolicy)
    digest: str = ""
    context: str | None = None
    revision: str = ""
    commit: CommitStatus | None = None
    owners: Mapping[str, str] = field(default_factory=dict)
    write_mode: WriteMode = WriteMode.ALL
    hold: timedelta = timedelta()
    unsettled: frozenset[str] = frozenset()
    apply_again: str = "octosync apply"


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedLoad:
    """What a good load has changed.

    `changed` apps are declared differently; `gone` apps are no longer managed. `narrowed` is whether some manifests are no
    longer watched.
    """

    changed: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    narrowed: bool = False


def _owners_of(slugs: Iterable[str], configuration: Configuration) -> Mapping[str, str]:
    """Return the owner of each app that has one: the folder of the first entry of `owners` that names the app."""
    owners = configuration.owners
    found = ((slug, next((owner.folder for owner in owners if owner.owns(slug)), "")) for slug in slugs)
    return {slug: folder for slug, folder in found if folder} if owners else {}


class AppAssignment:
    """The apps of the last good load, and the active configuration.

    `policy` returns the guards' policy of a load, `about` what its plans are made from (None: unknown); `deploy` are the
    deployment settings of the command line, `apply_again` the command that finishes by hand what a reconcile could not.
    """

    def __init__(
        self,
        *,
        desired: DesiredState,
        memory: Memory,
        settings: Settings,
        policy: Callable[[ManifestLoad], GuardPolicy],
        deploy: DeployPolicy,
        about: Callable[[ManifestLoad], RunInfo] | None = None,
        apply_again: str,
    ) -> None:
        self._desired = desired
        self._memory = memory
        self._settings = settings
        self._policy = policy
        self._deploy = deploy
        self._about = about
        self._unsettled: dict[str, datetime] = {}  # since when apps are declared as they are, for less than an interval
        self._withheld: set[str] = set()  # apps whose removals wait until their files are settled
        self._before: ManifestLoad | None = None
        self._owners: dict[tuple[str, str], str] = {}
        self._holders: dict[tuple[str, str], str] = {}
        self._groups: Mapping[str, frozenset[str]] = {}
        self._narrowed = 0
        self._basis: JsonValue = None
        self.active = ActiveConfig(write_mode=settings.write_mode, apply_again=apply_again)

    def record(self, difference: LoadDifference, *, is_first: bool) -> None:
        """Save what a good load changes in the memory, before it is applied. May be repeated after an error.

        Raises `OctosyncError` (`journal-unusable`) where the state file can't be used.
        """
        declared, changed = difference.declared, difference.changed
        if is_first:
            self._begin(declared)
            changed = changed_apps(declared.manifests.state, Base(state=State(self._memory.apps)))
        else:
            self._look_in(declared)
        self._memory.forget_reverts(*changed)

    def _look_in(self, declared: ManifestLoad) -> None:
        manifests = declared.manifests
        self._memory.record_scope(manifests.state, manifests.others, ManifestScope.from_load(declared, self._settings))

    def _begin(self, declared: ManifestLoad) -> None:
        """Begin with the first good load: read the memory; what has left the manifests since the last run is removed now."""
        self._memory.sensitivity = declared.configuration.sensitivity
        manifests = declared.manifests
        scope = ManifestScope.from_load(declared, self._settings)
        self._memory.load(manifests.state, manifests.others, scope, declared.revision)

    def apply(self, difference: LoadDifference) -> AppliedLoad:
        """Make a good load that was saved the active one."""
        declared, before = difference.declared, self.active
        configuration, settings, manifests = declared.configuration, self._settings, declared.manifests
        self._note_change(declared)
        narrowed, self._narrowed = self._memory.narrowed - self._narrowed, self._memory.narrowed
        self.active = replace(
            before,
            tree=matching(manifests.state, apps=settings.apps, selector=settings.selector),
            others=manifests.others,
            configuration=configuration,
            policy=self._policy(declared),
            deploy=replace(self._deploy, max_canaries=configuration.max_canaries),
            digest=manifests.digest,
            context=declared.context.name if declared.context is not None else None,
            revision=declared.revision,
            commit=declared.commit,
            owners=_owners_of(manifests.state.apps, configuration),
            hold=configuration.drift_hold if settings.drift_hold is None else settings.drift_hold,
            unsettled=frozenset(self._unsettled),
        )
        self._memory.sensitivity = configuration.sensitivity
        self._basis = _basis(ManifestScope.from_load(declared, settings), self.active)
        self._owners = {
            (target.platform, target.identifier): app.slug for app in self.active.tree for target in app.targets
        }
        self._group()
        slugs = frozenset(self.slugs)
        return AppliedLoad(
            changed=difference.changed & slugs,
            gone=frozenset(before.tree.apps) - slugs,
            narrowed=narrowed > 0,
        )

    def settle(self, now: datetime) -> frozenset[str]:
        """Record that the files are still as they were loaded; return the apps whose removals have waited for that."""
        interval = self._settings.interval
        settled = frozenset(slug for slug, since in self._unsettled.items() if now - since >= interval)
        self._unsettled = {slug: since for slug, since in self._unsettled.items() if slug not in settled}
        self.active = replace(self.active, unsettled=frozenset(self._unsettled))
        waiting, self._withheld = self._withheld & settled, self._withheld - settled
        return frozenset(waiting & set(self.slugs))

    def withhold(self, slugs: frozenset[str]) -> frozenset[str]:
        """Record apps whose removals wait until their files are settled; return those that are settled by now."""
        settled = slugs - self.active.unsettled
        self._withheld |= slugs - settled
        return settled

    @property
    def withholds(self) -> bool:
        """Whether a removal waits for a second check of the files."""
        return bool(self._withheld)

    def unsettle(self, now: datetime) -> None:
        """Record that the files have changed and can't be loaded: apps that are not settled start to wait again."""
        self._unsettled = dict.fromkeys(self._unsettled, now)

    def settles_in(self, now: datetime) -> float | None:
        """Return the seconds until the next app may be settled; None if all are."""
        first = min(self._unsettled.values(), default=None)
        return None if first is None else max(0.0, (first + self._settings.interval - now).total_seconds())

    @property
    def revision(self) -> str:
        """The Git commit of the last good load, "" if none is known."""
        return self._desired.good.revision if self._desired.good is not None else ""

    @property
    def run_info(self) -> RunInfo | None:
        """What the plans of the last good load are made from; None before the first."""
        good = self._desired.good
        return self._about(good) if self._about is not None and good is not None else None

    @property
    def slugs(self) -> tuple[str, ...]:
        """Every app that may have to be written: the declared ones, and those of which only children were declared before."""
        apps, leftovers = self.active.tree.apps, self.leftovers
        return tuple(sorted({*apps, *leftovers})) if leftovers else tuple(apps)

    @property
    def leftovers(self) -> frozenset[str]:
        """Apps that no manifest names any more and that were never declared themselves: their children are removed."""
        return frozenset(app.slug for app in self._no_longer_named() if not app.declared)

    @property
    def orphans(self) -> tuple[str, ...]:
        """Apps that were declared and that no manifest names any more: they are listed, and never archived for that."""
        return tuple(app.slug for app in self._no_longer_named() if app.declared)

    @property
    def changed_since_last_run(self) -> frozenset[str]:
        """Apps that are declared differently than in the memory."""
        remembered = Base(state=State(self._memory.apps))
        return changed_apps(self.active.tree, remembered) & frozenset(self.slugs)

    def basis_of(self, slug: str) -> str:
        """Return a keyed digest of what decides whether an app is in sync, besides its live state.

        Guards, holds, policies and freeze windows don't: they are about changes, and an app in sync needs none.
        """
        states = (
            State.from_apps(*filter(None, [state.apps.get(slug)])) for state in (self.active.tree, self.active.others)
        )
        return self._memory.checkpoint.keyed_digest([self._basis, *map(digest, states)])

    def group_of(self, slug: str) -> Collection[str]:
        """Return the apps that are reconciled together with an app, since a target moves between them; itself included."""
        return self._groups.get(slug, (slug,))

    def record_holders(self, seen: Observation) -> frozenset[str]:
        """Record which app holds which target; return the apps that are reconciled together from now on because of that."""
        has_moved = False
        for app in seen.state:
            for target in app.targets:
                self._holders[target.unique_key] = app.slug
                owner = self._owners.get(target.unique_key, app.slug)
                has_moved |= owner != app.slug and owner not in self.group_of(app.slug)
        if not has_moved:
            return frozenset()
        before = self._groups
        self._group()
        return frozenset(slug for slug, group in self._groups.items() if before.get(slug) != group)

    def _group(self) -> None:
        slugs = set(self.slugs)
        found = linked_apps(self.active.tree, State(self._memory.apps), self._holders)
        self._groups = {slug: group & slugs for slug, group in found.items() if slug in slugs}

    def _no_longer_named(self) -> Iterator[App]:
        """Yield the apps with a stored baseline that no manifest declares any more."""
        good = self._desired.good
        if good is None:
            return
        state, others = good.manifests.state.apps, good.manifests.others.apps
        left = [app for slug, app in self._memory.apps.items() if slug not in state and slug not in others]
        if left:
            yield from matching(State.from_apps(*left), apps=self._settings.apps, selector=self._settings.selector)

    def _note_change(self, declared: ManifestLoad) -> None:
        """Record which apps a load declares differently than the one before; in the first one, all may be half-written."""
        before, self._before, now = self._before, declared, declared.loaded_at
        manifests = declared.manifests
        if now is None:
            return
        if before is None:
            every = {*manifests.state.apps, *manifests.others.apps, *self._memory.apps}
        else:
            every = {
                *changed_apps(manifests.state, Base(state=before.manifests.state)),
                *changed_apps(manifests.others, Base(state=before.manifests.others)),
            }
        self._unsettled |= dict.fromkeys(every, now)


def _basis(scope: ManifestScope, active: ActiveConfig) -> JsonValue:
    """Return the part of the basis that is the same for all apps.

    Of the contract only what octosync.yaml overrides is a part of it: another version may have another one, and compares
    everything again in the background.
    """
    default, contract, deploy = Contract(), active.configuration.contract, active.deploy
    return [
        scope.text,
        list(active.configuration.sensitivity.patterns),
        [
            [operation.id, operation.method, operation.path]
            for name, operation in sorted(contract.operations.items())
            if operation != default.operations.get(name)
        ],
        [
            [name, sorted(shape.read_only)]
            for name, shape in sorted(contract.shapes.items())
            if shape != default.shapes.get(name)
        ],
        sorted({*contract.platforms} - {*default.platforms}),
        [deploy.optimize.value, deploy.retry_rolled_back],
    ]
