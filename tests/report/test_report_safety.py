"""What no report may do: control a terminal, show a secret, or depend on anything but its input."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import examples
from tests.support.hostile import hostile_run
from tests.support.sample_reports import apply_report, document_of, plan_report
from tests.support.states import desired_app, live_app, live_deployment, plan_of

from octosync.errors import ExitCode, Rejected
from octosync.model import (
    AppStatus,
    Canary,
    Coverage,
    DeclaredApp,
    Event,
    FirstRequest,
    Health,
    Presence,
    RoutingStats,
)
from octosync.report import (
    VALIDATE,
    ManifestCoverage,
    RunReport,
    StatusFacts,
    json_text,
    render_declared,
    render_diagnostics,
    render_error,
    render_outcomes,
    render_plan,
    render_status,
    render_validation,
    visible,
)

ROOT = Path(__file__).parents[2]
COLOURS = re.compile(r"\x1b\[(?:0|1|2|31|32|33|36)m")
HOSTILE = st.text(st.sampled_from("\x1b]0;[2Jm\x07\x08\x00\r\n\t\x7f\x85\x9b\u202e\u2066\u2028\u200f\ufeff\ud800ab'é"))
ALWAYS = "\x1b[31m\x9b2J\r\n\u202e\x07"


def unsafe_in(text: str) -> set[str]:
    """Return the characters that a terminal would interpret, except for octosync's colours and line breaks."""
    left = COLOURS.sub("", text).replace("\n", "")
    return {c for c in left if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and c not in "\u200c\u200d"}


def hostile_statuses(text: str, error: Rejected) -> list[AppStatus]:
    """Return the statuses of two apps: a readable one, with a text in every field of a response, and an unreadable one."""
    slug = f"app{text}"
    deployments = (
        live_deployment(slug, f"c{text}", f"e{text}", status=f"s{text}", variant=text),
        live_deployment(
            slug, f"c{text}", canary=Canary(candidate=text, percentage=1.0), status=f"s{text}", variant=text
        ),
    )
    app = live_app(slug, name=f"n{text}", slots={f"c{text}": {"model_variant_id": text, "serving_policy": text}})
    read = AppStatus(
        slug=slug,
        app=app,
        slots=app.slots,
        deployments=deployments,
        health=Health(status=text, slots=(Coverage(capability=f"c{text}", status=text),)),
        first_request=FirstRequest(received=True),
        routing=RoutingStats(total=1),
        last_change=Event(id=text, type=text, actor=text, resource=(text, text)),
    )
    unread = dict.fromkeys(("slots", "deployments", "health", "first_request", "routing", "last_change"), error)
    return [read, AppStatus(slug=slug, app=error, **unread)]  # type: ignore[arg-type]  # each part may be an error


def everything(text: str, *, colour: bool) -> list[str]:
    """Render every report with a text in each field that manifests, files or the control plane fill."""
    run = hostile_run(text)
    plan, error, finding, shown = run.plan, run.error, run.finding, run.shown
    plane = shown["about"].control_plane
    slug = f"app{text}"
    covered = ManifestCoverage(
        control_plane=plane,
        paths=(f"p{text}",),
        files=1,
        live=(slug, f"other{text}"),
        declared=tuple(
            DeclaredApp(slug=f"{presence.value}{text}", presence=presence, in_part=True, group=f"g{text}")
            for presence in Presence
        ),
        errors={slug: error},
        requests=1,
        by=f"label:l{text}",
    )
    ended = {"run_id": f"i{text}", "resume_command": text, "exit_code": ExitCode.INTERRUPTED, "history": f"j{text}"}
    return [
        render_declared(covered, colour=colour, full=True),
        render_status(hostile_statuses(text, error), StatusFacts(control_plane=plane, requests=1), colour=colour),
        *(render_plan(plan_report(plan, full=full, **shown), colour=colour) for full in (False, True)),
        render_outcomes(apply_report(plan, run.outcomes, **ended, **shown), colour=colour),
        render_error(error, written=f"w{text}", colour=colour),
        render_diagnostics([finding], files=1, colour=colour),
        render_validation(RunReport(command=VALIDATE, diagnostics=[finding], files=1, apps=1), colour=colour),
    ]


@examples(40)
@given(HOSTILE, st.booleans())
def test_no_control_character_reaches_the_terminal(text: str, colour: bool) -> None:  # hypothesis passes by position
    """For any text of manifests and the control plane, a text report has nothing that a terminal would interpret."""
    for hostile in (text, ALWAYS + text):
        for report in everything(hostile, colour=colour):
            assert not unsafe_in(report)
            report.encode()


def test_a_line_break_in_a_value_can_not_forge_a_line() -> None:
    """A value with a line break stays on its line, so it can't imitate a line of a report."""
    forged = "x\nPlan: 0 to delete. No changes."
    for report in everything(forged, colour=False):
        assert "\nPlan: 0 to delete" not in report


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("naïve 会話 👩\u200d💻", "naïve 会話 👩\u200d💻"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb\rc\td", "a\\nb\\rc\\td"),
        ("\x9b\xad\x7f", "\\x9b\\xad\\x7f"),
        ("\u202e\u2028\ud800", "\\u202e\\u2028\\ud800"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_escapes_show_the_original_character(text: str, shown: str) -> None:
    """A hidden character is shown by its code point; letters of any script and joined emoji are unchanged."""
    assert visible(text) == shown
    assert visible(shown) == shown


def test_json_is_safe_to_show() -> None:
    """JSON is ASCII: it never has a raw escape sequence, direction mark or lone surrogate."""
    plan = plan_of(desired_app("a", fields={"name": ALWAYS + "\ud800é"}))
    text = json_text(document_of(plan))
    assert text.isascii()
    assert not unsafe_in(text)


@pytest.mark.parametrize("name", ["é", "a lone surrogate \ud800"])
def test_a_document_whose_rows_are_made_while_it_is_written_has_the_same_bytes(name: str) -> None:
    """The bytes are those of the whole document, also if a value in a row needs the slower encoder."""
    report = plan_report(plan_of(desired_app("a", fields={"name": name}), desired_app("b")))
    assert json_text(report.document(streamed=True)) == json.dumps(report.document(), indent=2) + "\n"


SCRIPT = """
import sys
from tests.support.sample_reports import document_of, mixed_plan, plan_report
from tests.support.states import policy_of
from octosync.plan import judge
from octosync.report import json_text, render_plan, render_plan_markdown
plan = mixed_plan()
blocked = plan_report(plan, blocked=judge(plan, policy_of(max_deletes=0)))
for size in (60000, 1500):
    sys.stdout.buffer.write(render_plan_markdown(blocked, max_bytes=size).encode())
sys.stdout.buffer.write(json_text(document_of(plan, full=True)).encode())
sys.stdout.buffer.write(render_plan(plan_report(plan, full=True), colour=True).encode())
"""


def test_the_same_input_gives_the_same_bytes() -> None:
    """Hash seeds, the time of day, the width and type of the terminal, and colour settings change nothing."""
    seen = set()
    for seed, columns, term in (("0", "20", "dumb"), ("4242", "400", "xterm")):
        env = {**os.environ, "PYTHONHASHSEED": seed, "COLUMNS": columns, "TERM": term, "NO_COLOR": "1"}
        run = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, env=env, capture_output=True, check=True)
        assert run.stderr == b""
        seen.add(run.stdout)
    assert len(seen) == 1


def test_the_order_of_keys_changes_nothing() -> None:
    """The same fields in another order give the same report."""

    def reports(*, reverse: bool) -> tuple[str, str]:
        def order(fields: dict[str, object]) -> dict[str, object]:
            return dict(reversed(fields.items())) if reverse else fields

        wanted = order({"b": {"y": 1, "x": order({"q": 1, "p": [order({"n": 1, "m": 2})]})}, "a": 2})
        existing = order({"c": 1, "b": order({"y": 2, "x": 3}), "d": [order({"k": 1, "j": 2})]})
        plan = plan_of(
            [desired_app("a", config=wanted), desired_app("n", config=wanted, labels=order({"l": "1", "k": "2"}))],  # type: ignore[arg-type]  # JSON by construction
            live_app("a", config=existing),  # type: ignore[arg-type]  # likewise
        )
        text = render_plan(plan_report(plan), colour=False)
        return text, json_text(document_of(plan, full=True))

    assert reports(reverse=False) == reports(reverse=True)
