"""The references of a kustomization, as far as they can be found without knowing its fields."""

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
    """Paths are relative to the kustomization. Absolute ones, URLs, inline patches and invalid YAML are not references."""
    assert _referred(tmp_path, text) == paths


def test_a_named_file_counts_by_its_path(tmp_path: Path) -> None:
    """In `name=path` the path counts, whatever else the text may mean."""
    assert "base/values.env" in _referred(tmp_path, "configMapGenerator: [{files: ['env=../base/values.env']}]")


def test_any_content_is_read_in_bounded_time(tmp_path: Path) -> None:
    """Deeply nested or endlessly repeated content yields few references in a short time."""
    lines = ["a0: &a0 [x, y]", *(f"a{n}: &a{n} [{', '.join(['*a' + str(n - 1)] * 50)}]" for n in range(1, 9))]
    assert _referred(tmp_path, "\n".join(lines)) == {"overlay/x", "overlay/y"}
    numbers = "\n".join(lines).replace("x, y", "1, 2")
    assert _referred(tmp_path, numbers) == {"overlay/1", "overlay/2"}
    merged = [f"a{n}: &a{n} {{<<: [{', '.join(['*a' + str(n - 1)] * 50)}]}}" for n in range(1, 9)]
    assert _referred(tmp_path, "\n".join(("a0: &a0 {k: x}", *merged))) == {"overlay/x"}
    assert _referred(tmp_path, f"a: {'[' * 50}x{']' * 50}") == set()


def test_an_incomplete_read_is_reported(tmp_path: Path) -> None:
    """A caller that needs every path is notified that some are missing."""
    file = tmp_path / "kustomization.yaml"
    for text, is_whole in (
        ("resources: [a]", True),
        ("a\n---\n[", False),
        ("- a\n" * 100_001, False),
        ("#" * 2**21, False),
    ):
        file.write_text(text)
        assert is_read_whole(str(file)) == is_whole


def test_a_changed_stamp_causes_another_read(tmp_path: Path) -> None:
    """With an unchanged stamp the file is not read again. A missing file has no references."""
    file = tmp_path / "kustomization.yaml"
    file.write_text("resources: [a]")
    assert referred(str(file), 1) == {str(tmp_path / "a")}
    file.unlink()
    assert referred(str(file), 1) == {str(tmp_path / "a")}
    assert referred(str(file), 2) == frozenset()
