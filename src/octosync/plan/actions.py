"""Actions: what a plan says will be written. Each class is one write operation of the contract, as a frozen value.

An action carries all that apply sends; apply adds nothing to it and leaves nothing out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar, NamedTuple, TypeAlias

from octosync.model import Address, JsonObject, JsonValue, OptimizationCheck, Origin, Preview, Reason, canonical_json


class Verb(Enum):
    """What people call an action; the value is the plan JSON's `actions` entry."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    ARCHIVE = "archive"
    ENABLE = "enable"
    OPTIMIZE = "optimize"


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
    object as the plan saw it and as it will be, None where there is none. `declared` are the fields that the manifests
    ask for: the part of the answer that must have been kept. `fingerprint` is the live object's, `absent` for none.
    `reason` is for people: apply never branches on it. `protected` says that the app must not lose anything.
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
    fingerprint: str
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
                "fingerprint": self.fingerprint,
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

    `preset` is the policy's name as declared, for people: two presets can expand to the same policy.
    """

    operation: ClassVar[str] = "apps.put_slot"

    preset: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteSlot(BaseAction):
    """Remove one slot (`apps.delete_slot`)."""

    operation: ClassVar[str] = "apps.delete_slot"
    destructive: ClassVar[bool] = True

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

    `pin` is the variant that the manifest declares, where it does. `preview` is what the orchestrator says it would do,
    None where it was not asked or did not say: then `no_preview` is why. `preview_note` says what of this plan the preview
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
