"""Where the shipped examples are."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path

import octosync
from octosync.errors import OctosyncError


@contextmanager
def shipped_manifests() -> Iterator[Path]:
    """Give the folder of the example manifests: the installed package's, else the checkout's. Raises `OctosyncError`."""
    packaged = files(octosync) / "examples" / "manifests"
    checkout = Path(octosync.__file__).parents[2] / "examples" / "manifests"
    if packaged.is_dir():
        with as_file(packaged) as folder:
            yield folder
    elif checkout.is_dir():
        yield checkout
    else:
        raise OctosyncError(
            "examples-missing",
            "this installation of octosync has no example manifests",
            hints=("Install octosync again, from a wheel or a whole checkout.",),
        )


def as_typed(path: Path) -> str:
    """Return a path as it is to be typed here: short where it is below the working directory, quoted where needed."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))
