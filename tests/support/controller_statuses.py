"""Statuses of a controller, and a controller API that returns one and records its calls, for tests of the HTTP side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.states import desired_app, live_app, live_deployment, plan_of

from octosync.errors import OctosyncError
from octosync.model import (
    Address,
    Canary,
    ControllerSuspension,
    Diagnostic,
    Hold,
    Origin,
    Outcome,
    Reason,
    Severity,
    Status,
)
from octosync.plan import (
    ControlPlane,
    GitRevision,
    HeldChange,
    Invocation,
    ManifestSet,
    Plan,
    Recommendation,
    RunInfo,
    judge,
)
from octosync.plan import GuardPolicy as Policy
from octosync.watch.approvals import blocked_sets
from octosync.watch.status import (
    AppReconcileStatus,
    AppState,
    BudgetStatus,
    CommitStatus,
    ControllerStatus,
    DriftStatus,
    RunStatus,
)

NOW = datetime(2030, 1, 1, 14, 3, 20, tzinfo=UTC)
ADMIN_TOKEN = "admin-correct-horse-battery"
PLANE = ControlPlane(url="https://api.octomil.com/api/v1", org_id="8f1c", context="production")
ABOUT = RunInfo(
    octosync_version="0.1.0",
    timestamp=NOW,
    control_plane=PLANE,
    invocation=Invocation(paths=("apps/",)),
    manifests=ManifestSet(
        compute_digest=lambda: "sha256:" + "ab" * 32, files=14, apps=44, git=GitRevision(revision="3f9d2c1")
    ),
)
_QUIET = (
    "assistant",
    "billing",
    "camera",
    "captions",
    "catalog",
    "chatbot",
    "checkout",
    "dictation",
    "docs",
    "fitness",
)


def ago(**span: float) -> datetime:
    """Return a time before now."""
    return NOW - timedelta(**span)


def soon(**span: float) -> datetime:
    """Return a time after now."""
    return NOW + timedelta(**span)


def held_plan(slug: str, *, until: datetime | None, capability: str = "vision", **fields: Any) -> Plan:
    """Return a plan for an app with a manual change to one slot, whose revert is held."""
    wanted = {"serving_policy": "local_only", **fields}
    desired = desired_app(slug, slots={capability: wanted, "chat": {}}, origin=Origin(f"apps/{slug}.yaml", 1, 1))
    plan = plan_of(desired, live_app(slug, slots={capability: {"serving_policy": "cloud_only"}, "chat": {}}))
    origin = Origin(f"apps/{slug}.yaml", 27, 7)
    reverts = [replace(action, reason=Reason.DRIFT, origin=origin) for action in plan.actions]
    held = tuple(HeldChange(action, until) for action in reverts)
    return replace(plan, actions=(), held=held)


def held_app(slug: str = "canary-demo", **more: Any) -> AppReconcileStatus:
    """Return an app with held drift: Ana has just changed its slot."""
    until = more.pop("until", soon(minutes=28, seconds=30))
    drift = DriftStatus(
        address=Address.of_slot(slug, "vision"),
        first_seen=ago(seconds=75),
        actor=more.pop("actor", "ana@example.com"),
        at=ago(minutes=2),
        until=until,
    )
    return AppReconcileStatus(
        **{
            "slug": slug,
            "state": AppState.HELD,
            "since": ago(minutes=2),
            "read_at": ago(minutes=1),
            "plan": held_plan(slug, until=until),
            "drift": (drift,),
            "source": f"apps/{slug}.yaml:3",
            **more,
        }
    )


def blocked_app(slug: str = "search-old", count: int = 14) -> AppReconcileStatus:
    """Return an app with more removals than the guards allow."""
    plan = plan_of(
        desired_app(slug, targets=[], slots={"chat": {}}, origin=Origin(f"apps/{slug}.yaml", 1, 1)),
        live_app(slug, targets=[f"ios:com.acme.search{n}" for n in range(count)], slots={"chat": {}}),
    )
    return AppReconcileStatus(
        slug=slug,
        state=AppState.BLOCKED,
        since=ago(minutes=9),
        read_at=ago(minutes=9),
        plan=plan,
        blocked=judge(plan, Policy()),
        source=f"apps/{slug}.yaml:3",
    )


def contested_app(slug: str = "keyboard") -> AppReconcileStatus:
    """Return an app whose slot is changed again after every revert."""
    drift = DriftStatus(
        address=Address.of_slot(slug, "vision"),
        first_seen=ago(hours=3),
        actor="automation@example.com",
        at=ago(minutes=20),
        contested=True,
        reverts=3,
    )
    return held_app(slug, until=None, state=AppState.CONTESTED, drift=(drift,))


def failing_app(slug: str = "search-eu") -> AppReconcileStatus:
    """Return an app that can't be read at the moment."""
    return AppReconcileStatus(
        slug=slug,
        state=AppState.FAILING,
        since=ago(minutes=4),
        reference="unavailable",
        error="GET /apps/search-eu/slots: the control plane answered 503 three times (request req_51bd)",
        hints=("The others go on.",),
        next_try=soon(seconds=40),
    )


def canary_app(slug: str = "voice") -> AppReconcileStatus:
    """Return an app in sync with a running canary and a recommendation that waits."""
    return AppReconcileStatus(
        slug=slug,
        state=AppState.IN_SYNC,
        canaries=(live_deployment(slug, "chat", canary=Canary(candidate="phi-4-mini-q5", percentage=40)),),
        recommendations=(
            Recommendation(
                address=Address.of_capability(slug, "tts", "production"),
                current="kokoro-1",
                suggested="kokoro-2",
                improvement={"latency": 0.18},
                waiting="one canary of a slot at a time",
            ),
        ),
    )


def quiet_app(slug: str) -> AppReconcileStatus:
    """Return an app in sync."""
    app = desired_app(slug, slots={"chat": {}}, origin=Origin(f"apps/{slug}.yaml", 1, 1))
    return AppReconcileStatus(
        slug=slug,
        state=AppState.IN_SYNC,
        since=ago(hours=5),
        read_at=ago(minutes=2),
        plan=plan_of(app, live_app(slug, slots={"chat": {}})),
        source=f"apps/{slug}.yaml:3",
    )


def run_status(number: int = 1, **more: Any) -> RunStatus:
    """Return run 1 with a successful and a failed write; other numbers have one successful write."""
    done = Outcome(
        address=Address.of_slot("checkout", "chat"), verb="update", status=Status.DONE, request_ids=("req_77c0",)
    )
    failed = Outcome(
        address=Address.of_target("checkout", "ios", "com.acme.checkout"),
        verb="create",
        status=Status.FAILED,
        reference="conflict",
        message="taken by app search-legacy (409)",
        hints=("Declare the target's move, or remove it there.",),
        request_ids=("req_81fa",),
    )
    return RunStatus(
        **{
            "run": f"01JD0000000000000000000{number:03}",
            "apps": ("checkout",),
            "started": ago(minutes=10 * number),
            "ended": ago(minutes=10 * number) + timedelta(seconds=4),
            "outcomes": (done, failed) if number == 1 else (done,),
            "actions": 2 if number == 1 else 1,
            **more,
        }
    )


def commit_status(revision: str) -> CommitStatus:
    """Return a commit of Ana, with its page."""
    url = f"https://github.com/acme/apps/commit/{revision}"
    return CommitStatus(revision=revision, author="Ana Ruiz", subject="Route search locally", url=url)


def status_of(*apps: AppReconcileStatus, **more: Any) -> ControllerStatus:
    """Return the status of a ready controller with these apps."""
    return ControllerStatus(
        **{
            "now": NOW,
            "started": ago(hours=30),
            "version": "0.1.0",
            "control_plane": PLANE,
            "ready": True,
            "can_post": True,
            "about": ABOUT,
            "apps": {app.slug: app for app in apps},
            "blocked": blocked_sets(apps, lambda _: "a change", lambda guard, actions: f"{guard}{len(actions)}seen"),
            "files": 14,
            "revision": "3f9d2c1",
            "loaded_at": ago(minutes=9),
            "budget": BudgetStatus(limit=100, used=37, remaining=63),
            "full_read_at": ago(minutes=2),
            "next_full_read": soon(minutes=13),
            "last_success": ago(minutes=1),
            **more,
        }
    )


def busy_status() -> ControllerStatus:
    """Return a status with nearly every state of apps."""
    held = replace(
        held_app("photos", until=soon(hours=3)),
        hold=Hold(app="photos", until=soon(hours=3), reason="incident 4711: routing by hand", at=ago(hours=1)),
    )
    return status_of(
        held_app(),
        blocked_app(),
        contested_app(),
        failing_app(),
        held,
        canary_app(),
        *map(quiet_app, _QUIET),
        holds=(held.hold,),
        runs=(run_status(1), run_status(2), run_status(3)),
        unmanaged=260,
        queue={"changed": 1, "resync": 0},
    )


def pictured_status() -> ControllerStatus:
    """Return the status for the pictures in the documentation."""
    canary = replace(canary_app(), recommendations=(), since=ago(hours=2))
    apps = (held_app(), blocked_app("search-old"), canary, *map(quiet_app, _QUIET))
    commit, before = (replace(commit_status(revision * 8), subject="") for revision in ("3f9d2", "a81f0"))
    return status_of(
        *apps,
        commit=commit,
        revision=commit.revision,
        owners={app.slug: "teams/search" if app.slug.startswith("c") else "teams/speech" for app in apps},
        runs=(
            run_status(1, commit=commit),
            run_status(2, commit=commit, apps=("billing",)),
            run_status(5, commit=before, apps=("camera",), is_revert=True),
            run_status(9, commit=before, apps=("voice",)),
        ),
        unmanaged=260,
    )


def bad_manifests(status: ControllerStatus) -> ControllerStatus:
    """Return the status with invalid manifests."""
    error = Diagnostic(
        severity=Severity.ERROR,
        rule="unknown-field",
        summary="`servingPolcy` is not a field of a slot",
        origin=Origin("apps/demo.yaml", 12, 7),
        path="spec.slots[0].servingPolcy",
        excerpt="      servingPolcy: local_first",
        width=12,
        suggestion="servingPolicy",
    )
    return replace(status, valid=False, diagnostics=(error,))


def suspended(status: ControllerStatus) -> ControllerStatus:
    """Return the status with a suspended controller."""
    return replace(status, suspended=ControllerSuspension(at=ago(minutes=30), reason="incident 4711"))


@dataclass(kw_only=True)
class RecordingApi:
    """A controller API with a fixed status that records its calls; `refuses` is an error that every call raises."""

    current: ControllerStatus
    refuses: OctosyncError | None = None
    calls: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)

    def status(self) -> ControllerStatus:
        """Return the fixed status."""
        return self.current

    def health(self) -> ControllerStatus:
        """Return the fixed status without its apps."""
        return replace(self.current, apps={}, blocked=(), holds=(), runs=())

    def reconcile(self, app: str | None) -> int:
        """Record the call."""
        self._record("reconcile", app=app)
        return len(self.current.apps) if app is None else 1

    def suspend(self, reason: str) -> None:
        """Record the call."""
        self._record("suspend", reason=reason)

    def resume(self) -> None:
        """Record the call."""
        self._record("resume")

    def hold(self, app: str, duration: timedelta, reason: str) -> Hold:
        """Record the call."""
        self._record("hold", app=app, duration=duration, reason=reason)
        return Hold(app=app, until=self.current.now + duration, reason=reason, at=self.current.now)

    def release(self, app: str) -> None:
        """Record the call."""
        self._record("release", app=app)

    def approve(self, guard: str, seen: str, apps: Sequence[str] = ()) -> int:
        """Record the call."""
        self._record("approve", guard=guard, seen=seen, apps=apps)
        return 14

    def _record(self, operation: str, **arguments: object) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.calls.append((operation, arguments))
