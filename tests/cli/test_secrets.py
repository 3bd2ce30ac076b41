"""Secrets: the API key and sensitive values are in nothing that octosync writes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.calls import KEY
from tests.support.desks import Office
from tests.support.invoking import Ran
from tests.support.planes import ok

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
def office_with_secrets(office: Office) -> Office:
    path = office.plane.with_app("search")
    office.plane.with_slot(path, bindings=[{"binding_key": "a", "access_token": LIVE}])
    ok(office.plane.api.put(f"{path}/inference-config", json={"api_key": LIVE, "old_secret": LIVE, **NAMED}))
    office.declare(text=MANIFEST)
    return office


def assert_hidden(office: Office, *runs: Ran) -> None:
    """Look for every secret in every byte that was produced: both streams, plan files, the journal."""
    produced = {name: data for name, data in office.desk.files().items() if not name.startswith("apps/")}
    produced["output"] = "".join(run.output for run in runs).encode()
    for name, data in produced.items():
        for secret in SECRETS:
            assert secret.encode() not in data, f"{secret} in {name}"


@pytest.mark.parametrize("output", ["text", "json", "jsonl", "github", "markdown", "sarif"])
def test_no_secret_is_in_what_a_good_run_writes(office_with_secrets: Office, output: str) -> None:
    """Validate, plan, its file, apply, its journal: sensitive values are shown as such, coloured and in full or not."""
    office = office_with_secrets
    loud = ("--color", "always", "--full", "-o", output)
    checks = "text" if output in {"jsonl", "markdown"} else output  # what validate has
    runs = [
        office.desk.octosync("validate", "-f", "apps", "--color", "always", "-o", checks),
        office.plan(*loud, "--plan-out", "plan.json"),
        office.apply_file(*loud),
        office.plan(*loud),
    ]
    assert [run.code for run in runs] == [0, 0, 0, 0]
    assert_hidden(office, *runs)
    if output == "text":
        assert "(sensitive, changed)" in runs[1].stdout
        assert "tokens " in runs[1].stdout
        assert "max_new_tokens: 512" in runs[1].stdout


READS = [
    *(("status", "-o", output) for output in ("text", "json", "jsonl")),
    *(("status", "--declared", "--full", "-f", "apps", "-o", output) for output in ("text", "json")),
    *(("export", "search", "-o", place) for place in ("-", "exported")),
    ("export", "--unmanaged", "-f", "apps"),
    ("accept", "app/search/inference-config", "-f", "apps", "--patch"),
    ("accept", "app/search/slot/chat", "-f", "apps"),
    *(("history", "-o", output) for output in ("text", "json")),
    *(("activity", "search", "-o", output) for output in ("text", "json", "jsonl")),
]


def test_no_secret_is_in_what_other_commands_write(office_with_secrets: Office) -> None:
    """What is live and what is declared is shown, compared, exported and accepted without any."""
    office = office_with_secrets
    runs = [office.apply(), office.plan("--base", "nowhere")]
    ok(office.plane.api.put("/apps/search/inference-config", json={"api_key": LIVE, **NAMED}))
    for command in READS:
        offline = command[0] == "history"
        runs.append(office.desk.octosync(*command, *(() if offline else ("--url", office.url))))
        assert runs[-1].code in {0, 1}, runs[-1].output
        assert "Usage:" not in runs[-1].output, runs[-1].output
    assert_hidden(office, *runs)


@pytest.mark.parametrize("fault", FAULTS, ids=[f"{fault['action']}-{fault.get('status', '')}" for fault in FAULTS])
def test_no_secret_is_in_an_error(office_with_secrets: Office, fault: dict[str, Any]) -> None:
    """A control plane that echoes what was sent gets it masked, in reads and writes, outcomes and journal."""
    office = office_with_secrets
    office.break_with({"operation": "apps.put_inference_config", "times": None, **fault})
    applied = [office.apply("--color", "always"), office.apply("-o", "json")]
    assert {run.code for run in applied} <= {0, 1, 5}
    # A read sends no value that could come back: what is left to echo is the key.
    office.break_with({"operation": "*", "times": None, **fault, "message": f"no: {KEY}", "details": None})
    read = [office.plan("--color", "always"), office.plan("-o", "json", "--plan-out", "plan.json")]
    assert_hidden(office, *applied, *read)


PLAN_KEY, OTHER_KEY = "0123456789abcdef" * 4, "fedcba9876543210" * 4


def with_plan_key(office: Office, key: str | None) -> None:
    office.desk.environment.pop("OCTOSYNC_PLAN_KEY", None)
    if key is not None:
        office.desk.environment["OCTOSYNC_PLAN_KEY"] = key


def change_secret(office: Office) -> None:
    ok(
        office.plane.api.put(
            "/apps/search/inference-config", json={"api_key": f"{LIVE}-2", "old_secret": LIVE, **NAMED}
        )
    )


def test_no_digest_of_a_secret_is_in_a_plan(office_with_secrets: Office) -> None:
    """Documents of plans that differ in nothing but secrets are the same: nothing in them can be tried out offline."""
    office = office_with_secrets
    saved = office.save()
    change_secret(office)
    office.declare(text=MANIFEST.replace(DECLARED, f"{DECLARED}-2").replace(f": {LABEL}", ": other"))
    again = office.save()
    assert [again[part] for part in ("fingerprints", "manifests")] == [
        saved[part] for part in ("fingerprints", "manifests")
    ]
    assert saved["fingerprinting"] == {
        "key_check": None,
        "not_covered": ["app/search/slot/chat", "app/search/inference-config"],
    }
    office.apply()
    assert saved["manifests"]["digest"] in office.desk.octosync("history", "-o", "json").stdout
    ran = office.plan("--plan-out", "plan.json")
    assert "sensitive" not in ran.stderr  # nothing is left to apply


def test_a_plan_says_that_it_does_not_notice_a_changed_secret(office_with_secrets: Office) -> None:
    """Where the file is written, its objects with sensitive values are named, and the variable that has them covered."""
    office = office_with_secrets
    said = office.plan("--plan-out", "plan.json").stderr
    assert "later changes of these: app/search/slot/chat, app/search/inference-config." in said
    assert "set OCTOSYNC_PLAN_KEY for plan and apply" in said
    with_plan_key(office, PLAN_KEY)
    assert "sensitive values" not in office.plan("--plan-out", "plan.json").stderr
    with_plan_key(office, None)


def test_with_a_key_a_moved_sensitive_value_is_named_and_not_shown(office_with_secrets: Office) -> None:
    """Exit 3 names what moved, live or declared; the value itself is not told, and the key isn't either."""
    office = office_with_secrets
    with_plan_key(office, PLAN_KEY)
    office.save()
    change_secret(office)
    ran = office.apply_file()
    assert ran.code == 3
    assert "app/search/inference-config: fingerprint: hmac-sha256:" in ran.stderr
    office.save()
    office.declare(text=MANIFEST.replace(DECLARED, f"{DECLARED}-2"))
    moved = office.apply_file()
    assert moved.code == 3
    assert "manifests: hmac-sha256:" in moved.stderr
    assert_hidden(office, ran, moved)
    assert PLAN_KEY not in ran.output + moved.output
    with_plan_key(office, None)


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
    office_with_secrets: Office, then: str | None, now: str | None, why: str
) -> None:
    """Before any request, with what to do; a key that could be guessed is refused, too, and not shown."""
    office = office_with_secrets
    with_plan_key(office, then)
    office.save()
    office.log()
    with_plan_key(office, now)
    ran = office.apply_file()
    assert ran.code in {1, 3}
    assert why in ran.stderr
    assert office.log() == []
    assert all(key not in ran.output for key in (PLAN_KEY, OTHER_KEY, "abab"))
    with_plan_key(office, None)


def test_a_bad_line_with_a_secret_is_not_quoted(office: Office) -> None:
    """The source line of a diagnostic is left out where it holds a secret, even in a file that doesn't parse."""
    bad = [
        MANIFEST.replace("api_key: ", "api_key: !!str "),
        MANIFEST.replace("    api_key", "\tapi_key"),
        MANIFEST.replace(f"api_key: {DECLARED}", f"api_key: {DECLARED}\n    api_key: {DECLARED}"),
        MANIFEST.replace(f"api_key: {DECLARED}", f'api_key: "{DECLARED}'),
        MANIFEST.replace("binding_key: a", "binding_key: [a"),
    ]
    runs = []
    for text in bad:
        office.declare(text=text)
        runs += [office.plan("--color", "always"), office.desk.octosync("validate", "-f", "apps", "-o", "json")]
    assert {run.code for run in runs} == {1}
    assert_hidden(office, *runs)


def test_a_key_typed_where_it_does_not_belong_is_not_echoed(office: Office) -> None:
    """A key in the URL is refused without being shown."""
    office.declare()
    ran = office.desk.octosync("plan", "-f", "apps", "--url", f"http://ana:{KEY}@127.0.0.1:1")
    assert ran.code == 1
    assert KEY not in ran.output


def test_the_plan_file_is_still_whole(office_with_secrets: Office) -> None:
    """A plan file without its sensitive values approves all the same: they are null in it, never cut out."""
    document = office_with_secrets.save()
    (row,) = (row for row in document["resource_changes"] if row["type"] == "inference_config")
    assert row["change"]["after"]["api_key"] is None
    assert json.dumps(document).count("hunter2") == 0
    assert office_with_secrets.apply_file().code == 0
