"""Kustomizations: rendered by the `kustomize` that is installed, in the work tree or in a revision's files."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from octosync.errors import ConfigError, ManifestError, UsageError
from octosync.manifest.findings import Findings
from octosync.manifest.revision import Revision
from octosync.manifest.sources import SUFFIXES, File, display_name, read_files

_PATIENCE_SECONDS: Final = 300
# Nothing else of the environment is handed on: a generator copies any variable that it is told to into what it renders.
_HANDED_ON: Final = frozenset(
    {"PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "SSH_AUTH_SOCK"}
    | {
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
    }
)
_NAMES: Final = ("kustomization.yaml", "kustomization.yml", "Kustomization")


def render(kustomization: str, environment: Mapping[str, str]) -> File:
    """Render a kustomization's folder. Raises `ConfigError` where no tool is installed, `ManifestError` for what it refuses."""
    folder = Path(kustomization)
    if not any((folder / name).is_file() for name in _NAMES):
        raise UsageError(
            "no-kustomization",
            f"-k {display_name(kustomization)}: there is no kustomization.yaml in that folder",
            hints=("-k takes a kustomization's folder; manifests are named with -f.",),
        )
    shown = f"{display_name(kustomization)} (rendered)"
    real = folder.resolve()
    return File(shown, _rendered(real, shown, Path.cwd(), environment), open_=partial(opened, real))


def render_at(revision: Revision, kustomization: str, environment: Mapping[str, str]) -> File | None:
    """Render a folder as it was in a revision; None where it was no kustomization then. Raises as `render` does.

    All of the revision's files are there while it renders, since a kustomization may reach for any.
    """
    path = revision.path_of(kustomization)
    if not any(revision.holds(f"{path}/{name}" if path else name) for name in _NAMES):
        return None
    shown = f"{revision.label(path)} (rendered)"
    with TemporaryDirectory(prefix="octosync-") as temporary:
        root = Path(temporary).resolve()
        revision.export(root)
        data = _rendered(root / path, shown, root, environment)
        real = (root / path).resolve().relative_to(root)
    return File(shown, data, open_=partial(_opened_at, revision, real))


def opened(folder: Path, path: str) -> File | None:
    """Read a file that a kustomization in a folder took; it is named as from the working directory. None where it can't be."""
    if not path.endswith(SUFFIXES):
        return None
    files = read_files([os.path.relpath(folder / path, Path.cwd())], Path(), Findings())
    return files[0] if len(files) == 1 else None


def _opened_at(revision: Revision, folder: Path, path: str) -> File | None:
    name = os.path.normpath(folder / path)
    data = revision.file(name) if path.endswith(SUFFIXES) else None
    return None if data is None else File(revision.label(name), data)


def _rendered(folder: Path, shown: str, root: Path, environment: Mapping[str, str]) -> bytes:
    try:
        ran = subprocess.run(  # noqa: S603 — fixed words and an absolute path
            (*_tool(environment), str(folder)),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_PATIENCE_SECONDS,
            env={name: value for name, value in environment.items() if name in _HANDED_ON},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError("kustomize-failed", f"{shown}: kustomize could not be run: {error}") from error
    if ran.returncode:
        said = ran.stderr.decode(errors="replace").replace(f"{root}{os.sep}", "").strip().splitlines()
        raise ManifestError(
            "kustomize-failed",
            f"{shown}: kustomize refuses it",
            hints=tuple(f"kustomize says: {line}" for line in said[:5]),
        )
    return ran.stdout


def _tool(environment: Mapping[str, str]) -> tuple[str, ...]:
    path = environment.get("PATH")
    if (found := shutil.which("kustomize", path=path)) is not None:
        return (found, "build")
    if (found := shutil.which("kubectl", path=path)) is not None:
        return (found, "kustomize")
    raise ConfigError(
        "kustomize-missing",
        "a kustomization is to be rendered, and neither `kustomize` nor `kubectl` is on the PATH",
        hints=("Install one, or render elsewhere:  kubectl kustomize DIR | octosync plan -f -",),
    )
