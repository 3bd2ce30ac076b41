"""A real browser, Chromium by its driver: a test that needs it skips where it is missing, or fails where it is required."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Literal

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

REQUIRED = "OCTOSYNC_REQUIRE_CHROMIUM"
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_DRIVER = "chromedriver"
_PATIENCE = 20  # seconds, before a condition that does not come about fails its test
_FLAGS = (
    "--headless",
    "--no-sandbox",  # tests run as root in containers
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-background-timer-throttling",
    "--lang=en-GB",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
    "--disable-lcd-text",  # grey letters make small pictures
)

Scheme = Literal["light", "dark"]


def missing() -> bool:
    """Say whether there is no browser and a test may skip: not where `OCTOSYNC_REQUIRE_CHROMIUM=1` is set."""
    there = shutil.which(_DRIVER) is not None and any(map(shutil.which, _CHROMIUM))
    return os.environ.get(REQUIRED) != "1" and not there


needs_chromium = pytest.mark.skipif(missing(), reason="chromium or chromedriver is not installed")


@contextmanager
def run_browser(profile: Path, *, width: int = 900, height: int = 1000, scale: float = 1) -> Iterator[Chrome]:
    """Run a browser with a profile of its own, its time zone UTC and its scheme light."""
    options = ChromeOptions()
    options.binary_location = next(filter(None, map(shutil.which, _CHROMIUM)), "chromium")
    for flag in (
        *_FLAGS,
        f"--user-data-dir={profile}",
        f"--window-size={width},{height}",
        f"--force-device-scale-factor={scale}",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = ChromeService(executable_path=shutil.which(_DRIVER) or _DRIVER, env={**os.environ, "TZ": "UTC"})
    driver = Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()


def set_color_scheme(driver: Chrome, scheme: Scheme) -> None:
    """Have the browser ask for light or dark."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def set_scripting(driver: Chrome, *, on: bool) -> None:
    """Switch JavaScript on or off for the pages that are loaded from now on."""
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not on})


def console_messages(driver: Chrome) -> list[Any]:
    """Return what the browser's console said since the last time: errors, warnings, violations of the page's policy."""
    return [entry for entry in driver.get_log("browser") if entry["level"] in {"WARNING", "SEVERE"}]  # type: ignore[no-untyped-call]


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until a condition holds; fail where it does not come about."""
    end = monotonic() + _PATIENCE
    while not condition():
        assert monotonic() < end, "it did not come about"
        sleep(0.02)
