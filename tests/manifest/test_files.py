"""The files that paths refer to."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from tests.support.manifests import NOW, Workspace, app, only, rules

from octosync.errors import UsageError
from octosync.manifest import Configuration, load_manifests
from octosync.manifest.load.files import display_name, read_files
from octosync.manifest.schema.rules import Findings


def names(directory: Path, *paths: str) -> list[str]:
    return [file.name for file in read_files(paths, directory, Findings())]


def test_a_directory_contains_its_manifests_at_any_depth(workspace: Workspace) -> None:
    """`*.yaml`, `*.yml` and `*.json` are read. Hidden files, kustomization.yaml, octosync.yaml and others are ignored."""
    read = {"a/b/c.yaml", "a/d.yml", "e.json", "Z.yaml"}
    left = {
        "a/.hidden.yaml",
        ".git/x.yaml",
        "a/README.md",
        "octosync.yaml",
        "a/kustomization.yaml",
        "kustomization.yml",
        "x.yaml.bak",
    }
    workspace.write(dict.fromkeys(read | left, ""))
    assert names(workspace.directory, ".") == sorted(read)
    assert names(workspace.directory, "a/") == ["a/b/c.yaml", "a/d.yml"]


def test_a_named_file_is_read_whatever_its_name(workspace: Workspace) -> None:
    """Names and extensions matter in directories only."""
    workspace.write({".hidden": app(), "apps/kustomization.yaml": ""})
    assert names(workspace.directory, ".hidden", "apps/kustomization.yaml") == [".hidden", "apps/kustomization.yaml"]


def test_a_file_reached_twice_is_read_once(workspace: Workspace) -> None:
    """Two paths, another spelling, and links to it or its directory: the real name is shown, in any order of arguments."""
    workspace.write({"apps/a.yaml": app()})
    (workspace.directory / "Link").symlink_to("apps")
    (workspace.directory / "apps" / "0.yaml").symlink_to("a.yaml")
    paths = ["apps/a.yaml", ".", "./apps/../apps/a.yaml", "Link", str(workspace.directory / "apps")]
    assert names(workspace.directory, *paths) == names(workspace.directory, *reversed(paths)) == ["apps/a.yaml"]
    assert workspace.load(*paths).files == 1


def test_circular_links_end(workspace: Workspace) -> None:
    """Each directory is entered once."""
    workspace.write({"a/b/c.yaml": app()})
    (workspace.directory / "a/b/up").symlink_to("../..")
    (workspace.directory / "a/self").symlink_to(".")
    (workspace.directory / "a/loop.yaml").symlink_to("loop.yaml")
    findings = Findings()
    assert [file.name for file in read_files(["."], workspace.directory, findings)] == ["a/b/c.yaml"]
    assert [diagnostic.rule for diagnostic in findings.sorted] == ["unreadable-path"]


def test_files_outside_the_directory_behind_a_link_are_read(workspace: Workspace) -> None:
    """A linked directory of the same work tree is read like a real one, after the real ones."""
    workspace.write({".git/HEAD": "", "common/x.yaml": app(), "apps/y.yaml": app(name="y")})
    (workspace.directory / "apps" / "common").symlink_to("../common")
    assert names(workspace.directory, "apps") == ["apps/common/x.yaml", "apps/y.yaml"]


def test_a_fifo_is_an_error_and_never_blocks(workspace: Workspace) -> None:
    """A path that is neither file nor directory is refused without opening it, and the error mentions -f -."""
    os.mkfifo(workspace.directory / "pipe.yaml")
    for path in ("pipe.yaml", "."):
        found = workspace.load(path)
        assert rules(found) == ["not-a-file"]
        assert "-f -" in " ".join(only(found).notes)
    assert rules(workspace.load("/dev/null")) == ["not-a-file"]
    reads, writes = os.pipe()
    with os.fdopen(reads), os.fdopen(writes):
        assert rules(workspace.load(f"/dev/fd/{reads}")) == ["not-a-file"]


def test_each_missing_or_unreadable_path_is_one_error(workspace: Workspace) -> None:
    """A missing path, one below a file, a dangling link and an impossible name are all reported."""
    workspace.write({"a.yaml": app()})
    (workspace.directory / "dangling.yaml").symlink_to("nowhere")
    found = workspace.load("missing", "a.yaml/b", "dangling.yaml", "nul\0byte", "n" * 300, "a.yaml")
    assert sorted(rules(found)) == ["missing-path"] * 3 + ["unreadable-path"] * 2
    assert found.state.apps.keys() == {"demo"}


def test_a_file_without_read_permission_is_an_error(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has the reason of the system, and no guess about the content."""
    workspace.write({"a.yaml": app(), "d/b.yaml": app()})

    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    assert only(workspace.load("a.yaml")).summary == "a.yaml can't be read: permission denied"
    monkeypatch.setattr(os, "scandir", refuse)
    assert "unreadable-path" in rules(workspace.load("d"))


def test_a_file_that_becomes_a_fifo_during_the_open_is_refused(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the check and the open a file may become one that would block the reader."""
    workspace.write({"a.yaml": app()})
    os.mkfifo(workspace.directory / "pipe")
    real = os.open

    def opened(path: str, flags: int, dir_fd: int | None = None) -> int:
        return real("pipe" if path == "a.yaml" else path, flags, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", opened)
    assert rules(workspace.load("a.yaml")) == ["not-a-file"]


def test_a_17_mib_file_is_one_error(workspace: Workspace) -> None:
    """The size is detected without reading the whole file."""
    with (workspace.directory / "big.yaml").open("wb") as file:
        file.truncate(17 * 2**20)
    found = workspace.load("big.yaml")
    assert (rules(found), only(found).summary) == (["file-too-large"], "big.yaml is larger than 16 MiB")


def test_a_directory_without_manifests_is_a_warning_beside_others(workspace: Workspace) -> None:
    """It is probably a wrong path."""
    workspace.write({"a.yaml": app(), "docs/README.md": ""})
    assert rules(workspace.load("a.yaml", "docs")) == ["empty-directory"]


def test_stdin_is_another_file(workspace: Workspace) -> None:
    """`-` is the bytes that were passed in, once."""
    workspace.write({"a.yaml": app()})
    found = workspace.load("-", "a.yaml", stdin=app(name="piped").encode())
    assert (list(found.state.apps), found.files, found.documents) == (["demo", "piped"], 2, 2)
    origin = found.state.apps["piped"].origin
    assert origin is not None
    assert origin.file == "<stdin>"
    with pytest.raises(UsageError, match="duplicate-stdin"):
        workspace.load("-", "-", stdin=b"")


def test_no_path_is_a_usage_error() -> None:
    """Without -f and without paths in octosync.yaml there is nothing to read."""
    with pytest.raises(UsageError, match="no-manifests"):
        load_manifests([], configuration=Configuration(), now=NOW)


def test_names_are_shown_as_given_and_are_always_printable(workspace: Workspace) -> None:
    """Names are relative if possible, normalised, and readable for any bytes of the file system."""
    outside = workspace.directory / "outside.yaml"
    outside.write_text(app())
    inner = workspace.directory / "inner"
    inner.mkdir()
    assert names(inner, str(outside)) == [str(outside)]
    assert names(inner, "../outside.yaml") == ["../outside.yaml"]
    assert names(workspace.directory, str(outside)) == ["outside.yaml"]
    assert display_name("./a//b\n\x1b\udcff.yaml").isprintable()
    assert stat.S_ISREG(outside.stat().st_mode)


def test_a_link_stays_in_the_named_folder(workspace: Workspace) -> None:
    """A link to a file or folder, even through another link or /proc, must not leave the named folder."""
    workspace.write({"secret/key.yaml": "oct_CANARY", "apps/..data/a.yaml": app(), "apps/deep/x.yaml": app(name="x")})
    apps = workspace.directory / "apps"
    links = {
        "a.yaml": "..data/a.yaml",  # as in the volume of a ConfigMap
        "file.yaml": "../secret/key.yaml",
        "chain.yaml": "file.yaml",
        "folder": "../secret",
        "deep/up.yaml": "../../secret/key.yaml",
        "absolute.yaml": str(workspace.directory / "secret/key.yaml"),
        "proc.yaml": "/proc/self/environ",
        "dangling.yaml": "../nowhere.yaml",
    }
    for name, target in links.items():
        (apps / name).symlink_to(target)
    found = workspace.load("apps")
    assert sorted(found.state.apps) == ["demo", "x"]
    outside = sorted(f"apps/{name}" for name in links if name != "a.yaml")
    assert [(diagnostic.origin and diagnostic.origin.file, diagnostic.rule) for diagnostic in found.diagnostics] == [
        (name, "link-outside") for name in outside
    ]
    assert "CANARY" not in str(found.diagnostics)


def test_a_link_that_is_named_is_followed(workspace: Workspace) -> None:
    """The user chose it, as with git-sync's `current`. A link in a work tree must still stay inside it."""
    workspace.write({"root/.git": "", "root/.worktrees/1/.git": "", "root/.worktrees/1/apps/a.yaml": app()})
    workspace.write({"elsewhere/b.yaml": app(name="b"), "plain/c.yaml": app(name="c")})
    (workspace.directory / "root/current").symlink_to(".worktrees/1")
    (workspace.directory / "named").symlink_to("plain")
    (workspace.directory / "root/.worktrees/1/hostile").symlink_to("../../../elsewhere")
    assert list(workspace.load("root/current/apps").state.apps) == ["demo"]
    assert list(workspace.load("named").state.apps) == ["c"]
    assert list(workspace.load(str(workspace.directory / "elsewhere")).state.apps) == ["b"]
    for path in ("root/current/hostile", "root/current/hostile/b.yaml", "root/current"):
        assert "link-outside" in rules(workspace.load(path)), path


def test_the_git_folder_contains_no_manifests(workspace: Workspace) -> None:
    """A link into it is refused, since it may contain credentials."""
    workspace.write({".git/config": "[core]\n", "apps/a.yaml": app()})
    (workspace.directory / "apps/x.yaml").symlink_to("../.git/config")
    assert rules(workspace.load("apps")) == ["link-outside"]


def test_a_link_created_between_the_check_and_the_open_is_not_followed(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a file or folder is replaced by a link meanwhile, that is an error, whatever the target of the link."""
    workspace.write({"apps/deep/a.yaml": app(), "secret/a.yaml": app(name="secret")})
    real, folder, replacements = os.stat, workspace.directory / "apps/deep", ["../secret"]

    def replaced(path: int | str | Path, **more: Any) -> os.stat_result:
        found = real(path, **more)
        if str(path).endswith("deep/a.yaml") and replacements:
            folder.rename(workspace.directory / "moved")
            folder.symlink_to(replacements.pop())
        return found

    monkeypatch.setattr(os, "stat", replaced)
    found = workspace.load("apps")
    assert (rules(found), list(found.state.apps)) == (["missing-path"], [])


def test_text_without_keys_is_not_shown(workspace: Workspace) -> None:
    """A file without a key may be a credential: no message contains its line, whether or not it is YAML."""
    for text in ("oct_CANARY", "- oct_CANARY", "@oct_CANARY", "'oct_CANARY", "[oct_CANARY", "oct_CANARY\0"):
        workspace.write({"a.yaml": text})
        assert "CANARY" not in str(workspace.load().diagnostics), text
        assert "CANARY" not in str(workspace.configure(text).diagnostics), text
