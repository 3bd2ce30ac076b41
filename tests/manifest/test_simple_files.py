"""Simple files, which a fast reader reads: nothing but the time that it takes may depend on it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import examples
from tests.support.manifests import Workspace, app, rules, slot

from octosync.manifest import Configuration, Context, LoadOptions, Manifests, load_manifests
from octosync.manifest.load.files import File
from octosync.manifest.yaml.simple import SimpleReader
from octosync.model import Origin, Sensitivity

NOW = datetime(2026, 3, 1, tzinfo=UTC)
EXAMPLES = Path(__file__).parents[2] / "examples" / "manifests"

DOCUMENTS = """\
# The app of the notes team: R & D
apiVersion: octosync.dev/v1
kind: App
metadata:
  name: notes
  labels: {team: assistants, tier: "1"}
  annotations: {octosync.dev/protect: "true", example.com/owner: 'jo', octosync.dev/suspend: "2030-01-01T00:00:00Z"}
spec:
  name: Notes ${A} — écrites 😀
  description: >-
    Voice notes
    that answer back
  archived: false
  targets:
    - {platform: ios, identifier: com.acme.notes}
    - platform: browser
      identifier: https://notes.acme.com
  slots:
    - capability: chat
      variant: auto
      servingPolicy:
        routingMode: auto
        routingPreference: local
        fallback: {allowCloudFallback: true, allowLocalFallback: false}
      preferredEngines: [coreml, mlx]
      publicClientAllowed: true
      bindings: [{binding_key: a, weight: 1.0, "n": null}, {binding_key: b}]
      deploy: {environments: [production, staging], optimize: suggest, minImprovement: 0.05, maxRegression: 1e-2}
    - {capability: tts, servingPolicy: local_only}
  inferenceConfig:
    model: "@app/notes/chat"
    prompt: |
      one
      two
    limits: [0x1F, -3, 017, .5, ~, true, "a\\tb", 'it''s', 2024-01-01, {max_tokens: 512}]
---
{"apiVersion": "octosync.dev/v1", "kind": "AppTarget", "spec": {"app": "b", "platform": "ios", "identifier": "c.d"}}
---
apiVersion: octosync.dev/v1
kind: CapabilitySlot
spec: {app: b, capability: vision}
---
apiVersion: octosync.dev/v1
kind: InferenceConfig
spec:
  app: b
  config: null
...
"""

# Separated by spaces; `_` is a space, and `␣` a line break.
_SOURCES = r"""
-_ :_ ?_ &a_ *a * & ! !!str_ !x_ > ' " { } [ ] , # _# --- ... << <<:_ null ~ .inf .nan 1e999 0x1F 017 yes true 2.0 1e3 -0 +1
"x" 'x' "\n" "\e" "\u0041" "\ud83d\ude00" "\ud83d" \ % @ ` {} [] a:_b k:_ "k":_ a:b api_key:_ ${A} $${A} ${ ?_a null:_ 1:_
"":_ :_x name:_ targets:_ slots:_ config:_ kind:_App spec:_ deploy production | |␣__x␣ ␣ ␣␣ ␣__ ␣____ ␣---␣ ␣...␣
${REGION} ${B:=x} "\x24{A}" "$\{A}" %YAML_1.1␣---␣ é 😀 {a,_b:_1} ␣#_
"""
TOKENS = (
    *(source.replace("_", " ").replace("␣", "\n") for source in _SOURCES.split()),
    *("\t", "\r", "\r\n", "\x00", "\x85", "\u2028", "\ufeff", "\ud83d", "[" * 40 + "]" * 40, "9" * 400, "w" * 300),
)


@examples(240)
@given(seed=st.integers(0, 2**32))
def test_a_simple_file_equals_the_file_in_the_strict_loader(seed: int) -> None:
    """Whether the fast reader reads a file: state with origins, digest, counts and diagnostics are those of the strict loader."""
    random = Random(seed)  # noqa: S311
    for _ in range(25):
        assert_same(mutated(DOCUMENTS, random))


def mutated(text: str, random: Random) -> str:
    documents = text.split("---\n")
    text = "---\n".join(random.sample(documents, random.randint(1, len(documents))))
    for _ in range(random.randint(0, 3)):
        if random.random() < 0.3:  # another line in place of one
            lines = text.splitlines(keepends=True)
            lines[random.randrange(len(lines))] = random.choice(lines) * random.randint(0, 2)
            text = "".join(lines) or " "
            continue
        # Between two words, or anywhere.
        starts = [index for index, character in enumerate(text) if character in " \n"]
        at = random.choice(starts) + 1 if starts and random.random() < 0.7 else random.randrange(len(text) + 1)
        text = text[:at] + random.choice(TOKENS) + text[at + random.choice((0, 0, 1, 4, 10)) :]
    return text


def assert_same(text: str) -> None:
    """Assert that a file and its text without a file, which is never simple, are the same."""
    data = text.encode("utf-8", "surrogatepass")
    simple, strict = _loaded(data, "/apps/a.yaml"), _loaded(data, None)
    assert simple == strict, text
    assert repr(simple) == repr(strict), text
    assert simple.digest == strict.digest, text


def _loaded(data: bytes, real: str | None) -> Manifests:
    return load_manifests(
        [],
        rendered=[File("a.yaml", data, real)],
        configuration=Configuration(),
        context=Context(name="c", url="http://127.0.0.1:1", vars={"A": "beta"}),
        now=NOW,
        options=LoadOptions(environment={"REGION": "eu"}, env_allowed=("REGION",)),
    )


def is_simple(text: str) -> bool:
    """Return whether the fast reader reads a text."""
    return SimpleReader(Sensitivity()).read("a.yaml", text.encode()) is not None


def test_the_usual_manifests_are_simple() -> None:
    """The fast reader reads all kinds of documents with everything that is usual in them."""
    assert is_simple(DOCUMENTS)
    assert [path for path in EXAMPLES.rglob("*.yaml") if not is_simple(path.read_text())] == []


@pytest.mark.parametrize(
    "text",
    [
        app("inferenceConfig: {api_key: sk-1}"),
        app("inferenceConfig: {'api_key:sk-1': }"),
        app("name: &a x\ndescription: *a"),
        app("name: !!str x"),
        app('name: "\\e"'),
        app("name: x\nname: x"),
        app("inferenceConfig: {<<: {a: 1}}"),
        app("inferenceConfig: {1: a}"),
        app("inferenceConfig: {a: .nan}"),
        app("inferenceConfig: {a: " + "[" * 40 + "]" * 40 + "}"),
        app("inferenceConfig: {a: [" + "1, " * 30_000 + "]}"),
        "\x07",
        "a: [",
    ],
)
def test_a_file_with_anything_unusual_is_not_simple(text: str) -> None:
    """Sensitive keys, anchors, tags, limits and everything that is reported are left to the strict loader."""
    assert not is_simple(text)


def test_a_finding_in_a_simple_file_has_its_place(workspace: Workspace) -> None:
    """Findings about several documents, and about the meaning of one, name line, column, path and excerpt in simple files."""
    twice = app("targets:\n  - {platform: ios, identifier: a.b}")
    found = workspace.load_text(f"{twice}---\n{twice}")
    (finding,) = found.diagnostics
    assert (finding.rule, finding.origin, finding.path) == ("duplicate-app", Origin("app.yaml", 12, 9), "metadata.name")
    assert finding.excerpt == "  name: demo"
    found = workspace.load_text(slot("preferredEngines: [mlx, cormel]"))
    (finding,) = found.diagnostics
    assert (finding.origin, finding.path) == (Origin("app.yaml", 8, 31), "spec.slots[0].preferredEngines[1]")
    ended = (NOW - timedelta(days=900)).isoformat()
    assert rules(workspace.load_text(app(metadata=f"annotations: {{octosync.dev/suspend: '{ended}'}}"))) == [
        "suspension-over"
    ]
