"""`octosync demo`: the whole story, told by the real commands against an embedded control plane of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click
import httpx

from octosync.cli.command import Command
from octosync.cli.console import out
from octosync.cli.examples import as_typed, shipped_manifests
from octosync.cli.failing import report_failure
from octosync.cli.stage import DemoRunner, demo_runner
from octosync.contract import OPERATIONS
from octosync.errors import ExitCode, OctosyncError
from octosync.model import JsonValue
from octosync.octomil import API_PATH
from octosync.server import DEMO_TOKENS

_APP, _DEPLOYED = "canary-demo", "field-notes"
_SLOT: Final = OPERATIONS["apps.put_slot"].url({"slug": _APP, "capability": "chat"})
# What Ben sets by hand: the manifest declares the first and not the second.
_POLICY, _VARIANT = "cloud_first", "chat-steady-3b-q4"


@click.command(cls=Command, epilog="Example:  octosync demo")
def command() -> ExitCode:
    """Run a complete example: validate, plan, apply, and the detection and revert of a manual change.

    Uses the shipped examples and an embedded control plane in a temporary folder. The demo reads and changes no other files,
    uses no API key, and leaves no files behind.
    """
    try:
        with shipped_manifests() as manifests:
            with demo_runner(manifests) as runner:
                _run_story(runner)
            out(_next_steps(manifests))
    except OctosyncError as error:
        return report_failure(error, written="The demo's folder and control plane are gone; nothing else was touched.")
    return ExitCode.DONE


def _run_story(runner: DemoRunner) -> None:
    """Tell the story; each command must end as it is told. Raises `OctosyncError` where one does not."""
    runner.say(
        "This folder has manifests of a few apps, and an octosync.yaml that says where they live:",
        "a control plane on this machine, started for this demo and still empty.",
    )
    runner.show("octosync.yaml")

    runner.chapter("Check the manifests, offline")
    runner.run("validate", "--strict", ends=ExitCode.DONE)

    runner.chapter("See what would happen: one app, to read in peace")
    runner.run("plan", "--app", _APP, "--detailed-exitcode", ends=ExitCode.CHANGES)

    runner.chapter("Apply all apps", "Apply shows its plan and asks; --yes is the answer.")
    runner.run("apply", "--yes", ends=ExitCode.DONE)

    runner.chapter("The control plane is as declared: the next plan is empty")
    runner.run("plan", "--detailed-exitcode", ends=ExitCode.DONE)

    runner.chapter(
        "See what is live: an app whose manifest deploys it",
        "Its code calls the slot by the model reference; the devices have got the variant that was chosen for them.",
    )
    runner.run("status", _DEPLOYED, ends=ExitCode.DONE)

    runner.chapter(
        "Ben, on call, changes a slot by hand",
        f"He sends {_APP}'s chat to the cloud, and pins a model variant, which no manifest declares:",
    )
    before = _slot(runner)
    _edit_as_ben(runner, before)

    runner.chapter("The plan shows the drift, and who did it")
    runner.run("plan", "--app", _APP, "--detailed-exitcode", ends=ExitCode.CHANGES)

    runner.chapter("Apply heals it", "What Git declares comes back. What it doesn't declare, Ben's variant, stays.")
    runner.run("apply", "--yes", ends=ExitCode.DONE)
    _check_healed(_slot(runner), before)

    runner.chapter("And the plan is empty again")
    runner.run("plan", "--detailed-exitcode", ends=ExitCode.DONE)


def _slot(runner: DemoRunner) -> Mapping[str, JsonValue]:
    """Return the slot as it is live."""
    return _ask(runner, "GET", None)


def _edit_as_ben(runner: DemoRunner, slot: Mapping[str, JsonValue]) -> None:
    """Change the slot as a person with an HTTP client or a dashboard does."""
    runner.say("", f'  PUT {_SLOT}  {{"serving_policy": "{_POLICY}", "model_variant_id": "{_VARIANT}", …}}')
    kept = {key: slot[key] for key in ("bindings", "preferred_engines") if key in slot}
    _ask(runner, "PUT", {**kept, "serving_policy": _POLICY, "model_variant_id": _VARIANT})


def _check_healed(now: Mapping[str, JsonValue], before: Mapping[str, JsonValue]) -> None:
    if now["serving_policy"] != before["serving_policy"]:
        raise OctosyncError("demo-failed", "apply did not bring the declared serving policy back")
    if now["model_variant_id"] != _VARIANT:
        raise OctosyncError("demo-failed", "apply lost the variant that no manifest declares")


def _ask(runner: DemoRunner, method: str, body: Mapping[str, JsonValue] | None) -> Mapping[str, JsonValue]:
    """Send one request about the slot with Ben's key. Raises `OctosyncError` where it fails."""
    ben = next(token for token in DEMO_TOKENS if token.name == "ben")
    try:
        with httpx.Client(headers={"Authorization": f"Bearer {ben.secret}"}, trust_env=False) as client:
            answer = client.request(method, f"{runner.url}{API_PATH}{_SLOT}", json=body).raise_for_status()
    except httpx.HTTPError as error:
        raise OctosyncError("demo-failed", f"Ben's {method} of the slot failed: {error}") from error
    slot: Mapping[str, JsonValue] = answer.json()
    return slot


def _next_steps(manifests: Path) -> str:
    shown, copied = as_typed(manifests), ""
    if not manifests.is_relative_to(Path.cwd()):
        shown, copied = manifests.name, f"\n  cp -r {shown} .                a copy of the manifests, to change"
    return f"""
That was all of it, and nothing is left behind. To go on:
{copied}
  octosync server --seed demo          a control plane that stays, on http://127.0.0.1:8787
  octosync plan -f {shown} --url http://127.0.0.1:8787
  octosync apply -f {shown} --url http://127.0.0.1:8787

Change a manifest and plan again. `octosync plan --help` has the rest.
"""
