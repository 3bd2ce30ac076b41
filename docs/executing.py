"""Documents that are true: their files are written, their commands run, and the output that they show is what came out.

In a Markdown document, in its order,

- a `yaml` block whose first line is a comment with a path is written to that path,
- each line of an `sh` block is run, and must exit with 0,
- in a `console` block, lines after `$ ` are run, and what follows is their output; `echo $?` shows the exit code,
  and only before it may a command fail.

All of it happens in one folder that is empty at first. `127.0.0.1:8787` and `https://api.octomil.com` are embedded control
planes, never the real one. `octosync watch` runs until the document ends, or a further one begins, and must then end well; its
page is `127.0.0.1:9900`. Nobody knows how long something takes there, so what is asked of it in a `console` block is asked again
until it is as shown, for a while.

No document depends on the day on which it runs: the freeze windows of its octosync.yaml are moved by half a year.

What installs or builds the project is not run: of `make`, the targets are looked up. Of kubectl, what needs no cluster is run: a
kustomization that is shown or applied is rendered, beside a copy of deploy/kubernetes.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from docs.watching import UntrueDocumentError, Watch, while_patient

from octosync.server import Settings, running

ROOT: Final = Path(__file__).resolve().parents[1]
INSTALLED: Final = Path(sys.executable).parent

_LOCAL, _PUBLIC = "127.0.0.1:8787", "https://api.octomil.com"
_PAGE: Final = "127.0.0.1:9900"
_NOT_RUN: Final = ("git clone ", "pip install ", "python3 -m venv ", ". .venv/bin/activate", ".ci/run")
_FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE: Final = re.compile(r"# ([\w./-]+\.yaml)\n")
# A run's id, a keyed digest, and a time: what is another one each time.
_CHANGING: Final = re.compile(
    r"\b\d{8}T\d{6}Z-[0-9a-f]{6}\b|\bseen=[0-9a-f]{16}\b|"
    r"\b\d{4}-\d\d-\d\d(?: \d\d:\d\d UTC\b|T\d\d:\d\d:\d\dZ)"
)

# A freeze window's cron expression; the month is the last group.
_CRON: Final = re.compile(r"""(\bcron:\s*["']?(?:\S+\s+){3})(\S+)""")


@dataclass
class _Session:
    """What a reader has done so far, who types everything in its order."""

    folder: Path
    address: str  # host and port of the control plane that stands for 127.0.0.1:8787
    servers: ExitStack
    commands: Path  # the folder that `octosync` is in
    watch: Watch | None = None
    files: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    code: int = 0

    def write(self, name: str, text: str) -> None:
        self.files[name] = text
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_out_of_season(self._real(text)), encoding="utf-8")

    def run(self, command: str, *, may_fail: bool) -> str:
        """Run one line and return what it prints. Raises `UntrueDocumentError` where it fails and may not."""
        words = shlex.split(command, comments=True)
        if command == "echo $?":
            return f"{self.code}\n"
        if words[0] == "make":
            _check_targets(words[1:])
        elif words[0] == "export":
            self.variables |= dict(word.split("=", 1) for word in words[1:])
        elif words[:2] == ["octosync", "server"]:
            self._serve(words[2:])
        elif words[:2] == ["octosync", "watch"] and "--help" not in words:
            self._watch(words[2:])
        elif words[0] == "kubectl":
            self._render(words[1:])
        elif not command.startswith(_NOT_RUN):
            return self._typed(command, may_fail=may_fail)
        return ""

    def _typed(self, command: str, *, may_fail: bool) -> str:
        ended = subprocess.run(  # noqa: S602 — a document's commands are for a shell
            self._real(command),
            shell=True,
            cwd=self.folder,
            env=_environment(self.commands) | self.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.code = ended.returncode
        if self.code and not may_fail:
            raise UntrueDocumentError(f"`{command}` exits with {self.code}:\n{ended.stdout}")
        return self._documented(ended.stdout)

    def _serve(self, flags: list[str]) -> None:
        """Start a server, which from now on is the one at the address that documents name."""
        server = self.servers.enter_context(
            subprocess.Popen(  # noqa: S603 — octosync itself, with flags from a document
                [sys.executable, "-m", "octosync", "server", *flags, "--port", "0"],
                cwd=self.folder,
                env=_environment(self.commands),
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        self.servers.callback(server.terminate)
        assert server.stderr is not None  # noqa: S101 — it was asked for
        first = server.stderr.readline()
        found = re.search(r"listens on http://(\S+)", first)
        if found is None:
            raise UntrueDocumentError(f"`octosync server {shlex.join(flags)}` does not serve: {first}")
        self.address = found[1]
        for name, text in self.files.items():
            self.write(name, text)

    def _watch(self, flags: list[str]) -> None:
        """Start a watch, in the place of the one that runs, if there is one."""
        self.end()
        log = Path(self.servers.enter_context(tempfile.TemporaryDirectory())) / "watch.log"
        self.watch = Watch.start(
            [self._real(flag) for flag in flags], self.folder, _environment(self.commands) | self.variables, log
        )
        self.servers.callback(self.watch.kill)

    def end(self) -> None:
        """End the watch that runs, if there is one. Raises as `Watch.stop`."""
        watch, self.watch = self.watch, None
        if watch is not None:
            watch.stop()

    def printed(self, command: str, shown: str, *, may_fail: bool) -> str:
        """Run a line whose output is shown; where a watch is asked, again until it answers that, or patience ends."""
        printed = ""
        for _ in while_patient():
            printed = self.run(command, may_fail=may_fail or self._asks(command))
            if not self._asks(command) or _is_same(shown, printed):
                break
        return printed

    def _asks(self, command: str) -> bool:
        return self.watch is not None and _PAGE in command and command.startswith("curl ") and " -X " not in command

    def _render(self, words: list[str]) -> None:
        """Render the kustomization that a kubectl command names, where there is kubectl."""
        shown = words[1] if words[0] == "kustomize" else words[words.index("-k") + 1] if "-k" in words else None
        if shown is None or shutil.which("kubectl") is None:
            return
        shutil.copytree(ROOT / "deploy" / "kubernetes", self.folder / "deploy" / "kubernetes", dirs_exist_ok=True)
        self._typed(shlex.join(("kubectl", "kustomize", shown)), may_fail=False)

    def _real(self, text: str) -> str:
        text = text.replace(_LOCAL, self.address).replace(_PUBLIC, f"http://{self.address}")
        return text if self.watch is None else text.replace(_PAGE, self.watch.page)

    def _documented(self, text: str) -> str:
        text = text.replace(self.address, _LOCAL)
        return text if self.watch is None else text.replace(self.watch.page, _PAGE)


def executed(text: str, folder: Path, commands: Path = INSTALLED) -> str:
    """Do what a document says, in an empty folder, and return the document with the output that came of it.

    `commands` is the folder of the `octosync` that is typed.
    Raises `UntrueDocumentError` for a command that fails, and for a `make` target that does not exist.
    """
    with _session(folder, commands) as session:
        text = _FENCE.sub(lambda fence: _block(fence, session), text)
        session.end()
    return text


@contextmanager
def _session(folder: Path, commands: Path) -> Iterator[_Session]:
    with running(Settings()) as plane, ExitStack() as servers:
        yield _Session(folder, plane.url.removeprefix("http://"), servers, commands)


def _block(fence: re.Match[str], session: _Session) -> str:
    language, body = fence[1], fence[2]
    if language == "yaml" and (file := _FILE.match(body)) is not None:
        session.write(file[1], body)
    elif language == "sh":
        for line in body.splitlines():
            if line and not line.startswith("#"):
                session.run(line, may_fail=False)
    elif language == "console":
        return f"```console\n{_transcript(body, session)}```"
    return fence[0]


def _transcript(body: str, session: _Session) -> str:
    steps = re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]
    lines = []
    for step, following in zip(steps, [*steps[1:], ""], strict=True):
        command, _, shown = step.partition("\n")
        printed = session.printed(command, shown, may_fail=following.startswith("echo $?"))
        same = _is_same(shown, printed)
        # As it was where only a run's id or a time differs; an empty line before the next command is the writer's.
        gap = "\n" if following and shown.endswith("\n\n") else ""
        lines.append(f"$ {command}\n{shown if same else printed + gap}")
    return "".join(lines)


def _out_of_season(text: str) -> str:
    """Move the cron expressions of a file to another month, so that no freeze window is open while a document runs."""
    far = (datetime.now(UTC).month + 5) % 12 + 1
    return _CRON.sub(rf"\g<1>{far}", text)


def _is_same(shown: str, printed: str) -> bool:
    return _CHANGING.sub("", shown.rstrip("\n")) == _CHANGING.sub("", printed.rstrip("\n"))


def _check_targets(targets: list[str]) -> None:
    known = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for target in targets:
        if "=" not in target and target not in known:
            raise UntrueDocumentError(f"the Makefile has no target {target}")


def _environment(commands: Path) -> dict[str, str]:
    """Return an environment where `octosync` is this one, and nothing steers it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OCTOSYNC_", "OCTOMIL_"))}
    path = f"{commands}{os.pathsep}{INSTALLED}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {**kept, "PATH": path, "NO_COLOR": "1"}
