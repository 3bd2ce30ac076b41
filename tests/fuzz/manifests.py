"""Manifests, octosync.yaml and kustomizations: each gives a state or diagnostics, in linear time, and shows no secret."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml
from hypothesis import note
from hypothesis import strategies as st
from tests.fuzz.documents import CANARY, Draw, Fragments, edit_bytes, mutate, opaque_object, record_of, value_of
from tests.fuzz.runner import Case, Finding, Part
from tests.support.workdirs import CommandResult, Workdir

from octosync.manifest.config.schema import ConfigurationFile
from octosync.manifest.load.kustomize import referred
from octosync.manifest.schema.models import API_VERSION, KINDS, PROTECT, SUSPEND
from octosync.manifest.schema.shapes import fields_of, shape_of

_FORMATS: Final = ("text", "markdown", "json", "jsonl", "github", "sarif")
_FOLDERS: Final = ("apps", "apps/" + "a/" * 40)
_EXPECTED: Final = {0, 1, 64}

# Growth: a size is suspicious if four times the size takes much more than four times as long.
_SMALL: Final = 1024
_LARGE: Final = 256 * 1024
_WORTH_MEASURING: Final = 0.15  # seconds; less is noise
_MOST_GROWTH: Final = 9.0  # for four times the size: linear is 4, quadratic 16


@contextmanager
def _folder() -> Iterator[Workdir]:
    with tempfile.TemporaryDirectory(prefix="octosync-fuzz-") as name:
        yield Workdir(Path(name), {"OCTOSYNC_RATE": "0"})


def draw_manifest(draw: Draw) -> dict[str, Any]:
    """Draw a document of any kind that is valid by its schema."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    document = value_of(shape_of(KINDS[kind]), draw)
    document = {"apiVersion": API_VERSION, "kind": kind, **{k: v for k, v in document.items() if k[0] in "ms"}}
    metadata = document.get("metadata")
    if metadata is not None and draw(st.booleans()):
        metadata["annotations"] = {PROTECT: "true", SUSPEND: draw(st.sampled_from(("true", "2030-01-01T00:00:00Z")))}
    if kind == "App" and draw(st.booleans()):
        document.setdefault("spec", {})["inferenceConfig"] = opaque_object(draw)
    return document


def draw_configuration(draw: Draw) -> dict[str, Any]:
    """Draw an octosync.yaml with owners whose patterns span folders."""
    document = record_of(fields_of(ConfigurationFile), draw)
    document.pop("requires", None)
    document.pop("sensitiveKeys", None)
    document["paths"] = ["apps/"]
    document["owners"] = [{"paths": draw(_GLOBS), "apps": ["*"]} for _ in range(draw(st.integers(0, 2)))]
    if "contexts" not in document or document.get("defaultContext") not in document["contexts"]:
        document.pop("defaultContext", None)
    return document


_GLOBS: Final = st.builds(
    lambda parts, times, tail: "".join(parts) * times + tail,
    st.lists(st.sampled_from(("**/", "*", "a/", "**", "?", "apps/")), min_size=1, max_size=3),
    st.integers(1, 12),
    st.sampled_from(("*.json", "", "x")),
)


def _written(draw: Draw, document: Any, *, mutations: int, scratches: bool) -> bytes:
    fragments = Fragments()
    for _ in range(mutations):
        document = mutate(document, draw, fragments)
    data = fragments.text(document, flow=draw(st.sampled_from((True, False, None)))).encode("utf-8", "surrogatepass")
    return edit_bytes(data, draw) if scratches else data


def check_output(ran: CommandResult, *, secret: bool = True) -> None:
    """Check the result of a command against the rules for all commands."""
    if ran.code not in _EXPECTED:
        raise Finding(f"exit code {ran.code}: {ran.output[-1500:]}")
    if "Traceback" in ran.output:
        raise Finding(f"a traceback: {ran.output[-1500:]}")
    if secret and CANARY in ran.output:
        raise Finding(f"a secret is shown: {ran.output[:3000]}")


def _check_places(ran: CommandResult) -> None:
    for diagnostic in json.loads(ran.stdout)["diagnostics"]:
        placed = diagnostic.get("range") is not None or diagnostic["rule"] == "no-documents"
        if diagnostic["severity"] == "error" and not placed:
            raise Finding(f"an error without a place: {diagnostic}")


@contextmanager
def _open_manifests() -> Iterator[Case]:
    with _folder() as workdir:

        def case(data: st.DataObject) -> None:
            draw = data.draw
            scratches = draw(st.integers(0, 3)) == 0
            documents = [draw_manifest(draw) for _ in range(draw(st.integers(1, 2)))]
            written = b"\n---\n".join(
                _written(draw, document, mutations=draw(st.integers(0, 2)), scratches=scratches)
                for document in documents
            )
            note(f"apps/x.yaml:\n{written.decode(errors='backslashreplace')[:3000]}")
            workdir.write("apps/x.yaml", written)
            ran = workdir.octosync("validate", "-f", "apps", "-o", draw(st.sampled_from(_FORMATS)))
            check_output(ran, secret=not scratches)
            if ran.stdout.startswith("{") and '"diagnostics"' in ran.stdout[:300]:
                _check_places(ran)

        yield case


@contextmanager
def _open_configurations() -> Iterator[Case]:
    with _folder() as workdir:
        for folder in _FOLDERS:
            name = f"notes-{len(folder)}"
            text = (
                f"apiVersion: {API_VERSION}\nkind: App\nmetadata: {{name: {name}}}\nspec: {{name: '${{CHANNEL:=x}}'}}\n"
            )
            workdir.write(f"{folder}/x.yaml", text)

        def case(data: st.DataObject) -> None:
            draw = data.draw
            document = draw_configuration(draw)
            written = _written(
                draw, document, mutations=draw(st.integers(0, 2)), scratches=draw(st.integers(0, 3)) == 0
            )
            note(f"octosync.yaml:\n{written.decode(errors='backslashreplace')[:3000]}")
            workdir.write("octosync.yaml", written)
            check_output(workdir.octosync("validate", "-f", "apps", "-o", draw(st.sampled_from(_FORMATS))))

        yield case


def _aliases(draw: Draw) -> str:
    """Draw levels of aliases; each level contains the previous one many times."""
    leaf = draw(st.sampled_from(("1", "a.yaml", "null", "[]", "{}", "1.5", "a=b")))
    width, levels = draw(st.integers(1, 100)), draw(st.integers(1, 8))
    lines = [f"x0: &x0 {leaf}"]
    lines += [f"x{level}: &x{level} [{', '.join([f'*x{level - 1}'] * width)}]" for level in range(1, levels + 1)]
    return "\n".join(lines)


@contextmanager
def _open_kustomizations() -> Iterator[Case]:
    with _folder() as workdir:
        stamp = iter(range(10**9))

        def case(data: st.DataObject) -> None:
            draw = data.draw
            document: dict[str, Any] = {
                "resources": ["a.yaml"],
                "patches": [{"path": "p.yaml", "target": {"kind": "App"}}],
            }
            text = yaml.safe_dump(document)
            if draw(st.booleans()):
                text += _aliases(draw)
                written = text.encode()
            else:
                written = _written(
                    draw, document, mutations=draw(st.integers(0, 3)), scratches=draw(st.integers(0, 3)) == 0
                )
            note(f"kustomization.yaml:\n{written.decode(errors='backslashreplace')[:3000]}")
            path = workdir.write("kustomization.yaml", written)
            for found in referred(str(path), next(stamp)):
                if not found.startswith("/") or "\0" in found:
                    raise Finding(f"no path: {found!r}")

        yield case


_HEAD: Final = f"apiVersion: {API_VERSION}\nkind: App\nmetadata: {{name: a}}\nspec:\n"
_UNITS: Final = (
    "a", "aGVsbG8_", "a b ", "\\ud83d\\ude00", "${NOPE} ", "${A:=b}", "$${", "\\\\", "''", "- ", "k: ", "🙂", "&a ", "\\n",
    "*", "/", "@app/a/b ", "#", "1", ": ", "[", "{", "\t", "-", ".",
)  # fmt: skip
_SHAPES: Final = {
    "plain": "  description: x{}\n",
    "single-quoted": "  description: '{}'\n",
    "double-quoted": '  description: "{}"\n',
    "comment": "  # {}\n",
    "block": "  description: |\n    x{}\n",
    "key": "  x{}: 1\n",
    "sensitive": "  inferenceConfig: {{api_key: 'x{}'}}\n",
}
_LINES: Final = (
    "  x{i}: 1\n", "    - {{platform: ios, identifier: com.a.{i}}}\n", "    - '${{NOPE}}'\n", "    - &a{i} [x]\n", "    - *b\n",
    "    x\n", "---\n", "    - {{capability: c{i}}}\n", "  x: 1\n", "    - x: [\n", '    - "\\ud83d\\ude00"\n',
)  # fmt: skip
_ENDS: Final = ("", "  name: [", "  name: \x01\n", "\t\n", "  name: !x y\n")
_BLOCK: Final = "  inferenceConfig:\n    api_key: &b |\n{}    more:\n{}"


def _draw_growth(draw: Draw) -> tuple[str, Callable[[int], str]]:
    """Draw how a manifest grows: by a text, by a number of lines, or by a long secret with many aliases."""
    end = draw(st.sampled_from(_ENDS))
    mode = draw(st.sampled_from(("text", "text", "lines", "aliases")))
    if mode == "text":
        unit, shape = draw(st.sampled_from(_UNITS)), draw(st.sampled_from(sorted(_SHAPES)))
        return f"{unit!r} in a {shape} value, then {end!r}", (
            lambda size: _HEAD + _SHAPES[shape].format(unit * (size // len(unit.encode()))) + end
        )
    if mode == "lines":
        line, before = (
            draw(st.sampled_from(_LINES)),
            draw(st.sampled_from(("", "  targets:\n", "  slots:\n", "  b: &b\n"))),
        )
        return f"{line!r} after {before!r}, then {end!r}", (
            lambda size: _HEAD + before + "".join(line.format(i=i) for i in range(size // len(line))) + end
        )
    return f"a long secret and its aliases, then {end!r}", (
        lambda size: _HEAD + _BLOCK.format("      x\n" * (size // 16), "    - *b\n" * (size // 18)) + end
    )


@contextmanager
def _open_growth() -> Iterator[Case]:
    with _folder() as workdir:

        def seconds(text: str) -> float:
            workdir.write("apps/x.yaml", text)
            started = time.process_time()
            check_output(workdir.octosync("validate", "-f", "apps", "-o", "json"), secret=False)
            return time.process_time() - started

        def case(data: st.DataObject) -> None:
            name, text_of = _draw_growth(data.draw)
            note(f"a manifest that grows: {name}")
            size, before = _SMALL, seconds(text_of(_SMALL))
            while size < _LARGE:
                size *= 4
                now = seconds(text_of(size))
                if now > _WORTH_MEASURING and now > before * _MOST_GROWTH:
                    before, now = (min(seconds(text_of(part)) for _ in range(2)) for part in (size // 4, size))
                    if now > before * _MOST_GROWTH:
                        raise Finding(f"{name}: {size // 4} bytes take {before:.2f} s, {size} bytes {now:.2f} s")
                before = now

        yield case


MANIFESTS: Final = Part("manifests", "manifests, mutated", _open_manifests, 400)
CONFIGURATIONS: Final = Part("configurations", "octosync.yaml, mutated", _open_configurations, 200)
KUSTOMIZATIONS: Final = Part("kustomizations", "what octosync reads of kustomization.yaml", _open_kustomizations, 150)
GROWTH: Final = Part("growth", "the time that manifests take as they grow", _open_growth, 20, shrinks=False)
