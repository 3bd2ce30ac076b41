"""Alert rules, evaluated by Prometheus: each fault leads to its alert, and healthy replicas to none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy.queries import RULES

pytestmark = pytest.mark.skipif(
    os.environ.get("OCTOSYNC_REQUIRE_PROMTOOL") != "1" and shutil.which("promtool") is None,
    reason="promtool is not installed",
)

STANDBY = "standby "
# The metrics of every healthy replica: values by series, in promtool's notation, one sample per minute.
_OF_EACH: Mapping[str, str] = {
    "octosync_build_info": "1x400",
    "octosync_key_usable": "1x400",
    "octosync_state_damaged": "0x400",
    "octosync_manifests_valid": "1x400",
    'octosync_state_usable{kind="database"}': "1x400",
    'git_sync_count_total{status="noop"}': "0+4x400",
    'git_sync_count_total{status="error"}': "0x400",
}
# The leader's, and a standby's, which has fewer.
WELL: Mapping[str, str] = {
    **_OF_EACH,
    "octosync_leader": "1x400",
    "octosync_leader_changes_total": "1x400",
    'octosync_circuit_open{reason="outage"}': "0x400",
    'octosync_circuit_open{reason="unreadable"}': "0x400",
    'octosync_circuit_open{reason="credential"}': "0x400",
    'octosync_circuit_open{reason="state_locked"}': "0x400",
    "octosync_feed_followed": "1x400",
    "octosync_suspended": "0x400",
    "octosync_uncovered": "0x400",
    'octosync_apps{state="waiting"}': "0x400",
    'octosync_apps{state="failing"}': "0x400",
    'octosync_api_requests_total{operation="activity.list", code="200"}': "0+4x400",
    "octosync_last_success_timestamp_seconds": "0+60x400",
    "octosync_last_full_read_timestamp_seconds": "0+60x400",
    "octosync_full_read_due_timestamp_seconds": "7200+60x400",
    **{f"{STANDBY}{name}": values for name, values in _OF_EACH.items()},
    f"{STANDBY}octosync_leader": "0x400",
    f"{STANDBY}octosync_leader_changes_total": "0x400",
}
# One instance with a state file. It always leads.
ALONE: Mapping[str, str] = {
    **{name: values for name, values in WELL.items() if not name.startswith(STANDBY) and "database" not in name},
    'octosync_state_usable{kind="file"}': "1x400",
    "octosync_leader_changes_total": "0x400",
}
# Alerts about a pod, not about a namespace.
OF_A_POD = {"OctosyncGitNotFetched"}
GROUPS = yaml.load(RULES.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)["spec"]["groups"]
RULES_BY_NAME: Mapping[str, dict[str, Any]] = {rule["alert"]: rule for group in GROUPS for rule in group["rules"]}
# The metrics that differ, the alert that then fires, its minute, and the minute before which it does not fire.
FAULTS: Mapping[str, tuple[Mapping[str, str], str, int]] = {
    "nothing answers": ({'octosync_circuit_open{reason="outage"}': "0x9 1x390"}, "OctosyncOutage", 15),
    "something else answers": ({'octosync_circuit_open{reason="unreadable"}': "0x9 1x390"}, "OctosyncUnreadable", 15),
    "the key is refused": (
        {'octosync_circuit_open{reason="credential"}': "0x9 1x390"},
        "OctosyncCredentialRefused",
        15,
    ),
    "the state file is locked": (
        {'octosync_circuit_open{reason="state_locked"}': "0x9 1x390"},
        "OctosyncStateLocked",
        15,
    ),
    "the state file was damaged": ({"octosync_state_damaged": "0x9 1x390"}, "OctosyncStateDamaged", 11),
    "the new key is unusable": ({"octosync_key_usable": "1x9 0x390"}, "OctosyncKeyUnusable", 15),
    "the feed is off": ({"octosync_feed_followed": "1x9 0x390"}, "OctosyncFeedOff", 25),
    "a capability lacks devices": ({"octosync_uncovered": "0x9 1x390"}, "OctosyncUncovered", 40),
    "suspended, and a commit waits": (
        {"octosync_suspended": "0x9 1x390", 'octosync_apps{state="waiting"}': "0x9 1x390"},
        "OctosyncSuspended",
        70,
    ),
    "git-sync fetches nothing": (
        {'git_sync_count_total{status="noop"}': "0+4x9 36x390", 'git_sync_count_total{status="error"}': "0x9 0+4x390"},
        "OctosyncGitNotFetched",
        39,
    ),
    "a full read is overdue": (
        {"octosync_full_read_due_timestamp_seconds": "7200x400"},
        "OctosyncFullReadOverdue",
        136,
    ),
    "nothing succeeds": ({"octosync_last_success_timestamp_seconds": "0x400"}, "OctosyncNotReconciling", 76),
    "no replica leads": ({"octosync_leader": "1x9 0x390"}, "OctosyncNoLeader", 11),
    "the leader changes": (
        {
            "octosync_leader": "1x9 0x390",
            f"{STANDBY}octosync_leader": "0x9 1x390",
            f"{STANDBY}octosync_leader_changes_total": "0x9 1x390",
        },
        "OctosyncLeaderChanged",
        11,
    ),
    "the leader stops": (
        dict.fromkeys([*filter(lambda name: not name.startswith(STANDBY), _OF_EACH), "octosync_leader"], "1x9 stale")
        | {f"{STANDBY}octosync_leader": "0x9 1x390"},
        "OctosyncNoStandby",
        25,
    ),
    "two lead": ({f"{STANDBY}octosync_leader": "0x9 1x390"}, "OctosyncTwice", 20),
    "the database is down": (
        {
            "octosync_leader": "1x9 0x390",
            'octosync_state_usable{kind="database"}': "1x9 0x390",
            f'{STANDBY}octosync_state_usable{{kind="database"}}': "1x9 0x390",
        },
        "OctosyncStateUnavailable",
        11,
    ),
}


def _assert_alerts(folder: Path, tests: Mapping[str, tuple[Mapping[str, str], list[Any]]]) -> None:
    """Run promtool once over the shipped rules: series and checks by the name of the test."""
    (folder / "rules.json").write_text(json.dumps({"groups": GROUPS}))
    groups = [
        {"name": name, "interval": "1m", "input_series": _series(series), "alert_rule_test": checks}
        for name, (series, checks) in tests.items()
    ]
    document = {"rule_files": ["rules.json"], "evaluation_interval": "1m", "tests": groups}
    (folder / "tests.json").write_text(json.dumps(document))
    argv = ["promtool", "test", "rules", "tests.json"]
    environment = {**os.environ, "GOGC": "800"}  # collects garbage rarely, which saves a quarter of the time
    ended = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def _series(series: Mapping[str, str]) -> list[dict[str, str]]:
    def labelled(name: str) -> str:
        metric, _, labels = name.removeprefix(STANDBY).partition("{")
        pod = "octosync-1" if name.startswith(STANDBY) else "octosync-0"
        return f'{metric}{{namespace="octosync", pod="{pod}"{", " + labels if labels else "}"}'

    return [{"series": labelled(name), "values": values} for name, values in series.items()]


def _alert(name: str, minute: int, firing: list[Any]) -> dict[str, Any]:
    return {"alertname": name, "eval_time": f"{minute}m", "exp_alerts": firing}


def test_what_is_well_alerts_nobody(tmp_path: Path) -> None:
    """No alert fires in six hours of a healthy instance with a state file, or of a leader and a standby."""
    checks = [_alert(name, minute, []) for name in RULES_BY_NAME for minute in (60, 390)]
    _assert_alerts(tmp_path, {"alone": (ALONE, checks), "with a standby": (WELL, checks)})


def test_a_fault_leads_to_its_alert(tmp_path: Path) -> None:
    """The alert fires in its time and not before, with a severity and a link to its remedy, and no other alert does."""
    tests = {}
    for fault, (differences, name, minute) in FAULTS.items():
        rule, pod = RULES_BY_NAME[name], {"pod": "octosync-0"} if name in OF_A_POD else {}
        value = "2" if fault == "two lead" else "1"
        annotations = {
            key: text.replace("{{ $value }}", value).replace("{{ $labels.namespace }}", "octosync")
            for key, text in rule["annotations"].items()
        }
        firing = {"exp_labels": {"namespace": "octosync", **pod, **rule["labels"]}, "exp_annotations": annotations}
        others = [_alert(other, minute + 1, []) for other in RULES_BY_NAME if other != name]
        checks = [_alert(name, minute - 2, []), _alert(name, minute + 1, [firing]), *others]
        tests[fault] = ({**WELL, **differences}, checks)
        assert rule["annotations"]["runbook_url"].startswith("https://")
    _assert_alerts(tmp_path, tests)


def test_the_number_of_failed_writes_is_a_whole_one(tmp_path: Path) -> None:
    """An extrapolated increase of 3.7 writes is shown as 4."""
    series = 'octosync_actions_total{action="update", type="slot", result="failed"}'
    rule = RULES_BY_NAME["OctosyncWritesFail"]
    annotations = dict(rule["annotations"])
    for variable, value in {"{{ $labels.action }}": "update", "{{ $labels.type }}": "slot"}.items():
        annotations["summary"] = annotations["summary"].replace(variable, value)
    annotations["summary"] = annotations["summary"].replace('{{ printf "%.0f" $value }}', "4")
    labels = {"namespace": "octosync", "action": "update", "type": "slot", **rule["labels"]}
    checks = [_alert("OctosyncWritesFail", 45, [{"exp_labels": labels, "exp_annotations": annotations}])]
    _assert_alerts(tmp_path, {"failed writes": ({**WELL, series: "1x39 2 3 4 5x300"}, checks)})
