"""The manifests of another revision, read from Git's objects: the same files and rules, without touching the work tree."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.support.repositories import Repo

from octosync.errors import ConfigError, UsageError
from octosync.manifest import Configuration
from octosync.manifest.git.base import BaseManifests, load_base, without
from octosync.manifest.git.repository import Repository
from octosync.manifest.git.revision import Revision
from octosync.manifest.load.files import read_files
from octosync.manifest.schema.rules import Findings
from octosync.model import Severity

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def app(slug: str, spec: str = "{}") -> str:
    """Write the manifest of an app."""
    return f"apiVersion: octosync.dev/v1\nkind: App\nmetadata: {{name: {slug}}}\nspec: {spec}\n"


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo.init(tmp_path / "repo")


def at(repo: Repo, revision: str = "main", folder: str = "") -> Revision:
    """Open a revision from a folder of the repository."""
    repository = Repository.around(repo.root / folder)
    return Revision(repository, repository.resolve(revision))


def names(revision: Revision, *paths: str) -> list[str]:
    """Return the names of the files in the revision, without the commit."""
    findings = Findings()
    files = revision.read(paths, findings)
    assert not findings.sorted
    return [file.name.removeprefix(f"{revision.name}:") for file in files]


def recalled(revision: Revision, *paths: str) -> BaseManifests:
    """Load the manifests of the revision."""
    findings = Findings()
    files = revision.read(paths, findings)
    return load_base(files, findings, configuration=Configuration(), context=None, now=NOW, environment={})


def test_a_revision_has_the_files_that_the_disk_would_have(repo: Repo) -> None:
    """Folders, hidden and foreign names, links to files and folders, and a loop of links are read as `read_files` does."""
    for name in ("apps/a.yaml", "apps/b.json", "apps/c.yml", "apps/sub/d.yaml", "apps/.hidden/e.yaml", "apps/.f.yaml"):
        repo.write(name, app(Path(name).stem.strip(".")))
    for name in ("apps/README.md", "apps/kustomization.yaml", "apps/octosync.yaml", "elsewhere/g.yaml"):
        repo.write(name, "{}")
    links = {"apps/sub/more": "../../elsewhere", "apps/sub/a.yaml": "../a.yaml", "apps/sub/up": "..", "linked": "apps"}
    for link, target in links.items():
        (repo.root / link).symlink_to(target)
    repo.commit()
    revision = at(repo)
    for paths in (["apps"], ["."], ["linked"], ["apps/a.yaml", "apps/sub"], ["apps/sub/a.yaml"]):
        findings = Findings()
        on_disk = read_files(paths, repo.root, findings)
        found = revision.read(paths, findings)
        assert [(revision.label(file.name), file.data) for file in on_disk] == [
            (file.name, file.data) for file in found
        ]
        assert on_disk
        assert not findings.has_errors


def test_paths_are_relative_to_the_working_directory(repo: Repo) -> None:
    """This includes a sub-folder of the repository and absolute paths. `git show` accepts the names."""
    repo.write("platform/apps/a.yaml", app("a"))
    repo.commit()
    inside = at(repo, folder="platform")
    assert names(inside, "apps") == names(inside, "../platform/apps/a.yaml") == ["platform/apps/a.yaml"]
    assert names(inside, str(repo.root / "platform")) == ["platform/apps/a.yaml"]
    assert repo.git("show", inside.label("platform/apps/a.yaml")) == app("a").strip()
    with pytest.raises(UsageError, match="outside-repository"):
        names(inside, "../../apps")


def test_uncommitted_changes_are_not_read(repo: Repo) -> None:
    """Changes of the work tree and of the index are neither read nor touched."""
    repo.write("apps/a.yaml", app("a"))
    repo.commit()
    repo.write("apps/a.yaml", app("changed"))
    repo.write("apps/b.yaml", app("b"))
    repo.git("add", "apps/b.yaml")
    before = repo.git("status", "--porcelain")
    assert list(recalled(at(repo), "apps").state.apps) == ["a"]
    assert repo.git("status", "--porcelain") == before


def test_a_renamed_manifest_has_the_same_declarations(repo: Repo) -> None:
    """The declarations count, not the name of the file."""
    repo.write("apps/a.yaml", app("a", "{description: Hello}"))
    repo.commit()
    before = recalled(at(repo), "apps").state
    repo.git("mv", "apps/a.yaml", "apps/renamed.yaml")
    repo.commit()
    after = recalled(at(repo), "apps").state
    assert before.apps["a"].fields == after.apps["a"].fields


def test_a_missing_path_in_the_base_is_empty(repo: Repo) -> None:
    """A manifest that this change adds is not a problem of the base."""
    repo.commit()
    assert recalled(at(repo), "apps/new.yaml", "apps") == BaseManifests(state=recalled(at(repo)).state)


def test_unreadable_links_and_submodules_are_warnings(repo: Repo, tmp_path: Path) -> None:
    """A submodule, and a link that leaves the commit, are one warning each: their content is unknown."""
    other = Repo.init(tmp_path / "other")
    other.write("x.yaml", app("x"))
    other.commit()
    repo.write("apps/a.yaml", app("a"))
    repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other.root), "apps/module")
    (repo.root / "apps/out.yaml").symlink_to("/etc/passwd")
    repo.commit()
    found = recalled(at(repo), "apps")
    assert list(found.state.apps) == ["a"]
    shown = [
        (diagnostic.severity, diagnostic.rule, diagnostic.origin and diagnostic.origin.file)
        for diagnostic in found.diagnostics
    ]
    name = at(repo).name
    assert shown == [(Severity.WARNING, "invalid-base", f"{name}:apps/{path}") for path in ("module", "out.yaml")]
    below = recalled(at(repo), "apps/module/x.yaml")
    assert [diagnostic.rule for diagnostic in below.diagnostics] == ["invalid-base"]


def test_an_invalid_app_of_the_base_is_unknown(repo: Repo) -> None:
    """The other apps, even in the same file, are returned. Each error is a warning with its place."""
    good, bad = app("good"), app("bad", "{nmae: x, targets: [{platform: iso, identifier: a.b}]}")
    repo.write("apps/two.yaml", f"{good}---\n{bad}---\n{app('last')}")
    repo.write("apps/broken.yaml", "a: [\n")
    repo.write("apps/twice.yaml", f"{app('twice')}---\n{app('twice')}")
    repo.commit()
    found = recalled(at(repo), "apps")
    assert list(found.state.apps) == ["good", "last"]
    assert found.unknown == {"bad", "twice"}
    assert {diagnostic.severity for diagnostic in found.diagnostics} == {Severity.WARNING}
    places = [
        (diagnostic.origin.file.partition(":")[2], diagnostic.origin.line)
        for diagnostic in found.diagnostics
        if diagnostic.origin
    ]
    assert places == [("apps/broken.yaml", 2), ("apps/twice.yaml", 8), ("apps/two.yaml", 9), ("apps/two.yaml", 9)]
    assert "unknown-field" in found.diagnostics[2].summary + found.diagnostics[3].summary


def test_a_declaration_that_moved_is_not_a_removal(repo: Repo) -> None:
    """Apps and children of the base that documents outside a narrower -f declare are left out."""
    slot = "apiVersion: octosync.dev/v1\nkind: CapabilitySlot\nmetadata: {name: s}\nspec: {app: a, capability: chat}\n"
    repo.write("one/a.yaml", app("a", "{description: Hello}") + "---\n" + slot)
    repo.write("one/b.yaml", app("b"))
    repo.write("two/a.yaml", app("a"))
    repo.write("three/slot.yaml", slot)
    repo.commit()
    state = recalled(at(repo), "one").state
    moved = without(state, recalled(at(repo), "two").state)
    assert set(moved.apps) == {"a", "b"}
    assert (moved.apps["a"].declared, moved.apps["a"].fields, len(moved.apps["a"].slots)) == (False, {}, 1)
    kept = without(state, recalled(at(repo), "three").state)
    assert (kept.apps["a"].declared, kept.apps["a"].slots) == (True, ())
    assert set(without(state, state).apps) == set()


@pytest.mark.parametrize(
    "revision",
    ["--upload-pack=touch /tmp/x", "-", "", "main..HEAD", "main:apps", "a b", "main\n--x", "\x00", "--output=x"],
)
def test_a_hostile_revision_is_refused_without_git(repo: Repo, revision: str) -> None:
    """A text that git might take for an option, a range, a path or two words is never passed to it."""
    repo.commit()
    with pytest.raises(UsageError, match="malformed-revision"):
        at(repo, revision)


def test_a_revision_is_any_name_of_a_commit(repo: Repo) -> None:
    """Branches, tags (annotated ones too), abbreviated ids and expressions of git are valid. A tree is not."""
    first = repo.commit()
    repo.git("tag", "-a", "v1", "-m", "one")
    repo.commit()
    for name in ("v1", "main~1", "HEAD^", first[:10], first):
        assert at(repo, name).commit == first
    with pytest.raises(UsageError, match="unknown-revision"):
        at(repo, f"{first}^{{tree}}")
    with pytest.raises(UsageError, match="unknown-revision") as error:
        at(repo, "origin/mian")
    assert "git fetch origin mian" in error.value.hints[0]


def test_a_shallow_clone_works_if_it_has_the_merge_base(repo: Repo, tmp_path: Path) -> None:
    """Without the merge base, or without the revision, the error names what to fetch."""
    repo.write("apps/a.yaml", app("a"))
    for number in range(4):
        repo.commit(f"begin {number}")
    fork = repo.commit("fork")
    repo.branch("change")
    for number in range(3):
        repo.commit(f"change {number}")
    repo.switch("main")
    repo.commit("meanwhile")

    def clone(depth: int, name: str) -> Repository:
        where = Repo.init(tmp_path / name)
        where.git("remote", "add", "origin", f"file://{repo.root}")
        where.git("fetch", "--quiet", f"--depth={depth}", "origin")
        return Repository.around(where.root)

    deep = clone(4, "deep")
    assert deep.is_shallow
    assert deep.merge_base(deep.resolve("origin/main"), deep.resolve("origin/change")) == fork
    shallow = clone(1, "shallow")
    with pytest.raises(ConfigError, match="no-merge-base") as error:
        shallow.merge_base(shallow.resolve("origin/main"), shallow.resolve("origin/change"))
    assert any("git fetch --deepen" in hint for hint in error.value.hints)
    assert any("fetch-depth: 0" in hint for hint in error.value.hints)
    with pytest.raises(UsageError, match="unknown-revision") as unknown:
        shallow.resolve(fork)
    assert any("git fetch --deepen" in hint for hint in unknown.value.hints)


def test_unrelated_histories_have_no_base(repo: Repo) -> None:
    """In a complete clone nothing can be fetched, so the hint is to name another base."""
    repo.commit("one")
    repo.git("switch", "--quiet", "--orphan", "other")
    repo.commit("another")
    repository = Repository.around(repo.root)
    with pytest.raises(ConfigError, match="no-merge-base"):
        repository.merge_base(repository.resolve("main"), repository.resolve("other"))


def test_a_worktree_works_like_the_repository(repo: Repo, tmp_path: Path) -> None:
    """`git worktree` shares the objects, so a branch that is checked out elsewhere can be the base."""
    repo.write("apps/a.yaml", app("a"))
    repo.commit()
    repo.git("worktree", "add", "--quiet", "-b", "change", str(tmp_path / "tree"))
    tree = Repo(tmp_path / "tree")
    tree.write("apps/b.yaml", app("b"))
    tree.commit()
    assert names(at(tree), "apps") == ["apps/a.yaml"]
    assert names(at(tree, "HEAD"), "apps") == ["apps/a.yaml", "apps/b.yaml"]


def test_descent_and_commits(repo: Repo) -> None:
    """Whether one commit is in the history of another, and the messages of commits that only one has, with any text."""
    first = repo.commit()
    second = repo.commit("one\n\nbody: a\nb")
    repository = Repository.around(repo.root)
    assert repository.descends(second, from_=first)
    assert repository.descends(first, from_=first)
    assert not repository.descends(first, from_=second)
    found = repository.commits(first, second)
    assert [(commit.id, commit.message.strip()) for commit in found] == [(second, "one\n\nbody: a\nb")]
    assert repository.commits(second, second) == ()


def test_without_git_or_a_repository_it_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both errors name the alternative without Git: --base-file."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(ConfigError, match="not-a-repository") as outside:
        Repository.around(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="git-missing") as missing:
        Repository.around(tmp_path)
    assert all("--base-file" in error.value.hints[-1] for error in (outside, missing))
