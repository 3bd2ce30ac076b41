"""The stored baseline: declared apps are returned as they were stored, of one control plane, and never as less."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from tests.support.declared_apps import declared_apps
from tests.support.examples import examples
from tests.support.journals import changes_of, on_file
from tests.support.states import NOW, ORG, desired_app

from octosync.errors import OctosyncError
from octosync.model import Address, App, Sensitivity
from octosync.plan import ControlPlane
from octosync.state import ControlPlaneState, Journal, WatchState
from octosync.state.codec import app_document, app_of, bytes_of, document_of

PLANE = ControlPlane(url="https://octomil.example/api/v1", org_id=ORG)
NOTHING_SENSITIVE = Sensitivity(())


def plain(app: App) -> bytes:
    """Return an app as bytes that include the types: they distinguish 1 from 1.0, which equality of apps does not."""
    return bytes_of(app_document(app, lambda value: value))


@given(declared_apps())
def test_an_app_comes_back_as_it_was(app: App) -> None:
    """Every field, origin, time and type of a declared app is the same after writing and reading, and so are the bytes."""
    again = app_of(document_of(plain(app)), lambda value: value)  # type: ignore[arg-type,return-value]
    assert again == app
    assert plain(again) == plain(app)


@examples(50)  # each example needs a new file
@given(declared_apps("a"), declared_apps("b"))
def test_what_is_remembered_is_there_after_a_restart(one: App, other: App) -> None:
    """Apps are read back as they were stored, the latest version of each, in the order of their slugs."""
    with TemporaryDirectory() as folder:
        with Journal(Path(folder) / "state.db") as journal:
            for app in (other, App(slug="a"), one):
                WatchState(journal).for_control_plane(PLANE).store(app, NOTHING_SENSITIVE)
        with Journal(Path(folder) / "state.db") as journal:
            base = WatchState(journal).for_control_plane(PLANE).baseline(sensitivity=NOTHING_SENSITIVE)
    assert list(base.items()) == [("a", one), ("b", other)]
    assert [plain(app) for app in base.values()] == [plain(one), plain(other)]


@on_file
def test_what_is_remembered_again_is_not_written_again(memory: ControlPlaneState) -> None:
    """An unchanged app is not written again: a resync of an org in sync does not touch the file."""
    app = desired_app("a", config={"api_key": "hunter2"})
    memory.store(app)
    before = changes_of(memory)
    memory.store(app)
    (of_base,) = memory.baseline().values()
    memory.store(of_base)
    assert changes_of(memory) == before


def test_another_control_plane_has_another_base(state: WatchState, memory: ControlPlaneState) -> None:
    """Nothing is returned for another URL or org, no baseline is complete, and the state can name the others that it has."""
    memory.store(desired_app("a"))
    memory.set_complete(whole=True)
    memory.record_revert(Address.of_app("a"), NOW)
    for control_plane in (
        ControlPlane(url="https://staging.example/api/v1", org_id=ORG),
        ControlPlane(url=PLANE.url, org_id="org-2"),
        ControlPlane(url=PLANE.url),
    ):
        assert state.for_control_plane(control_plane).baseline() == {}
        assert not state.for_control_plane(control_plane).is_complete()
        assert state.for_control_plane(control_plane).reverts(NOW) == {}
        state.for_control_plane(control_plane).forget("a")
    assert state.planes() == (PLANE,)
    assert list(state.for_control_plane(ControlPlane(url=PLANE.url, org_id=ORG, context="production")).baseline()) == [
        "a"
    ]


def test_an_app_is_forgotten_whole(memory: ControlPlaneState) -> None:
    """Removing an app deletes its baseline, its drift and its reverts; other apps keep theirs."""
    for slug in ("a", "b"):
        memory.store(desired_app(slug))
        memory.record_drift(slug, {Address.of_app(slug): "print"}, NOW)
        memory.record_revert(Address.of_app(slug), NOW)
        memory.record_contested(Address.of_app(slug), NOW)
    memory.forget("a")
    assert list(memory.baseline()) == ["b"]
    assert list(memory.drift()) == ["b"]
    assert list(memory.reverts(NOW)) == [Address.of_app("b")]
    assert list(memory.contested()) == [Address.of_app("b")]


def test_a_new_file_is_not_whole(memory: ControlPlaneState) -> None:
    """Until every declared app was stored once, nothing counts as removed; that mark is stored and can be taken back."""
    assert not memory.is_complete()
    memory.store(desired_app("a"))
    assert not memory.is_complete()
    memory.set_complete(whole=True)
    assert memory.is_complete()
    memory.set_complete(whole=False)
    assert not memory.is_complete()


def test_what_a_later_version_added_is_passed_over() -> None:
    """A key that this version does not know has no effect."""
    app = desired_app("a", targets=["ios:1"], slots={"chat": {}}, deploy={"chat": "production"}, config={})
    document = document_of(plain(app))
    for json_object in (
        document, document["targets"][0], document["slots"][0], document["slots"][0]["deploy"], document["inference_config"]
    ):  # fmt: skip
        json_object["later"] = {"whatever": 1}
    assert app_of(document, lambda value: value) == app  # type: ignore[arg-type,return-value]


def lacks(key: str) -> Callable[[dict[str, object]], object]:
    return lambda document: document.pop(key)


def holds(key: str, value: object) -> Callable[[dict[str, object]], object]:
    return lambda document: document.update({key: value})


@on_file
@pytest.mark.parametrize(
    "spoil",
    [
        *(lacks(key) for key in document_of(plain(App(slug="a")))),
        holds("slug", "b"),
        holds("slots", None),
        holds("slots", [{}]),
        holds("targets", {}),
        holds("fields", {}),
        holds("fields", [{}, [[["x"], "00"]]]),
        holds("fields", [{"x": "value"}, [[["x"], "00"]]]),
        holds("archived", "no"),
        holds("whole", ["everything"]),
        holds("suspension", {"until": "tomorrow"}),
        holds("inference_config", {"config": 1, "origin": None}),
        holds("origin", ["file"]),
    ],
)
def test_an_unreadable_row_is_never_taken_for_nothing(
    memory: ControlPlaneState, path: Path, spoil: Callable[[dict[str, object]], object]
) -> None:
    """The error names the file and the app, quotes no content and states what to do; the row is never treated as missing."""
    memory.store(desired_app("a", fields={"description": "quotable"}))
    (data,) = memory.journal.database.execute("select document from base").fetchone()
    document = document_of(data)
    spoil(document)
    memory.journal.database.execute("update base set document = ?", (bytes_of(document),))
    with pytest.raises(OctosyncError) as raised:
        memory.baseline()
    assert raised.value.reference == "state-unreadable"
    assert f"{path}: the baseline of app `a` can't be read" in raised.value.message
    assert "quotable" not in raised.value.message
    assert any("move it away" in hint for hint in raised.value.hints)


@on_file
@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_row_of_garbage_is_the_same_error(memory: ControlPlaneState, data: bytes) -> None:
    """Bytes that are no document, or a document without an end, are an unreadable row too."""
    memory.store(desired_app("a"))
    memory.journal.database.execute("update base set document = ?", (data,))
    with pytest.raises(OctosyncError, match="state-unreadable"):
        memory.baseline()


@pytest.mark.parametrize("table", ["base", "plane", "hold", "seal"])
def test_a_lost_table_is_an_error(path: Path, table: str) -> None:
    """A file without one of its tables is unusable; it is not treated as empty."""
    use_of: dict[str, Callable[[WatchState], object]] = {"seal": WatchState.planes}
    use_of |= dict.fromkeys(("base", "plane"), lambda state: state.for_control_plane(PLANE).baseline())
    use_of["hold"] = lambda state: state.for_control_plane(PLANE).holds()
    with Journal(path) as journal:
        WatchState(journal).for_control_plane(PLANE).store(desired_app("a"))
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"drop table {table}")
    with Journal(path) as journal, pytest.raises(OctosyncError, match=f"no such table: {table}"):
        use_of[table](WatchState(journal))


def test_what_was_remembered_before_the_org_was_known_is_that_orgs(
    state: WatchState, memory: ControlPlaneState
) -> None:
    """The first writes to an empty org are answered before any response names the org; their effect is not lost."""
    nameless = ControlPlane(url=PLANE.url)
    mine, later = desired_app("a"), desired_app("b")
    state.for_control_plane(nameless).store(mine)
    state.for_control_plane(nameless).store(App(slug="b"))
    state.for_control_plane(nameless).set_complete()
    memory.store(later)
    memory.adopt_unnamed()
    assert memory.baseline() == {"a": mine, "b": later}
    assert memory.is_complete()
    assert state.for_control_plane(nameless).baseline() == {}
