"""Loading, planning and reporting without requests. Each function runs in a process of its own."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import yaml
from benchmarks.timing import Stopwatch

from octosync import __version__
from octosync.__main__ import COLLECT_AFTER
from octosync.manifest import Configuration, Manifests, load_manifests
from octosync.model import App, JsonObject, Observation, Section, Sensitivity, State
from octosync.plan import ControlPlane, Invocation, ManifestSet, Plan, PlanOptions, RunInfo
from octosync.reconcile import review
from octosync.report import PlanReport, json_text, render_plan, render_plan_markdown

_THRESHOLDS: Final = gc.get_threshold()  # Python's own; commands collect garbage less often


def load_strictly(folder: str) -> dict[str, float]:
    """Load manifests with all checks and positions."""
    gc.set_threshold(COLLECT_AFTER)
    stopwatch = Stopwatch()
    load_all(folder)
    return stopwatch.read()


def load_bare(folder: str) -> dict[str, float]:
    """Parse the bytes of manifests with PyYAML's fastest loader, without checks and positions."""
    texts = [path.read_bytes() for path in sorted(Path(folder).iterdir())]
    stopwatch = Stopwatch()
    documents = [document for text in texts for document in yaml.load_all(text, yaml.CSafeLoader)]
    assert documents
    return stopwatch.read()


def plan_in_memory(folder: str, few: str) -> dict[str, float]:
    """Load, plan and report apps without requests. Return seconds of CPU by step.

    All of it is done with `few` apps first, because the first use of each function costs more.
    """
    gc.set_threshold(COLLECT_AFTER)
    _plan_in_memory(few)
    return _plan_in_memory(folder)


def load_and_plan(folder: str, few: str) -> dict[str, float]:
    """Load and plan apps that are in sync. Return the seconds of CPU of both, after both were done with `few` apps."""
    gc.set_threshold(COLLECT_AFTER)
    _plan(load_all(few).state, _same)
    load_seconds, manifests = _timed(lambda: load_all(folder))
    plan_seconds, plan = _plan(manifests.state, _same)
    assert not plan.actions
    return {"load": load_seconds, "plan": plan_seconds}


def _plan_in_memory(folder: str) -> dict[str, float]:
    gc.set_threshold(*_THRESHOLDS)
    times = {"bare_load": load_bare(folder)["cpu"]}
    gc.set_threshold(COLLECT_AFTER)
    gc.collect()
    times["load"], manifests = _timed(lambda: load_all(folder))
    times["same"], plan = _plan(manifests.state, _same)
    assert not plan.actions
    del plan  # the garbage collector has to visit no more than in a run, which has one plan
    times["changed"], plan = _plan(manifests.state, _changed)
    assert len(plan.actions) == 4 * len(manifests.state.apps)
    report = _report(plan)
    times["text"], _ = _timed(lambda: render_plan(report, colour=False))
    times["markdown"], _ = _timed(lambda: render_plan_markdown(report))
    times["json"], text = _timed(lambda: json_text(report.document(streamed=True)))
    document = json.loads(text)
    times["dumps"] = min(_timed(lambda: json.dumps(document))[0] for _ in range(3))
    return times


def _plan(desired: State, change: Callable[[App], App]) -> tuple[float, Plan]:
    observation, options = _live(desired, change), PlanOptions(now=datetime.now(UTC))
    gc.collect()
    seconds, reviewed = _timed(lambda: review(desired, observation, options))
    return seconds, reviewed.plan


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


def load_all(folder: str) -> Manifests:
    """Load manifests, and check that they are valid."""
    manifests = load_manifests([folder], configuration=Configuration(), context=None, now=datetime.now(UTC))
    assert not manifests.diagnostics, manifests.diagnostics[:3]
    return manifests


def _same(app: App) -> App:
    return app


def _changed(app: App) -> App:
    """Return an app of which every field of every object is different, except the targets: a target has no fields."""
    assert app.inference_config is not None
    policy = {"routing_mode": "cloud_only", "routing_preference": "cloud", "fallback": None}
    slots = (
        replace(slot, fields={**slot.fields, "serving_policy": policy, "preferred_engines": []}) for slot in app.slots
    )
    config: JsonObject = {"model": "another", "parameters": {"temperature": 0.7, "max_tokens": 64}}
    return replace(
        app,
        fields={"name": f"{app.fields['name']} (old)", "description": "As it was before"},
        slots=tuple(slots),
        inference_config=replace(app.inference_config, config=config),
    )


def _live(desired: State, change: Callable[[App], App]) -> Observation:
    """Return live state as the client reads it: without positions, with IDs."""
    return Observation(state=State.from_apps(*_live_apps(desired, change)), org_id="org-1", unmanaged=())


def _live_apps(desired: State, change: Callable[[App], App]) -> Iterator[App]:
    for app in map(change, desired):
        assert app.inference_config is not None
        ids = {"app_id": f"id-{app.slug}", "created_at": "2030-01-01T00:00:00Z", "updated_at": "2030-01-01T00:00:00Z"}
        targets = (
            replace(target, origin=None, server_fields={"id": f"id-{target.identifier}", **ids})
            for target in app.targets
        )
        slots = (
            replace(
                slot,
                origin=None,
                preset=None,
                fields={"bindings": [], "public_client_allowed": False, **slot.fields},
                server_fields={"id": f"id-{slot.capability}", **ids},
            )
            for slot in app.slots
        )
        yield replace(
            app,
            origin=None,
            section_origins={},
            labels={},
            complete_sections=frozenset(Section),
            targets=tuple(targets),
            slots=tuple(slots),
            inference_config=replace(app.inference_config, origin=None),
            server_fields={"id": f"id-{app.slug}", "slug": app.slug, "org_id": "org-1"},
        )


def _report(plan: Plan) -> PlanReport:
    about = RunInfo(
        octosync_version=__version__,
        timestamp=datetime(2030, 1, 1, tzinfo=UTC),
        control_plane=ControlPlane(url="https://api.octomil.com/api/v1", org_id="org-1", context="production"),
        invocation=Invocation(paths=("apps/",)),
        manifests=ManifestSet(compute_digest=lambda: "sha256:" + "ab" * 32, files=1, apps=1, git=None),
    )
    return PlanReport(plan=plan, about=about, sensitivity=Sensitivity())
