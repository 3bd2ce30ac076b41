"""The plan: a frozen value, made before and apart from apply, that every report and apply itself read.

About a run: what a plan was made from and with. Facts for reports and approvals; the plan itself depends on none of them.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import groupby
from typing import Final

from octosync.errors import OctosyncError
from octosync.model import (
    Address,
    Deployment,
    Diagnostic,
    FollowUpReads,
    Kind,
    OperatorControls,
    RunUnderWay,
    Secret,
    Section,
    State,
)
from octosync.plan.actions import Action, ActionKey, CreateApp, Fingerprint, RegisterTarget, Verb
from octosync.plan.drift import HeldChange, LastChange
from octosync.plan.guards.freeze import Freeze
from octosync.plan.policies import PolicyResult
from octosync.plan.rollouts import Recommendation


@dataclass(frozen=True, slots=True, kw_only=True)
class UntouchedObjects:
    """What the plan saw and does not touch.

    `unmanaged_apps` counts live apps that were never declared, None if no list was read. `suspended` apps are left
    alone by their own annotation. `unknown_targets` are on platforms that octosync does not know. `undeclared_deployments`
    are live in environments that their slot does not declare: there is no API to undeploy. `rolled_back` ones are not
    enabled again. `waiting` halves of moves, and archives of their apps, wait for a suspended app.

    With a base: it declared `orphan_apps`, and no manifest does any more. `stale` objects were changed at the base's own
    revision, and not here. `released` objects were in a section that is no longer declared. With a plan file, the apps
    `not_approved` differ from the manifests and are not in the file.
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
    not_approved: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingChanges:
    """The changes that are merged and not applied yet: they are no part of the plan, and apply makes them before it.

    `desired` are their apps as merged.
    """

    desired: State
    actions: tuple[Action, ...]

    @property
    def apps(self) -> tuple[str, ...]:
        """The apps that change."""
        return tuple(sorted({action.address.app for action in self.actions}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The writes, in an order in which they are possible, and what they were derived from.

    `desired` is the state that it was made for. `errors` are apps that could not be read or planned: a plan that has
    any is never applied, not in part. `archived_undeclared` are live archived apps that the manifests want otherwise.
    `held` changes wait for their time. `drifted` are the objects that were changed on the control plane, held or not,
    as far as a base shows it. `live_counts` are the live objects of each kind that were read; `fingerprints`
    cover every object that was compared. `recommendations` are better variants that it does not roll out, `last_changes`
    the authors of what it would revert. `canaries`, `traffic` and `frozen` are for the guards: running canaries, the
    requests of an app, and which apps with actions are inside a freeze window. So are `policies`, the results of the
    policies of octosync.yaml; a draft has none. `questions` are what must still be read; until that is read, the plan is a
    draft. `selected` are the only objects that are planned, with what they need; empty: all. `controls` are the holds of its
    apps and the suspension that the shared state contains; `has_base`: whether it was compared with a base, too.

    `pending` changes are merged and not applied yet; None if there are none, or if it is unknown what was applied. The actions
    assume that they are made first: an action's `before`, and the fingerprints, are as they leave the object.
    """

    desired: State
    actions: tuple[Action, ...] = ()
    held: tuple[HeldChange, ...] = ()
    drifted: tuple[Address, ...] = ()
    unchanged: tuple[Address, ...] = ()
    errors: Mapping[str, OctosyncError] = field(default_factory=dict)
    archived_undeclared: tuple[Address, ...] = ()
    left_alone: UntouchedObjects = field(default_factory=UntouchedObjects)
    diagnostics: tuple[Diagnostic, ...] = ()
    fingerprints: Mapping[Address, Fingerprint] = field(default_factory=dict)
    live_counts: Mapping[Kind, int] = field(default_factory=dict)
    recommendations: tuple[Recommendation, ...] = ()
    last_changes: Mapping[Address, LastChange] = field(default_factory=dict)
    canaries: tuple[Deployment, ...] = ()
    traffic: Mapping[str, int] = field(default_factory=dict)
    frozen: Mapping[str, Freeze] = field(default_factory=dict)
    policies: tuple[PolicyResult, ...] = ()
    questions: FollowUpReads = field(default_factory=FollowUpReads)
    pending: PendingChanges | None = None
    requests_used: int = 0
    selected: tuple[Address, ...] = ()
    controls: OperatorControls = field(default_factory=OperatorControls)
    has_base: bool = False

    @property
    def apps(self) -> tuple[str, ...]:
        """The declared apps that the plan is about."""
        return tuple(self.desired.apps)

    @property
    def sections(self) -> Mapping[Section, int]:
        """The number of apps that declare each section."""
        counts = Counter(section for app in self.desired for section in app.sections)
        return {section: counts[section] for section in Section}

    @property
    def requests_to_apply(self) -> int:
        """The number of writes that apply sends if none fails."""
        return len(self.actions)

    @property
    def errored(self) -> bool:
        """Whether an app could not be read or planned."""
        return bool(self.errors)

    @property
    def shown(self) -> tuple[Action, ...]:
        """The actions and the held ones: everything that has a row in a report."""
        return (*self.actions, *(held.action for held in self.held))

    def count(self, verb: Verb) -> int:
        """Return the number of actions with a verb."""
        return sum(action.verb is verb for action in self.actions)

    def by_key(self) -> Mapping[ActionKey, Action]:
        """Return the actions by their keys."""
        return {action.key: action for action in self.actions}

    def by_app(self) -> Iterator[tuple[str, tuple[Action, ...]]]:
        """Yield the actions in groups for people: apps in order, the app itself first, then its objects by address."""
        shown = sorted(self.actions, key=lambda a: (a.address.app, a.verb is Verb.ARCHIVE, a.address.sort_key))
        for slug, actions in groupby(shown, key=lambda action: action.address.app):
            yield slug, tuple(actions)


# What the manifests alone can only suspect.
RULES_OF_PLANS: Final = frozenset({"archive-strands-identifiers"})


def all_diagnostics(plan: Plan, others: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Return the plan's own diagnostics and the manifests' (`others`), each once, by place.

    If both have a rule, the plan's diagnostic is the better one: it knows the live state.
    """
    unique = dict.fromkeys((*(found for found in others if found.rule not in RULES_OF_PLANS), *plan.diagnostics))
    return tuple(sorted(unique, key=lambda diagnostic: diagnostic.sort_key))


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlPlane:
    """Where live state was read: the API's base URL, the org (None: not known) and the context's name (None: none chosen)."""

    url: str
    org_id: str | None = None
    context: str | None = None

    @property
    def public_url(self) -> str:
        """The URL without the part of its authority that could hold a credential."""
        scheme, separator, rest = self.url.rpartition("://")
        authority, slash, path = rest.partition("/")
        return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"

    @property
    def host(self) -> str:
        """Host and port, for people."""
        return self.public_url.rpartition("://")[2].partition("/")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """What was typed or configured: enough to read the same manifests and make the same plan.

    `optimize` is the upper bound that was given, None for none; `previews`: whether they were asked for. `objects` are the
    addresses of `--target`.
    """

    paths: tuple[str, ...] = ()
    kustomize: str | None = None
    apps: tuple[str, ...] = ()
    selector: str | None = None
    base: str | None = None
    changed_only: bool = False
    optimize: str | None = None
    previews: bool = True
    objects: tuple[str, ...] = ()

    def arguments(self) -> Iterator[str]:
        """Yield the command-line arguments that ask for the same."""
        for path in self.paths:
            yield from ("-f", path)
        if self.kustomize is not None:
            yield from ("-k", self.kustomize)
        for app in self.apps:
            yield from ("--app", app)
        if self.selector is not None:
            yield from ("-l", self.selector)
        for address in self.objects:
            yield from ("--target", address)
        if self.base is not None:
            yield from ("--base", self.base)
        if self.changed_only:
            yield "--changed-only"
        if self.optimize is not None:
            yield from ("--optimize", self.optimize)
        if not self.previews:
            yield "--no-preview"


@dataclass(frozen=True, slots=True, kw_only=True)
class GitRevision:
    """The revision of the manifests in Git, in full.

    `dirty`: the tree has changes beyond `revision`, or may have them: `is_checked` is whether that is known.
    """

    revision: str
    dirty: bool = False
    base: str | None = None
    is_checked: bool = True


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit: its full id and its whole message. Its author can be any text, so no report shows it."""

    id: str
    message: str

    @property
    def subject(self) -> str:
        """The first line of the message; it can be any text."""
        return next(iter(self.message.strip().splitlines()), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class LastAppliedRevision:
    """The last revision that was applied in full, and what was merged since: `commits`, newest first.

    `attempted` are revisions that an apply began and did not finish. `elsewhere` are apps with merged changes that this run
    did not read.
    """

    revision: str
    attempted: tuple[str, ...] = ()
    commits: tuple[Commit, ...] = ()
    elsewhere: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedState:
    """What the shared state contains about a control plane and org when a plan is made: a run under way, and `controls`.

    `location` is the state's URL without secrets, None if it is not known. `error` is the reason why it could not be read.
    """

    location: str | None
    under_way: RunUnderWay | None = None
    controls: OperatorControls = field(default_factory=OperatorControls)
    error: OctosyncError | None = None


@dataclass(frozen=True, kw_only=True)
class ManifestSet:
    """What was loaded: how many files, how many apps, selected or not, and a digest over all of it (`sha256:…`)."""

    files: int
    apps: int
    git: GitRevision | None = None
    compute_digest: Callable[[], str] = field(repr=False, compare=False)

    @cached_property
    def digest(self) -> str:
        """The digest, computed when it is first used: only plan documents contain it."""
        return self.compute_digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """Everything that a report shows about a run beside its plan.

    `timestamp` has a zone (`ValueError` without). `requests_per_minute` is the client's rate limit, 0 for none.
    `typed` is the apply's command line up to the flags of guards, such as `("octosync", "apply", "plan.json")`; empty:
    it follows from the invocation. `connection_arguments` are the flags of a command that only asks the same control plane.
    `trailers` are the guards that a line of a commit lifts. `plan_key` makes the document's fingerprints, None for none.
    `last_applied` is None if the run did not ask for what is pending, `shared` without a shared state.
    """

    octosync_version: str
    timestamp: datetime
    control_plane: ControlPlane
    invocation: Invocation
    manifests: ManifestSet
    requests_per_minute: int = 100
    typed: tuple[str, ...] = ()
    connection_arguments: tuple[str, ...] = ()
    trailers: tuple[str, ...] = ()
    plan_key: Secret | None = None
    last_applied: LastAppliedRevision | None = None
    shared: SharedState | None = None

    def __post_init__(self) -> None:
        if self.timestamp.utcoffset() is None:
            raise ValueError("the timestamp of a run needs a zone")

    @property
    def apply_command(self) -> str:
        """The command line that applies what this run is about, quoted for a shell, without any guard's flag."""
        return shlex.join(self.typed or ("octosync", "apply", *self.invocation.arguments()))

    def status_command(self, slug: str) -> str:
        """Return the command line that shows the status of an app, quoted for a shell."""
        return shlex.join(("octosync", "status", *self.connection_arguments, slug))

    def requests_to_apply(self, plan: Plan) -> int:
        """Return the number of requests of an apply after its reads: its writes, and reads of objects that were read long ago."""
        return _apply_schedule(plan, self.requests_per_minute)[0]

    def seconds_to_apply(self, plan: Plan, *, reads: bool) -> int:
        """Return how many seconds an apply waits for the rate limit: a number of whole minutes.

        With `reads` it begins with the plan's reads; otherwise they are done, and count in the window. Nothing else uses the key.
        """
        if not self.requests_per_minute:
            return 0
        began = 0 if reads else _minute_of(plan.requests_used, self.requests_per_minute)
        return 60 * (_apply_schedule(plan, self.requests_per_minute)[1] - began)


# The control plane answers these with 409 if the object exists, so apply doesn't read it again.
_NEVER_READ_AGAIN: Final = (CreateApp, RegisterTarget)


def _minute_of(number: int, limit: int) -> int:
    """Return in which minute a request is sent, by its number: each minute has as many requests as the limit."""
    return max(0, number - 1) // limit


def _apply_schedule(plan: Plan, limit: int) -> tuple[int, int]:
    """Return the number of requests of an apply after its reads, and in which minute from its first read the last is sent.

    A write to a section that was read in an earlier minute is sent together with another read, in one minute. That read serves
    all writes to the section.
    """
    if not limit:
        return len(plan.actions), 0
    rank = {slug: number for number, slug in enumerate(plan.apps, 1)}
    read_in: dict[tuple[str, Kind], int] = {}
    requests, last = 0, plan.requests_used
    for action in plan.actions:
        app, kind = action.address.app, action.address.kind
        minute = read_in.get((app, kind))
        if minute is None:  # apps are read in their order, about as many requests for each
            minute = _minute_of(plan.requests_used * rank.get(app, len(rank)) // max(1, len(rank)), limit)
        # The next request is sent in minute `last // limit`.
        if minute == last // limit or isinstance(action, _NEVER_READ_AGAIN):
            requests, last = requests + 1, last + 1
        else:
            if last // limit != (last + 1) // limit and limit > 1:
                last += 1
            requests, last = requests + 2, last + 2
            read_in[app, kind] = _minute_of(last, limit)
        if isinstance(action, CreateApp):
            read_in.update({(app, kind): _minute_of(last, limit) for kind in Kind})
    return requests, _minute_of(last, limit)
