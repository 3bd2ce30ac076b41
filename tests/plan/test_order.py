"""The order of actions, within an app and between apps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.states import action_lines, child_app, desired_app, live_app, plan_of

from octosync.model import Address, OptimizationCheck, Reason
from octosync.plan import (
    ABSENT_FINGERPRINT,
    Action,
    ArchiveApp,
    CreateApp,
    DeleteInferenceConfig,
    DeleteSlot,
    EnableCapability,
    OptimizeCapability,
    Plan,
    PutInferenceConfig,
    PutSlot,
    RegisterTarget,
    RemoveTarget,
)
from octosync.plan.order import NEEDS, in_order, topological

CHAT_OF_B = {"model": "@app/b/chat"}


def waits(plan: Plan, action: str, need: str) -> bool:
    """Return whether an action (`verb address`) depends on another, and so comes later."""
    keys = {f"{action.verb.value} {action.address}": action.key for action in plan.actions}
    found = plan.by_key()[keys[action]]
    depends = keys[need] in found.depends_on
    assert not depends or plan.actions.index(found) > plan.actions.index(plan.by_key()[keys[need]])
    return depends


def test_every_kind_of_action_has_its_row() -> None:
    """Every kind of action is in the table, and none waits for its own kind."""
    assert {kind.__name__ for kind in NEEDS} == {kind.__name__ for kind in Action.__args__}
    assert all(kind not in needs for kind, needs in NEEDS.items())


def test_ready_actions_run_app_by_app() -> None:
    """A run that is interrupted leaves few apps incomplete: the objects of an app follow it before the next app begins."""
    plan = plan_of([desired_app(slug, targets=[f"ios:{slug}"], slots={"chat": {}}) for slug in "ba"])
    assert [action.address.app for action in plan.actions] == ["a", "a", "a", "b", "b", "b"]


def test_independent_objects_do_not_wait_for_each_other() -> None:
    """Only actions with a dependency wait, so that the others can run at once."""
    live = live_app("a", targets=["ios:1"], slots={"chat": {}}, config={"m": 1})
    wanted = desired_app("a", fields={"name": "n"}, targets=["ios:2"], slots={"chat": {"preferred_engines": ["x"]}})
    assert all(action.depends_on == () for action in plan_of(wanted, live).actions)


@pytest.mark.parametrize("model", ["@app/a/chat", "chat"])
@pytest.mark.parametrize("config", [None, {"model": "other"}])
def test_a_slot_is_deleted_after_the_config_of_its_app(config: dict[str, Any] | None, model: str) -> None:
    """A slot isn't deleted while the config of its app may still name it, in any form."""
    live = live_app("a", slots={"chat": {}}, config={"model": model})
    plan = plan_of(desired_app("a", slots={}, config=config), live)
    verb = "delete" if config is None else "update"
    assert waits(plan, "delete app/a/slot/chat", f"{verb} app/a/inference-config")


def test_a_config_waits_for_the_new_slots_that_it_names() -> None:
    """A config that references a slot of another app is put after that slot exists, and waits for no other."""
    wanted = [
        desired_app("a", config={"model": "@app/b/chat", "nested": [{"fallback_model": "@app/c/tts"}]}),
        desired_app("b", slots={"chat": {}, "vision": {}}),
        desired_app("c", slots={"tts": {}}),
    ]
    plan = plan_of(wanted, [live_app("c", slots={"tts": {"preferred_engines": ["x"]}})])
    assert waits(plan, "create app/a/inference-config", "create app/b/slot/chat")
    assert not waits(plan, "create app/a/inference-config", "create app/b/slot/vision")
    (config,) = (action for action in plan.actions if isinstance(action, PutInferenceConfig))
    assert [str(need.address) for need in config.depends_on] == ["app/a", "app/b/slot/chat"]


@pytest.mark.parametrize(
    ("owner", "action"),
    [
        (desired_app("b", slots={}), "delete app/b/slot/chat"),
        (desired_app("b", archived=True), "archive app/b"),
    ],
)
@pytest.mark.parametrize(("config", "verb"), [(None, "delete"), ({"model": "@app/c/chat"}, "update")])
def test_a_slot_is_removed_after_the_last_config_that_names_it(
    owner: Any, action: str, config: dict[str, Any] | None, verb: str
) -> None:
    """A slot or app that another app's config references is removed only after that config drops the reference."""
    live = [live_app("a", config=CHAT_OF_B), live_app("b", slots={"chat": {}})]
    plan = plan_of([desired_app("a", config=config), owner], live)
    assert waits(plan, action, f"{verb} app/a/inference-config")


def test_a_config_that_keeps_a_reference_delays_nothing() -> None:
    """A deletion that breaks a reference is as declared: it waits only for changes that remove the reference."""
    live = [live_app("a", config=CHAT_OF_B), live_app("b", slots={"chat": {}})]
    plan = plan_of([desired_app("a", config={**CHAT_OF_B, "n": 1}), desired_app("b", slots={})], live)
    assert not waits(plan, "delete app/b/slot/chat", "update app/a/inference-config")


def test_objects_of_an_app_that_exists_do_not_wait_for_its_update() -> None:
    """Only a creation comes first."""
    plan = plan_of([child_app("a", targets=["ios:x"])], live_app("a"))
    assert plan.actions[0].depends_on == ()


def test_ordering_again_changes_nothing() -> None:
    """The order is the same for any order of the input."""
    wanted = [desired_app(slug, targets=[f"ios:{slug}"], slots={"chat": {}}, config=CHAT_OF_B) for slug in "abc"]
    actions = plan_of(wanted).actions
    assert in_order(reversed(actions)) == in_order(actions) == actions


def needs(*kinds: type[Action]) -> dict[str, set[str]]:
    """Return, for one app with an action of each of these kinds, the kinds that each waits for."""
    made = in_order(any_action(kind) for kind in kinds)
    names = {action.key: type(action).__name__ for action in made}
    assert all(list(names).index(need) < list(names).index(action.key) for action in made for need in action.depends_on)
    return {type(action).__name__: {names[need] for need in action.depends_on} for action in made}


def any_action(kind: type[Action]) -> Action:
    """Return an action of a kind, of app `a`."""
    of_target = {"platform": "ios", "identifier": kind.__name__}
    kinds: dict[type[Action], tuple[Address, dict[str, Any]]] = {
        RegisterTarget: (Address.of_target("a", "ios", "RegisterTarget"), of_target),
        RemoveTarget: (Address.of_target("a", "ios", "RemoveTarget"), of_target),
        PutSlot: (Address.of_slot("a", "chat"), {}),
        DeleteSlot: (Address.of_slot("a", "tts"), {}),
        PutInferenceConfig: (Address.of_inference_config("a"), {"body": {}}),
        DeleteInferenceConfig: (Address.of_inference_config("a"), {}),
        EnableCapability: (Address.of_capability("a", "chat", "staging"), {}),
        OptimizeCapability: (
            Address.of_capability("a", "chat", "production"),
            {"suggested": "v2", "check": OptimizationCheck(available=True)},
        ),
    }
    address, more = kinds.get(kind, (Address.of_app("a"), {}))
    facts: Any = {"address": address, "reason": Reason.NEW, "parameters": {}, "fingerprint": ABSENT_FINGERPRINT, **more}
    return kind(**facts)


ALL_OF_AN_APP = [kind for kind in Action.__args__ if kind not in {CreateApp, DeleteInferenceConfig}]
TARGETS_FIRST = {"RegisterTarget", "RemoveTarget", "PutSlot"}


def test_a_deployment_waits_for_targets_and_slot() -> None:
    """Enable and optimize assign devices to the registered targets, so they follow removals, registrations and the slot."""
    waiting = needs(*ALL_OF_AN_APP)
    assert waiting["EnableCapability"] == waiting["OptimizeCapability"] == TARGETS_FIRST
    fresh = needs(CreateApp, EnableCapability, OptimizeCapability)
    assert fresh["EnableCapability"] == fresh["OptimizeCapability"] == {"CreateApp"}


def test_everything_of_a_new_app_waits_for_it() -> None:
    """Its targets, slots and config. A slot is deleted only after either kind of change of the config."""
    made = needs(CreateApp, RegisterTarget, PutSlot, PutInferenceConfig)
    assert made == {
        "CreateApp": set(),
        "RegisterTarget": {"CreateApp"},
        "PutSlot": {"CreateApp"},
        "PutInferenceConfig": {"CreateApp"},
    }
    assert needs(DeleteSlot, PutInferenceConfig)["DeleteSlot"] == {"PutInferenceConfig"}
    assert needs(DeleteSlot, DeleteInferenceConfig)["DeleteSlot"] == {"DeleteInferenceConfig"}


def test_an_archive_waits_for_every_other_kind_of_its_app() -> None:
    """Updates, targets, slots, configs, deployments: what is left when an app is archived stays permanently."""
    assert needs(*ALL_OF_AN_APP)["ArchiveApp"] == {kind.__name__ for kind in ALL_OF_AN_APP} - {"ArchiveApp"}
    assert needs(ArchiveApp, DeleteInferenceConfig)["ArchiveApp"] == {"DeleteInferenceConfig"}


def test_the_order_of_equals_is_by_app_then_kind_then_address() -> None:
    """Archives last; apps by slug; within an app by kind as in the table; then by address."""
    wanted = [
        desired_app("a", archived=True),
        desired_app(
            "b", fields={"name": "n"}, targets=["ios:2", "android:1", "ios:1"], slots={"vision": {}, "chat": {}}
        ),
        desired_app("c", targets=["ios:3"]),
    ]
    plan = plan_of(wanted, [live_app("a"), live_app("b", targets=["ios:0"]), live_app("c")])
    assert action_lines(plan) == [
        "update app/b",
        "delete app/b/target/ios:0",
        "create app/b/target/android:1",
        "create app/b/target/ios:1",
        "create app/b/target/ios:2",
        "create app/b/slot/chat",
        "create app/b/slot/vision",
        "create app/c/target/ios:3",
        "archive app/a",
    ]


def test_dependencies_are_listed_by_address_and_verb() -> None:
    """An update and an archive of an app have the same address: the same input gives the same list."""
    made = plan_of(
        desired_app("a", archived=True, fields={"name": "n"}, targets=[], slots={}),
        live_app("a", targets=["ios:2", "ios:1"], slots={"tts": {}, "chat": {}}),
    )
    assert [f"{need.verb.value} {need.address}" for need in made.actions[-1].depends_on] == [
        "update app/a",
        "delete app/a/target/ios:1",
        "delete app/a/target/ios:2",
        "delete app/a/slot/chat",
        "delete app/a/slot/tts",
    ]


def test_a_cycle_is_an_error_that_shows_it() -> None:
    """If two actions wait for each other, the error shows the cycle; nothing is dropped silently."""
    first, second, third = plan_of([desired_app(slug) for slug in "abc"]).actions
    cyclic = (
        replace(first, depends_on=(second.key,)),
        replace(second, depends_on=(first.key,)),
        replace(third, depends_on=(first.key,)),
    )
    with pytest.raises(ValueError, match="create app/a → create app/b → create app/a"):
        list(topological({action.key: action for action in cyclic}))


def test_a_dependency_outside_the_plan_is_ignored() -> None:
    """An action that isn't planned is not waited for."""
    (action,) = plan_of(desired_app("a")).actions
    elsewhere = action.key._replace(address=Address.of_app("z"))
    waiting = replace(action, depends_on=(elsewhere,))
    assert list(topological({action.key: waiting})) == [waiting]
