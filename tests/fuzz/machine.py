"""Random orgs, manifests, faults and kills, checked against a model: what is applied, reported and left unchanged."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import yaml
from hypothesis import note
from hypothesis import strategies as st
from tests.fuzz.documents import CANARY, Draw
from tests.fuzz.model import CATALOG, Org, Spec, differences, draw_manifests, draw_org, expected, object_at, read
from tests.fuzz.plane import World, open_world
from tests.fuzz.runner import Case, Finding, Part
from tests.support.processes import Zygote, zygote
from tests.support.repositories import Repo
from tests.support.workdirs import CommandResult

from octosync.contract import OPERATIONS, Access

_APPLY: Final = (
    "-f",
    "apps",
    "--yes",
    "--allow-deletes",
    "all",
    "--allow-archives",
    "99",
    "--allow-protected",
    "-o",
    "json",
)
_PLAN: Final = ("plan", "-f", "apps", "--allow-deletes", "all", "--allow-archives", "99", "-o", "json")
_WRITES: Final = tuple(sorted(id_ for id_, operation in OPERATIONS.items() if operation.access is Access.WRITE))
_READS: Final = (
    "apps.get",
    "apps.list",
    "apps.list_targets",
    "apps.list_slots",
    "apps.get_slot",
    "apps.get_inference_config",
)
_CODES: Final = {0, 1, 3, 4, 5, 75, 130, 143}
_LOST: Final = ("cut", "garbage", "empty", "truncated", "html")
_REFUSED: Final = (
    (402, "plan_limit_exceeded"),
    (403, "insufficient_scope"),
    (403, "x"),
    (422, "validation_error"),
    (429, "rate_limited"),
)


def _draw_faults(draw: Draw) -> list[dict[str, Any]]:
    """Draw rules for the embedded server: writes that are refused or whose responses are lost, and reads that fail."""
    rules = []
    for _ in range(draw(st.integers(0, 2))):
        rule: dict[str, Any] = {
            "operation": draw(st.sampled_from((*_WRITES, "apps.create_target", *_READS, "*"))),
            "times": draw(st.sampled_from((1, 2, None))),
            "skip": draw(st.integers(0, 3)),
        }
        match draw(st.sampled_from(("lost", "refused", "failing", "shape"))):
            case "lost":
                rule |= {"action": draw(st.sampled_from(_LOST)), "status": None, "when": "after"}
                rule = {key: value for key, value in rule.items() if value is not None or key == "times"}
                if rule["action"] == "truncated":
                    del rule["when"]
            case "refused":
                status, code = draw(st.sampled_from(_REFUSED))
                rule |= {"action": "status", "status": status, "code": code}
                if status == 429:
                    rule["retry_after"] = 0
            case "failing":
                status = draw(st.sampled_from((500, 502, 503, 504)))
                rule |= {"action": "status", "status": status, "when": draw(st.sampled_from(("before", "after")))}
            case _:
                rule |= {"action": draw(st.sampled_from(("not_found", "redirect", "cut_before")))}
        rules.append(rule)
    return rules


def _write_manifests(world: World, specs: Mapping[str, Spec]) -> None:
    for slug in [path.stem for path in (world.workdir.directory / "apps").glob("*.yaml")]:
        (world.workdir.directory / f"apps/{slug}.yaml").unlink()
    for slug, spec in specs.items():
        document = {"apiVersion": "octosync.dev/v1", "kind": "App", "metadata": {"name": slug}, "spec": spec}
        world.workdir.write(f"apps/{slug}.yaml", yaml.safe_dump(document, sort_keys=False))


def _fill(world: World, org: Org) -> None:
    """Create an org over plain HTTP."""
    api = world.plane.api
    for slug, app in org.items():
        answers = [api.post("/apps", json={"slug": slug, "name": app.name, "description": app.description})]
        answers += [
            api.post(f"/apps/{slug}/targets", json={"platform": "ios", "identifier": identifier})
            for identifier in sorted(app.targets)
        ]
        answers += [api.put(f"/apps/{slug}/slots/{capability}", json=slot) for capability, slot in app.slots.items()]
        if app.config is not None:
            answers.append(api.put(f"/apps/{slug}/inference-config", json=app.config))
        if app.archived:
            answers.append(api.post(f"/apps/{slug}/archive"))
        assert all(answer.status_code < 300 for answer in answers), [answer.text for answer in answers]


def _check_output(ran: CommandResult) -> None:
    if ran.code not in _CODES and ran.code >= 0:
        raise Finding(f"exit code {ran.code}: {ran.output[-2000:]}")
    if "Traceback" in ran.output:
        raise Finding(f"a traceback: {ran.output[-2000:]}")
    if CANARY in ran.output:
        raise Finding(f"a secret is shown: {ran.output[:3000]}")


def _check_outcomes(document: Mapping[str, Any], before: Org, now: Org, wanted: Org, *, lagging: bool) -> None:
    """Compare the reported outcomes with the live state."""
    outcomes = document.get("outcomes") or ()
    everything_done = all(outcome["status"] == "done" for outcome in outcomes if outcome["action"] != "archive")
    for outcome in outcomes:
        address, action, status = outcome["address"], outcome["action"], outcome["status"]
        held = object_at(now, address), object_at(before, address), object_at(wanted, address)
        live, old, new = (_concerned(value, action) for value in held)
        if status == "done" and live != new:
            raise Finding(f"{action} {address} is reported done, and is {live!r}, not {new!r}")
        if status == "failed" and live == new != old and outcome["reference"] != "outcome-unknown":
            raise Finding(f"{action} {address} took effect, and is reported failed: {outcome}")
        if status in {"skipped", "not_attempted", "stale"} and live != old and not lagging:
            raise Finding(f"{action} {address} is reported {status}, and was {old!r} and is {live!r}")
        if action == "archive" and status == "done" and not everything_done:
            raise Finding(f"{address} was archived although not everything before was done: {outcomes}")


def _concerned(value: Any, action: str) -> Any:
    """Return the part of a value that an action changes: an app's archive is a separate action."""
    if not isinstance(value, tuple):
        return value
    return value[2:] if action == "archive" else value[:2]


def _check_left_alone(specs: Mapping[str, Spec], before: Org, now: Org, wanted: Org) -> None:
    """Check that every object is as it was or as declared; a target may be missing on its way to another app."""
    if changed := differences(
        {s: a for s, a in now.items() if s not in specs}, {s: a for s, a in before.items() if s not in specs}
    ):
        raise Finding(f"undeclared state has changed: {changed}")
    for address in {line.partition(": ")[0] for line in differences(now, before)}:
        parts = zip(*(_parts(org, address) for org in (now, before, wanted)), strict=True)
        if any(live not in (old, new) for live, old, new in parts):
            raise Finding(f"{address} is neither as before nor as declared: {object_at(now, address)!r}")


def _parts(org: Org, address: str) -> tuple[Any, ...]:
    value = object_at(org, address)
    return value if isinstance(value, tuple) else (value,) if address.count("/") > 1 else (None, None, None)


def _check_moves(before: Org, now: Org, wanted: Org) -> None:
    """Check that at most one of the moving targets is registered nowhere."""
    held, hoped, found = ({name for app in org.values() for name in app.targets} for org in (before, wanted, now))
    if len(lost := (held & hoped) - found) > 1:
        raise Finding(f"{len(lost)} targets that move are registered nowhere: {sorted(lost)}")


def _apply_killed(world: World, parent: Zygote, at_request: int, number: signal.Signals) -> CommandResult:
    """Run an apply as a separate process, and send it a signal when its nth request arrives."""
    started = threading.Event()
    pids: list[int] = []

    def arrived(count: int) -> None:
        if count == at_request:
            started.wait(30)
            os.kill(pids[0], number)

    world.layer.arrived = arrived
    out, err = (world.workdir.directory / name for name in ("out", "err"))
    for path in (out, err):
        path.write_bytes(b"")
    env = {**world.workdir.environment, "PYTHONHASHSEED": "0"}
    pids.append(parent.start(("apply", *_APPLY), world.workdir.directory, env, out, err))
    started.set()
    while (code := parent.code_of(pids[0])) is None:
        time.sleep(0.002)
    world.layer.arrived = None
    return CommandResult(code, out.read_text(), err.read_text())


def _check_convergence(world: World, wanted: Org) -> None:
    """Check that without faults an apply creates the declared state, then a plan is empty, and another apply sends nothing."""
    ran = world.workdir.octosync("apply", *_APPLY)
    _check_output(ran)
    if ran.code != 0:
        raise Finding(f"without faults, apply ends with {ran.code}: {ran.output[-3000:]}")
    if wrong := differences(read(world.layer.store.connection), wanted):
        raise Finding(f"not as declared: {wrong}")
    plan = world.workdir.octosync(*_PLAN)
    _check_output(plan)
    if rows := json.loads(plan.stdout)["resource_changes"]:
        raise Finding(f"the plan after apply is not empty: {rows}")
    world.calm()
    again = world.workdir.octosync("apply", *_APPLY)
    if again.code != 0 or world.writes():
        raise Finding(f"the second apply ends with {again.code} and sends {world.writes()}")


def _check_planned(plan: Mapping[str, Any], writes: list[tuple[str, str, int | None]]) -> None:
    operations = [row["operation"] for row in plan["resource_changes"]]
    planned = Counter((operation["method"], operation["path"]) for operation in operations)
    sent = Counter((method, path) for method, path, _ in writes)
    if planned != sent:
        raise Finding(f"planned and not sent: {planned - sent}; sent and not planned: {sent - planned}")


def _case(data: st.DataObject, world: World, empty: sqlite3.Connection, parent: Zygote) -> None:
    draw = data.draw
    world.restore(empty)
    org = draw_org(draw)
    specs = draw_manifests(draw, org)
    if not specs:
        return
    _fill(world, org)
    _write_manifests(world, specs)
    before, wanted = read(world.layer.store.connection), expected(org, specs)
    mode = draw(st.sampled_from(("healthy", "faults", "faults", "faults", "lag", "kill")))
    note("\n".join((f"live: {org}", f"declared: {json.dumps(specs)}", f"then: {mode}")))
    world.calm()
    if mode == "healthy":
        plan = world.workdir.octosync(*_PLAN)
        _check_output(plan)
        world.calm()
        ran = world.workdir.octosync("apply", *_APPLY)
        if plan.code == 0:
            _check_planned(json.loads(plan.stdout), world.writes())
    elif mode == "kill":
        at_request, number = (
            draw(st.integers(1, 40)),
            draw(st.sampled_from((signal.SIGKILL, signal.SIGTERM, signal.SIGINT))),
        )
        note(f"{number.name} at request {at_request}")
        ran = _apply_killed(world, parent, at_request, number)
    else:
        rules = _draw_faults(draw)
        if mode == "lag":
            rules = [{"operation": draw(st.sampled_from(_WRITES)), "action": "status", "status": 504, "when": "after"}]
            world.layer.lag = draw(st.integers(1, 6))
        concurrency = draw(st.sampled_from(("1", "8")))
        note(f"faults: {json.dumps(rules)}; the next {world.layer.lag} reads lag; concurrency {concurrency}")
        world.plane.local.put("/faults", json={"rules": rules}).raise_for_status()
        ran = world.workdir.octosync("apply", *_APPLY, "--concurrency", concurrency)
    world.calm()
    now = read(world.layer.store.connection)
    _check_output(ran)
    _check_left_alone(specs, before, now, wanted)
    if ran.stdout.startswith("{"):
        _check_outcomes(json.loads(ran.stdout), before, now, wanted, lagging=mode == "lag")
        _check_moves(before, now, wanted)
    _check_convergence(world, wanted)


@contextmanager
def _open_machine() -> Iterator[Case]:
    with open_world() as world, zygote() as parent:
        world.plane.local.put("/policy", json={"slot_fields": ["quota"]}).raise_for_status()
        world.plane.local.put("/catalog", json={"variants": CATALOG}).raise_for_status()
        empty = world.snapshot()
        try:
            yield lambda data: _case(data, world, empty, parent)
        finally:
            empty.close()


@contextmanager
def _open_offline() -> Iterator[Case]:
    """Plan pairs of a base and a tree without a control plane, as for a pull request of a fork."""
    with open_world() as world:
        repo = Repo.init(world.workdir.directory)

        def case(data: st.DataObject) -> None:
            live: Org = {}
            base, tree = (draw_manifests(data.draw, live) for _ in range(2))
            if not tree:
                return
            prune = data.draw(st.sampled_from(((), ("--prune",))))
            note(f"base: {json.dumps(base)}\ntree: {json.dumps(tree)}\n{' '.join(prune)}")
            for specs in (base, tree):
                _write_manifests(world, specs)
                world.workdir.write("octosync.yaml", "paths: [apps/]\n")
                if specs is base:
                    repo.commit()
            arguments = ("--base", "HEAD", "--offline", *prune, *data.draw(st.sampled_from(((), ("--changed-only",)))))
            ran = world.workdir.octosync(
                "plan", *arguments, "-o", data.draw(st.sampled_from(("text", "json", "markdown", "github")))
            )
            _check_output(ran)
            if ran.code not in {0, 4}:
                raise Finding(f"exit code {ran.code}: {ran.output[-2000:]}")

        yield case


MACHINE: Final = Part("machine", "orgs, manifests, faults and kills against a model", _open_machine, 60)
OFFLINE: Final = Part("offline", "plan --offline of any base and tree", _open_offline, 60)
