"""Hostile files: none takes more than linear time and memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.manifests import Workspace

from octosync.manifest import Context, Owner
from octosync.manifest.config.reader import read_configuration_text
from octosync.manifest.schema.rules import MOST_LISTED
from octosync.model import Severity

_HEAD = "apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: demo}\nspec:\n"
_PAIR = "\\ud83d\\ude00"


def _config(lines: str) -> str:
    return f"{_HEAD}  inferenceConfig:\n{lines}"


def _listed(item: str, count: int) -> str:
    return f"[{', '.join([item] * count)}]\n"


# Each of these took minutes to hours, or all of the memory, at these sizes.
_HOSTILE: dict[str, tuple[Callable[[], str], str | None]] = {
    "a long word before a syntax error": (
        lambda: f"{_HEAD}  description: {'a' * 2_000_000}\n  x: [",
        "yaml-syntax",
    ),
    "control characters only": (lambda: "\x01" * 8_000_000, "control-character"),
    "undefined variables": (lambda: _config("    a: " + _listed('"${NOPE}"', 50_000)), "undefined-variable"),
    "aliases of a long block under sensitive keys": (
        lambda: _config("    a: &a |\n" + "      x\n" * 40_000 + "    l:\n" + "    - token: *a\n" * 200),
        "secret-in-manifest",
    ),
    "pairs of surrogates outside of double quotes": (lambda: f"{_HEAD}  description: '{_PAIR * 300_000}'\n", None),
    "a long key before many problems": (
        lambda: _config(f"    ? {'k' * 2_000_000}\n    : " + _listed("*u", 50_000)),
        "unknown-alias",
    ),
    "keys that are not text, on one line": (
        lambda: f"{_HEAD}  inferenceConfig: {{{', '.join(['[]: 1'] * 30_000)}, a: {'b' * 8_000_000}}}\n",
        "non-string-key",
    ),
    "aliases of a long text": (
        lambda: _config(f"    a: &a {'b' * 1_000_000}\n    b: " + _listed("*a", 50_000)),
        "too-much-text",
    ),
}


@pytest.mark.parametrize("name", _HOSTILE)
def test_no_file_takes_more_than_linear_time(workspace: Workspace, name: str) -> None:
    """Reading any file ends soon, and its problems are reported."""
    text, rule = _HOSTILE[name]
    workspace.write({"a.yaml": text()})
    rules = {found.rule for found in workspace.load().diagnostics} - {"more-problems"}
    assert rules == ({rule} if rule else set())


def test_surrogate_pairs_outside_double_quotes_are_unchanged(workspace: Workspace) -> None:
    """Outside of double quotes a pair is twelve characters of text, whichever pairs the comments around it contain."""
    upper, lower = "\\uD83D\\uDE00", "\\ud83d\\ude01"
    config = f"    a: | # {lower} {upper}\n      {upper}{lower}\n      {lower}\n    b: '{lower}'\n    c: \"{upper}\"\n"
    workspace.write({"a.yaml": f"{_HEAD}  inferenceConfig:\n{config}"})
    found = workspace.load().state.apps["demo"].inference_config
    assert found is not None
    assert found.config == {"a": f"{upper}{lower}\n{lower}\n", "b": lower, "c": "\U0001f600"}


def test_variables_add_a_bounded_amount_of_text(workspace: Workspace) -> None:
    """A long value that a document references many times is an error and does not fill the memory."""
    workspace.write({"a.yaml": _config("    a: " + _listed('"${LONG}"', 50_000))})
    found = workspace.load(context=Context(name="a", url="", vars={"LONG": "x" * 1_000_000})).diagnostics
    assert {diagnostic.rule for diagnostic in found} == {"too-much-text", "more-problems"}


def test_the_list_of_problems_is_bounded(workspace: Workspace) -> None:
    """The most severe are listed and the others counted: no report is endless, and warnings never hide an error."""
    workspace.write({"a.yaml": _HEAD + "".join(f"  f{number}: 1\n" for number in range(MOST_LISTED + 500))})
    secrets = "".join(f"    token{number}: x\n" for number in range(MOST_LISTED))
    workspace.write({"b.yaml": f"{_HEAD}  inferenceConfig:\n{secrets}".replace("demo", "other")})
    manifests = workspace.load()
    listed = [found for found in manifests.diagnostics if found.severity is not Severity.NOTICE]
    assert [found.severity for found in listed] == [Severity.ERROR] * MOST_LISTED
    (in_file, in_all) = (found for found in manifests.diagnostics if found.rule == "more-problems")
    assert (in_file.origin and in_file.origin.file, in_file.summary) == ("a.yaml", "500 errors more are not listed")
    assert in_all.summary == "1,000 warnings more are not listed"
    assert manifests.has_errors


def test_owners_are_matched_in_linear_time() -> None:
    """A pattern with many `**/` is not slower than others, and has the same meaning."""
    owner = Owner("**/a/" * 20 + "b", ("*",))
    assert not owner.covers("a/" * 200 + "c")
    assert owner.covers("a/" * 200 + "b")
    for pattern, path, covers in (
        ("teams/search/**", "teams/search/a/b.yaml", True),
        ("teams/", "teams/x.yaml", True),
        ("**/x.yaml", "x.yaml", True),
        ("**/x.yaml", "ax.yaml", False),
        ("a/**/b", "a/b", True),
        ("a/*", "a/b/c", False),
        ("?.yaml", "ab.yaml", False),
        ("a**c", "a/b/c", True),
    ):
        assert Owner(pattern, ("*",)).covers(path) is covers, pattern


def test_an_integer_may_have_any_length(workspace: Workspace) -> None:
    """A number beyond the range of floats is read as written."""
    found = read_configuration_text(
        "octosync.yaml", f"maxCanaries: 0x{'f' * 290}\n".encode(), workspace.directory, version=None
    )
    assert (found.diagnostics, found.configuration.max_canaries) == ((), int("f" * 290, 16))
