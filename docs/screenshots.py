"""`python -m docs.screenshots`: takes pictures of the status page and of the comment on a pull request, in both color schemes.

The data of the status page is made up. The comment is the Markdown report of a scenario, with colors and spacing like GitHub's.

A document shows the picture that matches the color scheme of its reader:

    <picture>
      <source media="(prefers-color-scheme: dark)" srcset="images/status-dark.png">
      <img alt="The status page" src="images/status-light.png" width="820">
    </picture>
"""

from __future__ import annotations

import base64
import re
import tempfile
from pathlib import Path
from typing import Final

from docs.executing import ROOT
from markdown_it import MarkdownIt
from selenium.webdriver import Chrome
from tests.support.browser import Scheme, run_browser, set_color_scheme
from tests.support.controller_http import serve_controller
from tests.support.controller_statuses import RecordingApi, pictured_status

_WIDTH: Final = 820
_WIDE: Final = 1280  # the page has two columns
_HEIGHT: Final = 900
_MARGIN: Final = 24  # below the last section
_PORT: Final = 9900  # the port in the commands on the page
_SCHEMES: Final[tuple[Scheme, ...]] = ("light", "dark")
_IMAGES: Final = ROOT / "docs" / "images"
_REPORT: Final = ROOT / "tests" / "scenarios" / "100-a-plan-as-markdown" / "plan.md"
_STYLE: Final = ROOT / "docs" / "comment.css"


def main() -> None:
    """Write all pictures."""
    _IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, run_browser(Path(folder), width=_WIDTH, height=_HEIGHT) as browser:
        with serve_controller(RecordingApi(current=pictured_status()), port=_PORT) as url:
            for scheme in _SCHEMES:
                set_color_scheme(browser, scheme)
                browser.get(url)
                _resize(browser, _WIDTH)
                _take(browser, f"status-{scheme}.png", last="#app-camera")
                _resize(browser, _WIDE)
                _take(browser, f"status-wide-{scheme}.png", last="#app-captions")
                _resize(browser, _WIDTH)
        for scheme in _SCHEMES:
            page = Path(folder) / "comment.html"
            page.write_text(comment_page(_REPORT.read_text(encoding="utf-8"), scheme), encoding="utf-8")
            browser.get(page.as_uri())
            _take(browser, f"comment-{scheme}.png", last="main > details:nth-of-type(2)", margin=8)


def comment_page(report: str, scheme: Scheme) -> str:
    """Return an HTML page that shows a Markdown report as a comment on GitHub."""
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(report)
    html = re.sub(r"<blockquote>\s*<p>\[!(\w+)\]", _alert, html)
    html = re.sub(r'(?s)(<code class="language-diff">)(.*?)(</code>)', _colored_diff, html)
    return (
        f'<!doctype html><html data-scheme="{scheme}"><meta charset="utf-8"><style>{_STYLE.read_text(encoding="utf-8")}</style>'
        f"<article><header><b>github-actions</b> commented</header><main>{html}</main></article></html>"
    )


def _alert(start: re.Match[str]) -> str:
    return f'<blockquote class="{start[1].lower()}"><b>{start[1].capitalize()}</b><p>'


def _colored_diff(diff: re.Match[str]) -> str:
    kinds = {"+": "add", "-": "remove", "!": "change"}
    lines = (f'<span class="{kinds.get(line[:1], "")}">{line}</span>' for line in diff[2].splitlines())
    return diff[1] + "\n".join(lines) + diff[3]


def _resize(browser: Chrome, width: int) -> None:
    metrics = {"width": width, "height": _HEIGHT, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def _take(browser: Chrome, name: str, *, last: str, margin: int = _MARGIN) -> None:
    """Write a picture of the page up to the element that the selector `last` names."""
    width = browser.execute_script("return document.documentElement.clientWidth")
    end = browser.execute_script("return document.querySelector(arguments[0]).getBoundingClientRect().bottom", last)
    clip = {"x": 0, "y": 0, "width": width, "height": end + margin, "scale": 1}
    picture = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    (_IMAGES / name).write_bytes(base64.b64decode(picture["data"]))


if __name__ == "__main__":
    main()
