from __future__ import annotations

from tests.support.embedded_planes import EmbeddedPlane, invalid_fields, ok, refused
from tests.support.fleets import LARGE, SMALL, post, with_fleet


def test_preview_says_what_enable_then_does(plane: EmbeddedPlane) -> None:
    """Preview shows the variant and targets of the deployment that enable then creates."""
    app = with_fleet(plane, SMALL, LARGE)
    preview = ok(post(plane, app, "preview", "staging"))
    deployment = ok(post(plane, app, "enable", "staging"), 201)
    assert deployment["model_variant_id"] == preview["recommended_variant"]["id"] == "large"
    assert deployment["app_target_ids"] == [assignment["target_id"] for assignment in preview["assignments"]]
    assert preview["device_count"] == sum(assignment["device_count"] for assignment in preview["assignments"]) == 100
    assert preview["warnings"] == ["10 of 100 devices are below class high"]
    assert preview["recommended_variant"]["reason"]


def test_preview_changes_nothing(plane: EmbeddedPlane) -> None:
    """A preview creates no deployment, no event and no variant in the slot."""
    app = with_fleet(plane, SMALL)
    events = ok(plane.api.get(f"{app}/activity"))
    ok(post(plane, app, "preview"))
    assert ok(plane.api.get(f"{app}/activity")) == events
    assert ok(plane.api.get(f"{app}/deployments"))["total"] == 0
    assert ok(plane.api.get(f"{app}/slots/chat"))["model_variant_id"] is None


def test_the_fleet_decides_which_variant_is_best(plane: EmbeddedPlane) -> None:
    """A fleet of low devices gets the variant that runs on them, even if another is better on the devices it runs on."""
    app = with_fleet(plane, SMALL, LARGE, high=10, low=90)
    assert ok(post(plane, app, "preview"))["recommended_variant"]["id"] == "small"


def test_without_devices_the_targets_platforms_decide(plane: EmbeddedPlane) -> None:
    """Without devices: the best variant for the platforms at class mid, 0 assignments, coverage uncovered."""
    app = with_fleet(plane, SMALL, LARGE, high=0, low=0)
    preview = ok(post(plane, app, "preview"))
    assert preview["recommended_variant"]["id"] == "small"
    assert preview["device_count"] == 0
    assert [assignment["device_count"] for assignment in preview["assignments"]] == [0]
    assert preview["coverage"] == "uncovered"


def test_an_app_without_targets_can_be_previewed(plane: EmbeddedPlane) -> None:
    """A preview needs neither targets nor a slot, and warns if they are missing."""
    preview = ok(post(plane, plane.with_app(), "preview"))
    assert preview["recommended_variant"] is not None
    assert preview["assignments"] == []
    assert preview["warnings"] == ["the app has no targets: nothing would be assigned"]


def test_a_capability_that_nothing_serves_is_said(plane: EmbeddedPlane) -> None:
    """If no variant runs on any device, preview recommends none with a warning, and enable is refused."""
    app = with_fleet(plane, {**SMALL, "platforms": ["windows"]})
    preview = ok(post(plane, app, "preview"))
    assert preview["recommended_variant"] is None
    assert preview["assignments"] == []
    assert len(preview["warnings"]) == 1
    assert invalid_fields(post(plane, app, "enable")) == ["path.capability"]


def test_a_platform_that_the_variant_misses_is_a_warning(plane: EmbeddedPlane) -> None:
    """A warning names a target whose platform the recommended variant doesn't run on."""
    app = with_fleet(plane, SMALL)
    plane.with_target(app, "linux", "com.example.demo")
    assert ok(post(plane, app, "preview"))["warnings"] == ["small does not run on linux"]


def test_enable_deploys_the_slots_own_variant(plane: EmbeddedPlane) -> None:
    """A variant that the slot pins is previewed and deployed, even if another is better or the catalog doesn't have it."""
    app = with_fleet(plane, SMALL, LARGE)
    plane.with_slot(app, model_variant_id="small")
    assert ok(post(plane, app, "preview"))["recommended_variant"]["name"] == "S"
    assert ok(post(plane, app, "enable"), 201)["model_variant_id"] == "small"
    plane.with_slot(app, model_variant_id="elsewhere")
    preview = ok(post(plane, app, "preview", "staging"))
    assert preview["recommended_variant"]["id"] == "elsewhere"
    assert preview["warnings"] == ["elsewhere is not in the catalog"]
    assert ok(post(plane, app, "enable", "staging"), 201)["model_variant_id"] == "elsewhere"


def test_enable_sets_the_variant_that_it_chose(plane: EmbeddedPlane) -> None:
    """If the slot has no variant, it gets the one that enable chooses."""
    app = with_fleet(plane, SMALL)
    ok(post(plane, app, "enable"), 201)
    assert ok(plane.api.get(f"{app}/slots/chat"))["model_variant_id"] == "small"


def test_a_second_enable_is_a_conflict_that_shows_the_first(plane: EmbeddedPlane) -> None:
    """A live deployment for the environment is in the error's details; another environment has its own deployment."""
    app = with_fleet(plane, SMALL)
    first = ok(post(plane, app, "enable"), 201)
    assert refused(post(plane, app, "enable", "production"), 409, "conflict")["details"]["deployment"] == first
    assert ok(post(plane, app, "enable", "development"), 201)["id"] != first["id"]


def test_after_a_roll_back_enable_makes_a_new_deployment(plane: EmbeddedPlane) -> None:
    """A rolled-back deployment stays as history, and does not block a new one."""
    app = with_fleet(plane, SMALL)
    first = ok(post(plane, app, "enable"), 201)
    ok(plane.local.post(f"/deployments/{first['id']}", json={"status": "rolled_back"}))
    second = ok(post(plane, app, "enable"), 201)
    listed = ok(plane.api.get(f"{app}/deployments"))["deployments"]
    assert [(deployment["id"], deployment["status"]) for deployment in listed] == [
        (first["id"], "rolled_back"),
        (second["id"], "started"),
    ]


def test_an_unconfigured_capability_is_not_enabled(plane: EmbeddedPlane) -> None:
    """Enable, check and optimize need the slot."""
    app = plane.with_app()
    for action in ("enable", "check-optimization", "optimize"):
        refused(post(plane, app, action), 404, "capability_not_configured")


def test_an_unknown_environment_is_refused(plane: EmbeddedPlane) -> None:
    """Environments are a closed set, and the body has no other field."""
    app = plane.with_app()
    assert invalid_fields(post(plane, app, "preview", "prod")) == ["environment"]
    answer = plane.api.post(f"{app}/capabilities/chat/enable", json={"env": "production"})
    assert invalid_fields(answer) == ["env"]


def test_check_finds_a_better_variant_and_changes_nothing(plane: EmbeddedPlane) -> None:
    """After the catalog has a better variant, check names it with its relative improvement; lower latency is positive."""
    app = with_fleet(plane, SMALL)
    nothing = ok(post(plane, app, "check-optimization"))
    assert (nothing["available"], nothing["current_variant_id"]) == (False, None)
    ok(post(plane, app, "enable"), 201)
    assert ok(post(plane, app, "check-optimization"))["available"] is False
    ok(plane.local.put("/catalog", json={"variants": [SMALL, LARGE]}))
    check = ok(post(plane, app, "check-optimization"))
    assert check["available"] is True
    assert (check["current_variant_id"], check["suggested_variant"]["id"]) == ("small", "large")
    assert check["expected_improvement"] == {"latency": -1.0, "quality": 1.0}
    assert ok(plane.api.get(f"{app}/deployments"))["deployments"][0]["canary"] is None
    ok(plane.local.put("/catalog", json={"variants": [LARGE]}))
    assert ok(post(plane, app, "check-optimization"))["expected_improvement"] == {}
    ok(plane.local.put("/catalog", json={"variants": []}))
    assert ok(post(plane, app, "check-optimization"))["available"] is False


def test_optimize_starts_one_canary_on_the_same_deployment(plane: EmbeddedPlane) -> None:
    """Optimize needs a deployment and a better variant; it starts a canary of 10%, and then refuses another one."""
    app = with_fleet(plane, SMALL)
    refused(post(plane, app, "optimize"), 404, "deployment_not_found")
    first = ok(post(plane, app, "enable"), 201)
    refused(post(plane, app, "optimize"), 409, "conflict")
    ok(plane.local.put("/catalog", json={"variants": [SMALL, LARGE]}))
    canary = ok(post(plane, app, "optimize"))
    assert canary["id"] == first["id"]
    assert canary["model_variant_id"] == "small"
    assert canary["canary"] == {"percentage": 10, "candidate_variant_id": "large"}
    assert refused(post(plane, app, "optimize"), 409, "conflict")["details"]["deployment"] == canary
    assert ok(post(plane, app, "check-optimization"))["available"] is False


def test_an_environment_may_need_an_approval(plane: EmbeddedPlane) -> None:
    """Enable and optimize in such an environment return `approval_required`; previews, checks and other environments work."""
    app = with_fleet(plane, SMALL)
    ok(plane.local.put("/policy", json={"require_approval": ["production"]}))
    refused(post(plane, app, "enable"), 403, "approval_required")
    refused(post(plane, app, "optimize"), 403, "approval_required")
    ok(post(plane, app, "preview"))
    ok(post(plane, app, "enable", "staging"), 201)


def test_the_orgs_deployments_are_filtered_by_app(plane: EmbeddedPlane) -> None:
    """`GET /deployments` lists the deployments of all apps, with `app_id` those of one."""
    app = with_fleet(plane, SMALL)
    deployment = ok(post(plane, app, "enable"), 201)
    assert ok(plane.api.get("/deployments"))["deployments"] == [deployment]
    assert ok(plane.api.get("/deployments", params={"app_id": deployment["app_id"]}))["total"] == 1
    assert ok(plane.api.get("/deployments?app_id=other"))["total"] == 0


def test_the_default_catalog_serves_every_capability_everywhere_it_says(plane: EmbeddedPlane) -> None:
    """Each public capability has several variants, and one of them is recommended for an app that can run it."""
    variants = ok(plane.local.get("/catalog"))["variants"]
    app = plane.with_app()
    plane.with_target(app)
    for capability in sorted({variant["capability"] for variant in variants}):
        preview = ok(plane.api.post(f"{app}/capabilities/{capability}/preview"))
        of_capability = [variant["id"] for variant in variants if variant["capability"] == capability]
        assert len(of_capability) > 1
        assert preview["recommended_variant"]["id"] in of_capability
