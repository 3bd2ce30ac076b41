"""The reference of the command line, from the same data as `--help`: commands, options, variables and exit codes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final, cast

import click
from docs.markdown import anchor, cell, code, codes, escaped, heading_anchor

from octosync.cli.command import GENERAL, Command
from octosync.cli.command import GROUPS as OPTION_GROUPS
from octosync.cli.root import octosync
from octosync.cli.runs.explain import GROUPS
from octosync.errors import EXIT_CODES, ExitCode, worst

_VERBATIM: Final = "\b"  # click's mark of a paragraph that is not wrapped


def all_commands(group: click.Context | None = None) -> Iterator[click.Context]:
    """Yield the context of each command below a group, in the order of `--help`."""
    context = group or click.Context(octosync, info_name="octosync")
    command_group = cast("click.Group", context.command)
    for name in command_group.list_commands(context):
        command = cast("click.Command", command_group.get_command(context, name))
        below = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from all_commands(below)
        else:
            yield below


def _options(context: click.Context) -> list[click.Option]:
    """Return the options of a command, without `--help`."""
    found = (parameter for parameter in context.command.params if isinstance(parameter, click.Option))
    return [option for option in found if not option.hidden]


def _group(option: click.Option) -> str:
    return str(getattr(option, "group", GENERAL))


def _table() -> Iterator[str]:
    """Yield the table of all commands."""
    yield from ("| command | does |", "|---|---|")
    for context in all_commands():
        path = context.command_path
        about = context.command.get_short_help_str(limit=200)
        yield f"| [`{path}`](#{heading_anchor(path)}) | {cell(escaped(about.removesuffix('.')))} |"


def _sections() -> Iterator[str]:
    """Yield a section for each command."""
    lines: list[str] = []
    for context in all_commands():
        lines += ("", *_section(context))
    yield from lines[1:]


def _section(context: click.Context) -> Iterator[str]:
    command = context.command
    yield from (f"## {context.command_path}", "", *_paragraphs(command.help or ""))
    yield from ("", "```text", " ".join((context.command_path, *command.collect_usage_pieces(context))), "```")
    for group in OPTION_GROUPS:
        if options := [option for option in _options(context) if _group(option) == group]:
            yield from ("", f"| {group} | meaning |", "|---|---|")
            yield from (_row(option, context) for option in options)
    if isinstance(command, Command):
        yield from ("", f"[Exit codes](exit-codes.md): {', '.join(str(number.value) for number in command.codes)}")
        if command.example:
            yield from ("", "For example:", "", "```text", *command.example.splitlines(), "```")
    if command.epilog:
        yield from ("", *_paragraphs(command.epilog))


def _paragraphs(text: str) -> Iterator[str]:
    """Yield the paragraphs of a help text, a line each; paragraphs that are not wrapped become blocks."""
    for number, paragraph in enumerate(inspect.cleandoc(text).split("\n\n")):
        if number:
            yield ""
        if paragraph.startswith(_VERBATIM):
            yield from ("```text", *inspect.cleandoc(paragraph.removeprefix(f"{_VERBATIM}\n")).splitlines(), "```")
        else:
            yield escaped(" ".join(paragraph.split()))


def _row(option: click.Option, context: click.Context) -> str:
    """Return the row of an option: its names, and its meaning with default, limits and variable."""
    record = option.get_help_record(context)
    extra = option.get_help_extra(context)
    stated = re.sub(r" +\[default: (.*?)\]", r" The default is \1.", option.help or "")
    default = f"The default is {code(str(extra['default']))}." if "default" in extra else ""
    limits = _limits(str(extra["range"])) if extra.get("range", "x>=0") != "x>=0" else ""
    required = "Required." if option.required else ""
    variable = f"Variable: `{option.envvar}`." if option.envvar else ""
    meaning = " ".join(filter(None, (escaped(stated), required, default, limits, variable)))
    return f"| {code(record[0] if record else option.opts[-1]).replace('|', chr(92) + '|')} | {cell(meaning)} |"


def _limits(range_: str) -> str:
    """Return the limits of a number, such as `1<=x<=256`, in words."""
    least, _, most = range_.rpartition("x")
    numbers = re.findall(r"[\d.]+", f"{least} {most}")
    if "<=x<=" in range_:
        return f"From {numbers[0]} to {numbers[1]}."
    return f"At {'least' if '>=' in range_ else 'most'} {numbers[0]}."


def _exit_codes() -> Iterator[str]:
    """Yield the table of exit codes, with the commands that can exit with each."""
    yield from ("| exit code | means |", "|---|---|")
    commands = [context for context in all_commands() if isinstance(context.command, Command)]
    meanings: dict[str, list[ExitCode]] = {}
    for number, meaning in EXIT_CODES.items():
        meanings.setdefault(meaning, []).append(number)
    for meaning, numbers in meanings.items():
        exits = [context for context in commands if set(numbers) <= set(_codes(context))]
        names = "*All commands.*" if len(exits) == len(commands) else f"*Commands: {_names(exits)}.*"
        shown = ", ".join(str(number.value) for number in numbers)
        sentence = _with_flags(f"{meaning[:1].upper()}{meaning[1:]}.")
        yield f"| {shown} | {cell(sentence)} {names} |"


def _precedence() -> Iterator[str]:
    """Yield the order in which exit codes have precedence."""
    left, order = list(ExitCode), []
    while left:
        order.append(worst(*left))
        left.remove(order[-1])
    yield f"If several apply, the first of these has precedence: {', '.join(str(number.value) for number in order)}."


def _with_flags(text: str) -> str:
    """Return text in which options are code."""
    return re.sub(r"(?<![\w`-])--[a-z][a-z-]*", r"`\g<0>`", text)


def _codes(context: click.Context) -> Sequence[ExitCode]:
    return context.command.codes if isinstance(context.command, Command) else ()


def _names(contexts: Iterable[click.Context]) -> str:
    return ", ".join(_name(context) for context in contexts)


def _name(context: click.Context) -> str:
    return context.command_path.partition(" ")[2]


def _names_of(heading: str) -> Iterator[str]:
    """Yield the table of the names below a heading of `octosync explain`, with what to do."""
    yield from (f"| {heading.lower().removesuffix('s')} | meaning |", "|---|---|")
    for name in GROUPS[heading].values():
        ways_out = f" What to do: {escaped('; '.join(name.ways_out))}." if name.ways_out else ""
        yield f"| {anchor(f'{name.category}-{name.name}')}`{name.name}` | {cell(escaped(name.meaning) + ways_out)} |"


def options_by_name() -> Mapping[tuple[str, str | None], list[click.Context]]:
    """Return the commands of each option, by its name and its variable; options without a variable have None."""
    found: dict[tuple[str, str | None], list[click.Context]] = {}
    for context in all_commands():
        for option in _options(context):
            name = next(name for name in option.opts if name.startswith("--"))
            variable = option.envvar if isinstance(option.envvar, str) else None
            found.setdefault((name, variable), []).append(context)
    return found


def _variables() -> Iterator[str]:
    """Yield the table of the variables that set options."""
    yield from ("| variable | option of |", "|---|---|")
    for (name, variable), contexts in sorted(options_by_name().items(), key=lambda item: str(item[0][1])):
        if variable is not None:
            yield f"| `{variable}` | `{name}` of {_names(contexts)} |"


def _without_variable() -> Iterator[str]:
    """Yield the list of options that no variable sets."""
    by_commands: dict[tuple[str, ...], list[str]] = {}
    for (name, variable), contexts in options_by_name().items():
        if variable is None:
            paths = tuple(map(_name, contexts))
            by_commands.setdefault(paths, []).append(name)
    for commands, names in by_commands.items():
        yield f"- {codes(names)} of {', '.join(commands)}"


PARTS: Final[Mapping[str, Callable[[], Iterable[str]]]] = {
    "commands": _table,
    "command sections": _sections,
    "exit codes": _exit_codes,
    "precedence of exit codes": _precedence,
    **{f"{heading.lower()} of runs": partial(_names_of, heading) for heading in ("Errors", "Outcomes", "Reasons")},
    "variables of options": _variables,
    "options without a variable": _without_variable,
}
