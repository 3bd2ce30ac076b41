"""Version specifiers: what `requires:` in octosync.yaml asks of octosync's own version."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TERM = re.compile(r"\s*(>=|<=|==|!=|~=|>|<)\s*(\d{1,6}(?:\.\d{1,6}){0,5})(\.\*)?\s*")
_VERSION = re.compile(r"(\d+(?:\.\d+)*)")


@dataclass(frozen=True, slots=True)
class VersionSpecifier:
    """A set of versions: all terms, separated by commas, must hold."""

    text: str
    terms: tuple[tuple[str, tuple[int, ...], bool], ...]  # operator, release, and whether `.*` follows

    def accepts(self, version: str) -> bool:
        """Say whether a version is in the set; a pre-release counts as its release."""
        found = _VERSION.match(version)
        release = tuple(map(int, found[1].split("."))) if found else ()
        return all(_holds(operator, release, wanted, prefix) for operator, wanted, prefix in self.terms)


def parse_specifier(text: str) -> VersionSpecifier:
    """Read `>=0.1,<1`. Raises `ValueError` for anything else."""
    terms = []
    for part in text.split(","):
        found = _TERM.fullmatch(part)
        release = tuple(map(int, found[2].split("."))) if found else ()
        if found is None or (found[3] and found[1] not in ("==", "!=")) or (found[1] == "~=" and len(release) < 2):
            raise ValueError(f"{part.strip()!r} is no version specifier")
        terms.append((found[1], release, bool(found[3])))
    return VersionSpecifier(text, tuple(terms))


def _holds(operator: str, release: tuple[int, ...], wanted: tuple[int, ...], prefix: bool) -> bool:
    length = max(len(release), len(wanted))
    have = release + (0,) * (length - len(release))
    want = wanted + (0,) * (length - len(wanted))
    same = have[: len(wanted)] == wanted if prefix else have == want
    match operator:
        case "==":
            return same
        case "!=":
            return not same
        case "~=":
            return have >= want and have[: len(wanted) - 1] == wanted[:-1]
        case ">=":
            return have >= want
        case "<=":
            return have <= want
        case ">":
            return have > want
        case _:
            return have < want
