"""Sign-in and actions on the page: who may act, what each form does, and what another page or an old form can't do."""

from __future__ import annotations

import io
import json
import re
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from html import unescape
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
from tests.support.controller_http import AUTHORIZED, BROWSER, URL, app_client
from tests.support.controller_statuses import (
    ADMIN_TOKEN,
    RecordingApi,
    blocked_app,
    busy_status,
    held_app,
    quiet_app,
    status_of,
    suspended,
)
from tests.support.controllers import FastClock

from octosync.errors import OctosyncError
from octosync.plan import Action
from octosync.watch.approvals import actions_of_set, blocked_sets
from octosync.watch.log import Log
from octosync.watch.settings import LogFormat
from octosync.watch.web.actions import action_view
from octosync.watch.web.forms import local_path
from octosync.watch.web.post_endpoints import POSTS, Post
from octosync.watch.web.responses import FORM_TYPE
from octosync.watch.web.sessions import IDLE_SECONDS, LIFETIME_SECONDS

_OWN = {**BROWSER, "Origin": URL}


@dataclass
class Person:
    """A person with a browser, and what the controller of the page did and logged."""

    client: httpx.AsyncClient
    api: RecordingApi
    clock: FastClock
    log: io.StringIO

    async def get(self, path: str) -> httpx.Response:
        """Open a page."""
        return await self.client.get(path, headers=BROWSER)

    async def send(self, path: str, fields: Mapping[str, str], headers: Mapping[str, str] = _OWN) -> httpx.Response:
        """Send a form from a page of this server, or with other headers."""
        sent = {**headers, "Content-Type": FORM_TYPE}
        return await self.client.post(path, content=urlencode(fields), headers=sent)

    async def sign_in(self, name: str = "Ana", token: str = ADMIN_TOKEN, next_path: str = "/") -> httpx.Response:
        """Sign in."""
        return await self.send("/sign-in", {"name": name, "token": token, "next": next_path})

    async def form_of(self, path: str) -> dict[str, str]:
        """Return the hidden fields of the form of an action's page."""
        form = re.search(r'<form class="fields".*?</form>', (await self.get(path)).text, re.DOTALL)
        assert form is not None
        return hidden_fields(form[0])

    async def csrf(self) -> str:
        """Return the token of the session's forms."""
        return hidden_fields((await self.get("/")).text)["csrf"]

    def events(self) -> list[dict[str, Any]]:
        """Return what was logged."""
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


def hidden_fields(html: str) -> dict[str, str]:
    """Return the hidden fields of the forms in a text."""
    return {
        name: unescape(value)
        for name, value in re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', html)
    }


def message_of(response: httpx.Response) -> str:
    """Return the text of a page, without its markup."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", response.text[response.text.index("<main") :])))


Visit = Callable[..., AbstractAsyncContextManager[Person]]


@asynccontextmanager
async def visit(api: RecordingApi | None = None, **more: Any) -> AsyncIterator[Person]:
    """Yield a person who has opened the page, and has not signed in."""
    api = RecordingApi(current=busy_status()) if api is None else api
    clock, log = FastClock(), io.StringIO()
    options = {"log": Log(log, clock, format_=LogFormat.JSON), "clock": clock.monotonic, **more}
    async with app_client(api, **options) as client:
        yield Person(client, api, clock, log)


async def test_a_person_signs_in_acts_and_signs_out() -> None:
    """Signed in, the page has buttons that act. Each step is a line of the log, with the name and without the token."""
    async with visit() as person:
        assert "csrf" not in (await person.get("/")).text
        response = await person.sign_in()
        assert (response.status_code, response.headers["location"]) == (303, "/")
        page = (await person.get("/")).text
        assert "Signed in as Ana" in page
        csrf = hidden_fields(page)["csrf"]

        response = await person.send("/actions/release", {"csrf": csrf, "back": "/apps/photos", "app": "photos"})
        assert response.status_code == 303
        page = (await person.get(response.headers["location"])).text
        assert "The hold of photos was released." in page
        assert "The hold of photos was released." not in (await person.get("/apps/photos")).text

        response = await person.send("/sign-out", {"csrf": csrf})
        assert response.status_code == 303
        assert "csrf" not in (await person.get("/")).text
        assert person.api.calls == [("release", {"app": "photos"})]
        events = person.events()
        assert [event["event"] for event in events] == ["signed_in", "admin_action", "signed_out"]
        assert {event["claimed_name"] for event in events} == {"Ana"}
        assert {event["address"] for event in events} == {"127.0.0.1"}
        assert (events[1]["action"], events[1]["app"], events[1]["outcome"]) == ("release", "photos", "done")
        assert ADMIN_TOKEN not in person.log.getvalue()


@pytest.mark.parametrize(
    ("path", "fields", "call", "result"),
    [
        ("/reconcile", {}, ("reconcile", {"app": None}), "Queued for a reconcile: 16 apps."),
        ("/reconcile", {"app": "voice"}, ("reconcile", {"app": "voice"}), "Queued for a reconcile: voice."),
        (
            "/hold",
            {"app": "voice", "for": "1d", "reason": "4711 & co"},
            ("hold", {"app": "voice", "duration": timedelta(days=1), "reason": "4711 & co"}),
            "A hold of voice for 1d has started: 4711 & co.",
        ),
        ("/suspend", {"reason": ""}, ("suspend", {"reason": ""}), "All writes were suspended."),
        ("/resume", {}, ("resume", {}), "Writes were resumed."),
        (
            "/approve",
            {"guard": "deletes", "seen": "deletes14seen"},
            ("approve", {"guard": "deletes", "seen": "deletes14seen", "apps": ()}),
            "14 actions approved, once",
        ),
    ],
)
async def test_each_action_is_its_post_endpoint(path: str, fields: dict[str, str], call: object, result: str) -> None:
    """A form calls the operation of the POST endpoint once. The result is on the page that the person came from."""
    async with visit() as person:
        await person.sign_in()
        response = await person.send(
            f"/actions{path}", {"csrf": await person.csrf(), "back": "/apps?state=held", **fields}
        )
        assert response.status_code == 303
        assert response.headers["location"].startswith("/apps?state=held&done=")
        # With its time: the page stays open, and another person may have acted since.
        assert re.search(
            rf"{re.escape(result)}.* 14:03 UTC", message_of(await person.get(response.headers["location"]))
        )
        assert person.api.calls == [call]


async def test_the_page_of_an_approval_lists_exactly_its_actions() -> None:
    """It lists every action of the set with its diff. Its form contains the digest of that set."""
    async with visit(RecordingApi(current=status_of(blocked_app(count=14)))) as person:
        await person.sign_in()
        path = "/actions/approve?guard=deletes&seen=deletes14seen"
        page = await person.get(path)
        for number in range(14):
            assert f"ios:com.acme.search{number}" in page.text
        assert "octosync applies exactly these 14 actions, once." in message_of(page)
        assert "Approve 14 actions" in page.text
        form = await person.form_of(path)
        assert (form["guard"], form["seen"]) == ("deletes", "deletes14seen")
        assert person.api.calls == []


def test_the_page_of_a_large_approval_finds_each_manifest_at_once() -> None:
    """Its actions are listed with the manifest in the plan of their own app: no other plan is searched."""
    searched: list[str] = []

    class Searched(dict[str, Any]):
        def __contains__(self, slug: object) -> bool:
            searched.append(str(slug))
            return super().__contains__(slug)

    apps = []
    for number in range(20):
        app = blocked_app(f"app-{number:02}")
        assert app.plan is not None
        desired = replace(app.plan.desired, apps=Searched(app.plan.desired.apps))
        refusals = tuple(replace(refusal, guard="protected", message="all of them") for refusal in app.blocked)
        apps.append(replace(app, plan=replace(app.plan, desired=desired), blocked=refusals))
    sets = blocked_sets(apps, lambda _: None, lambda guard, actions: f"{guard}{len(actions)}")
    searched.clear()
    view = action_view(
        "/approve", replace(status_of(*apps), blocked=sets), {"guard": "protected", "seen": sets[0].seen}
    )
    assert len(view.groups) == 20
    assert len(searched) == 20


async def test_a_set_that_has_changed_can_not_be_approved() -> None:
    """If something else is blocked now, the page has no button for it, and shows what is blocked now."""
    async with visit(RecordingApi(current=status_of(blocked_app(count=14)))) as person:
        await person.sign_in()
        form = await person.form_of("/actions/approve?guard=deletes&seen=deletes14seen")
        changed = OctosyncError("approval-outdated", "what the guard blocks has changed", hints=("POST /approve?x",))
        person.api.current, person.api.refuses = status_of(blocked_app(count=15)), changed
        response = await person.send("/actions/approve", form)
        assert response.status_code == 409
        assert "Nothing was done: what the guard blocks has changed." in message_of(response)
        assert "seen=deletes15seen" in response.text
        assert 'name="seen"' not in response.text
        assert person.api.calls == []
        assert person.events()[-1]["outcome"] == "approval-outdated"
        page = await person.get("/actions/approve?guard=deletes&seen=deletes14seen")
        assert page.status_code == 409
        assert "Nothing is approved." in message_of(page)
        assert 'name="seen"' not in page.text


async def test_an_approval_that_is_sent_again_does_nothing() -> None:
    """A double click, or a form from the history of the browser, has the result of the first time."""
    async with visit() as person:
        await person.sign_in()
        form = await person.form_of("/actions/approve?guard=deletes&seen=deletes14seen")
        responses = [await person.send("/actions/approve", form) for _ in range(2)]
        assert {response.headers["location"] for response in responses} == {f"/?done={form['form']}"}
        assert len(person.api.calls) == 1
        await person.sign_in()
        assert (await person.send("/actions/approve", form)).status_code == 403
        assert len(person.api.calls) == 1


async def test_the_page_of_a_suspension_states_its_effect() -> None:
    """The confirmation names the control plane and the number of apps. That of a resume lists what waits."""
    waiting = replace(quiet_app("voice"), why_waiting="everything is suspended")
    async with visit(RecordingApi(current=suspended(status_of(waiting, quiet_app("docs"))))) as person:
        await person.sign_in()
        text = message_of(await person.get("/actions/suspend"))
        assert "octosync writes nothing to production (api.octomil.com, org 8f1c) until writes are resumed" in text
        assert "all 2 apps" in text
        text = message_of(await person.get("/actions/resume"))
        assert "1 app waits now" in text
        assert "voice" in text
        assert "docs" not in text
        assert person.api.calls == []


async def test_the_page_of_a_hold_asks_for_a_reason() -> None:
    """Without a reason nothing is done, and the page keeps what was typed."""
    async with visit() as person:
        await person.sign_in()
        form = await person.form_of("/actions/hold?app=canary-demo&back=%2Fapps%2Fcanary-demo")
        assert (form["app"], form["back"]) == ("canary-demo", "/apps/canary-demo")
        response = await person.send("/actions/hold", {**form, "for": "8h", "reason": " "})
        assert response.status_code == 400
        assert "Nothing was done: /hold needs reason." in message_of(response)
        assert '<option value="8h" selected>' in response.text
        assert person.api.calls == []


@pytest.mark.parametrize(
    ("sent", "secure"),
    [
        ({"Origin": URL}, ""),
        ({"Origin": "https://127.0.0.1:9900"}, "; Secure"),
        ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, ""),
    ],
)
async def test_the_cookie_is_for_this_server_only(sent: dict[str, str], secure: str) -> None:
    """No script can read it, no other site can make a browser send it, and behind TLS it is never sent without.

    It has the port in its name, because browsers share cookies between the ports of a host. It is random.
    """
    async with visit() as person:
        cookies = set()
        for _ in range(2):
            response = await person.send("/sign-in", {"token": ADMIN_TOKEN}, {**BROWSER, **sent})
            cookie = response.headers["set-cookie"]
            match = re.fullmatch(r"octosync_session_9900=([\w-]{43}); HttpOnly; Path=/; SameSite=strict(.*)", cookie)
            assert match is not None, cookie
            assert match[2] == secure
            cookies.add(match[1])
        assert len(cookies) == 2


async def test_a_wrong_token_does_not_sign_in() -> None:
    """The page says so and keeps the name. The log has the address, and neither the token nor the guess."""
    async with visit() as person:
        response = await person.sign_in(token="guess-number-one", next_path="/apps/voice")
        assert response.status_code == 401
        assert "This is not the admin token." in message_of(response)
        assert 'value="Ana"' in response.text
        assert hidden_fields(response.text)["next"] == "/apps/voice"
        assert "set-cookie" not in response.headers
        assert [(event["event"], event["path"]) for event in person.events()] == [("admin_token_refused", "/sign-in")]
        assert "guess" not in person.log.getvalue()


async def test_guesses_are_limited_and_keep_no_person_out() -> None:
    """After ten wrong tokens, an address waits for a minute, on the page and elsewhere. Sessions are not affected.

    A browser whose session has expired is counted by itself: guesses of others at its address don't stop its person.
    """
    async with visit() as person:
        await person.sign_in()
        cookies = dict(person.client.cookies)
        person.client.cookies.clear()
        codes = [(await person.sign_in(token=f"guess-{number}")).status_code for number in range(11)]
        assert codes == [401] * 10 + [429]
        refused = await person.sign_in()
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
        assert (await person.client.post("/suspend", headers=AUTHORIZED)).status_code == 429

        person.client.cookies.update(cookies)
        form = await person.form_of("/actions/suspend")
        assert (await person.send("/actions/suspend", form)).status_code == 303
        person.clock.skip(timedelta(seconds=IDLE_SECONDS))
        person.client.cookies.clear()
        assert [(await person.sign_in(token=f"guess-{number}")).status_code for number in range(11)][-1] == 429
        person.client.cookies.update(cookies)
        assert (await person.sign_in()).status_code == 303

        person.client.cookies.clear()
        person.clock.skip(timedelta(minutes=1))
        assert (await person.sign_in()).status_code == 303


@pytest.mark.parametrize("path", ["/actions/suspend", "/sign-out"])
async def test_a_form_needs_the_token_of_its_session(path: str) -> None:
    """Without it, with a wrong one and with that of another session, nothing is done."""
    async with visit() as person:
        await person.sign_in()
        foreign = await person.csrf()
        person.client.cookies.clear()
        await person.sign_in()
        for fields in ({}, {"csrf": ""}, {"csrf": "ü"}, {"csrf": foreign}):
            response = await person.send(path, fields)
            assert response.status_code == 403
            assert "This form is not of your current session; nothing is done." in message_of(response)
        assert person.api.calls == []
        assert "Signed in as Ana" in (await person.get("/")).text
        outcomes = [event["outcome"] for event in person.events() if event["event"] == "admin_action"]
        assert outcomes == (["form-outdated"] * 4 if path == "/actions/suspend" else [])


async def test_a_session_ends_without_actions_and_after_a_day_of_work() -> None:
    """Actions prolong a session, open pages don't, and nothing prolongs it over its lifetime.

    An expired form leads to the sign-in page and from there to the page of its action, but does nothing.
    """
    async with visit() as person:
        await person.sign_in()
        csrf = await person.csrf()
        almost = timedelta(seconds=IDLE_SECONDS - 1)
        person.clock.skip(almost)
        assert (await person.send("/actions/reconcile", {"csrf": csrf})).status_code == 303
        person.clock.skip(almost)
        assert "Signed in" in (await person.get("/")).text
        person.clock.skip(timedelta(seconds=1))
        assert "Signed in" not in (await person.get("/")).text
        fields = {"csrf": csrf, "app": "voice", "for": "4h", "reason": "a & b", "back": "/apps/voice"}
        response = await person.send("/actions/hold", fields)
        assert response.status_code == 303
        query = urlencode({"app": "voice", "for": "4h", "reason": "a & b", "back": "/apps/voice"})
        assert response.headers["location"] == f"/sign-in?{urlencode({'next': f'/actions/hold?{query}'})}"
        assert [call for call, _ in person.api.calls] == ["reconcile"]

        await person.sign_in()
        csrf = await person.csrf()
        for _ in range(int(LIFETIME_SECONDS / IDLE_SECONDS) + 1):
            await person.send("/actions/reconcile", {"csrf": csrf})
            person.clock.skip(almost)
        assert "Signed in" not in (await person.get("/")).text


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:9901"},
        {"Origin": "http://127.0.0.1"},
        {"Origin": f"{URL}.evil.example"},
        {"Origin": "file://127.0.0.1:9900"},
        {"Origin": URL, "Sec-Fetch-Site": "cross-site"},
        {"Origin": URL, "Sec-Fetch-Site": "same-site"},
        {"Origin": URL, "Sec-Fetch-Site": "none"},
    ],
)
async def test_a_form_of_another_page_is_rejected(headers: dict[str, str]) -> None:
    """Even with a valid session and the token of its forms: another site, another port, and what names no origin."""
    async with visit() as person:
        await person.sign_in()
        csrf = await person.csrf()
        for path in ("/actions/suspend", "/actions/reconcile", "/sign-out", "/sign-in"):
            response = await person.send(path, {"csrf": csrf, "token": ADMIN_TOKEN}, {**BROWSER, **headers})
            assert response.status_code == 403
            assert "A page of another server sent this request." in message_of(response)
            assert "set-cookie" not in response.headers
        assert person.api.calls == []
        assert "Signed in as Ana" in (await person.get("/")).text


async def test_another_page_can_not_use_up_the_attempts_of_a_person() -> None:
    """A page can make a browser send POSTs without the header: they are rejected, and are not counted as guesses."""
    async with visit() as person:
        for _ in range(11):
            response = await person.client.post("/suspend", headers={"Origin": "https://evil.example"})
            assert (response.status_code, response.json()["error"]["reference"]) == (403, "foreign-page")
        assert (await person.client.post("/suspend", headers=AUTHORIZED)).status_code == 200
        assert [event["event"] for event in person.events()] == ["admin_action"]


@pytest.mark.parametrize("post", POSTS, ids=lambda post: post.path)
async def test_a_session_is_for_forms_only(post: Post) -> None:
    """A cookie does not authorize the POST endpoints. Opening the page of an action does nothing."""
    async with visit() as person:
        await person.sign_in()
        query = urlencode({"app": "photos", "for": "4h", "reason": "x", "guard": "deletes", "seen": "deletes14seen"})
        assert (await person.client.post(f"{post.path}?{query}", headers=_OWN)).status_code == 401
        csrf = await person.csrf()
        for method in ("GET", "HEAD"):
            response = await person.client.request(method, f"/actions{post.path}?{query}&csrf={csrf}", headers=_OWN)
            assert response.status_code == 200
            assert response.headers["cache-control"] == "no-store"
            assert "frame-ancestors 'none'" in response.headers["content-security-policy"]
        assert (await person.client.get("/sign-out")).status_code == 405
        assert person.api.calls == []
        assert "Signed in as Ana" in (await person.get("/")).text


async def test_a_session_gets_a_new_cookie_at_each_sign_in() -> None:
    """A cookie that somebody has planted never becomes a session, and the old one of a browser ends."""
    async with visit() as person:
        planted = "A" * 43
        person.client.cookies.set("octosync_session_9900", planted, domain="127.0.0.1")
        await person.sign_in("Ana")
        first = person.client.cookies["octosync_session_9900"]
        await person.sign_in("Ben")
        second = person.client.cookies["octosync_session_9900"]
        assert len({planted, first, second}) == 3
        assert "Signed in as Ben" in (await person.get("/")).text
        for cookie in (planted, first):
            person.client.cookies.clear()
            person.client.cookies.set("octosync_session_9900", cookie, domain="127.0.0.1")
            assert "Signed in" not in (await person.get("/")).text


async def test_old_sessions_make_room_for_new_ones() -> None:
    """Sessions use a bounded amount of memory: the one that was used first ends."""
    async with visit() as person:
        cookies = []
        for _ in range(51):
            person.client.cookies.clear()
            await person.sign_in()
            person.clock.skip(timedelta(seconds=1))
            cookies.append(dict(person.client.cookies))
        shown = []
        for jar in (cookies[0], cookies[1], cookies[-1]):
            person.client.cookies.clear()
            person.client.cookies.update(jar)
            shown.append("Signed in" in (await person.get("/")).text)
        assert shown == [False, True, True]


async def test_a_name_is_one_short_line_of_text() -> None:
    """Line breaks, invisible characters and markup of a name change neither headers nor the log nor the page."""
    async with visit() as person:
        response = await person.sign_in(f"Ana\r\nSet-Cookie: x=y\u202e<script>{'z' * 5000}")
        assert len(response.headers.get_list("set-cookie")) == 1
        name = person.events()[0]["claimed_name"]
        assert name.startswith("Ana Set-Cookie: x=y<script>zzz")
        assert len(name) == 60
        page = (await person.get("/")).text
        assert "Signed in as Ana Set-Cookie: x=y&lt;script&gt;zzz" in page


@pytest.mark.parametrize(
    ("content_type", "body", "message"),
    [
        (FORM_TYPE, b"token=" + b"x" * 20_000, "The form is larger than 16,384 bytes."),
        ("application/json", b'{"token": "x"}', f"expected a form ({FORM_TYPE})"),
        ("text/plain", b"token=x", f"expected a form ({FORM_TYPE})"),
        (FORM_TYPE, b"token=a&token=b", "The form has a field twice."),
        (FORM_TYPE, b"&".join(b"f%d=x" % number for number in range(60)), "The form can't be read."),
        (FORM_TYPE, b"token=%ff", "The form can't be read."),
        (FORM_TYPE, "token=ü".encode(), "The form can't be read."),
    ],
)
async def test_a_body_that_is_no_small_form_is_rejected(content_type: str, body: bytes, message: str) -> None:
    """It is a 400, before the token is checked."""
    async with visit() as person:
        response = await person.client.post("/sign-in", content=body, headers={**_OWN, "Content-Type": content_type})
        assert response.status_code == 400
        shown = message_of(response) if content_type == FORM_TYPE else response.json()["error"]["message"]
        assert message in shown
        assert person.events() == []


async def test_without_a_token_there_is_no_sign_in() -> None:
    """The page offers none, and the paths explain how to enable it."""
    async with visit(RecordingApi(current=replace(busy_status(), can_post=False)), admin_token=None) as person:
        for path in ("/", "/apps", "/apps/billing"):
            page = (await person.get(path)).text
            assert "/sign-in" not in page
            assert "/actions/" not in page
        for response in (
            await person.get("/sign-in"),
            await person.sign_in(token=""),
            await person.get("/actions/suspend"),
            await person.send("/actions/suspend", {}),
        ):
            assert response.status_code == 403
            assert "Start octosync watch with OCTOSYNC_ADMIN_TOKEN set" in message_of(response)
        assert person.api.calls == []


async def test_names_of_apps_are_inert_in_forms() -> None:
    """A name with markup stays the value of its field, with and without a session, and its form names exactly that app."""
    evil = '"><script>alert(1)</script>&app=voice'
    async with visit(RecordingApi(current=status_of(held_app(evil)))) as person:
        for _ in range(2):
            for path in ("/", f"/apps/{quote(evil, safe='')}"):
                assert "<script>alert" not in (await person.get(path)).text
            await person.sign_in()
        form = await person.form_of(f"/actions/hold?{urlencode({'app': evil})}")
        assert form["app"] == evil
        await person.send("/actions/hold", {**form, "for": "1h", "reason": evil})
        assert [(call, given["app"]) for call, given in person.api.calls] == [("hold", evil)]
        page = await person.get(f"/?done={form['form']}")
        assert "<script>alert" not in page.text
        assert f"A hold of {evil} for 1h has started" in message_of(page)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/", "/"),
        ("/apps", "/apps"),
        ("/apps?state=held", "/apps?state=held"),
        ("/apps/a%2Fb", "/apps/a%2Fb"),
        ("/actions/hold?app=voice", "/actions/hold?app=voice"),
        ("", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/apps/..\\evil", "/"),
        ("https://evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("/sign-out", "/"),
        ("/static/x", "/"),
        ("/apps\r\nSet-Cookie: x=y", "/"),
        ("/apps?" + "x" * 3000, "/"),
    ],
)
def test_a_form_returns_to_pages_of_this_server_only(text: str, path: str) -> None:
    """Whatever a link contains, it leads neither to another server nor to a script."""
    assert local_path(text) == path


async def test_an_unknown_app_has_no_form() -> None:
    """The page of an action for an app that is not declared is a 404."""
    async with visit() as person:
        await person.sign_in()
        for path in ("/actions/hold?app=nope", "/actions/release", "/actions/reconcile?app="):
            assert (await person.get(path)).status_code == 404


def test_an_approval_is_of_the_actions_of_its_digest() -> None:
    """If an app has two refusals of a guard, in sets of their own, the approval of one leaves the other blocked."""
    app = blocked_app(count=14)
    refusal = app.blocked[0]
    halves = (refusal.addresses[:4], refusal.addresses[4:])
    both = tuple(replace(refusal, guard="during-canary", message=str(half[0]), addresses=half) for half in halves)
    app = replace(app, blocked=both)
    sealed: dict[str, frozenset[object]] = {}

    def seal(guard: str, actions: Collection[Action]) -> str:
        seen = f"{guard}{len(actions)}"
        sealed[seen] = frozenset(action.key for action in actions)
        return seen

    sets = blocked_sets([app], lambda _: None, seal)
    assert sorted(blocked.actions for blocked in sets) == [4, 10]
    for blocked in sets:
        assert frozenset(action.key for action in actions_of_set(blocked, [app])) == sealed[blocked.seen]
