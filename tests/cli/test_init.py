"""`octosync init`: the new repository works at once, and existing files are never changed."""

from __future__ import annotations

import os
import pty
import re
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from tests.support.desks import Office
from tests.support.invoking import Desk

from octosync.forge import starter_workflows

WORKFLOWS = sorted(starter_workflows())
FILES = sorted(
    (*WORKFLOWS, ".gitignore", "apps/my-app.yaml", "octosync.yaml", "schemas/config.json", "schemas/manifest.json")
)


def test_nothing_is_asked_with_yes(desk: Desk) -> None:
    """`--yes` makes a repository that validates without a word, for the local context and for production."""
    ran = desk.octosync("init", "gitops", "--yes")
    assert (ran.code, ran.stderr) == (0, "")
    assert [name.removeprefix("gitops/") for name in desk.files()] == FILES
    assert all(f"  {name}\n" in ran.stdout for name in FILES)
    desk = Desk(desk.directory / "gitops")
    valid = desk.octosync("validate", "--strict")
    assert (valid.code, valid.stdout) == (0, "Valid: 1 app in 1 file. No problems.\n")
    configuration = yaml.safe_load(desk.files()["octosync.yaml"])
    assert list(configuration["contexts"]) == ["local", "production"]
    assert configuration["defaultContext"] == "local"
    assert ".octosync/" in desk.files()[".gitignore"].decode().splitlines()


def test_the_result_goes_through_the_walk(office: Office) -> None:
    """What init makes is planned, applied, and then plans to nothing."""
    office.desk.octosync("init", "--yes", "--app", "notes")
    assert office.desk.octosync("plan", "--url", office.url, "--detailed-exitcode").code == 2
    assert office.desk.octosync("apply", "--url", office.url, "--yes").code == 0
    assert office.desk.octosync("plan", "--url", office.url, "--detailed-exitcode").code == 0


def test_the_contexts_are_those_that_are_named(desk: Desk) -> None:
    """Each context is in octosync.yaml and has its jobs, under a name for its own secret; local has none."""
    ran = desk.octosync("init", "--contexts", "staging, production", "--app", "notes", "--branch", "trunk", "--yes")
    assert ran.code == 0
    files = {name: text.decode() for name, text in desk.files().items()}
    assert list(yaml.safe_load(files["octosync.yaml"])["contexts"]) == ["local", "staging", "production"]
    for name, text in starter_workflows(("staging", "production"), branch="trunk").items():
        assert files[name] == text
    assert "OCTOMIL_API_KEY_STAGING, OCTOMIL_API_KEY_PRODUCTION" in ran.stdout
    assert yaml.safe_load(files["apps/notes.yaml"])["metadata"]["name"] == "notes"


def test_the_workflows_name_a_commit(desk: Desk) -> None:
    """`--action-ref` takes a full commit id and nothing that can be moved; without one, the last lines say what is missing."""
    ran = desk.octosync("init", "pinned", "--yes", "--action-ref", "c0" * 20)
    assert (ran.code, "COMMIT" in ran.stdout) == (0, False)
    assert all(f"@{'c0' * 20}\n" in desk.files()[f"pinned/{name}"].decode() for name in WORKFLOWS)
    for ref in ("v0.1.0", "main", "c0c0c0c", "C0" * 20):
        ran = desk.octosync("init", "moved", "--yes", "--action-ref", ref)
        assert (ran.code, "error: invalid-action-ref: " in ran.stderr) == (64, True)
    assert "In the workflows, replace COMMIT by the commit" in desk.octosync("init", "later", "--yes").stdout


def test_without_contexts_there_are_no_workflows(desk: Desk) -> None:
    """With the local context alone there is nothing that a workflow could reach."""
    assert desk.octosync("init", "--contexts", "", "--yes").code == 0
    assert sorted(desk.files()) == [name for name in FILES if name not in WORKFLOWS]


def test_editors_find_the_schemas(desk: Desk) -> None:
    """The first lines lead to schemas that take what stands below them."""
    desk.octosync("init", "--yes", "--contexts", "staging,production")
    for name in ("octosync.yaml", "apps/my-app.yaml"):
        text = desk.files()[name].decode()
        found = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
        assert found is not None
        schema = (desk.directory / name).parent / found[1]
        Draft202012Validator(yaml.safe_load(schema.read_text(encoding="utf-8"))).validate(yaml.safe_load(text))


@pytest.mark.parametrize("slug", ["on", "null", "0", "1e3", "a" * 63, "my-first-app", "octosync"])
def test_any_slug_is_taken(slug: str, desk: Desk) -> None:
    """Slugs that YAML takes for something else are texts all the same."""
    assert desk.octosync("init", "--app", slug, "--yes").code == 0
    valid = desk.octosync("validate", "--strict")
    assert (valid.code, valid.stderr) == (0, "")


@pytest.mark.parametrize("taken", ["octosync.yaml", "apps/my-app.yaml", WORKFLOWS[0], "schemas/manifest.json"])
def test_nothing_is_replaced(taken: str, desk: Desk) -> None:
    """A file that is there is named, and nothing at all is written."""
    desk.write(taken, "mine\n")
    ran = desk.octosync("init", "--yes")
    assert ran.code == 1
    assert f"would-overwrite: {taken} already exists" in ran.stderr
    assert desk.files() == {taken: b"mine\n"}


def test_a_dangling_link_is_not_followed(desk: Desk) -> None:
    """A link counts as what is there, wherever it leads."""
    (desk.directory / "octosync.yaml").symlink_to("elsewhere.yaml")
    assert desk.octosync("init", "--yes").code == 1
    assert desk.files() == {}


@pytest.mark.parametrize(("ignored", "advised"), [("node_modules/\n", True), ("/.octosync\n", False)])
def test_an_existing_gitignore_is_left_as_it_is(ignored: str, advised: bool, desk: Desk) -> None:
    """A repository that has a .gitignore already is told what belongs there, where that is missing."""
    desk.write(".gitignore", ignored)
    ran = desk.octosync("init", "--yes")
    assert ran.code == 0
    assert desk.files()[".gitignore"].decode() == ignored
    assert ("Add the line .octosync/ to .gitignore" in ran.stdout) == advised


@pytest.mark.parametrize("in_the_way", ["schemas", "apps", ".github"])
def test_all_is_written_or_nothing(in_the_way: str, desk: Desk) -> None:
    """Where one file can't be written, no file and no folder is left behind."""
    desk.write(in_the_way, "a file where a folder is wanted\n")
    ran = desk.octosync("init", "--yes")
    assert ran.code == 1
    assert "Nothing was written." in ran.stderr
    assert [path.name for path in desk.directory.iterdir()] == [in_the_way]


def test_a_file_is_no_folder(desk: Desk) -> None:
    """DIR that is a file is an error."""
    desk.write("gitops", "")
    ran = desk.octosync("init", "gitops", "--yes")
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
def test_what_makes_no_sense_is_refused(arguments: tuple[str, ...], reference: str, desk: Desk) -> None:
    """Names that could not be used are usage errors, with nothing written."""
    ran = desk.octosync("init", "--yes", *arguments)
    assert ran.code == 64
    assert f"error: {reference}: " in ran.stderr
    assert desk.files() == {}


def test_nobody_is_asked_where_nobody_is(desk: Desk) -> None:
    """Without a terminal and without --yes nothing is guessed."""
    ran = desk.octosync("init")
    assert (ran.code, desk.files()) == (64, {})
    assert "--yes" in ran.stderr


def test_a_person_is_asked(desk: Desk) -> None:
    """At a terminal app and contexts are asked for, each with what an empty line stands for."""
    ours, theirs = pty.openpty()
    os.write(ours, b"notes\n\n")
    with os.fdopen(theirs, "r") as stdin:
        ran = desk.octosync("init", stdin=stdin, terminal=True, NO_COLOR="1")
    os.close(ours)
    assert ran.code == 0
    assert "Slug of the first app [my-app]: " in ran.stderr
    assert "Contexts besides local [production]: " in ran.stderr
    assert (desk.directory / "apps" / "notes.yaml").is_file()
    assert list(yaml.safe_load(desk.files()["octosync.yaml"])["contexts"]) == ["local", "production"]


def test_the_same_words_make_the_same_files(desk: Desk, tmp_path: Path) -> None:
    """Two repositories that were begun alike are alike."""
    for name in ("one", "two"):
        assert desk.octosync("init", name, "--yes").code == 0
    one, two = (Desk(tmp_path / name).files() for name in ("one", "two"))
    assert one == two
