"""Presence is ownership: declared fields and objects are planned; undeclared ones are neither compared nor touched."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.states import (
    action_lines,
    child_app,
    desired_app,
    live_app,
    observation,
    plan_of,
)

from octosync.contract import Contract
from octosync.errors import OctosyncError
from octosync.model import Reason, Section
from octosync.plan import ABSENT_FINGERPRINT, Action, Plan, Verb


def only(plan: Plan) -> Action:
    """Return the plan's only action."""
    (action,) = plan.actions
    return action


class TestApp:
    """The app itself."""

    def test_an_absent_app_is_created_under_its_slug(self) -> None:
        """A create sends slug, name and the declared fields; without a name, the slug is the name."""
        action = only(plan_of(desired_app("a", fields={"description": "d"})))
        assert (action.operation, action.parameters) == ("apps.create", {})
        assert action.body == {"slug": "a", "name": "a", "description": "d"}
        assert (action.before, action.fingerprint, action.reason) == (None, ABSENT_FINGERPRINT, Reason.NEW)

    def test_a_new_apps_objects_are_all_created_after_it(self) -> None:
        """A declared app that doesn't exist is created with its targets, slots and config."""
        app = desired_app("a", targets=["ios:x"], slots={"chat": {}}, config={"model": "m"})
        assert action_lines(plan_of(app)) == [
            "create app/a",
            "create app/a/target/ios:x",
            "create app/a/slot/chat",
            "create app/a/inference-config",
        ]

    def test_only_fields_that_differ_are_patched(self) -> None:
        """A PATCH has the changed fields only; the rest of the app is shown unchanged."""
        live = live_app("a", name="old", description="same", fields={"tier": "gold"})
        action = only(plan_of(desired_app("a", fields={"name": "new", "description": "same"}), live))
        assert (action.operation, action.body) == ("apps.update", {"name": "new"})
        assert action.after == {"name": "new", "description": "same", "tier": "gold"}
        assert [(change.path, change.before, change.after) for change in action.fields] == [(("name",), "old", "new")]

    def test_undeclared_fields_of_an_app_are_not_owned(self) -> None:
        """A name and description that the manifest omits may have any value."""
        plan = plan_of(desired_app("a"), live_app("a", name="Whatever", description="Anything"))
        assert plan.actions == ()
        assert [str(address) for address in plan.unchanged] == ["app/a"]

    def test_an_app_that_is_not_declared_is_only_counted(self) -> None:
        """Unmanaged apps are counted if a list was read, and unknown otherwise; nothing else is reported of them."""
        seen = observation(live_app("a"), unmanaged=("x", "y"))
        assert plan_of(desired_app("a"), seen).left_alone.unmanaged_apps == 2
        assert plan_of(desired_app("a"), observation(live_app("a"), unmanaged=())).left_alone.unmanaged_apps == 0
        assert plan_of(desired_app("a"), live_app("a")).left_alone.unmanaged_apps is None


class TestLists:
    """Targets and slots: the whole list, or nothing of it."""

    LIVE = live_app("a", targets=["ios:1", "ios:2"], slots={"chat": {}, "tts": {}}, config={"m": 1})

    @pytest.mark.parametrize(
        ("declared", "planned"),
        [
            ({}, []),
            ({"targets": ["ios:1", "ios:2"]}, []),
            ({"targets": ["ios:2", "ios:1"]}, []),
            ({"targets": ["ios:1"]}, ["delete app/a/target/ios:2"]),
            ({"targets": []}, ["delete app/a/target/ios:1", "delete app/a/target/ios:2"]),
            (
                {"targets": ["ios:1", "android:2"]},
                ["delete app/a/target/ios:2", "create app/a/target/android:2"],
            ),
            ({"slots": {"chat": {}, "tts": {}}}, []),
            ({"slots": {"chat": {}}}, ["delete app/a/slot/tts"]),
            ({"slots": {}}, ["delete app/a/slot/chat", "delete app/a/slot/tts"]),
            ({"slots": {"chat": {}, "vision": {}}}, ["create app/a/slot/vision", "delete app/a/slot/tts"]),
            ({"config": {"m": 1}}, []),
            ({"config": {"m": 1.0}}, []),
            ({"config": {"m": True}}, ["update app/a/inference-config"]),
            ({"config": {"m": None}}, ["update app/a/inference-config"]),
            ({"config": {}}, ["update app/a/inference-config"]),
            ({"config": None}, ["delete app/a/inference-config"]),
        ],
    )
    def test_a_declared_section_is_owned_and_an_absent_one_is_not(
        self, declared: dict[str, Any], planned: list[str]
    ) -> None:
        """Live members that a declared list omits are deleted, `[]` deletes all, and undeclared sections stay unchanged."""
        assert action_lines(plan_of(desired_app("a", **declared), self.LIVE)) == planned

    @pytest.mark.parametrize(
        ("declared", "planned"),
        [
            ({"targets": ["ios:1"]}, []),
            ({"targets": ["ios:3"]}, ["create app/a/target/ios:3"]),
            ({"slots": {"tts": {"preferred_engines": ["mlx"]}}}, ["update app/a/slot/tts"]),
            ({"slots": {"vision": {}}}, ["create app/a/slot/vision"]),
            ({"config": {"m": 2}}, ["update app/a/inference-config"]),
            ({"config": None}, ["delete app/a/inference-config"]),
        ],
    )
    def test_a_child_document_owns_only_its_object(self, declared: dict[str, Any], planned: list[str]) -> None:
        """If only child documents name an app, nothing else of it is compared, the app included."""
        plan = plan_of(child_app("a", **declared), self.LIVE)
        assert action_lines(plan) == planned
        assert "app/a" not in map(str, plan.unchanged)

    def test_children_of_an_absent_app_are_an_error(self) -> None:
        """An app that only child documents name must exist: it is never created, and the error has the child's position."""
        plan = plan_of([child_app("a", slots={"chat": {}}), desired_app("b")])
        assert action_lines(plan) == ["create app/b"]
        assert plan.errored
        assert plan.errors["a"].reference == "app-not-found"
        assert plan.errors["a"].message.startswith("apps/demo.yaml:3:5: ")

    def test_a_target_on_an_unknown_platform_is_left_alone_and_listed(self) -> None:
        """A live target on an unknown platform is never deleted, unless `api.platforms` has its platform."""
        live = live_app("a", targets=["ios:1", "toaster:9"])
        plan = plan_of(desired_app("a", targets=["ios:1"]), live)
        assert plan.actions == ()
        assert [str(address) for address in plan.left_alone.unknown_targets] == ["app/a/target/toaster:9"]
        known = Contract().overridden(platforms=["toaster"])
        assert action_lines(plan_of(desired_app("a", targets=["ios:1"]), live, contract=known)) == [
            "delete app/a/target/toaster:9"
        ]

    def test_a_target_is_removed_by_its_id_and_registered_by_its_tuple(self) -> None:
        """A target can't be updated: a change is a removal and a registration."""
        removal, registration = plan_of(
            desired_app("a", targets=["ios:new"]), live_app("a", targets=["ios:old"])
        ).actions
        assert (removal.operation, removal.body) == ("apps.delete_target", None)
        assert removal.parameters == {"slug": "a", "target_id": "tgt-a-ios:old"}
        assert (registration.operation, registration.parameters) == ("apps.create_target", {"slug": "a"})
        assert registration.body == {"platform": "ios", "identifier": "new"}


class TestInferenceConfig:
    """The config: one opaque object, compared and sent as a whole."""

    def test_a_config_is_sent_whole_and_verbatim(self) -> None:
        """The body is the declared object, nulls included; live keys that it omits are shown as removed."""
        wanted: dict[str, Any] = {"model": "m", "parameters": {"temperature": None}}
        action = only(plan_of(desired_app("a", config=wanted), live_app("a", config={"old": 1, "model": "m"})))
        assert (action.operation, action.body) == ("apps.put_inference_config", wanted)
        assert [change.path for change in action.fields] == [("old",), ("parameters",)]

    @pytest.mark.parametrize(("live", "planned"), [(None, []), ({}, ["delete app/a/inference-config"])])
    def test_null_deletes_an_existing_config(self, live: dict[str, Any] | None, planned: list[str]) -> None:
        """`inferenceConfig: null` is satisfied if there is no config; an empty object is a config."""
        assert action_lines(plan_of(desired_app("a", config=None), live_app("a", config=live))) == planned

    @pytest.mark.parametrize(("live", "verb"), [(None, Verb.CREATE), ({"a": 1}, Verb.UPDATE)])
    def test_an_empty_config_is_a_config(self, live: dict[str, Any] | None, verb: Verb) -> None:
        """`inferenceConfig: {}` is put if there is no config, or a different one."""
        action = only(plan_of(desired_app("a", config={}), live_app("a", config=live)))
        assert (action.verb, action.body) == (verb, {})


class TestErrors:
    """An object that could not be read is an error, never an absence."""

    def test_an_unreadable_app_is_an_error_and_not_created(self) -> None:
        """A failed read plans nothing of its app; the other apps are planned, and the plan is errored."""
        error = OctosyncError("unavailable", "no answer")
        plan = plan_of([desired_app("b"), desired_app("a", targets=["ios:x"])], observation(errors={"a": error}))
        assert action_lines(plan) == ["create app/b"]
        assert plan.errors == {"a": error}
        assert plan.errored

    @pytest.mark.parametrize("section", Section)
    def test_a_declared_section_that_was_not_read_is_an_error(self, section: Section) -> None:
        """An app with an unread declared section is not planned from a partial observation."""
        read = [candidate for candidate in Section if candidate is not section]
        wanted = desired_app("a", targets=["ios:x"], slots={"chat": {}}, config={}, deploy={"chat": "production"})
        plan = plan_of(wanted, live_app("a", read=read))
        assert plan.actions == ()
        assert plan.errors["a"].reference == "not-read"
        assert section.value in plan.errors["a"].message
