from __future__ import annotations

from typing import Any

import pytest
from tests.support.embedded_planes import JSON, EmbeddedPlane, ok, refused


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"model": "@app/demo/chat", "parameters": {"temperature": 0.2, "max_tokens": 512}, "note": None},
        {"read_only": 1, "model_config": {}, "model_extra": [], "__class__": "x", "": 0, "é\t\n": "ü"},
        {"big": 2**80, "small": 1e-300, "deep": [[[[{"a": [None, True]}]]]]},
    ],
)
def test_a_config_is_the_object_itself(plane: EmbeddedPlane, config: dict[str, Any]) -> None:
    """Any object is stored and returned unchanged, including key order and nulls, without an envelope."""
    app = plane.with_app()
    assert ok(plane.api.put(f"{app}/inference-config", json=config)) == config
    read = ok(plane.api.get(f"{app}/inference-config"))
    assert read == config
    assert list(read) == list(config)


def test_a_put_replaces_the_whole_config(plane: EmbeddedPlane) -> None:
    """Keys of the old config that the new one lacks are removed."""
    app = plane.with_app()
    ok(plane.api.put(f"{app}/inference-config", json={"a": 1, "b": 2}))
    ok(plane.api.put(f"{app}/inference-config", json={"b": 3}))
    assert ok(plane.api.get(f"{app}/inference-config")) == {"b": 3}


def test_an_absent_config_is_its_own_404(plane: EmbeddedPlane) -> None:
    """Without a config, get and delete return `inference_config_not_found`."""
    app = plane.with_app()
    refused(plane.api.get(f"{app}/inference-config"), 404, "inference_config_not_found")
    ok(plane.api.put(f"{app}/inference-config", json={}))
    assert plane.api.delete(f"{app}/inference-config").status_code == 204
    refused(plane.api.delete(f"{app}/inference-config"), 404, "inference_config_not_found")


def test_a_config_has_at_most_64_kib(plane: EmbeddedPlane) -> None:
    """The largest config is stored, one byte more is refused and changes nothing."""
    app = plane.with_app()
    largest = {"k": "x" * (64 * 1024 - len('{"k":""}'))}
    ok(plane.api.put(f"{app}/inference-config", json=largest))
    larger = {"k": largest["k"] + "x"}
    refused(plane.api.put(f"{app}/inference-config", json=larger), 413, "payload_too_large")
    assert ok(plane.api.get(f"{app}/inference-config")) == largest


@pytest.mark.parametrize("body", [b"null", b"[]", b'"x"', b"1", b""])
def test_a_config_must_be_an_object(plane: EmbeddedPlane, body: bytes) -> None:
    """A value that is not a JSON object is refused."""
    answer = plane.api.put(f"{plane.with_app()}/inference-config", content=body, headers=JSON)
    refused(answer, 422, "validation_error")
