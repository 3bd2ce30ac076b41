"""Reads of live values: an object is absent only if the control plane reports it as absent. Anything else is an error."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.support.clients import client_of, connection_to
from tests.support.plane import Plane
from tests.support.reads import list_apps, read_app, read_inference_config, read_slots, read_targets
from tests.support.scripted_server import Reply, Request, http_reply, json_reply, scripted_server

from octosync.contract import PRESETS, Contract
from octosync.errors import Missing, RemoteError, Unavailable, Unreadable
from octosync.octomil import Octomil, read_slot


async def test_a_live_app_is_read_completely(plane: Plane) -> None:
    """An app, its targets, slots and config are read as model values: read-only fields separate, policies expanded."""
    plane.app("shop", "vision", "chat", target="com.shop", config={"model": "phi", "nothing": None})
    async with client_of(plane.url) as client:
        app = await read_app(client, "shop")
        targets = await read_targets(client, "shop")
        slots = await read_slots(client, "shop")
        config = await read_inference_config(client, "shop")
        assert client.requests == 4
    assert app is not None
    assert (app.slug, app.fields["name"], app.archived) == ("shop", "Shop", False)
    assert {"id", "org_id", "created_at"} <= app.server_fields.keys()
    assert [(target.platform, target.identifier, target.app) for target in targets] == [("ios", "com.shop", "shop")]
    assert {"id", "app_id"} <= targets[0].server_fields.keys()
    assert [slot.capability for slot in slots] == ["chat", "vision"]
    assert slots[0].fields["serving_policy"] == PRESETS["local_first"]
    assert not {"id", "capability", "updated_at"} & slots[0].fields.keys()
    assert config.config == {"model": "phi", "nothing": None}


async def test_an_absent_object_is_none(plane: Plane) -> None:
    """A missing app, slot or config is reported by the control plane and is not retried."""
    plane.app("shop")
    async with client_of(plane.url) as client:
        assert await read_app(client, "missing") is None
        assert await read_slot(client, "shop", "chat") is None
        assert (await read_inference_config(client, "shop")).config is None
        assert await read_targets(client, "shop") == ()
        assert await read_slots(client, "shop") == ()
        assert client.requests == 5


async def test_a_single_slot_equals_the_slot_of_the_list(plane: Plane) -> None:
    """A slot is the same value by itself and in the list, so that two reads can be compared."""
    plane.app("shop", "chat")
    async with client_of(plane.url) as client:
        assert (await read_slot(client, "shop", "chat"),) == await read_slots(client, "shop")


async def test_an_archived_app_is_read_by_slug_and_hidden_from_the_list(plane: Plane) -> None:
    """Absence from the list does not prove absence."""
    plane.app("old")
    plane.send("POST", "/apps/old/archive")
    async with client_of(plane.url) as client:
        app = await read_app(client, "old")
        assert app is not None
        assert app.archived
        assert await list_apps(client) == {}


async def test_a_slot_of_another_capability_is_an_error() -> None:
    """A response for another capability is not the requested slot."""
    async with scripted_server(json_reply({"capability": "vision"})) as server, client_of(server.url) as client:
        with pytest.raises(Unreadable, match="asked for slot chat, got vision"):
            await read_slot(client, "a", "chat")


@pytest.mark.parametrize("read", [read_slot, read_slots, read_targets, read_inference_config])
async def test_the_children_of_a_missing_app_are_an_error(plane: Plane, read: Callable[..., Awaitable[Any]]) -> None:
    """An app that vanished meanwhile does not count as an app without children."""
    async with client_of(plane.url) as client:
        with pytest.raises(Missing) as missing:
            await read(client, "missing", *(["chat"] if read is read_slot else []))
    assert missing.value.code == "app_not_found"


@pytest.mark.parametrize(
    "reply", [http_reply(200), json_reply(None), http_reply(204), json_reply({"detail": "no config"}, 404)]
)
async def test_every_form_of_a_missing_config_is_read(reply: Reply) -> None:
    """A 404 with any code, `null` and an empty body all mean that there is no config."""
    async with scripted_server(reply) as server, client_of(server.url) as client:
        assert (await read_inference_config(client, "a")).config is None


@pytest.mark.parametrize(
    ("read", "reply", "problem"),
    [
        (read_app, http_reply(200), "it is empty"),
        (read_app, json_reply(["a"]), "it is not an object"),
        (read_app, json_reply({"id": "1"}), "field slug: field required"),
        (read_app, json_reply({"slug": "b"}), "asked for app a, got b"),
        (read_app, json_reply({"slug": "a", "name": {"secret": "hunter2"}}), "field name: "),
        (read_slots, http_reply(200), "it is empty, expected a list of slots"),
        (read_slots, json_reply({"items": []}), "field slots is missing"),
        (read_slots, json_reply({"slots": {}}), "slots is not a list of objects"),
        (read_slots, json_reply({"slots": [1]}), "slots is not a list of objects"),
        (read_slots, json_reply("chat"), "slots is not a list of objects"),
        (read_slots, json_reply([{"serving_policy": "auto"}]), "slots[0]"),
        (read_slots, json_reply([{"capability": "chat", "serving_policy": 5}]), "field serving_policy"),
        (read_slots, json_reply([{"capability": ""}]), "slots[0]"),
        (read_slots, json_reply([{"capability": ".."}]), "slots[0]"),
        (read_targets, json_reply([{"id": ".", "platform": "ios", "identifier": "com.shop"}]), "targets[0]"),
        (read_targets, json_reply([{"id": "1", "platform": "ios"}]), "field identifier: field required"),
        (
            read_targets,
            json_reply([{"id": "1", "platform": "ios", "identifier": ""}]),
            "field identifier: string should",
        ),
        (
            read_targets,
            json_reply([{"id": "1", "platform": "", "identifier": "com.shop"}]),
            "field platform: string should",
        ),
        (read_inference_config, json_reply([1]), "it is not an object"),
    ],
)
async def test_a_response_of_another_shape_names_operation_field_and_request(
    read: Callable[[Octomil, str], Awaitable[Any]], reply: Reply, problem: str
) -> None:
    """A missing required field is one error, which contains no values of the response."""
    async with scripted_server(reply) as server, client_of(server.url) as client:
        with pytest.raises(Unreadable) as unreadable:
            await read(client, "a")
        assert len(server.received) == 1
    assert problem in unreadable.value.message
    assert unreadable.value.operation in unreadable.value.message
    assert "hunter2" not in unreadable.value.message
    assert ("request req_1" in unreadable.value.message) == (b"req_1" in reply.data)


async def test_unknown_fields_are_kept_and_missing_optional_ones_are_not_added() -> None:
    """The fields of a newer control plane are kept in the live value."""
    shown = {"serving_policy": "cloud_only", "bindings": [], "novel": {"a": [1, None]}}
    slot = {"capability": "chat", **shown, "model_variant_id": None}
    async with scripted_server(json_reply({"slots": [slot], "total": 1})) as server, client_of(server.url) as client:
        (read,) = await read_slots(client, "a")
    assert read.fields == {"serving_policy": PRESETS["cloud_only"], "bindings": [], "novel": {"a": [1, None]}}
    assert read.server_fields == {"capability": "chat"}


async def test_fields_configured_as_read_only_are_identity() -> None:
    """A field in `api.readOnly` is neither compared nor carried over."""
    contract = Contract().overridden(read_only={"slot": ["etag"]})
    reply = json_reply([{"capability": "chat", "serving_policy": "private", "bindings": [], "etag": "5"}])
    async with scripted_server(reply) as server, Octomil(connection_to(server.url), contract) as client:
        (read,) = await read_slots(client, "a")
    assert read.fields == {"serving_policy": PRESETS["private"], "bindings": []}
    assert read.server_fields["etag"] == "5"


@pytest.mark.parametrize(
    "shown",
    [{}, {"serving_policy": "private"}, {"bindings": []}, {"serving_policy": "private", "bindings": None}],
)
async def test_a_slot_that_a_list_summarises_is_read_by_itself(shown: dict[str, object]) -> None:
    """A field that the list omits would be lost by the next PUT. A slot that vanished meanwhile is absent."""
    summary = json_reply({"slots": [{"capability": "chat", **shown}, {"capability": "vision", **shown}]})
    chat = json_reply({"capability": "chat", "serving_policy": "private", "bindings": [{"binding_key": "a"}]})
    gone = json_reply({"error": {"code": "capability_not_configured", "message": "gone"}}, 404)
    async with scripted_server(summary, chat, gone) as server, client_of(server.url) as client:
        (read,) = await read_slots(client, "shop")
        assert [line.partition("?")[0] for line in server.lines] == [
            "GET /api/v1/apps/shop/slots",
            "GET /api/v1/apps/shop/slots/chat",
            "GET /api/v1/apps/shop/slots/vision",
        ]
    assert read.fields == {"serving_policy": PRESETS["private"], "bindings": [{"binding_key": "a"}]}


@pytest.mark.parametrize("archived_at", [None, False, "", "2030-01-01T00:00:00Z", 1893456000])
async def test_an_app_is_archived_if_the_time_is_set(archived_at: object) -> None:
    """An app is live for every form of "not archived", of times and of ids."""
    reply = json_reply({"slug": "a", "name": "A", "id": 7, "archived_at": archived_at})
    async with scripted_server(reply) as server, client_of(server.url) as client:
        app = await read_app(client, "a")
    assert app is not None
    assert app.archived == bool(archived_at)


async def test_a_target_may_have_a_number_as_its_id() -> None:
    """The id only has to identify the target in a path."""
    target = {"id": 7, "platform": "ios", "identifier": "com.shop"}
    async with scripted_server(json_reply([target])) as server, client_of(server.url) as client:
        (read,) = await read_targets(client, "a")
    assert read.server_fields["id"] == 7


# Lists, page by page.


def _pages(total: int, *, bare: bool = False, cap: int = 100, named_total: bool = True) -> Callable[[Request], Reply]:
    """Serve `total` apps, at most `cap` per page."""

    def page(request: Request) -> Reply:
        query = dict(pair.split("=") for pair in request.target.partition("?")[2].split("&"))
        limit, offset = min(int(query["limit"]), cap), int(query["offset"])
        items = [{"slug": f"app-{number:04}"} for number in range(total)][offset : offset + limit]
        envelope = {"apps": items, "limit": limit, "offset": offset} | ({"total": total} if named_total else {})
        return json_reply(items if bare else envelope)

    return page


@pytest.mark.parametrize(
    ("total", "shape", "requests"),
    [
        (0, {}, 1),
        (100, {}, 1),
        (101, {}, 2),
        (250, {}, 3),
        (120, {"cap": 50}, 3),
        (99, {"named_total": False}, 1),
        (100, {"named_total": False}, 2),
        (120, {"named_total": False, "cap": 50}, 3),
        (0, {"bare": True}, 1),
        (99, {"bare": True}, 1),
        (205, {"bare": True}, 3),
    ],
)
async def test_lists_are_read_completely_in_as_few_requests_as_possible(
    total: int, shape: dict[str, Any], requests: int
) -> None:
    """Every app is read once, from an envelope or a bare array, with or without a total, at any page size."""
    async with scripted_server(_pages(total, **shape)) as server, client_of(server.url) as client:
        assert list(await list_apps(client)) == [f"app-{number:04}" for number in range(total)]
        assert len(server.received) == requests


async def test_a_bare_array_longer_than_requested_is_the_whole_list() -> None:
    """A server without pagination returns everything at once."""
    async with scripted_server(json_reply([{"slug": f"app-{number}"} for number in range(150)])) as server:
        async with client_of(server.url) as client:
            assert len(await list_apps(client)) == 150
        assert len(server.received) == 1


async def test_a_list_that_changes_during_the_read_is_read_again() -> None:
    """An app that is created between two pages could hide another, so the whole list is read once more."""
    grown = _pages(151)
    async with scripted_server(_pages(150), grown) as server, client_of(server.url) as client:
        assert len(await list_apps(client)) == 151
        assert len(server.received) == 4


def _same_page(_: Request) -> Reply:
    return json_reply([{"slug": f"app-{number}"} for number in range(100)])


def _shrinking(request: Request) -> Reply:
    return json_reply({"apps": [] if "offset=0" not in request.target else [{"slug": "a"}], "total": 7})


@pytest.mark.parametrize("page", [_same_page, _shrinking])
async def test_a_list_that_never_settles_is_an_error(page: Callable[[Request], Reply]) -> None:
    """A list that repeats itself, or ends before its own total, is an error, not an endless loop or a partial list."""
    async with scripted_server(page) as server, client_of(server.url) as client:
        with pytest.raises(Unreadable, match="changed or repeated itself"):
            await list_apps(client)
        assert len(server.received) == 6


async def test_a_duplicate_capability_is_an_error() -> None:
    """A list that contradicts itself is not planned from."""
    twice = json_reply({"slots": [{"capability": "chat"}, {"capability": "chat"}], "total": 2})
    async with scripted_server(twice) as server, client_of(server.url) as client:
        with pytest.raises(Unreadable):
            await read_slots(client, "a")


async def test_an_endless_list_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A control plane that always has another page ends in an error."""
    monkeypatch.setattr("octosync.octomil.pagination._LONGEST_LIST", 250)
    async with scripted_server(_pages(10_000)) as server, client_of(server.url) as client:
        with pytest.raises(Unreadable, match="more than 250"):
            await list_apps(client)


async def test_a_list_of_tiny_pages_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """With pages of one entry, the number of requests is bounded. A list within that bound is read completely."""
    monkeypatch.setattr("octosync.octomil.pagination._MOST_PAGES", 7)
    async with scripted_server(_pages(10_000, cap=1)) as server, client_of(server.url) as client:
        with pytest.raises(Unreadable, match="more than 7 pages"):
            await list_apps(client)
        assert len(server.received) == 7
    async with scripted_server(_pages(7, cap=1)) as server, client_of(server.url) as client:
        assert len(await list_apps(client)) == 7


# Names that are not one segment of a URL path, or that would change the path.
NO_NAMES = ["", ".", "..", "a/b", "..\\..", "a\nb", "\x1b[2J", "\u202ea", "x" * 70_000, 10**600, True, None, {}, []]


@pytest.mark.parametrize("name", NO_NAMES, ids=lambda name: repr(name)[:12])
async def test_a_name_that_no_url_can_contain_is_unreadable(name: Any) -> None:
    """Targets and capabilities are requested by their listed names. A name that no URL can contain is an error that hides it."""
    shown = {"slug": name, "id": name, "capability": name, "platform": "ios", "identifier": "com.a"}
    async with scripted_server(json_reply([shown])) as server, client_of(server.url) as client:
        for reading in (read_targets(client, "a"), read_slots(client, "a")):
            with pytest.raises(Unreadable, match="has no usable id or name") as unreadable:
                await reading
            assert len(unreadable.value.message) < 400


@pytest.mark.parametrize("slug", ["x" * 70_000, "", ".", ".."], ids=["long", "empty", "dot", "dots"])
async def test_a_name_that_would_change_the_path_is_an_error(slug: str) -> None:
    """It is neither sent nor shown."""
    async with scripted_server(json_reply({})) as server, client_of(server.url) as client:
        with pytest.raises(RemoteError, match="name-unusable") as refused:
            await read_app(client, slug)
        assert server.received == []
        assert (refused.value.sent, client.requests) == (False, 0)
        assert len(refused.value.message) < 100


async def test_a_failed_page_is_a_failed_list() -> None:
    """If a page fails, the result is an error, not a partial list."""
    broken = json_reply({"detail": "boom"}, 500)
    async with scripted_server(_pages(150), broken) as server, client_of(server.url, attempts=2) as client:
        with pytest.raises(Unavailable):
            await list_apps(client)


@pytest.mark.parametrize("fault", ["html", "garbage", "truncated", "cut", "empty", "not_found", "redirect", "status"])
async def test_no_fault_of_a_control_plane_makes_an_app_absent(plane: Plane, fault: str) -> None:
    """After any permanent failure, a failed read is an error."""
    plane.app("shop", "chat", config={})
    rules = [{"operation": "*", "action": fault, "times": None}]
    plane.break_with(*rules)
    async with client_of(plane.url, attempts=2) as client:
        for read in (read_app, read_slots, read_targets):
            with pytest.raises(RemoteError) as failed:
                await read(client, "shop")
            assert not isinstance(failed.value, Missing)
