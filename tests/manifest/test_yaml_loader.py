"""The strict YAML loader, which records positions."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octosync.manifest.schema.rules import Findings
from octosync.manifest.yaml.loader import parse
from octosync.manifest.yaml.nodes import Mapping, Scalar, YamlDocument, plain
from octosync.model import Diagnostic, Sensitivity


def read(text: str | bytes) -> tuple[list[YamlDocument], tuple[Diagnostic, ...]]:
    findings = Findings()
    data = text if isinstance(text, bytes) else text.encode()
    _, documents = parse("a.yaml", data, Sensitivity(), findings)
    return documents, findings.sorted


def value(text: str | bytes) -> Any:
    (document,), found = read(text)
    assert found == ()
    return plain(document.root)


def problem(text: str | bytes) -> Diagnostic:
    _, (found,) = read(text)
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("on", "on"), ("no", "no"), ("yes", "yes"), ("off", "off"), ("Y", "Y"),
        ("2026-03-01", "2026-03-01"), ("12:30:45", "12:30:45"),
        ("017", "017"), ("0o17", "0o17"), ("-017", "-017"), ("00", "00"), ("1_000", "1_000"), ("0b1", "0b1"),
        ("0x1F", 31), ("0", 0), ("-0", 0), ("+12", 12), ("12", 12), ("-1", -1),
        ("1.5", 1.5), ("1.", 1.0), (".5", 0.5), ("1e3", 1000.0), ("-1.5E-3", -0.0015), ("01.5", 1.5),
        ("true", True), ("True", True), ("FALSE", False), ("tRue", "tRue"),
        ("null", None), ("~", None), ("Null", None), ("", None), ("nul", "nul"),
        ('"1"', "1"), ("'true'", "true"), ("+", "+"), ("-", None), ("1.2.3", "1.2.3"), (".", "."), ("=", "="),
    ],
)  # fmt: skip
def test_plain_scalars_are_read_as_yaml_1_2_core_without_octals(text: str, expected: object) -> None:
    """`on`, `no`, dates and octals stay text. Numbers, booleans and null are those of JSON."""
    written = {"-": "{a: }"}.get(text, f"a: {text}")
    found = value(written)["a"]
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("text", [".inf", "-.INF", ".nan", "1e999", "-1e999", "9" * 400, "0x" + "f" * 400, "9" * 5000])
def test_numbers_that_json_cannot_hold_are_errors(text: str) -> None:
    """Infinity, not-a-number and numbers beyond those of JSON are one clear error."""
    assert problem(f"a: {text}").rule == "not-json-number"


def test_every_value_has_its_line_column_and_width() -> None:
    """Columns count characters from 1, whatever precedes them. A width of 0 means the rest of the line."""
    (document,), _ = read('\ufeffä: 😀\nb: {c: "d\\te", f: [1, 22]}\ng: |\n  h\n')
    root = document.root
    assert isinstance(root, Mapping)
    places = {
        key: (key_node.line, key_node.column, node.line, node.column) for key, (key_node, node) in root.entries.items()
    }
    assert places == {"ä": (1, 1, 1, 4), "b": (2, 1, 2, 4), "g": (3, 1, 3, 4)}
    inner = root.get("b")
    assert isinstance(inner, Mapping)
    assert inner.get("c") == Scalar("d\te", 2, 8, 6)
    assert root.get("g") == Scalar("h\n", 3, 4, 0)


def test_text_is_kept_unchanged() -> None:
    """Tabs, line breaks and surrounding blanks in text are never trimmed."""
    assert value('a: "\\t x \\n"\nb: |+\n   x\ty \n\n') == {"a": "\t x \n", "b": "x\ty \n\n"}
    assert value('{"a": "  x\\ty  "}') == {"a": "  x\ty  "}
    assert value("a: |\n  x\ty\n\n  z\n") == {"a": "x\ty\n\nz\n"}


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (b"a: \xe4\n", "not-utf8"),
        ("a: b".encode("utf-16"), "not-utf8"),
        (b"\xff\xfea\x00", "not-utf8"),
        (b"a: \xed\xa0\x80", "not-utf8"),
        (b"\x7fELF\x02\x01\x00\x00", "control-character"),
        (b"a: b\x00c", "control-character"),
        (b"a: \x1b[31m", "control-character"),
        ("a: b\u2028c".encode(), "control-character"),
        (b'a: "\\e"', "control-character"),
        (b"a: b: c", "yaml-syntax"),
        (b'a: "b', "yaml-syntax"),
        (b"a: [b", "yaml-syntax"),
        (b"a: @b", "yaml-syntax"),
        (b"a:\n  b: c\n d: e\n", "yaml-syntax"),
        (b"%YAML 3.0\n---\na: b\n", "yaml-syntax"),
        (b"a: !x!y z\n", "yaml-syntax"),
        (b"a:\n\tb: c\n", "tab-indentation"),
        (b"a: b\n\tc: d\n", "tab-indentation"),
        (b"-\ta: b\n", "tab-indentation"),
        (b"a: !!python/object:os.system x\n", "tag"),
        (b"!!map {a: b}\n", "tag"),
        (b"a: !!seq [b]\n", "tag"),
        (b"a: ! b\n", "tag"),
        (b"? [a]\n: b\n", "non-string-key"),
        (b"? {a: b}\n: c\n", "non-string-key"),
        (b"a: &x [1]\n*x : b\n", "non-string-key"),
        (b"true: a\n", "non-string-key"),
        (b"null: a\n", "non-string-key"),
        (b"<<: {a: b}\n", "merge-key"),
        (b"a: *b\n", "unknown-alias"),
        (b"*b", "unknown-alias"),
        (b"a: &a\n  b: *a\n", "recursive-alias"),
        (b'a: "\\ud83d"\n', "lone-surrogate"),
        (b'a: "\\ude00\\ud83d"\n', "lone-surrogate"),
    ],
)
def test_anything_but_plain_data_in_utf8_is_one_clear_error(text: bytes, rule: str) -> None:
    """Encodings, control characters, syntax, tags, unusual keys and aliases are one error each, with its place."""
    found = problem(text)
    assert found.rule == rule
    assert found.origin is not None
    assert found.origin.file == "a.yaml"


def test_an_encoding_error_names_the_byte_and_its_place() -> None:
    """The error of a Latin-1 file has the offset, line and column of its first invalid byte."""
    found = problem("a: b\nc: xä\n".encode("latin-1"))
    assert found.summary == "byte 0xe4 at offset 9 is not UTF-8"
    assert str(found.origin) == "a.yaml:2:5"


def test_a_control_character_has_its_place() -> None:
    """The line and column are those of the first one, for any line ending. The others are counted."""
    found = problem(b"a: b\r\nc: d\re: x\x00y\x00\n")
    assert str(found.origin) == "a.yaml:3:5"
    assert "the file has 1 more of them" in found.notes


def test_a_duplicate_key_shows_both_places_and_the_first_is_kept() -> None:
    """The error names both places, and the rest of the document is still checked."""
    (document,), (found,) = read("a: {b: 1,\n  b: 2}\n")
    assert (str(found.origin), found.path) == ("a.yaml:2:3", "a.b")
    assert found.notes == ("first defined at a.yaml:1:5",)
    assert plain(document.root) == {"a": {"b": 1}}


def test_documents_before_a_syntax_error_are_still_read() -> None:
    """A broken document does not hide earlier ones."""
    documents, found = read("a: b\n---\nc: [\n")
    assert [plain(document.root) for document in documents] == [{"a": "b"}]
    assert [diagnostic.rule for diagnostic in found] == ["yaml-syntax"]


def test_empty_documents_do_not_count() -> None:
    """Empty text between separators, comments and null do not count as documents."""
    assert read("")[0] == read("# x\n")[0] == read("---\n---\n# y\n...\n")[0] == read("null\n")[0] == []


def test_aliases_expand() -> None:
    """An alias has the value of its anchor. The last anchor of a name counts, and each document has its own."""
    assert value("a: &x {b: 1}\nc: *x\nd: &x 2\ne: *x\n") == {"a": {"b": 1}, "c": {"b": 1}, "d": 2, "e": 2}
    assert value("&k a: 1\nb: *k\n") == {"a": 1, "b": "a"}
    assert value("&k a: 1\nb: {*k : 2}\n") == {"a": 1, "b": {"a": 2}}
    assert problem("a: &x 1\n---\nb: *x\n").rule == "unknown-alias"


def test_an_alias_bomb_is_refused_without_expanding_it() -> None:
    """Nine lines that mean ten billion nodes are refused by counting."""
    lines = ["a0: &a0 [" + ", ".join("x" * 10) + "]"]
    lines += [f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 10) + "]" for n in range(1, 10)]
    assert problem("\n".join(lines)).rule == "too-many-nodes"


def test_a_document_has_at_most_100000_nodes() -> None:
    """The limit is exact and applies to each document."""
    fits = "[" + ",".join(["1"] * 99_999) + "]\n"
    assert problem("[" + ",".join(["1"] * 100_000) + "]\n").rule == "too-many-nodes"
    documents, found = read(f"{fits}---\n[1, 1]\n")
    assert (len(documents), found) == (2, ())


def test_a_file_has_at_most_four_million_nodes_after_expansion() -> None:
    """The limit applies to all documents of a file together."""
    document = "- &a [" + ",".join(["1"] * 998) + "]\n" + "- *a\n" * 98
    assert problem("---\n".join([document] * 42)).rule == "too-many-nodes"


def test_a_document_has_at_most_32_levels_aliases_included() -> None:
    """The limit is exact, and an alias adds the levels of its anchor."""
    assert value("[" * 32 + "]" * 32) is not None
    assert problem("[" * 33 + "]" * 33).rule == "too-deep"
    inner = "a: &a " + "[" * 20 + "]" * 20 + "\n"
    assert value(inner + "b: " + "[" * 11 + "*a" + "]" * 11 + "\n") is not None
    assert problem(inner + "b: " + "[" * 12 + "*a" + "]" * 12 + "\n").rule == "too-deep"
    nested = inner + "b: &b [[*a]]\n"
    assert value(nested + "c: " + "[" * 9 + "*b" + "]" * 9 + "\n") is not None
    assert problem(nested + "c: " + "[" * 10 + "*b" + "]" * 10 + "\n").rule == "too-deep"


def test_a_file_has_at_most_16_mib() -> None:
    """17 MiB are one clear error."""
    assert problem(b"a" * (17 * 2**20)).rule == "file-too-large"


def test_surrogate_pairs_of_json_are_joined() -> None:
    """JSON writes 😀 as two escapes. In double quotes they are one character, elsewhere the text is unchanged."""
    assert value('{"a": "x\\ud83d\\ude00\\uD83D\\uDE01y", "b": 1}') == {"a": "x😀😁y", "b": 1}
    assert value("a: x\\ud83d\\ude00\nb: '\\uD83D\\ude00'\nc: \"\\ud83d\\ude00\"\n") == {
        "a": "x\\ud83d\\ude00",
        "b": "\\uD83D\\ude00",
        "c": "😀",
    }
    assert value('a: "\\\\ud83d\\\\ude00"\nb: "\\\\\\ud83d\\ude00"\n') == {"a": "\\ud83d\\ude00", "b": "\\😀"}
    (document,), _ = read('{"a": "\\ud83d\\ude00", "b": 1}')
    assert isinstance(document.root, Mapping)
    assert document.root.entries["b"][0].column == 23


def test_a_control_escape_next_to_a_surrogate_pair_is_found() -> None:
    """Joining pairs hides no other escape, in any spelling."""
    for escape in ("\\e", "\\x1b", "\\u001B", "\\a", "\\0"):
        _, found = read(f'a: "\\ud83d\\ude00{escape}"\n')
        assert [diagnostic.rule for diagnostic in found] == ["control-character"]
    assert value('a: "\\ud83d\\ude00 \\u2028 \\N"') == {"a": "😀 \u2028 \x85"}


def test_tabs_separate_in_json() -> None:
    """JSON that is indented with tabs is valid."""
    assert value('{\n\t"a": [\n\t\t1,\n\t\t2\n\t]\n}\n') == {"a": [1, 2]}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=20),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=10), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(JSON, st.booleans())
def test_any_json_is_read_as_json(data: Any, ascii_only: bool) -> None:
    """The output of json.dumps, in either of its spellings, is read as the same value."""
    text = json.dumps({"root": data}, ensure_ascii=ascii_only)
    documents, found = read(text)
    if [diagnostic.rule for diagnostic in found] == ["control-character"]:
        return  # U+2028, U+FFFE and similar characters are refused if not escaped
    assert found == ()
    assert _same(plain(documents[0].root), {"root": data})


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right)
    return type(left) is type(right) and bool(left == right)
