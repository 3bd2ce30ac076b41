"""Sign-in and actions on the page: who may act, what each form does, and what another page or an old form can't do."""

from __future__ import annotations

import io
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from html import unescape
from typing import Any

import httpx
import pytest
from tests.support.controller_http import BROWSER, URL, app_client
from tests.support.controller_statuses import (
    ADMIN_TOKEN,
    RecordingApi,
    blocked_app,
    busy_status,
    quiet_app,
    status_of,
    suspended,
)
from tests.support.controllers import FastClock

from octosync.errors import OctosyncError
from octosync.watch.log import Log
from octosync.watch.settings import LogFormat

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
        return await self.client.post(path, data=dict(fields), headers=dict(headers))

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
        assert "The hold of photos is released." in page
        assert "The hold of photos is released." not in (await person.get("/apps/photos")).text

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
            "The drift of voice is held for 1d: 4711 & co.",
        ),
        ("/suspend", {"reason": ""}, ("suspend", {"reason": ""}), "Everything is suspended"),
        ("/resume", {}, ("resume", {}), "Writes are resumed."),
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
        assert result in message_of(await person.get(response.headers["location"]))
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
