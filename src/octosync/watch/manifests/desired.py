"""The desired state: the latest load of the manifests, the latest good one, and the difference between two loads.

The scope of a controller is its manifests and the apps that are selected from them. If the scope has changed, an object that is
no longer declared may only be out of scope: it doesn't count as removed. Some settings of octosync.yaml are read at startup
only; a change of them needs a restart.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import Final, Self

from octosync.errors import ISSUES, OctosyncError
from octosync.manifest import Cache, Configuration, Context, Manifests
from octosync.manifest.load.limits import LoadDeadline, load_deadline
from octosync.manifest.load.selection import matching
from octosync.model import App, Diagnostic, Origin, Section, Severity, State, counted
from octosync.plan.three_way.verdict import Base, changed_apps
from octosync.watch.log import defect_place
from octosync.watch.manifests.file_snapshot import FileSnapshot, WatchedPaths, snapshot
from octosync.watch.manifests.file_watcher import is_checking_out
from octosync.watch.settings import Clock, Settings
from octosync.watch.status import Clone, CommitStatus

# How often files that change while they are read are read again, and after how long.
_MOST_ATTEMPTS: Final = 5
_PAUSE: Final = 0.2
# A load that takes longer is given up.
LOAD_TIMEOUT: Final = timedelta(minutes=2)
_MOST_PROBLEMS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestLoad:
    """A load of the manifests and their configuration; if it `fails`, it must not be used.

    `diagnostics` are the errors in octosync.yaml and manifests, `error` is the reason why they could not be loaded at all.
    `revision` is the Git commit, "" if unknown, and `commit` what is known of it. `watched` are the paths that were read,
    `clone` their names in the repository.
    `loaded_at` and `snapshot` are set by `DesiredState`; the snapshot is that of exactly the files that were read.
    """

    configuration: Configuration = field(default_factory=Configuration)
    context: Context | None = None
    manifests: Manifests = field(default_factory=Manifests)
    diagnostics: tuple[Diagnostic, ...] = ()
    error: OctosyncError | None = None
    fails: bool = False
    revision: str = ""
    commit: CommitStatus | None = None
    watched: WatchedPaths = field(default_factory=WatchedPaths)
    loaded_at: datetime | None = None
    snapshot: FileSnapshot = field(default_factory=FileSnapshot)
    clone: Clone = field(default_factory=Clone)

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with the manifests, a line each."""
        return problems_of(self.diagnostics)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadDifference:
    """The changes by a load. Everything is empty and False if it failed: then the active configuration stays active.

    `changed` are the apps whose declaration differs from the previous good load; for the first load, all apps. `reconfigured`
    is whether octosync.yaml or the context has changed.
    """

    declared: ManifestLoad
    changed: frozenset[str] = frozenset()
    reconfigured: bool = False


def problems_of(diagnostics: Iterable[Diagnostic]) -> tuple[str, ...]:
    """Return a line for each error, with its place; if there is none, for each warning.

    Of many, the first are listed and the rest is counted.
    """
    found = sorted(diagnostics, key=lambda diagnostic: diagnostic.sort_key)
    gravest = [refusal for refusal in found if refusal.severity is Severity.ERROR] or [
        refusal for refusal in found if refusal.severity is Severity.WARNING
    ]
    more = (f"{len(gravest) - _MOST_PROBLEMS} more",) if len(gravest) > _MOST_PROBLEMS else ()
    listed = (
        f"{_found_at(diagnostic.origin)}{diagnostic.rule}: {diagnostic.summary}"
        for diagnostic in gravest[:_MOST_PROBLEMS]
    )
    return (*listed, *more)


def _found_at(origin: Origin | None) -> str:
    if origin is None:
        return ""
    line = f":{origin.line}" if origin.line else ""  # what can't be read has no lines
    return f"{origin.file}{line}: "


class DesiredState:
    """The desired state in use. `gather` loads it once, in a thread, and may raise `OctosyncError`.

    `cache` may have the contents of files that were parsed before. `context` is the one whose control plane this process uses;
    None: that of the first good load. A load in which `apps` (patterns) and `selector` match no
    app fails, so that the mistaken change of a label or name has no effect.
    """

    def __init__(
        self,
        gather: Callable[[Cache], ManifestLoad],
        watched: WatchedPaths,
        clock: Clock,
        *,
        apps: tuple[str, ...] = (),
        selector: str | None = None,
        load_timeout: timedelta = LOAD_TIMEOUT,
        cache: Cache | None = None,
        context: Context | None = None,
    ) -> None:
        self._context = context
        self._gather = gather
        self.load_timeout = load_timeout
        self._patience: LoadDeadline | None = None
        self._is_stopped = False
        self._apps, self._selector = apps, selector
        self._clock = clock
        self._cache = cache or Cache()
        self._one_at_a_time = asyncio.Lock()
        self.watched = watched  # what the latest load was read from
        self.latest: ManifestLoad | None = None  # good or not
        self.good: ManifestLoad | None = None  # the latest good one
        self.changed_at: datetime | None = None  # when a load last brought another commit, or other manifests

    async def is_unchanged(self) -> bool:
        """Return whether the files are as they were at the last good load."""
        good = self.good
        if good is None or good is not self.latest:
            return False
        return await asyncio.to_thread(snapshot, self.watched) == good.snapshot

    async def load(self, *, afresh: bool = False) -> LoadDifference:
        """Load the files, and return what changed; `afresh` reads all of them. Never raises because of files."""
        async with self._one_at_a_time:
            if afresh:
                self._cache.clear()
            with load_deadline(self.load_timeout) as self._patience:
                if self._is_stopped:
                    self._patience.end()
                declared = self._selected(self._checked(await self._load_stable()))
            before, self.latest, self.watched = self.good, declared, declared.watched
            if declared.fails:
                return LoadDifference(declared=declared)
            self.good = declared
            if before is None or _version(before) != _version(declared):
                self.changed_at = declared.loaded_at
            return await asyncio.to_thread(_difference, before, declared)

    @property
    def is_stopped(self) -> bool:
        """Whether nothing is loaded any more."""
        return self._is_stopped

    def stop_loading(self) -> None:
        """Stop loading: a load in progress fails."""
        self._is_stopped = True
        if self._patience is not None:
            self._patience.end()

    def _checked(self, declared: ManifestLoad) -> ManifestLoad:
        """Let a load fail that is for another control plane than the first load: it must not be applied to the first one."""
        known = self._context if self.good is None else self.good.context
        is_first = self.good is None and known is None
        if is_first or declared.fails or _place(declared.context) == _place(known):
            return declared
        url, _ = _place(declared.context) or ("the default", None)
        error = OctosyncError(
            "another-control-plane",
            f"octosync.yaml now refers to another control plane, {url}; it is not applied before a restart",
            hints=("Restart octosync watch, or revert that change. Until then, the previous manifests stay in use.",),
        )
        return replace(declared, fails=True, error=error)

    def _selected(self, declared: ManifestLoad) -> ManifestLoad:
        state = declared.manifests.state
        if declared.fails or not state.apps or (not self._apps and self._selector is None):
            return declared
        if matching(state, apps=self._apps, selector=self._selector).apps:
            return declared
        asked = [*(f"--app {pattern}" for pattern in self._apps), *([f"-l {self._selector}"] if self._selector else [])]
        error = OctosyncError(
            "nothing-selected",
            f"{' '.join(asked)} matches none of {counted(len(state.apps), 'declared app')}",
            hints=(
                "octosync reads labels from metadata.labels of the App, or of its child documents.",
                "octosync applies an app as soon as a manifest with these labels declares it.",
            ),
        )
        return replace(declared, fails=True, error=error)

    async def _load_stable(self) -> ManifestLoad:
        """Load until the files are unchanged during a load: never a mix of two commits."""
        for _ in range(_MOST_ATTEMPTS):
            if not await asyncio.to_thread(is_checking_out, self.watched):
                break
            await self._clock.sleep(_PAUSE)  # not for ever: a lock may be left over from a crash
        for _ in range(_MOST_ATTEMPTS):
            watched = self.watched
            before = await asyncio.to_thread(snapshot, watched)
            declared = replace(await asyncio.to_thread(self._load_once), loaded_at=self._clock.now(), snapshot=before)
            self.watched = declared.watched
            if declared.watched != watched:
                continue  # octosync.yaml names other manifests now
            if await asyncio.to_thread(snapshot, watched) == before:
                return declared
            await self._clock.sleep(_PAUSE)
        error = OctosyncError(
            "manifests-changing",
            f"the manifests changed during all {_MOST_ATTEMPTS} attempts to read them",
            hints=("They are read again when they no longer change; until then, the previous manifests stay in use.",),
        )
        return ManifestLoad(error=error, fails=True, watched=self.watched, loaded_at=self._clock.now())

    def _load_once(self) -> ManifestLoad:
        try:
            return self._gather(self._cache)
        except OctosyncError as error:
            return ManifestLoad(error=error, fails=True, watched=self.watched)
        except OSError as error:
            failure = OctosyncError(
                "manifests-unreadable",
                f"the manifests can't be read: {error.strerror or error}",
                hints=("The previous manifests stay in use until they can be read.",),
            )
            return ManifestLoad(error=failure, fails=True, watched=self.watched)
        except Exception as defect:  # noqa: BLE001 — no commit may stop the controller
            where = defect_place(defect)
            failure = OctosyncError(
                "internal-error",
                f"a bug in octosync: the manifests can't be loaded ({type(defect).__name__} at {where})",
                hints=("The previous manifests stay in use.", f"Report it:  {ISSUES}"),
            )
            return ManifestLoad(error=failure, fails=True, watched=self.watched)


def _version(declared: ManifestLoad) -> tuple[str, str]:
    return declared.revision, declared.manifests.digest


def _place(context: Context | None) -> tuple[str, str | None] | None:
    return None if context is None else (context.url, context.org)


def _difference(before: ManifestLoad | None, now: ManifestLoad) -> LoadDifference:
    state = now.manifests.state
    if before is None:
        return LoadDifference(declared=now, changed=frozenset(state.apps))
    return LoadDifference(
        declared=now,
        changed=changed_apps(state, Base(state=before.manifests.state)),
        reconfigured=(before.configuration, before.context) != (now.configuration, now.context),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestScope:
    """Absolute paths and kustomizations, links in them as they were typed; the context, and which apps were selected."""

    paths: tuple[str, ...] = ()
    kustomizations: tuple[str, ...] = ()
    context: str = ""
    apps: tuple[str, ...] = ()
    selector: str = ""

    @classmethod
    def from_load(cls, declared: ManifestLoad, settings: Settings) -> Self:
        """Return the scope of a load under what the command line selects."""
        return cls(
            paths=_absolute(declared.watched.paths),
            kustomizations=_absolute(declared.watched.kustomizations),
            context=declared.context.name if declared.context is not None else "",
            apps=tuple(sorted(settings.apps)),
            selector=settings.selector or "",
        )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `text` wrote. Raises `ValueError`, `TypeError` or `KeyError` for anything else."""
        told = json.loads(text)
        return cls(
            paths=tuple(map(str, told["paths"])),
            kustomizations=tuple(map(str, told["kustomizations"])),
            context=str(told["context"]),
            apps=tuple(map(str, told["apps"])),
            selector=str(told["selector"]),
        )

    @property
    def text(self) -> str:
        """This scope as a text, for the state file."""
        return json.dumps(asdict(self), sort_keys=True)

    def shows(self, other: ManifestScope) -> bool:
        """Return whether this scope contains every manifest of another one, whichever apps are selected."""
        return (
            self.context == other.context
            and all(any(PurePath(path).is_relative_to(mine) for mine in self.paths) for path in other.paths)
            and set(other.kustomizations) <= set(self.kustomizations)
        )

    def selects(self, other: ManifestScope) -> bool:
        """Return whether this scope selects every app that another one selects."""
        return (self.apps, self.selector) in {((), ""), (other.apps, other.selector)}


def within(app: App, states: Iterable[State]) -> App | None:
    """Return the part of an app that is declared in any of some states; None if nothing is."""
    there = [found for state in states if (found := state.apps.get(app.slug)) is not None]
    targets = {target.unique_key for part in there for target in part.targets}
    slots = {slot.capability for part in there for slot in part.slots}
    has_config = any(part.inference_config is not None for part in there)
    is_declared = any(part.declared for part in there)
    rest = replace(
        app,
        declared=app.declared and is_declared,
        fields=app.fields if is_declared else {},
        archived=app.archived and is_declared,
        complete_sections=app.complete_sections
        & frozenset[Section]().union(*(part.complete_sections for part in there)),
        targets=tuple(target for target in app.targets if target.unique_key in targets),
        slots=tuple(slot for slot in app.slots if slot.capability in slots),
        inference_config=app.inference_config if has_config else None,
    )
    return rest if rest.declared or rest.sections or rest.complete_sections else None


def _absolute(paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({os.path.abspath(path) for path in paths}))  # noqa: PTH100 — `resolve` would follow links


def _fixed(declared: ManifestLoad) -> Mapping[str, object]:
    configuration, context = declared.configuration, declared.context
    return {
        "rate": configuration.rate,
        "api": configuration.contract,
        "sensitive": configuration.sensitivity,
        "notify": configuration.notify,
        "state": (configuration.state_url, configuration.state_url_env),
        "the context's state": None if context is None else (context.state_url, context.state_url_env),
        "the context's key": None if context is None else (context.token_env, context.token_file),
    }


@dataclass(slots=True)
class RestartSettings:
    """Compares every load with the first one."""

    _first: Mapping[str, object] = field(default_factory=dict)
    _reported: tuple[str, ...] = ()

    def changed_settings(self, declared: ManifestLoad) -> tuple[str, ...]:
        """Return the changed settings that need a restart; empty if they were returned already."""
        now = _fixed(declared)
        self._first = self._first or now
        needing = tuple(name for name, value in now.items() if value != self._first[name])
        is_news = bool(set(needing) - set(self._reported))
        self._reported = needing
        return needing if is_news else ()
