"""What a kustomization refers to, as far as that can be told without knowing its fields."""

from __future__ import annotations

from pathlib import Path

import pytest

from octosync.manifest.load.kustomize import is_read_whole, referred


def _referred(folder: Path, text: str) -> set[str]:
    file = folder / "overlay/kustomization.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return {str(Path(path).relative_to(folder)) for path in referred(str(file), text)}


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("resources: [app.yaml, ../base, ./here/]", {"overlay/app.yaml", "base", "overlay/here"}),
        ("patches: [{path: ../common/patch.yaml}]", {"common/patch.yaml"}),
        ("configMapGenerator: [{files: [../key.txt]}]", {"key.txt"}),
        ("resources: ['https://example.com/x.yaml', 'git::ssh://h/r']", set()),
        ("patches: [{patch: 'a: 1\n\n  b: 2'}]", set()),
        ("commonAnnotations: {root: /, at: /etc}", set()),
        ("resources: [", set()),
        ("", set()),
        ("- 1\n- true", {"overlay/1", "overlay/true"}),
    ],
)
def test_every_text_that_may_be_a_path_counts(tmp_path: Path, text: str, paths: set[str]) -> None:
    """Paths start from the kustomization's folder; absolute ones, URLs, inline patches and what is no YAML refer to nothing."""
    assert _referred(tmp_path, text) == paths


def test_a_named_file_counts_by_its_path(tmp_path: Path) -> None:
    """Of `name=path` the path counts, whatever else the text might be."""
    assert "base/values.env" in _referred(tmp_path, "configMapGenerator: [{files: ['env=../base/values.env']}]")


def test_it_ends_on_whatever_there_is(tmp_path: Path) -> None:
    """What was nested or repeated without end refers to little, and is done with at once."""
    lines = ["a0: &a0 [x, y]", *(f"a{n}: &a{n} [{', '.join(['*a' + str(n - 1)] * 50)}]" for n in range(1, 9))]
    assert _referred(tmp_path, "\n".join(lines)) == {"overlay/x", "overlay/y"}
    numbers = "\n".join(lines).replace("x, y", "1, 2")
    assert _referred(tmp_path, numbers) == {"overlay/1", "overlay/2"}
    merged = [f"a{n}: &a{n} {{<<: [{', '.join(['*a' + str(n - 1)] * 50)}]}}" for n in range(1, 9)]
    assert _referred(tmp_path, "\n".join(("a0: &a0 {k: x}", *merged))) == {"overlay/x"}
    assert _referred(tmp_path, f"a: {'[' * 50}x{']' * 50}") == set()


def test_what_is_too_much_is_not_read_whole(tmp_path: Path) -> None:
    """A caller that depends on every path learns that some are missing."""
    file = tmp_path / "kustomization.yaml"
    for text, is_whole in (
        ("resources: [a]", True),
        ("a\n---\n[", False),
        ("- a\n" * 100_001, False),
        ("#" * 2**21, False),
    ):
        file.write_text(text)
        assert is_read_whole(str(file)) == is_whole


def test_it_is_read_again_when_its_stamp_is_another(tmp_path: Path) -> None:
    """With the stamp of before it is not read again; one that is gone refers to nothing."""
    file = tmp_path / "kustomization.yaml"
    file.write_text("resources: [a]")
    assert referred(str(file), 1) == {str(tmp_path / "a")}
    file.unlink()
    assert referred(str(file), 1) == {str(tmp_path / "a")}
    assert referred(str(file), 2) == frozenset()
