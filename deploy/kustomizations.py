"""Renders every overlay, alone and with all components that it lacks, as `kubectl apply -k` does."""

from __future__ import annotations

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
    """kubectl is not installed."""


class UnrenderableError(Exception):
    """Kustomize rejects a folder; the text is its error message."""


@dataclass(frozen=True, slots=True)
class Rendering:
    """The objects of an overlay with some components; `name` lists both."""

    name: str
    objects: tuple[Object, ...]

    def only(self, kind: str) -> Object:
        """Return the only object of a kind. Raise `ValueError` if there are none or several."""
        (found,) = [rendered for rendered in self.objects if rendered["kind"] == kind]
        return found


def renderings(tree: Path = KUBERNETES) -> Iterator[Rendering]:
    """Yield every overlay of a tree, alone and with all components that it lacks.

    Raise `MissingKubectlError`, or `UnrenderableError` if kustomize rejects an overlay.
    """
    if shutil.which("kubectl") is None:
        raise MissingKubectlError
    overlays = _folders(tree / "overlays")
    components = _folders(tree / "components")
    with tempfile.TemporaryDirectory() as folder:
        # kustomize reads components only below its own root, so the combinations are in a copy of the tree.
        copy = Path(folder) / "kubernetes"
        shutil.copytree(tree, copy)
        for overlay in overlays:
            included = _included(tree / "overlays" / overlay)
            yield _rendered(copy, overlay, ())
            yield _rendered(copy, overlay, tuple(component for component in components if component not in included))


def _folders(parent: Path) -> list[str]:
    return sorted(path.name for path in parent.iterdir() if path.is_dir())


def _included(overlay: Path) -> frozenset[str]:
    """Return the names of an overlay's own components."""
    kustomization = yaml.safe_load((overlay / "kustomization.yaml").read_text(encoding="utf-8"))
    return frozenset(Path(component).name for component in kustomization.get("components", ()))


def _rendered(tree: Path, overlay: str, components: tuple[str, ...]) -> Rendering:
    name = " + ".join((f"overlays/{overlay}", *(f"components/{component}" for component in components)))
    combined = tree / "combined"
    combined.mkdir(exist_ok=True)
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [f"../overlays/{overlay}"],
        "components": [f"../components/{component}" for component in components],
    }
    (combined / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), encoding="utf-8")
    ended = subprocess.run(  # noqa: S603 — fixed arguments and a temporary folder
        ("kubectl", "kustomize", str(combined)),  # noqa: S607 — the kubectl on the PATH
        capture_output=True,
        check=False,
        text=True,
        env={**os.environ, "KUBECONFIG": os.devnull},
    )
    if ended.returncode:
        raise UnrenderableError(f"{name}: {ended.stderr.strip()}")
    return Rendering(name, tuple(yaml.load_all(ended.stdout, yaml.CSafeLoader)))
