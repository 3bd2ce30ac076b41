"""The plan as a value: its counts, its grouping, and what an approval covers."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest
from tests.support.states import child_app, desired_app, live_app, observation, plan_of

from octosync.model import Kind, Origin, Reason, Section
from octosync.plan import Action, Fingerprint, Plan, Verb

LIVE = [
    live_app("a", name="old", targets=["ios:1", "ios:2"], slots={"chat": {}}, config={"m": 1}),
    live_app("b", targets=["ios:3"]),
]
WANTED = [
    desired_app("a", fields={"name": "new"}, targets=["ios:1"], slots={"tts": {}}, config={"m": 2}),
    desired_app("b", targets=["ios:3"], slots={"chat": {}}, archived=True, fields={"name": "x"}),
    child_app("c", config={"m": 1}),
]


@pytest.fixture
def plan() -> Plan:
    return plan_of(WANTED, observation(*LIVE, live_app("c", config={"m": 1}), requests=11))


def test_a_plan_counts_its_verbs_and_its_cost(plan: Plan) -> None:
    """Writes are counted by verb; each is one request."""
    counted = {verb: plan.count(verb) for verb in Verb}
    assert counted == {
        Verb.CREATE: 2,
        Verb.UPDATE: 3,
        Verb.DELETE: 2,
        Verb.ARCHIVE: 1,
        Verb.ENABLE: 0,
        Verb.OPTIMIZE: 0,
    }
    assert plan.requests_to_apply == sum(counted.values()) == len(plan.actions)
    assert plan.requests_used == 11


def test_a_plan_has_its_scope(plan: Plan) -> None:
    """The apps, and how many of them declare each section."""
    assert plan.apps == ("a", "b", "c")
    assert plan.sections == {
        Section.TARGETS: 2,
        Section.SLOTS: 2,
        Section.INFERENCE_CONFIG: 2,
        Section.DEPLOYMENTS: 0,
    }
    assert not plan.errored


def test_a_plan_counts_the_live_objects_that_were_read(plan: Plan) -> None:
    """They are the base of every percentage; a config counts if it exists."""
    assert plan.live_counts == {Kind.APP: 3, Kind.TARGET: 3, Kind.SLOT: 1, Kind.INFERENCE_CONFIG: 2}


def test_a_plan_lists_unchanged_objects(plan: Plan) -> None:
    """Every compared object is either changed or unchanged, in order."""
    assert list(map(str, plan.unchanged)) == ["app/a/target/ios:1", "app/b/target/ios:3", "app/c/inference-config"]
    changed = {action.address for action in plan.actions}
    assert set(plan.fingerprints) == changed | set(plan.unchanged)
    assert not changed & set(plan.unchanged)


def test_actions_are_grouped_by_app(plan: Plan) -> None:
    """One group per app, with the update of the app first and its archive last, in any order of execution."""
    groups = [(slug, [f"{a.verb.value} {a.address.kind.value}" for a in actions]) for slug, actions in plan.by_app()]
    assert groups == [
        ("a", ["update app", "delete target", "delete slot", "create slot", "update inference_config"]),
        ("b", ["update app", "create slot", "archive app"]),
    ]


def test_actions_are_found_by_address_and_verb(plan: Plan) -> None:
    """An app can be updated and archived in one plan, so an address alone does not identify an action."""
    found = plan.by_key()
    assert len(found) == len(plan.actions)
    assert {key.verb for key in found if str(key.address) == "app/b"} == {Verb.UPDATE, Verb.ARCHIVE}


def test_a_plan_can_not_be_changed(plan: Plan) -> None:
    """Plan and actions are frozen: apply uses exactly the approved plan."""
    for value, name in ((plan, "actions"), (plan.actions[0], "body")):
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, None)


def test_only_deletes_and_archives_are_destructive(plan: Plan) -> None:
    """Creations and updates are not destructive."""
    assert all(action.destructive is (action.verb in {Verb.DELETE, Verb.ARCHIVE}) for action in plan.actions)


def test_a_deletion_leaves_nothing_and_a_creation_starts_from_nothing(plan: Plan) -> None:
    """`before` and `after` are whole objects, and None if there is none."""
    for action in plan.actions:
        assert (action.before is None) is (action.verb is Verb.CREATE)
        assert (action.after is None) is (action.verb is Verb.DELETE)


def test_every_action_has_labels_and_a_position() -> None:
    """An action has the labels of its app, and the position of its declaration, or of the app if it is undeclared."""
    wanted = [replace(app, labels={"team": "x"}, origin=Origin("app.yaml")) for app in WANTED]
    for action in plan_of(wanted, observation(*LIVE, live_app("c", config={"m": 1}))).actions:
        assert action.labels == {"team": "x"}
        declared = action.address.kind is not Kind.APP and action.verb is not Verb.DELETE
        assert action.origin is not None
        assert action.origin.file == ("apps/demo.yaml" if declared else "app.yaml")


def _altered(action: Action) -> dict[str, Action]:
    return {
        "body": replace(action, body={"other": 1}),
        "parameters": replace(action, parameters={"slug": "other"}),
        "fingerprint": replace(action, fingerprint=Fingerprint({"other": 1})),
        "address": replace(action, address=replace(action.address, app="other")),
        "verb": replace(action, before=None),
    }


def test_an_approval_covers_requests_and_live_objects(plan: Plan) -> None:
    """Any change of what apply sends, or of the live object it replaces, changes the substance of an action."""
    update = plan.actions[0]
    assert update.verb is Verb.UPDATE
    assert all(altered.substance != update.substance for altered in _altered(update).values())


def test_an_approval_does_not_cover_explanations(plan: Plan) -> None:
    """Reason, labels, position and dependencies may differ: the action is the same."""
    for action in plan.actions:
        relabelled = replace(action, reason=Reason.DRIFT, labels={"a": "b"}, origin=None, depends_on=())
        assert relabelled.substance == action.substance
