"""Random declared apps with every field a desired state can have, and apps with secrets in every possible place."""

from __future__ import annotations

from datetime import timedelta, timezone
from itertools import count
from typing import Any

from hypothesis import strategies as st
from tests.support.json_values import json_objects

from octosync.model import (
    App,
    Deploy,
    InferenceConfig,
    JsonObject,
    JsonValue,
    Optimize,
    Origin,
    Section,
    Sensitivity,
    Slot,
    Suspension,
    Target,
)

SECRET = "hunter2"  # every planted secret starts with it

_names = st.text("abcé😀:/@. ", min_size=1, max_size=4)
_origins = st.none() | st.builds(Origin, _names, st.integers(0, 9), st.integers(1, 9))
_times = st.datetimes(timezones=st.sampled_from([timezone(timedelta(hours=hours)) for hours in (-11, 0, 14)]))
_deploys = st.builds(
    Deploy,
    environments=st.lists(_names, max_size=3).map(tuple),
    optimize=st.sampled_from(Optimize),
    min_improvement=st.none() | st.integers(0, 1) | st.floats(0, 1),
    max_regression=st.none() | st.integers(0, 1) | st.floats(0, 1),
    origin=_origins,
)


def declared_apps(slug: str = "a", objects: st.SearchStrategy[Any] | None = None) -> st.SearchStrategy[App]:
    """Draw an app as manifests may declare it; `objects` are the values of the free-form fields."""
    values = json_objects() if objects is None else objects
    return st.builds(
        App,
        slug=st.just(slug),
        fields=values,
        archived=st.booleans(),
        declared=st.booleans(),
        complete_sections=st.frozensets(st.sampled_from(Section)),
        targets=st.lists(
            st.builds(Target, app=st.just(slug), platform=_names, identifier=_names, origin=_origins), max_size=3
        ).map(tuple),
        slots=st.lists(
            st.builds(
                Slot,
                app=st.just(slug),
                capability=_names,
                fields=values,
                preset=st.none() | _names,
                deploy=st.none() | _deploys,
                origin=_origins,
            ),
            max_size=3,
            unique_by=lambda slot: slot.capability,
        ).map(tuple),
        inference_config=st.none()
        | st.builds(InferenceConfig, app=st.just(slug), config=st.none() | values, origin=_origins),
        labels=st.dictionaries(st.sampled_from(["team", "api-key"]), st.sampled_from(["red", f"{SECRET}-label"])).map(
            lambda labels: {key: value for key, value in labels.items() if key == "api-key" or SECRET not in value}
        ),
        protected=st.booleans(),
        suspension=st.none() | st.builds(Suspension, until=st.none() | _times),
        origin=_origins,
    )


def objects_with_secrets(sensitivity: Sensitivity) -> st.SearchStrategy[JsonObject]:
    """Draw objects in which every text and number under a sensitive key is a unique secret, and so is every key there."""
    return json_objects().map(lambda value: plant_secrets(value, sensitivity))


def plant_secrets(value: JsonObject, sensitivity: Sensitivity) -> dict[str, JsonValue]:
    """Replace every sensitive value by a secret."""
    numbers = count()

    def secret(json: JsonValue) -> JsonValue:
        if isinstance(json, dict):
            return {f"{SECRET}-{next(numbers)}-{key}": secret(item) for key, item in json.items()}
        if isinstance(json, list):
            return [secret(item) for item in json]
        return json if json is None or isinstance(json, bool) else f"{SECRET}-{next(numbers)}"

    def plant(json: JsonValue) -> Any:
        if isinstance(json, dict):
            return {key: secret(item) if sensitivity.covers(key) else plant(item) for key, item in json.items()}
        return [plant(item) for item in json] if isinstance(json, list) else json

    result: dict[str, JsonValue] = plant(value)
    return result
