from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import examples, seeds
from tests.support.golden import assert_golden
from tests.support.hostile import hostile_run
from tests.support.markdown import LINK, REFERENCE, render_markdown
from tests.support.sample_reports import (
    SECRET,
    apply_report,
    errored_plan,
    mixed_plan,
    plan_report,
    run_info,
    steady_plan,
)
from tests.support.states import desired_app, live_app, live_deployment, observation, plan_of, policy_of

from octosync.errors import Conflict, ExitCode, GuardRefused, OctosyncError
from octosync.model import (
    Address,
    Assignment,
    Diagnostic,
    Event,
    Origin,
    Outcome,
    Preview,
    RolloutResult,
    RolloutStatus,
    Severity,
    Status,
)
from octosync.plan import Plan, judge, overrides_of
from octosync.report import MAX_BYTES, PlanReport, render_outcomes_markdown, render_plan, render_plan_markdown
from octosync.report.markdown import code, escaped, fence
from octosync.report.size_limit import Part, fit_parts

GOLDEN = Path(__file__).parent / "golden"
# All elements of octosync's reports, and all their attributes.
TAGS = {
    "h3",
    "h4",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "a",
    "p",
    "strong",
    "b",
    "code",
    "pre",
    "details",
    "summary",
    "blockquote",
    "ul",
    "li",
    "sub",
}
ATTRIBUTES = {"class", "open", "href", "style"}

HOSTILE = st.text(
    st.sampled_from("`~|<>&@#:/.!*_[]()\\-=+{}$^ \n\r\t\x1b\u202e\u200b\ud800aw1gGhH'\"")
) | st.sampled_from(
    [
        "<img src=x onerror=alert(1)>",
        "</details><script>alert(1)</script>",
        "```\n```\n# x",
        "|``",
        "@everyone closes #1",
        "fixes acme/app#12 GH-7 https://github.com/acme/app/issues/1 www.example.com",
        "[click](javascript:alert(1)) ![x](http://x/y.png)",
        "-->",
        "&lt;b&gt;",
        "a@example.com",
        "/close",
    ]
)


def guarded(plan: Plan, error: OctosyncError | None = None, **policy: Any) -> PlanReport:
    limits = policy_of(**policy)
    return plan_report(plan, blocked=judge(plan, limits), overrides=overrides_of(limits), error=error)


def outcomes(plan: Plan, **statuses: dict[str, Any]) -> list[Outcome]:
    return [
        Outcome(
            address=action.address,
            verb=action.verb.value,
            **{"status": Status.DONE, **statuses.get(f"at_{index}", {})},
        )
        for index, action in enumerate(plan.actions)
    ]


def applied(plan: Plan, made: list[Outcome], *, max_bytes: int = MAX_BYTES, **more: Any) -> str:
    facts = {
        "run_id": "01JD",
        "resume_command": "octosync apply -f apps/",
        "exit_code": ExitCode.PARTIAL,
        "history": "octosync history 01JD",
    }
    return render_outcomes_markdown(apply_report(plan, made, **{**facts, **more}), max_bytes=max_bytes)


def deploying_plan() -> Plan:
    """Plan an enable with its preview, and a revert of drift."""
    capability = Address.of_capability("search", "chat", "production")
    return plan_of(
        desired_app(
            "search", slots={"chat": {}, "vision": {"serving_policy": "local_only"}}, deploy={"chat": "production"}
        ),
        observation(
            live_app("search", slots={"chat": {}, "vision": {}}, deployments=[live_deployment("search", "vision")]),
            previews={
                capability: Preview(
                    variant="phi-4-mini-q4",
                    reason="best of 3 variants",
                    devices=1240,
                    assignments=(Assignment(platform="ios", devices=900), Assignment(platform="android", devices=340)),
                    warnings=("12 devices are too old",),
                )
            },
            org_feed=(
                Event(
                    id="evt_1",
                    type="slot.updated",
                    app="search",
                    resource=("slot", "vision"),
                    actor="ana@example.com",
                    at=run_info().timestamp,
                ),
            ),
            requests=9,
        ),
    )


def big_plan(apps: int = 40, *, losing_every: int = 7, name: str = "app", **more: Any) -> Plan:
    losing = range(0, apps, losing_every)
    return plan_of(
        [
            desired_app(
                f"{name}-{n:03}",
                slots={"chat": {}, "tts": {}},
                targets=[] if n in losing else [f"ios:com.acme.{n}"],
                **more,
            )
            for n in range(apps)
        ],
        observation(*(live_app(f"{name}-{n:03}", targets=[f"macos:com.acme.{n}"]) for n in losing)),
    )


def assert_whole(text: str) -> None:
    """Check that a document has balanced HTML of the allowed elements, and no open fence."""
    page = render_markdown(text)
    assert not page.unbalanced
    assert page.names <= TAGS
    assert {name for _, attributes in page.tags for name in attributes} <= ATTRIBUTES
    assert text == "" or text.endswith("\n")


def test_a_plan_is_the_golden_one() -> None:
    """A summary line, irreversible changes, each app folded with its diff, warnings, and the inputs."""
    assert_golden(GOLDEN / "plan.md", render_plan_markdown(plan_report(mixed_plan())))


def test_a_blocked_plan_starts_with_its_refusals() -> None:
    """Overrides in force and refusals come before all changes, with the command that allows them."""
    text = render_plan_markdown(guarded(mixed_plan(), max_deletes=1, max_archives=0, allow_protected=True))
    assert_golden(GOLDEN / "plan-blocked.md", text)


def test_a_plan_has_its_previews_and_the_authors_of_drift() -> None:
    """Previews have platforms, reason and warnings; drift has its author, time and event."""
    assert_golden(GOLDEN / "plan-deploys.md", render_plan_markdown(plan_report(deploying_plan())))


def test_an_errored_plan_and_an_empty_plan_are_marked() -> None:
    """An app that could not be read is named with request and hint; an empty plan is one sentence."""
    assert_golden(GOLDEN / "plan-errored.md", render_plan_markdown(plan_report(errored_plan())))
    assert "**No changes.** · read 2 of 41 apps" in render_plan_markdown(plan_report(steady_plan()))


def test_outcomes_are_the_golden_ones() -> None:
    """Counts, what needs attention with its hints, how to continue, and below it the plan."""
    plan = mixed_plan()
    made = outcomes(
        plan,
        at_1={
            "status": Status.FAILED,
            "message": "taken by app `legacy`",
            "reference": "conflict",
            "hints": ("Fix it.",),
            "request_ids": ("req_1",),
        },
        at_2={"status": Status.SKIPPED, "message": "needs the target above"},
        at_4={"status": Status.NOT_KEPT, "message": "sent name `a`, kept `b`"},
        at_7={"status": Status.AWAITING_APPROVAL, "message": "a person must approve it in Octomil"},
    )
    assert_golden(GOLDEN / "outcomes.md", applied(plan, made))


def test_a_full_success_has_no_next_step() -> None:
    """If everything was applied there is no command to continue; an interrupted run lists what it did."""
    plan = mixed_plan()
    done = applied(plan, outcomes(plan), resume_command=None, exit_code=ExitCode.DONE)
    assert "**✓ 12 applied** · exit 0" in done
    assert "To continue" not in done
    stopped = applied(plan, outcomes(plan), exit_code=ExitCode.INTERRUPTED)
    assert "Stopped: requests in flight were finished" in stopped


def test_the_outcomes_include_the_rollouts() -> None:
    """The report of a wait is part of the document, with the same text."""
    plan = mixed_plan()
    waited = RolloutStatus(
        address=Address.of_capability("a", "chat", "production"), result=RolloutResult.COVERED, coverage="covered"
    )
    assert "```text\n✓ a/chat@production  covered" in applied(plan, outcomes(plan), waited=(waited,))


def test_a_refused_apply_reports_that_nothing_was_written() -> None:
    """The error is shown in full, except for a guard's: its refusal is below, with the ways to allow it."""
    plan = mixed_plan()
    refused = render_plan_markdown(plan_report(plan, error=Conflict("conflict", "it is taken", hints=("Free it.",))))
    assert "**Nothing was written.**\n\n```text\nerror: conflict: it is taken\n  Free it.\n```" in refused
    by_guard = render_plan_markdown(guarded(plan, GuardRefused("guard-refused", "deletes: no"), max_deletes=0))
    assert "**Nothing was written.**\n\n> [!CAUTION]" in by_guard
    assert "guard-refused" not in by_guard


def test_markdown_has_everything_of_the_text() -> None:
    """Every detail of a change in the text report, its refusals and warnings, is in Markdown in the same words.

    A value that differs is a line that is removed and a line that is added.
    """
    plan = mixed_plan()
    run = guarded(plan, max_deletes=1)
    text = render_plan(run, colour=False)
    markdown = render_plan_markdown(run)
    details = [line for line in text.splitlines() if line.startswith("      ")]
    assert len(details) > 8
    differences = [re.fullmatch(r" +([\w.]+)   +(?:(.*) → )?(.*)", line) for line in details]
    assert sum(found is not None for found in differences) == 5
    for line, found in zip(details, differences, strict=True):
        if found is None:
            assert line in markdown
        else:
            name, before, after = found.groups()
            assert f"+ {name}: {after}\n" in markdown
            hidden = before is None
            removed = f"- {name}: {'(sensitive)' if hidden else before}\n"
            assert (removed in markdown) == (before != "(none)")
    for line in (line for line in text.splitlines() if line.startswith(("Blocked", "warning", "  If"))):
        assert line in markdown
    for part in ("5 to create, 3 to update, 3 to delete, 1 to archive", "1 app unchanged, 2 unmanaged"):
        assert part in markdown
        assert part in text


def test_destructive_changes_are_marked_without_colour() -> None:
    """Each change that can't be undone is listed before all others, and marked in its diff by a word."""
    text = render_plan_markdown(plan_report(mixed_plan()))
    assert "**4 changes can't be undone**" in text
    assert len(re.findall(r"^- .*DESTRUCTIVE", text, re.MULTILINE)) == 4
    assert text.index("can't be undone") < text.index("<details")


def test_no_sensitive_value_is_in_markdown() -> None:
    """A value under a sensitive key is never shown, not even with `full`; that it changed is."""
    text = render_plan_markdown(plan_report(mixed_plan(), full=True))
    assert SECRET not in text
    assert "(sensitive, changed)" in text


@examples(60)
@given(HOSTILE, st.sampled_from([60_000, 3000, 700]))
def test_hostile_texts_are_harmless(text: str, max_bytes: int) -> None:
    """No name becomes a tag, an attribute, a link, a mention, a reference or an open fence."""
    run = hostile_run(text)
    ended = {"run_id": f"i{text}", "resume_command": text, "exit_code": ExitCode.INTERRUPTED, "history": f"j{text}"}
    for report in (
        render_plan_markdown(
            plan_report(run.plan, error=run.error, **run.shown),
            max_bytes=max_bytes,
            links=lambda *_: "https://h/a",
        ),
        render_outcomes_markdown(apply_report(run.plan, run.outcomes, **ended, **run.shown), max_bytes=max_bytes),
    ):
        assert_whole(report)
        page = render_markdown(report)
        assert not REFERENCE.search(page.text)
        assert not REFERENCE.search(report)
        assert not LINK.search(page.prose)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", report)
        assert len(report.encode()) <= max_bytes


@pytest.mark.parametrize(
    "text",
    [
        "<img onerror=x>",
        "|``",
        "@everyone closes #1",
        "GH-1",
        "https://x.y",
        "www.x.y",
        "**b**",
        "a_b_c",
        "$x$",
        "~~s~~",
        "&lt;",
    ],
)
def test_an_escaped_text_is_rendered_unchanged(text: str) -> None:
    """An escaped text is rendered as the text, except for zero-width characters; also in a table cell."""
    for markdown in (escaped(text), code(text), f"| a | b |\n|---|---|\n| {code(text)} | c |"):
        page = render_markdown(markdown)
        assert text in page.text.replace("\u200b", "")
        assert page.names <= {"p", "code", "table", "thead", "tbody", "tr", "th", "td"}
        assert len([tag for tag, _ in page.tags if tag == "td"]) in {0, 2}
        assert not REFERENCE.search(page.text)
        assert not LINK.search(page.text)


@given(st.lists(st.text(st.sampled_from("`~ a<")), max_size=5))
def test_a_fence_is_not_closed_from_inside(lines: list[str]) -> None:
    """Any lines are one block of code, and what follows is outside of it."""
    page = render_markdown(f"{fence('diff', lines)}\n\nafter\n")
    assert [tag for tag, _ in page.tags] == ["pre", "code", "p"]
    assert page.text.endswith("\nafter\n")


@pytest.mark.parametrize("report", ["plan", "outcomes"])
def test_every_size_limit_is_kept_and_every_document_is_complete(report: str) -> None:
    """For any limit: never a byte too many, never an open fence or tag, and no error."""
    plan = big_plan()
    made = outcomes(plan, **{f"at_{n}": {"status": Status.FAILED, "message": f"no {n}"} for n in range(0, 60, 3)})

    def made_of(max_bytes: int) -> str:
        if report == "plan":
            return render_plan_markdown(guarded(plan, max_deletes=1), max_bytes=max_bytes)
        return applied(plan, made, max_bytes=max_bytes)

    whole = made_of(10**9)
    size = len(whole.encode())
    last = 0
    limits = (*range(1, 1200, 13), *range(1200, size + 200, 487))
    for max_bytes in (*(limits[number] for number in seeds(len(limits))), size - 1, size):
        text = made_of(max_bytes)
        assert len(text.encode()) <= max_bytes
        assert_whole(text)
        last = max(last, len(text))
    assert made_of(size) == whole
    assert made_of(size - 1) != whole
    assert last == len(whole)


def test_apps_get_shorter_before_anything_is_lost() -> None:
    """With less room apps are reduced to counts, those with removals last; with still less, only totals are left."""
    plan = big_plan()
    shorter = render_plan_markdown(plan_report(plan), max_bytes=7000)
    assert shorter.count("<details") > 6
    assert shorter.count("\n- <b>app-") > 10
    assert shorter.count("to delete · apps/demo.yaml") == 6
    assert shorter.count("<b>app-") == 6 + 40
    assert "apps by counts only" in shorter
    few = render_plan_markdown(plan_report(plan), max_bytes=1600)
    assert "apps not listed" in few
    assert "to create" in few
    assert "can't be undone" in few


def plan_of_updates(updates: int, creations: int, *, lines: int = 1) -> Plan:
    """Plan an update of `lines` fields in each of some apps, and three creations in each of others."""
    configs = [{f"field{n:03}": f"{side}-{n}" for n in range(lines)} for side in ("old", "new")]
    new: dict[str, dict[str, Any]] = {f"new-{n:03}": {"slots": {"chat": {}, "tts": {}}} for n in range(creations)}
    changed: dict[str, dict[str, Any]] = {f"old-{n:03}": {"config": configs[1]} for n in range(updates)}
    origins = {
        slug: Origin(f"teams/t{number % 12:02}/{slug}.yaml", 1, 1) for number, slug in enumerate({**new, **changed})
    }
    return plan_of(
        [desired_app(slug, **more, origin=origins[slug]) for slug, more in {**new, **changed}.items()],
        [live_app(slug, config=configs[0]) for slug in changed],
    )


def test_one_update_among_thousands_of_creations_is_on_the_first_screen() -> None:
    """The update precedes the creations, unfolded, below a table by folder that fits on the screen, too."""
    plan = plan_of_updates(1, 926)
    assert len(plan.actions) == 926 * 3 + 1
    text = render_plan(plan_report(plan), colour=False).splitlines()
    assert any("field000   old-0 → new-0" in line for line in text[:24])
    markdown = render_plan_markdown(plan_report(plan))
    assert "+ field000: new-0" in markdown.splitlines()[:30]
    assert "<details open><summary><b>old-000</b>" in markdown
    assert len(markdown.encode()) <= MAX_BYTES
    assert "| 3 other folders |" in markdown
    assert "**teams/t01/ · 78 apps: 234 to create**" in markdown


def test_no_update_is_cut_before_a_creation() -> None:
    """For any limit, a creation is shown in full only if all updates are, and what is omitted is counted at its place."""
    plan = plan_of_updates(12, 8, lines=30)
    whole = render_plan_markdown(plan_report(plan), max_bytes=10**9)
    assert whole.count("+ field") == 12 * 30
    seen = set()
    for max_bytes in range(2_500, len(whole.encode()), 701):
        text = render_plan_markdown(plan_report(plan), max_bytes=max_bytes)
        updates, _, creations = text.partition("#### Creations")
        listed = updates.count("+ field")
        counted_lines = sum(int(number) for number in re.findall(r"^  and (\d+) more lines", updates, re.MULTILINE))
        in_full = creations.count("<details")
        assert not in_full or listed == 12 * 30
        brief = updates.count("\n- <b>old-")
        omitted = sum(
            int(number) for number in re.findall(r"^- (\d+) apps? not listed: \d+ to update", text, re.MULTILINE)
        )
        assert updates.count("<b>old-") + omitted == 12
        if not brief + omitted:
            assert updates.count("\n- field") + listed + counted_lines == 12 * 60
        new = creations.count("<b>new-")
        omitted_new = sum(
            int(n) for n in re.findall(r"^- (\d+) apps? not listed: \d+ to create", creations, re.MULTILINE)
        )
        assert new + omitted_new == 8 or "#### Creations" not in text
        seen.add((bool(brief), bool(counted_lines), bool(in_full), bool(omitted_new)))
    assert len(seen) > 3


@pytest.mark.parametrize("losing_every", [10, 500])
def test_a_comment_on_two_thousand_apps_names_every_removal(losing_every: int) -> None:
    """Every destructive and every blocked change is named, and so are the flags that allow them; the rest may be counts."""
    plan = big_plan(2000, losing_every=losing_every, protected=True)
    text = render_plan_markdown(guarded(plan, max_deletes=1))
    assert len(text.encode()) < 60_000
    assert_whole(text)
    for n in range(0, 2000, losing_every):
        assert f"target macos:com.acme.{n}<" in text or f"- target macos:com.acme.{n} " in text
    assert text.count("BLOCKED, DESTRUCTIVE") == 2000 // losing_every
    assert f"--allow-deletes {2000 // losing_every} --allow-protected" in text
    assert "by counts only" in text


def test_removals_are_named_as_far_as_there_is_room() -> None:
    """If all of 1,000 apps with long names have removals, the first are named, and the flags are still there."""
    plan = big_plan(1000, losing_every=1, name="a-long-name-of-an-app-that-is-protected", protected=True)
    text = render_plan_markdown(guarded(plan, max_deletes=1))
    assert 55_000 < len(text.encode()) < 60_000
    assert_whole(text)
    assert "1,000 deletions in protected apps a-long-name-of-an-app-that-is-protected-000" in text
    assert "--allow-deletes 1000 --allow-protected" in text
    assert text.count("BLOCKED, DESTRUCTIVE") > 80
    assert "apps not listed" in text


def test_a_very_long_name_widens_no_column() -> None:
    """It exceeds its column: one such name does not fill the document with spaces."""
    long = "x" * 10_000
    text = render_plan_markdown(
        plan_report(plan_of(desired_app("search", targets=[f"ios:{long}"], slots={"chat": {}})))
    )
    assert len(text.encode()) < 12_000


@given(
    st.lists(
        st.builds(
            Part, rank=st.integers(0, 3), forms=st.lists(st.text("ab", max_size=9), min_size=1, max_size=3).map(tuple)
        ),
        max_size=6,
    ),
    st.integers(0, 80),
)
def test_parts_are_complete_or_absent(parts: list[Part], most: int) -> None:
    """A fitted document consists of forms of its parts, each complete and in order, within the limit."""
    seen: list[tuple[int | None, ...]] = []

    def note(forms: Sequence[int | None]) -> str:
        seen.append(tuple(forms))
        return "note"

    text = fit_parts(parts, most, note)
    assert len(text.encode()) <= most
    every = "\n\n".join(part.forms[0] for part in parts if part.forms[0])
    if not seen:
        assert text == (f"{every}\n" if every else "")
    else:
        shown = [parts[at].forms[form] for at, form in enumerate(seen[0]) if form is not None]
        shown_and_noted = "\n\n".join(filter(None, (*shown, "note")))
        body = "\n\n".join(filter(None, shown))
        assert text in {f"{body}\n" if body else "", f"{shown_and_noted}\n"}


def test_diagnostics_are_counted_and_folded() -> None:
    """Findings are under the apps with position and source line, folded under their count."""
    finding = Diagnostic(severity=Severity.WARNING, rule="r", summary="s <b>", path="p")
    text = render_plan_markdown(plan_report(steady_plan(), diagnostics=(finding,)))
    assert "<details><summary>1 warning</summary>\n\n```text\nwarning: r: s ‹b>" in text


@pytest.mark.parametrize(
    ("value", "before", "left_out"),
    [
        ("x" * 150_000, '- k: "short"', "characters)"),
        ("a line\n" * 30_000, "- short", "more lines of this value"),
    ],
    ids=["one line", "many lines"],
)
def test_a_huge_value_hides_no_other_change(value: str, before: str, left_out: str) -> None:
    """A value above the size limit is clipped, with what is left out; the other changes of its app are shown in full."""
    plan = plan_of(
        desired_app("a", config={"k": value}, slots={"chat": {"serving_policy": {"routing_mode": "cloud_only"}}}),
        live_app("a", config={"k": "short"}, slots={"chat": {"serving_policy": {"routing_mode": "local_only"}}}),
    )
    document = render_plan_markdown(plan_report(plan))
    assert len(document.encode()) <= MAX_BYTES
    diff = document.split("```diff\n")[1].split("\n```")[0].splitlines()
    assert any(line.startswith("- servingPolicy") and line.endswith("local_only") for line in diff)
    assert any(line.startswith("+ servingPolicy") and line.endswith("cloud_only") for line in diff)
    assert before in diff
    assert any(line.endswith(left_out) for line in diff)
