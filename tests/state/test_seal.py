"""Seals: no sensitive value is in any file, and yet a plan comes out as if all of them were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from tests.support.declared_apps import SECRET, declared_apps, objects_with_secrets
from tests.support.json_values import json_values
from tests.support.random_states import Situation, situations
from tests.support.states import NOW, ORG, desired_app

from octosync.model import Address, App, JsonValue, Secret, Sensitivity, State, canonical_json, json_equal
from octosync.plan import ControlPlane, PlanOptions, make_plan
from octosync.plan.three_way.verdict import Base
from octosync.state import ControlPlaneState, Journal, SealedValue, WatchState
from octosync.state.seal import Seals

PLANE = ControlPlane(url="https://octomil.example/api/v1", org_id=ORG)
USUAL = Sensitivity()
SEALS = Seals(b"k" * 32)


def written(folder: Path) -> bytes:
    """Return all bytes of a folder's files."""
    return b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())


@settings(max_examples=50)  # each makes a file
@given(declared_apps(objects=objects_with_secrets(USUAL)))
def test_no_secret_is_in_any_file(app: App) -> None:
    """Wherever a sensitive value stands, no byte of it is in the file or its log, and with the tree the base is whole again."""
    with TemporaryDirectory() as name, Journal(Path(name) / "state.db") as journal:
        memory = WatchState(journal).for_control_plane(PLANE)
        memory.store(app)
        memory.record_drift("a", {Address.of_app("a"): f"{SECRET}-print"}, NOW)
        memory.approve("deletes", [(Address.of_app("a"), "delete", f"{SECRET}-substance")], NOW)
        assert SECRET.encode() not in written(Path(name))
        (base,) = memory.baseline(State.from_apps(app)).values()
        assert base == app
        memory.store(memory.baseline()["a"])  # what was read sealed stays so
        assert memory.baseline(State.from_apps(app)) == {"a": app}
        assert SECRET.encode() not in written(Path(name))


@given(json_values(), json_values())
def test_a_seal_equals_its_value_and_no_other(value: JsonValue, other: JsonValue) -> None:
    """On either side, and as JSON compares: 1 is 1.0, and nothing that anybody could write is equal by accident."""
    seal = SealedValue(SEALS.digest_of(value), SEALS)
    for one in (value, other, str(seal), seal.digest):
        same = json_equal(value, one) and not isinstance(one, bool) and one is not None
        assert [seal == one, one == seal, seal != one, one != seal] == [same, same, not same, not same]
        assert json_equal(seal, one) is json_equal(one, seal) is same


@pytest.mark.parametrize("other", [None, True, object(), float("nan"), {"a": {1}}, b""])
def test_a_seal_equals_nothing_that_is_not_json(other: object) -> None:
    """What can't be compared is not equal, and no error."""
    assert SealedValue(SEALS.digest_of("x"), SEALS) != other


def test_a_seal_shows_nothing() -> None:
    """However it is printed, it is `(sensitive)`, and neither its digest nor the key is shown."""
    seal = SealedValue(SEALS.digest_of("hunter2"), SEALS)
    for shown in (str(seal), f"{seal}", repr(seal), canonical_json([seal]), repr(SEALS)):
        assert seal.digest not in shown
        assert "kkk" not in shown
    assert canonical_json([seal]) == '["(sensitive)"]'
    assert repr({"api_key": seal}) == "{'api_key': SealedValue((sensitive))}"


def test_a_seal_has_no_hash() -> None:
    """It is equal to its value, so its hash would have to be that of the value, which it does not know."""
    with pytest.raises(TypeError, match="unhashable"):
        hash(SealedValue(SEALS.digest_of("hunter2"), SEALS))


def test_two_files_seal_differently(tmp_path: Path) -> None:
    """A digest is of no use beyond its file: nobody can try out beforehand what a value could be."""
    documents = []
    for name in ("one.db", "other.db"):
        with Journal(tmp_path / name) as journal:
            WatchState(journal).for_control_plane(PLANE).store(desired_app("a", config={"api_key": "hunter2"}))
            documents.append(journal.database.execute("select document from base").fetchone()[0])
    assert documents[0] != documents[1]


STATE_KEY, OTHER_KEY = Secret("0123456789abcdef" * 2), Secret("fedcba9876543210" * 2)


def test_with_a_key_from_elsewhere_the_file_alone_tells_nothing(path: Path) -> None:
    """What the file has is not enough to try out values: the digest that its own key makes is not the seal."""
    with Journal(path, seal_key=STATE_KEY) as journal:
        WatchState(journal).for_control_plane(PLANE).store(desired_app("a", config={"api_key": "hunter2"}))
        (own,) = journal.database.execute("select key from seal").fetchone()
        document = bytes(journal.database.execute("select document from base").fetchone()[0])
    assert Seals(own).digest_of("hunter2").encode() not in document
    assert Seals.made_with(own, STATE_KEY).digest_of("hunter2").encode() in document


@pytest.mark.parametrize(
    ("then", "now"),
    [(None, STATE_KEY), (STATE_KEY, None), (STATE_KEY, OTHER_KEY), (None, None), (STATE_KEY, STATE_KEY)],
)
def test_with_another_key_what_was_sealed_is_forgotten(path: Path, then: Secret | None, now: Secret | None) -> None:
    """Only that: what has no sensitive value stays. Until all is taken up again, nothing counts as removed."""
    secret, plain = desired_app("a", config={"api_key": "hunter2"}), desired_app("b", config={"model": "m"})
    with Journal(path, seal_key=then) as journal:
        state = WatchState(journal)
        memory = state.for_control_plane(PLANE)
        assert not state.take_key()
        for app in (secret, plain):
            memory.store(app)
        memory.set_complete()
        memory.record_drift("b", {Address.of_app("b"): "print"}, NOW)
        memory.approve("deletes", [(Address.of_app("b"), "delete", "substance")], NOW)
    with Journal(path, seal_key=now) as journal:
        state = WatchState(journal)
        memory = state.for_control_plane(PLANE)
        changed = state.take_key()
        assert changed is (then is not now)
        assert not state.take_key()
        assert list(memory.baseline()) == (["b"] if changed else ["a", "b"])
        assert memory.is_complete() is not changed
        assert bool(memory.drift()) is not changed
        assert bool(memory.approvals()) is not changed
        memory.store(secret)
        assert memory.baseline()["a"] == secret


def test_a_secret_that_was_rotated_stays_sealed(memory: ControlPlaneState) -> None:
    """Where the tree has another value the base has neither: its own is equal to what was, and is shown to nobody."""
    before = desired_app("a", config={"api_key": "hunter2", "model": "m"})
    memory.store(before)
    tree = desired_app("a", config={"api_key": "hunter3", "model": "m"})
    (base,) = memory.baseline(State.from_apps(tree)).values()
    assert base == before
    assert base != tree
    assert base.inference_config is not None
    assert base.inference_config.config is not None
    assert str(base.inference_config.config["api_key"]) == "(sensitive)"


def test_what_becomes_sensitive_later_is_sealed_then(memory: ControlPlaneState, path: Path) -> None:
    """With a further sensitive key in force, the next reading takes the values under it out of the file and its log."""
    app = desired_app("a", config={"endpoint": "hunter2" * 2000, "model": "m"})  # more than a page of it
    memory.store(app)
    assert b"hunter2" in written(path.parent)
    assert memory.baseline(sensitivity=Sensitivity(("endpoint",))) == {"a": app}
    assert b"hunter2" not in written(path.parent)
    memory.store(memory.baseline()["a"])  # and stays so, when the key is no longer in force
    assert memory.baseline() == {"a": app}
    assert b"hunter2" not in written(path.parent)


# Fields that situations differ in, each of which could be sensitive.
ANYTHING = Sensitivity(("name", "description", "temperature", "model", "model_variant_id"))


@given(situations(), situations())
def test_a_plan_from_memory_is_the_same_plan(now: Situation, earlier: Situation) -> None:
    """With a base whose sensitive values were never stored, each verdict and action is as with the base itself."""
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
