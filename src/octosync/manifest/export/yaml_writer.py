"""Write JSON values as YAML, and apps as manifests in a fixed order.

The YAML has the same values in all YAML readers: a string is plain only if every version of YAML reads it as a string, a
literal block if that is easier to read, and double-quoted otherwise. `${` is escaped, since it is not a variable, and so are
characters that editors hide or interpret. Loading a manifest returns the app, except for labels and annotations, which live
apps don't have.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Final, cast

from octosync.contract import preset_of
from octosync.manifest.schema.models import API_VERSION, APP_WIRE_NAMES, SLOT_WIRE_NAMES, FallbackSpec, PolicySpec
from octosync.manifest.schema.shapes import attributes_of
from octosync.model import Address, App, Deploy, JsonObject, JsonValue, Optimize, Section, Slot, Target

# Starts with a letter, so it is not a number or date; has no special characters of flow style.
_PLAIN: Final = re.compile(r"[^\W\d_](?:[\w ./()+'-]*[\w./()+'-])?")
_OTHER_READERS: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_LONGEST_INLINE: Final = 100  # characters of a list on one line
_STEP: Final = 2

_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_JOINERS: Final = frozenset("\u200c\u200d")  # parts of words and emoji


def entry(name: str, value: JsonValue, indent: int) -> list[str]:
    """Return the lines of `name: value`, indented by `indent` spaces. Objects keep their order."""
    return _after(f"{' ' * indent}{_text(name)}:", value, indent)


def flow(values: Mapping[str, JsonValue]) -> str:
    """Return an object of scalars and lists of scalars on one line: `{platform: ios, identifier: com.example}`."""
    return "{" + ", ".join(f"{_text(name)}: {_inline(value)}" for name, value in values.items()) + "}"


def comment(text: str, indent: int) -> str:
    """Return a text as one line of comment; special characters are escaped."""
    return f"{' ' * indent}# {''.join(letter if _shows(letter) else _escape(letter) for letter in text)}"


def value_text(value: JsonValue) -> str:
    """Return a scalar, or a list of scalars, on one line."""
    return _inline(value)


def under(value: JsonValue, indent: int) -> list[str]:
    """Return the lines of a value whose key is indented by `indent`. The first follows the colon, and may be ""."""
    first, *rest = _after("", value, indent)
    return [first.lstrip(" "), *rest]


def item(value: JsonValue, indent: int) -> list[str]:
    """Return the lines of a list item whose hyphen is indented by `indent`. The first follows the hyphen."""
    first, *rest = _item(value, indent)
    return [first[indent + _STEP :], *rest]


def _after(head: str, value: JsonValue, indent: int) -> list[str]:
    if isinstance(value, Mapping) and value:
        return [head, *_entries(value, indent + _STEP)]
    if isinstance(value, list | tuple) and value and not _fits_on_a_line(value):
        return [head, *(line for element in value for line in _item(element, indent + _STEP))]
    if isinstance(value, str) and (style := literal_style(value)):
        lines = escaped(value).removesuffix("\n").split("\n")
        return [f"{head} {style}", *(f"{' ' * (indent + _STEP)}{line}" if line else "" for line in lines)]
    return [f"{head} {_inline(value)}"]


def _entries(values: Mapping[str, JsonValue], indent: int) -> Iterable[str]:
    return (line for name, value in values.items() for line in entry(name, value, indent))


def _item(value: JsonValue, indent: int) -> list[str]:
    """Return the lines of a list item; its value starts on the line of the hyphen."""
    dash = f"{' ' * indent}-"
    if isinstance(value, Mapping) and value:
        lines = list(_entries(value, indent + _STEP))
    elif isinstance(value, list | tuple) and value and not _fits_on_a_line(value):
        lines = [line for element in value for line in _item(element, indent + _STEP)]
    else:
        return _after(dash, value, indent)
    return [f"{dash} {lines[0].lstrip(' ')}", *lines[1:]]


def _fits_on_a_line(items: Iterable[JsonValue]) -> bool:
    values = list(items)
    if any(isinstance(value, Mapping | list | tuple) and value for value in values):
        return False
    return len(values) <= _LONGEST_INLINE and len(_inline(values)) <= _LONGEST_INLINE


def _inline(value: JsonValue) -> str:
    if isinstance(value, Mapping):
        return flow(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_inline, value))}]"
    if isinstance(value, str):
        return _text(escaped(value))
    if isinstance(value, float):
        # YAML 1.1 reads an exponent without a decimal point as a string.
        return re.sub(r"^(-?\d+)e", r"\1.0e", repr(value))
    return json.dumps(value)


def escaped(text: str) -> str:
    """Return a text with `${` escaped."""
    return text.replace("${", "$${")


def _text(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _OTHER_READERS:
        return text
    return _quoted(text)


def quoted_text(text: str) -> str:
    """Return a text in double quotes."""
    return _quoted(escaped(text))


def _quoted(text: str) -> str:
    return (
        '"' + "".join(_ESCAPES.get(letter) or (letter if _shows(letter) else _escape(letter)) for letter in text) + '"'
    )


def _shows(character: str) -> bool:
    return character.isprintable() or character in _JOINERS


def _escape(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def literal_style(text: str, *, of_one_line: bool = False) -> str:
    """Return `|` or `|-` if a text of several lines (with `of_one_line`, also of one) can be a literal block, else ""."""
    lines = text.removesuffix("\n").split("\n")
    plain = (_shows_in_full(line) for line in lines)
    if (
        ("\n" not in text and not of_one_line)
        or not lines[0]
        or not lines[-1]
        or lines[0].startswith(" ")
        or not all(plain)
    ):
        return ""
    return "|" if text.endswith("\n") else "|-"


def _shows_in_full(line: str) -> bool:
    return all(map(_shows, line)) and not line.endswith(" ") and "\\u" not in line


Notes = Mapping[Address, Sequence[str]]

_SPEC: Final = 2


def manifest_text(app: App, notes: Notes | None = None) -> str:
    """Return an app as YAML: an App document if it is declared, and a document for every child outside of its complete lists.

    `notes` are one-line comments by address: a slot's are at its end, all others at the end of `spec`, or at the start if there
    is no App document.
    """
    writer = _Writer(app, notes or {})
    return "---\n".join("".join(f"{line}\n" for line in lines) for lines in writer.documents())


_NOT_IN_A_NAME: Final = re.compile(r"[^a-z0-9.]+")


class _Writer:
    """Writes one app. Its documents are lists of lines."""

    def __init__(self, app: App, notes: Notes) -> None:
        self._app = app
        self._notes = notes
        self._names: set[tuple[str, str]] = set()

    def documents(self) -> Iterator[list[str]]:
        """Yield the lines of every document."""
        children = list(self._children())
        if self._app.declared:
            yield [*_head("App"), "metadata:", *entry("name", self._app.slug, _SPEC), *self._spec()]
        elif children:
            children[0] = [*self._remarks(0), *children[0]]
        yield from children

    def _children(self) -> Iterator[list[str]]:
        app = self._app
        owner = entry("app", app.slug, _SPEC)
        if Section.TARGETS not in app.complete_sections:
            for target in app.targets:
                fields = (line for item in _target(target).items() for line in entry(*item, _SPEC))
                name = self._name("AppTarget", target.platform, target.identifier)
                yield [*_head("AppTarget"), *name, "spec:", *owner, *fields]
        if Section.SLOTS not in app.complete_sections:
            for slot in app.slots:
                name = self._name("CapabilitySlot", slot.capability)
                yield [*_head("CapabilitySlot"), *name, "spec:", *owner, *self._slot(slot, _SPEC)]
        if Section.INFERENCE_CONFIG not in app.complete_sections and app.inference_config is not None:
            config = entry("config", app.inference_config.config, _SPEC)
            yield [*_head("InferenceConfig"), *self._name("InferenceConfig"), "spec:", *owner, *config]

    def _name(self, kind: str, *parts: str) -> list[str]:
        """Return the lines of `metadata` with a name that no other document of the kind has, as kustomize requires.

        It has no effect. A slug contains no dot, so documents of two apps never have the same name.
        """
        own = (_NOT_IN_A_NAME.sub("-", part.lower()).strip("-.") or "-" for part in parts)
        wanted = ".".join((self._app.slug, *own))
        names = (wanted if number == 1 else f"{wanted}.{number}" for number in count(1))
        name = next(name for name in names if (kind, name) not in self._names)
        self._names.add((kind, name))
        return ["metadata:", *entry("name", name, _SPEC)]

    def _spec(self) -> list[str]:
        app = self._app
        named = ((name, app.fields[wire]) for name, wire in APP_WIRE_NAMES.items() if wire in app.fields)
        lines = [line for name, value in named for line in entry(name, value, _SPEC)]
        if app.archived:
            lines += entry("archived", True, _SPEC)
        if Section.TARGETS in app.complete_sections:
            lines += _list("targets", [[f"    - {flow(_target(target))}"] for target in app.targets])
        if Section.SLOTS in app.complete_sections:
            lines += _list("slots", [_as_item(self._slot(slot, 6)) for slot in app.slots])
        if Section.INFERENCE_CONFIG in app.complete_sections and app.inference_config is not None:
            lines += entry("inferenceConfig", app.inference_config.config, _SPEC)
        remarks = self._remarks(_SPEC)
        return ["spec:", *lines, *remarks] if lines else remarks

    def _slot(self, slot: Slot, indent: int) -> list[str]:
        lines = [line for name, value in _slot_fields(slot) for line in _slot_entry(name, value, indent)]
        if slot.deploy is not None:
            lines += entry("deploy", _deploy(slot.deploy), indent)
        return [*lines, *(comment(note, indent) for note in self._notes.get(slot.address, ()))]

    def _remarks(self, indent: int) -> list[str]:
        """Return the comments that are not about a slot."""
        slots = {slot.address for slot in self._app.slots}
        return [
            comment(note, indent)
            for address in sorted(self._notes)
            if address not in slots
            for note in self._notes[address]
        ]


def _head(kind: str) -> tuple[str, str]:
    return (f"apiVersion: {API_VERSION}", f"kind: {kind}")


def _list(name: str, items: Sequence[Iterable[str]]) -> list[str]:
    if not items:
        return [f"  {name}: []"]
    return [f"  {name}:", *(line for item in items for line in item)]


def _as_item(lines: list[str]) -> list[str]:
    return [f"    - {lines[0].lstrip()}", *lines[1:]]


def _target(target: Target) -> dict[str, JsonValue]:
    return {"platform": target.platform, "identifier": target.identifier}


def _slot_fields(slot: Slot) -> Iterator[tuple[str, JsonValue]]:
    """Yield a slot's fields under their manifest names."""
    fields = slot.fields
    yield "capability", slot.capability
    for name, wire in SLOT_WIRE_NAMES.items():
        if wire in fields:
            policy = wire == "serving_policy"
            yield name, (slot.preset or _policy(fields[wire])) if policy else fields[wire]


def _slot_entry(name: str, value: JsonValue, indent: int) -> list[str]:
    if name != "servingPolicy" or not isinstance(value, Mapping):
        return entry(name, value, indent)
    inner = " " * (indent + 2)
    texts = {key: flow(member) if isinstance(member, Mapping) else value_text(member) for key, member in value.items()}
    return [f"{' ' * indent}{name}:", *(f"{inner}{key}: {text}" for key, text in texts.items())]


def slot_entry(slot: Slot) -> JsonObject:
    """Return a slot as a list item, without `deploy`."""
    return dict(_slot_fields(slot))


def _policy(policy: JsonValue) -> JsonValue:
    """Return a policy as manifests declare it: a preset's name if it equals one, else an object."""
    return preset_of(policy) or policy_object(cast("JsonObject", policy))


def policy_object(policy: JsonObject) -> JsonObject:
    """Return an expanded policy as manifests declare it in full."""
    declared = {key: policy[name] for name, key, _ in attributes_of(PolicySpec) if name in policy}
    fallback = cast("JsonObject", policy["fallback"])
    return {**declared, "fallback": {key: fallback[name] for name, key, _ in attributes_of(FallbackSpec)}}


def _deploy(deploy: Deploy) -> JsonObject:
    fields: dict[str, JsonValue] = {"environments": list(deploy.environments)}
    if deploy.optimize is not Optimize.SUGGEST:
        fields["optimize"] = deploy.optimize.value
    if deploy.min_improvement is not None:
        fields["minImprovement"] = deploy.min_improvement
    if deploy.max_regression is not None:
        fields["maxRegression"] = deploy.max_regression
    return fields
