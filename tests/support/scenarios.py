"""Scenarios: folders with declared state, live state and the expected results of octosync.

    tests/scenarios/NNN-what/
        manifests/       the declared state
        octosync.yaml    optional; http://127.0.0.1:8787 in it is replaced by the control plane's URL
        args             optional: additional arguments of plan and apply, as a shell reads them
        apply-args       optional: additional arguments of the first apply only
        live.json        the live state before (see below)
        plan.txt         the output of `octosync plan`, with its exit code
        plan.json, plan.md, plan.github.txt, plan.sarif, plan.jsonl    the files that the same run writes with `--write`
        requests.txt     optional, may be empty: the requests of plan, sorted
        after.json       the live state after `octosync apply`; missing if apply may change nothing
        apply.txt        the output of `octosync apply`, if its exit code is not 0 or it has additional arguments
        then             optional: commands to run after that, one per line, without the word `octosync`;
                         `/tick {"seconds": 60}` is a request to the server's local controls
        then.txt         their output

live.json and after.json have the same format; the fields of slots, apps and configs are those of the API:

    {"apps": {"search": {"name": "Search", "archived": false, "targets": ["ios:com.acme.search"],
                         "slots": {"chat": {"serving_policy": "local_first"}}, "inference_config": {…},
                         "deployments": [{"capability": "chat", "environment": "production", "status": "active",
                                          "model_variant_id": "lean",
                                          "canary": {"candidate_variant_id": "deep", "percentage": 30}}]}}}

A slot has the variant of its last deployment unless it states another one. A canary's candidate is the best variant for
the app. In after.json a deployment has its assigned `targets`. Only live.json may have these fields:

    of an app   "devices": {"ios:com.acme.search": {"high": 90}}    number of devices per class
                "requests": {"chat": {"local": 900, "cloud": 30}}   numbers in the routing statistics
    "catalog": {"lean": {}, "deep": {"quality": 1.2}}               variants that replace the default ones
    "by": {"app/search/slot/chat": "ana"}                           authors of objects, if not `ci`
    "allowed": {"slot_fields": ["speculative"]}                     additions of this control plane to the contract
    "require_approval": ["production"]                              needs approval until apply has ended
    "faults": [{"operation": "apps.get", "slug": "search",          faults until apply has ended
                "action": "status", "status": 500}]

`test_scenario` has further promises that hold for every scenario. `OCTOSYNC_UPDATE_GOLDEN=1` writes the expected files and
fails the test, so that the new files are reviewed before they are used.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tests.support.clients import KEY
from tests.support.embedded_planes import EmbeddedPlane, ok, run_plane
from tests.support.live_state import PEOPLE, Live, load, read, set_faults
from tests.support.plane import writes_in
from tests.support.workdirs import CommandResult, Workdir

from octosync import __version__
from octosync.server import Token

HIDDEN = "hunter2"  # a word of a scenario with these letters must not be in any output
_ACTOR = "ana"
_PLACEHOLDER_URL = "http://127.0.0.1:8787"


@dataclass(frozen=True)
class Scenario:
    """The folder of one scenario."""

    folder: Path

    @property
    def arguments(self) -> tuple[str, ...]:
        """The arguments of plan and apply in addition to the manifests and the control plane."""
        return self._words("args")

    @property
    def apply_arguments(self) -> tuple[str, ...]:
        """The additional arguments of the first apply."""
        return self._words("apply-args")

    @property
    def counts_requests(self) -> bool:
        """Whether the scenario has an expectation for plan's requests."""
        return (self.folder / "requests.txt").exists()

    @property
    def then(self) -> tuple[str, ...]:
        """The commands to run at the end."""
        return tuple(self._text("then").splitlines())

    @property
    def live(self) -> Live:
        """The live state before."""
        live: Live = json.loads((self.folder / "live.json").read_text())
        return live

    @cached_property
    def hidden(self) -> tuple[bytes, ...]:
        """The texts that must not be in any output: the API keys, and every word of the scenario with the hidden letters."""
        texts = [path.read_text() for path in self.folder.rglob("*") if path.is_file()]
        words = {word for text in texts for word in re.findall(rf"[\w-]*{HIDDEN}[\w-]*", text)}
        return (KEY.encode(), *(key.encode() for key in PEOPLE.values()), *sorted(word.encode() for word in words))

    def _words(self, name: str) -> tuple[str, ...]:
        return tuple(shlex.split(self._text(name)))

    def _text(self, name: str) -> str:
        file = self.folder / name
        return file.read_text() if file.exists() else ""


@dataclass
class ScenarioRun:
    """A scenario that is set up: its control plane, and a working directory with its files."""

    scenario: Scenario
    plane: EmbeddedPlane
    workdir: Workdir
    written: list[str] = field(default_factory=list)

    def octosync(
        self, command: str, *arguments: str, faults: bool = False, paths: Sequence[str] = ("manifests",)
    ) -> CommandResult:
        """Run a command, optionally with the scenario's faults; record its output."""
        set_faults(self.plane, self.scenario.live, on=faults)
        ran = self.workdir.octosync(
            command, *self._where(paths), *self.scenario.arguments, *arguments, GITHUB_ACTOR=_ACTOR
        )
        set_faults(self.plane, self.scenario.live, on=False)
        self.written += [ran.stdout, ran.stderr]
        return ran

    def plan(self, *arguments: str, paths: Sequence[str] = ("manifests",)) -> CommandResult:
        """Plan."""
        return self.octosync("plan", *arguments, faults=True, paths=paths)

    def apply(self, *arguments: str, faults: bool = False) -> CommandResult:
        """Apply without confirmation."""
        return self.octosync("apply", "--yes", *arguments, faults=faults)

    def then(self) -> str | None:
        """Run the commands of `then`, and return their transcript; None if there are none."""
        transcripts = []
        for command in self.scenario.then:
            if command.startswith("/"):
                path, _, body = command.partition(" ")
                ok(self.plane.local.post(path, content=body, headers={"Content-Type": "application/json"}))
                transcripts.append(f"> {command}\n")
                continue
            typed = shlex.split(command.replace(_PLACEHOLDER_URL, self.plane.running.url))
            ran = self.workdir.octosync(*typed, OCTOSYNC_URL=self.plane.running.url, GITHUB_ACTOR=_ACTOR)
            self.written += [ran.stdout, ran.stderr]
            transcripts.append(_timeless(self._shown(f"octosync {command}", ran)))
        return "\n".join(transcripts) if transcripts else None

    def requests(self) -> list[str]:
        """Return `METHOD path?query` of the requests since the last call."""
        log = ok(self.plane.local.get("/requests-log", params={"clear": "true"}))["requests"]
        return [f"{entry['method']} {entry['path'].removeprefix('/api/v1')}" for entry in log]

    def writes(self) -> list[str]:
        """Return `METHOD path` of the writes since the last call."""
        return writes_in(line.partition("?")[0] for line in self.requests())

    def state(self) -> Live:
        """Return the live state in the format of live.json."""
        return read(self.plane)

    def normalised(self, text: str) -> str:
        """Replace the parts that differ between runs: port, times, ids, the keys of a new app, octosync's version."""
        port = self.plane.running.url.rpartition(":")[2]
        text = text.replace(f"127.0.0.1:{port}", "127.0.0.1:8787")
        text = re.sub(r'"@timestamp": "[^"]*"', '"@timestamp": "2026-03-01T12:00:00.000Z"', text)
        text = re.sub(r'"timestamp": "[^"]*"', '"timestamp": "2026-03-01T12:00:00Z"', text)
        text = re.sub(r"\d{8}T\d{6}Z-[0-9a-f]{6}", "20260301T120000Z-0a1b2c", text)
        text = re.sub(r"req_[0-9a-f]{12}", "req_0123456789ab", text)
        text = re.sub(r"oct_(app|pub)_test_[\w-]{32}", r"oct_\1_test_0123456789abcdef", text)
        return re.sub(
            rf'(octosync |"octosync_version": "|"semanticVersion": "|embedded ){re.escape(__version__)}\b',
            r"\g<1>0.0.0",
            text,
        )

    def transcript(self, command: str, ran: CommandResult) -> str:
        """Return the command line, output and exit code of plan or apply."""
        typed = ("octosync", *shlex.split(command), *self._where(["manifests"]), *self.scenario.arguments)
        return self._shown(shlex.join(typed), ran)

    def _shown(self, typed: str, ran: CommandResult) -> str:
        return self.normalised(f"$ {typed}\n{ran.stdout}{ran.stderr}exit {ran.code}\n")

    def _where(self, paths: Sequence[str]) -> tuple[str, ...]:
        configured = (self.scenario.folder / "octosync.yaml").exists()
        manifests = (part for path in paths for part in ("-f", path))
        return (*manifests, *(() if configured else ("--url", self.plane.running.url)))


def _timeless(text: str) -> str:
    """Replace what the journal has of this machine: its name, times and durations."""
    host = re.escape(socket.gethostname())
    text = re.sub(rf'(?<= on ){host}(?=, octosync)|(?<="host": "){host}(?=")', "laptop", text)
    text = re.sub(r"20\d\d-\d\d-\d\dT[\d:]+(\.\d+)?Z", "2026-03-01T12:00:00Z", text)
    text = re.sub(r"20\d\d-\d\d-\d\d \d\d:\d\d UTC", "2026-03-01 12:00 UTC", text)
    text = re.sub(r'"seconds": [\d.]+', '"seconds": 0.1', text)
    text = re.sub(r"took [\d.]+ m?s\b", "took 0.1 s", text)
    return re.sub(r"  +[\d.]+ m?s  +(?=\d+ |req_)", "  0.1 s  ", text)


@contextmanager
def scenario_run(scenario: Scenario, directory: Path) -> Iterator[ScenarioRun]:
    """Set a scenario up: create the state of live.json over the API, and copy its files to a working directory."""
    keys = {"ci": KEY, **PEOPLE}
    with run_plane(KEY, tokens=tuple(Token(name, key) for name, key in keys.items())) as plane:
        load(plane, scenario.live)
        shutil.copytree(scenario.folder / "manifests", directory / "manifests")
        configuration = scenario.folder / "octosync.yaml"
        if configuration.exists():
            text = configuration.read_text().replace(_PLACEHOLDER_URL, plane.running.url)
            (directory / "octosync.yaml").write_text(text)
        ok(plane.local.delete("/requests-log"), 204)
        yield ScenarioRun(scenario, plane, Workdir(directory, {"OCTOMIL_API_KEY": KEY}))


def expect(scenario: Scenario, found: Mapping[str, str | None]) -> None:
    """Compare files of a scenario with the results; None means that there must be no such file."""
    if os.environ.get("OCTOSYNC_UPDATE_GOLDEN") == "1":
        for name, text in found.items():
            (scenario.folder / name).unlink(missing_ok=True)
            if text is not None:
                (scenario.folder / name).write_text(text, encoding="utf-8", newline="")
        raise AssertionError(f"{scenario.folder.name} was written: review it, then run the test again")
    for name, text in found.items():
        file = scenario.folder / name
        assert text == (file.read_text(encoding="utf-8") if file.exists() else None), name


def as_file(value: Live) -> str:
    """Return JSON in the format of a scenario's file."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
