"""Writing manifests: octosync and other YAML readers read back the same values."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.support.json_values import KEYS
from tests.support.live_orgs import TEXTS
from tests.support.random_states import Situation, situations
from tests.support.states import child_app, desired_app

from octosync.manifest import Configuration, Manifests, load_manifests, manifest_text
from octosync.manifest.export.expressible import json_refusal, text_refusal
from octosync.manifest.schema.models import AppSpec
from octosync.manifest.schema.shapes import fields_of
from octosync.model import Address, App, Deploy, JsonValue, Optimize, Section, Slot, State, canonical_json

NOW = datetime(2026, 3, 1, tzinfo=UTC)

texts = st.one_of(
    st.sampled_from(TEXTS),
    st.text(),
    st.text(
        alphabet=st.sampled_from("${}: #-\n\t\r '\"\\|>&*!%@`,[]?~0123456789eE.+_xobnyNYu\u2028\x85é😀"), max_size=12
    ),
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), texts),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(st.sampled_from(KEYS), texts), inner, max_size=4)
    ),
    max_leaves=12,
)
objects = st.dictionaries(st.one_of(st.sampled_from(KEYS), texts), values, max_size=5)


def loaded(text: str) -> Manifests:
    """Load a text as the commands do, from standard input."""
    return load_manifests(["-"], configuration=Configuration(), now=NOW, stdin=text.encode())


def loaded_app(text: str) -> App:
    """Load the manifest of one app, which must be valid."""
    found = loaded(text)
    assert not found.has_errors, (text, found.diagnostics)
    (app,) = found.state
    return app


def declared(app: App) -> Any:
    """Return all declarations of an app in a comparable form, without places."""
    return (
        app.slug,
        app.fields,
        app.archived,
        app.declared,
        app.complete_sections,
        sorted(target.unique_key for target in app.targets),
        [
            (
                slot.capability,
                canonical_json(slot.fields),
                slot.deploy and (slot.deploy.environments, slot.deploy.optimize),
            )
            for slot in sorted(app.slots, key=lambda slot: slot.capability)
        ],
        app.inference_config and canonical_json(app.inference_config.config),
    )


@given(objects)
def test_every_value_is_read_back_unchanged(config: dict[str, Any]) -> None:
    """Any JSON that a manifest can contain is read back exactly, including types of numbers and spaces of texts."""
    if json_refusal(config, above=2) is not None:
        return
    text = manifest_text(desired_app("demo", config=config))
    app = loaded_app(text)
    assert app.inference_config is not None
    assert repr(app.inference_config.config) == repr(config)


@given(objects)
def test_other_yaml_readers_read_the_same_values(config: dict[str, Any]) -> None:
    """PyYAML, which reads YAML 1.1 (`yes`, `012`, `1_000`, dates), reads the same values. Only `$` is escaped."""
    if json_refusal(config, above=2) is not None:
        return
    read = yaml.safe_load(manifest_text(desired_app("demo", config=config)))["spec"]["inferenceConfig"]
    assert repr(_with_variables(read)) == repr(config)


def _with_variables(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("$${", "${")
    if isinstance(value, dict):
        return {key: _with_variables(item) for key, item in value.items()}
    return [_with_variables(item) for item in value] if isinstance(value, list) else value


@given(texts)
def test_a_text_is_refused_or_read_back_unchanged(text: str) -> None:
    """A text that a manifest can't contain is refused before it is written. Any other is read back, `${` included."""
    field = fields_of(AppSpec)["description"].shape
    written = manifest_text(desired_app("demo", fields={"description": text}))
    if text_refusal(text, field) is None:
        assert loaded_app(written).fields["description"] == text
    else:
        assert loaded(written).has_errors


@given(situations())
def test_every_declaration_is_written_and_read_back(situation: Situation) -> None:
    """Complete and partial apps, child documents, fields of slots, configs and their removal are all read back."""
    for app in situation.desired:
        text = manifest_text(app)
        if app.declared or app.sections:
            assert declared(loaded_app(text)) == declared(app), text
        else:
            assert text == ""


def test_a_deploy_and_a_pinned_variant_are_written() -> None:
    """A value that live apps never declare is written, too."""
    deploy = Deploy(
        environments=("staging", "production"), optimize=Optimize.AUTO, min_improvement=0.05, max_regression=0.2
    )
    slots: dict[str, dict[str, JsonValue]] = {"chat": {}, "tts": {"model_variant_id": "tts-compact"}}
    app = desired_app("demo", slots=slots, deploy={"chat": deploy})
    read = loaded_app(manifest_text(app))
    assert declared(read) == declared(app)
    found = read.slot("chat")
    assert found is not None
    assert found.deploy is not None
    assert (found.deploy.min_improvement, found.deploy.max_regression) == (0.05, 0.2)


def test_names_of_child_documents_are_unique() -> None:
    """Kustomize rejects two documents of one kind with the same name, and a document without one."""
    app = child_app(
        "demo",
        targets=["ios:com.x", "browser:https://x.com", "browser:https-x.com"],
        slots={"a_b": {}, "a-b": {}, "a-b.2": {}},
    )
    names = [line for line in manifest_text(app).splitlines() if line.startswith("  name:")]
    assert names == [
        "  name: demo.ios.com.x",
        "  name: demo.browser.https-x.com",
        "  name: demo.browser.https-x.com.2",
        "  name: demo.a-b",
        "  name: demo.a-b.2",
        "  name: demo.a-b.2.2",
    ]


def test_members_of_a_list_that_is_not_owned_are_separate_documents() -> None:
    """An App document and children together declare exactly what the app declares."""
    app = App(slug="demo", fields={"name": "Demo"}, slots=(Slot(app="demo", capability="chat"),))
    text = manifest_text(app)
    assert [document["kind"] for document in yaml.safe_load_all(text)] == ["App", "CapabilitySlot"]
    assert Section.SLOTS not in loaded_app(text).complete_sections


@given(texts)
def test_no_comment_leaves_its_line(text: str) -> None:
    """A comment with any text does not change the declarations."""
    app = desired_app("demo", targets=["ios:a.b"], slots={"chat": {}})
    notes = dict.fromkeys((app.address, Address.of_slot("demo", "chat")), (text, text))
    commented = manifest_text(app, notes)
    assert declared(loaded_app(commented)) == declared(app)
    assert len(commented.splitlines()) == len(manifest_text(app).splitlines()) + 4


@pytest.mark.parametrize("slug", ["null", "yes", "1e3", "012", "2024-01-31", "0x1f", "a"])
def test_a_slug_stays_text(slug: str) -> None:
    """A slug that YAML would read as another type is quoted, here and in child documents."""
    app = App(slug=slug, complete_sections=frozenset({Section.TARGETS}), slots=(Slot(app=slug, capability="chat"),))
    assert [app.slug for app in State.from_apps(loaded_app(manifest_text(app)))] == [slug]
