from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.golden import assert_golden
from tests.support.sample_reports import SECRET, errored_plan, mixed_plan, plan_report, run_info, steady_plan
from tests.support.states import desired_app, live_app, live_deployment, observation, plan_of, policy_of

from octosync.model import Canary, Diagnostic, Origin, Reason, Severity
from octosync.plan import (
    ControlPlane,
    Invocation,
    Override,
    Plan,
    Refusal,
    RunInfo,
    judge,
    overrides_of,
)
from octosync.report import render_plan

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


def test_a_plan_reads_as_people_expect() -> None:
    """Groups by app, symbols, places, field changes, what is lost, warnings, and last the counts and the cost."""
    assert_golden(GOLDEN / "plan.txt", text_of(mixed_plan()))


def test_a_full_plan_shows_what_is_as_declared_too() -> None:
    """`full` adds a row for every object that is as declared, in its place among the others."""
    assert_golden(GOLDEN / "plan-full.txt", text_of(mixed_plan(), full=True))


def test_a_blocked_plan_starts_with_the_refusals_and_one_line_that_allows_them() -> None:
    """What stops you comes first; several guards give one command line, and rows that are refused are marked."""
    text = blocked_text(mixed_plan(), max_deletes=1, max_archives=0)
    assert_golden(GOLDEN / "plan-blocked.txt", text)


def test_an_errored_plan_names_the_app_and_shows_the_others() -> None:
    """An app that could not be read is named with its request and hint; the rest is shown, and said to be unusable."""
    assert_golden(GOLDEN / "plan-errored.txt", text_of(errored_plan()))


def test_nothing_to_do_is_one_sentence() -> None:
    """A plan without changes says so, how many apps are as declared, and what it cost."""
    assert_golden(GOLDEN / "plan-no-changes.txt", text_of(steady_plan(unmanaged=("a",) * 260)))


def test_colour_only_adds_colour() -> None:
    """The coloured plan without its colours is the plain one, byte for byte, and destructive lines are red throughout."""
    coloured = text_of(mixed_plan(), colour=True, full=True)
    assert ANSI.sub("", coloured) == text_of(mixed_plan(), full=True)
    red = [line for line in coloured.splitlines() if line.startswith("\x1b[31m")]
    assert [ANSI.sub("", line).split()[:3] for line in red] == [
        ["-", "target", "macos:com.octomil.old"],
        ["-", "target", "macos:com.octomil.checkout"],
        ["-", "slot", "chat"],
        ["loses", "serving_policy", "local_first"],
        ["x", "app", "goes"],
    ]


def test_columns_stand_under_each_other() -> None:
    """Places of rows and files of apps end in the same column over the whole plan."""
    lines = [line for line in text_of(mixed_plan()).splitlines() if re.search(r"(\.yaml|:\d+)(   |$)", line)]
    rows = [line for line in lines if not line.startswith((" -->", "octosync"))]
    ends = {match.end(1) for line in rows if (match := re.search(r"(\S*(?:\.yaml|:\d+))(?:   |$)", line[40:]))}
    assert len(rows) > 10
    assert len(ends) == 1


def test_no_sensitive_value_is_shown() -> None:
    """A value under a sensitive key appears nowhere, not even in full; that it changed does."""
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
            "[{api_key: (sensitive)}] → [{api_key: (sensitive, changed)}]",
        ),
        ({"a": 1}, {"a": None}, "1 → null"),
        ({"a": True}, {"a": "true"}, 'true → "true"'),
        ({"a": {"x": 1}}, {"a": [1.5, "b c"]}, '{x: 1} → [1.5, "b c"]'),
        ({"a": ""}, {"a": "@app/x/chat"}, '"" → @app/x/chat'),
        ({"a": "1"}, {"a": 1}, '"1" → 1'),
    ],
)
def test_a_field_change_says_both_sides_without_doubt(before: Any, after: Any, words: str) -> None:
    """Absent, null, text that looks like another type, nested and sensitive values are told apart."""
    plan = plan_of(desired_app("a", config={"z": 1, **after}), live_app("a", config={"z": 1, **before}))
    assert words in text_of(plan)


def test_long_values_are_cut_where_they_differ() -> None:
    """A long value is clipped around the first difference, its length told; `full` shows all of it."""
    head = "x" * 500
    plan = plan_of(desired_app("a", config={"k": head + "NEW"}), live_app("a", config={"k": head + "OLD" + "y" * 900}))
    line = line_with(text_of(plan), "→")
    assert len(line) < 220
    assert "OLD" in line
    assert "NEW" in line
    assert "(1,403 characters)" in line
    assert "(503 characters)" in line
    assert f"{head}OLD{'y' * 900} → {head}NEW" in text_of(plan, full=True)


def test_long_values_that_differ_early_are_shown_from_their_start() -> None:
    """A long value that differs early is cut at its end alone."""
    plan = plan_of(desired_app("a", config={"k": "b" * 100}), live_app("a", config={"k": "a" * 100}))
    assert f"{'a' * 60}… (100 characters) → {'b' * 60}… (100 characters)" in text_of(plan)


def test_a_policy_that_is_no_preset_is_shown_by_its_fields() -> None:
    """Only where both sides are presets does one name stand for the whole policy."""
    custom = {"routing_mode": "auto", "fallback": {"allow_cloud_fallback": False, "allow_local_fallback": True}}
    plan = plan_of(desired_app("a", slots={"chat": {"serving_policy": custom}}), live_app("a", slots={"chat": {}}))
    text = text_of(plan)
    assert "serving_policy.fallback.allow_cloud_fallback   true → false" in text
    assert "serving_policy   " not in text


def test_a_removal_says_what_is_lost() -> None:
    """A config that is deleted and a target that goes say what goes with them; an empty config loses nothing."""
    plan = plan_of(
        [desired_app("a", config=None, targets=[]), desired_app("b", config=None)],
        [live_app("a", config={"model": "m"}, targets=["ios:x.y"]), live_app("b", config={})],
    )
    lines = text_of(plan).splitlines()
    assert any("loses its device assignments" in line for line in lines)
    assert "      loses model m" in lines
    assert sum("declared as none" in line for line in lines) == 2
    assert sum("loses" in line for line in lines) == 2


def test_every_reason_has_words_of_its_own() -> None:
    """Every reason that a plan can have reads differently, on a row that can have it."""
    made = plan_of(desired_app("a", targets=[]), live_app("a", targets=["ios:x.y"]))
    texts = {text_of(replace(made, actions=tuple(replace(a, reason=r) for a in made.actions))) for r in Reason}
    assert len(texts) == len(Reason)


def test_the_way_out_keeps_what_is_allowed_already() -> None:
    """The command line to type has this run's paths and selection, the overrides in force, and the missing flags."""
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


def test_the_way_out_is_what_was_typed_where_that_is_known() -> None:
    """An apply of a plan file is told to apply that file again, with the flag."""
    about = run_info(typed=("octosync", "apply", "plan.json", "--context", "staging"))
    text = blocked_text(mixed_plan(), about, max_deletes=0)
    assert "octosync apply plan.json --context staging --allow-deletes 3" in text


def test_a_running_canary_names_the_command_that_shows_it() -> None:
    """The way out is exactly as to be typed: with the flags that reach the same control plane."""
    live = live_app(
        "a", slots={"chat": {}}, deployments=[live_deployment("a", canary=Canary(candidate="v2", percentage=40))]
    )
    plan = plan_of(desired_app("a", slots={}), live)
    text = blocked_text(plan, run_info(connection_arguments=("--url", "http://127.0.0.1:8787")))
    assert "Way out: Wait until it is complete: octosync status --url http://127.0.0.1:8787 a\n" in text
    assert "Way out: Wait until it is complete: octosync status a\n" in blocked_text(plan)


def test_a_refusal_without_a_flag_says_its_own_way_out() -> None:
    """An archived app that is declared live has no flag: its way out is told, and the flags for the rest come after it."""
    plan = plan_of(
        [desired_app("gone"), desired_app("a", slots={})],
        [live_app("gone", archived=True), live_app("a", slots={"x": {}})],
    )
    alone, both = blocked_text(plan), blocked_text(plan, max_deletes=0)
    assert "Way out: Declare `spec.archived: true` there, or remove the manifests." in alone
    assert "octosync apply" not in alone
    assert "To allow the rest, after that:   octosync apply -f apps/ --allow-deletes 1" in both


def test_overrides_say_where_they_come_from() -> None:
    """A guard that a commit loosens is named with the commit, and is no flag of the next command line."""
    override = Override(guard="archives", value="2", source="commit 1f3c")
    plan = mixed_plan()
    text = text_of(plan, overrides=(override,), blocked=judge(plan, policy_of(max_deletes=0)))
    assert "Allowed in this run: archives=2 (commit 1f3c)" in text
    assert line_with(text, "To allow this").endswith("octosync apply -f apps/ --allow-deletes 3")


def test_the_line_of_a_commit_says_what_it_does_not_lift() -> None:
    """Where a guard has no such line, the line that lifts the others is not said to be enough."""
    refused = [
        Refusal(guard="rollback", message="going back", override="--allow-rollback", addresses=()),
        Refusal(guard="diverged", message="changed", override="--allow-diverged", addresses=()),
    ]
    text = text_of(mixed_plan(), blocked=refused, about=run_info(trailers=("diverged",)))
    assert line_with(text, "In a commit").endswith("Octosync-Allow: diverged   (not possible for rollback)")
    assert line_with(
        text_of(mixed_plan(), blocked=refused[1:], about=run_info(trailers=("diverged",))), "In a commit"
    ).endswith("Octosync-Allow: diverged")


def test_the_head_says_where_and_what() -> None:
    """Command, host, org, context, paths and base are in the first line, and no credential of a URL is."""
    about = run_info(
        control_plane=ControlPlane(url=f"http://user:{SECRET}@127.0.0.1:8787/api/v1"),
        invocation=Invocation(kustomize="overlays/prod", base="3f9d2c1"),
    )
    head = text_of(steady_plan(), about=about, command="apply").splitlines()[0]
    assert head == (
        "octosync apply · 127.0.0.1:8787 · overlays/prod (kustomize) 41 apps in 14 files · base 3f9d2c1 · 2 apps selected"
    )


def test_a_plan_of_all_apps_without_a_limit_says_no_pace() -> None:
    """Without a rate limit no time is told, and all apps are not told as a part of all."""
    about = run_info(requests_per_minute=0, manifests=replace(run_info().manifests, apps=3, files=1))
    lines = text_of(errored_plan(), about=about).splitlines()
    assert lines[0].endswith("apps/ 3 apps in 1 file")
    assert lines[-1] == "Read 3 apps with 5 requests; apply sends 1."


def test_diagnostics_are_shown_once_with_those_of_the_plan() -> None:
    """The manifests' warnings and the plan's own are shown together, each once, by place."""
    plan = mixed_plan()
    mine = Diagnostic(
        severity=Severity.WARNING, rule="unknown-engine", summary="`mxl`", origin=Origin("apps/a.yaml", 1)
    )
    text = text_of(plan, diagnostics=(mine, *plan.diagnostics))
    assert text.count("archive-strands-identifiers") == 1
    assert text.index("unknown-engine") < text.index("archive-strands-identifiers")


def test_a_live_suspended_app_is_left_alone_and_said() -> None:
    """Suspended apps and targets on unknown platforms are listed, and count as neither changed nor as declared."""
    live = live_app("a", targets=["tvos:x.y"])
    plan = plan_of([desired_app("a", targets=[]), desired_app("s", suspended=True)], observation(live, live_app("s")))
    text = text_of(plan)
    assert "Suspended, left alone: s\n" in text
    assert "On unknown platforms, left alone: app/a/target/tvos:x.y\n" in text
    assert "No changes. 1 app as declared, 1 suspended.\n" in text


def test_a_very_long_name_pushes_only_its_own_line() -> None:
    """One identifier beyond all measure does not move the columns of the others."""
    keys = ["ios:a.b", "ios:" + "long." * 40 + "z"]
    short = plan_of(desired_app("a", targets=keys[:1]), live_app("a"))
    both = plan_of(desired_app("a", targets=keys), live_app("a"))
    assert line_with(text_of(short), "ios:a.b") == line_with(text_of(both), "ios:a.b")


def test_wide_names_keep_the_columns() -> None:
    """Characters that take two columns are counted as two."""
    plan = plan_of(desired_app("a", slots={"会話": {}, "chat12": {}}), live_app("a"))
    wide, narrow = (line_with(text_of(plan), part).index(":3") for part in ("会話", "chat12"))
    assert wide == narrow - 2


def test_targets_and_apps_never_say_more_than_they_know() -> None:
    """A new app whose name is its slug says nothing under it, not even an empty line."""
    text = text_of(plan_of(desired_app("a")))
    assert "  + app a  :3\n\nPlan: 1 to create." in text
    assert "\n\n\n" not in text


def test_a_config_is_shown_whole_since_its_keys_have_no_meaning_to_us() -> None:
    """A new or deleted config shows nulls, and keys that would be at their default, or the app's own name, in a slot or app."""
    config: dict[str, Any] = {"c": None, "bindings": [], "name": "a", "": 1, "two words": {"x y": 2}}
    words = '"" 1 · bindings [] · c null · name a · "two words" {"x y": 2}'
    assert f"\n      {words}\n" in text_of(plan_of(desired_app("a", config=config), live_app("a")))
    assert f"\n      loses {words}\n" in text_of(plan_of(desired_app("a", config=None), live_app("a", config=config)))


def test_a_configs_key_that_looks_like_a_policy_is_any_other_key() -> None:
    """Only a slot's policy is told by a preset: in a config, two names for one policy are two texts."""
    desired = desired_app("a", config={"serving_policy": "local_only", "": 1})
    text = text_of(plan_of(desired, live_app("a", config={"serving_policy": "private", "": 2})))
    assert "serving_policy   private → local_only\n" in text
    assert '""               2 → 1\n' in text


def test_the_fields_of_a_custom_policy_are_aligned() -> None:
    """The longest names that the contract has keep the columns."""
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
