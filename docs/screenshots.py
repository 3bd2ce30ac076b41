"""`python -m docs.screenshots`: takes pictures of the status page in both color schemes, with made-up data.

A document shows the picture that matches the color scheme of its reader:

    <picture>
      <source media="(prefers-color-scheme: dark)" srcset="images/status-dark.png">
      <img alt="The status page: 11 apps in sync, one blocked, one held" src="images/status-light.png" width="820">
    </picture>
"""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path
from typing import Final

from docs.executing import ROOT
from tests.support.browser import Scheme, run_browser, set_color_scheme
from tests.support.controller_http import serve_controller
from tests.support.controller_statuses import RecordingApi, pictured_status

_WIDTH: Final = 820
_HEIGHT: Final = 900
_MARGIN: Final = 24  # below the last section
_PORT: Final = 9900  # the port in the commands on the page
_SCHEMES: Final[tuple[Scheme, ...]] = ("light", "dark")


def main() -> None:
    """Write both pictures."""
    folder = ROOT / "docs" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as profile,
        serve_controller(RecordingApi(current=pictured_status()), port=_PORT) as url,
        run_browser(Path(profile), width=_WIDTH, height=_HEIGHT) as browser,
    ):
        for scheme in _SCHEMES:
            set_color_scheme(browser, scheme)
            browser.get(url)
            end = browser.execute_script(
                "return document.getElementById('budget-section').getBoundingClientRect().bottom"
            )
            clip = {"x": 0, "y": 0, "width": _WIDTH, "height": end + _MARGIN, "scale": 1}
            picture = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
            (folder / f"status-{scheme}.png").write_bytes(base64.b64decode(picture["data"]))


if __name__ == "__main__":
    main()
