"""The editor: it replaces a value in a manifest in any layout, and leaves every other line unchanged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octosync.manifest import EditContext, EditError
from octosync.manifest.edit.editor import NodePath, put
from octosync.manifest.edit.layout import read_layout
from octosync.manifest.export.yaml_writer import value_text
from octosync.manifest.load.variables import Variables
from octosync.manifest.yaml.nodes import plain
from octosync.model import JsonValue, Sensitivity, json_equal

READING = EditContext(sensitivity=Sensitivity(), variables=Variables(values={"NAME": "v"}))
KEYS = ("a", "b", "c d", "é", "yes", "model", "x#y")
TEXTS = st.one_of(
    st.sampled_from(
        ["", "true", "1", "0o17", "two words", "a: b", "# no", "it's", 'say "x"', "é😀", "${X}", "- a", "a\nb\n"]
    ),
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Co", "Cn")), max_size=8),
)
SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(-10, 10**6), st.floats(-100, 100, allow_nan=False), TEXTS
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)),
    max_leaves=8,
)
OBJECTS: st.SearchStrategy[dict[str, Any]] = st.dictionaries(st.sampled_from(KEYS), VALUES, min_size=1, max_size=4)


class Layouts:
    """Writes a value in random layouts: blocks with one scalar per line, or braces, with comments and blank lines."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._comments = 0

    def text(self, value: dict[str, Any]) -> str:
        """Return the text of a document."""
        return "".join(f"{line}\n" for line in ["# head", "root:", *self._mapping(value, 2)])

    def _comment(self, indent: int) -> list[str]:
        choice = self._draw(st.integers(0, 5))
        if choice == 0:
            return [""]
        if choice > 1:
            return []
        self._comments += 1
        return [f"{' ' * indent}# about {self._comments}"]

    def _remark(self) -> str:
        if self._draw(st.booleans()):
            return ""
        self._comments += 1
        return f"{' ' * self._draw(st.integers(1, 3))}# says {self._comments}"

    def _mapping(self, value: dict[str, Any], indent: int) -> Iterator[str]:
        for key, child in value.items():
            yield from self._comment(indent)
            yield from self._behind(f"{' ' * indent}{value_text(key)}:", child, indent)

    def _sequence(self, value: list[Any], indent: int) -> Iterator[str]:
        for child in value:
            yield from self._comment(indent)
            if isinstance(child, dict) and child and self._draw(st.booleans()):
                first, *rest = [
                    line
                    for key in child
                    for line in self._behind(f"{' ' * (indent + 2)}{value_text(key)}:", child[key], indent + 2)
                ]
                yield f"{' ' * indent}- {first.lstrip()}"
                yield from rest
            else:
                yield from self._behind(f"{' ' * indent}-", child, indent)

    def _behind(self, head: str, value: Any, indent: int) -> Iterator[str]:
        of_list = head.endswith("-")
        blocks = isinstance(value, dict | list) and value and not of_list and self._draw(st.booleans())
        if blocks and isinstance(value, dict):
            yield head + self._remark()
            yield from self._mapping(value, indent + self._draw(st.integers(1, 4)))
        elif blocks:
            yield head + self._remark()
            yield from self._sequence(value, indent + self._draw(st.sampled_from([0, 2, 3])))
        else:
            yield f"{head} {self._inline(value)}{self._remark()}"

    def _inline(self, value: Any) -> str:
        if isinstance(value, str) and value.isprintable() and self._draw(st.booleans()):
            written = value.replace("${", "$${")
            return "'" + written.replace("'", "''") + "'"
        return value_text(value)


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """Return a text with the value under its key `root`."""
    value = draw(OBJECTS)
    return Layouts(draw).text(value), value


def value_of(text: str) -> JsonValue:
    """Return the value in a text."""
    return plain(read_layout(text, READING).root.node)


def comments_of(text: str) -> list[str]:
    """Return the comments of a text that the layouts wrote."""
    return [
        line[line.index(mark) :]
        for line in text.splitlines()
        for mark in ("# about", "# says", "# head")
        if mark in line
    ]


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the paths of all scalars that are only inside objects."""
    if isinstance(value, dict):
        for key, child in value.items():
            yield from leaves(child, (*path, key))
    elif not isinstance(value, list):
        yield path


def edit(text: str, wanted: JsonValue, *path: str, **more: Any) -> str:
    """Replace a value."""
    return put(text, ("root", *path), lambda _: wanted, READING, **more)


@given(documents(), st.data())
def test_a_changed_scalar_changes_only_its_line(document: tuple[str, dict[str, Any]], data: st.DataObject) -> None:
    """In any layout, a scalar's edit changes one line, keeps every comment, and loads to the wanted value."""
    text, value = document
    paths = list(leaves(value))
    if not paths:
        return
    path = data.draw(st.sampled_from(paths))
    new = data.draw(SCALARS.filter(lambda value: not isinstance(value, str) or "\n" not in value))
    after = edit(text, new, *path)
    expected: Any = json.loads(json.dumps(value))
    holder = expected
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = new
    assert json_equal(value_of(after), {"root": expected})
    before, now = text.splitlines(), after.splitlines()
    assert len(before) == len(now)
    assert sum(old != new for old, new in zip(before, now, strict=True)) <= 1
    assert comments_of(after) == comments_of(text)


@given(documents(), OBJECTS)
def test_any_value_can_replace_another(document: tuple[str, dict[str, Any]], wanted: dict[str, Any]) -> None:
    """Keys and items are added and removed. The result loads to the wanted value, or nothing is edited."""
    text, _ = document
    try:
        after = edit(text, wanted)
    except EditError:
        return
    assert json_equal(value_of(after), {"root": wanted})


@given(OBJECTS, OBJECTS, st.sampled_from([None, 1, 2, "\t"]))
def test_json_stays_json(value: dict[str, Any], wanted: dict[str, Any], indent: int | str | None) -> None:
    """JSON with any indentation is still JSON afterwards, with the wanted value."""
    text = json.dumps({"root": value}, indent=indent).replace("${", "$${")
    after = edit(text, wanted, as_json=True)
    json.loads(after)
    assert json_equal(value_of(after), {"root": wanted})


@given(documents())
def test_an_equal_value_changes_nothing(document: tuple[str, dict[str, Any]]) -> None:
    """If the value is already there, the text stays the same, byte by byte."""
    text, value = document
    assert edit(text, value) == text


CASES: dict[str, tuple[str, JsonValue, str]] = {
    "an item is removed with its own comment above it": (
        "root:\n  # one\n  - a\n\n  # two\n  - b\n",
        ["a"],
        "root:\n  # one\n  - a\n\n",
    ),
    "a comment that may belong to the next entry stays": (
        "root:\n  # all\n  - a  # gone\n  - b\n",
        ["b"],
        "root:\n  # all\n  - b\n",
    ),
    "a comment with the indentation of an entry is removed with it": (
        "root:\n  - a: 1\n    # more of a\n  - b: 1\n",
        [{"b": 1}],
        "root:\n  - b: 1\n",
    ),
    "the last item leaves an empty list": ("root:  # r\n  - a\n", [], "root: []  # r\n"),
    "an item is added below the comment of the last item": (
        "root:\n- a: 1\n  # more of a\n# end\nnext: 1\n",
        [{"a": 1}, {"b": 2}],
        "root:\n- a: 1\n  # more of a\n- b: 2\n# end\nnext: 1\n",
    ),
    "an empty list gets its first items": ("root: []  # none\n", ["a: b", [1]], 'root:  # none\n  - "a: b"\n  - [1]\n'),
    "a trailing comma is kept": (
        "root: [\n  a,  # first\n  b,\n]\n",
        ["a", "b", "c"],
        "root: [\n  a,  # first\n  b,\n  c,\n]\n",
    ),
    "no trailing comma is added": ("root: [\n  a,\n  b  # last\n]\n", ["a"], "root: [\n  a\n]\n"),
    "a block scalar keeps its indentation": (
        "root: |  # t\n     one\n     two\n\nnext: 1\n",
        "one\nthree\n",
        "root: |  # t\n     one\n     three\n\nnext: 1\n",
    ),
    "a key without a value gets one": ("root:  # r\nnext: 1\n", "a", "root: a  # r\nnext: 1\n"),
    "no final line break is added": ("root:\n  - a", ["a", "b"], "root:\n  - a\n  - b"),
    "no final line break is added if the end is removed": ("root:\n  - a\n  - b", ["a"], "root:\n  - a"),
    "a key keeps its order": (
        "root:\n  a: 1\n  c: 3\n",
        {"a": 1, "b": 2, "c": 3},
        "root:\n  a: 1\n  b: 2\n  c: 3\n",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_text_around_an_edit_is_kept(case: str) -> None:
    """Comments and layout next to added and removed values are unchanged."""
    before, wanted, after = CASES[case]
    assert edit(before, wanted) == after


@pytest.mark.parametrize(
    ("text", "path", "why"),
    [
        ("root: {a: &x 1, b: *x}\n", ("root", "a"), "it is repeated by *x"),
        ("root: {a: &x 1, b: *x}\n", ("root", "b"), "it is an alias"),
        ("root: &x {a: 1}\nb: *x\n", ("root", "a"), "it is repeated by *x"),
        ("root: {a: '${NAME}'}\n", ("root", "a"), "its value comes from the variable NAME"),
        ("root: {a}\n", ("root", "a"), "its key has no value"),
        ("root: {a: 1}\n", ("root", "b"), "it can't be found"),
        ("? root\n: 1\n", ("root",), "its key is written with a question mark"),
    ],
)
def test_an_edit_that_would_affect_other_values_is_refused(text: str, path: NodePath, why: str) -> None:
    """For values in several places, variables and unusual spellings, the error has the reason, and nothing is edited."""
    with pytest.raises(EditError, match=why.replace("*", r"\*")):
        put(text, path, lambda _: "new", READING)


@pytest.mark.parametrize(
    ("old", "wanted", "new"),
    [
        (
            ["- coreml  # first", "- mlx     # second"],
            ["mlx", "coreml", "whisper"],
            ["- mlx     # second", "- coreml  # first", "- whisper"],
        ),
        (["# one", "- a", "# two", "- b  # 2"], ["b", "a"], ["# two", "- b  # 2", "# one", "- a"]),
        (["- a  # 1", "- b  # 2", "- c  # 3"], ["c", "b"], ["- c  # 3", "- b  # 2"]),
    ],
)
def test_a_comment_moves_with_its_value(old: list[str], wanted: list[str], new: list[str]) -> None:
    """If the order of a list changes, the comment next to a value, or directly above it, stays with the value."""
    before, after = ("root:\n" + "".join(f"  {line}\n" for line in lines) for lines in (old, new))
    for end in ("", "other: 1\n"):
        assert put(before + end, ("root",), lambda _: wanted, READING) == after + end
    assert put("root: [a, b]  # all\n", ("root",), lambda _: ["b", "a"], READING) == "root: [b, a]  # all\n"
    with pytest.raises(EditError, match="it contains comments"):
        put("root: [\n  a, # 1\n  b\n]\n", ("root",), lambda _: ["b", "a"], READING)
