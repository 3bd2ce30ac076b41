from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.support.golden import assert_golden
from tests.support.sample_reports import (
    SECRET,
    document_of,
    errored_plan,
    mixed_plan,
    plan_report,
    run_info,
    steady_plan,
)
from tests.support.states import desired_app, live_app, live_deployment, observation, plan_of, policy_of

from octosync.manifest.schema.models import APP_WIRE_NAMES, SLOT_WIRE_NAMES, FallbackSpec, PolicySpec
from octosync.manifest.schema.shapes import attributes_of
from octosync.model import Canary, Diagnostic, Event, Kind, Origin, Reason, Severity
from octosync.plan import (
    ControlPlane,
    GitRevision,
    Invocation,
    LastChange,
    Override,
    Plan,
    Refusal,
    RunInfo,
    judge,
    overrides_of,
)
from octosync.report import json_text, render_plan
from octosync.report.fields import path_words

GOLDEN = Path(__file__).parent / "golden"
ANSI = re.compile(r"\x1b\[\d+m")


def text_of(plan: Plan, **more: Any) -> str:
    colour = more.pop("colour", False)
    return render_plan(plan_report(plan, **more), colour=colour)


def blocked_text(plan: Plan, about: RunInfo | None = None, **policy: Any) -> str:
    limits = policy_of(**policy)
    return text_of(plan, about=about or run_info(), blocked=judge(plan, limits), overrides=overrides_of(limits))


def line_with(text: str, part: str) -> str:
    return next(line for line in text.splitlines() if part in line)


def test_a_plan_is_the_golden_one() -> None:
    """Groups by app, symbols, positions, field changes, what is lost, warnings, and at the end the counts and the cost."""
    assert_golden(GOLDEN / "plan.txt", text_of(mixed_plan()))


def test_a_full_plan_shows_unchanged_objects() -> None:
    """`full` adds a row for every object that is as declared, sorted among the others."""
    assert_golden(GOLDEN / "plan-full.txt", text_of(mixed_plan(), full=True))


def test_a_blocked_plan_starts_with_the_refusals_and_one_line_that_allows_them() -> None:
    """Refusals come first; several guards give one command line, and refused rows are marked."""
    text = blocked_text(mixed_plan(), max_deletes=1, max_archives=0)
    assert_golden(GOLDEN / "plan-blocked.txt", text)


def test_an_errored_plan_names_the_app_and_shows_the_others() -> None:
    """An app that could not be read is named with its request and hint; the rest is shown, marked as not applicable."""
    assert_golden(GOLDEN / "plan-errored.txt", text_of(errored_plan()))


def test_an_empty_plan_is_one_sentence() -> None:
    """It has the number of apps that are as declared, and the cost."""
    assert_golden(GOLDEN / "plan-no-changes.txt", text_of(steady_plan(unmanaged=("a",) * 260)))


def test_colour_only_adds_colour() -> None:
    """The coloured plan without its colours is the plain one, byte for byte, and destructive lines are entirely red."""
    coloured = text_of(mixed_plan(), colour=True, full=True)
    assert ANSI.sub("", coloured) == text_of(mixed_plan(), full=True)
    red = [line for line in coloured.splitlines() if line.startswith("\x1b[31m")]
    assert [ANSI.sub("", line).split()[:3] for line in red] == [
        ["-", "target", "macos:com.octomil.old"],
        ["-", "target", "macos:com.octomil.checkout"],
        ["-", "slot", "chat"],
        ["loses", "servingPolicy", "local_first"],
        ["x", "app", "goes"],
    ]


def test_columns_are_aligned() -> None:
    """Positions of rows and files of apps end in the same column in the whole plan."""
    lines = [line for line in text_of(mixed_plan()).splitlines() if re.search(r"(\.yaml|:\d+)(   |$)", line)]
    rows = [line for line in lines if not line.startswith((" -->", "octosync"))]
    ends = {match.end(1) for line in rows if (match := re.search(r"(\S*(?:\.yaml|:\d+))(?:   |$)", line[40:]))}
    assert len(rows) > 10
    assert len(ends) == 1


def test_no_sensitive_value_is_shown() -> None:
    """A value under a sensitive key is never shown, not even with `full`; that it changed is."""
    text = text_of(mixed_plan(), full=True)
    assert SECRET not in text
    assert "(sensitive, changed)" in line_with(text, "api_key")
    assert "token: (sensitive)" in line_with(text, "bindings")


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({}, {"api_key": SECRET}, "(none) → (sensitive)"),
        ({"api_key": SECRET}, {}, "(sensitive) → (none)"),
        ({"api_key": SECRET}, {"api_key": "x"}, "(sensitive, changed)"),
        (
            {"a": [{"api_key": SECRET}]},
            {"a": [{"api_key": "x"}]},
            "a[0].api_key   (sensitive, changed)",
        ),
        ({"a": 1}, {"a": None}, "1 → null"),
        ({"a": True}, {"a": "true"}, 'true → "true"'),
        ({"a": {"x": 1}}, {"a": [1.5, "b c"]}, '{x: 1} → [1.5, "b c"]'),
        ({"a": ""}, {"a": "@app/x/chat"}, '"" → @app/x/chat'),
        ({"a": "1"}, {"a": 1}, '"1" → 1'),
    ],
)
def test_a_field_change_is_unambiguous(before: Any, after: Any, words: str) -> None:
    """Absent, null, text that looks like another type, nested and sensitive values are distinguished."""
    plan = plan_of(desired_app("a", config={"z": 1, **after}), live_app("a", config={"z": 1, **before}))
    assert words in text_of(plan)


def test_a_long_value_is_shown_where_it_differs() -> None:
    """Of a long value, only what both sides have in common is left out; `full` shows all of it."""
    head, tail = "x" * 500, "y" * 90
    plan = plan_of(desired_app("a", config={"k": head + "NEW"}), live_app("a", config={"k": head + "OLD" + tail}))
    line = line_with(text_of(plan), "→")
    assert len(line) < 300
    assert f"xOLD{tail}" in line
    assert "xNEW" in line
    assert f"{head}OLD{tail} → {head}NEW" in text_of(plan, full=True)


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        (
            [{"binding_key": "answers", "region": "eu-1"}, {"binding_key": "triage", "use": "triage"}],
            [{"binding_key": "triage", "use": "refund"}, {"binding_key": "answers", "region": "eu-2"}],
            [
                "k (order)           [answers, triage] → [triage, answers]",
                "k[answers].region   eu-1 → eu-2",
                "k[triage].use       triage → refund",
            ],
        ),
        (
            [{"model": name} for name in "abcd"],
            [{"model": name} for name in ("a2", "b", "x", "c", "EVIL")],
            ["k[0].model   a → a2", "k[2]         (none) → {model: x}", "k[3].model   d → EVIL"],
        ),
        ([{"id": "a"}, {"id": "a"}], [{"id": "a"}], ["k[1]   {id: a} → (none)"]),
        (
            [{"key": SECRET, "v": 1}, {"key": "b", "v": 1}],
            [{"key": SECRET, "v": 2}, {"key": "b", "v": 1}],
            ["k[0].v   1 → 2"],
        ),
        (
            [{"id": "x" * 120 + "a", "v": 1}, {"id": "x" * 120 + "b", "v": 1}],
            [{"id": "x" * 120 + "a", "v": 2}, {"id": "x" * 120 + "b", "v": 1}],
            ["k[0].v   1 → 2"],
        ),
        (["a" * 40, "b" * 40], ["a" * 40, "c" * 40], [f"k[1]   {'b' * 40} → {'c' * 40}"]),
        ({"a": "x"}, ["y"], ["k   {a: x} → [y]"]),
        (
            {"a": "x" * 80},
            ["y" * 80, 1],
            [f"k.a    {'x' * 80} → (none)", f"k[0]   (none) → {'y' * 80}", "k[1]   (none) → 1"],
        ),
        (
            "1\n2\n3 \n4\n5\n6" + "\n." * 60,
            "1\n2\n3\n4\n5\nsix" + "\n." * 60,
            ["k", "    …", "    2", "  - 3\\x20", "  + 3", "    4", "    5", "  - 6", "  + six", "    .", "    …"],
        ),
        (
            f"Be kind. {'Wait. ' * 20}Never reveal it.",
            f"Be rude. {'Wait. ' * 20}Always reveal it.",
            [
                'k   "Be kind. Wait. Wait. Wait. Wait…" → "Be rude. Wait. Wait. Wait. Wait…"',
                'k   "…Wait. Wait. Wait. Wait. Never reveal it." → "…Wait. Wait. Wait. Wait. Always reveal it."',
            ],
        ),
    ],
    ids=[
        "named",
        "indexed",
        "same name",
        "sensitive name",
        "long names",
        "long strings",
        "other type",
        "other type, long",
        "text",
        "line",
    ],
)
def test_every_difference_of_a_value_is_listed(before: Any, after: Any, lines: list[str]) -> None:
    """Objects in lists differ by name or index, texts by line, long lines by words: nothing is left out."""
    plan = plan_of(desired_app("a", config={"k": after}), live_app("a", config={"k": before}))
    text = text_of(plan).splitlines()
    start = text.index(line_with(text_of(plan), "inference config")) + 1
    assert [line[6:] for line in text[start : start + len(lines) + 1]] == [*lines, ""]


def test_a_custom_policy_is_shown_by_its_fields() -> None:
    """Two presets are shown by their names; if one side is no preset, the fields that differ follow."""
    custom = {"routing_mode": "auto", "fallback": {"allow_cloud_fallback": False, "allow_local_fallback": True}}
    other = {**custom, "routing_preference": "local"}
    apps = [
        desired_app(slug, slots={"chat": {"serving_policy": policy}})
        for slug, policy in (("a", custom), ("b", "local_only"), ("c", other), ("d", "local_only"))
    ]
    live = [
        live_app(slug, slots={"chat": {"serving_policy": policy}})
        for slug, policy in (("a", "cloud_first"), ("b", custom), ("c", custom), ("d", "cloud_only"))
    ]
    shown = [" ".join(line.split()) for line in text_of(plan_of(apps, live)).splitlines()]
    assert [line for line in shown if line.startswith("servingPolicy")] == [
        "servingPolicy cloud_first → custom",
        "servingPolicy.fallback.allowCloudFallback true → false",
        "servingPolicy.routingPreference cloud → (none)",
        "servingPolicy custom → local_only",
        "servingPolicy.routingMode auto → local_only",
        "servingPolicy.routingPreference (none) → local",
        "servingPolicy cloud_only → local_only",
    ]


def test_fields_have_the_names_of_the_manifest() -> None:
    """Every field of an app, a slot and a policy is shown as manifests write it; the keys of a config are unchanged."""
    for key, wire in SLOT_WIRE_NAMES.items():
        assert path_words(Kind.SLOT, (wire,)) == key
        assert path_words(Kind.INFERENCE_CONFIG, (wire,)) == wire
        assert path_words(Kind.SLOT, ("bindings", wire)) == f"bindings.{wire}"
    for key, wire in APP_WIRE_NAMES.items():
        assert path_words(Kind.APP, (wire,)) == key
    for model in (PolicySpec, FallbackSpec):
        for wire, key, _ in attributes_of(model):
            assert path_words(Kind.SLOT, ("serving_policy", wire)) == f"servingPolicy.{key}"


def test_a_removal_shows_its_losses() -> None:
    """A deleted config and a removed target show what is lost with them; an empty config loses nothing."""
    plan = plan_of(
        [desired_app("a", config=None, targets=[]), desired_app("b", config=None)],
        [live_app("a", config={"model": "m"}, targets=["ios:x.y"]), live_app("b", config={})],
    )
    lines = text_of(plan).splitlines()
    assert any("loses its device assignments" in line for line in lines)
    assert "      loses model m" in lines
    assert sum("declared as none" in line for line in lines) == 2
    assert sum("loses" in line for line in lines) == 2


def test_every_reason_has_its_own_text() -> None:
    """Every reason of a plan has its own text."""
    made = plan_of(desired_app("a", targets=[]), live_app("a", targets=["ios:x.y"]))
    texts = {text_of(replace(made, actions=tuple(replace(a, reason=r) for a in made.actions))) for r in Reason}
    assert len(texts) == len(Reason)


def test_the_allowing_command_keeps_the_overrides_in_force() -> None:
    """The command line has the paths and selection of this run, its overrides, and the missing flags."""
    about = run_info(
        invocation=Invocation(
            paths=("a b/", "c/"), kustomize="k", apps=("x*",), selector="t=1", base="main", changed_only=True
        )
    )
    text = blocked_text(mixed_plan(), about, max_archives=0, allow_deletes=2, allow_protected=True)
    assert (
        "To allow this:   octosync apply -f 'a b/' -f c/ -k k --app 'x*' -l t=1 --base main --changed-only"
        " --allow-protected --allow-deletes 3 --allow-archives 1" in text
    )
    assert text.splitlines()[1] == "Allowed in this run: --allow-deletes 2, --allow-protected"


def test_the_allowing_command_is_the_typed_one() -> None:
    """An apply of a plan file suggests applying that file again, with the flag."""
    about = run_info(typed=("octosync", "apply", "plan.json", "--context", "staging"))
    text = blocked_text(mixed_plan(), about, max_deletes=0)
    assert "octosync apply plan.json --context staging --allow-deletes 3" in text


def test_a_running_canary_names_the_command_that_shows_it() -> None:
    """The command is ready to be typed, with the flags that reach the same control plane."""
    live = live_app(
        "a", slots={"chat": {}}, deployments=[live_deployment("a", canary=Canary(candidate="v2", percentage=40))]
    )
    plan = plan_of(desired_app("a", slots={}), live)
    text = blocked_text(plan, run_info(connection_arguments=("--url", "http://127.0.0.1:8787")))
    assert "Next step: Wait until it is complete: octosync status --url http://127.0.0.1:8787 a\n" in text
    assert "Next step: Wait until it is complete: octosync status a\n" in blocked_text(plan)


def test_a_refusal_without_a_flag_has_its_own_hint() -> None:
    """An archived app that is declared live has no flag: its hint is shown, and then the flags for the rest."""
    plan = plan_of(
        [desired_app("gone"), desired_app("a", slots={})],
        [live_app("gone", archived=True), live_app("a", slots={"x": {}})],
    )
    alone, both = blocked_text(plan), blocked_text(plan, max_deletes=0)
    assert "Next step: Declare `spec.archived: true` there, or remove the manifests." in alone
    assert "octosync apply" not in alone
    assert "To allow the rest, after that:   octosync apply -f apps/ --allow-deletes 1" in both


def test_overrides_have_their_source() -> None:
    """A guard that a commit loosens is named with the commit, and is not a flag of the next command line."""
    override = Override(guard="archives", value="2", source="commit 1f3c")
    plan = mixed_plan()
    text = text_of(plan, overrides=(override,), blocked=judge(plan, policy_of(max_deletes=0)))
    assert "Allowed in this run: archives=2 (commit 1f3c)" in text
    assert line_with(text, "To allow this").endswith("octosync apply -f apps/ --allow-deletes 3")


def test_the_line_for_a_commit_names_unliftable_guards() -> None:
    """If a guard can't be lifted by a commit, the suggested line names it as not possible."""
    refusals = [
        Refusal(guard="rollback", message="going back", override="--allow-rollback", addresses=()),
        Refusal(guard="diverged", message="changed", override="--allow-diverged", addresses=()),
    ]
    text = text_of(mixed_plan(), blocked=refusals, about=run_info(trailers=("diverged",)))
    assert line_with(text, "In a commit").endswith("Octosync-Allow: diverged   (not possible for rollback)")
    assert line_with(
        text_of(mixed_plan(), blocked=refusals[1:], about=run_info(trailers=("diverged",))), "In a commit"
    ).endswith("Octosync-Allow: diverged")


def test_the_first_line_has_command_and_control_plane() -> None:
    """Command, host, org, context, paths and base are in the first line, and no credential of a URL is."""
    about = run_info(
        control_plane=ControlPlane(url=f"http://user:{SECRET}@127.0.0.1:8787/api/v1"),
        invocation=Invocation(kustomize="overlays/prod", base="3f9d2c1"),
    )
    head = text_of(steady_plan(), about=about, command="apply").splitlines()[0]
    assert head == (
        "octosync apply · 127.0.0.1:8787 · overlays/prod (kustomize): 41 apps in 14 files · base 3f9d2c1 · 2 apps selected"
    )


@pytest.mark.parametrize(
    ("git", "words"),
    [
        (GitRevision(revision="3f9d2c1"), []),
        (GitRevision(revision="3f9d2c1", dirty=True), ["uncommitted changes"]),
        (
            GitRevision(revision="3f9d2c1", dirty=True, is_checked=False),
            ["uncommitted changes unknown: git status failed"],
        ),
    ],
)
def test_the_first_line_has_what_is_known_of_uncommitted_changes(git: GitRevision, words: list[str]) -> None:
    """Changes beyond the commit, and that they are not known, are different facts."""
    about = run_info(manifests=replace(run_info().manifests, git=git))
    head = text_of(steady_plan(), about=about).splitlines()[0]
    assert [part for part in head.split(" · ") if "uncommitted" in part] == words


def test_a_text_plan_computes_no_digest_of_the_manifests() -> None:
    """Only plan documents contain it, and it takes long for many apps."""
    computed: list[str] = []

    def compute() -> str:
        computed.append("sha256:0")
        return computed[-1]

    about = run_info(manifests=replace(run_info().manifests, compute_digest=compute))
    assert text_of(steady_plan(), about=about)
    assert not computed
    assert '"sha256:0"' in json_text(document_of(steady_plan(), about=about))
    assert len(computed) == 1


def test_a_plan_of_all_apps_without_a_limit_has_no_duration() -> None:
    """Without a rate limit no duration is shown, and all apps are not shown as a part of all apps."""
    about = run_info(requests_per_minute=0, manifests=replace(run_info().manifests, apps=3, files=1))
    lines = text_of(errored_plan(), about=about).splitlines()
    assert lines[0].endswith("apps/: 3 apps in 1 file")
    assert lines[-1] == "Read 3 apps with 5 requests; apply sends 1."


def test_diagnostics_are_shown_once_with_those_of_the_plan() -> None:
    """The diagnostics of the manifests and of the plan are shown together, each once, by position."""
    plan = mixed_plan()
    own = Diagnostic(severity=Severity.WARNING, rule="unknown-engine", summary="`mxl`", origin=Origin("apps/a.yaml", 1))
    text = text_of(plan, diagnostics=(own, *plan.diagnostics))
    assert text.count("archive-strands-identifiers") == 1
    assert text.index("unknown-engine") < text.index("archive-strands-identifiers")


def test_a_suspended_app_is_listed_as_left_alone() -> None:
    """Suspended apps and targets on unknown platforms are listed, and count as neither changed nor as declared."""
    live = live_app("a", targets=["tvos:x.y"])
    plan = plan_of([desired_app("a", targets=[]), desired_app("s", suspended=True)], observation(live, live_app("s")))
    text = text_of(plan)
    assert "Suspended, left alone: s\n" in text
    assert "On unknown platforms, left alone: app/a/target/tvos:x.y\n" in text
    assert "No changes. 1 app as declared, 1 suspended.\n" in text


def test_a_very_long_name_shifts_only_its_own_line() -> None:
    """One very long identifier does not move the columns of the others."""
    keys = ["ios:a.b", "ios:" + "long." * 40 + "z"]
    short = plan_of(desired_app("a", targets=keys[:1]), live_app("a"))
    both = plan_of(desired_app("a", targets=keys), live_app("a"))
    assert line_with(text_of(short), "ios:a.b") == line_with(text_of(both), "ios:a.b")


def test_the_position_follows_the_name() -> None:
    """A long name does not move the positions of other objects, and the file is behind the name of the app."""
    lines = text_of(plan_of(desired_app("a", slots={"c" * 50: {}, "chat": {}}), live_app("a"))).splitlines()
    assert "a  apps/demo.yaml" in lines
    assert f"  + slot {'c' * 50}  :3" in lines
    assert "  + slot chat  :3" in lines


def test_the_only_author_of_many_changes_is_named_once() -> None:
    """If one person made all of several changes, only the full report names that person and the event for each of them."""
    plan = plan_of(
        desired_app("a", slots={name: {"preferred_engines": ["mlx"]} for name in ("chat", "tts", "vision")}),
        live_app("a", slots={name: {"preferred_engines": ["coreml"]} for name in ("chat", "tts", "vision")}),
    )
    at = datetime(2026, 3, 1, 14, 2, tzinfo=UTC)
    events = {
        action.address: LastChange(Event(id="evt_1", type="slot.updated", actor="ben", at=at))
        for action in plan.actions
    }
    plan = replace(plan, last_changes=events)
    brief, full = text_of(plan), text_of(plan, full=True)
    assert "The last change of each of these objects was by ben, 2026-03-01 14:02 UTC.\n" in brief
    assert (brief.count("ben"), full.count("last changed by ben")) == (1, 3)


def test_an_app_without_details_has_no_detail_line() -> None:
    """A new app whose name is its slug has nothing below it, not even an empty line."""
    text = text_of(plan_of(desired_app("a")))
    assert "  + app a  :3\n\nPlan: 1 to create." in text
    assert "\n\n\n" not in text


def test_a_config_is_shown_with_all_its_keys() -> None:
    """A new or deleted config shows nulls, and keys that a slot or app would omit as defaults or as its own name."""
    config: dict[str, Any] = {"c": None, "bindings": [], "name": "a", "": 1, "two words": {"x y": 2}}
    words = '"" 1 · bindings [] · c null · name a · "two words" {"x y": 2}'
    assert f"\n      {words}\n" in text_of(plan_of(desired_app("a", config=config), live_app("a")))
    assert f"\n      loses {words}\n" in text_of(plan_of(desired_app("a", config=None), live_app("a", config=config)))


def test_a_config_key_named_like_a_policy_is_an_ordinary_key() -> None:
    """Presets name the policy of a slot only: in a config, two names of one policy are two texts."""
    desired = desired_app("a", config={"serving_policy": "local_only", "": 1})
    text = text_of(plan_of(desired, live_app("a", config={"serving_policy": "private", "": 2})))
    assert "serving_policy   private → local_only\n" in text
    assert '""               2 → 1\n' in text


def test_the_fields_of_a_custom_policy_are_aligned() -> None:
    """The longest names of the contract keep the columns."""
    policies: list[dict[str, Any]] = [
        {
            "routing_mode": "auto",
            "routing_preference": preference,
            "fallback": {"allow_cloud_fallback": True, "allow_local_fallback": local},
        }
        for preference, local in (("cloud", False), ("local", True))
    ]
    before, after = ({"chat": {"serving_policy": policy}} for policy in policies)
    text = text_of(plan_of(desired_app("a", slots=after), live_app("a", slots=before)))
    arrows = [line.index(word) for line, word in ((line_with(text, w), w) for w in ("false → true", "cloud → local"))]
    assert arrows[0] == arrows[1]
