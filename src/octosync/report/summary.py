"""What a plan comes to, in the words that text and Markdown share: its counts, its apps, its cost, where and from what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Final

from octosync.model import counted
from octosync.plan import Action, EnableCapability, Plan, Refusal, RunInfo, Verb
from octosync.report.text import visible
from octosync.report.words import listed

_COUNTED_VERBS: Final = (Verb.CREATE, Verb.UPDATE, Verb.DELETE, Verb.ENABLE, Verb.OPTIMIZE, Verb.ARCHIVE)


def planned_words(actions: Iterable[Action]) -> str:
    """Count actions by what they do: `2 to create, 1 to update`; "" for none."""
    verbs = [action.verb for action in actions]
    return ", ".join(f"{verbs.count(verb):,} to {verb.value}" for verb in _COUNTED_VERBS if verb in verbs)


def totals_words(planned: Iterable[Action], held: Sized) -> str:
    """Count what is planned, and apart from it what is held: `2 to create; 1 held`; "" for none."""
    return "; ".join(filter(None, (planned_words(planned), f"{len(held):,} held" if held else "")))


def nothing_words(plan: Plan) -> str:
    """Say that there is nothing to do, as far as that is known."""
    return "Nothing planned." if plan.errors else "No changes."


def rest_words(plan: Plan) -> str:
    """Say what becomes of the other apps: `38 apps unchanged, 260 unmanaged`; "" where there are none."""
    as_declared, others = _apps_left(plan)
    if plan.actions:
        rest = [f"{counted(as_declared, 'app')} unchanged"] if as_declared else []
    else:
        rest = [f"{counted(as_declared, 'app')} as declared"] if as_declared or not (others or plan.errors) else []
    return ", ".join((*rest, *others))


def incomplete_words(plan: Plan) -> str:
    """Say how many apps could not be planned."""
    return f"{len(plan.errors):,} of {counted(len(plan.apps), 'app')} could not be planned"


def blocking_words(blocked: Sequence[Refusal]) -> str:
    """Name the guards that refuse something, and say what that means."""
    return f"({', '.join(dict.fromkeys(one.guard for one in blocked))}): apply writes nothing"


def devices_words(actions: Iterable[Action]) -> str:
    """Count the devices that enabling would reach, as far as the orchestrator said; "" where it said of none."""
    previews = [action.preview for action in actions if isinstance(action, EnableCapability)]
    known = [preview.devices for preview in previews if preview is not None]
    more = "at least " if len(known) < len(previews) else ""
    return f"{more}{counted(sum(known), 'device')}" if known else ""


def selected_words(plan: Plan, about: RunInfo) -> str:
    """Say how many of the manifests' apps are planned, where that is not all: `2 apps selected`."""
    return f"{counted(len(plan.apps), 'app')} selected" if len(plan.apps) < about.manifests.apps else ""


def read_words(plan: Plan, about: RunInfo) -> str:
    """Say how many apps were read, and what that took: `read 2 of 41 apps with 9 requests`.

    Those that no manifest has any more are read, too.
    """
    every, mine = about.manifests.apps, len(plan.apps)
    apps = counted(mine, "app") if mine >= every else f"{mine:,} of {counted(every, 'app')}"
    return f"read {apps} with {counted(plan.requests_used, 'request')}"


def manifests_words(about: RunInfo) -> str:
    """Say what was loaded: `apps/ 41 apps in 14 files`."""
    asked, manifests = about.invocation, about.manifests
    places = list(asked.paths) + ([f"{asked.kustomize} (kustomize)"] if asked.kustomize is not None else [])
    loaded = f"{counted(manifests.apps, 'app')} in {counted(manifests.files, 'file')}"
    return visible(f"{listed(places, at_most=3)} {loaded}".lstrip())


def left_alone_lines(plan: Plan, about: RunInfo) -> Iterator[str]:
    """Yield what the plan saw and does not touch."""
    if plan.left_alone.suspended:
        yield f"Suspended, left alone: {', '.join(map(visible, plan.left_alone.suspended))}"
    if plan.left_alone.unknown_targets:
        yield f"On unknown platforms, left alone: {', '.join(visible(str(a)) for a in plan.left_alone.unknown_targets)}"
    if plan.left_alone.undeclared_deployments:
        where = ", ".join(visible(str(address)) for address in plan.left_alone.undeclared_deployments)
        yield f"Deployed and not declared, left alone (there is no API to undeploy): {where}"
    left = plan.left_alone
    for addresses, words in (
        (left.stale, "Changed at the base's revision and not here, left alone until this branch has it"),
        (left.released, "In a section that is no longer declared, left as it is"),
        (left.waiting, "Waiting for a suspended app at the other end of a move"),
    ):
        if addresses:
            yield f"{words}: {', '.join(visible(str(address)) for address in addresses)}"
    if left.orphan_apps:
        apps = ", ".join(map(visible, left.orphan_apps))
        yield f"No longer in any manifest, left alone ({_pruning(about)} archives): {apps}"


def _pruning(about: RunInfo) -> str:
    """Return the flags that archive what the base declared. It is named: once this is applied, the next base has it no more."""
    git = about.manifests.git
    return f"--base {git.base[:12]} --prune" if git is not None and git.base is not None else "--prune"


def _apps_left(plan: Plan) -> tuple[int, list[str]]:
    """Count the apps that are as declared, and say what else there is."""
    touched = {action.address.app for action in plan.shown}
    left = (*plan.archived_undeclared, *plan.left_alone.stale, *plan.left_alone.waiting)
    aside = touched | {*plan.errors, *plan.left_alone.suspended} | {address.app for address in left}
    others = []
    if plan.left_alone.suspended:
        others.append(f"{len(plan.left_alone.suspended):,} suspended")
    if waiting := {address.app for address in plan.left_alone.waiting}:
        others.append(f"{len(waiting):,} waiting")
    if plan.left_alone.unmanaged_apps:
        others.append(f"{plan.left_alone.unmanaged_apps:,} unmanaged")
    return len(set(plan.apps) - aside), others
