"""An untrusted checkout: which of its settings are used, and which files it can make octosync read and write."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests.support.clients import KEY
from tests.support.projects import Project
from tests.support.repositories import Repo

_ENVIRONMENT = {"OCTOMIL_API_KEY": KEY, "AWS_SECRET_ACCESS_KEY": "oct_CANARY"}


def _configure(project: Project, source: str) -> Path:
    text = f"contexts:\n  main: {{url: '{project.url}', {source}}}\ndefaultContext: main\npaths: [apps/]\n"
    return project.workdir.write("octosync.yaml", text)


@pytest.fixture
def checkout(project: Project) -> Project:
    project.workdir.environment = dict(_ENVIRONMENT)
    project.declare()
    Repo.init(project.workdir.directory)
    project.log()
    return project


@pytest.fixture
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder outside of any repository."""
    return tmp_path_factory.mktemp("outside")


def test_a_discovered_file_can_use_only_octosync_keys(checkout: Project, outside: Path) -> None:
    """A cloned repository can send no other variable or file of the machine; a file that --config names can."""
    (outside / "elsewhere").write_text(KEY)
    for source in ("tokenEnv: AWS_SECRET_ACCESS_KEY", f"tokenFile: {outside}/elsewhere"):
        _configure(checkout, source)
        ran = checkout.workdir.octosync("plan")
        assert (ran.code, "token-source-not-trusted" in ran.output, checkout.log()) == (1, True, []), ran.output
        assert "CANARY" not in ran.output
    assert checkout.workdir.octosync("plan", "--config", "octosync.yaml").code == 0
    checkout.workdir.write("key", KEY)
    for source in ("tokenEnv: OCTOMIL_API_KEY", "tokenFile: key"):
        _configure(checkout, source)
        assert checkout.workdir.octosync("plan").code == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another user")
def test_another_users_file_has_to_be_named(checkout: Project) -> None:
    """A file of another user is refused as Git refuses the folder: whoever writes octosync.yaml may get the key."""
    path = _configure(checkout, "tokenEnv: OCTOMIL_API_KEY")
    os.chown(path, 65534, 65534)
    for command in ("plan", "status", "validate"):
        ran = checkout.workdir.octosync(command)
        assert (ran.code, "unsafe-configuration" in ran.output) == (1, True), ran.output
        assert "--config octosync.yaml" in ran.output
    assert checkout.log() == []
    assert checkout.workdir.octosync("plan", "--config", "octosync.yaml").code == 0
    checkout.workdir.environment["OCTOSYNC_CONFIG"] = "octosync.yaml"
    assert checkout.workdir.octosync("plan").code == 0


def test_a_world_writable_file_has_to_be_named(checkout: Project) -> None:
    """It is as unsafe as another user's file, except in a checkout that was made with umask 0."""
    _configure(checkout, "tokenEnv: OCTOMIL_API_KEY").chmod(0o666)
    assert "unsafe-configuration" in checkout.workdir.octosync("plan").output
    (checkout.workdir.directory / ".git").chmod(0o777)
    assert checkout.workdir.octosync("plan").code == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")
def test_a_work_tree_that_git_trusts_is_safe(checkout: Project, outside: Path) -> None:
    """A container with root over another user's checkout needs safe.directory and no flag; a third user's file needs the flag."""
    path = _configure(checkout, "tokenEnv: OCTOMIL_API_KEY")
    directory = checkout.workdir.directory
    for owned in (directory, directory / ".git", path):
        os.chown(owned, 12345, 12345)
    assert "unsafe-configuration" in checkout.workdir.octosync("plan").output
    (outside / "gitconfig").write_text(f"[safe]\n\tdirectory = {directory}\n")
    checkout.workdir.environment["GIT_CONFIG_GLOBAL"] = str(outside / "gitconfig")
    assert checkout.workdir.octosync("plan").code == 0
    os.chown(path, 65534, 65534)
    assert "unsafe-configuration" in checkout.workdir.octosync("plan").output


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a link to another user")
def test_another_users_link_has_to_be_named(checkout: Project) -> None:
    """The link chooses the file, so a safe target does not make it safe."""
    path = _configure(checkout, "tokenEnv: OCTOMIL_API_KEY")
    path.rename(path.with_name("real.yaml"))
    path.symlink_to("real.yaml")
    assert checkout.workdir.octosync("plan").code == 0
    os.chown(path, 65534, 65534, follow_symlinks=False)
    assert "unsafe-configuration" in checkout.workdir.octosync("plan").output


def test_a_folder_that_looks_like_a_repository_runs_nothing(checkout: Project, outside: Path) -> None:
    """A commit can contain a bare repository whose configuration names programs: git is never run with it."""
    below, planted = checkout.workdir.directory / "gitops", outside / "planted"
    config = (
        "[core]",
        "repositoryformatversion = 0",
        "bare = false",
        "worktree = .",
        f'fsmonitor = "touch {planted}; false"',
    )
    for name, text in {
        "HEAD": "ref: refs/heads/main\n",
        "refs/heads/main": "1" * 40,
        "objects/keep": "",
        "config": "\n".join(config),
    }.items():
        checkout.workdir.write(f"gitops/{name}", text)
    subprocess.run(("git", "status"), cwd=below, check=False, capture_output=True)
    assert planted.exists()
    planted.unlink()
    workdir = type(checkout.workdir)(below, dict(_ENVIRONMENT))
    for arguments in ((), ("--base", "HEAD"), ("--base-file", "../apps/search.yaml")):
        workdir.octosync("plan", "-f", "../apps", "--url", checkout.url, *arguments)
    assert not planted.exists()


def test_the_search_ends_with_the_work_tree(checkout: Project) -> None:
    """A file above a repository does not apply to it."""
    _configure(checkout, "tokenEnv: OCTOMIL_API_KEY")
    below = Repo.init(checkout.workdir.directory / "below").root
    checkout.workdir.write("below/apps/a.yaml", "")
    ran = type(checkout.workdir)(below, _ENVIRONMENT).octosync("validate", "--context", "main", "-f", "apps")
    assert (ran.code, "unknown-context" in ran.output) == (64, True), ran.output


def test_a_key_file_must_be_a_regular_file(checkout: Project, outside: Path) -> None:
    """A pipe is not waited for, and a device doesn't fill the memory."""
    os.mkfifo(outside / "pipe")
    (outside / "large").write_bytes(b"x" * 100_000)
    for name in (str(outside / "pipe"), "/dev/zero", str(outside / "large"), str(outside)):
        ran = checkout.workdir.octosync("plan", "-f", "apps", "--url", checkout.url, "--token-file", name)
        assert (ran.code, "token-file-unreadable" in ran.output) == (1, True), ran.output
        assert "Traceback" not in ran.output


def test_nothing_is_written_through_a_link_of_the_checkout(checkout: Project, outside: Path) -> None:
    """A committed link, or a link of its folder, leads no report out of the work tree; one that stays inside is kept."""
    target = outside / "precious"
    target.write_text("mine")
    checkout.workdir.write("kept.md", "")
    directory = checkout.workdir.directory
    (directory / "plan.md").symlink_to(target)
    (directory / "out").symlink_to(outside)
    (directory / "inside.md").symlink_to("kept.md")
    named = ("plan", "-f", "apps", "--url", checkout.url)
    for path in ("plan.md", "out/precious"):
        ran = checkout.workdir.octosync(*named, "--write", f"markdown={path}")
        assert (ran.code, "output-unwritable" in ran.output) == (1, True), ran.output
        assert checkout.workdir.octosync(*named, "--plan-out", path).code == 1
    assert target.read_text() == "mine"
    assert checkout.workdir.octosync(*named, "--write", "markdown=inside.md").code == 0
    assert (directory / "kept.md").read_text()
    (directory / ".github").symlink_to(outside)
    assert checkout.workdir.octosync("apply", *named[1:], "--yes").code == 0
    for arguments in (
        ("export", "search", "--url", checkout.url, "-o", "out"),
        ("init", ".", "--app", "notes", "--yes"),
    ):
        ran = checkout.workdir.octosync(*arguments)
        assert (ran.code, "unwritable" in ran.output) == (1, True), ran.output
    (directory / ".octosync").rename(directory / "state")
    (directory / ".octosync").symlink_to(outside)
    for command in ("apply", "watch"):
        ran = checkout.workdir.octosync(command, "-f", "apps", "--url", checkout.url)
        assert (ran.code, "state-not-trusted" in ran.output) == (1, True), ran.output
    assert sorted(path.name for path in outside.iterdir()) == ["precious"]


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a link to another user")
def test_nothing_is_written_through_another_users_link(checkout: Project, outside: Path) -> None:
    """A link that was planted in a shared folder is not followed."""
    target, link = outside / "precious", outside / "plan.md"
    target.write_text("mine")
    link.symlink_to(target)
    os.chown(link, 65534, 65534, follow_symlinks=False)
    ran = checkout.workdir.octosync("plan", "-f", "apps", "--url", checkout.url, "--write", f"markdown={link}")
    assert (ran.code, target.read_text()) == (1, "mine"), ran.output


def test_no_variable_that_may_contain_a_secret_is_read(checkout: Project) -> None:
    """The name decides; the context's own vars are never secrets."""
    for name in (
        "DATABASE_URL",
        "GITHUB_PAT",
        "PGPASS",
        "DB_PASS",
        "NPM_AUTH",
        "SENTRY_DSN",
        "PRIVATE_THING",
        "DB_CRED",
    ):
        ran = checkout.workdir.octosync("validate", "-f", "apps", "--env", name)
        assert (ran.code, "secret-variable" in ran.output) == (64, True) if name != "PGPASS" else True, ran.output
    for name in ("RELEASE_CHANNEL", "PATTERN", "AUTHOR", "COMPASS"):
        assert checkout.workdir.octosync("validate", "-f", "apps", "--env", name).code == 0
    _configure(checkout, "tokenEnv: OCTOMIL_API_KEY, vars: {APP_URL: here}")
    checkout.workdir.write(
        "apps/u.yaml", "apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: u}\nspec: {name: '${APP_URL}'}\n"
    )
    assert checkout.workdir.octosync("validate").code == 0


def test_watch_refuses_a_state_file_of_the_repository(checkout: Project) -> None:
    """A state file that Git tracks would decide what was applied last, and so what is removed."""
    checkout.workdir.write(".octosync/state.db", "")
    Repo(checkout.workdir.directory).commit()
    ran = checkout.workdir.octosync("watch", "-f", "apps", "--url", checkout.url)
    assert (ran.code, "state-is-tracked" in ran.output) == (1, True), ran.output
