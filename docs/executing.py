"""Runs the commands of Markdown documents and compares their output with the document.

For each block of a document, in order:

- a `yaml` block whose first line is a comment with a path is written to that path,
- each line of an `sh` block is run, and must exit with 0; a line that ends with a backslash continues on the next one,
- in a `console` block, lines after `$ ` are run, and the lines below are their output. `echo $?` shows the exit code. A command
  may fail only before `echo $?`.

The commands run in a new folder. `127.0.0.1:8787` and `https://api.octomil.com` are embedded control planes, never the real one.
`octosync watch` runs until the document ends or starts another one, and must exit with 0; its page is `127.0.0.1:9900`. Its
progress takes time, so a `console` command that queries the page is repeated until the output matches, for a limited time.

Commands that name examples/ find a copy of that folder.

No document depends on the current date: the freeze windows of its octosync.yaml are moved by half a year.

Commands that install or build the project are not run; for `make`, only the targets are checked. For kubectl, the kustomization
of the command is rendered, next to a copy of deploy/kubernetes.
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

from octosync.server import ServerSettings, running_server

ROOT: Final = Path(__file__).resolve().parents[1]
INSTALLED: Final = Path(sys.executable).parent

_LOCAL, _PUBLIC = "127.0.0.1:8787", "https://api.octomil.com"
_PAGE: Final = "127.0.0.1:9900"
_NOT_RUN: Final = ("git clone ", "pip install ", "python3 -m venv ", ". .venv/bin/activate", ".ci/run")
_FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CONTINUED: Final = re.compile(r"\\\n\s*")
_TYPED: Final = re.compile(r"((?:.*\\\n)*.*)\n?")  # a command at the start of a text
_FILE: Final = re.compile(r"# ([\w./-]+\.yaml)\n")
# Values that differ in each run: run IDs, keyed digests, commits and times.
_CHANGING: Final = re.compile(
    r"\b\d{8}T\d{6}Z-[0-9a-f]{6}\b|\bseen=[0-9a-f]{16}\b|\b[0-9a-f]{12}(?=:[\w./-]+:\d)|"
    r"\b\d{4}-\d\d-\d\d(?: \d\d:\d\d UTC\b|T\d\d:\d\d:\d\dZ)"
)

# Commits of a document need an author, and nothing of the user's Git configuration.
_AUTHOR: Final = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    **{f"GIT_{role}_NAME": "Ana" for role in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{role}_EMAIL": "ana@example.com" for role in ("AUTHOR", "COMMITTER")},
}

# A freeze window's cron expression; the month is the last group.
_CRON: Final = re.compile(r"""(\bcron:\s*["']?(?:\S+\s+){3})(\S+)""")


@dataclass
class _Session:
    """The state of a document's execution: files, variables, processes and the last exit code."""

    folder: Path
    address: str  # host and port of the control plane in place of 127.0.0.1:8787
    servers: ExitStack
    commands: Path  # the folder with the `octosync` command
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
        """Run a line and return its output. Raise `UntrueDocumentError` if it fails and must not."""
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
        if "examples/" in command:
            shutil.copytree(ROOT / "examples", self.folder / "examples", dirs_exist_ok=True)
        ended = subprocess.run(  # noqa: S602 — the commands of a document use shell syntax
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
        """Start a server in place of the address that documents use."""
        server = self.servers.enter_context(
            subprocess.Popen(  # noqa: S603 — octosync itself, with flags from a document
                ["octosync", "server", *flags, "--port", "0"],  # noqa: S607 — the one on the PATH
                cwd=self.folder,
                env=_environment(self.commands),
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        self.servers.callback(server.terminate)
        assert server.stderr is not None  # noqa: S101 — stderr=PIPE
        first = server.stderr.readline()
        found = re.search(r"listens on http://(\S+)", first)
        if found is None:
            raise UntrueDocumentError(f"`octosync server {shlex.join(flags)}` does not serve: {first}")
        self.address = found[1]
        for name, text in self.files.items():
            self.write(name, text)

    def _watch(self, flags: list[str]) -> None:
        """Stop the running watch, if there is one, and start another."""
        self.end()
        log = Path(self.servers.enter_context(tempfile.TemporaryDirectory())) / "watch.log"
        self.watch = Watch.start(
            [self._real(flag) for flag in flags], self.folder, _environment(self.commands) | self.variables, log
        )
        self.servers.callback(self.watch.kill)

    def end(self) -> None:
        """Stop the running watch, if there is one. Raise the same errors as `Watch.stop`."""
        watch, self.watch = self.watch, None
        if watch is not None:
            watch.stop()

    def printed(self, command: str, shown: str, *, may_fail: bool) -> str:
        """Run a line and return its output. Repeat a query of the watch until the output is `shown` or the time is over."""
        printed = ""
        for _ in while_patient():
            printed = self.run(command, may_fail=may_fail or self._asks(command))
            if not self._asks(command) or _is_same(shown, printed):
                break
        return printed

    def _asks(self, command: str) -> bool:
        return self.watch is not None and _PAGE in command and command.startswith("curl ") and " -X " not in command

    def _render(self, words: list[str]) -> None:
        """Render the kustomization that a kubectl command names, if kubectl is installed."""
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
    """Run the commands of a document in an empty folder, and return the document with their output.

    `commands` is the folder of the `octosync` command.
    Raise `UntrueDocumentError` if a command fails or a `make` target does not exist.
    """
    with _session(folder, commands) as session:
        text = _FENCE.sub(lambda fence: _block(fence, session), text)
        session.end()
    return text


@contextmanager
def _session(folder: Path, commands: Path) -> Iterator[_Session]:
    with running_server(ServerSettings()) as plane, ExitStack() as servers:
        yield _Session(folder, plane.url.removeprefix("http://"), servers, commands)


def _block(fence: re.Match[str], session: _Session) -> str:
    language, body = fence[1], fence[2]
    if language == "yaml" and (file := _FILE.match(body)) is not None:
        session.write(file[1], body)
    elif language == "sh":
        for line in _CONTINUED.sub("", body).splitlines():
            if line and not line.startswith("#"):
                session.run(line, may_fail=False)
    elif language == "console":
        return f"```console\n{_transcript(body, session)}```"
    return fence[0]


def _transcript(body: str, session: _Session) -> str:
    steps = re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]
    lines = []
    for step, following in zip(steps, [*steps[1:], ""], strict=True):
        typed = _TYPED.match(step)
        assert typed is not None  # noqa: S101 — the pattern matches every text
        command, shown = typed[1], step[typed.end() :]
        printed = session.printed(_CONTINUED.sub("", command), shown, may_fail=following.startswith("echo $?"))
        same = _is_same(shown, printed)
        # Keep the shown output if only run IDs or times differ. Keep an empty line before the next command.
        gap = "\n" if following and shown.endswith("\n\n") else ""
        lines.append(f"$ {command}\n{shown if same else printed + gap}")
    return "".join(lines)


def _out_of_season(text: str) -> str:
    """Move the cron expressions of a file to another month, so that no freeze window is active while a document runs."""
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
    """Return an environment with this `octosync` on the PATH and without variables that configure it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OCTOSYNC_", "OCTOMIL_"))}
    path = f"{commands}{os.pathsep}{INSTALLED}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {**kept, **_AUTHOR, "PATH": path, "NO_COLOR": "1"}
