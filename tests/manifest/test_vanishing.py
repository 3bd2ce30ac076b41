"""Vanishing: a document that is gone, told from one that says less, wherever in the files it stands."""

from __future__ import annotations

from tests.support.manifests import Workspace, app, child

from octosync.manifest import vanished

_TARGET = "{platform: ios, identifier: a.b}"
_WHOLE = app(
    f"targets: [{_TARGET}]\nslots:\n  - {{capability: chat, deploy: {{environments: [production]}}}}\n"
    "inferenceConfig: {n: 1}",
    name="one",
)
_SLOT = child("CapabilitySlot", "app: one\ncapability: tts", metadata="name: speech")


def _vanished(workspace: Workspace, before: dict[str, str], now: dict[str, str]) -> list[str]:
    workspace.write({"keep.yaml": app(name="keep"), **before})
    first = workspace.load()
    for name in before:
        (workspace.directory / name).unlink()
    workspace.write(now)
    second = workspace.load()
    assert not first.has_errors
    assert not second.has_errors
    return sorted(map(str, vanished(first.declarations, second.declarations)))


def test_a_deleted_file_takes_all_that_it_declared(workspace: Workspace) -> None:
    """All objects of a document that is gone have vanished: the app, its children, and what is deployed."""
    assert _vanished(workspace, {"a.yaml": _WHOLE}, {}) == [
        "app/one",
        "app/one/capability/chat@production",
        "app/one/inference-config",
        "app/one/slot/chat",
        "app/one/target/ios:a.b",
    ]


def test_what_is_edited_out_has_not_vanished(workspace: Workspace) -> None:
    """A document that is still there and says less has lost nothing by accident."""
    assert _vanished(workspace, {"a.yaml": _WHOLE}, {"a.yaml": app(name="one")}) == []


def test_a_document_may_move_to_another_file(workspace: Workspace) -> None:
    """A document is known by kind, app and name, not by its file; also when it is edited on the way."""
    moved = app("description: moved", name="one")
    before = {"a.yaml": _WHOLE, "b.yaml": _SLOT}
    renamed = _SLOT.replace("tts", "embedding")
    assert _vanished(workspace, before, {"c/d.yaml": f"{moved}---\n{renamed}"}) == []


def test_a_document_taken_out_of_its_file(workspace: Workspace) -> None:
    """One of several documents in a file can vanish."""
    assert _vanished(workspace, {"a.yaml": f"{_WHOLE}---\n{_SLOT}"}, {"a.yaml": _WHOLE}) == ["app/one/slot/tts"]


def test_what_another_document_declares_now_is_there(workspace: Workspace) -> None:
    """A slot that moves from its own document into its app's, or to one of another name, has not vanished."""
    inside = app("slots: [{capability: tts}]", name="one")
    assert _vanished(workspace, {"a.yaml": _SLOT}, {"a.yaml": inside}) == []
    assert _vanished(workspace, {"a.yaml": _SLOT}, {"a.yaml": _SLOT.replace("speech", "voice")}) == []


def test_children_without_a_name_are_known_by_what_they_declare(workspace: Workspace) -> None:
    """Documents that nobody named are told apart by what they declare."""
    target = child("AppTarget", "app: one\nplatform: ios\nidentifier: a.b")
    other = child("AppTarget", "app: one\nplatform: ios\nidentifier: c.d")
    config = child("InferenceConfig", "app: one\nconfig: {n: 1}")
    assert _vanished(workspace, {"a.yaml": f"{target}---\n{other}---\n{config}"}, {"b.yaml": other}) == [
        "app/one/inference-config",
        "app/one/target/ios:a.b",
    ]


def test_another_apps_document_is_another(workspace: Workspace) -> None:
    """A document that comes to speak of another app is not the one that it was."""
    assert _vanished(workspace, {"a.yaml": _SLOT}, {"a.yaml": _SLOT.replace("one", "two")}) == ["app/one/slot/tts"]
