"""Secrets: the API key and sensitive values are in no output of octosync."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.clients import KEY
from tests.support.embedded_planes import ok
from tests.support.projects import Project
from tests.support.workdirs import CommandResult

DECLARED, LIVE, NESTED, LABEL = "hunter2-declared", "hunter2-live", "hunter2-nested", "hunter2-label"
INNER, TYPED = "hunter2-inner", "hunter2-typed"  # in names of keys
SECRETS = (KEY, DECLARED, LIVE, NESTED, LABEL, INNER, TYPED)
MANIFEST = f"""\
apiVersion: octosync.dev/v1
kind: App
metadata: {{name: search, labels: {{deploy-token: {LABEL}, "api_token:{TYPED}": x}}}}
spec:
  slots:
    - capability: chat
      bindings: [{{binding_key: a, access_token: {NESTED}}}]
  inferenceConfig:
    api_key: {DECLARED}
    provider: {{Authorization: [{NESTED}], region: eu, api_key:{TYPED}, max_new_tokens: 512}}
    tokens: {{{INNER}: 2, {INNER}-declared: 1}}
"""
NAMED = {"tokens": {INNER: 1, f"{INNER}-live": LIVE}, f"password:{TYPED}": None}
FAULTS: list[dict[str, Any]] = [
    {"action": "status", "status": 422, "message": f"bad api_key {DECLARED}: {NESTED}", "details": {"api_key": DECLARED}},
    {"action": "status", "status": 401, "message": f"no such key: {KEY}"},
    {"action": "status", "status": 403, "message": f"Bearer {KEY} may not", "shape": "text"},
    {"action": "redirect", "location": f"https://login.example/?token={KEY}"},
    {"action": "drop_field", "field": "api_key"},
    {"action": "garbage"},
]  # fmt: skip


@pytest.fixture
def project_with_secrets(project: Project) -> Project:
    path = project.plane.with_app("search")
    project.plane.with_slot(path, bindings=[{"binding_key": "a", "access_token": LIVE}])
    ok(project.plane.api.put(f"{path}/inference-config", json={"api_key": LIVE, "old_secret": LIVE, **NAMED}))
    project.declare(text=MANIFEST)
    return project


def assert_hidden(project: Project, *runs: CommandResult) -> None:
    """Check that no secret is in any byte that was produced: both streams, plan files, the journal."""
    produced = {name: data for name, data in project.workdir.files().items() if not name.startswith("apps/")}
    produced["output"] = "".join(run.output for run in runs).encode()
    for name, data in produced.items():
        for secret in SECRETS:
            assert secret.encode() not in data, f"{secret} in {name}"


@pytest.mark.parametrize("output", ["text", "json", "jsonl", "github", "markdown", "sarif"])
def test_no_secret_is_in_a_successful_run(project_with_secrets: Project, output: str) -> None:
    """Validate, plan, its file, apply, its journal: sensitive values are masked, with colour and with `full` too."""
    project = project_with_secrets
    options = ("--color", "always", "--full", "-o", output)
    checks = "text" if output in {"jsonl", "markdown"} else output  # the formats of validate
    runs = [
        project.workdir.octosync("validate", "-f", "apps", "--color", "always", "-o", checks),
        project.plan(*options, "--plan-out", "plan.json"),
        project.apply_file(*options),
        project.plan(*options),
    ]
    assert [run.code for run in runs] == [0, 0, 0, 0]
    assert_hidden(project, *runs)
    if output == "text":
        assert "(sensitive, changed)" in runs[1].stdout
        assert "tokens " in runs[1].stdout
        assert "max_new_tokens: 512" in runs[1].stdout


READS = [
    *(("status", "-o", output) for output in ("text", "json", "jsonl")),
    *(("status", "--declared", "--full", "-f", "apps", "-o", output) for output in ("text", "json")),
    *(("export", "search", "-d", place) for place in ("-", "exported")),
    ("export", "--unmanaged", "-f", "apps"),
    ("accept", "app/search/inference-config", "-f", "apps", "--patch"),
    ("accept", "app/search/slot/chat", "-f", "apps"),
    *(("history", "-o", output) for output in ("text", "json")),
    *(("activity", "search", "-o", output) for output in ("text", "json", "jsonl")),
]


def test_no_secret_is_in_other_commands(project_with_secrets: Project) -> None:
    """Live and declared objects are shown, compared, exported and accepted without a secret."""
    project = project_with_secrets
    runs = [project.apply(), project.plan("--base", "nowhere")]
    ok(project.plane.api.put("/apps/search/inference-config", json={"api_key": LIVE, **NAMED}))
    for command in READS:
        offline = command[0] == "history"
        runs.append(project.workdir.octosync(*command, *(() if offline else ("--url", project.url))))
        assert runs[-1].code in {0, 1}, runs[-1].output
        assert "Usage:" not in runs[-1].output, runs[-1].output
    assert_hidden(project, *runs)


@pytest.mark.parametrize("fault", FAULTS, ids=[f"{fault['action']}-{fault.get('status', '')}" for fault in FAULTS])
def test_no_secret_is_in_an_error(project_with_secrets: Project, fault: dict[str, Any]) -> None:
    """Values that a control plane echoes are masked, in reads and writes, outcomes and journal."""
    project = project_with_secrets
    project.break_with({"operation": "apps.put_inference_config", "times": None, **fault})
    applied = [project.apply("--color", "always"), project.apply("-o", "json")]
    assert {run.code for run in applied} <= {0, 1, 5}
    # A read sends no value that could be echoed, except for the key.
    project.break_with({"operation": "*", "times": None, **fault, "message": f"no: {KEY}", "details": None})
    read = [project.plan("--color", "always"), project.plan("-o", "json", "--plan-out", "plan.json")]
    assert_hidden(project, *applied, *read)


PLAN_KEY, OTHER_KEY = "0123456789abcdef" * 4, "fedcba9876543210" * 4


def with_plan_key(project: Project, key: str | None) -> None:
    project.workdir.environment.pop("OCTOSYNC_PLAN_KEY", None)
    if key is not None:
        project.workdir.environment["OCTOSYNC_PLAN_KEY"] = key


def change_secret(project: Project) -> None:
    ok(
        project.plane.api.put(
            "/apps/search/inference-config", json={"api_key": f"{LIVE}-2", "old_secret": LIVE, **NAMED}
        )
    )


def test_no_digest_of_a_secret_is_in_a_plan(project_with_secrets: Project) -> None:
    """Documents of plans that differ only in secrets are the same: no secret can be guessed offline."""
    project = project_with_secrets
    saved = project.save_plan()
    change_secret(project)
    project.declare(text=MANIFEST.replace(DECLARED, f"{DECLARED}-2").replace(f": {LABEL}", ": other"))
    again = project.save_plan()
    assert [again[part] for part in ("fingerprints", "manifests")] == [
        saved[part] for part in ("fingerprints", "manifests")
    ]
    assert saved["fingerprinting"] == {
        "key_check": None,
        "not_covered": ["app/search/slot/chat", "app/search/inference-config"],
    }
    project.apply()
    assert saved["manifests"]["digest"] in project.workdir.octosync("history", "-o", "json").stdout
    ran = project.plan("--plan-out", "plan.json")
    assert "sensitive" not in ran.stderr  # nothing is left to apply


def test_a_plan_names_the_objects_whose_secrets_it_does_not_cover(project_with_secrets: Project) -> None:
    """With the file, its objects with sensitive values are named, and the variable that covers them."""
    project = project_with_secrets
    errors = project.plan("--plan-out", "plan.json").stderr
    assert "later changes of these: app/search/slot/chat, app/search/inference-config." in errors
    assert "set OCTOSYNC_PLAN_KEY for plan and apply" in errors
    with_plan_key(project, PLAN_KEY)
    assert "sensitive values" not in project.plan("--plan-out", "plan.json").stderr
    with_plan_key(project, None)


def test_with_a_key_a_moved_sensitive_value_is_named_and_not_shown(project_with_secrets: Project) -> None:
    """Exit 3 names what moved, live or declared; neither the value nor the key is shown."""
    project = project_with_secrets
    with_plan_key(project, PLAN_KEY)
    project.save_plan()
    change_secret(project)
    ran = project.apply_file()
    assert ran.code == 3
    assert "app/search/inference-config: fingerprint: hmac-sha256:" in ran.stderr
    project.save_plan()
    project.declare(text=MANIFEST.replace(DECLARED, f"{DECLARED}-2"))
    moved = project.apply_file()
    assert moved.code == 3
    assert "app/search/inference-config: sensitive values: hmac-sha256:" in moved.stderr
    assert_hidden(project, ran, moved)
    assert PLAN_KEY not in ran.output + moved.output
    with_plan_key(project, None)


@pytest.mark.parametrize(
    ("then", "now", "why"),
    [
        (PLAN_KEY, None, "was made with OCTOSYNC_PLAN_KEY, which is not set here"),
        (None, PLAN_KEY, "was made without OCTOSYNC_PLAN_KEY, which is set here"),
        (PLAN_KEY, OTHER_KEY, "was made with another OCTOSYNC_PLAN_KEY than the one set here"),
        (PLAN_KEY, "hunter2", "OCTOSYNC_PLAN_KEY is too weak"),
        (PLAN_KEY, "ab" * 40, "OCTOSYNC_PLAN_KEY is too weak"),
    ],
)
def test_a_plan_of_another_key_is_refused(
    project_with_secrets: Project, then: str | None, now: str | None, why: str
) -> None:
    """It is refused before any request, with what to do; a weak key is refused too, and not shown."""
    project = project_with_secrets
    with_plan_key(project, then)
    project.save_plan()
    project.log()
    with_plan_key(project, now)
    ran = project.apply_file()
    assert ran.code in {1, 3}
    assert why in ran.stderr
    assert project.log() == []
    assert all(key not in ran.output for key in (PLAN_KEY, OTHER_KEY, "abab"))
    with_plan_key(project, None)


def test_a_line_with_a_secret_is_not_quoted(project: Project) -> None:
    """The source line of a diagnostic is omitted if it contains a secret, even in a file that can't be parsed."""
    bad = [
        MANIFEST.replace("api_key: ", "api_key: !!str "),
        MANIFEST.replace("    api_key", "\tapi_key"),
        MANIFEST.replace(f"api_key: {DECLARED}", f"api_key: {DECLARED}\n    api_key: {DECLARED}"),
        MANIFEST.replace(f"api_key: {DECLARED}", f'api_key: "{DECLARED}'),
        MANIFEST.replace("binding_key: a", "binding_key: [a"),
    ]
    runs = []
    for text in bad:
        project.declare(text=text)
        runs += [project.plan("--color", "always"), project.workdir.octosync("validate", "-f", "apps", "-o", "json")]
    assert {run.code for run in runs} == {1}
    assert_hidden(project, *runs)


def test_a_key_in_a_url_is_not_echoed(project: Project) -> None:
    """A key in the URL is refused without being shown."""
    project.declare()
    ran = project.workdir.octosync("plan", "-f", "apps", "--url", f"http://ana:{KEY}@127.0.0.1:1")
    assert ran.code == 64
    assert KEY not in ran.output


def test_a_plan_file_without_secrets_can_be_applied(project_with_secrets: Project) -> None:
    """The sensitive values of a plan file are null, never omitted, and the file approves the plan."""
    document = project_with_secrets.save_plan()
    (row,) = (row for row in document["resource_changes"] if row["type"] == "inference_config")
    assert row["change"]["after"]["api_key"] is None
    assert json.dumps(document).count("hunter2") == 0
    assert project_with_secrets.apply_file().code == 0
