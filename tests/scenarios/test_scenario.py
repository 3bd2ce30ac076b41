"""Every scenario in this folder. `tests/support/scenarios.py` documents the files of a scenario and how to write them."""

from __future__ import annotations

import json
import re
import shlex
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.examples import seeds
from tests.support.live_state import KEYS_OF_APP, KEYS_OF_LIVE
from tests.support.plane import writes_in
from tests.support.sarif import assert_sarif
from tests.support.scenarios import Scenario, ScenarioRun, as_file, expect, scenario_run
from tests.support.workdirs import CommandResult

HERE = Path(__file__).parent
SCENARIOS = [Scenario(folder) for folder in sorted(HERE.iterdir()) if folder.name[:3].isdigit()]
_WRITTEN = {
    "json": "plan.json",
    "markdown": "plan.md",
    "github": "plan.github.txt",
    "sarif": "plan.sarif",
    "jsonl": "plan.jsonl",
}
_REQUIRED = {"manifests", "live.json", "plan.txt", *_WRITTEN.values()}
_ALLOWED = _REQUIRED | {
    "octosync.yaml",
    "args",
    "apply-args",
    "requests.txt",
    "after.json",
    "apply.txt",
    "then",
    "then.txt",
}
_REORDERED = [SCENARIOS[number] for number in seeds(len(SCENARIOS))]
_DONE, _PARTIAL, _NOT_COVERED = 0, 5, 6

pytestmark = pytest.mark.no_cover  # end to end and long; the code they run is measured by the tests of its own package


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario.folder.name for scenario in SCENARIOS])
def test_scenario(scenario: Scenario, tmp_path: Path) -> None:
    """A plan equals its expected files, in any order of the manifests, and never writes.

    Apply results in the state of after.json or, without that file, writes nothing. Another apply finishes any action that
    was not done. After that one more apply has an empty plan and sends no write. No output contains a secret.
    """
    with scenario_run(scenario, tmp_path) as stage:
        before = stage.state()
        stage.requests()
        files = [part for format_, name in _WRITTEN.items() for part in ("--write", f"{format_}={name}")]
        text = stage.plan("--plan-out", "saved.json", *files)
        requests = sorted(stage.requests())
        written = {name: stage.normalised((tmp_path / name).read_text(encoding="utf-8")) for name in _WRITTEN.values()}
        if scenario in _REORDERED:
            _assert_order_does_not_matter(stage)
        assert not writes_in(requests)
        assert not stage.writes()
        applied = stage.apply(*scenario.apply_arguments, faults=True)
        after, wrote = stage.state(), stage.writes()
        if applied.code in {_DONE, _PARTIAL, _NOT_COVERED}:
            _assert_settles(stage, applied)
        else:
            assert not wrote, "a refused apply sent a write"
        assert wrote or after == before
        then = stage.then()
        _assert_hidden(stage)
        expect(
            scenario,
            {
                "plan.txt": stage.transcript("plan", _without_plan_file(text)),
                "requests.txt": "".join(f"{line}\n" for line in requests) if scenario.counts_requests else None,
                "after.json": as_file(after) if wrote else None,
                "apply.txt": None
                if applied.code == _DONE and not scenario.apply_arguments
                else stage.transcript(shlex.join(["apply", "--yes", *scenario.apply_arguments]), applied),
                "then.txt": then,
                **written,
            },
        )


def _without_plan_file(ran: CommandResult) -> CommandResult:
    """Return the result of plan without its message about the plan file."""
    return replace(
        ran,
        stderr=re.sub(
            r"^Wrote (the|an incomplete) plan to saved\.json.*", "", ran.stderr, flags=re.MULTILINE | re.DOTALL
        ),
    )


def _assert_order_does_not_matter(stage: ScenarioRun) -> None:
    folder = stage.workdir.directory
    files = sorted(str(path.relative_to(folder)) for path in (folder / "manifests").rglob("*") if path.is_file())
    outputs = []
    for name, order in (("forward.json", files), ("reverse.json", files[::-1])):
        text = stage.plan("--write", f"json={name}", paths=order).output
        document = (folder / name).read_text(encoding="utf-8") if (folder / name).exists() else ""
        outputs.append((stage.normalised(text), stage.normalised(document)))
    assert outputs[0] == outputs[1]


def _assert_settles(stage: ScenarioRun, applied: CommandResult) -> None:
    if applied.code == _PARTIAL:
        assert stage.apply().code == _DONE, "the second apply did not finish the actions that the first one left"
        stage.writes()
    again = stage.apply("-o", "json")
    assert again.code == _DONE
    assert json.loads(again.stdout)["plan"]["resource_changes"] == []
    assert not stage.writes()


def _assert_hidden(stage: ScenarioRun) -> None:
    saved = stage.workdir.directory / "saved.json"
    if saved.exists():
        assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    produced = {
        name: data
        for name, data in stage.workdir.files().items()
        if not name.startswith("manifests/") and name != "octosync.yaml"
    }
    for name, data in {**produced, "output": "".join(stage.written).encode()}.items():
        for secret in stage.scenario.hidden:
            assert secret not in data, name


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario.folder.name for scenario in SCENARIOS])
def test_a_scenario_has_all_required_files_and_no_other(scenario: Scenario) -> None:
    """Every required file exists, and no file has an unknown name. The same is true of the keys in live.json."""
    names = {path.name for path in scenario.folder.iterdir()}
    assert _REQUIRED <= names <= _ALLOWED
    assert ("then" in names) == ("then.txt" in names)
    assert {"apps"} <= set(scenario.live) <= KEYS_OF_LIVE
    assert {key for app in scenario.live["apps"].values() for key in app} <= KEYS_OF_APP


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario.folder.name for scenario in SCENARIOS])
def test_the_sarif_of_a_scenario_is_valid(scenario: Scenario) -> None:
    """It matches the SARIF schema, and each rule has a help text."""
    document = json.loads((scenario.folder / "plan.sarif").read_text(encoding="utf-8"))
    assert_sarif(document)
    assert all("help" in rule for rule in document["runs"][0]["tool"]["driver"]["rules"])


def test_scenarios_are_numbered() -> None:
    """Every scenario has its own number, which identifies it."""
    numbers = [scenario.folder.name[:3] for scenario in SCENARIOS]
    assert len(set(numbers)) == len(numbers) >= 20
