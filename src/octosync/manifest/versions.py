"""Version specifiers: what `requires:` in octosync.yaml asks of octosync's own version."""

from __future__ import annotations

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version


def is_allowed(version: str, specifier: str) -> bool:
    """Return whether `>=0.1,<1` allows a version. Raises `ValueError` for what is no specifier.

    A pre-release counts as its release, unless the specifier itself names a pre-release.
    """
    if not all(map(str.strip, specifier.split(","))):
        raise ValueError(f"{specifier!r} has an empty part")
    allowed = SpecifierSet(specifier)
    try:
        found = Version(version)
    except InvalidVersion:
        return False
    return allowed.contains(found if allowed.prereleases else found.base_version, prereleases=True)
