from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.support.examples import examples
from tests.support.sample_reports import SECRET, VERSION, document_of, errored_plan, mixed_plan, run_info, steady_plan
from tests.support.states import desired_app, live_app, observation, plan_of

from octosync.errors import ExitCode, OctosyncError, PlanFileError, StalePlan
from octosync.model import Secret, Sensitivity, json_equal
from octosync.plan import Approval, FingerprintScheme, Invocation, Plan, check_plan_key, read_approval, what_moved
from octosync.report import json_text

DOCUMENT = document_of(mixed_plan())
SAVED: Any = json.loads(json_text(DOCUMENT))

# The parts of a document that an approval does not cover. Everything else is compared.
FREE = {
    ("timestamp",),
    ("errored",),
    ("control_plane", "context"),
    ("invocation",),
    ("manifests", "files"),
    ("manifests", "apps"),
    ("manifests", "git"),
    ("manifests", "digest"),
    ("scope",),
    ("overrides",),
    ("blocked",),
    ("recommendations",),
    ("diagnostics",),
    ("errors",),
    ("cost",),
    ("summary",),
    ("format_version",),
    ("octosync_version",),
    ("fingerprinting", "not_covered"),
}
FREE_IN_ROWS = {
    "app",
    "type",
    "name",
    "labels",
    "action_reason",
    "drift",
    "preview",
    "depends_on",
    "destructive",
    "source",
}


def read(text: str | bytes, version: str = VERSION) -> Approval:
    return read_approval(text, file="plan.json", octosync_version=version)


def saved(plan: Plan, **more: Any) -> Approval:
    """Save a plan and read it back."""
    return read(json_text(document_of(plan, **more)))


def moved(then: Plan, now: Plan) -> tuple[str, ...]:
    return what_moved(saved(then), document_of(now))


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value in a document, inner values included."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from leaves(item, (*path, key))


def is_covered(path: tuple[Any, ...]) -> bool:
    """Return whether an approval covers this path."""
    if any(path[: len(free)] == free for free in FREE):
        return False
    if path[:1] == ("resource_changes",) and len(path) >= 3:
        return path[2] not in FREE_IN_ROWS
    if path[:1] == ("fingerprints",) and len(path) == 2:
        return any(row["address"] == path[1] for row in SAVED["resource_changes"])
    return True


def changed(document: Any, path: tuple[Any, ...], value: Any, *, remove: bool) -> Any:
    """Return a copy of a document with another value, or no value, at a path."""
    copied = copy.deepcopy(document)
    place = copied
    for key in path[:-1]:
        place = place[key]
    if remove:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return copied


PLACES = sorted(leaves(SAVED), key=repr)
IMPORTANT = [path for path in PLACES if is_covered(path)]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4) | st.sampled_from(["update", "app/x"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def test_a_saved_plan_approves_itself() -> None:
    """A plan that is saved and read back approves exactly itself, with or without no-op rows, and keeps its invocation."""
    for full in (False, True):
        approval = saved(mixed_plan(), full=full)
        assert what_moved(approval, DOCUMENT) == ()
        assert what_moved(approval, document_of(mixed_plan(), full=True)) == ()
        assert approval.invocation == run_info().invocation
        assert approval.document["manifests"] == DOCUMENT["manifests"]


def test_an_invocation_is_read_as_it_was_written() -> None:
    """Paths, kustomize, selection and base are read as they were written."""
    invocation = Invocation(
        paths=("a", "-"),
        kustomize="k",
        apps=("x*",),
        selector="t=1",
        base="main",
        changed_only=True,
        optimize="never",
        previews=False,
    )
    assert saved(steady_plan(), about=run_info(invocation=invocation)).invocation == invocation


def verdict(document: Any) -> tuple[str, ...]:
    """Return why a run rejects this file: the error with its hints, or what moved. Empty if nothing does."""
    try:
        approval = read(json.dumps(document))
    except OctosyncError as error:
        return (str(error), *error.hints)
    try:
        check_plan_key(approval, FingerprintScheme(Sensitivity()), file="plan.json")
    except StalePlan as error:
        return (str(error), *error.hints)
    return what_moved(approval, DOCUMENT)


@examples(200)
@given(st.sampled_from(IMPORTANT), JSON, st.booleans())
def test_tampering_with_a_covered_value_is_detected(path: tuple[Any, ...], value: Any, remove: bool) -> None:
    """Another value, or no value, at a path that the approval covers is rejected or reported."""
    tampered = changed(SAVED, path, value, remove=remove)
    assume(not json_equal(tampered, SAVED))
    assert verdict(tampered)


@examples(200)
@given(st.sampled_from(PLACES), JSON, st.booleans())
def test_tampering_never_crashes(path: tuple[Any, ...], value: Any, remove: bool) -> None:
    """A change at any path is rejected, reported or without effect. It never crashes and never adds an action."""
    assert all(isinstance(line, str) for line in verdict(changed(SAVED, path, value, remove=remove)))


@pytest.mark.parametrize("path", [path for path in sorted(FREE) if path not in {("invocation",), ("errored",)}])
def test_uncovered_parts_may_differ(path: tuple[str, ...]) -> None:
    """Times, counts, sources, labels and costs are not compared."""
    now = changed(SAVED, path, {"x": 1}, remove=False)
    assert what_moved(read(json.dumps(SAVED)), now) == ()


def test_reasons_labels_and_sources_may_differ() -> None:
    """The reason, labels, source and dependencies of a row are not compared."""
    now = copy.deepcopy(SAVED)
    for row in now["resource_changes"]:
        row.update(dict.fromkeys(FREE_IN_ROWS, "other"))
    assert what_moved(read(json.dumps(SAVED)), now) == ()


def test_a_moved_value_is_named_before_and_after() -> None:
    """A value that changed live since the approval is named by action, address and field, with both values."""
    wanted = desired_app("a", slots={"chat": {"preferred_engines": ["mlx"]}})
    then = plan_of(wanted, live_app("a", slots={"chat": {"preferred_engines": ["coreml"]}}))
    now = plan_of(wanted, live_app("a", slots={"chat": {"preferred_engines": ["cloud"]}}))
    assert moved(then, now) == ('update app/a/slot/chat: before preferred_engines: ["coreml"] → ["cloud"]',)


def test_an_undeclared_live_value_that_moved_is_a_difference() -> None:
    """An undeclared value that a PUT carries over is compared too: the change is in `before` and in `after`."""
    wanted = desired_app("a", slots={"chat": {"preferred_engines": ["mlx"]}})
    then = plan_of(wanted, live_app("a", slots={"chat": {"x_note": 1}}))
    now = plan_of(wanted, live_app("a", slots={"chat": {}}))
    assert moved(then, now) == (
        "update app/a/slot/chat: before x_note: 1 → (none)",
        "update app/a/slot/chat: after x_note: 1 → (none)",
    )


def test_a_sensitive_live_value_that_moved_is_a_difference_and_stays_hidden() -> None:
    """With a key, the fingerprint shows that a sensitive value changed, without the value. Without a key, nothing does."""
    wanted = desired_app("a", config={"k": 2, "token": "wanted"})
    then = plan_of(wanted, live_app("a", config={"k": 1, "token": SECRET}))
    now = plan_of(wanted, live_app("a", config={"k": 1, "token": f"{SECRET}2"}))
    assert moved(then, now) == ()
    about = run_info(plan_key=Secret("key"))
    (line,) = what_moved(saved(then, about=about), document_of(now, about=about))
    assert line.startswith("update app/a/inference-config: fingerprint: hmac-sha256:")
    assert SECRET not in line


def test_added_and_removed_actions_are_named() -> None:
    """An approved action that is no longer planned is named, and so is a new one."""
    then = plan_of(desired_app("a", slots={"chat": {}}), live_app("a"))
    now = plan_of(desired_app("a", slots={"tts": {}}), live_app("a"))
    assert moved(then, now) == (
        "create app/a/slot/chat: approved, and no longer planned",
        "create app/a/slot/tts: planned now, and not approved",
    )


def test_an_object_that_appeared_is_another_action() -> None:
    """If an object was to be created and exists now, the planned update is not the approved create."""
    wanted = desired_app("a", slots={"chat": {"preferred_engines": ["mlx"]}})
    lines = moved(plan_of(wanted, live_app("a")), plan_of(wanted, live_app("a", slots={"chat": {}})))
    assert lines == (
        "create app/a/slot/chat: approved, and no longer planned",
        "update app/a/slot/chat: planned now, and not approved",
    )


def test_a_target_that_was_registered_anew_is_a_difference() -> None:
    """A removal identifies a target by its ID, so a new ID is a difference."""
    wanted, first = desired_app("a", targets=[]), live_app("a", targets=["ios:x.y"])
    again = live_app("a", targets=["ios:x.y"])
    target = again.targets[0]
    object.__setattr__(target, "server_fields", {**target.server_fields, "id": "other"})
    lines = moved(plan_of(wanted, first), plan_of(wanted, again))
    assert [line.split(":")[2].strip() for line in lines] == ["operation", "fingerprint"]


def test_another_control_plane_or_org_is_a_difference() -> None:
    """Control plane and org are named, before and after."""
    now = copy.deepcopy(SAVED)
    now["control_plane"] |= {"url": "https://other/api/v1", "org_id": None}
    assert what_moved(read(json.dumps(SAVED)), now) == (
        "control plane: https://api.octomil.com/api/v1 → https://other/api/v1",
        "org: 8f1c → null",
    )


def test_an_org_that_was_not_read_is_not_a_difference() -> None:
    """A plan without requests knows the org only if it is configured; another configured org is a difference."""
    now = copy.deepcopy(SAVED)
    now["cost"]["requests_used"] = 0
    now["control_plane"]["org_id"] = None
    assert what_moved(read(json.dumps(SAVED)), now) == ()
    now["control_plane"]["org_id"] = "77ab"
    assert what_moved(read(json.dumps(SAVED)), now) == ("org: 8f1c → 77ab",)


def test_a_declared_sensitive_value_that_moved_is_a_difference_and_stays_hidden() -> None:
    """With a key, the file shows whether a declared sensitive value changed, without the value. Without a key, nothing does."""
    live = live_app("a", config={"k": 1})
    then = plan_of(desired_app("a", config={"k": 2, "token": SECRET}), live)
    now = plan_of(desired_app("a", config={"k": 2, "token": f"{SECRET}2"}), live)
    assert moved(then, now) == ()
    assert "declared" not in str(document_of(then)["fingerprinting"])
    about = run_info(plan_key=Secret("key"))
    (line,) = what_moved(saved(then, about=about), document_of(now, about=about))
    assert line.startswith("update app/a/inference-config: sensitive values: hmac-sha256:")
    assert SECRET not in line


def test_an_unrelated_change_is_not_a_difference() -> None:
    """An app without planned changes may change live, and unmanaged apps may be added and removed."""
    first, second = desired_app("a", slots={"chat": {}}), desired_app("b")
    then = plan_of([first, second], observation(live_app("a"), live_app("b"), unmanaged=("x",), requests=3))
    now = plan_of(
        [first, second], observation(live_app("a"), live_app("b", description="new"), unmanaged=(), requests=9)
    )
    assert moved(then, now) == ()


def test_another_previewed_variant_is_a_difference() -> None:
    """The variant of a preview is approved; its device counts are not."""
    then, now = copy.deepcopy(SAVED), copy.deepcopy(SAVED)
    then["resource_changes"][0]["preview"] = {"variant": "q4", "device_count": 1}
    now["resource_changes"][0]["preview"] = {"variant": "q4", "device_count": 2}
    assert what_moved(read(json.dumps(then)), now) == ()
    now["resource_changes"][0]["preview"]["variant"] = "q5"
    assert what_moved(read(json.dumps(then)), now) == ("update app/canary-demo: previewed variant: q4 → q5",)


def test_long_values_are_clipped() -> None:
    """A difference in a long text fits on a readable line."""
    wanted = desired_app("a", fields={"description": "short"})
    lines = moved(
        plan_of(wanted, live_app("a", description="x" * 5000)), plan_of(wanted, live_app("a", description="y" * 5000))
    )
    assert len(lines) == 1
    assert len(lines[0]) < 300
    assert lines[0].count("… (5,000 characters)") == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty or cut off"),
        ("  \n", "empty or cut off"),
        (json_text(DOCUMENT)[:-40], "empty or cut off"),
        (json_text(DOCUMENT)[:5000], "cut off"),
        ("apiVersion: octosync.dev/v1", "not JSON"),
        (b"\xff\xfe\x00garbage", "not"),
        (b"{\xff}", "UTF-8"),
        ("[]", "not a JSON object"),
        ("null", "not a JSON object"),
        ("{}", "format_version"),
        ('{"format_version": "1.2", "terraform_version": "1.9"}', "octosync_version"),
        ('{"format_version": 1, "octosync_version": "0.1.0"}', "format_version"),
        ('{"x": NaN}', "numbers"),
        ('{"x": 1e999}', "numbers"),
        ("[" * 200_000, "depth"),
    ],
)
def test_a_file_that_is_not_a_plan_is_one_clear_error(text: str | bytes, message: str) -> None:
    """The error of an empty, truncated, foreign or unreadable file names the file, the cause and what to do."""
    with pytest.raises(PlanFileError) as caught:
        read(text)
    assert caught.value.exit_code is ExitCode.ERROR
    assert caught.value.reference == "plan-file-unreadable"
    assert caught.value.message.startswith("plan.json: ")
    assert message in caught.value.message
    assert caught.value.hints


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("control_plane",), None, "`control_plane.url`"),
        (("manifests",), {}, "`manifests.digest`"),
        (("resource_changes",), {}, "`resource_changes`"),
        (("resource_changes", 0), "x", "`resource_changes[0]`"),
        (("resource_changes", 1, "change", "actions"), [], "`resource_changes[1]`"),
        (("resource_changes", 1), SAVED["resource_changes"][0], "plans update app/canary-demo twice"),
        (("invocation",), None, "`invocation`"),
        (("invocation", "paths"), [1], "`invocation`"),
        (("invocation", "changed_only"), 1, "`invocation`"),
    ],
)
def test_a_document_without_a_required_part_is_rejected(path: tuple[Any, ...], value: Any, message: str) -> None:
    """A document without a compared part is not a plan, and the message names that part."""
    with pytest.raises(PlanFileError) as caught:
        read(json.dumps(changed(SAVED, path, value, remove=False)))
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("key", "value", "reference"),
    [("format_version", "2.0", "plan-of-another-format"), ("octosync_version", "9.9.9", "plan-of-another-version")],
)
def test_a_plan_of_another_format_or_version_is_stale(key: str, value: str, reference: str) -> None:
    """A plan of another format or octosync version may have another meaning: it is rejected as stale, with what to do."""
    with pytest.raises(StalePlan) as caught:
        read(json.dumps({**SAVED, key: value}))
    assert caught.value.exit_code is ExitCode.STALE
    assert caught.value.reference == reference
    assert value in caught.value.message
    assert caught.value.hints


def test_a_newer_minor_format_is_read() -> None:
    """A minor version only adds keys."""
    newer = {**SAVED, "format_version": "1.7", "added": 1}
    assert what_moved(read(json.dumps(newer).encode()), DOCUMENT) == ()


def test_an_errored_plan_approves_nothing() -> None:
    """A plan that was made while an app could not be read is rejected."""
    with pytest.raises(PlanFileError, match="could not be read") as caught:
        saved(errored_plan())
    assert caught.value.reference == "plan-was-errored"
