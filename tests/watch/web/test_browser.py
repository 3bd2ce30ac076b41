"""The pages in a real browser: what they show, how they update themselves, keyboard use, and scripts that must not run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from functools import partial
from importlib.resources import files
from typing import Any, Final, TypeAlias

import pytest
from selenium import webdriver  # imports the driver of Chromium when it is used
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from tests.support.browser import (
    Scheme,
    console_messages,
    needs_chromium,
    run_browser,
    set_color_scheme,
    set_scripting,
    wait_for,
)
from tests.support.controller_http import serve_controller
from tests.support.controller_statuses import (
    ADMIN_TOKEN,
    RecordingApi,
    ago,
    bad_manifests,
    blocked_app,
    busy_status,
    commit_status,
    held_app,
    quiet_app,
    run_status,
    status_of,
    suspended,
)
from tests.support.examples import THOROUGH

from octosync.model import Hold, Secret
from octosync.watch.status import AppReconcileStatus, AppState, ControllerStatus, ReplicaRole, ReplicaStatus

pytestmark = needs_chromium

OpenPage: TypeAlias = "Callable[..., tuple[webdriver.Chrome, RecordingApi]]"
_ACTIONS = ("/actions/approve?guard=deletes&seen=deletes14seen", "/actions/hold?app=canary-demo")
_WIDE = "/apps/photos?q=o"  # is opened on a wide screen
_LEADER = ReplicaStatus(role=ReplicaRole.LEADER, name="a", leader="a", since=ago(hours=2), epoch=7, key=Secret("of-7"))
_EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>"

# Whether the page equals a newly loaded one, except for what a person has opened and for relative times.
_EQUALS_LOADED_PAGE = """
const request = new XMLHttpRequest();
request.open("GET", location.href, false);
request.send();
if (!request.responseText.includes(arguments[0])) return false;
const tag = request.getResponseHeader("ETag");
const plain = (main) => {
  const copy = main.cloneNode(true);
  for (const element of copy.querySelectorAll(".ago")) element.textContent = "";
  for (const element of copy.querySelectorAll("time")) element.removeAttribute("title");
  for (const element of copy.querySelectorAll("[hidden]")) element.removeAttribute("hidden");
  for (const element of copy.querySelectorAll("details")) element.open = false;
  return copy.innerHTML;
};
window.loaded ??= {};
if (window.loaded.tag !== tag) {
  window.loaded = {tag, main: null};
  const page = new XMLHttpRequest();
  page.open("GET", location.href);
  page.responseType = "document";
  page.onload = () => { window.loaded.main = page.response.getElementById("main"); };
  page.send();
}
return window.loaded.main !== null && plain(window.loaded.main) === plain(document.getElementById("main"));
"""

# The violations, with their elements, and the names of the rules that passed.
_AXE = """
const [tags, done] = arguments;
axe.run({resultTypes: ["violations"], ...(tags && {runOnly: tags})}).then(
  ({violations, passes}) => done([
    violations.map(({id, nodes}) => [id, nodes.map(({html}) => html)]),
    passes.map(({id}) => id),
  ]),
  (error) => done([[String(error)], []]),
);
"""
# The tags of the rules that can find something else than with the scheme before.
_SCHEMES: Mapping[Scheme, list[str] | None] = {"light": None, "dark": ["cat.color"]}

_WIDTHS = "return [document.documentElement.clientWidth, document.documentElement.scrollWidth]"


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with run_browser(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


@pytest.fixture
def open_page(chromium: webdriver.Chrome) -> Iterator[OpenPage]:
    """Yield a function that serves a status and opens one of its pages. Afterwards the browser is reset."""
    with ExitStack() as stack:

        def open_(
            status: ControllerStatus,
            path: str = "/",
            *,
            refresh_seconds: float = 60,
            make_api: Callable[..., RecordingApi] = RecordingApi,
        ) -> tuple[webdriver.Chrome, RecordingApi]:
            api = make_api(current=status)
            url = stack.enter_context(serve_controller(api, refresh_seconds=refresh_seconds))
            chromium.get(f"{url}{path}")
            return chromium, api

        console_messages(chromium)
        yield open_
        set_scripting(chromium, on=True)
        set_color_scheme(chromium, "light")
        chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        chromium.delete_all_cookies()
        chromium.get("about:blank")


def text_of(driver: webdriver.Chrome, css: str) -> str:
    """Return the visible text of an element."""
    return driver.find_element(By.CSS_SELECTOR, css).text


def follow(driver: webdriver.Chrome, css: str) -> None:
    """Press Enter at a link, a button or a field, and wait for the page that it leads to."""
    before = driver.current_url
    driver.find_element(By.CSS_SELECTOR, css).send_keys(Keys.ENTER)
    wait_for(lambda: driver.current_url != before)
    wait_for(lambda: driver.find_elements(By.TAG_NAME, "footer"))


def sign_in(driver: webdriver.Chrome) -> None:
    """Sign in on the sign-in page by the keyboard alone."""
    driver.find_element(By.ID, "name").send_keys("Ana", Keys.TAB)
    focused(driver).send_keys(ADMIN_TOKEN)
    follow(driver, "#token")


def set_width(driver: webdriver.Chrome, width: int) -> None:
    """Make the screen as wide as this."""
    metrics = {"width": width, "height": 700, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def press(driver: webdriver.Chrome, *keys: str) -> None:
    """Press keys at the current focus."""
    for key in keys:
        webdriver.ActionChains(driver).send_keys(key).perform()


def focused(driver: webdriver.Chrome) -> Any:
    """Return the element with the focus."""
    return driver.switch_to.active_element


def test_drift_and_its_author_are_shown(open_page: OpenPage) -> None:
    """The page shows the change, its author, its time and the time of its revert, without a message in the browser's console."""
    driver, _ = open_page(busy_status())
    card = text_of(driver, "#drift-canary-demo")
    assert "held" in card
    assert "Reverts at 14:31 UTC (in 28 min.)." in card
    assert "Git Live\n(ana@example.com, 14:01 UTC)\nservingPolicy local_only cloud_only" in card
    assert driver.title.startswith("1 blocked, 1 contested, 2 held, 1 failing")
    assert console_messages(driver) == []


def test_the_page_updates_itself_without_a_reload(open_page: OpenPage) -> None:
    """Changes on the server appear on the page, and the state of a person's work on it is kept."""
    status = status_of(
        held_app(),
        blocked_app(),
        *(quiet_app(f"app-{number:02}") for number in range(40)),
        runs=(run_status(1), run_status(2)),
    )
    driver, api = open_page(status, refresh_seconds=0.05)
    driver.execute_script("window.same = true")
    driver.find_element(By.CSS_SELECTOR, "details.run > summary").click()
    driver.find_element(By.ID, "filter-q").send_keys("app")
    wait_for(lambda: not driver.find_elements(By.ID, "app-search-old"))
    link = driver.find_element(By.CSS_SELECTOR, "#app-app-15 a")
    driver.execute_script("arguments[0].focus(); window.scrollTo(0, document.body.scrollHeight)", link)
    scrolled = driver.execute_script("return window.scrollY")
    assert scrolled > 0

    more = replace(status.apps["app-15"], state=AppState.IN_SYNC, error="it has changed")
    apps = {slug: app for slug, app in status.apps.items() if slug != "search-old"}
    api.current = replace(status, apps={**apps, "app-15": more}, runs=(run_status(0), *status.runs))

    wait_for(lambda: "it has changed" in text_of(driver, "#app-app-15"))
    assert driver.execute_script("return window.same") is True
    assert driver.title.startswith("1 held ·")
    assert text_of(driver, "#state") == "1 of 41 apps needs attention: 1 held. 40 in sync"
    assert not driver.find_elements(By.CSS_SELECTOR, ".card.blocked")
    assert focused(driver) == link
    assert driver.execute_script("return document.querySelectorAll('details.run').length") == 3
    # The opened run is still open, although another one precedes it now.
    opened_runs = "return [...document.querySelectorAll('details.run')].map((run) => run.open)"
    assert driver.execute_script(opened_runs) == [False, True, False]
    assert driver.find_element(By.ID, "filter-q").get_attribute("value") == "app"
    assert console_messages(driver) == []


def test_an_unchanged_card_is_not_touched_when_another_goes(open_page: OpenPage) -> None:
    """A card that stays is not modified, and keeps the focus, when the one above it is removed."""
    status = status_of(blocked_app(), held_app())
    driver, api = open_page(status, refresh_seconds=0.05)
    driver.execute_script(
        "window.changes = 0;"
        "new MutationObserver((all) => { window.changes += all.filter(change => !change.target.closest('.ago')).length; })"
        ".observe(document.querySelector('.card.held'), {subtree: true, childList: true, attributes: true});"
        "const link = document.querySelector('.card.held a');"
        "link.focus();"
        "link.addEventListener('blur', () => { window.changes += 1; });"
    )
    api.current = replace(status, apps={"canary-demo": status.apps["canary-demo"]})
    wait_for(lambda: not driver.find_elements(By.CSS_SELECTOR, ".card.blocked"))
    assert driver.execute_script("return window.changes") == 0
    assert focused(driver).text == "canary-demo"


def test_nothing_is_touched_as_long_as_nothing_changes(open_page: OpenPage) -> None:
    """An update without changes modifies no element, so that screen readers repeat nothing."""
    driver, api = open_page(busy_status(), refresh_seconds=0.05)
    driver.execute_script(
        "window.changes = 0;"
        "new MutationObserver((all) => { window.changes += all.filter(change => !change.target.closest('.ago')).length; })"
        ".observe(document.getElementById('main'), {subtree: true, childList: true, attributes: true})"
    )
    before = text_of(driver, "#as-of")
    api.current = replace(api.current, now=api.current.now.replace(second=41))
    wait_for(lambda: text_of(driver, "#as-of") not in {before, "14:03:20 UTC"})
    assert driver.execute_script("return window.changes") == 0
    assert len(driver.find_elements(By.CSS_SELECTOR, "main [role=status], main [aria-live]")) == 1


def test_an_updated_page_equals_a_loaded_one(open_page: OpenPage) -> None:
    """After any change the page equals a newly loaded one, element by element."""
    busy = busy_status()
    steps = (
        status_of(),
        busy,
        replace(busy, apps=dict(list(busy.apps.items())[3:]), runs=busy.runs[1:]),
        suspended(bad_manifests(busy)),
        status_of(blocked_app("b"), blocked_app("a"), held_app("c"), full_read_total=9, full_read_done=4),
        status_of(held_app("d"), held_app("c"), quiet_app("a"), runs=(run_status(4), run_status(2))),
        busy,
        status_of(held_app("a"), held_app("b")),
        status_of(held_app("a"), replace(held_app("b"), state=AppState.FAILING)),
        status_of(quiet_app("a")),
    )
    driver, api = open_page(steps[0], refresh_seconds=0.05)
    for number, step in enumerate(steps):
        driver.execute_script("document.querySelector('h1').setAttribute('lang', 'la')")
        api.current = replace(step, version=f"step {number}")
        wait_for(partial(driver.execute_script, _EQUALS_LOADED_PAGE, f"step {number}"))
    assert console_messages(driver) == []


def test_a_lost_connection_is_shown_until_it_is_back(chromium: webdriver.Chrome) -> None:
    """When the controller is gone the page shows since when. When it is back the page continues by itself."""
    api = RecordingApi(current=status_of(*(quiet_app(f"app-{number}") for number in range(50))))
    with serve_controller(api, refresh_seconds=0.05) as url:
        chromium.get(url)
        assert not chromium.find_element(By.ID, "connection").is_displayed()
    banner = chromium.find_element(By.ID, "connection")
    wait_for(banner.is_displayed)
    assert banner.text.startswith("Connection lost since ")
    chromium.execute_script("window.scrollTo(0, document.body.scrollHeight)")
    assert chromium.execute_script(
        "return window.scrollY > 500 && arguments[0].getBoundingClientRect().top >= 0", banner
    )
    assert "What you see is as of 14:03" in banner.text
    api.current = status_of(held_app())
    with serve_controller(api, port=int(url.rpartition(":")[2]), refresh_seconds=0.05):
        wait_for(lambda: not banner.is_displayed())
        assert text_of(chromium, "#state") == "1 app needs attention: 1 held"
    chromium.get("about:blank")
    console_messages(chromium)  # of the expected refused connections


def test_the_keyboard_alone_is_enough(open_page: OpenPage) -> None:
    """Tab reaches every link and control, each shows its focus, and Enter activates it."""
    driver, _ = open_page(status_of(held_app(), quiet_app("one"), runs=(run_status(1),)))
    press(driver, Keys.TAB)
    assert focused(driver).text == "Skip to the content"
    assert focused(driver).is_displayed()
    press(driver, Keys.ENTER)
    assert driver.execute_script("return document.activeElement.id") == "main"

    reached = []
    for _ in range(16):
        press(driver, Keys.TAB)
        name = driver.execute_script("return document.activeElement.id || document.activeElement.innerText")
        if driver.execute_script("return document.activeElement === document.body"):
            break
        reached.append(name.split("\n")[0])
        outline = driver.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", name
    assert "canary-demo" in reached
    assert any(name.startswith("13:53 UTC") for name in reached)
    assert "filter-q" in reached
    assert "Command line" in reached
    assert reached[-2:] == ["JSON", "metrics"]

    summary = driver.find_element(By.CSS_SELECTOR, "details.run > summary")
    driver.execute_script("arguments[0].focus()", summary)
    press(driver, Keys.ENTER)
    assert driver.find_element(By.CSS_SELECTOR, "details.run .outcomes").is_displayed()
    driver.execute_script("document.querySelector('.card a').focus()")
    press(driver, Keys.ENTER)
    wait_for(lambda: driver.current_url.endswith("/apps/canary-demo"))
    assert text_of(driver, "h1") == "canary-demo"


def test_the_filter_applies_while_a_person_types(open_page: OpenPage) -> None:
    """Only the matching apps remain, the filter is in the URL, the focus stays, and an empty list says so."""
    driver, _ = open_page(status_of(held_app(), quiet_app("one"), quiet_app("two")))
    field = driver.find_element(By.ID, "filter-q")

    def shown() -> Any:
        return driver.execute_script("return [...document.querySelectorAll('.apps tbody tr')].map((row) => row.id)")

    field.send_keys("TW")
    wait_for(lambda: shown() == ["app-two"])
    assert driver.current_url.endswith("/?q=TW")
    assert not driver.find_elements(By.CSS_SELECTOR, ".card")
    assert focused(driver) == field
    field.send_keys("x")
    wait_for(lambda: "No app matches." in text_of(driver, "#apps-section"))
    field.send_keys(Keys.BACKSPACE, Keys.BACKSPACE, Keys.BACKSPACE)
    wait_for(lambda: len(shown()) == 3)
    driver.find_element(By.CSS_SELECTOR, "#filter-state option[value=held]").click()
    wait_for(lambda: shown() == ["app-canary-demo"])
    assert driver.current_url.endswith("/?state=held")


def test_a_wide_screen_has_the_list_beside_the_details(open_page: OpenPage) -> None:
    """The next app is a few keys away, and the list keeps the focus when it changes. A narrow screen has no list."""
    status = status_of(held_app("app-a"), quiet_app("app-b"), quiet_app("app-c"), quiet_app("app-d"))
    driver, api = open_page(status, "/apps/app-a?q=app", refresh_seconds=0.05)
    assert not driver.find_element(By.ID, "others").is_displayed()
    set_width(driver, 1400)
    wait_for(driver.find_element(By.ID, "others").is_displayed)
    follow(driver, "#list-app-c a")
    wait_for(lambda: driver.title.startswith("app-c: "))
    assert driver.current_url.endswith("/apps/app-c?q=app")
    assert text_of(driver, "h1") == text_of(driver, "#others [aria-current] .clamp") == "app-c"
    driver.execute_script("document.querySelector('#list-app-d a').focus()")
    api.current = status_of(*status.apps.values(), blocked_app("app-b"))
    wait_for(lambda: text_of(driver, "#others li") == "app-b\nblocked")
    assert focused(driver).get_attribute("href").endswith("/apps/app-d?q=app")
    press(driver, Keys.ENTER)
    wait_for(lambda: driver.title.startswith("app-d: "))


def test_everything_is_there_without_javascript(open_page: OpenPage, chromium: webdriver.Chrome) -> None:
    """The server renders the whole page: apps, runs and diffs can be read and opened without a script."""
    set_scripting(chromium, on=False)
    driver, _ = open_page(busy_status())
    assert "Live\n(ana@example.com, 14:01 UTC)" in text_of(driver, "#drift-canary-demo")
    assert driver.find_element(By.ID, "app-billing").is_displayed()
    driver.find_element(By.ID, "filter-q").send_keys("canary")
    driver.find_element(By.CSS_SELECTOR, ".filter button").click()
    wait_for(lambda: driver.current_url.endswith("/?q=canary&state="))
    assert not driver.find_elements(By.ID, "app-billing")
    driver.find_element(By.CSS_SELECTOR, "#drift-canary-demo a").click()
    wait_for(lambda: driver.current_url.endswith("/apps/canary-demo?q=canary"))
    assert "servingPolicy local_only cloud_only" in text_of(driver, "#plan-section")


def test_a_person_holds_and_releases_an_app_without_javascript(open_page: OpenPage, chromium: webdriver.Chrome) -> None:
    """Sign in, hold an app with a reason, see the hold, release it, and sign out: with forms and the keyboard alone."""

    class HoldingApi(RecordingApi):
        def hold(self, app: str, duration: timedelta, reason: str) -> Hold:
            hold = super().hold(app, duration, reason)
            self.current = status_of(held_app(app, hold=hold), holds=(hold,))
            return hold

        def release(self, app: str) -> None:
            super().release(app)
            self.current = status_of(held_app(app))

    set_scripting(chromium, on=False)
    driver, api = open_page(status_of(held_app()), "/apps/canary-demo", make_api=HoldingApi)
    follow(driver, "#drift-canary-demo .button[href*='/actions/hold']")
    sign_in(driver)
    assert "/actions/hold?app=canary-demo" in driver.current_url
    driver.find_element(By.ID, "reason").send_keys("incident 4711")
    follow(driver, ".submit button")
    assert text_of(driver, "#notice").startswith("A hold of canary-demo for 4h has started: incident 4711. ")
    assert "incident 4711" in text_of(driver, "#drift-canary-demo")
    follow(driver, "#drift-canary-demo form button")
    assert text_of(driver, "#notice").startswith("The hold of canary-demo was released. ")
    follow(driver, ".account button")
    assert text_of(driver, ".account") == "Sign in"
    assert driver.get_cookies() == []
    assert [call for call, _ in api.calls] == ["hold", "release"]


def test_an_open_page_shows_that_its_session_has_ended(open_page: OpenPage) -> None:
    """Without a reload, the header offers the sign-in again, and the buttons lead to it."""
    driver, _ = open_page(status_of(held_app(hold=busy_status().holds[0])), "/sign-in", refresh_seconds=0.05)
    sign_in(driver)
    assert text_of(driver, ".account") == "Signed in as Ana\nSign out"
    assert driver.find_elements(By.CSS_SELECTOR, "form[action='/actions/release']")
    driver.execute_script("window.same = true")
    driver.delete_all_cookies()
    wait_for(lambda: driver.find_elements(By.LINK_TEXT, "Sign in"))
    assert not driver.find_elements(By.CSS_SELECTOR, "form[action^='/actions/']")
    assert driver.find_elements(By.CSS_SELECTOR, "a[href^='/actions/release']")
    assert driver.execute_script("return window.same") is True


def test_a_person_acts_through_a_standby_until_the_leader_ends(open_page: OpenPage) -> None:
    """The browser has a session with the leader. Once that is gone, the open page shows what the standby knows."""
    leader = RecordingApi(current=status_of(held_app(), replica=_LEADER))
    with serve_controller(leader, refresh_seconds=0.05) as url:
        address = url.removeprefix("http://")
        replica = replace(_LEADER, role=ReplicaRole.STANDBY, name="b", address=address)
        driver, standby = open_page(
            status_of(held_app(), replica=replica, can_post=False), "/sign-in?next=/", refresh_seconds=0.05
        )
        sign_in(driver)
        assert "leader since" in text_of(driver, "footer")
        follow(driver, "form[action='/actions/reconcile'] button")
        assert driver.find_elements(By.ID, "notice")
    wait_for(lambda: driver.find_elements(By.CSS_SELECTOR, "[id='alarm-leader%20unreachable']"))
    assert f"Leader: a, at {address}" in text_of(driver, "main")
    assert not driver.find_elements(By.CSS_SELECTOR, "form[action^='/actions/'], .account")
    assert ([name for name, _ in leader.calls], standby.calls) == (["reconcile"], [])


def test_an_app_named_like_a_script_is_inert(open_page: OpenPage) -> None:
    """Markup in a name is text: on the page, after an update, and on the page of the app."""
    evil = held_app(_EVIL, actor=_EVIL, error=_EVIL, state=AppState.FAILING)
    driver, api = open_page(status_of(evil), refresh_seconds=0.05)
    assert _EVIL in text_of(driver, ".card.failing")
    updated = replace(api.current, outage=_EVIL, apps={**api.current.apps, _EVIL + "2": held_app(_EVIL + "2")})
    api.current = updated
    wait_for(lambda: len(driver.find_elements(By.CSS_SELECTOR, ".card.held")) == 2)
    driver.find_element(By.CSS_SELECTOR, ".card.failing a").click()
    wait_for(lambda: text_of(driver, "h1") == _EVIL)
    assert driver.execute_script("return document.querySelectorAll('main script, main img').length") == 0
    assert console_messages(driver) == [], "a script was run or blocked"


def test_injected_scripts_do_not_run(open_page: OpenPage) -> None:
    """Even injected markup would run no script, and no text becomes markup."""
    driver, _ = open_page(status_of(quiet_app("one")))
    refused = driver.execute_script(
        "try { document.body.innerHTML = '<b>x</b>'; return 'accepted'; } catch (error) { return error.name; }"
    )
    assert refused == "TypeError"
    driver.execute_script(
        "const script = document.createElement('script');"
        "try { script.textContent = 'window.ran = true'; } catch { }"
        "script.append('window.ran = true'); document.body.append(script);"
    )
    assert driver.execute_script("return window.ran") is None
    console_messages(driver)  # of the expected errors


@pytest.fixture(scope="session")
def full_pages() -> Iterator[str]:
    """Yield the URL of a controller whose pages have everything that pages can have, names too long for a line included."""
    commit, busy = commit_status("3f9d2c1"), busy_status()
    long = AppReconcileStatus(slug="x" * 120, state=AppState.FAILING, error="y" * 300)
    apps = {**busy.apps, long.slug: long}
    owners = {"billing": "teams/pay"}
    full = replace(busy, apps=apps, commit=commit, owners=owners, runs=(run_status(1, commit=commit),))
    status = suspended(bad_manifests(replace(full, outage="no connection", feed_off="404")))
    with serve_controller(RecordingApi(current=status)) as url:
        yield url


def assert_accessible(driver: webdriver.Chrome) -> None:
    """Run axe-core with the light scheme, and its rules about colours with the dark one: nothing else differs."""
    driver.execute_script(files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
    for scheme, tags in _SCHEMES.items():
        set_color_scheme(driver, scheme)
        violations, passes = driver.execute_async_script(_AXE, tags)
        assert violations == [], scheme
        assert "color-contrast" in passes
    set_color_scheme(driver, "light")


def assert_vertical(driver: webdriver.Chrome) -> None:
    """No element is wider than the screen of a phone, a tablet or a computer."""
    for width in (340, 375, 820, 1100, 1400):
        set_width(driver, width)
        assert driver.execute_script(_WIDTHS) == [width, width]


# By default one page of each kind; a thorough run tries more of them.
_PAGES: Final = ["/", "/apps/canary-demo", _WIDE, "/sign-in", _ACTIONS]
_MORE_PAGES: Final = ["/apps", "/apps/search-old", "/apps?q=nothing", "/nope"] if THOROUGH else []


@pytest.mark.parametrize("paths", [*_PAGES, *_MORE_PAGES])
def test_pages_are_accessible_and_scroll_vertically_only(
    chromium: webdriver.Chrome, open_page: OpenPage, full_pages: str, paths: str | tuple[str, ...]
) -> None:
    """axe-core reports nothing: contrast, names, landmarks and order of headings, with all details open; and pages fit."""
    del open_page  # it resets the browser
    for path in (paths,) if isinstance(paths, str) else paths:
        chromium.get(f"{full_pages}{path}")
        if path == _ACTIONS[0]:
            sign_in(chromium)
        if path == _WIDE:
            set_width(chromium, 1400)
            assert chromium.find_element(By.ID, "others").is_displayed()
        chromium.execute_script("for (const details of document.querySelectorAll('details')) details.open = true")
        assert_accessible(chromium)
        assert_vertical(chromium)
