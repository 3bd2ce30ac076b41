"""`python -m docs.screenshots`: takes the pictures of the status page, in both schemes, from a standing that never was."""

from __future__ import annotations

import asyncio
import base64
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from docs.executing import ROOT
from tests.support.browsing import Scheme, browsing, prefer
from tests.support.standings import ADMIN_TOKEN, Noting, pictured_standing

from octosync.model import Secret
from octosync.watch.standing import Standing
from octosync.watch.web import Source, create_app, listening, serving

_WIDTH: Final = 820
_HEIGHT: Final = 900
_PORT: Final = 9900  # as in the commands that the page shows
_SCHEMES: Final[tuple[Scheme, ...]] = ("light", "dark")


def main() -> None:
    """Write both pictures."""
    folder = ROOT / "docs" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as profile,
        _served(pictured_standing()) as url,
        browsing(Path(profile), width=_WIDTH, height=_HEIGHT) as browser,
    ):
        for scheme in _SCHEMES:
            prefer(browser, scheme)
            browser.get(url)
            height = browser.execute_script("return document.documentElement.scrollHeight")
            clip = {"x": 0, "y": 0, "width": _WIDTH, "height": height, "scale": 1}
            picture = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
            (folder / f"status-{scheme}.png").write_bytes(base64.b64decode(picture["data"]))


@contextmanager
def _served(standing: Standing) -> Iterator[str]:
    """Serve a standing in a thread."""
    source = Source(
        control=Noting(said=standing),
        metrics=bytes,
        metrics_type="text/plain",
        admin_token=Secret(ADMIN_TOKEN),
    )
    ready, stop = threading.Event(), asyncio.Event()
    found: list[tuple[str, asyncio.AbstractEventLoop]] = []

    async def serve() -> None:
        with listening("127.0.0.1", _PORT) as listener:
            async with serving(create_app(source), listener) as served:
                found.append((served.url, asyncio.get_running_loop()))
                ready.set()
                await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    ready.wait(10)
    (url, loop) = found[0]
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


if __name__ == "__main__":
    main()
