"""The terms that docs/reference/glossary.md replaces are in no document and in no help text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import click
import pytest
from docs.executing import ROOT

from octosync.cli.root import octosync

_GLOSSARY: Final = ROOT / "docs" / "reference" / "glossary.md"
_DOCUMENTS: Final = (ROOT / "README.md", ROOT / "examples/README.md", *sorted((ROOT / "docs").rglob("*.md")))


def _rows(header: str) -> list[list[str]]:
    """Return the cells of the rows of every table of the glossary whose first header cell is this."""
    tables = _GLOSSARY.read_text(encoding="utf-8").split(f"\n| {header} |")[1:]
    lines = [line for table in tables for line in table.partition("\n\n")[0].splitlines()[2:]]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def _replacements() -> Mapping[str, str]:
    """Return what to use instead, by the replaced term."""
    return {term: instead for terms, instead in _rows("replaced term") for term in re.findall(r"`([^`]+)`", terms)}


def _words(term: str) -> str:
    """Return the pattern of a term; its words can be on two lines."""
    return r"\s+".join(map(re.escape, term.split()))


def _violations(text: str) -> list[str]:
    """Return the replaced terms in a text, with what to use instead."""
    return [
        f"{term}: use {instead}"
        for term, instead in _replacements().items()
        if re.search(rf"(?<![\w-]){_words(term)}(?![\w-])", text, re.IGNORECASE)
    ]


def _prose(markdown: str) -> str:
    """Return a document without code blocks, inline code, comments and link targets."""
    text = re.sub(r"^```.*?^```$", "", markdown, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"`[^`]+`", "", text)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    return re.sub(r"\]\([^)]*\)", "]", text)


def _help(command: click.Command, name: str) -> Iterator[tuple[str, str]]:
    """Yield the help of a command and of all commands below it, without option names."""
    with click.Context(command, info_name=name) as context:
        text = command.get_help(context)
        yield name, re.sub(r"(?<!\w)--?[a-z][\w-]*", "", text)
        if isinstance(command, click.Group):
            for child in command.list_commands(context):
                found = command.get_command(context, child)
                assert found is not None
                yield from _help(found, f"{name} {child}")


def test_every_term_is_defined_once() -> None:
    """No term has two definitions, none is replaced by the same page, and every definition is a sentence."""
    rows = _rows("term")
    terms = [term for term, _ in rows]
    assert len(terms) > 50
    assert len(set(terms)) == len(terms)
    assert not set(terms) & set(_replacements())
    assert [meaning for _, meaning in rows if not meaning.endswith(".")] == []


@pytest.mark.parametrize("path", _DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_document_uses_no_replaced_term(path: Path) -> None:
    """The prose of README and of the pages in docs/ uses the terms of the glossary."""
    assert _violations(_prose(path.read_text(encoding="utf-8"))) == []


_HELP: Final = dict(_help(octosync, "octosync"))


@pytest.mark.parametrize("name", _HELP)
def test_a_help_text_uses_no_replaced_term(name: str) -> None:
    """The help of every command uses the terms of the glossary."""
    assert _violations(_HELP[name]) == []


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("Drift is Healed.", ["healed"]),
        ("It is put\nback.", ["put back"]),
        ("A healthy dashboard on the background.", []),
        ("It is `healed` in code.\n```\nhealed\n```\n", []),
        ("See [alerts](x.md#somebody).", []),
    ],
)
def test_a_replaced_term_is_found(text: str, terms: list[str]) -> None:
    """Whole words count, in any case and over line ends; code and link targets don't."""
    assert [violation.partition(":")[0] for violation in _violations(_prose(text))] == terms
