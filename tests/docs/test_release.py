"""What a release shows and how it is published: the description on a package index, and the release workflow."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from typing import Any, Final

import click
import pytest
import yaml
from docs.executing import ROOT
from docs.release import ReleaseError, release_notes
from markdown_it import MarkdownIt

from octosync import __version__
from octosync.cli.root import octosync

_PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
_JOBS: Final[dict[str, Any]] = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8"))[
    "jobs"
]
# The version that the command below uses is 42.0.
_OURS: Final = re.compile(
    r"https://(?:github\.com/octomil/octosync/blob|raw\.githubusercontent\.com/octomil/octosync)/v42\.0/([^?#]+)"
)


def _description() -> str:
    return subprocess.run(
        [sys.executable, "-m", "hatch_fancy_pypi_readme", "pyproject.toml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_the_description_on_a_package_index_has_no_relative_link() -> None:
    """Links and images of README lead to files at the tag of the version. There is no picture that depends on a color scheme."""
    readme, shown = (ROOT / "README.md").read_text(encoding="utf-8"), _description()
    html = MarkdownIt("commonmark").enable("table").render(shown)
    targets = re.findall(r' (?:href|src)="([^"]*)"', html)
    assert [target for target in targets if not target.startswith("https://")] == []
    files = [found[1] for target in targets if (found := _OURS.match(target))]
    assert len(files) > 20
    assert [file for file in files if not (ROOT / file).exists()] == []
    assert "<picture>" in readme
    assert "<picture>" not in html
    assert html.count("<img ") == readme.count("<img ")


def test_the_project_links_are_complete() -> None:
    """A package index shows the license, and links to the site, the source, issues, the changelog and the security policy."""
    assert _PROJECT["license"] == "Apache-2.0"
    assert list(_PROJECT["urls"]) == ["Homepage", "Documentation", "Source", "Issues", "Changelog", "Security"]
    assert all(url.startswith("https://") for url in _PROJECT["urls"].values())


_SOURCE = '"""octosync."""\n\n__version__ = "1.2.0"\n'
_CHANGELOG = """# Changelog

## [Unreleased]

- Not yet.

## [1.2.0] - 2027-01-31

### Fixed

- A defect.

## [1.1.0] - 2027-01-01

- Old.

[1.2.0]: https://example.com
"""


def test_the_notes_of_a_release_are_its_section_of_the_changelog() -> None:
    """The notes have the changes of the version, and nothing of another one."""
    assert release_notes("v1.2.0", _SOURCE, _CHANGELOG) == "### Fixed\n\n- A defect.\n"
    last = _CHANGELOG.replace("1.2.0", "1.3.0").replace("1.1.0", "1.2.0")
    assert release_notes("v1.2.0", _SOURCE, last) == "- Old.\n"


@pytest.mark.parametrize("tag", ["v1.2.1", "1.2.0", "v1.2", "v1.2.0-rc1", "v1x2.0"])
def test_a_tag_that_is_not_the_version_is_refused(tag: str) -> None:
    """Only `v` with the version of the sources is released."""
    with pytest.raises(ReleaseError, match=r"the version in src/octosync/__init__\.py is 1\.2\.0"):
        release_notes(tag, _SOURCE, _CHANGELOG)


@pytest.mark.parametrize("section", ["## [1.2.0]", "## [1x2.0] - 2027-01-31", "## [1.2.0] - 2027-01-31\n\n## [1.1.5]"])
def test_a_release_without_changes_is_refused(section: str) -> None:
    """A version without a dated section, or with an empty one, is not released."""
    with pytest.raises(ReleaseError, match="has no section"):
        release_notes("v1.2.0", _SOURCE, _CHANGELOG.replace("## [1.2.0] - 2027-01-31", section))


def test_the_tag_is_checked_before_anything_is_built() -> None:
    """The command of the workflow fails for a tag that is not the version, with an error and without notes."""
    (command,) = (
        line
        for step in _JOBS["build"]["steps"]
        for line in step.get("run", "").splitlines()
        if "docs/release.py" in line
    )
    words = [word for word in shlex.split(command) if not word.startswith(("$", ">"))][1:]
    assert words == ["-I", "docs/release.py"]
    ended = subprocess.run([sys.executable, *words, "v0.0.0"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(
        f"error: the tag is v0.0.0, but the version in src/octosync/__init__.py is {__version__}"
    )


def test_a_job_of_the_release_may_do_only_what_it_must() -> None:
    """What builds and tests can only read. What signs or publishes packages runs no code of the repository."""
    text = (ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {}
    assert workflow[True] == {"push": {"tags": ["v*"]}}  # YAML 1.1 reads `on` as true
    assert {name: job["permissions"] for name, job in _JOBS.items()} == {
        "build": {"contents": "read"},
        "test": {"contents": "read"},
        "sbom": {"contents": "read"},
        "attest": {"id-token": "write", "attestations": "write"},
        "pypi": {"id-token": "write"},
        "image": {"contents": "read", "packages": "write", "id-token": "write", "attestations": "write"},
        "release": {"contents": "write"},
    }
    for name in ("attest", "pypi", "release"):
        assert not any("checkout" in step.get("uses", "") for step in _JOBS[name]["steps"])
    assert {_JOBS[name]["environment"]["name"] for name in ("pypi", "image")} == {"pypi", "ghcr"}
    assert "secrets." not in text


def test_nothing_is_published_before_it_is_tested() -> None:
    """The packages are built by one job, and every job that publishes needs the tests, at least indirectly."""

    def needed(name: str) -> set[str]:
        needs = _JOBS[name].get("needs", [])
        direct = {needs} if isinstance(needs, str) else set(needs)
        return direct.union(*map(needed, direct))

    assert [name for name, job in _JOBS.items() if "hatchling build" in str(job)] == ["build"]
    assert all({"build", "test"} <= needed(name) for name in ("attest", "pypi", "image", "release"))
    assert {"attest", "pypi", "image"} <= needed("release")


def test_the_issue_forms_name_commands_that_exist() -> None:
    """The forms ask for the output of commands of this version. Vulnerabilities are reported in private."""
    forms = [path.read_text(encoding="utf-8") for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")]
    named = {name for text in forms for name in re.findall(r"`octosync ([a-z]+)", text)}
    assert {"version", "doctor"} <= named
    with click.Context(octosync) as context:
        assert named <= set(octosync.list_commands(context))
    assert sum("octosync/security/advisories/new" in text for text in forms) == 2
