"""The list of valid files: `validate` takes less time with it, and its result is the same."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.manifest.test_simple_files import DOCUMENTS, mutated
from tests.support.examples import examples
from tests.support.manifests import NOW, Workspace, app, child
from tests.support.projects import Project
from tests.support.workdirs import Workdir

from octosync.cli.file_writer import write_whole
from octosync.manifest import Configuration, Context, LoadOptions, Manifests, load_manifests
from octosync.manifest.load.valid_files import ValidFiles

LARGE = app(name="large") + "# " + "x" * 200_000 + "\n"  # smaller sets have no list
SEARCH = app("targets: [{platform: ios, identifier: com.acme.search}]", name="search")
TWICE = app("targets: [{platform: ios, identifier: com.acme.search}]", name="other")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture
def workdir(tmp_path: Path) -> Workdir:
    workdir = Workdir(tmp_path, {"XDG_CACHE_HOME": str(tmp_path / "cache")})
    workdir.write("apps/large.yaml", LARGE)
    workdir.write("apps/search.yaml", SEARCH)
    return workdir


def list_of(workdir: Workdir) -> Path:
    return workdir.directory / "cache" / "octosync" / "valid-files"


def validate(workdir: Workdir, *arguments: str) -> tuple[int, str]:
    """Return the exit code and the result of `validate`."""
    found = workdir.octosync("validate", "-f", "apps", *arguments)
    return found.code, found.output


def load(workspace: Workspace, *, listed: bool, now: datetime = NOW, **variables: str) -> Manifests:
    """Load the folder `apps` with the list or without."""

    def open_list(configuration: Configuration) -> ValidFiles:
        return ValidFiles(workspace.directory / "cache", configuration, lambda *file: write_whole(*file, private=True))

    return load_manifests(
        ["apps"],
        configuration=Configuration(),
        context=Context(name="c", url="http://127.0.0.1:1", vars=variables),
        now=now,
        options=LoadOptions(directory=workspace.directory, valid_files=open_list if listed else None),
    )


def assert_same(workspace: Workspace, **settings: datetime | str) -> int:
    """Assert that a load with the list finds the same as one without. Return the number of apps that were only counted."""
    found, expected = (load(workspace, listed=listed, **settings) for listed in (True, False))  # type: ignore[arg-type]
    assert found.diagnostics == expected.diagnostics
    assert repr(found.diagnostics) == repr(expected.diagnostics)
    assert found.files == expected.files
    assert len(found.state.apps) + found.known_apps == len(expected.state.apps)
    assert all(found.state.apps[slug] == expected.state.apps[slug] for slug in found.state.apps)
    return found.known_apps


@examples(100)
@given(seed=st.integers(0, 2**32))
def test_files_are_validated_as_without_the_list(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    """Whatever changes between two loads: diagnostics and counts with the list are those without it."""
    random = Random(seed)  # noqa: S311
    workspace = Workspace(tmp_path_factory.mktemp("set"))
    workspace.write({"apps/large.yaml": LARGE})
    for _ in range(6):
        changed = random.sample("abc", random.randint(0, 2))
        texts = [random.choice((mutated(DOCUMENTS, random), SEARCH, TWICE, *DOCUMENTS.split("---\n"))) for _ in changed]
        workspace.write(
            {
                f"apps/{name}.yaml": text.encode("utf-8", "surrogatepass")
                for name, text in zip(changed, texts, strict=True)
            }
        )
        assert_same(workspace, A=random.choice(("beta", "gamma")), now=NOW + timedelta(days=random.choice((0, 2000))))


def test_only_changed_files_are_parsed(workspace: Workspace) -> None:
    """The second load counts the apps of unchanged files, and reads a changed file."""
    workspace.write({"apps/large.yaml": LARGE, "apps/search.yaml": SEARCH, "apps/c.yaml": app(name="c")})
    assert load(workspace, listed=True).known_apps == 0
    workspace.write({"apps/c.yaml": app("name: changed", name="c")})
    again = load(workspace, listed=True)
    assert again.known_apps == 2
    assert [*again.state.apps] == ["c"]


def test_an_empty_file_beside_valid_ones_is_a_warning(workspace: Workspace) -> None:
    """A set whose other files are all in the list is not without documents."""
    workspace.write({"apps/large.yaml": LARGE, "apps/empty.yaml": "# nothing yet\n"})
    assert [assert_same(workspace) for _ in range(2)] == [0, 1]
    assert [found.rule for found in load(workspace, listed=True).diagnostics] == ["empty-file"]


def test_files_that_time_or_variables_can_make_invalid_are_parsed(workspace: Workspace) -> None:
    """A suspension ends, and a variable is undefined later: both are found with the list, too."""
    suspended = app(name="b", metadata='annotations: {octosync.dev/suspend: "2026-04-01T00:00:00Z"}')
    variables = {"apps/a.yaml": app('name: "\\x24{A}"', name="a"), "apps/c.yaml": app("name: ${A}", name="c")}
    workspace.write({"apps/large.yaml": LARGE, "apps/b.yaml": suspended, **variables})
    assert_same(workspace, A="x")
    assert assert_same(workspace, A="x") == 1
    assert assert_same(workspace, now=datetime(2027, 1, 1, tzinfo=UTC)) == 1
    found = load(workspace, listed=True, now=datetime(2027, 1, 1, tzinfo=UTC)).diagnostics
    assert [diagnostic.rule for diagnostic in found] == ["undefined-variable", "suspension-over", "undefined-variable"]


def test_a_declaration_in_another_file_is_found(workspace: Workspace) -> None:
    """Two files that claim a target are both parsed, also if one of them is in the list; so are two with one app."""
    workspace.write({"apps/large.yaml": LARGE, "apps/search.yaml": SEARCH})
    load(workspace, listed=True)
    for text, rule in ((TWICE, "target-claimed-twice"), (app(name="search"), "duplicate-app")):
        workspace.write({"apps/twice.yaml": text})
        assert [found.rule for found in load(workspace, listed=True).diagnostics] == [rule]
        assert_same(workspace)
    workspace.write({"apps/twice.yaml": child("CapabilitySlot", "app: search\ncapability: chat")})
    assert assert_same(workspace) == 1


def forge(workdir: Workdir, text: str) -> None:
    """Replace the list, with a correct checksum."""
    list_of(workdir).write_text(f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}")


def test_a_forged_list_decides_neither_a_plan_nor_an_apply(project: Project, tmp_path: Path) -> None:
    """Who can write to the user's own cache can mislead `validate`; plan and apply find the error, and nothing is written."""
    workdir = project.workdir
    workdir.environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    workdir.write("apps/large.yaml", LARGE)
    workdir.write("apps/search.yaml", SEARCH)
    assert validate(workdir)[0] == 0
    forge(workdir, list_of(workdir).read_text().partition("\n")[2].replace("com.acme.search", "com.acme.forged"))
    workdir.write("apps/twice.yaml", TWICE)
    assert validate(workdir)[0] == 0
    for found in (project.plan(), project.apply()):
        assert found.code == 1
        assert "target-claimed-twice" in found.output
    assert project.log() == []
    assert validate(workdir, "--no-cache")[0] == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:0],
        lambda text: text[:-20],
        lambda text: text.replace("search", "forged"),
        lambda text: "\x00" * len(text),
        lambda text: "[" * 100 * len(text),
        lambda text: text.replace("\t", " "),
    ],
)
def test_a_damaged_list_is_ignored(workdir: Workdir, damage: Callable[[str], str]) -> None:
    """The result is that without the list, and the list is written again."""
    expected = validate(workdir)
    text = list_of(workdir).read_text()
    list_of(workdir).write_text(damage(text))
    workdir.write("apps/twice.yaml", TWICE)
    found = validate(workdir)
    assert found == validate(workdir, "--no-cache")
    assert (found[0], expected[0]) == (1, 0)
    (workdir.directory / "apps" / "twice.yaml").unlink()
    assert validate(workdir) == expected
    assert {*text.splitlines()[1:]} <= {*list_of(workdir).read_text().splitlines()}


@pytest.mark.parametrize("text", ["no tab\n", "\n\n", "\t\t\t\n", "é\ta b\n", "[" * 10_000 + "\t\n"])
def test_a_forged_list_is_never_an_error(workdir: Workdir, text: str) -> None:
    """Lines that octosync doesn't write are ignored."""
    expected = validate(workdir)
    forge(workdir, text)
    assert validate(workdir) == expected


def _writable_file(path: Path) -> None:
    path.chmod(0o666)


def _writable_folder(path: Path) -> None:
    path.parent.chmod(0o777)


def _link(path: Path) -> None:
    path.replace(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


@pytest.mark.parametrize("expose", [_writable_file, _writable_folder, _link])
def test_a_list_that_others_could_have_written_is_ignored(workdir: Workdir, expose: Callable[[Path], None]) -> None:
    """A list is read only if it and its folder are the user's, and others can't write to them."""
    validate(workdir)
    forge(workdir, list_of(workdir).read_text().partition("\n")[2].replace("com.acme.search", "com.acme.forged"))
    expose(list_of(workdir))
    workdir.write("apps/twice.yaml", TWICE)
    assert validate(workdir)[0] == 1


def test_a_list_that_is_no_file_is_not_written(workdir: Workdir) -> None:
    """A pipe or a link in place of the list is left alone: writing to a pipe without a reader would never end."""
    list_of(workdir).parent.mkdir(mode=0o700, parents=True)
    os.mkfifo(list_of(workdir))
    pipe = os.open(list_of(workdir), os.O_RDWR | os.O_NONBLOCK)
    try:
        assert validate(workdir)[0] == 0
        with pytest.raises(BlockingIOError):  # it is empty
            os.read(pipe, 1)
    finally:
        os.close(pipe)
    list_of(workdir).unlink()
    list_of(workdir).symlink_to("elsewhere")
    assert validate(workdir)[0] == 0
    assert not list_of(workdir).exists()


def test_a_list_of_another_user_is_ignored(workdir: Workdir, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that belongs to another user is neither read nor written."""
    validate(workdir)
    forge(
        workdir, text := list_of(workdir).read_text().partition("\n")[2].replace("com.acme.search", "com.acme.forged")
    )
    workdir.write("apps/twice.yaml", TWICE)
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    assert validate(workdir)[0] == 1
    assert list_of(workdir).read_text().partition("\n")[2] == text


def test_the_list_has_no_values_and_no_file_with_a_secret(workdir: Workdir) -> None:
    """The list has names of apps and targets; files with findings are not in it, not even as a digest. Only the user reads it."""
    workdir.write("apps/secret.yaml", app("description: d\ninferenceConfig: {api_key: hunter2}", name="secret"))
    workdir.write("apps/hidden.yaml", app("description: something\ninferenceConfig: {note: hunter2}", name="hidden"))
    validate(workdir)
    _, *lines = list_of(workdir).read_text().splitlines()
    assert [line.split("\t")[1:] for line in lines] == [["hidden"], ["large"], ["search", "ios com.acme.search"]]
    assert stat.S_IMODE(list_of(workdir).stat().st_mode) == 0o600
    assert stat.S_IMODE(list_of(workdir).parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        (("--no-cache",), {}),
        ((), {"OCTOSYNC_NO_CACHE": "1"}),
        ((), {"XDG_CACHE_HOME": "relative"}),
        ((), {"XDG_CACHE_HOME": "/dev/null"}),
    ],
)
def test_without_a_list_validate_is_the_same(
    workdir: Workdir, arguments: tuple[str, ...], variables: dict[str, str]
) -> None:
    """`--no-cache` writes no list; a cache folder that is relative or can't be created is not used, and is no error."""
    before = workdir.files()
    workdir.environment |= variables
    assert validate(workdir, *arguments) == (0, "Valid: 2 apps in 2 files. No problems.\n")
    assert workdir.files() == before


def test_a_small_set_has_no_list(workdir: Workdir) -> None:
    """A set that is parsed in milliseconds is not listed."""
    (workdir.directory / "apps" / "large.yaml").unlink()
    assert validate(workdir)[0] == 0
    assert not list_of(workdir).exists()
