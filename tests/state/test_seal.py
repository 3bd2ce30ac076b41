"""Seals: no sensitive value is in any file, and yet plans are the same as with all values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from tests.support.declared_apps import SECRET, declared_apps, objects_with_secrets
from tests.support.examples import examples
from tests.support.journals import on_file
from tests.support.json_values import json_values
from tests.support.random_states import Situation, situations
from tests.support.states import NOW, ORG, desired_app

from octosync.model import Address, App, JsonValue, Secret, Sensitivity, State, canonical_json, json_equal
from octosync.plan import ControlPlane, PlanOptions, make_plan
from octosync.plan.three_way.verdict import Base
from octosync.state import ControlPlaneState, Journal, SealedValue, StateLocation, WatchState
from octosync.state.seal import Seals

PLANE = ControlPlane(url="https://octomil.example/api/v1", org_id=ORG)
USUAL = Sensitivity()
SEALS = Seals(b"k" * 32)


def written(folder: Path) -> bytes:
    """Return the bytes of all files of a folder."""
    return b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())


@examples(50)  # each example needs a new file
@given(declared_apps(objects=objects_with_secrets(USUAL)))
def test_no_secret_is_in_any_file(app: App) -> None:
    """No byte of a sensitive value is in the file or its log; with the tree, the base is complete again."""
    with TemporaryDirectory() as name, Journal(Path(name) / "state.db") as journal:
        memory = WatchState(journal).for_control_plane(PLANE)
        memory.store(app)
        memory.record_drift("a", {Address.of_app("a"): f"{SECRET}-print"}, NOW)
        memory.approve("deletes", [(Address.of_app("a"), "delete", f"{SECRET}-substance")], NOW)
        assert SECRET.encode() not in written(Path(name))
        (base,) = memory.baseline(State.from_apps(app)).values()
        assert base == app
        memory.store(memory.baseline()["a"])  # values that were read as seals stay seals
        assert memory.baseline(State.from_apps(app)) == {"a": app}
        assert SECRET.encode() not in written(Path(name))


@given(json_values(), json_values())
def test_a_seal_equals_its_value_and_no_other(value: JsonValue, other: JsonValue) -> None:
    """Seals compare on either side and as JSON does: 1 equals 1.0. No value that a user could write equals one by accident."""
    seal = SealedValue(SEALS.digest_of(value), SEALS)
    for json in (value, other, str(seal), seal.digest):
        same = json_equal(value, json) and not isinstance(json, bool) and json is not None
        assert [seal == json, json == seal, seal != json, json != seal] == [same, same, not same, not same]
        assert json_equal(seal, json) is json_equal(json, seal) is same


@pytest.mark.parametrize("other", [None, True, object(), float("nan"), {"a": {1}}, b""])
def test_a_seal_equals_nothing_that_is_not_json(other: object) -> None:
    """A value that can't be compared is not equal, without an error."""
    assert SealedValue(SEALS.digest_of("x"), SEALS) != other


def test_a_seal_shows_nothing() -> None:
    """Every way of printing a seal shows `(sensitive)`, and neither the digest nor the key."""
    seal = SealedValue(SEALS.digest_of("hunter2"), SEALS)
    for shown in (str(seal), f"{seal}", repr(seal), canonical_json([seal]), repr(SEALS)):
        assert seal.digest not in shown
        assert "kkk" not in shown
    assert canonical_json([seal]) == '["(sensitive)"]'
    assert repr({"api_key": seal}) == "{'api_key': SealedValue((sensitive))}"


def test_a_seal_has_no_hash() -> None:
    """It equals its value, so its hash would have to be the value's, which it does not know."""
    with pytest.raises(TypeError, match="unhashable"):
        hash(SealedValue(SEALS.digest_of("hunter2"), SEALS))


def test_two_files_seal_differently(tmp_path: Path) -> None:
    """A digest is useless outside its file: possible values can't be tried in advance."""
    documents = []
    for name in ("one.db", "other.db"):
        with Journal(tmp_path / name) as journal:
            WatchState(journal).for_control_plane(PLANE).store(desired_app("a", config={"api_key": "hunter2"}))
            documents.append(journal.database.execute("select document from base").fetchone()[0])
    assert documents[0] != documents[1]


STATE_KEY, OTHER_KEY = Secret("0123456789abcdef" * 2), Secret("fedcba9876543210" * 2)


def test_with_a_key_from_elsewhere_the_file_alone_tells_nothing(location: StateLocation) -> None:
    """The content of the file is not enough to try values: the digest by the file's key is not the seal."""
    with Journal(location, seal_key=STATE_KEY) as journal:
        WatchState(journal).for_control_plane(PLANE).store(desired_app("a", config={"api_key": "hunter2"}))
        (own,) = journal.database.execute("select key from seal").fetchone()
        document = bytes(journal.database.execute("select document from base").fetchone()[0])
    assert Seals(own).digest_of("hunter2").encode() not in document
    assert Seals.made_with(own, STATE_KEY).digest_of("hunter2").encode() in document


@on_file
@pytest.mark.parametrize(
    ("then", "now"),
    [(None, STATE_KEY), (STATE_KEY, None), (STATE_KEY, OTHER_KEY), (None, None), (STATE_KEY, STATE_KEY)],
)
def test_with_another_key_what_was_sealed_is_forgotten(
    location: StateLocation, then: Secret | None, now: Secret | None
) -> None:
    """Apps with sealed values are dropped, others stay. Until all apps are stored again, nothing counts as removed."""
    secret, plain = desired_app("a", config={"api_key": "hunter2"}), desired_app("b", config={"model": "m"})
    with Journal(location, seal_key=then) as journal:
        state = WatchState(journal)
        memory = state.for_control_plane(PLANE)
        assert not state.take_key(PLANE)
        for app in (secret, plain):
            memory.store(app)
        memory.set_complete()
        memory.record_drift("b", {Address.of_app("b"): "print"}, NOW)
        memory.approve("deletes", [(Address.of_app("b"), "delete", "substance")], NOW)
    with Journal(location, seal_key=now) as journal:
        state = WatchState(journal)
        memory = state.for_control_plane(PLANE)
        changed = state.take_key(PLANE)
        assert changed is (then is not now)
        assert not state.take_key(PLANE)
        assert list(memory.baseline()) == (["b"] if changed else ["a", "b"])
        assert memory.is_complete() is not changed
        assert bool(memory.drift()) is not changed
        assert bool(memory.approvals()) is not changed
        memory.store(secret)
        assert memory.baseline()["a"] == secret


def test_a_secret_that_was_rotated_stays_sealed(memory: ControlPlaneState) -> None:
    """If the tree has another value, the base has neither: the old value equals what was applied, and is never shown."""
    before = desired_app("a", config={"api_key": "hunter2", "model": "m"})
    memory.store(before)
    tree = desired_app("a", config={"api_key": "hunter3", "model": "m"})
    (base,) = memory.baseline(State.from_apps(tree)).values()
    assert base == before
    assert base != tree
    assert base.inference_config is not None
    assert base.inference_config.config is not None
    assert str(base.inference_config.config["api_key"]) == "(sensitive)"


@on_file
def test_what_becomes_sensitive_later_is_sealed_then(memory: ControlPlaneState, path: Path) -> None:
    """With an additional sensitive key, the next read removes the values under it from the file and its log."""
    app = desired_app("a", config={"endpoint": "hunter2" * 2000, "model": "m"})  # more than a page of the file
    memory.store(app)
    assert b"hunter2" in written(path.parent)
    assert memory.baseline(sensitivity=Sensitivity(("endpoint",))) == {"a": app}
    assert b"hunter2" not in written(path.parent)
    memory.store(memory.baseline()["a"])  # also after the key is no longer configured
    assert memory.baseline() == {"a": app}
    assert b"hunter2" not in written(path.parent)


# Fields that differ between the situations; each of them could be sensitive.
ANYTHING = Sensitivity(("name", "description", "temperature", "model", "model_variant_id"))


@given(situations(), situations())
def test_a_plan_from_memory_is_the_same_plan(now: Situation, earlier: Situation) -> None:
    """If the base's sensitive values were never stored, each verdict and action is the same as with the full base."""
    tree = now.desired
    with TemporaryDirectory() as name, Journal(Path(name) / "state.db") as journal:
        memory = WatchState(journal).for_control_plane(PLANE)
        for app in earlier.desired:
            memory.store(app, ANYTHING)
        known = State.from_apps(*memory.baseline(sensitivity=ANYTHING).values())
        opened = State.from_apps(*memory.baseline(tree, ANYTHING).values())
    read = State.from_apps(
        *(replace(app, suspension=None) for app in earlier.desired if app.slug not in tree.apps), *tree
    )
    seen = now.plane.observed(read)
    plans = [
        replace(plan, errors={slug: str(error) for slug, error in plan.errors.items()})  # type: ignore[misc]
        for state in (earlier.desired, known, opened)
        for plan in (make_plan(tree, seen, PlanOptions(now=NOW, base=Base(state=state))),)
    ]
    assert plans[1] == plans[0]
    assert plans[2] == plans[0]
    assert "(sensitive)" not in repr(plans[1:])
