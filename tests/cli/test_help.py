"""Help: every command and option is documented there."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator

import click
import pytest
from tests.support.workdirs import Workdir

from octosync.cli.command import GROUPS
from octosync.cli.root import octosync

WIDTH = 80


def contexts(context: click.Context) -> Iterator[click.Context]:
    """Yield the context of a command and of all its subcommands, at the width of a small terminal."""
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            below = context.command.get_command(context, name)
            assert below is not None
            yield from contexts(click.Context(below, parent=context, info_name=name))


HELP = {
    context.command_path: (context, context.get_help())
    for context in contexts(click.Context(octosync, info_name="octosync", terminal_width=WIDTH - 2))
}


def section(text: str, heading: str) -> list[str]:
    """Return the lines of a section of a help."""
    return text.partition(f"\n{heading}:\n")[2].partition("\n\n")[0].splitlines()


@pytest.mark.parametrize("command", HELP)
def test_help_has_options_in_groups_exit_codes_and_an_example(command: str) -> None:
    """The help of every command fits a terminal, has the variable of each option, and an example that can be pasted."""
    context, text = HELP[command]
    assert max(map(len, text.splitlines())) <= WIDTH
    headings = [heading for heading in re.findall(r"^([A-Z].*):$", text, re.MULTILINE) if heading in GROUPS]
    assert headings == [group for group in GROUPS if group in headings]
    shown = [line for heading in headings for line in section(text, heading)]
    for option in context.command.params:
        if isinstance(option, click.Option):
            assert any(option.opts[-1] in line for line in shown)
            assert option.envvar is None or any(f"[env: {option.envvar}]" in line for line in shown)
    is_group = isinstance(context.command, click.Group)
    assert [line.split()[0] for line in section(text, "Exit codes")][:2] == ([] if is_group else ["0", "1"])
    example = "\n".join(section(text, "Example")).strip()
    assert example.startswith(command)
    script = f"octosync() {{ printf '%s\\0' octosync \"$@\"; }}\n{example.partition(' >')[0]}"
    words = subprocess.run(["bash", "-ec", script], capture_output=True, text=True, check=True).stdout.split("\0")[:-1]
    path = command.split()
    assert words[: len(path)] == path
    if not is_group:
        context.command.make_context(path[-1], words[len(path) :])


def test_help_names_every_command(workdir: Workdir) -> None:
    """`octosync --help` lists all commands, and explains the environment variables."""
    ran = workdir.octosync("--help")
    assert ran.code == 0
    commands = [path.split()[1] for path in HELP if path.count(" ") == 1]
    assert [line.split()[0] for line in section(ran.stdout, "Commands") if line[2] != " "] == commands
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


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("validat", "validate"),
        ("api chek", "check"),
        ("plan --detailed-exit-code", "--detailed-exitcode"),
        ("plan --bsae main", "--base"),
        ("help api chek", "check"),
        ("help plan check", None),
        ("plan --zzz", None),
        ("zzz", None),
    ],
)
def test_an_unknown_name_is_an_error_with_a_suggestion(workdir: Workdir, typed: str, meant: str | None) -> None:
    """The error for an unknown command or option names the one that was probably meant, if there is one."""
    ran = workdir.octosync(*typed.split())
    assert ran.code == 64
    assert re.findall("Did you mean '(.*)'", ran.stderr) == ([meant] if meant else [])
    assert re.search("Run 'octosync( plan| api)? --help'", ran.stderr)


def test_a_missing_argument_is_one_line(workdir: Workdir) -> None:
    """The line has the choices, as they are typed."""
    ran = workdir.octosync("completion")
    assert ran.code == 64
    assert ran.stderr.splitlines()[0].endswith("Choose from: bash, zsh, fish")


@pytest.mark.parametrize("command", ["", "plan", "api check", "help"])
def test_help_is_a_command_too(workdir: Workdir, command: str) -> None:
    """`octosync help COMMAND` prints what `octosync COMMAND --help` prints."""
    ran = workdir.octosync("help", *command.split())
    assert (ran.code, ran.stdout) == (0, workdir.octosync(*command.split(), "--help").stdout)


def test_the_version_is_printed_as_text_and_json(workdir: Workdir) -> None:
    """`octosync version` has a text for people, the same as `--version` and `-V`, and a document for tools."""
    text = workdir.octosync("version").stdout
    assert text.startswith("octosync ")
    assert [workdir.octosync(flag).stdout for flag in ("--version", "-V")] == [text, text]
    document = json.loads(workdir.octosync("version", "-o", "json").stdout)
    assert document.keys() == {"format_version", "octosync", "python"}


@pytest.mark.parametrize("command", ["validate", "plan"])
def test_manifests_without_their_flag_are_recognised(workdir: Workdir, command: str) -> None:
    """For `octosync plan apps/` the error has the flag that names manifests."""
    ran = workdir.octosync(command, "apps/")
    assert ran.code == 64
    assert f"Manifests are named with -f: octosync {command} -f PATH" in ran.stderr
