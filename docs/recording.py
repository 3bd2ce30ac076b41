"""`python -m docs.recording`: records octosync on the embedded control plane, as an animated SVG for each color scheme.

The commands run in a pseudo-terminal of 80 columns. The picture is a terminal window in which each command and then its output
appear. It has no script, so that it also plays inside an `<img>`, and starts again at its end. For readers who prefer reduced
motion, it shows the last screen.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import tempfile
import termios
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Final

import httpx
from docs.executing import INSTALLED, ROOT
from rich.text import Text

from octosync.server import DEMO_TOKENS, ServerSettings, running_server

_IMAGES: Final = ROOT / "docs" / "images"
_COLUMNS, _ROWS = 80, 26
_CELL, _LINE = 8.4, 18  # the size of a character in pixels
_MARGIN, _BAR = 16, 34  # around the text, and the title bar
_READING: Final = 0.22  # seconds per line of output
_PAUSE: Final = 1.6  # seconds after a command, before its output, and at the end of it

_MANIFEST: Final = """\
apiVersion: octosync.dev/v1
kind: App
metadata:
  name: field-notes
spec:
  name: Field notes
  targets:
    - {platform: ios, identifier: com.octomil.field-notes}
  slots:
    - capability: transcription
      servingPolicy: local_first
      preferredEngines: [coreml, whisper]
"""
_SLOT: Final = "apps/field-notes/slots/transcription"


@dataclass(frozen=True, slots=True)
class Scheme:
    """The colors of a recording. `ansi` has the colors of the terminal by their names in rich."""

    window: str
    bar: str
    text: str
    muted: str
    ansi: Mapping[str, str]


SCHEMES: Final[Mapping[str, Scheme]] = {
    "light": Scheme(
        "#ffffff",
        "#eaeef2",
        "#1f2328",
        "#59636e",
        {
            "color(1)": "#cf222e",
            "color(2)": "#1a7f37",
            "color(3)": "#9a6700",
            "color(4)": "#0969da",
            "color(5)": "#8250df",
            "color(6)": "#1b7c83",
        },
    ),
    "dark": Scheme(
        "#0d1117",
        "#21262d",
        "#e6edf3",
        "#9198a1",
        {
            "color(1)": "#ff7b72",
            "color(2)": "#3fb950",
            "color(3)": "#d29922",
            "color(4)": "#58a6ff",
            "color(5)": "#bc8cff",
            "color(6)": "#39c5cf",
        },
    ),
}


@dataclass(frozen=True, slots=True)
class Step:
    """A part of the recording that appears at once: lines of text, and how long it is shown before the next part."""

    lines: Sequence[Text]
    seconds: float


def main() -> None:
    """Write both recordings."""
    steps = list(_record())
    for name, scheme in SCHEMES.items():
        (_IMAGES / f"demo-{name}.svg").write_text(animation(steps, scheme), encoding="utf-8")


def _record() -> Iterator[Step]:
    """Run the commands of the recording, and yield what a terminal shows."""
    with tempfile.TemporaryDirectory() as folder, running_server(ServerSettings(seed="demo")) as server:
        (Path(folder) / "apps").mkdir()
        (Path(folder) / "apps" / "field-notes.yaml").write_text(_MANIFEST, encoding="utf-8")
        (Path(folder) / "octosync.yaml").write_text(
            f'contexts:\n  production: {{url: "{server.url}"}}\ndefaultContext: production\npaths: [apps/]\n',
            encoding="utf-8",
        )
        for command in ("octosync plan", "octosync apply --yes"):
            yield from _run(command, folder)
        yield Step(
            [Text(), Text("# Later, on the dashboard, Ben sends the slot to the cloud.", style="dim")], 2 * _PAUSE
        )
        _change_as_ben(server.url)
        for command in ("octosync plan", "octosync apply --yes", "octosync plan"):
            yield from _run(command, folder)


def _run(command: str, folder: str) -> Iterator[Step]:
    yield Step([Text(), Text.assemble(("$ ", "dim"), (command, "bold"))], _PAUSE)
    output = list(Text.from_ansi(_output(command, folder)).split("\n", allow_blank=True))
    yield Step(output, _PAUSE + _READING * len(output))


def _output(command: str, folder: str) -> str:
    """Return what a command writes to a terminal. The port of the control plane is replaced."""
    terminal, device = pty.openpty()
    fcntl.ioctl(device, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
    environment = {
        **os.environ,
        "PATH": f"{INSTALLED}:{os.environ['PATH']}",
        "TERM": "xterm-256color",
        "OCTOSYNC_PAGER": "cat",
    }
    environment = {name: value for name, value in environment.items() if name not in {"NO_COLOR", "CI"}}
    with subprocess.Popen(  # noqa: S603 — our own commands
        command.split(), cwd=folder, env=environment, stdin=device, stdout=device, stderr=subprocess.DEVNULL
    ):
        os.close(device)
        written = bytearray()
        try:
            while part := os.read(terminal, 65_536):
                written += part
        except OSError:  # Linux reports the end of a terminal as an error
            pass
        os.close(terminal)
    text = written.decode().replace("\r\n", "\n").rstrip("\n")
    return re.sub(r"127\.0\.0\.1:\d+", "api.octomil.com", text)


def _change_as_ben(url: str) -> None:
    ben = next(token for token in DEMO_TOKENS if token.name == "ben")
    with httpx.Client(
        base_url=f"{url}/api/v1", headers={"Authorization": f"Bearer {ben.secret}"}, trust_env=False
    ) as client:
        slot = client.get(_SLOT).raise_for_status().json()
        client.put(_SLOT, json={**slot, "serving_policy": "cloud_first"}).raise_for_status()


def animation(steps: Sequence[Step], scheme: Scheme) -> str:
    """Return the SVG of a recording."""
    total = sum(step.seconds for step in steps)
    width, height = round(2 * _MARGIN + _COLUMNS * _CELL), _BAR + 2 * _MARGIN + _ROWS * _LINE
    styles, groups, scroll = [], [], []
    start, row = 0.0, 0
    for number, step in enumerate(steps):
        begin = 100 * start / total
        styles.append(
            f"@keyframes s{number}{{0%{{opacity:0}}{begin:.2f}%,100%{{opacity:1}}}}#s{number}{{animation-name:s{number}}}"
        )
        lines = "".join(_line(line, row + offset, scheme) for offset, line in enumerate(step.lines))
        groups.append(f'<g id="s{number}" class="step">{lines}</g>')
        row += len(step.lines)
        scroll.append(f"{begin:.2f}%{{transform:translateY({-_LINE * max(0, row - _ROWS)}px)}}")
        start += step.seconds
    end = f"translateY({-_LINE * max(0, row - _ROWS)}px)"
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-labelledby="title">
<title id="title">A terminal: octosync plans a new app, applies it, finds a manual change and its author, and reverts it</title>
<style>
text{{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:{scheme.text};white-space:pre}}
.step,#all{{animation:{total:.1f}s step-end infinite}}
#all{{animation-name:scroll;transform:{end}}}
@keyframes scroll{{{"".join(scroll)}100%{{transform:{end}}}}}
{chr(10).join(styles)}
@media (prefers-reduced-motion:reduce){{.step,#all{{animation:none}}}}
</style>
<rect width="{width}" height="{height}" rx="8" fill="{scheme.window}" stroke="{scheme.bar}"/>
<path d="M0 {_BAR}V8a8 8 0 0 1 8-8h{width - 16}a8 8 0 0 1 8 8v{_BAR - 8}z" fill="{scheme.bar}"/>
<path d="M20 17h0M40 17h0M60 17h0" stroke="{scheme.muted}" stroke-width="12" stroke-linecap="round" opacity=".5"/>
<svg y="{_BAR + _MARGIN}" width="{width}" height="{_ROWS * _LINE}"><g id="all">
{chr(10).join(groups)}
</g></svg>
</svg>
"""


def _line(line: Text, row: int, scheme: Scheme) -> str:
    """Return a line as text elements: one for each part with the same style, at its column."""
    elements = []
    for part, column in _parts(line):
        if text := part.plain.rstrip():
            elements.append(
                f'<text x="{_MARGIN + column * _CELL:.1f}" y="{row * _LINE + 14}" textLength="{len(text) * _CELL:.1f}"'
                f"{_style(part, scheme)}>{escape(text)}</text>"
            )
    return "".join(elements)


def _parts(line: Text) -> Iterator[tuple[Text, int]]:
    """Yield the parts of a line that have the same style, each with its column and without the spaces before it."""
    ends = sorted({0, len(line), *(end for span in line.spans for end in (span.start, span.end) if end <= len(line))})
    for start, end in pairwise(ends):
        part = line[start:end]
        indent = len(part.plain) - len(part.plain.lstrip())
        yield part[indent:], start + indent


def _style(part: Text, scheme: Scheme) -> str:
    """Return the attribute for the style of a part: its color, and whether it is bold."""
    styles = (part.style, *(span.style for span in part.spans))
    words = {word for style in styles for word in str(style).split()}
    weight = ["font-weight:600"] if "bold" in words else []
    colors = [f"fill:{color}" for name, color in (("dim", scheme.muted), *scheme.ansi.items()) if name in words]
    declarations = ";".join(weight + colors)
    return f' style="{declarations}"' if declarations else ""


if __name__ == "__main__":
    main()
