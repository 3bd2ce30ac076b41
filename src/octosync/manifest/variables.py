"""Variables: `${NAME}` and `${NAME:=default}` in scalar values, replaced after parsing and never parsed again.

The environment is an argument: this room does not read the process's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from octosync.manifest.findings import Reporter
from octosync.manifest.nodes import Document, Reported, Scalar, path_of
from octosync.manifest.source import NOT_PRINTABLE

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)(\})?")
_INSIDE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::=(.*))?", re.DOTALL)
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET_WORDS = ("KEY", "TOKEN", "SECRET", "PASSWORD")


def names_a_secret(name: str) -> bool:
    """Say whether a variable's name suggests that its value is a secret."""
    return any(word in name.upper() for word in _SECRET_WORDS)


def variables_in(text: str) -> list[str]:
    """Return the names of the variables that a text refers to, in order."""
    insides = (_INSIDE.fullmatch(found[1]) for found in _REFERENCE.finditer(text) if found.group() != "$${")
    return [inside[1] for inside in insides if inside is not None]


@dataclass(frozen=True, slots=True)
class Variables:
    """What manifests may refer to: the context's own `values`, and the `allowed` names of the `environment`."""

    values: Mapping[str, str] = field(default_factory=dict)
    allowed: frozenset[str] = frozenset()
    environment: Mapping[str, str] = field(default_factory=dict)

    def lookup(self, name: str) -> str | None:
        """Return a variable's value, None where it is not allowed or not set."""
        if name in self.values:
            return self.values[name]
        return self.environment.get(name) if name in self.allowed else None

    def replace(self, document: Document, reporter: Reporter) -> None:
        """Replace all references in the values of one document."""
        for scalar in document.templates:
            if isinstance(scalar.value, str):
                scalar.value = _Replacing(self, document, scalar, reporter).replaced(scalar.value)


class _Replacing:
    """Replaces the references in one scalar, and reports those that can't be."""

    def __init__(self, variables: Variables, document: Document, at: Scalar, reporter: Reporter) -> None:
        self._variables = variables
        self._document = document
        self._at = at
        self._reporter = reporter
        self._failed = False

    def replaced(self, text: str) -> str:
        """Return the text with its references replaced."""
        found = _REFERENCE.sub(self._value, text)
        return Reported(text) if self._failed else found

    def _value(self, found: re.Match[str]) -> str:
        if found.group() == "$${":
            return "${"
        inside = _INSIDE.fullmatch(found[1]) if found[2] else None
        if inside is None:
            summary = f"{self._reporter.quote(found.group(), self._at)} is no reference to a variable"
            notes = ("write ${NAME} or ${NAME:=default}; $${ stands for a literal ${",)
            return self._fail("malformed-variable", summary, notes)
        name, default = inside[1], inside[2]
        if names_a_secret(name):
            summary = f"`{name}` sounds like a secret, and secrets don't belong in manifests"
            notes = ("names that contain KEY, TOKEN, SECRET or PASSWORD are refused",)
            return self._fail("secret-variable", summary, notes)
        value = self._variables.lookup(name)
        if default is not None and not value:
            value = default
        if value is None:
            why = (self._why_undefined(name), f"a default: ${{{name}:=value}}")
            return self._fail("undefined-variable", f"variable `{name}` is not defined", why)
        if NOT_PRINTABLE.search(value):
            return self._fail("control-character", f"the value of variable `{name}` holds a control character", ())
        return value

    def _why_undefined(self, name: str) -> str:
        if name in self._variables.allowed:
            return "the environment doesn't set it"
        if name in self._variables.environment:
            return f"the environment sets it, and nothing allows it: --env {name}, or env in octosync.yaml"
        return f"add it to the context's vars in octosync.yaml, or allow it with --env {name}"

    def _fail(self, rule: str, summary: str, notes: tuple[str, ...]) -> str:
        self._failed = True
        path = path_of(self._document.root, self._at) or ""
        self._reporter.report(rule, self._at, summary, path=path, notes=notes)
        return ""
