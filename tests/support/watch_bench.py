"""A test bench for `octosync watch` processes: manifests in a folder, a control plane, and a proxy between the two."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx
from tests.support.controllers import manifest
from tests.support.plane import Plane
from tests.support.processes import PATIENCE, Parent, Process, WatchProcess, Zygote
from tests.support.proxies import Proxy, run_proxy

from octosync.contract import PRESETS
from octosync.server import ServerSettings, Token, running_server

ADMIN = "admin-token-of-the-bench"
# Guards that never block, for tests about other things.
LOOSE = "guards: {maxDeletes: 1000, maxDeletePercent: 100, minObjects: 1000}\n"
QUICK = ("--interval", "1s", "--resync", "10m", "--drift-hold", "0")


@dataclass
class Bench:
    """The parts of the bench. `keys` must never be in any output or file."""

    folder: Path
    zygote: Parent
    serving: ExitStack
    plane: Plane
    proxy: Proxy
    teammate: httpx.AsyncClient  # its requests pass through the proxy, too
    tokens: tuple[str, ...] = ()
    keys: list[str] = field(default_factory=list)
    watches: list[WatchProcess] = field(default_factory=list)
    _numbers: Callable[[], int] = field(default_factory=lambda: count(1).__next__)

    @property
    def apps(self) -> Path:
        """The folder of the manifests."""
        return self.folder / "apps"

    @property
    def state(self) -> Path:
        """The state file."""
        return self.folder / ".octosync" / "state.db"

    def declare(self, slug: str = "demo", **spec: Any) -> Path:
        """Write an app's manifest as editors do: a new file replaces the old one in one step."""
        path = self.apps / f"{slug}.json"
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_name(f".{slug}.tmp")
        temporary.write_text(manifest(slug, **{"slots": {"chat": "local_first"}, **spec}))
        return temporary.rename(path)

    def start(self, *argv: str | Path, **environment: str) -> Process:
        """Start any command as a separate process."""
        pid, out, err = self._begin(tuple(map(str, argv)), environment)
        return Process(self.zygote, pid, out, err)

    def watch(self, *flags: str | Path, paths: tuple[str, ...] = ("apps",), **environment: str) -> WatchProcess:
        """Start a controller on the manifests that uses the control plane through the proxy."""
        argv = ["watch", *(part for path in paths for part in ("-f", path)), "--url", self.proxy.url, *map(str, flags)]
        if "--listen" not in flags:
            argv += ["--listen", "127.0.0.1:0"]
        argv += ["--log-format", "json", "--rate", "0"]
        pid, out, err = self._begin(tuple(argv), {"OCTOSYNC_ADMIN_TOKEN": ADMIN, **environment})
        watch = WatchProcess(self.zygote, pid, out, err, admin_token=ADMIN)
        self.watches.append(watch)
        return watch

    def live(self, slug: str = "demo", capability: str = "chat") -> str | None:
        """Return a slot's live serving policy by its name in manifests; None if there is no such slot or app."""
        answer = self.plane.http.get(f"/api/v1/apps/{slug}/slots")
        slots = [] if answer.status_code == 404 else answer.raise_for_status().json()["slots"]
        policies = [slot["serving_policy"] for slot in slots if slot["capability"] == capability]
        return next((name for name, policy in PRESETS.items() if [policy] == policies), None)

    async def as_teammate(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Send a request as a teammate, through the proxy."""
        answer = await self.teammate.request(method, f"/api/v1{path}", json=body)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def act_as(self, key: str) -> None:
        """Use another key for the test's own requests."""
        for http in (self.plane.http, self.teammate):
            http.headers["Authorization"] = f"Bearer {key}"

    def restart_server(self, *tokens: str) -> None:
        """Stop the control plane, and start one with other tokens on the same port and database."""
        self.serving.close()
        self.serving.enter_context(running_server(_settings(self.folder, tokens), port=self.proxy.upstream[1]))

    def close(self) -> None:
        """Check every process, however it ended: no traceback, no defect event, and no key in output or state files."""
        texts = {str(watch.err): watch.stderr + watch.stdout for watch in self.watches}
        files = {str(path): path.read_bytes() for path in self.folder.glob(".octosync/*") if path.is_file()}
        for name, text in texts.items():
            assert "Traceback" not in text, f"{name}: {text[-3000:]}"
            assert '"event": "defect"' not in text, f"{name}: {text[-3000:]}"
            assert not [key for key in (*self.keys, ADMIN) if key in text], name
        for name, data in files.items():
            assert not [key for key in (*self.keys, ADMIN) if key.encode() in data], name

    def _begin(self, argv: tuple[str, ...], environment: Mapping[str, str]) -> tuple[int, Path, Path]:
        number = self._numbers()
        out, err = self.folder / f"out-{number}", self.folder / f"err-{number}"
        return self.zygote.start(argv, self.folder, environment, out, err), out, err


@asynccontextmanager
async def watch_bench(folder: Path, zygote: Zygote, *tokens: str) -> AsyncIterator[Bench]:
    """Set a bench up. With `tokens` (`NAME:KEY`) a key is required; the test's own requests use the first one.

    The control plane runs in a thread of the test: only the controllers are processes.
    """
    (folder / "apps").mkdir()
    (folder / "octosync.yaml").write_text(LOOSE)
    keys = [token.partition(":")[2] for token in tokens]
    headers = {"Authorization": f"Bearer {keys[0]}"} if keys else {}
    with ExitStack() as serving:
        url = serving.enter_context(running_server(_settings(folder, tokens))).url
        async with (
            run_proxy(url) as proxy,
            httpx.AsyncClient(base_url=proxy.url, headers=headers, trust_env=False) as teammate,
        ):
            with httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=PATIENCE) as http:
                bench = Bench(folder, zygote, serving, Plane(url, http), proxy, teammate, tokens, keys)
                try:
                    yield bench
                finally:
                    for watch in bench.watches:
                        await watch.stop(signal.SIGKILL)
                        watch.http.close()
                bench.close()


def _settings(folder: Path, tokens: Iterable[str]) -> ServerSettings:
    named = (token.partition(":") for token in tokens)
    return ServerSettings(db=folder / "plane.db", tokens=tuple(Token(name, key) for name, _, key in named))
