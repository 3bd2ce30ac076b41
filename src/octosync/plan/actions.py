"""Actions: the writes of a plan. Each class is one write operation of the contract, as a frozen value.

An action carries all that apply sends; apply adds nothing to it and leaves nothing out.

What differs between two objects, as people and machines read it.

Fingerprints: how a plan remembers what a live object was, and what of that a plan document may hold.

In memory a fingerprint covers every live field, so that apply notices any change. A digest of a secret can be guessed, so
a document's fingerprints leave sensitive values out, or are made with a key.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from operator import attrgetter
from typing import ClassVar, Final, NamedTuple, TypeAlias

from octosync.model import (
    SENSITIVE,
    Address,
    Deployment,
    InferenceConfig,
    JsonObject,
    JsonValue,
    OptimizationCheck,
    Origin,
    Preview,
    Reason,
    Secret,
    Sensitivity,
    Slot,
    Target,
    canonical_json,
    digest_of,
    json_equal,
)


class Verb(Enum):
    """What people call an action; the value is the plan JSON's `actions` entry."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    ARCHIVE = "archive"
    ENABLE = "enable"
    OPTIMIZE = "optimize"

    __hash__ = object.__hash__  # as that of `Kind`


class Absent(Enum):
    """The value of a field that is not there, which is not the same as `null`."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that differs: `path` from the object's root, list elements never apart from their list."""

    path: tuple[str, ...]
    before: JsonValue | Absent
    after: JsonValue | Absent


class ActionKey(NamedTuple):
    """What names an action within a plan: an app can be updated and archived in one, so the address alone does not."""

    address: Address
    verb: Verb


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseAction:
    """What all actions have.

    `parameters` fill the operation's path, `body` is sent as it is (None: no body). `before` and `after` are the whole
    object as the plan saw it and as it will be, None if there is none. `declared` are the fields that the manifests
    declare: the response must contain them unchanged. `fingerprint` is the live object's, `absent` for none.
    `reason` is for people: apply never branches on it. `protected`: the app must not lose anything.
    """

    operation: ClassVar[str]
    destructive: ClassVar[bool] = False

    address: Address
    reason: Reason
    parameters: Mapping[str, str]
    body: JsonObject | None = None
    before: JsonObject | None = None
    after: JsonObject | None = None
    declared: JsonObject = field(default_factory=dict)
    fields: tuple[FieldChange, ...] = ()
    fingerprint: Fingerprint
    depends_on: tuple[ActionKey, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    protected: bool = False
    origin: Origin | None = None

    @property
    def verb(self) -> Verb:
        """What people call it; a write that replaces creates where nothing was."""
        return Verb.UPDATE if self.before is not None else Verb.CREATE

    @property
    def key(self) -> ActionKey:
        """What names this action within its plan."""
        return ActionKey(self.address, self.verb)

    @property
    def substance(self) -> str:
        """Everything of the action that an approval approves, as one comparable text: not reason, source or labels."""
        return canonical_json(
            {
                "address": str(self.address),
                "action": self.verb.value,
                "operation": self.operation,
                "parameters": self.parameters,
                "body": self.body,
                "fingerprint": str(self.fingerprint),
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateApp(BaseAction):
    """Create an app under its slug (`apps.create`)."""

    operation: ClassVar[str] = "apps.create"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateApp(BaseAction):
    """Patch the declared fields of an app that differ (`apps.update`); `body` holds only those."""

    operation: ClassVar[str] = "apps.update"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveApp(BaseAction):
    """Archive an app (`apps.archive`): soft, but without a way back."""

    operation: ClassVar[str] = "apps.archive"
    destructive: ClassVar[bool] = True

    @property
    def verb(self) -> Verb:
        """Archive."""
        return Verb.ARCHIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterTarget(BaseAction):
    """Register a target (`apps.create_target`). `moves_from` names the target's old place where it changes apps."""

    operation: ClassVar[str] = "apps.create_target"

    platform: str
    identifier: str
    moves_from: Address | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveTarget(BaseAction):
    """Remove a target (`apps.delete_target`) by its id. `moves_to` names its new place where it changes apps."""

    operation: ClassVar[str] = "apps.delete_target"
    destructive: ClassVar[bool] = True

    platform: str
    identifier: str
    moves_to: Address | None = None

    @property
    def verb(self) -> Verb:
        """Delete."""
        return Verb.DELETE


@dataclass(frozen=True, slots=True, kw_only=True)
class PutSlot(BaseAction):
    """Create or replace one slot (`apps.put_slot`); `body` is the whole replacement, undeclared live fields included.

    `preset` is the policy's name as declared, for people: two presets can expand to the same policy. `preset_before` is the
    name that the base has for the live policy.
    """

    operation: ClassVar[str] = "apps.put_slot"

    preset: str | None = None
    preset_before: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteSlot(BaseAction):
    """Remove one slot (`apps.delete_slot`). `preset_before` is the name that the base has for the live policy."""

    operation: ClassVar[str] = "apps.delete_slot"
    destructive: ClassVar[bool] = True

    preset_before: str | None = None

    @property
    def verb(self) -> Verb:
        """Delete."""
        return Verb.DELETE


@dataclass(frozen=True, slots=True, kw_only=True)
class PutInferenceConfig(BaseAction):
    """Create or replace the inference config (`apps.put_inference_config`); `body` is the object itself."""

    operation: ClassVar[str] = "apps.put_inference_config"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteInferenceConfig(BaseAction):
    """Delete the inference config (`apps.delete_inference_config`)."""

    operation: ClassVar[str] = "apps.delete_inference_config"
    destructive: ClassVar[bool] = True

    @property
    def verb(self) -> Verb:
        """Delete."""
        return Verb.DELETE


@dataclass(frozen=True, slots=True, kw_only=True)
class EnableCapability(BaseAction):
    """Deploy a slot's capability to an environment (`apps.capabilities.enable`): to the targets that are registered then.

    `pin` is the variant that the manifest declares, where it does. `preview` is the orchestrator's forecast,
    None if it was not asked or gave none: then `no_preview` is why. `preview_note` names what of this plan the preview
    does not know of.
    """

    operation: ClassVar[str] = "apps.capabilities.enable"

    pin: str | None = None
    preview: Preview | None = None
    no_preview: str = ""
    preview_note: str = ""

    @property
    def verb(self) -> Verb:
        """Enable."""
        return Verb.ENABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizeCapability(BaseAction):
    """Start a canary to a better variant (`apps.capabilities.optimize`), which the orchestrator suggested by this name."""

    operation: ClassVar[str] = "apps.capabilities.optimize"

    suggested: str
    check: OptimizationCheck

    @property
    def verb(self) -> Verb:
        """Optimize."""
        return Verb.OPTIMIZE


Action: TypeAlias = (
    CreateApp
    | UpdateApp
    | ArchiveApp
    | RegisterTarget
    | RemoveTarget
    | PutSlot
    | DeleteSlot
    | PutInferenceConfig
    | DeleteInferenceConfig
    | EnableCapability
    | OptimizeCapability
)


_SCALARS: Final = (str, int, float, type(None))


def field_changes(before: JsonObject | None, after: JsonObject | None) -> tuple[FieldChange, ...]:
    """List the fields that differ, sorted by path. A list is one value: an element alone would name a place, not a thing.

    Equality is JSON's (see `json_equal`), except that an `UndisclosedValue` equals its text.
    """
    return tuple(sorted(_field_changes(before or {}, after or {}, ()), key=attrgetter("path")))


def _field_changes(before: JsonObject, after: JsonObject, path: tuple[str, ...]) -> Iterator[FieldChange]:
    for key in before.keys() | after.keys():
        old, new = before.get(key, ABSENT), after.get(key, ABSENT)
        if isinstance(old, Absent) or isinstance(new, Absent):
            yield FieldChange((*path, key), old, new)
        elif isinstance(old, _SCALARS) and isinstance(new, _SCALARS):
            if not json_equal(old, new):
                yield FieldChange((*path, key), old, new)
        elif isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _field_changes(old, new, (*path, key))
        elif canonical_json(old) != canonical_json(new):
            yield FieldChange((*path, key), old, new)


def shown_changes(changes: Iterable[FieldChange], sensitivity: Sensitivity) -> tuple[FieldChange, ...]:
    """Return changes for output: a single one for everything under a sensitive key, whose inner names are secret too.

    Only the values of such a combined change are redacted here.
    """
    changes = tuple(changes)
    if all(sensitivity.covers_none(change.path) for change in changes):  # most objects
        return changes
    shown: dict[tuple[str, ...], FieldChange] = {}
    for change in changes:
        path = sensitivity.cut(change.path)
        if path == change.path:
            shown[path] = change
        else:
            shown[path] = FieldChange(path, SENSITIVE, SENSITIVE)
    return tuple(shown.values())


def value_at(value: JsonValue, path: Iterable[str]) -> JsonValue | Absent:
    """Return the value at a path of keys; `ABSENT` if there is none."""
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return ABSENT
        value = value[key]
    return value


PLAN_KEY: Final = "OCTOSYNC_PLAN_KEY"

_ABSENT: Final = "absent"
_KEY_CHECK: Final = b"octosync plan key"
_CHECK_CHARACTERS: Final = 16


@dataclass(frozen=True, slots=True, eq=False)
class Fingerprint:
    """What a live object was: two fingerprints are equal if their contents are equal JSON. It is compared in memory only.

    `content` is None for an object that is absent. The text, `absent` or the digest of the content, is computed at each call.
    """

    content: JsonValue

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fingerprint) and canonical_json(self.content) == canonical_json(other.content)

    def __hash__(self) -> int:
        return hash(canonical_json(self.content))

    def __str__(self) -> str:
        return _ABSENT if self.content is None else digest_of(self.content)


ABSENT_FINGERPRINT = Fingerprint(None)


@dataclass(frozen=True)
class FingerprintScheme:
    """How the fingerprints of a document are computed: without sensitive values, or of everything with a key."""

    sensitivity: Sensitivity
    key: Secret | None = None

    @cached_property
    def key_check(self) -> str | None:
        """A value that is equal for two documents made with the same key; None without a key."""
        return None if self.key is None else self._keyed(_KEY_CHECK)[:_CHECK_CHARACTERS]

    def digest(self, content: JsonValue) -> str:
        """Return `sha256:…` of the content without sensitive values, or `hmac-sha256:…` of all of it."""
        if self.key is None:
            return digest_of(self.sensitivity.redact(content) if self.sensitivity.occurs_in(content) else content)
        return f"hmac-sha256:{self._keyed(canonical_json(content).encode('utf-8', 'surrogatepass'))}"

    def shown(self, fingerprint: Fingerprint) -> str:
        """Return a fingerprint as a document holds it."""
        return _ABSENT if fingerprint.content is None else self.digest(fingerprint.content)

    def leaves_out(self, content: JsonValue) -> bool:
        """Return whether a digest leaves a sensitive value of the content out."""
        return self.key is None and self.sensitivity.occurs_in(content)

    def _keyed(self, text: bytes) -> str:
        key = self.key.reveal() if self.key is not None else ""
        return hmac.digest(key.encode("utf-8", "surrogateescape"), text, "sha256").hex()


def fingerprint_of(fields: JsonObject | None) -> Fingerprint:
    """Digest all normalised live fields but the read-only ones, undeclared included; `absent` for no object."""
    return ABSENT_FINGERPRINT if fields is None else Fingerprint(fields)


def fingerprint_of_app(fields: JsonObject, *, archived: bool) -> Fingerprint:
    """Digest an app's own fields and whether it is archived."""
    return Fingerprint({"fields": fields, "archived": archived})


def fingerprint_of_target(target: Target | None) -> Fingerprint:
    """Digest a target with its id, since a removal names it by that."""
    if target is None:
        return ABSENT_FINGERPRINT
    return Fingerprint(
        {"platform": target.platform, "identifier": target.identifier, "id": target.server_fields.get("id")}
    )


def fingerprint_of_slot(slot: Slot | None) -> Fingerprint:
    """Digest a slot's fields."""
    return ABSENT_FINGERPRINT if slot is None else Fingerprint(slot.fields)


def fingerprint_of_config(config: InferenceConfig | None) -> Fingerprint:
    """Digest an inference config."""
    return fingerprint_of(None if config is None else config.config)


def fingerprint_of_deployments(deployments: Iterable[Deployment]) -> Fingerprint:
    """Digest what is, or was, deployed of a capability to an environment; `absent` for nothing."""
    known = _deployed(deployments)
    return Fingerprint(known) if known else ABSENT_FINGERPRINT


def fingerprint_of_capability(slot: Slot | None, deployments: Iterable[Deployment]) -> Fingerprint:
    """Digest what an enable or optimize follows from: the slot, and what is deployed of it."""
    return Fingerprint({"slot": None if slot is None else slot.fields, "deployments": _deployed(deployments)})


def _deployed(deployments: Iterable[Deployment]) -> list[JsonValue]:
    """Return the fields of deployments, without those that change during a rollout: its progress and devices."""
    return [
        {
            "id": deployment.id,
            "live": deployment.live,
            "variant": deployment.variant,
            "candidate": deployment.canary.candidate if deployment.canary else None,
            "canary": deployment.canary is not None,
        }
        for deployment in sorted(deployments, key=lambda deployment: deployment.id)
    ]
