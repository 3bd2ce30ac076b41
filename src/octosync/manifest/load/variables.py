"""Variables: `${NAME}` and `${NAME:=default}` in scalar values, replaced after parsing and never parsed again.

The environment is an argument; the process's environment is not read here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from octosync.manifest.schema.rules import Reporter
from octosync.manifest.yaml.nodes import MOST_CHARACTERS, UnreadText, YamlDocument, paths_of
from octosync.manifest.yaml.source import NOT_PRINTABLE

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)(\})?")
_INSIDE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::=(.*))?", re.DOTALL)
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET_WORDS = ("KEY", "TOKEN", "SECRET", "PASSWORD")


# Parts of names of environment variables, between underscores. The environment holds much that manifests never meant.
_SECRET_PARTS = frozenset(
    {"PASS", "PASSWD", "PASSPHRASE", "PWD", "PAT", "CRED", "CREDS", "CREDENTIAL", "CREDENTIALS"}
    | {"AUTH", "PRIVATE", "DSN", "COOKIE", "JWT"}
)
_SECRET_ENDS = ("_URL", "_URI", "_CONNECTION_STRING", "_CONN_STR")
_STATE = "OCTOSYNC_STATE"  # can be a URL
SECRET_NAMES = (
    "names that contain KEY, TOKEN, SECRET or PASSWORD are refused",
    "so are variables of the environment such as …_PASS, …_PAT, …_CRED, …_AUTH, …_PRIVATE, …_DSN and …_URL",
)


def names_a_secret(name: str) -> bool:
    """Return whether a variable's name suggests that its value is a secret."""
    return any(word in name.upper() for word in _SECRET_WORDS)


def may_hold_a_secret(name: str) -> bool:
    """Return whether a variable of the environment may hold a secret, by its name: URLs carry passwords."""
    upper = name.upper()
    parts = set(upper.split("_"))
    return names_a_secret(name) or bool(parts & _SECRET_PARTS) or upper.endswith(_SECRET_ENDS) or upper == _STATE


def variables_in(text: str) -> list[str]:
    """Return the names of the variables that a text refers to, in order."""
    insides = (_INSIDE.fullmatch(found[1]) for found in _REFERENCE.finditer(text) if found.group() != "$${")
    return [inside[1] for inside in insides if inside is not None]


@dataclass(frozen=True, slots=True)
class Variables:
    """The variables of manifests: the context's own `values`, and the `allowed` names of the `environment`."""

    values: Mapping[str, str] = field(default_factory=dict)
    allowed: frozenset[str] = frozenset()
    environment: Mapping[str, str] = field(default_factory=dict)

    def lookup(self, name: str) -> str | None:
        """Return a variable's value; None if it is not allowed or not set."""
        if name in self.values:
            return self.values[name]
        return self.environment.get(name) if name in self.allowed else None

    def taken_from_environment(self, document: YamlDocument) -> bool:
        """Return whether a document refers to a variable of the environment. Call this before `replace`."""
        outside = self.allowed - self.values.keys()
        texts = (scalar.value for scalar in document.templates if isinstance(scalar.value, str)) if outside else ()
        return any(name in outside for text in texts for name in variables_in(text))

    def replace(self, document: YamlDocument, reporter: Reporter) -> None:
        """Replace all references in the values of a document that has any."""
        _Replacement(self, document, reporter).run()


class _Replacement:
    """Replaces the references in a document's scalars, and reports those that can't be replaced."""

    def __init__(self, variables: Variables, document: YamlDocument, reporter: Reporter) -> None:
        self._variables = variables
        self._document = document
        self._reporter = reporter
        self._at = document.templates[0]
        self._failed = False
        self._left = MOST_CHARACTERS

    def run(self) -> None:
        """Replace all of them."""
        for scalar in self._document.templates:
            if isinstance(scalar.value, str):
                self._at, self._failed = scalar, False
                text = _REFERENCE.sub(self._value, scalar.value)
                scalar.value = UnreadText(scalar.value) if self._failed else text

    @cached_property
    def _paths(self) -> Mapping[int, str]:
        return paths_of(self._document.root)

    def _value(self, found: re.Match[str]) -> str:
        if found.group() == "$${":
            return "${"
        inside = _INSIDE.fullmatch(found[1]) if found[2] else None
        if inside is None:
            summary = f"{self._reporter.quote(found.group(), self._at)} is not a variable reference"
            notes = ("write ${NAME} or ${NAME:=default}; $${ is a literal ${",)
            return self._fail("malformed-variable", summary, notes)
        name, default = inside[1], inside[2]
        own = name in self._variables.values
        if names_a_secret(name) or (not own and name in self._variables.allowed and may_hold_a_secret(name)):
            summary = f"`{name}` looks like a secret; secrets don't belong in manifests"
            return self._fail("secret-variable", summary, SECRET_NAMES)
        value = self._variables.lookup(name)
        if default is not None and not value:
            value = default
        if value is None:
            why = (self._why_undefined(name), f"a default: ${{{name}:=value}}")
            return self._fail("undefined-variable", f"variable `{name}` is not defined", why)
        self._left -= len(value)
        if self._left < 0:
            summary = f"variables add more than {MOST_CHARACTERS // 2**20} MiB of text to the document"
            return self._fail("too-much-text", summary, ())
        if NOT_PRINTABLE.search(value):
            return self._fail("control-character", f"the value of variable `{name}` holds a control character", ())
        return value

    def _why_undefined(self, name: str) -> str:
        if name in self._variables.allowed:
            return "the environment doesn't set it"
        if name in self._variables.environment:
            return f"the environment sets it, but it is not allowed: use --env {name}, or env in octosync.yaml"
        return f"add it to the context's vars in octosync.yaml, or allow it with --env {name}"

    def _fail(self, rule: str, summary: str, notes: tuple[str, ...]) -> str:
        self._failed = True
        self._reporter.report(rule, self._at, summary, path=self._paths.get(id(self._at), ""), notes=notes)
        return ""
