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
    """`--help` describes a command, and has an example."""
    ran = workdir.octosync(command, "--help")
    assert ran.code == 0
    assert f"Example:  octosync {command}" in ran.stdout
    assert ran.stderr == ""


def test_help_names_every_command(workdir: Workdir) -> None:
    """`octosync --help` lists all commands, an example, and the environment variables."""
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


def test_a_wrong_option_is_an_error_with_a_suggestion(workdir: Workdir) -> None:
    """The error has the nearest option."""
    ran = workdir.octosync("plan", "--detailed-exit-code")
    assert ran.code == 64
    assert "--detailed-exitcode" in ran.stderr
    assert "octosync plan --help" in ran.stderr


def test_a_missing_argument_is_one_line(workdir: Workdir) -> None:
    """The line has the choices, as they are typed."""
    ran = workdir.octosync("completion")
    assert ran.code == 64
    assert ran.stderr.splitlines()[0].endswith("Choose from: bash, zsh, fish")


def test_the_version_is_printed_as_text_and_json(workdir: Workdir) -> None:
    """`octosync version` has a text for people, the same as `--version`, and a document for tools."""
    assert workdir.octosync("version").stdout.startswith("octosync ")
    assert workdir.octosync("--version").stdout == workdir.octosync("version").stdout
    document = json.loads(workdir.octosync("version", "-o", "json").stdout)
    assert document.keys() == {"format_version", "octosync", "python"}


@pytest.mark.parametrize("command", ["validate", "plan"])
def test_manifests_without_their_flag_are_recognised(workdir: Workdir, command: str) -> None:
    """For `octosync plan apps/` the error has the flag that names manifests."""
    ran = workdir.octosync(command, "apps/")
    assert ran.code == 64
    assert f"Manifests are named with -f: octosync {command} -f PATH" in ran.stderr
