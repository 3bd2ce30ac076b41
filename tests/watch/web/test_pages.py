"""The status page and the pages of apps, as HTML."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape

import httpx
import pytest
from tests.support.controller_http import AUTHORIZED, BROWSER, app_client
from tests.support.controller_statuses import (
    ABOUT,
    ADMIN_TOKEN,
    NOW,
    RecordingApi,
    bad_manifests,
    blocked_app,
    busy_status,
    commit_status,
    contested_app,
    failing_app,
    held_app,
    quiet_app,
    run_status,
    status_of,
    suspended,
)
from tests.support.sample_reports import mixed_plan
from tests.support.states import desired_app, live_app, plan_of

from octosync.errors import OctosyncError
from octosync.model import Address, Hold
from octosync.plan import HeldChange, Invocation, Plan
from octosync.report.differences import Difference
from octosync.report.plan import groups_of
from octosync.watch.status import (
    AppReconcileStatus,
    AppState,
    BudgetStatus,
    CircuitReason,
    ControllerStatus,
    DriftStatus,
    FreezeStatus,
)

UNLOADED = OctosyncError(
    "kustomize-failed", "base (rendered): kustomize failed", hints=("kustomize: nope.yaml is missing",)
)

STARTING = status_of(
    *(AppReconcileStatus(slug=f"unread-{number}") for number in range(855)),
    *(AppReconcileStatus(slug=f"read-{number}", state=AppState.IN_SYNC) for number in range(145)),
    ready=False,
    full_read_at=None,
    full_read_total=1000,
    full_read_done=145,
    full_read_takes=timedelta(minutes=32),
)
FROZEN = status_of(
    AppReconcileStatus(slug="a", state=AppState.WAITING),
    quiet_app("b"),
    frozen=FreezeStatus(until=datetime(2030, 1, 6, 17, tzinfo=UTC), timezone="Europe/Berlin", apps=1),
)
OUTAGE = status_of(
    AppReconcileStatus(slug="a", state=AppState.PENDING),
    outage="503",
    circuit_open=CircuitReason.OUTAGE,
    circuit_since=NOW - timedelta(minutes=2),
    next_probe=NOW + timedelta(minutes=1),
)


async def page_of(status: ControllerStatus, path: str = "/", **more: object) -> httpx.Response:
    """Return the response of a page."""
    async with app_client(RecordingApi(current=status), **more) as client:
        response = await client.get(path)
    assert response.status_code == 200, response.text
    return response


async def text_at(status: ControllerStatus, path: str = "/", **more: object) -> str:
    """Return the text of a page, without its markup."""
    response = await page_of(status, path, **more)
    inline = re.sub(r"</?(?:a|code|span|strong|time)\b[^>]*>", "", response.text)
    words = unescape(re.sub(r"<[^>]*>", " ", inline))
    return re.sub(r"\s+", " ", words)


def title_of(html: str) -> str:
    """Return the title of a page."""
    match = re.search(r"<title>(.*?)</title>", html)
    assert match is not None
    return unescape(match[1])


async def test_the_page_begins_with_the_state(client: httpx.AsyncClient) -> None:
    """Its first sentence begins with the apps that need attention, and its title has nothing else."""
    html = (await client.get("/")).text
    main = html[html.index("<main") :]
    state = re.search(r'<p class="state.*?</p>', main)
    assert state is not None
    words = re.sub(r"<[^>]*>", "", state[0])
    assert (
        words
        == "5 of 16 apps need attention: 1 blocked, 1 contested, 2 held, 1 failing. 11 in sync; last resync 14:01 UTC."
    )
    assert title_of(html).startswith("1 blocked, 1 contested, 2 held, 1 failing · production")


async def test_the_commit_in_use_is_shown() -> None:
    """The page shows the commit with its author and page, the number of files and the time of the load, as far as known."""
    loaded = {"files": 14, "loaded_at": NOW - timedelta(minutes=9)}
    commit = {"revision": "3f9d2c1", "commit": commit_status("3f9d2c1")}
    text = await text_at(status_of(**commit, **loaded))
    assert "Running commit 3f9d2c1 by Ana Ruiz (14 files), loaded 13:54 UTC" in text
    html = (await page_of(status_of(**commit))).text
    assert '<a href="https://github.com/acme/apps/commit/3f9d2c1"><code>3f9d2c1</code></a>' in html
    assert "Running commit 3f9d2c1 (14 files)" in await text_at(status_of(revision="3f9d2c1", **loaded))
    assert "Running manifests without a commit (14 files)" in await text_at(status_of(revision="", **loaded))
    assert "Running" not in await text_at(status_of(loaded_at=None))


async def test_drift_is_shown_with_the_line_that_declares_it() -> None:
    """The place is a file and one line: that of the object, not of its app."""
    page = await page_of(status_of(replace(held_app(), source="apps/demo.yaml:3")))
    places = re.findall(r'<span class="place">(.*?)</span>', page.text)
    assert places
    assert all(re.fullmatch(r"apps/[a-z-]+\.yaml:\d+", place) for place in places), places


async def test_only_commands_are_formatted_as_commands() -> None:
    """A guard's way out is a sentence, of which the parts in backticks are code."""
    archived = replace(
        blocked_app().blocked[0], guard="archived", override=None, way_out="set `archived`, or don't <b>"
    )
    html = (await page_of(status_of(replace(blocked_app(), blocked=(archived,)), about=None))).text
    assert "set <code>archived</code>, or don&#39;t &lt;b&gt;.</p>" in html
    assert "<dd><code>octosync.dev/suspend: &#34;true&#34;</code></dd>" in (await page_of(status_of(held_app()))).text


async def test_a_refusal_also_shows_how_to_undo_the_change() -> None:
    """The page does not only show the flag that overrides the guard."""
    assert "If the change isn't intended, revert the commit." in await text_at(status_of(blocked_app()))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (status_of(quiet_app("one")), "1 app in sync; last resync"),
        (status_of(quiet_app("one"), quiet_app("two")), "All 2 apps in sync; last resync"),
        (status_of(held_app()), "1 app needs attention: 1 held; last resync"),
        (status_of(), "No app is declared; last resync"),
        (status_of(AppReconcileStatus(slug="a"), quiet_app("b")), "1 app not read yet, 1 in sync; last resync"),
        (STARTING, "Starting: ready in about 28 min. 855 apps not read yet, 145 in sync; first resync: 145 of 1,000"),
        (FROZEN, "Frozen until Sun 18:00 Europe/Berlin (1 of 2 apps). 1 app waiting, 1 in sync; last resync"),
        (OUTAGE, "Since 14:01 UTC; next attempt at 14:04 UTC. 1 changed app waits."),
        (
            status_of(AppReconcileStatus(slug="a"), full_read_at=None, full_read_total=7, full_read_done=3),
            "3 of 7 apps",
        ),
        (status_of(AppReconcileStatus(slug="a"), full_read_at=None), "no resync yet"),
        (suspended(status_of(quiet_app("one"))), "Suspended. 1 app in sync"),
        (replace(status_of(), credential="401"), "The control plane rejects the API key: everything waits."),
        (replace(status_of(), outage="503"), "The control plane can't be reached: everything waits for it."),
        (replace(status_of(), healthy=False, turned_at=NOW), "The control loop is stuck."),
        (
            bad_manifests(status_of(quiet_app("one"))),
            "The manifests can't be loaded: the last valid ones stay in use.",
        ),
        (replace(status_of(), valid=False, load_error=UNLOADED), "base (rendered): kustomize failed"),
        (replace(status_of(), valid=False, load_error=UNLOADED), "kustomize: nope.yaml is missing"),
        (bad_manifests(status_of()), "none are in use yet"),
        (replace(status_of(), feed_off="404 of the feed"), "their authors are unknown. 404 of the feed"),
        (replace(status_of(quiet_app("one")), feed_off="404"), "Feed off. 1 app in sync"),
        (replace(status_of(), coverage_unread="404 of health"), "the last known values are shown. 404 of health"),
        (replace(status_of(), mode="manifest"), "Drift is reported but not reverted"),
        (replace(status_of(), mode="none"), "Nothing is written: this controller only plans"),
        (status_of(quiet_app("one"), unmanaged=260), "260 more apps on the control plane that no manifest declares"),
    ],
)
async def test_each_state_of_the_controller_has_its_sentence(status: ControllerStatus, expected: str) -> None:
    """A state of the whole controller is shown as one sentence."""
    assert expected in await text_at(status)


async def test_held_drift_is_shown_with_author_end_and_commands() -> None:
    """Held drift has the change, its author, the time of its revert, and the three ways to keep it."""
    text = await text_at(status_of(held_app()))
    assert "Reverts at 14:31 UTC" in text
    assert "slot vision changed apps/canary-demo.yaml:27" in text
    assert "Field Git Live (ana@example.com, 14:01 UTC) servingPolicy local_only cloud_only" in text
    assert "octosync accept app/canary-demo/slot/vision -f apps/" in text
    assert 'curl -X POST -H "Authorization: Bearer $OCTOSYNC_ADMIN_TOKEN"' in text
    assert "'http://127.0.0.1:9900/hold?app=canary-demo&for=4h&reason=WHY'" in text
    assert 'octosync.dev/suspend: "true"' in text


@pytest.mark.parametrize(
    ("drift", "expected"),
    [
        ({"actor": "ana", "at": None}, "Live (ana, first seen 14:00 UTC)"),
        ({"actor": None, "at": NOW}, "Live (author unknown, 14:03 UTC)"),
        ({"actor": None, "at": None}, "Live (author unknown, first seen 14:00 UTC)"),
        ({"until": None}, "It is not reverted automatically (--heal all)"),
        (
            {"until": None, "contested": True, "reverts": 3},
            "reverted 3 times in 24 hours and changed again each time",
        ),
        ({"until": NOW + timedelta(days=1)}, "Reverts at 2030-01-02 14:03 UTC"),
    ],
)
async def test_unknown_facts_of_drift_are_not_invented(drift: dict[str, object], expected: str) -> None:
    """Author and time are shown as far as they are known."""
    known = DriftStatus(
        address=Address.of_slot("canary-demo", "vision"), first_seen=NOW - timedelta(minutes=3), actor="x", at=NOW
    )
    status = replace(known, **drift)  # type: ignore[arg-type]  # fields by name
    assert expected in await text_at(status_of(held_app(drift=(status,))))


async def test_the_drift_that_is_reverted_next_comes_first() -> None:
    """The cards of held drift are in the order of their reverts."""
    apps = (held_app("a", until=NOW + timedelta(hours=2)), held_app("b"), held_app("c", until=NOW))
    html = (await page_of(status_of(*apps))).text
    assert re.findall(r'id="drift-(.)"', html) == ["c", "b", "a"]


async def test_a_new_hold_counts_before_the_app_is_reconciled() -> None:
    """The card has one time of the revert, that of the hold, and its reason."""
    hold = Hold(app="canary-demo", until=NOW + timedelta(hours=4), reason="incident", at=NOW)
    text = await text_at(status_of(held_app(hold=hold), holds=(hold,)))
    assert "Reverts at 18:03 UTC. A person holds it: incident." in text
    assert "14:31" not in text


async def test_a_refusal_is_shown_with_its_guard_and_overrides() -> None:
    """A blocked change has its guard, and the POST request and the flag that allow exactly this change."""
    text = await text_at(status_of(blocked_app()))
    assert "guard deletes" in text
    assert "14 removals, at most 10 are allowed in a run." in text
    assert "'http://127.0.0.1:9900/approve?guard=deletes&app=search-old&seen=deletes14seen'" in text
    assert "Octosync-Allow" not in text  # a controller reads no commits
    assert "octosync apply -f apps/ --allow-deletes 14" in text
    assert "and 11 more" in text


async def test_a_refusal_over_several_apps_is_one_card() -> None:
    """A refusal of a whole change is one card that names its apps."""
    first, second = blocked_app("first"), blocked_app("second")
    html = ""
    async with app_client(RecordingApi(current=status_of(first, second))) as client:
        html = (await client.get("/")).text
    assert html.count('class="card blocked"') == 1
    assert 'href="/apps/first"' in html[html.index("card blocked") : html.index("</article>")]
    assert 'href="/apps/second"' in html[html.index("card blocked") : html.index("</article>")]


async def test_without_an_admin_token_no_post_is_offered() -> None:
    """If POST requests are disabled, the page shows how to enable them and no command for one."""
    text = await text_at(replace(busy_status(), can_post=False))
    assert "curl" not in text
    assert "start octosync watch with OCTOSYNC_ADMIN_TOKEN set" in text
    assert "octosync accept" in text


async def test_the_token_is_in_no_page_and_no_document(client: httpx.AsyncClient) -> None:
    """Commands contain the name of the token's variable. Its value is in no response."""
    for path in ("/", "/apps", "/apps/canary-demo", "/api/status", "/metrics", "/hold"):
        assert ADMIN_TOKEN not in (await client.get(path, headers=AUTHORIZED)).text


async def test_a_failure_is_shown_with_its_next_attempt() -> None:
    """A failing app has its error, the hints and the next attempt. A refused one has the condition of its next attempt."""
    text = await text_at(status_of(failing_app(), replace(failing_app("refused"), state=AppState.REFUSED)))
    assert (
        "GET /apps/search-eu/slots: the control plane answered 503 three times (request req_51bd) unavailable" in text
    )
    assert "The others go on." in text
    assert "Next attempt at 14:04 UTC" in text
    assert "It is retried when its manifest or live state changes." in text


async def test_an_orphan_is_listed() -> None:
    """An app without a manifest is listed, with the command that would archive it."""
    text = await text_at(status_of(AppReconcileStatus(slug="gone", state=AppState.ORPHANED)))
    assert "1 app needs attention: 1 orphaned; last resync" in text
    assert "removing a manifest does not archive its app" in text
    assert "octosync apply --base REV --prune" in text


async def test_much_drift_of_an_app_is_named_and_counted() -> None:
    """Before the app is planned its first few objects are named, and the others are counted."""
    drift = tuple(
        DriftStatus(address=Address.of_slot("demo", f"slot-{number:02}"), first_seen=NOW, actor="ana", at=NOW)
        for number in range(12)
    )
    text = await text_at(status_of(held_app("demo", plan=None, drift=drift)))
    assert "slot slot-00 changed by ana, 14:03 UTC" in text
    assert "and 2 objects more." in text
    assert "slot slot-09 changed" in text
    assert "octosync accept app/demo/slot/slot-00 app/demo/slot/slot-01 app/demo/slot/slot-02 … -f apps/" in text


@pytest.mark.parametrize(
    ("invocation", "expected"),
    [
        (Invocation(paths=("apps/",), kustomize=None), "octosync accept app/canary-demo/slot/vision -f apps/"),
        (Invocation(paths=("/manifests",)), "octosync accept app/canary-demo/slot/vision Keep"),
        (Invocation(paths=("-",)), None),
        (Invocation(kustomize="overlays/production"), None),
    ],
)
async def test_accept_is_offered_only_with_files_to_write(invocation: Invocation, expected: str | None) -> None:
    """A pipe or kustomize output cannot be written back. A path of this machine is not one of a clone."""
    about = replace(ABOUT, invocation=invocation)
    text = await text_at(status_of(held_app(), about=about))
    assert expected is None or expected in text
    assert ("octosync accept" in text) is (expected is not None)


async def test_contested_drift_offers_another_revert() -> None:
    """A contested object is reverted again only on request."""
    text = await text_at(status_of(contested_app()))
    assert "automation@example.com" in text
    assert "/reconcile?app=keyboard" in text


async def test_a_waiting_rollout_shows_what_it_waits_for(client: httpx.AsyncClient) -> None:
    """An automatic rollout that waits for another one is shown as waiting."""
    html = unescape((await client.get("/")).text)
    assert "voice/tts@production  kokoro-1 → kokoro-2 (latency 18% better); waiting: one canary of a slot" in html


async def test_a_move_is_counted_per_app() -> None:
    """In a plan of several apps each app has its own actions in the list."""
    plan = mixed_plan()
    apps = [AppReconcileStatus(slug=slug, state=AppState.WAITING, plan=plan) for slug in ("checkout", "fresh")]
    text = await text_at(status_of(*apps), "/apps")
    assert "checkout waiting 2 to delete" in text
    assert "fresh waiting 3 to create" in text


async def test_canaries_have_bars_and_runs_their_request_ids(client: httpx.AsyncClient) -> None:
    """A canary is a bar with its percentage as text. A run has its actions with the request ids of the control plane."""
    html = (await client.get("/")).text
    assert 'max="100" value="40"' in html
    assert "canary to phi-4-mini-q5 at 40%" in html
    assert "req_81fa" in html
    assert "taken by app search-legacy (409)" in html


async def test_the_budget_is_one_bar_with_the_next_resync() -> None:
    """It shows used and remaining requests and the next resync, or the progress of a resync and why it takes long."""
    text = await text_at(status_of(quiet_app("one")))
    assert "37 of 100 used 63 left" in text
    assert "Next resync 14:16 UTC" in text
    during_resync = status_of(
        quiet_app("one"),
        full_read_done=412,
        full_read_total=1000,
        resync_in_fact=timedelta(minutes=30),
        budget=BudgetStatus(limit=100, used=60, remaining=40, throttled_until=NOW + timedelta(seconds=40)),
        queue={"changed": 1, "resync": 588},
    )
    text = await text_at(during_resync)
    assert "Resync in progress: 412 of 1,000 apps." in text
    assert "A resync takes 30 min 0 s at this rate, longer than the 15 min 0 s" in text
    assert "The control plane throttles requests until 14:04 UTC" in text
    assert "Queued: 1 changed app, 588 apps of the resync." in text
    assert "Requests are not limited." in await text_at(status_of(budget=BudgetStatus(limit=0)))


async def test_manifest_errors_are_shown_as_by_validate() -> None:
    """The page has the diagnostics with place, source line and caret."""
    async with app_client(RecordingApi(current=bad_manifests(busy_status()))) as client:
        html = unescape((await client.get("/")).text)
    assert "error: unknown-field: `servingPolcy` is not a field of a slot" in html
    assert "--> apps/demo.yaml:12:7" in html
    assert "^^^^^^^^^^^^ did you mean `servingPolicy`?" in html


async def test_the_page_of_an_app_has_the_diff_of_the_plan() -> None:
    """Every field below a row of the plan's text is on the page of the app, with the values in Git and live."""
    app = blocked_app()
    assert app.plan is not None
    status = status_of(app, held_app())
    for slug in ("search-old", "canary-demo"):
        plan = status.apps[slug].plan
        assert isinstance(plan, Plan)
        assert status.about is not None
        text = await text_at(status, f"/apps/{slug}")
        rows = [row for group in groups_of(plan, (), status.sensitivity, full=True) for row in group.rows]
        assert rows
        for row in rows:
            fields = [
                f"{detail.name} {detail.after} {detail.before}" if isinstance(detail, Difference) else detail
                for detail in row.details
            ]
            for words in (row.left[4:], row.remark, *fields):
                assert re.sub(r"\s+", " ", words.strip()) in text


async def test_an_app_shows_what_it_waits_for() -> None:
    """A frozen app has the reason and the end. An app without a plan is shown as not planned yet."""
    frozen = AppReconcileStatus(
        slug="a", state=AppState.WAITING, why_waiting="freeze window", frozen_until=NOW + timedelta(hours=2)
    )
    text = await text_at(status_of(frozen), "/apps/a")
    assert "Waits for freeze window" in text
    assert "Frozen until 16:03 UTC" in text
    assert "freeze window, until 2030-01-01 16:03 UTC" in await text_at(status_of(frozen))
    assert "It has not been planned yet." in text


async def test_an_app_that_was_not_read_since_the_start_says_so() -> None:
    """After a restart, an app that is known to be in sync has the time of its last read, and no plan."""
    known = AppReconcileStatus(slug="a", state=AppState.IN_SYNC, read_at=NOW - timedelta(hours=1))
    text = await text_at(status_of(known), "/apps/a")
    assert "No changes when it was last read, before the start. The activity feed shows none since." in text
    assert "Last read" in text


async def test_an_app_shows_its_own_runs_only() -> None:
    """A run that did not touch the app is not on its page."""
    status = status_of(quiet_app("checkout"), quiet_app("one"), runs=(run_status(1),))
    assert "req_81fa" in await text_at(status, "/apps/checkout")
    assert "req_81fa" not in await text_at(status, "/apps/one")


async def test_apps_can_be_listed_by_state(client: httpx.AsyncClient) -> None:
    """The list of apps has a link per state, which lists only the apps in that state, most urgent first."""
    every = (await client.get("/apps")).text
    assert 'href="/apps?state=held"' in every
    assert 'id="app-billing"' in every
    order = re.findall(r'<tr role="row" id="app-([^"]+)"', every)
    assert order[:5] == ["search-old", "keyboard", "canary-demo", "photos", "search-eu"]
    held = (await client.get("/apps?state=held")).text
    assert 'id="app-canary-demo"' in held
    assert 'id="app-billing"' not in held
    assert (await client.get("/apps?state=nope")).status_code == 400


async def test_an_app_has_the_list_of_apps_beside_its_details() -> None:
    """By the filter of the query, which its links keep, most urgent first: the page of the list with the app, or a given one."""
    status = status_of(held_app("x-held"), *(quiet_app(f"x-{number:03}") for number in range(60)), quiet_app("other"))

    async def listed(path: str) -> list[tuple[str, str, str]]:
        text = (await page_of(status, path)).text
        return re.findall(r'<li id="list-([^"]+)"><a href="([^"]+)"( aria-current="page")?>', text)

    first = await listed("/apps/x-000?q=x-")
    assert len(first) == 50
    assert first[:2] == [
        ("x-held", "/apps/x-held?q=x-", ""),
        ("x-000", "/apps/x-000?q=x-", ' aria-current="page"'),
    ]
    assert ("x-059", "/apps/x-059?q=x-", ' aria-current="page"') in await listed("/apps/x-059?q=x-")
    assert await listed("/apps/x-059?q=x-&page=1") == [(*row[:2], "") for row in first]
    assert 'href="/apps/x-000?q=x-&amp;page=2"' in (await page_of(status, "/apps/x-000?q=x-")).text
    assert await listed("/apps/other?state=held") == [("x-held", "/apps/x-held?state=held", "")]
    for path in ("/?q=x-", "/apps?q=x-"):
        assert 'href="/apps/x-held?q=x-"' in (await page_of(status, path)).text


async def test_apps_are_filtered_by_text_owner_and_label() -> None:
    """Each part of the filter narrows the list, all of them are in the URL, and a filter without a match says so."""
    apps = {slug: desired_app(slug, labels={"team": team}) for slug, team in (("chat", "talk"), ("find", "search"))}
    status = status_of(
        replace(quiet_app("chat"), error="odd"), held_app("find"), declared=apps, owners={"find": "teams/search"}
    )
    names, html = {}, ""
    for query in ("", "q=ODD", "q=ana+held", "owner=teams/search", "label=team%3Dtalk", "label=team%3Dtalk&q=find"):
        html = (await page_of(status, f"/apps?{query}")).text
        names[query] = re.findall(r'<tr role="row" id="app-([^"]+)"', html)
    assert list(names.values()) == [["find", "chat"], ["chat"], ["find"], ["find"], ["chat"], []]
    assert "No app matches. Clear the filter" in await text_at(status, "/apps?label=team%3Dtalk&q=find")
    assert '<option value="team=talk" selected>' in html
    main = (await page_of(status, "/?owner=talk")).text
    assert 'id="app-chat"' in main, "without an owner in octosync.yaml, the label team is the owner"
    assert 'id="drift-find"' not in main


async def test_the_runs_of_a_commit_are_one_row() -> None:
    """A commit has one row with its author and the counts of all its runs; a revert of drift has its own."""
    commit = commit_status("3f9d2c1")
    runs = (
        run_status(2, commit=commit, is_revert=True),
        run_status(1, commit=commit),
        run_status(3, commit=commit, apps=("billing",)),
    )
    text = await text_at(status_of(quiet_app("checkout"), runs=runs))
    assert "13:53 UTC Commit 3f9d2c1 by Ana Ruiz ✓ 2 applied ✗ 1 failed billing, checkout" in text
    assert "13:43 UTC Reverted drift ✓ 1 applied checkout" in text
    assert text.count("Commit 3f9d2c1 by Ana Ruiz: Route search locally") == 1


@pytest.mark.parametrize(
    ("declared", "live", "expected"),
    [
        (
            {"vision": {}},
            {},
            "slot vision deleted apps/demo.yaml:3 Field Git Live (ana, 14:01 UTC) servingPolicy local_first deleted",
        ),
        (
            {},
            {"vision": {}},
            "slot vision added apps/demo.yaml:3 Field Git Live (ana, 14:01 UTC) not declared servingPolicy local_first",
        ),
    ],
)
async def test_an_object_that_a_person_added_or_deleted(
    declared: dict[str, dict[str, object]], live: dict[str, dict[str, object]], expected: str
) -> None:
    """The card states what the person did, not what octosync will do about it."""
    plan = plan_of(desired_app("demo", slots={"chat": {}, **declared}), live_app("demo", slots={"chat": {}, **live}))
    held = replace(plan, actions=(), held=tuple(HeldChange(action, NOW) for action in plan.actions))
    assert expected in await text_at(status_of(held_app("demo", actor="ana", plan=held)))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (status_of(quiet_app("one")), "well"),
        (status_of(AppReconcileStatus(slug="a"), quiet_app("b")), "unfinished"),
        (status_of(AppReconcileStatus(slug="a", state=AppState.WAITING)), "unfinished"),
        (status_of(), "attention"),
        (status_of(held_app()), "attention"),
        (replace(status_of(quiet_app("one")), outage="503"), "stopped"),
    ],
)
async def test_the_color_of_the_state_matches_it(status: ControllerStatus, expected: str) -> None:
    """Only a state in which nothing is left to do has the good color."""
    assert f'<p class="state {expected}">' in (await page_of(status)).text


async def test_the_page_stays_small_with_two_thousand_apps() -> None:
    """It lists the most urgent apps and links to the others, page by page. Much drift is truncated and counted."""
    quiet = [AppReconcileStatus(slug=f"app-{number}", state=AppState.IN_SYNC) for number in range(1900)]
    held = [held_app(f"held-{number:03}") for number in range(100)]
    async with app_client(RecordingApi(current=status_of(*quiet, *held))) as client:
        page = await client.get("/")
        every = await client.get("/apps")
        app = await client.get("/apps/app-1899")
        last = await client.get("/apps?page=20")
        beyond = await client.get("/apps?page=999")
        document = await client.get("/api/status")
    assert len(page.content) < 150_000
    assert page.text.count('class="card held"') == 6
    assert "94 more held" in page.text
    assert "1,950 more in the list of all apps" in page.text
    assert len(every.content) < 70_000
    assert len(app.content) < 20_000
    assert every.text.count('<tr role="row" id=') == last.text.count('<tr role="row" id=') == 100
    assert "1 to 100 of 2,000" in every.text
    assert 'href="/apps?page=2"' in every.text
    assert "1,901 to 2,000 of 2,000" in last.text
    assert "1,901 to 2,000 of 2,000" in beyond.text
    assert len(json.loads(document.text)["apps"]) == 2000


async def test_a_page_is_sent_once_as_long_as_nothing_changes(client: httpx.AsyncClient, api: RecordingApi) -> None:
    """While only time passes the tag stays and the response is empty. With another status the tag changes."""
    first = await client.get("/")
    api.current = replace(api.current, now=api.current.now + timedelta(seconds=5))
    unchanged = await client.get("/", headers={"If-None-Match": first.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert unchanged.headers["date"] == "Tue, 01 Jan 2030 14:03:25 GMT"
    api.current = replace(api.current, apps={})
    changed = await client.get("/", headers={"If-None-Match": first.headers["etag"]})
    assert changed.status_code == 200
    assert changed.headers["etag"] != first.headers["etag"]


async def test_errors_are_pages_for_browsers_and_json_otherwise(client: httpx.AsyncClient) -> None:
    """A 404 is a page for a browser, and otherwise a document with reference, message and hints."""
    page = await client.get("/apps/nope", headers=BROWSER)
    assert page.status_code == 404
    assert page.headers["content-type"].startswith("text/html")
    assert "Unknown app 'nope'." in unescape(page.text)
    document = (await client.get("/nope")).json()
    assert document["error"]["reference"] == "not-found"
    assert document["error"]["hints"] == ["The status page is at /."]
