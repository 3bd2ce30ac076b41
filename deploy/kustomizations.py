"""What `kubectl apply -k` would send: every overlay, alone and with each set of components, as kustomize renders it."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

KUBERNETES: Final = Path(__file__).resolve().parent / "kubernetes"
REQUIRED: Final = "OCTOSYNC_REQUIRE_KUBECTL"

Object = dict[str, Any]


class MissingKubectlError(Exception):
    """There is no kubectl, so nothing can be rendered."""


class UnrenderableError(Exception):
    """Kustomize refuses a folder; the text is what it says."""


@dataclass(frozen=True, slots=True)
class Rendering:
    """The objects that come of one overlay and a set of components; `name` says of which."""

    name: str
    objects: tuple[Object, ...]

    def one(self, kind: str) -> Object:
        """Return its only object of a kind. Raises `ValueError` where there are none or several."""
        (found,) = [one for one in self.objects if one["kind"] == kind]
        return found


def renderings(tree: Path = KUBERNETES) -> Iterator[Rendering]:
    """Render every overlay of a tree with every set of its components.

    Raises `MissingKubectlError`, and `UnrenderableError` where kustomize refuses one.
    """
    if shutil.which("kubectl") is None:
        raise MissingKubectlError
    overlays = _folders(tree / "overlays")
    components = _folders(tree / "components")
    with tempfile.TemporaryDirectory() as folder:
        # kustomize reads a component by a path below its own root alone, so what combines them stands in a copy of the tree.
        copy = Path(folder) / "kubernetes"
        shutil.copytree(tree, copy)
        for overlay in overlays:
            for count in range(len(components) + 1):
                for chosen in itertools.combinations(components, count):
                    yield _rendered(copy, overlay, chosen)


def _folders(parent: Path) -> list[str]:
    return sorted(one.name for one in parent.iterdir() if one.is_dir())


def _rendered(tree: Path, overlay: str, components: tuple[str, ...]) -> Rendering:
    name = " + ".join((f"overlays/{overlay}", *(f"components/{one}" for one in components)))
    combined = tree / "combined"
    combined.mkdir(exist_ok=True)
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [f"../overlays/{overlay}"],
        "components": [f"../components/{one}" for one in components],
    }
    (combined / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), encoding="utf-8")
    ended = subprocess.run(  # noqa: S603 — fixed words and a folder made here
        ("kubectl", "kustomize", str(combined)),  # noqa: S607 — the user's own kubectl, wherever it is
        capture_output=True,
        check=False,
        text=True,
        env={**os.environ, "KUBECONFIG": os.devnull},
    )
    if ended.returncode:
        raise UnrenderableError(f"{name}: {ended.stderr.strip()}")
    return Rendering(name, tuple(yaml.load_all(ended.stdout, yaml.CSafeLoader)))
