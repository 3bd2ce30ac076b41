"""A real Chromium through its driver. Tests that need it are skipped if it is missing, or fail if it is required."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Literal

import pytest
from selenium import webdriver  # imports the driver of Chromium when it is used

REQUIRED = "OCTOSYNC_REQUIRE_CHROMIUM"
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_DRIVER = "chromedriver"
_PATIENCE = 20  # seconds until a condition that still does not hold fails its test
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
    "--process-per-site",  # a process per page takes a tenth of a second of CPU
    "--disable-site-isolation-trials",
    "--disable-features=IsolateOrigins,site-per-process,SpareRendererForSitePerProcess",
    "--disable-background-timer-throttling",
    "--lang=en-GB",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
    "--disable-lcd-text",  # grey letters make small pictures
)

Scheme = Literal["light", "dark"]


def missing() -> bool:
    """Return whether the browser is missing and tests may be skipped; never with `OCTOSYNC_REQUIRE_CHROMIUM=1`."""
    installed = shutil.which(_DRIVER) is not None and any(map(shutil.which, _CHROMIUM))
    return os.environ.get(REQUIRED) != "1" and not installed


needs_chromium = pytest.mark.skipif(missing(), reason="chromium or chromedriver is not installed")


@contextmanager
def run_browser(profile: Path, *, width: int = 900, height: int = 1000, scale: float = 1) -> Iterator[webdriver.Chrome]:
    """Run a browser with its own profile, the time zone UTC and the light colour scheme."""
    options = webdriver.ChromeOptions()
    options.binary_location = next(filter(None, map(shutil.which, _CHROMIUM)), "chromium")
    for flag in (
        *_FLAGS,
        f"--user-data-dir={profile}",
        f"--window-size={width},{height}",
        f"--force-device-scale-factor={scale}",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=shutil.which(_DRIVER) or _DRIVER, env={**os.environ, "TZ": "UTC"})
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()


def set_color_scheme(driver: webdriver.Chrome, scheme: Scheme) -> None:
    """Make the browser prefer the light or the dark colour scheme."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def set_scripting(driver: webdriver.Chrome, *, on: bool) -> None:
    """Enable or disable JavaScript for the pages that are loaded from now on."""
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not on})


def console_messages(driver: webdriver.Chrome) -> list[Any]:
    """Return the new entries of the browser's console: errors, warnings, violations of the content security policy."""
    return [entry for entry in driver.get_log("browser") if entry["level"] in {"WARNING", "SEVERE"}]  # type: ignore[no-untyped-call]


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until a condition holds; fail if it does not hold in time."""
    end = monotonic() + _PATIENCE
    while not condition():
        assert monotonic() < end, "the condition never held"
        sleep(0.02)
