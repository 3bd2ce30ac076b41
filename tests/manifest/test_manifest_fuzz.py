"""Arbitrary bytes as manifests and as octosync.yaml."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st
from tests.support.examples import examples

from octosync.manifest import Configuration, Manifests, load_manifests
from octosync.manifest.config.reader import read_configuration_text
from octosync.model import JsonValue, canonical_json

NOW = datetime(2026, 3, 1, tzinfo=UTC)

VALID = b"""\
apiVersion: octosync.dev/v1
kind: App
metadata:
  name: canary-demo
  labels: {team: assistants}
  annotations: {octosync.dev/protect: "true", octosync.dev/suspend: "2030-01-01T00:00:00Z"}
spec:
  name: ${NAME:=Canary} demo
  targets:
    - {platform: ios, identifier: com.octomil.canary-demo}
  slots:
    - capability: chat
      servingPolicy: &policy
        routingMode: auto
        routingPreference: local
        fallback: {allowCloudFallback: true, allowLocalFallback: true}
      preferredEngines: [coreml, mlx]
      bindings: [{binding_key: a, api_key: hunter2}]
      deploy: {environments: [production], optimize: suggest, minImprovement: 0.05}
    - {capability: vision, servingPolicy: *policy}
  inferenceConfig:
    model: "@app/canary-demo/chat \\ud83d\\ude00"
    text: |
      one
      two
---
{"apiVersion": "octosync.dev/v1", "kind": "AppTarget", "spec": {"app": "b", "platform": "ios", "identifier": "c.d"}}
"""

CONFIGURATION = b"""\
requires: ">=0.1,<1"
contexts:
  production: {url: https://api.octomil.com, org: 8f1c, tokenEnv: OCTOMIL_API_KEY, paths: [apps/], vars: {A: b}}
defaultContext: production
owners: [{paths: "teams/**", apps: ["search-*"]}]
guards: {maxDeletes: 10, maxDeletePercent: 30, trailers: [deletes]}
freeze: [{cron: "0 18 * * FRI", duration: 60h, timezone: Europe/Berlin, except: ["sandbox-*"]}]
notify: [{url: "https://hooks.example.com/x", events: [held], secretEnv: OCTOSYNC_NOTIFY_SECRET}]
drift: {hold: 30m}
api: {operations: {apps.list: {path: /applications}}, readOnly: {slot: [x]}, platforms: [visionos]}
"""

# Characters with a meaning in YAML, and texts that tend to break readers.
TOKENS = st.one_of(
    st.sampled_from(
        rb"""  - :~?~&a ~*a~*policy~!!str ~|~>~'~"~{~}~[~]~,~#~---~...~<<~null~.inf~1e999~0x1F~017""".split(b"~")
    ),
    st.sampled_from(
        (b"\t", b"\n", b"  ", b": ", b"\x00", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\r", b"\xc2\x85", b"~")
    ),
    st.sampled_from(
        (b"\\ud83d", b"\\ude00", b"\\0", b"\xe2\x80\xa8", b"${", b"$${", b"${A}", b"${API_KEY}", b"9" * 5000)
    ),
    st.sampled_from(
        (b"%YAML 1.1\n", b"@", b"`", b"{}", b"[]", b"yes", b"true", b"@app:1", b"!<x> ", b"%", b"\xf0\x9f\x98\x80")
    ),
)


def loaded(data: bytes) -> Manifests:
    return load_manifests(["-"], stdin=data, configuration=Configuration(directory=Path("/nowhere")), now=NOW)


def assert_sound(found: Manifests, data: bytes) -> None:
    """Assert that every diagnostic has a place that exists, and that the read values are JSON."""
    assert loaded(data) == found
    for diagnostic in found.diagnostics:
        diagnostic.summary.encode()
        if diagnostic.origin is not None:
            assert diagnostic.origin.line >= 1
            assert diagnostic.origin.column >= 1
        if diagnostic.excerpt is not None and diagnostic.origin is not None:
            assert diagnostic.origin.column - 1 + diagnostic.width <= len(diagnostic.excerpt) + 1
    for app in found.state:
        values: JsonValue = [app.fields, *(slot.fields for slot in app.slots)]
        canonical_json(values).encode()
    assert (
        found.has_errors
        or found.state.apps
        or not found.documents
        or all(diagnostic.rule in {"foreign-document", "octosync-output"} for diagnostic in found.diagnostics)
    )


def mutated(original: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    for at, length, new in edits:
        start = at % (len(original) + 1)
        original = original[:start] + new + original[start + length :]
    return original


EDITS = st.lists(
    st.tuples(st.integers(0, 2000), st.integers(0, 12), st.one_of(TOKENS, st.binary(max_size=4))),
    min_size=1,
    max_size=6,
)


@given(st.binary(max_size=200))
@examples(100)
@example(b"")
@example(b"\xef\xbb\xbf")
@example(b"\xff\xfea\x00")
@example(b"{" * 2000)
@example(b"- " * 2000)
@example(b"? " * 2000)
@example(b"&a " * 50)
@example(b"\\ud83d\\ude00")
@example(b'"\\ud83d\\ude00"')
def test_random_bytes_give_diagnostics_and_never_a_traceback(data: bytes) -> None:
    """Loading a file of any bytes returns diagnostics."""
    assert_sound(loaded(data), data)


@given(EDITS)
@examples(200)
def test_any_mutation_of_a_manifest_gives_diagnostics_and_never_a_traceback(
    edits: list[tuple[int, int, bytes]],
) -> None:
    """After any edits of a valid manifest, loading returns a state or errors."""
    data = mutated(VALID, edits)
    assert_sound(loaded(data), data)


@given(EDITS)
@examples(100)
def test_any_mutation_of_octosync_yaml_gives_diagnostics_and_never_a_traceback(
    edits: list[tuple[int, int, bytes]],
) -> None:
    """After any edits of a valid octosync.yaml, reading returns a configuration or errors."""
    configured = read_configuration_text("octosync.yaml", mutated(CONFIGURATION, edits), Path())
    for diagnostic in configured.diagnostics:
        diagnostic.summary.encode()


def test_the_texts_are_valid_before_the_mutations() -> None:
    """The mutations start from a manifest and an octosync.yaml without errors."""
    assert not loaded(VALID).has_errors
    assert not read_configuration_text("octosync.yaml", CONFIGURATION, Path()).has_errors
