"""Workflow commands and output files as GitHub's runner reads them (source: actions/runner and actions/toolkit)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_COMMAND = re.compile(r"^\s*::([\w-]+)(?: ([^\n]*?))?::(.*)$")
_OLD_COMMAND = re.compile(r"##\[([\w-]+)")


@dataclass(frozen=True)
class Command:
    """A workflow command, unescaped."""

    name: str
    message: str
    properties: dict[str, str] = field(default_factory=dict)


def commands_in(log: str) -> list[Command]:
    """Return the commands that the runner reads in a log; any kind of line break ends a line."""
    found = []
    for line in re.split(r"\r\n|\r|\n", log):
        command, old = _COMMAND.match(line), _OLD_COMMAND.search(line)
        if command is not None:
            found.append(Command(command[1], _data(command[3]), dict(_properties(command[2] or ""))))
        elif old is not None:
            found.append(Command(old[1], line))
    return found


def _properties(text: str) -> list[tuple[str, str]]:
    pairs = (pair.partition("=") for pair in text.split(",") if pair)
    return [(name.strip(), _data(value.replace("%2C", ",").replace("%3A", ":"))) for name, _, value in pairs]


def _data(text: str) -> str:
    return text.replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%")


def outputs_in(text: str) -> dict[str, str]:
    """Return a step's outputs. Raise `ValueError` for text that the runner would reject."""
    values, lines = {}, text.split("\n")
    assert lines.pop() == ""
    while lines:
        line = lines.pop(0)
        name, sign, value = re.match(r"([^=<]*)(=|<<)?(.*)", line, re.DOTALL).groups()  # type: ignore[union-attr]
        if sign == "<<":
            block: list[str] = []
            while (after := lines.pop(0)) != value:
                block.append(after)
            value = "\n".join(block)
        elif sign is None:
            raise ValueError(f"no output: {line!r}")
        values[name] = value
    return values
