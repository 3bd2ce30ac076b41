"""The cache: only changed files are parsed again, and the result equals that of a fresh load."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import examples
from tests.support.kubectl import needs_kustomize
from tests.support.manifests import NOW, Workspace, app, child, rules, slot

from octosync.contract import Contract
from octosync.manifest import Cache, Configuration, Context, LoadOptions, Manifests, Owner, load_manifests
from octosync.manifest.load.kustomize import render
from octosync.model import Sensitivity

# Seconds: more than a tick of a local file system's clock, and little, so that files are soon not read again.
_TICK = 0.02
_ENDS = NOW + timedelta(days=1)
_TEXTS: Mapping[str, str] = {
    "plain": app("name: One", name="one"),
    "other": app("targets:\n  - {platform: ios, identifier: a.b}\nslots:\n  - capability: chat", name="two"),
    "claims": app("targets:\n  - {platform: ios, identifier: a.b}", name="three"),
    "child": child("CapabilitySlot", "app: one\ncapability: chat\nservingPolicy: local_first"),
    "children": child("AppTarget", "app: one\nplatform: ios\nidentifier: a.b")
    + "---\n"
    + child("InferenceConfig", "app: one\nconfig: {api_key: sk-1, n: 1}"),
    "suspended": app(name="four", metadata=f"annotations: {{octosync.dev/suspend: '{_ENDS.isoformat()}'}}"),
    "variable": app("name: ${CHANNEL}", name="five"),
    "default": app("name: ${CHANNEL:=stable} ${REGION:=eu}", name="five"),
    "sensitive": app("inferenceConfig: {passphrase: x, api_key: y}", name="six"),
    "read only": slot("preferredEngines: [mlx, cormel]"),
    "broken": "apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: [",
    "misspelt": app("naem: x", name="seven"),
    "empty": "# nothing\n",
    "foreign": "apiVersion: v1\nkind: Service\n",
    "anchors": app(
        "slots:\n  - {capability: chat, bindings: &b [{binding_key: a}]}\n  - {capability: tts, bindings: *b}", name="n"
    ),
}
_NAMES = ("a.yaml", "b.yaml", "c/d.yaml", "c/e.json", "z.yml")
_CONFIGURATIONS: Mapping[str, Configuration] = {
    "none": Configuration(paths=(".",)),
    "sensitive": Configuration(paths=(".",), sensitivity=Sensitivity(("passphrase",))),
    "owners": Configuration(paths=(".",), owners=(Owner("c/**", ("one", "two")),)),
    "narrow": Configuration(paths=("c", "z.yml")),
    "env": Configuration(paths=(".",), env=("REGION",)),
}
_EDITS = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(_NAMES), st.sampled_from(sorted(_TEXTS))),
    st.tuples(st.just("write"), st.sampled_from(_NAMES), st.sampled_from(sorted(_TEXTS))),
    st.tuples(st.just("append"), st.sampled_from(_NAMES), st.sampled_from(sorted(_TEXTS))),
    st.tuples(st.just("delete"), st.sampled_from(_NAMES), st.just("")),
    st.tuples(st.just("rename"), st.sampled_from(_NAMES), st.sampled_from(_NAMES)),
    st.tuples(st.just("link"), st.sampled_from(_NAMES), st.sampled_from(_NAMES)),
    st.tuples(st.just("configure"), st.sampled_from(sorted(_CONFIGURATIONS)), st.just("")),
    st.tuples(st.just("variable"), st.sampled_from(("CHANNEL", "REGION")), st.sampled_from(("", "beta", "\x07"))),
    st.tuples(st.just("wait"), st.just(""), st.just("")),
    st.tuples(st.just("paths"), st.sampled_from((".", "c", "a.yaml")), st.just("")),
)


class _Editing:
    """A folder that is edited, and loaded with a cache and without one."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._cache = Cache(clock_tick=_TICK)
        self._configuration = _CONFIGURATIONS["none"]
        self._values: dict[str, str] = {}
        self._environment: dict[str, str] = {}
        self._now = NOW
        self._paths = ["."]

    def edit(self, kind: str, name: str, argument: str) -> None:
        """Make one edit."""
        path = self._directory / name
        path.parent.mkdir(exist_ok=True)
        match kind:
            case "write":
                path.unlink(missing_ok=True)
                path.write_text(_TEXTS[argument])
            case "append":
                before = path.read_text() + "---\n" if path.is_file() else ""
                path.unlink(missing_ok=True)
                path.write_text(before + _TEXTS[argument])
            case "delete":
                path.unlink(missing_ok=True)
            case "rename" if path.is_file():
                (self._directory / argument).parent.mkdir(exist_ok=True)
                path.rename(self._directory / argument)
            case "link" if not path.exists():
                path.unlink(missing_ok=True)
                path.symlink_to(self._directory / argument)
            case "configure":
                self._configuration = _CONFIGURATIONS[name]
            case "variable":
                (self._values if name == "CHANNEL" else self._environment)[name] = argument
            case "wait":
                self._now += timedelta(hours=7)
            case "paths":
                self._paths = [name]
            case _:
                pass

    def load(self, cache: Cache | None) -> Manifests:
        """Load all files."""
        return load_manifests(
            self._paths,
            configuration=self._configuration,
            context=Context(name="c", url="http://127.0.0.1:1", vars=self._values),
            now=self._now,
            cache=cache,
            options=LoadOptions(environment=self._environment, directory=self._directory),
        )

    def check(self) -> None:
        """Compare a load with the cache with a fresh one, in every detail and in the order of everything."""
        cached, fresh = self.load(self._cache), self.load(None)
        assert cached == fresh
        assert repr(cached) == repr(fresh)
        assert cached.digest == fresh.digest


@examples(120)
@given(edits=st.lists(st.lists(_EDITS, min_size=1, max_size=3), min_size=1, max_size=10))
def test_a_cached_load_equals_a_fresh_one_after_any_edit(edits: list[list[tuple[str, str, str]]]) -> None:
    """After any edits of files, configuration, variables and time, cached and fresh loads are equal in every detail."""
    with TemporaryDirectory() as folder:
        editing = _Editing(Path(folder).resolve())
        for step in edits:
            for edit in step:
                editing.edit(*edit)
            editing.check()


def test_only_changed_files_are_parsed_again(workspace: Workspace) -> None:
    """If one of three files changes, only that one is parsed."""
    cache = Cache()
    workspace.write({f"{name}.yaml": app(name=name) for name in ("a", "b", "c")})
    workspace.load(cache=cache)
    assert list(cache.parsed) == ["a.yaml", "b.yaml", "c.yaml"]
    workspace.write({"b.yaml": app("name: B", name="b")})
    assert workspace.load(cache=cache).state.apps["b"].fields == {"name": "B"}
    assert list(cache.parsed) == ["b.yaml"]
    workspace.load(cache=cache)
    assert list(cache.parsed) == []


_OPENED: list[str] = []
sys.addaudithook(lambda event, args: _OPENED.append(str(args[0])) if event == "open" else None)


def _load_settled(cache: Cache, workspace: Workspace) -> None:
    """Load when no file was changed within the last tick, so that the next load reads none of them."""
    newest = max(path.stat().st_ctime_ns for path in workspace.directory.iterdir())
    while time.time_ns() <= newest + _TICK * 1e9:
        pass
    workspace.load(cache=cache)


def _files_read(workspace: Workspace, cache: Cache) -> list[str]:
    _OPENED.clear()
    workspace.load(cache=cache)
    return [path for path in _OPENED if path.endswith(".yaml")]


def test_unchanged_files_are_not_read_again(workspace: Workspace) -> None:
    """A file is read again only if its stat has changed, or if it was changed a moment before it was read."""
    cache = Cache(clock_tick=_TICK)
    workspace.write({"a.yaml": app(name="a"), "b.yaml": app(name="b")})
    _load_settled(cache, workspace)
    assert _files_read(workspace, cache) == []
    workspace.write({"b.yaml": app("name: B", name="b")})
    assert _files_read(workspace, cache) == ["b.yaml"]
    cache.clear()
    assert _files_read(workspace, cache) == ["a.yaml", "b.yaml"]


def test_an_edit_that_keeps_size_and_time_is_noticed(workspace: Workspace) -> None:
    """An edit in place with the same size and the restored time of modification is loaded."""
    cache = Cache(clock_tick=_TICK)
    workspace.write({"a.yaml": app("name: A", name="a")})
    _load_settled(cache, workspace)
    path = workspace.directory / "a.yaml"
    before = path.stat()
    workspace.write({"a.yaml": app("name: B", name="a")})
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert workspace.load(cache=cache).state.apps["a"].fields == {"name": "B"}


def test_a_file_that_has_just_changed_is_read_at_every_load(workspace: Workspace) -> None:
    """Another edit in the same tick of the file system's clock may not show in the stat of a file."""
    cache = Cache(clock_tick=3600.0)
    workspace.write({"a.yaml": app(name="a")})
    assert [_files_read(workspace, cache) for _ in range(3)] == [["a.yaml"]] * 3
    assert list(cache.parsed) == []


@pytest.mark.parametrize(
    "second",
    [
        {"configuration": Configuration(sensitivity=Sensitivity(("other",)))},
        {"environment": {"A": "b"}},
        {"context": Context(name="c", url="http://127.0.0.1:1", vars={"A": "b"})},
        {"env_allowed": ("A",)},
    ],
)
def test_another_configuration_invalidates_the_cache(workspace: Workspace, second: dict[str, Any]) -> None:
    """The result for a file may depend on sensitive keys and variables: if those change, everything is parsed again."""
    cache = Cache()
    workspace.write({"a.yaml": app()})
    workspace.load(cache=cache)
    workspace.load(cache=cache, **second)
    assert list(cache.parsed) == ["a.yaml"]


def test_another_contract_applies_to_cached_files(workspace: Workspace) -> None:
    """The contract is not part of the cache: a value that it refuses is refused, whenever the file was parsed."""
    cache = Cache()
    workspace.write({"a.yaml": app("targets:\n  - {platform: toaster, identifier: x}")})
    assert rules(workspace.load(cache=cache)) == ["unknown-platform"]
    widened = Contract(platforms=(*Contract().platforms, "toaster"))
    assert rules(workspace.load(cache=cache, contract=widened)) == []


def test_the_end_of_a_suspension_is_noticed(workspace: Workspace) -> None:
    """A suspension that ends between two loads is reported by the second, although the file did not change."""
    cache = Cache()
    workspace.write({"a.yaml": _TEXTS["suspended"]})
    assert rules(workspace.load(cache=cache)) == []
    after = load_manifests(
        ["."],
        configuration=Configuration(),
        now=_ENDS + timedelta(1),
        cache=cache,
        options=LoadOptions(directory=workspace.directory),
    )
    assert rules(after) == ["suspension-over"]


def test_missing_files_are_forgotten(workspace: Workspace) -> None:
    """The cache contains the files of the latest load and no others."""
    cache = Cache()
    workspace.write({"a.yaml": app(name="a"), "b.yaml": app(name="b")})
    workspace.load(cache=cache)
    workspace.load("a.yaml", cache=cache)
    workspace.load(cache=cache)
    assert list(cache.parsed) == ["b.yaml"]


@needs_kustomize
def test_places_of_rendered_manifests_follow_their_files(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the same rendered text, problems have the current place in its files."""
    monkeypatch.chdir(workspace.directory)
    workspace.write({"k/kustomization.yaml": "resources: [a.yaml]\nbuildMetadata: [originAnnotations]\n"})
    cache = Cache()

    def lines() -> list[int]:
        found = load_manifests(
            [],
            rendered=[render("k", os.environ)],
            configuration=Configuration(),
            now=NOW,
            cache=cache,
        )
        return [diagnostic.origin.line for diagnostic in found.diagnostics if diagnostic.origin is not None]

    workspace.write({"k/a.yaml": app("naem: x")})
    (before,) = lines()
    assert lines() == [before]
    workspace.write({"k/a.yaml": "# a comment\n" + app("naem: x")})
    assert lines() == [before + 1]
