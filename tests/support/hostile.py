"""A run in which one text fills every value that comes from manifests, files or the control plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.support.sample_reports import SENSITIVITY, run_info
from tests.support.states import desired_app, live_app, live_deployment, observation, plan_of, policy_of

from octosync.errors import ErrorResponse, Rejected
from octosync.model import (
    Address,
    Assignment,
    Diagnostic,
    Event,
    Origin,
    Outcome,
    Preview,
    Severity,
    Status,
)
from octosync.plan import ControlPlane, GitRevision, Invocation, ManifestSet, Override, Plan, judge


@dataclass(frozen=True)
class HostileRun:
    """A plan, the other fields of its report, the outcomes of its actions, an error and a diagnostic."""

    plan: Plan
    shown: dict[str, Any]
    outcomes: list[Outcome]
    error: Rejected
    finding: Diagnostic


def hostile_run(text: str) -> HostileRun:
    """Return a run with a text in every such value."""
    at = Origin(f"apps/{text}.yaml", 2, 3)
    error = Rejected(f"rejected{text}", f"m {text}", hints=(text,), response=ErrorResponse(request_id=f"r{text}"))
    slug = f"app{text}"
    capability = Address.of_capability(slug, "chat", "production")
    plan = plan_of(
        [
            desired_app(
                slug,
                fields={"description": text},
                targets=[f"ios:{text}"],
                slots={"chat": {}, f"s{text}": {}},
                deploy={"chat": "production"},
                origin=at,
            ),
            desired_app(f"mover{text}", targets=[], config={text: {text: [text]}}, origin=at),
            desired_app(f"new{text}", config={f"k{text}": text}, labels={text: text}, origin=at),
            desired_app(f"broken{text}"),
            desired_app(f"held{text}", suspended=True),
            desired_app(f"gone{text}"),
        ],
        observation(
            live_app(
                slug, slots={"chat": {}, f"old{text}": {f"x{text}": text}}, targets=[f"tvos:{text}", f"ios:z{text}"]
            ),
            live_app(
                f"mover{text}",
                targets=[f"ios:{text}"],
                config={text: {text: text}},
                deployments=[live_deployment(f"mover{text}", text or "chat")],
            ),
            live_app(f"gone{text}", archived=True),
            errors={f"broken{text}": error},
            previews={
                capability: Preview(
                    variant=text,
                    reason=text,
                    devices=3,
                    assignments=(Assignment(platform=text, devices=3),),
                    warnings=(text,),
                )
            },
            org_feed=(
                Event(id=f"e{text}", type=text, app=f"mover{text}", resource=("inference_config", text), actor=text),
                Event(id=f"f{text}", type=text, app=slug, actor=text),
            ),
        ),
    )
    finding = Diagnostic(
        severity=Severity.ERROR,
        rule=f"r{text}",
        summary=text,
        origin=at,
        path=f"p{text}",
        excerpt=f"e {text}",
        suggestion=text,
        notes=(text,),
    )
    git = GitRevision(revision=f"f00{text}", dirty=True, base=text)
    about = run_info(
        control_plane=ControlPlane(url=f"https://h{text}/api", org_id=text, context=f"c{text}"),
        invocation=Invocation(paths=(f"p{text}",), kustomize=text, apps=(text,), selector=text, base=text),
        manifests=ManifestSet(compute_digest=lambda: "sha256:0", files=1, apps=9, git=git),
    )
    outcomes = [
        Outcome(
            address=action.address,
            verb=action.verb.value,
            status=Status.FAILED if index else Status.DONE,
            message=f"m{index} {text}",
            reference=f"r{text}",
            hints=(text,),
            request_ids=(f"q{text}",),
        )
        for index, action in enumerate(plan.actions)
    ]
    shown = {
        "about": about,
        "sensitivity": SENSITIVITY,
        "blocked": judge(plan, policy_of(max_deletes=0)),
        "overrides": (
            Override(guard=f"g{text}", value=text, source=f"--x{text}"),
            Override(guard="g", value="", source=text),
        ),
        "diagnostics": (finding, Diagnostic(severity=Severity.NOTICE, rule="n", summary=text, path=f"p{text}")),
    }
    return HostileRun(plan, shown, outcomes, error, finding)
