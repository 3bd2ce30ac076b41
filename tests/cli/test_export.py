"""`octosync export`: the plan of exported manifests is empty, skipped apps are named; files are replaced only with --force."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.clients import KEY
from tests.support.embedded_planes import ok, run_plane
from tests.support.examples import THOROUGH
from tests.support.kubectl import needs_kubectl, render_kustomization
from tests.support.live_orgs import SECRET, fill, slugs
from tests.support.projects import Project
from tests.support.workdirs import CommandResult, Workdir

from octosync.server import Token

SECTIONS = "targets,slots,inference_config,deploy"
CONFIG = {"model": "@app/search/chat", "parameters": {"temperature": 0.2, "stop": ["\n", "${END}"]}}


@pytest.fixture
def live(project: Project) -> Project:
    """Create an app that has something in every section, and a second one."""
    plane = project.plane
    app = plane.with_app("search", description="Finds things")
    plane.with_target(app)
    plane.with_slot(app, "chat", preferred_engines=["coreml", "mlx"], public_client_allowed=True)
    plane.with_slot(app, "vision", serving_policy="private", bindings=[{"binding_key": "main", "use_case": "photos"}])
    ok(plane.api.put(f"{app}/inference-config", json=CONFIG))
    for environment in ("staging", "production"):
        ok(plane.api.post(f"{app}/capabilities/chat/enable", json={"environment": environment}), 201)
    plane.with_app("notes")
    project.log()
    return project


def export(project: Project, *arguments: str | Path, **more: Any) -> CommandResult:
    """Export from the project's control plane."""
    return project.workdir.octosync("export", *arguments, "--url", project.url, "--rate", "0", **more)


def changes_of(project: Project) -> list[Any]:
    """Validate the manifests in `apps`, plan them, and return the changes."""
    assert project.workdir.octosync("validate", "-f", "apps").code == 0
    ran = project.plan("-o", "json", "--detailed-exitcode", "--rate", "0")
    document = json.loads(ran.stdout)
    assert not document["errored"]
    assert ran.code == (2 if document["resource_changes"] else 0)
    changes: list[Any] = document["resource_changes"]
    return changes


def manifest(project: Project, slug: str = "search") -> str:
    """Return the manifest of an app."""
    return (project.workdir.directory / f"apps/{slug}.yaml").read_text()


def store_of(project: Project) -> Any:
    """Return the control plane's database, to insert what its API rejects."""
    return project.plane.running.app.state.plane.store


def test_a_live_app_is_written_in_a_fixed_order_with_an_empty_plan(live: Project) -> None:
    """The manifest has everything that is live, presets by name, and a comment where Octomil chooses the value."""
    ran = export(live, "-d", "apps")
    assert (ran.code, ran.stdout, ran.stderr) == (0, "", "Wrote 2 manifests to apps.\n")
    assert manifest(live) == (
        """\
apiVersion: octosync.dev/v1
kind: App
metadata:
  name: search
spec:
  name: search
  description: Finds things
  targets:
    - {platform: ios, identifier: com.example.demo}
  slots:
    - capability: chat
      servingPolicy: local_first
      preferredEngines: [coreml, mlx]
      publicClientAllowed: true
      deploy:
        environments: [production, staging]
        optimize: never
      # optimize: suggest shows better variants, auto rolls them out
      # variant: chat-steady-3b-q4  # chosen by Octomil; declare it to pin it
    - capability: vision
      servingPolicy: local_only
      bindings:
        - binding_key: main
          use_case: photos
  inferenceConfig:
    model: "@app/search/chat"
    parameters:
      stop: ["\\n", "$${END}"]
      temperature: 0.2
"""
    )
    assert changes_of(live) == []


def test_an_exported_plan_recommends_nothing(live: Project) -> None:
    """A better variant in Octomil's catalog changes neither the plan nor its requests."""
    assert export(live, "-d", "apps").code == 0
    live.log()
    assert json.loads(live.plan("-o", "json").stdout)["recommendations"] == []
    assert not [line for line in live.log() if line.startswith("POST")]


def test_another_choice_of_octomil_leaves_the_plan_empty(live: Project) -> None:
    """The variant isn't declared, so a different choice of Octomil is no drift."""
    assert export(live, "-d", "apps").code == 0
    store_of(live).run("UPDATE slots SET model_variant_id = 'chat-swift-1b-q4'")
    assert changes_of(live) == []


@pytest.mark.parametrize("left_out", [(), ("targets",), ("slots", "deploy"), ("inference_config",), ("deploy",)])
def test_every_choice_of_sections_has_an_empty_plan(live: Project, left_out: tuple[str, ...]) -> None:
    """An excluded section is neither declared nor read, and its later changes are no change of the plan."""
    chosen = [name for name in SECTIONS.split(",") if name not in left_out]
    assert export(live, "-d", "apps", "--sections", ",".join(chosen)).code == 0
    paths = {"targets": "targets", "slots": "slots", "inference_config": "inference-config", "deploy": "deployments"}
    assert not [line for line in live.log() if line.rpartition("/")[2] in {paths[name] for name in left_out}]
    assert changes_of(live) == []
    names = {"inference_config": "inferenceConfig"}
    assert all(
        (f"{names.get(name, name)}:" in manifest(live)) is (name not in left_out) for name in SECTIONS.split(",")
    )


@pytest.mark.parametrize(
    ("sections", "why"),
    [("target", "did you mean targets?"), ("deploy,targets", "add slots"), ("", "is not a section")],
)
def test_invalid_sections_are_refused(live: Project, sections: str, why: str) -> None:
    """An unknown section, or `deploy` without the slots that contain it, is a usage error."""
    ran = export(live, "--sections", sections)
    assert ran.code == 64
    assert why in ran.stderr
    assert live.log() == []


MANY = 200 if THOROUGH else 60


def test_an_export_of_random_apps_has_an_empty_plan(project: Project) -> None:
    """The export of any org is valid, plans no change, has no secret, and accounts for every app."""
    fill(project.plane, MANY, seed=7)
    ran = export(project, "-d", "apps", "--archived")
    assert ran.code == 0, ran.stderr
    assert changes_of(project) == []
    files = project.workdir.files()
    assert len(files) == MANY
    assert not [name for name, data in files.items() if SECRET.encode() in data]
    assert SECRET not in ran.output
    assert all(f"name: {slug}\n" in str(files) or slug in str(files) for slug in slugs(MANY))


def test_the_same_org_gives_the_same_bytes(tmp_path: Path) -> None:
    """Two exports of the same live state have the same files and the same report."""
    seen = []
    for name in ("one", "two"):
        with run_plane(KEY, tokens=(Token("ci", KEY),)) as plane:
            fill(plane, 40, seed=3)
            project = Project(plane, Workdir(tmp_path / name, {"OCTOMIL_API_KEY": KEY}))
            project.workdir.directory.mkdir()
            ran = export(project, "-d", "apps", "--archived", "--concurrency", "16" if name == "one" else "1")
            seen.append((ran.code, ran.output, project.workdir.files()))
    assert seen[0] == seen[1]


def test_an_export_sends_no_more_requests_than_a_plan(live: Project) -> None:
    """The list is read once, and each section once per app; a named slug needs no list."""
    assert export(live).code == 0
    of_all = live.log()
    assert of_all.count("GET /apps") == 1
    assert len(of_all) == len(set(of_all)) == 8  # the list, the org's deployments, three sections of two apps
    assert export(live, "search", "-d", "apps").code == 0
    assert sorted(live.log()) == [
        "GET /apps/search",
        "GET /apps/search/deployments",
        "GET /apps/search/inference-config",
        "GET /apps/search/slots",
        "GET /apps/search/targets",
    ]


def test_without_a_folder_manifests_go_to_standard_output(live: Project) -> None:
    """One app is its manifest; several are one stream of documents, which can be planned as it is."""
    alone = export(live, "search")
    assert alone.stdout.startswith("apiVersion: ")
    assert alone.stderr == ""
    stream = export(live, "-d", "-")
    assert stream.stdout.count("kind: App\n") == 2
    assert alone.stdout in stream.stdout
    ran = live.workdir.octosync(
        "plan", "-f", "-", "--url", live.url, "--detailed-exitcode", stdin=stream.stdout.encode()
    )
    assert ran.code == 0
    assert live.workdir.files() == {}


def test_patterns_choose_apps(live: Project) -> None:
    """`*` matches anything, and a slug beside a pattern is found in the same list."""
    live.plane.with_app("notebook")
    live.log()
    assert export(live, "note*", "search", "-d", "apps").code == 0
    assert sorted(live.workdir.files()) == ["apps/notebook.yaml", "apps/notes.yaml", "apps/search.yaml"]
    assert not [line for line in live.log() if line in {"GET /apps/search", "GET /apps/notes"}]


@pytest.mark.parametrize("names", [("nowhere",), ("search", "nowhere"), ("zz*",), ("s*", "zz*")])
def test_a_name_that_no_app_has_is_an_error(live: Project, names: tuple[str, ...]) -> None:
    """An unknown slug and a pattern without a match are named, and nothing is written."""
    ran = export(live, *names, "-d", "apps")
    assert ran.code == 1
    assert "no-such-app" in ran.stderr
    assert names[-1] in ran.stderr
    assert live.workdir.files() == {}


@pytest.mark.parametrize("name", ["../search", "Search", "a/b", "", "-" * 3 + "x" * 64])
def test_an_invalid_slug_is_refused_before_anything_is_sent(live: Project, name: str) -> None:
    """A name that no app can have is a usage error."""
    assert live.workdir.octosync("export", "--url", live.url, "--", name).code == 64
    assert live.log() == []


def test_nothing_is_replaced_without_force(live: Project) -> None:
    """A different file stops the export before its first write; an equal one doesn't; --force replaces."""
    assert export(live, "-d", "apps").code == 0
    before = live.workdir.files()
    again = export(live, "-d", "apps")
    assert (again.code, again.stderr) == (0, "Wrote 0 manifests to apps, 2 already up to date.\n")
    live.workdir.write("apps/search.yaml", "edited\n")
    (live.workdir.directory / "apps/notes.yaml").unlink()
    ran = export(live, "-d", "apps")
    assert ran.code == 1
    assert "would-overwrite: apps/search.yaml already exists" in ran.stderr
    assert live.workdir.files() == {"apps/search.yaml": b"edited\n"}
    assert export(live, "-d", "apps", "--force").code == 0
    assert live.workdir.files() == before


def test_a_link_in_the_folder_is_not_followed(live: Project) -> None:
    """With --force a link is replaced by the manifest, and its target stays unchanged."""
    elsewhere = live.workdir.write("elsewhere.yaml", "edited\n")
    (live.workdir.directory / "apps").mkdir()
    (live.workdir.directory / "apps/search.yaml").symlink_to(elsewhere)
    assert export(live, "search", "-d", "apps").code == 1
    assert export(live, "search", "-d", "apps", "--force").code == 0
    assert elsewhere.read_text() == "edited\n"
    assert not (live.workdir.directory / "apps/search.yaml").is_symlink()


def test_a_file_as_the_folder_is_refused_before_anything_is_read(live: Project) -> None:
    """`-d` names a folder: a file is an error."""
    live.workdir.write("apps", "")
    ran = export(live, "-d", "apps")
    assert ran.code == 1
    assert "not-a-folder" in ran.stderr
    assert live.log() == []


def test_a_format_is_no_directory(live: Project) -> None:
    """`-o` is the format of all other commands: `-o json` is an error, and -o with another name is the former name of -d."""
    for flag in ("-o", "-d"):
        ran = export(live, flag, "json")
        assert (ran.code, live.log(), live.workdir.files()) == (64, [], {})
        assert "export always writes manifests in YAML" in ran.stderr
    assert export(live, "search", "-o", "apps").code == 0
    assert list(live.workdir.files()) == ["apps/search.yaml"]
    assert ", -o" not in live.workdir.octosync("export", "--help").stdout


def test_an_empty_folder_name_is_refused(live: Project) -> None:
    """`-d "$DIR"` with DIR unset writes nothing into the working directory."""
    assert export(live, "-d", "").code == 64
    assert live.workdir.files() == {}
    assert live.log() == []


def test_manifests_in_a_pipe_are_utf8_in_any_locale(live: Project) -> None:
    """A manifest is UTF-8: an escape for a character that the locale lacks would change the text."""
    ok(live.plane.api.patch("/apps/notes", json={"name": "Köln 東京"}))
    ran = live.workdir.run("export", "notes", "--url", live.url, environment={"PYTHONIOENCODING": "ascii"})
    assert "  name: Köln 東京\n" in ran.stdout


def test_a_file_that_cant_be_written_is_reported_with_the_count(live: Project) -> None:
    """The error names the file, after the number of files that were written."""
    (live.workdir.directory / "apps/search.yaml").mkdir(parents=True)
    ran = export(live, "-d", "apps", "--force")
    assert ran.code == 1
    assert "Wrote 1 manifest to apps." in ran.stderr
    assert "unwritable: apps/search.yaml can't be written" in ran.stderr
    assert sorted(live.workdir.files()) == ["apps/notes.yaml"]


def test_reserved_file_names_are_avoided(project: Project) -> None:
    """An app called octosync must not become octosync.yaml, which is configuration, nor kustomization.yaml be ignored."""
    for slug in ("octosync", "kustomization"):
        project.plane.with_app(slug)
    assert export(project, "-d", ".").code == 0
    assert sorted(project.workdir.files()) == ["kustomization.app.yaml", "octosync.app.yaml"]
    assert project.workdir.octosync("plan", "-f", ".", "--url", project.url).stdout.count("2 apps as declared") == 1


@pytest.mark.parametrize("slug", ["../../escaped", "/etc/passwd", "a\nb", "UPPER"])
def test_a_hostile_slug_is_a_separate_error(live: Project, slug: str) -> None:
    """A slug that no manifest can have is never a file name or in a request path; the other apps are exported."""
    store_of(live).run("UPDATE apps SET slug = ? WHERE slug = 'notes'", slug)
    ran = export(live, "-d", "apps/below")
    assert ran.code == 1
    assert "no-slug" in ran.stderr
    assert "1 app not exported" in ran.stderr
    assert list(live.workdir.files()) == ["apps/below/search.yaml"]


def test_an_app_that_cant_be_read_is_an_error_and_the_others_are_written(live: Project) -> None:
    """A failed read is never an absence: that app has no manifest, and the exit code is an error."""
    live.break_with({"operation": "apps.list_slots", "action": "garbage", "slug": "search", "times": None})
    ran = export(live, "-d", "apps")
    assert ran.code == 1
    assert "error: unreadable-answer: search: the response is not JSON" in ran.stderr
    assert ran.stderr.endswith("Wrote 1 manifest to apps, 1 app not exported.\n")
    assert list(live.workdir.files()) == ["apps/notes.yaml"]


def test_an_error_of_all_apps_is_reported_once(live: Project) -> None:
    """A control plane with invalid responses is one error, not one per app."""
    live.break_with({"operation": "apps.list_slots", "action": "garbage", "times": None})
    ran = export(live, "-d", "apps")
    assert ran.code == 1
    assert ran.stderr.count("error: ") == 1
    assert live.workdir.files() == {}


def test_a_config_with_a_secret_is_left_out(live: Project) -> None:
    """The comment and the report name the key, and the value is nowhere; the plan leaves the live config alone."""
    config = {"provider": {"api_key": SECRET, "region": "eu"}}
    ok(live.plane.api.put("/apps/search/inference-config", json=config))
    ran = export(live, "-d", "apps")
    assert ran.code == 0
    why = "it holds a sensitive value, and secrets don't belong in manifests (`provider.api_key`)"
    assert f"  # inferenceConfig left out: {why}\n" in manifest(live)
    assert ran.stderr == (
        f"left out: app/search: inferenceConfig: {why}\nWrote 2 manifests to apps, 1 thing left out.\n"
    )
    assert SECRET not in manifest(live) + ran.output
    assert "region" not in manifest(live)
    assert changes_of(live) == []


def test_a_contradictory_policy_is_left_out(live: Project) -> None:
    """No manifest can declare it, so it stays undeclared, with a comment that has the reason."""
    policy = {
        "routing_mode": "local_only",
        "fallback": {"allow_cloud_fallback": True, "allow_local_fallback": True},
    }
    store_of(live).run("UPDATE slots SET serving_policy = ? WHERE capability = 'vision'", json.dumps(policy))
    ran = export(live, "-d", "apps")
    assert "    - capability: vision\n      bindings:" in manifest(live)
    assert "      # servingPolicy left out: routing mode local_only never leaves the device" in manifest(live)
    assert "left out: app/search/slot/vision: servingPolicy: " in ran.stderr
    assert changes_of(live) == []


def test_texts_cant_break_out_of_comments(live: Project) -> None:
    """The text of a comment stays on its line, for any characters."""
    store_of(live).run("UPDATE slots SET model_variant_id = ?", "a\nspec: {}\r\u2028b\x1b[31m")
    ran = export(live, "search", "-d", "apps")
    assert ran.code == 0
    assert "\nspec: {}" not in manifest(live)
    assert "\x1b" not in manifest(live)
    assert changes_of(live) == []


def test_archived_apps_are_exported_on_request(live: Project) -> None:
    """Without --archived they are left out, and a named one is an error; with it, their plan is empty."""
    ok(live.plane.api.post("/apps/search/archive"))
    assert export(live, "-d", "apps").code == 0
    assert sorted(live.workdir.files()) == ["apps/notes.yaml"]
    named = export(live, "search", "notes")
    assert named.code == 1
    assert "archived-app: search: the app is archived" in named.stderr
    assert "name: notes" in named.stdout
    assert export(live, "search", "--archived").stdout in export(live, "--archived").stdout
    assert export(live, "-d", "apps", "--archived").code == 0
    assert "  archived: true\n" in manifest(live)
    assert changes_of(live) == []


@pytest.fixture
def managed(live: Project) -> Project:
    """Write manifests that declare one app in part and another one as a whole; a third one is undeclared."""
    live.plane.with_app("extra")
    live.workdir.write("apps/notes.yaml", "apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: notes}\n")
    live.workdir.write(
        "apps/search.yaml",
        "apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: search}\nspec: {targets: []}\n---\n"
        "apiVersion: octosync.dev/v1\nkind: CapabilitySlot\nspec: {app: search, capability: chat}\n",
    )
    live.log()
    return live


def test_only_undeclared_objects_are_exported(managed: Project) -> None:
    """A new app gets a manifest, undeclared objects of declared apps get documents of their own, owned lists get none."""
    before = changes_of(managed)
    ran = export(managed, "--unmanaged", "-f", "apps", "-d", "apps")
    assert ran.code == 0, ran.stderr
    assert sorted(managed.workdir.files()) == [
        "apps/extra.yaml",
        "apps/notes.yaml",
        "apps/search.unmanaged.yaml",
        "apps/search.yaml",
    ]
    rest = (managed.workdir.directory / "apps/search.unmanaged.yaml").read_text()
    assert rest.count("kind: CapabilitySlot") == rest.count("kind: InferenceConfig") == 1
    assert "capability: vision" in rest
    assert "AppTarget" not in rest
    assert changes_of(managed) == before
    assert len(before) == 1  # the target that the manifest removes
    again = export(managed, "--unmanaged", "-f", "apps", "-d", "apps")
    assert (again.code, again.stderr) == (0, "Nothing to export: everything is declared.\n")


@needs_kubectl
def test_kustomize_renders_an_export_of_undeclared_objects(managed: Project) -> None:
    """Every exported document has a name of its own, as kustomize requires, and the rendered manifests declare what is live."""
    before = changes_of(managed)
    assert export(managed, "--unmanaged", "-f", "apps", "-d", "rest").code == 0
    folder = managed.workdir.directory / "rest"
    resources = [path.name for path in sorted(folder.glob("*.yaml"))]
    managed.workdir.write("rest/kustomization.yaml", f"resources: {json.dumps(resources)}\n")
    rendered = render_kustomization(folder)
    assert b"name: search.vision" in rendered
    ran = managed.workdir.octosync("plan", "-f", "apps", "-f", "-", "--url", managed.url, "-o", "json", stdin=rendered)
    assert ran.code == 0, ran.output
    assert json.loads(ran.stdout)["resource_changes"] == before


def test_unmanaged_respects_the_paths_of_octosync_yaml(managed: Project) -> None:
    """Without -f the configured manifests count, and with a narrower -f the others still count."""
    managed.workdir.write("octosync.yaml", "paths: [apps/]\n")
    assert "name: extra" in export(managed, "--unmanaged").stdout
    assert "name: notes" not in export(managed, "--unmanaged", "-f", "apps/search.yaml").stdout


def test_invalid_manifests_are_an_error_of_unmanaged(managed: Project) -> None:
    """Manifests that can't be loaded are an error before anything is read."""
    managed.workdir.write("apps/broken.yaml", "kind: App\n")
    ran = export(managed, "--unmanaged", "-f", "apps")
    assert ran.code == 1
    assert "apps/broken.yaml" in ran.stderr
    assert managed.log() == []


def test_a_target_that_another_manifest_declares_is_left_out(managed: Project) -> None:
    """Two apps can't declare one target: the existing manifest keeps it, and the set stays valid."""
    managed.plane.with_target("/apps/extra", "android", "com.example.moving")
    managed.workdir.write(
        "apps/notes.yaml",
        "apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: notes}\n"
        "spec: {targets: [{platform: android, identifier: com.example.moving}]}\n",
    )
    ran = export(managed, "--unmanaged", "-f", "apps", "-d", "apps")
    assert "app notes declares it, too" in ran.stderr
    assert managed.workdir.octosync("validate", "-f", "apps").code == 0


def test_manifests_without_unmanaged_are_refused(live: Project) -> None:
    """-f names existing manifests, which only --unmanaged needs."""
    assert export(live, "-f", "apps").code == 64


def test_an_org_without_apps_is_no_error(project: Project) -> None:
    """Nothing is written, and that is reported."""
    ran = export(project, "-d", "apps")
    assert (ran.code, ran.stderr) == (0, "Nothing to export: the org has no apps.\n")
    assert project.workdir.files() == {}
