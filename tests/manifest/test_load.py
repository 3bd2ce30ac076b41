"""Loading a whole set of manifests."""

from __future__ import annotations

import itertools

import pytest
from tests.support.manifests import Workspace, app, child, only, rules, slot

from octosync.manifest import Configuration, Context, Owner
from octosync.model import Severity, Target

TARGET = child("AppTarget", "app: demo\nplatform: ios\nidentifier: com.example.demo")
FILES = {
    "a.yaml": app("description: x", metadata="labels: {team: a}") + "---\n" + app(name="zebra"),
    "b/c.json": '{"apiVersion": "octosync.dev/v1", "kind": "CapabilitySlot", "spec": {"app": "demo", "capability": "chat"}}',
    "b/d.yml": TARGET + "---\n" + child("AppTarget", "app: other\nplatform: ios\nidentifier: com.example.demo"),
    "broken.yaml": "a: b: c",
}


def test_the_order_of_paths_does_not_matter(workspace: Workspace) -> None:
    """State, diagnostics and digest are the same in every order of the arguments."""
    workspace.write(FILES)
    loaded = {repr(workspace.load(*paths)) for paths in itertools.permutations(FILES)}
    assert len(loaded) == 1


def test_the_digest_covers_exactly_the_declarations(workspace: Workspace) -> None:
    """File names, comments, order and spelling of presets don't count. Values of variables, labels and annotations do."""
    local = slot("servingPolicy: local_only\npreferredEngines: [mlx, coreml]")
    digests = {
        workspace.load_text(text, name).digest for text, name in ((local, "a.yaml"), (f"# x\n{local}", "b.yaml"))
    }
    digests.add(workspace.load_text(local.replace("local_only", "private"), "c.yaml").digest)
    assert len(digests) == 1
    assert digests.pop().startswith("sha256:")
    variants = [
        local,
        local.replace("[mlx, coreml]", "[coreml, mlx]"),
        local.replace("name: demo", "name: demo\n  labels: {a: b}"),
        local.replace("name: demo", "name: demo\n  annotations: {a: b}"),
        local.replace("name: demo", 'name: demo\n  annotations: {octosync.dev/protect: "true"}'),
        local.replace("name: demo", 'name: demo\n  annotations: {octosync.dev/suspend: "true"}'),
        local.replace("name: demo", 'name: demo\n  annotations: {octosync.dev/suspend: "2030-01-01T00:00:00Z"}'),
        app("inferenceConfig: null"),
        app("inferenceConfig: {}"),
        app(),
        app("archived: true\ntargets: []"),
        slot("deploy: {environments: [staging]}"),
        slot("deploy: {environments: [staging], optimize: never}"),
    ]
    assert len({workspace.load_text(text, "v.yaml").digest for text in variants}) == len(variants)
    text = app("name: ${A}")
    assert (
        len({workspace.load_text(text, "v.yaml", environment={"A": value}, env_allowed=["A"]).digest for value in "xy"})
        == 2
    )


def test_the_digest_does_not_depend_on_the_split_into_files(workspace: Workspace) -> None:
    """Children in one file or several, annotations included, have the same digest."""
    config, target = (child("InferenceConfig", "app: x\nconfig: {}", metadata="annotations: {b: c, a: d}"), TARGET)
    workspace.write({"one/a.yaml": f"{config}---\n{target}", "two/b.yaml": target, "two/c.yaml": config})
    assert workspace.load("one").digest == workspace.load("two").digest


def test_a_set_without_documents_is_an_error_unless_allowed(workspace: Workspace) -> None:
    """Files with only comments, a directory without files, and documents of other APIs contain no documents."""
    workspace.write({"a.yaml": "# nothing\n", "docs/x.md": ""})
    assert rules(workspace.load("a.yaml")) == ["no-documents"]
    assert "a.yaml holds none" in only(workspace.load("a.yaml")).summary
    assert rules(workspace.load("a.yaml", allow_empty=True)) == ["empty-file"]
    assert rules(workspace.load("docs")) == ["empty-directory", "no-documents"]
    assert rules(workspace.load_text("apiVersion: v1\nkind: ConfigMap\n", "b.yaml")) == [
        "foreign-document",
        "no-documents",
    ]
    assert rules(workspace.load("-", stdin=b"")) == ["no-documents"]


def test_an_empty_file_among_others_is_a_warning(workspace: Workspace) -> None:
    """It is probably a mistake, and does not stop the load."""
    workspace.write({"a.yaml": app(), "b.yaml": "---\n"})
    found = workspace.load()
    assert rules(found) == ["empty-file"]
    assert [diagnostic.severity for diagnostic in found.diagnostics] == [Severity.WARNING]
    assert (found.has_errors, found.files, found.documents) == (False, 2, 1)


def test_paths_come_from_the_context_then_from_octosync_yaml(workspace: Workspace) -> None:
    """Without -f, the paths of the chosen context are used, else the common ones, relative to octosync.yaml's directory."""
    workspace.write({"apps/a.yaml": app(name="a"), "other/b.yaml": app(name="b")})
    configured = workspace.configure("contexts:\n  c: {url: http://127.0.0.1, paths: [other/]}\npaths: [apps/]\n")
    configuration = configured.configuration
    (workspace.directory / "deep").mkdir()
    from_here = workspace.load_paths(configuration=configuration)
    assert list(from_here.state.apps) == ["a"]
    assert list(workspace.load_paths(configuration=configuration, context=configuration.context("c")).state.apps) == [
        "b"
    ]


def configured(workspace: Workspace) -> Configuration:
    return workspace.configure("paths: [apps/, nowhere/]\n").configuration


def test_manifests_outside_a_narrower_path_are_loaded_separately(workspace: Workspace) -> None:
    """They are not planned, counted or in the digest. A path of octosync.yaml that does not exist declares nothing."""
    workspace.write(
        {"apps/a.yaml": app(), "apps/t.yaml": TARGET, "apps/b.yaml": app(name="b") + "---\n# x\n", "apps/e.yaml": ""}
    )
    found = workspace.load("apps/a.yaml", configuration=configured(workspace))
    assert not found.diagnostics
    assert (list(found.state.apps), list(found.others.apps), found.files) == (["demo"], ["b", "demo"], 1)
    assert found.state.apps["demo"].targets == ()
    assert isinstance(found.others.apps["demo"].targets[0], Target)
    assert found.digest == workspace.load("apps/a.yaml").digest


def test_unselected_manifests_still_claim_their_identifiers(workspace: Workspace) -> None:
    """A claim that conflicts with an unselected document is found. The same declaration in both is not a conflict."""
    workspace.write(
        {"apps/a.yaml": TARGET.replace("app: demo", "app: holder"), "mine/b.yaml": TARGET, "same/a.yaml": TARGET}
    )
    found = only(workspace.load("mine", configuration=configured(workspace)))
    assert (found.rule, found.origin and found.origin.file) == ("target-claimed-twice", "apps/a.yaml")
    workspace.write({"apps/a.yaml": TARGET})
    assert not workspace.load("mine", configuration=configured(workspace)).diagnostics


def test_an_error_in_an_unselected_manifest_is_an_error(workspace: Workspace) -> None:
    """An unreadable document might declare what would be removed. Warnings of unselected files are not reported."""
    workspace.write({"apps/a.yaml": app(), "apps/b.yaml": "x: [", "apps/c.yaml": slot("preferredEngines: [zzz]")})
    assert rules(workspace.load("apps/a.yaml", configuration=configured(workspace))) == ["yaml-syntax"]


@pytest.mark.parametrize("how", ["stdin", "kustomize"])
def test_rendered_manifests_are_the_complete_set(workspace: Workspace, how: str) -> None:
    """With rendered manifests, the paths of octosync.yaml are their sources, not unselected manifests."""
    workspace.write({"apps/a.yaml": app(), "mine.yaml": app(name="b")})
    context = Context(name="c", url="http://127.0.0.1", kustomize="overlays/x") if how == "kustomize" else None
    path = "mine.yaml" if how == "kustomize" else "-"
    found = workspace.load(path, configuration=configured(workspace), context=context, stdin=app(name="b").encode())
    assert (list(found.state.apps), list(found.others.apps)) == (["b"], [])


OWNERS = (
    Owner("teams/search/**", ("search-*",)),
    Owner("teams/shop/", ("checkout", "cart")),
    Owner("platform/*.yaml", ("*",)),
)


@pytest.mark.parametrize(
    ("path", "slug", "allowed"),
    [
        ("teams/search/a.yaml", "search-eu", True),
        ("teams/search/deep/er/a.yaml", "search-eu", True),
        ("teams/shop/x/a.yaml", "cart", True),
        ("platform/a.yaml", "search-eu", True),
        ("platform/deep/a.yaml", "search-eu", False),
        ("teams/shop/a.yaml", "search-eu", False),
        ("teams/search/a.yaml", "checkout", False),
        ("a.yaml", "search-eu", False),
    ],
)
def test_a_folder_declares_only_the_apps_of_its_owner(
    workspace: Workspace, path: str, slug: str, allowed: bool
) -> None:
    """A document of an owned app elsewhere, or of another app in an owned folder, is an error, children included."""
    configuration = Configuration(directory=workspace.directory, owners=OWNERS)
    for text in (app(name=slug), child("CapabilitySlot", f"app: {slug}\ncapability: chat")):
        found = workspace.load_text(text, path, configuration=configuration)
        assert rules(found) == ([] if allowed else ["app-not-owned"])


def test_unowned_apps_are_free_and_stdin_has_no_folder(workspace: Workspace) -> None:
    """Without an owner of app or folder, no rule applies. Documents from stdin are not checked, with a notice."""
    configuration = Configuration(directory=workspace.directory, owners=OWNERS[:2])
    assert not workspace.load_text(app(name="free"), "free/a.yaml", configuration=configuration).diagnostics
    assert rules(workspace.load_text(app(name="stray"), "teams/shop/a.yaml", configuration=configuration)) == [
        "app-not-owned"
    ]
    assert rules(workspace.load("-", stdin=app(name="cart").encode(), configuration=configuration)) == [
        "owners-not-checked"
    ]


def test_two_thousand_apps_are_loaded_completely(workspace: Workspace) -> None:
    """The result is the same for one file and for many."""
    documents = [app(f"targets: [{{platform: ios, identifier: com.example.a{n}}}]", name=f"a{n}") for n in range(2000)]
    found = workspace.load_text("---\n".join(documents))
    assert (len(found.state.apps), found.documents, found.diagnostics) == (2000, 2000, ())
