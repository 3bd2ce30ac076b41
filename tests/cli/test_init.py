"""`octosync init`: the new repository works at once, and existing files are never changed."""

from __future__ import annotations

import os
import pty
import re
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from tests.support.projects import Project
from tests.support.workdirs import Workdir

from octosync.forge import starter_workflows

WORKFLOWS = sorted(starter_workflows())
FILES = sorted(
    (*WORKFLOWS, ".gitignore", "apps/my-app.yaml", "octosync.yaml", "schemas/config.json", "schemas/manifest.json")
)


def test_yes_asks_no_question(workdir: Workdir) -> None:
    """`--yes` creates a repository that is valid without a warning, for the local context and for production."""
    ran = workdir.octosync("init", "gitops", "--yes")
    assert (ran.code, ran.stderr) == (0, "")
    assert [name.removeprefix("gitops/") for name in workdir.files()] == FILES
    assert all(f"  {name}\n" in ran.stdout for name in FILES)
    workdir = Workdir(workdir.directory / "gitops")
    valid = workdir.octosync("validate", "--strict")
    assert (valid.code, valid.stdout) == (0, "Valid: 1 app in 1 file. No problems.\n")
    configuration = yaml.safe_load(workdir.files()["octosync.yaml"])
    assert list(configuration["contexts"]) == ["local", "production"]
    assert configuration["defaultContext"] == "local"
    assert {".octosync/", "*.env"} <= set(workdir.files()[".gitignore"].decode().splitlines())


def test_the_result_can_be_planned_and_applied(project: Project) -> None:
    """The manifests of init are planned and applied, and then the plan is empty."""
    project.workdir.octosync("init", "-y", "--app", "notes")
    assert project.workdir.octosync("plan", "--url", project.url, "--detailed-exitcode").code == 2
    assert project.workdir.octosync("apply", "--url", project.url, "-y").code == 0
    assert project.workdir.octosync("plan", "--url", project.url, "--detailed-exitcode").code == 0


def test_the_contexts_are_those_of_the_flag(workdir: Workdir) -> None:
    """Each context is in octosync.yaml and has its jobs, with a separate secret; local has none."""
    ran = workdir.octosync("init", "--contexts", "staging, production", "--app", "notes", "--branch", "trunk", "--yes")
    assert ran.code == 0
    files = {name: text.decode() for name, text in workdir.files().items()}
    contexts = yaml.safe_load(files["octosync.yaml"])["contexts"]
    assert list(contexts) == ["local", "staging", "production"]
    keys = [contexts[name]["tokenEnv"] for name in ("staging", "production")]
    assert keys == ["OCTOMIL_API_KEY_STAGING", "OCTOMIL_API_KEY_PRODUCTION"]
    assert "A merge is applied to staging, then to production" in ran.stdout
    for name, text in starter_workflows(("staging", "production"), branch="trunk").items():
        assert files[name] == text
    assert "OCTOMIL_API_KEY_STAGING, OCTOMIL_API_KEY_PRODUCTION" in ran.stdout
    assert yaml.safe_load(files["apps/notes.yaml"])["metadata"]["name"] == "notes"


def test_the_workflows_name_a_commit(workdir: Workdir) -> None:
    """`--action-ref` takes a full commit ID and nothing movable; without it, the output names what to replace."""
    ran = workdir.octosync("init", "pinned", "--yes", "--action-ref", "c0" * 20)
    assert (ran.code, "COMMIT" in ran.stdout) == (0, False)
    assert all(f"@{'c0' * 20}\n" in workdir.files()[f"pinned/{name}"].decode() for name in WORKFLOWS)
    for ref in ("v0.1.0", "main", "c0c0c0c", "C0" * 20):
        ran = workdir.octosync("init", "moved", "--yes", "--action-ref", ref)
        assert (ran.code, "error: invalid-action-ref: " in ran.stderr) == (64, True)
    assert "In the workflows, replace COMMIT by the commit" in workdir.octosync("init", "later", "--yes").stdout


def test_without_contexts_there_are_no_workflows(workdir: Workdir) -> None:
    """With only the local context there is nothing that a workflow could reach."""
    assert workdir.octosync("init", "--contexts", "", "--yes").code == 0
    assert sorted(workdir.files()) == [name for name in FILES if name not in WORKFLOWS]


def test_editors_find_the_schemas(workdir: Workdir) -> None:
    """The first lines name schemas that accept the document below."""
    workdir.octosync("init", "--yes", "--contexts", "staging,production")
    for name in ("octosync.yaml", "apps/my-app.yaml"):
        text = workdir.files()[name].decode()
        found = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
        assert found is not None
        schema = (workdir.directory / name).parent / found[1]
        Draft202012Validator(yaml.safe_load(schema.read_text(encoding="utf-8"))).validate(yaml.safe_load(text))


@pytest.mark.parametrize("slug", ["on", "null", "0", "1e3", "a" * 63, "my-first-app", "octosync"])
def test_any_slug_is_accepted(slug: str, workdir: Workdir) -> None:
    """Slugs that YAML reads as another type are still texts."""
    assert workdir.octosync("init", "--app", slug, "--yes").code == 0
    valid = workdir.octosync("validate", "--strict")
    assert (valid.code, valid.stderr) == (0, "")


@pytest.mark.parametrize("taken", ["octosync.yaml", "apps/my-app.yaml", WORKFLOWS[0], "schemas/manifest.json"])
def test_nothing_is_replaced(taken: str, workdir: Workdir) -> None:
    """An existing file is named, and nothing at all is written. The error states how to get the other files."""
    workdir.write(taken, "mine\n")
    ran = workdir.octosync("init", "--yes")
    assert ran.code == 1
    assert f"would-overwrite: {taken} already exists" in ran.stderr
    assert "run init in a new folder and copy them" in ran.stderr
    assert workdir.files() == {taken: b"mine\n"}


def test_a_dangling_link_is_not_followed(workdir: Workdir) -> None:
    """A link counts as an existing file, for any target."""
    (workdir.directory / "octosync.yaml").symlink_to("elsewhere.yaml")
    assert workdir.octosync("init", "--yes").code == 1
    assert workdir.files() == {}


@pytest.mark.parametrize(
    ("ignored", "advised"), [("node_modules/\n", True), ("/.octosync\n", False), ("*.env\n", True)]
)
def test_an_existing_gitignore_is_not_changed(ignored: str, advised: bool, workdir: Workdir) -> None:
    """If the line is missing in an existing .gitignore, the output suggests it."""
    workdir.write(".gitignore", ignored)
    ran = workdir.octosync("init", "--yes")
    assert ran.code == 0
    assert workdir.files()[".gitignore"].decode() == ignored
    assert ("Add the line .octosync/ to .gitignore" in ran.stdout) == advised
    assert ("Add the line *.env to .gitignore" in ran.stdout) == ("*.env" not in ignored)


@pytest.mark.parametrize("in_the_way", ["schemas", "apps", ".github"])
def test_all_is_written_or_nothing(in_the_way: str, workdir: Workdir) -> None:
    """If one file can't be written, no file and no folder is left."""
    workdir.write(in_the_way, "a file where a folder is needed\n")
    ran = workdir.octosync("init", "--yes")
    assert ran.code == 1
    assert "Nothing was written." in ran.stderr
    assert [path.name for path in workdir.directory.iterdir()] == [in_the_way]


def test_a_file_as_the_folder_is_an_error(workdir: Workdir) -> None:
    """DIR must not be a file."""
    workdir.write("gitops", "")
    ran = workdir.octosync("init", "gitops", "--yes")
    assert (ran.code, "unwritable" in ran.stderr) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "reference"),
    [
        (("--app", "My App"), "invalid-slug"),
        (("--app", ""), "invalid-slug"),
        (("--contexts", "local"), "invalid-context"),
        (("--branch", ""), "invalid-branch"),
        (("--branch", "two words"), "invalid-branch"),
        (("--branch", "a\nb"), "invalid-branch"),
        (("--branch", "release/*"), "invalid-branch"),
        (("--branch", "-x"), "invalid-branch"),
        (("--branch", "a..b"), "invalid-branch"),
        (("--contexts", "a,a"), "invalid-context"),
        (("--contexts", "A B"), "invalid-context"),
        (("--contexts", "7"), "invalid-context"),
    ],
)
def test_invalid_names_are_refused(arguments: tuple[str, ...], reference: str, workdir: Workdir) -> None:
    """Names that can't be used are usage errors, and nothing is written."""
    ran = workdir.octosync("init", "--yes", *arguments)
    assert ran.code == 64
    assert f"error: {reference}: " in ran.stderr
    assert workdir.files() == {}


def test_without_a_terminal_yes_is_needed(workdir: Workdir) -> None:
    """Without a terminal and without --yes nothing is guessed."""
    ran = workdir.octosync("init")
    assert (ran.code, workdir.files()) == (64, {})
    assert "--yes" in ran.stderr


def test_on_a_terminal_init_asks(workdir: Workdir) -> None:
    """Init asks for app and contexts, with their defaults."""
    user_end, program_end = pty.openpty()
    os.write(user_end, b"notes\n\n")
    with os.fdopen(program_end, "r") as stdin:
        ran = workdir.octosync("init", stdin=stdin, terminal=True, NO_COLOR="1")
    os.close(user_end)
    assert ran.code == 0
    assert "Slug of the first app [my-app]: " in ran.stderr
    assert "Contexts besides local [production]: " in ran.stderr
    assert (workdir.directory / "apps" / "notes.yaml").is_file()
    assert list(yaml.safe_load(workdir.files()["octosync.yaml"])["contexts"]) == ["local", "production"]


def test_the_same_arguments_give_the_same_files(workdir: Workdir, tmp_path: Path) -> None:
    """Two repositories of the same command are equal."""
    for name in ("one", "two"):
        assert workdir.octosync("init", name, "--yes").code == 0
    first, second = (Workdir(tmp_path / name).files() for name in ("one", "two"))
    assert first == second
