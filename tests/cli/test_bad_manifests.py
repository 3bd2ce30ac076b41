"""Invalid manifests: one clear error each, exit 1, no request, no traceback."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tests.support.projects import Project

HEAD = "apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: search}\n"
BOMB = (
    HEAD
    + "spec:\n  inferenceConfig:\n    a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
    + "".join(
        f"    {name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
        for before, name in zip("abcdefg", "bcdefgh", strict=True)
    )
)
CASES: dict[str, tuple[Any, str]] = {
    "unknown-field": (HEAD + "spec: {slots: [{capability: chat, servingPolcy: local_first}]}\n", "did you mean"),
    "duplicate-key": (HEAD + "spec:\n  name: a\n  name: b\n", "name"),
    "tab": (HEAD + "spec:\n\tname: a\n", "tab"),
    "bomb": (BOMB, "100,000"),
    "binary": (b"\x7fELF\x02\x01\x01\x00\x00\x00\xff\xfe\x00", "UTF-8"),
    "nul": (HEAD.encode() + b"spec: {name: a\x00b}\n", "U+0000"),
    "empty": (b"", "no document"),
    "comments": (b"# nothing\n", "no document"),
    "latin-1": ((HEAD + "spec: {name: Süche}\n").encode("latin-1"), "UTF-8"),
    "utf-16": ((HEAD + "spec: {name: a}\n").encode("utf-16"), "UTF-8"),
    "python": (HEAD + "spec: {name: !!python/object/apply:os.system [true]}\n", "tag"),
    "unclosed": (HEAD + "spec: {name: a\n", ""),
    "large": (b"# " + b"x" * (17 * 2**20), "16 MiB"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_each_is_one_clear_error(project: Project, name: str) -> None:
    """validate, plan and apply have the same error, with the file name and, if there is one, the position."""
    content, message = CASES[name]
    project.workdir.write("apps/bad.yaml", content)
    runs = (project.workdir.octosync("validate", "-f", "apps"), project.plan(), project.apply())
    for ran in runs:
        assert ran.code == 1
        text = ran.output
        assert "apps/bad.yaml" in text
        assert message in text
        assert sum(line.startswith("error: ") for line in text.splitlines()) == 1
    assert project.log() == []


def test_a_missing_path_is_one_clear_error(project: Project) -> None:
    """A missing path is an error: it never means that nothing is declared."""
    ran = project.plan()
    assert ran.code == 1
    assert "apps does not exist" in ran.stderr
    assert project.log() == []


def test_an_empty_folder_is_one_clear_error(project: Project) -> None:
    """No manifest at all is an error, unless --allow-empty is given; then nothing is deleted either."""
    (project.workdir.directory / "apps").mkdir()
    project.plane.with_app("search")
    project.log()
    assert project.plan().code == 1
    ran = project.plan("--allow-empty")
    assert ran.code == 0 or "contains no manifests" in ran.stderr
    assert project.writes() == []


def test_a_fifo_never_blocks(project: Project) -> None:
    """A path that is neither file nor directory is refused unopened, with a hint about -f -."""
    folder = project.workdir.directory / "apps"
    folder.mkdir()
    os.mkfifo(folder / "pipe.yaml")
    for path in ("apps", "apps/pipe.yaml"):
        ran = project.workdir.octosync("plan", "-f", path, "--url", project.url)
        assert ran.code == 1
        assert "apps/pipe.yaml is neither a file nor a directory" in ran.stderr
        assert "-f -" in ran.stderr
    assert project.log() == []


def test_every_problem_is_reported_at_once(project: Project) -> None:
    """All problems of all files are reported together, by position, and counted."""
    project.workdir.write("apps/a.yaml", CASES["unknown-field"][0])
    project.workdir.write("apps/b.yaml", CASES["duplicate-key"][0].replace("search", "b"))
    project.workdir.write("apps/c.yaml", CASES["empty"][0])
    ran = project.plan()
    assert ran.code == 1
    assert ran.stderr.index("apps/a.yaml:4") < ran.stderr.index("apps/b.yaml:6")
    assert "2 errors" in ran.stderr
    assert "in 3 files. Nothing was sent." in ran.stderr


def test_an_invalid_octosync_yaml_stops_the_run(project: Project) -> None:
    """octosync.yaml is validated as strictly, and its problems come first."""
    project.declare()
    project.workdir.write(
        "octosync.yaml", "contexts: {a: {url: http://127.0.0.1:1, token: abc}}\nguards: {maxDeletez: 3}\n"
    )
    ran = project.plan()
    assert ran.code == 1
    assert "secret-in-configuration" in ran.stderr
    assert "maxDeletes" in ran.stderr
    assert project.log() == []


@pytest.mark.parametrize("config", ["nowhere.yaml", "."])
def test_a_config_that_is_not_a_file_is_one_clear_error(project: Project, config: str) -> None:
    """--config must name a file."""
    project.declare()
    ran = project.plan("--config", config)
    assert ran.code == 1
    assert ran.stderr.startswith("error: ")
    assert project.log() == []


def test_a_journal_that_cannot_be_written_stops_apply_before_its_first_write(project: Project, tmp_path: Path) -> None:
    """No write is sent that could not be recorded."""
    project.declare()
    project.workdir.write("journal", b"this is not a database, and long enough not to be read as a new one" * 20)
    for journal in ("journal", "apps", "/dev/null/state.db", tmp_path / "journal" / "x"):
        ran = project.apply("--state", journal)
        assert ran.code == 1
        assert "journal" in ran.stderr
        assert "Nothing was written." in ran.stderr
    assert project.writes() == []
