"""The actions of a person who has signed in: their buttons, and the pages that list exactly what an action does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from octosync.errors import OctosyncError
from octosync.model import Hold, JsonObject, counted
from octosync.plan import Action
from octosync.report.changes import Group, RowOptions, group_of
from octosync.report.text import plane_words, time_words
from octosync.watch.approvals import actions_of_set
from octosync.watch.status import AppReconcileStatus, BlockedSet, ControllerStatus
from octosync.watch.web.attention import DriftView, drift_views

_LISTED: Final = 100  # apps of a suspension


@dataclass(frozen=True, slots=True)
class Button:
    """A button: its label, the path of the action's page, and the parameters. A direct one acts without that page."""

    label: str
    path: str
    fields: tuple[tuple[str, str], ...]
    is_direct: bool

    def link(self, back: str) -> str:
        """Return the URL of the action's page, from which a person returns to the page `back`."""
        return f"{self.path}?{urlencode((*self.fields, ('back', back)))}"


DURATIONS: Final = (  # of a hold
    ("30m", "30 minutes"),
    ("1h", "1 hour"),
    ("4h", "4 hours"),
    ("8h", "8 hours"),
    ("1d", "1 day"),
    ("3d", "3 days"),
    ("7d", "7 days"),
)
_LABELS: Final[Mapping[str, str]] = {
    "/reconcile": "Reconcile",
    "/hold": "Hold",
    "/release": "Release the hold",
    "/approve": "Approve",
    "/suspend": "Suspend all writes",
    "/resume": "Resume writes",
}
_DIRECT: Final = frozenset({"/reconcile", "/release"})  # a person needs to review nothing
_NAMING: Final = frozenset({"app", "guard", "seen"})  # the page of the action asks for the other parameters


def button_for(path: str, parameters: Mapping[str, str]) -> Button:
    """Return the button of a POST endpoint with some of its parameters."""
    fields = tuple((name, value) for name, value in parameters.items() if name in _NAMING)
    return Button(_LABELS[path], f"/actions{path}", fields, path in _DIRECT)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionView:
    """The page of an action: what it does, in sentences, and the objects that it is about.

    `submit` is the label of its button; "" if it can't be done. `asks` are the parameters that a person types or chooses,
    `fields` the others. `problem` is why it can't be done, and `current` are the sets that can be approved instead.
    """

    heading: str
    lines: tuple[str, ...]
    submit: str
    fields: tuple[tuple[str, str], ...] = ()
    asks: tuple[str, ...] = ()
    groups: tuple[Group, ...] = ()
    drift: tuple[DriftView, ...] = ()
    apps: tuple[str, ...] = ()
    more_apps: int = 0
    problem: str = ""
    current: tuple[BlockedSet, ...] = ()


def action_view(path: str, status: ControllerStatus, given: Mapping[str, str]) -> ActionView:
    """Return the page of an action. Raises `OctosyncError` (`app-not-declared`) for an unknown app."""
    return _VIEWS[path](status, given)


def _reconcile(status: ControllerStatus, given: Mapping[str, str]) -> ActionView:
    what = f"Reconcile {_app(status, given).slug}" if "app" in given else f"Reconcile {_all(status)}"
    return ActionView(
        heading=what,
        lines=(
            "octosync reads the live state again, and applies the differences from the manifests that no guard blocks.",
            "Contested objects and rejected changes are tried again.",
        ),
        submit=what,
        fields=_named(given, "app"),
    )


def _hold(status: ControllerStatus, given: Mapping[str, str]) -> ActionView:
    app = _app(status, given)
    return ActionView(
        heading=f"Hold the drift of {app.slug}",
        lines=(
            f"octosync reverts no manual change to {app.slug} until the hold ends or is released. It still applies commits.",
            *_until(app.hold),
        ),
        submit=f"Hold {app.slug}",
        fields=_named(given, "app"),
        asks=("for", "reason"),
        drift=tuple(drift_views(app, status)),
    )


def _release(status: ControllerStatus, given: Mapping[str, str]) -> ActionView:
    app = _app(status, given)
    return ActionView(
        heading=f"Release the hold of {app.slug}",
        lines=(
            *_until(app.hold),
            f"octosync reverts manual changes to {app.slug} on its usual schedule again: at once, if that time has passed.",
        ),
        submit="Release the hold",
        fields=_named(given, "app"),
        drift=tuple(drift_views(app, status)),
    )


def _until(hold: Hold | None) -> Iterator[str]:
    if hold is not None:
        yield f"It is held until {time_words(hold.until)}{f': {hold.reason}' if hold.reason else ''}."


def _suspend(status: ControllerStatus, given: Mapping[str, str]) -> ActionView:
    del given
    return ActionView(
        heading="Suspend all writes",
        lines=(
            f"octosync writes nothing to {plane_words(status.control_plane)} until writes are resumed, also after a restart.",
            f"This affects {_all(status)}: commits, reverts of drift and approved changes wait.",
            "It finishes the writes in progress, and continues to read, to plan and to report.",
        ),
        submit="Suspend all writes",
        asks=("reason?",),
    )


def _resume(status: ControllerStatus, given: Mapping[str, str]) -> ActionView:
    del given
    waiting = sorted(app.slug for app in status.apps.values() if app.why_waiting)
    count = counted(len(waiting), "app") if waiting else "No app"
    return ActionView(
        heading="Resume writes",
        lines=(
            f"octosync writes to {plane_words(status.control_plane)} again.",
            f"{count} {'wait' if len(waiting) > 1 else 'waits'} now{'; each is planned again first' if waiting else ''}.",
        ),
        submit="Resume writes",
        apps=tuple(waiting[:_LISTED]),
        more_apps=max(0, len(waiting) - _LISTED),
    )


def _approve(status: ControllerStatus, given: Mapping[str, str]) -> ActionView:
    guard, seen = given.get("guard", ""), given.get("seen", "")
    heading = f"Approve what the guard {guard} blocks"
    of_guard = [blocked for blocked in status.blocked if blocked.guard == guard and blocked.seen]
    found = next((blocked for blocked in of_guard if blocked.seen == seen), None)
    if found is None:
        now = "This is blocked now:" if of_guard else f"The guard {guard} blocks nothing that can be approved now."
        return ActionView(
            heading=heading,
            lines=(now,),
            problem="What was shown is not blocked any more, or has changed. Nothing is approved.",
            submit="",
            current=tuple(of_guard),
        )
    actions = actions_of_set(found, [status.apps[slug] for slug in found.apps if slug in status.apps])
    these = counted(len(actions), "action")
    which = "this action" if len(actions) == 1 else f"these {these}"
    return ActionView(
        heading=heading,
        lines=(
            f"{found.message}.",
            f"octosync applies exactly {which}, once. Any other change is not approved.",
        ),
        submit=f"Approve {these}",
        fields=_named(given, "guard", "seen"),
        groups=tuple(_groups(actions, status)),
    )


def _groups(actions: Iterable[Action], status: ControllerStatus) -> Iterator[Group]:
    by_app: dict[str, list[Action]] = {}
    for action in actions:
        by_app.setdefault(action.address.app, []).append(action)
    options = RowOptions(sensitivity=status.sensitivity, full=True)
    for slug, acted in sorted(by_app.items()):
        # An app that is at one end of a move has its actions in the plan of the other end, too.
        own = [status.apps[slug]] if slug in status.apps else []
        plans = (app.plan for app in (*own, *status.apps.values()) if app.plan is not None)
        desired = next(plan.desired.apps[slug] for plan in plans if slug in plan.desired.apps)
        yield group_of(slug, acted, desired, options)


_VIEWS: Final[Mapping[str, Callable[[ControllerStatus, Mapping[str, str]], ActionView]]] = {
    "/reconcile": _reconcile,
    "/hold": _hold,
    "/release": _release,
    "/approve": _approve,
    "/suspend": _suspend,
    "/resume": _resume,
}


def result_words(path: str, given: Mapping[str, str], result: JsonObject) -> str:
    """Return the result of an action in a sentence."""
    match path:
        case "/reconcile":
            return f"Queued for a reconcile: {given.get('app') or counted(_int(result['queued']), 'app')}."
        case "/hold":
            return f"A hold of {given['app']} for {given['for']} has started: {given['reason']}."
        case "/release":
            return f"The hold of {given['app']} was released."
        case "/approve":
            return f"{counted(_int(result['approved']), 'action')} approved, once: the guard {given['guard']} lets them pass."
        case "/suspend":
            return "All writes were suspended."
        case _:
            return "Writes were resumed."


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0


def _app(status: ControllerStatus, given: Mapping[str, str]) -> AppReconcileStatus:
    app = status.apps.get(given.get("app", ""))
    if app is None:
        raise OctosyncError(
            "app-not-declared",
            f"no manifest declares an app {given.get('app', '')}",
            hints=("/apps lists the declared apps.",),
        )
    return app


def _all(status: ControllerStatus) -> str:
    return counted(1, "app") if len(status.apps) == 1 else f"all {len(status.apps):,} apps"


def _named(given: Mapping[str, str], *names: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, given[name]) for name in names if name in given)
