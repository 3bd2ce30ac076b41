"""Fixtures: a control plane that needs a key, and a working directory whose commands use it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.clients import KEY
from tests.support.embedded_planes import run_plane
from tests.support.projects import Project
from tests.support.workdirs import Workdir

from octosync.server import Token


@pytest.fixture
def workdir(tmp_path: Path) -> Workdir:
    return Workdir(tmp_path)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with run_plane(KEY, tokens=(Token("ci", KEY),)) as plane:
        yield Project(plane, Workdir(tmp_path, {"OCTOMIL_API_KEY": KEY}))


@pytest.fixture
def preloaded(project: Project, command_folder: Path) -> Project:
    """Return the project with separate processes that skip the start of Python."""
    project.workdir.command = (str(command_folder / "octosync"),)
    return project
