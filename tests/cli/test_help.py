"""Help: every command and option is documented there."""

from __future__ import annotations

import json

import pytest
from tests.support.workdirs import Workdir

COMMANDS = (
    "demo",
    "init",
    "validate",
    "plan",
    "apply",
    "watch",
    "accept",
    "status",
    "bootstrap",
    "export",
    "history",
    "activity",
    "decisions",
    "api",
    "forge",
    "schema",
    "explain",
    "server",
    "completion",
    "version",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example(workdir: Workdir, command: str) -> None:
    """`--help` says what a command is for, and shows one that can be typed."""
    ran = workdir.octosync(command, "--help")
    assert ran.code == 0
    assert f"Example:  octosync {command}" in ran.stdout
    assert ran.stderr == ""


def test_help_names_every_command(workdir: Workdir) -> None:
    """`octosync --help` lists all commands, an example, and where the environment comes in."""
    ran = workdir.octosync("--help")
    assert ran.code == 0
    assert all(f"  {command} " in ran.stdout for command in COMMANDS)
    assert "octosync demo" in ran.stdout
    assert "OCTOSYNC_URL" in ran.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_works_in_every_shell(workdir: Workdir, shell: str) -> None:
    """Each shell gets a script, and the script gets commands, options and choices."""
    script = workdir.octosync(_OCTOSYNC_COMPLETE=f"{shell}_source")
    assert script.code == 0
    assert "_OCTOSYNC_COMPLETE" in script.stdout
    word = "--det" if shell == "fish" else "2"
    completed = workdir.octosync(
        _OCTOSYNC_COMPLETE=f"{shell}_complete", COMP_WORDS="octosync plan --det", COMP_CWORD=word
    )
    assert "--detailed-exitcode" in completed.stdout


def test_a_wrong_option_is_answered_with_a_near_one(workdir: Workdir) -> None:
    """A slip of the finger is answered with what was meant."""
    ran = workdir.octosync("plan", "--detailed-exit-code")
    assert ran.code == 64
    assert "--detailed-exitcode" in ran.stderr
    assert "octosync plan --help" in ran.stderr


def test_what_is_missing_is_said_in_one_line(workdir: Workdir) -> None:
    """Choices are listed behind it, as they are to be typed."""
    ran = workdir.octosync("completion")
    assert ran.code == 64
    assert ran.stderr.splitlines()[0].endswith("Choose from: bash, zsh, fish")


def test_the_version_is_said_in_text_and_json(workdir: Workdir) -> None:
    """`octosync version` speaks to people and to tools."""
    assert workdir.octosync("version").stdout.startswith("octosync ")
    document = json.loads(workdir.octosync("version", "-o", "json").stdout)
    assert document.keys() == {"format_version", "octosync", "python"}


@pytest.mark.parametrize("command", ["validate", "plan"])
def test_manifests_without_their_flag_are_recognised(workdir: Workdir, command: str) -> None:
    """`octosync plan apps/` is told how manifests are named."""
    ran = workdir.octosync(command, "apps/")
    assert ran.code == 64
    assert f"Manifests are named with -f: octosync {command} -f PATH" in ran.stderr
