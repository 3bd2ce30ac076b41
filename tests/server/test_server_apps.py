from __future__ import annotations

import pytest
from tests.support.embedded_planes import EmbeddedPlane, invalid_fields, ok, refused


def test_created_app_is_read_back_as_it_was_answered(plane: EmbeddedPlane) -> None:
    """Create and get return the same app, with an id of at most 36 characters and the given slug."""
    created = ok(plane.api.post("/apps", json={"slug": "demo", "name": "Demo", "description": "Notes"}), 201)
    assert created["slug"] == "demo"
    assert created["description"] == "Notes"
    assert created["archived_at"] is None
    assert len(created["id"]) <= 36
    assert ok(plane.api.get("/apps/demo")) == created


def test_a_slug_is_taken_once(plane: EmbeddedPlane) -> None:
    """A second create with the same slug is a conflict that names the slug and leaves the first app unchanged."""
    first = ok(plane.api.get(plane.with_app(description="first")))
    error = refused(plane.api.post("/apps", json={"slug": "demo", "name": "Other"}), 409, "conflict")
    assert error["details"]["app_slug"] == "demo"
    assert ok(plane.api.get("/apps/demo")) == first


@pytest.mark.parametrize("slug", ["", "A", "-a", "a-", "a_b", "a" * 64, "é", "a\n", "a b", 7, None])
def test_a_slug_that_is_none_is_refused(plane: EmbeddedPlane, slug: object) -> None:
    """Slugs have lowercase letters, digits and inner hyphens, at most 63 characters."""
    assert invalid_fields(plane.api.post("/apps", json={"slug": slug, "name": "Demo"})) == ["slug"]


def test_all_problems_of_a_body_are_named_at_once(plane: EmbeddedPlane) -> None:
    """A 422 names the path of every invalid field, including unknown ones."""
    answer = plane.api.post("/apps", json={"slug": "A", "nmae": "Demo", "description": 5})
    assert sorted(invalid_fields(answer)) == ["description", "name", "nmae", "slug"]


def test_lists_are_paged_in_the_order_of_creation(plane: EmbeddedPlane) -> None:
    """`limit` and `offset` select a part of the list, `total` is the length of the whole list."""
    for slug in ("c", "a", "b"):
        plane.with_app(slug)
    page = ok(plane.api.get("/apps", params={"limit": 2, "offset": 1}))
    assert [app["slug"] for app in page["apps"]] == ["a", "b"]
    assert (page["total"], page["limit"], page["offset"]) == (3, 2, 1)
    assert ok(plane.api.get("/apps"))["limit"] == 50


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "limit=-1", "limit=", "limit=٣", "offset=-1", "offset=2147483649"]
)
def test_a_page_out_of_range_is_refused(plane: EmbeddedPlane, query: str) -> None:
    """`limit` is 1 to 100, `offset` 0 to 2³¹."""
    assert invalid_fields(plane.api.get(f"/apps?{query}")) == [f"query.{query.partition('=')[0]}"]


def test_the_bounds_of_a_page_are_within_it(plane: EmbeddedPlane) -> None:
    """The largest limit and the largest offset are served."""
    page = ok(plane.api.get("/apps?limit=100&offset=2147483648"))
    assert page == {"apps": [], "total": 0, "limit": 100, "offset": 2147483648}


def test_update_changes_only_what_it_names(plane: EmbeddedPlane) -> None:
    """A PATCH does not change absent fields, removes a description by null, and ignores read-only fields."""
    app = plane.with_app(description="old")
    renamed = ok(plane.api.patch(app, json={"name": "New", "slug": "ignored", "id": "ignored"}))
    assert (renamed["name"], renamed["description"], renamed["slug"]) == ("New", "old", "demo")
    assert ok(plane.api.patch(app, json={"description": None}))["description"] is None
    assert invalid_fields(plane.api.patch(app, json={"name": None})) == ["name"]
    assert invalid_fields(plane.api.patch(app, json={"labels": {}})) == ["labels"]


def test_an_update_that_changes_nothing_leaves_no_trace(plane: EmbeddedPlane) -> None:
    """Sending the same values again neither changes `updated_at` nor adds an event."""
    app = plane.with_app(description="same")
    before = ok(plane.api.get(app))
    plane.tick()
    assert ok(plane.api.patch(app, json={"name": "demo", "description": "same"})) == before
    assert ok(plane.api.get(f"{app}/activity"))["total"] == 1


def test_archived_apps_are_hidden_but_readable(plane: EmbeddedPlane) -> None:
    """An archived app is not in lists by default; it stays readable by slug, with its targets and slots."""
    app = plane.with_app()
    plane.with_target(app)
    plane.with_slot(app)
    archived = ok(plane.api.post(f"{app}/archive"))
    assert archived["archived_at"] is not None
    assert ok(plane.api.get("/apps"))["apps"] == []
    assert ok(plane.api.get("/apps?include_archived=true"))["apps"] == [archived]
    assert ok(plane.api.get(app)) == archived
    assert ok(plane.api.get(f"{app}/targets"))["total"] == 1
    assert ok(plane.api.get(f"{app}/slots"))["total"] == 1
    assert invalid_fields(plane.api.get("/apps?include_archived=maybe")) == ["query.include_archived"]


def test_archived_apps_refuse_every_write(plane: EmbeddedPlane) -> None:
    """Every write to an archived app, including another archive, is a conflict; its slug stays taken."""
    app = plane.with_app()
    target = plane.with_target(app)
    plane.with_slot(app)
    ok(plane.api.put(f"{app}/inference-config", json={"model": "m"}))
    ok(plane.api.post(f"{app}/archive"))
    writes = [
        plane.api.patch(app, json={"name": "x"}),
        plane.api.post(f"{app}/archive"),
        plane.api.post(f"{app}/targets", json={"platform": "ios", "identifier": "com.example.other"}),
        plane.api.delete(f"{app}/targets/{target}"),
        plane.api.put(f"{app}/slots/chat", json={}),
        plane.api.delete(f"{app}/slots/chat"),
        plane.api.put(f"{app}/inference-config", json={}),
        plane.api.delete(f"{app}/inference-config"),
        plane.api.post(f"{app}/capabilities/chat/enable"),
        plane.api.post(f"{app}/capabilities/chat/optimize"),
        plane.api.post("/apps", json={"slug": "demo", "name": "x"}),
    ]
    for answer in writes:
        refused(answer, 409, "conflict")


def test_an_unknown_app_is_named_in_its_404(plane: EmbeddedPlane) -> None:
    """Every path below an unknown slug returns `app_not_found`, never a bare 404."""
    for path in ("", "/targets", "/slots", "/slots/chat", "/inference-config", "/health", "/activity", "/deployments"):
        refused(plane.api.get(f"/apps/nobody{path}"), 404, "app_not_found")
    for path in ("first-request", "routing/decisions", "routing/stats"):
        refused(plane.api.get(f"/apps/nobody/{path}"), 404, "app_not_found")
    for action in ("preview", "enable", "check-optimization", "optimize"):
        refused(plane.api.post(f"/apps/nobody/capabilities/chat/{action}"), 404, "app_not_found")
