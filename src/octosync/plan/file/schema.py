"""The plan document's shape: models that its JSON, its JSON Schema (2020-12) and the reading of a plan file come from.

A field holds what the JSON holds; one with a default is in the JSON only if it was set. A new minor of `format_version` adds
keys, so a key that is not described here is no mistake.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema
from typing_extensions import TypeAliasType

from octosync.model import JsonObject, Kind, Reason, Severity
from octosync.plan.actions import Verb

FORMAT_VERSION: Final = "1.0"
NO_OP: Final = "no-op"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class Document(BaseModel):
    """Base of the JSON objects that octosync writes."""

    model_config = ConfigDict(frozen=True, strict=True, defer_build=True)

    def as_json(self) -> JsonObject:
        """Return the JSON object; its keys are in the order of the fields."""
        return self.model_dump(exclude_unset=True)

    @classmethod
    def json_schema(cls, title: str) -> JsonObject:
        """Return the JSON Schema of what `as_json` returns."""
        schema = cls.model_json_schema(mode="serialization", schema_generator=SchemaGenerator)
        return {"$schema": DIALECT, "title": title, **schema}


class SchemaGenerator(GenerateJsonSchema):
    """Pydantic's schemas in short: no titles, no defaults, and definitions named like the keys of the JSON."""

    def normalize_name(self, name: str) -> str:
        """Return the name of a definition."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", re.sub(r"(Document|Text)$", "", name)).lower()

    def field_title_should_be_set(self, schema: object) -> bool:
        """Return that no field has a title: its name is enough."""
        del schema
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Return the schema without the default."""
        return self.generate_inner(schema["schema"])

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """Return a schema that allows null as a second type."""
        inner = self.generate_inner(schema["schema"])
        if "type" not in inner or "enum" in inner:
            return {"anyOf": [inner, {"type": "null"}]}
        return {**inner, "type": [inner["type"], "null"]}

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """Return the schema of an object, described by its docstring."""
        made = super().model_schema(schema)
        del made["title"]
        return {"description": made.pop("description"), **made}

    def sort(self, value: JsonSchemaValue, parent_key: str | None = None) -> JsonSchemaValue:
        """Keep the order of the fields."""
        del parent_key
        return value


def one_of(values: type[Enum] | Iterable[str]) -> WithJsonSchema:
    """Return the schema of text that is one of some values."""
    names = [value.value if isinstance(value, Enum) else value for value in values]
    return WithJsonSchema({"type": "string", "enum": names})


# Limits are for readers: what octosync writes is not checked against them, since a number that is off must not end a run.
Count = Annotated[int, WithJsonSchema({"type": "integer", "minimum": 0})]
Number = Annotated[int | float, WithJsonSchema({"type": "number"})]
Seconds = Annotated[int | float, WithJsonSchema({"type": "number", "minimum": 0})]
Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Ratios = Annotated[dict[str, object], WithJsonSchema({"type": "object", "additionalProperties": {"type": "number"}})]
AddressText = TypeAliasType(
    "AddressText",
    Annotated[
        str,
        WithJsonSchema(
            {
                "description": "app/<slug>, app/<slug>/target/<platform>:<identifier>, app/<slug>/slot/<capability>, "
                "app/<slug>/inference-config or app/<slug>/capability/<capability>@<environment>.",
                "type": "string",
                "pattern": "^app/",
            }
        ),
    ],
)


class ControlPlaneDocument(Document):
    """The control plane that it is for."""

    url: str
    org_id: str | None
    context: str | None


class InvocationDocument(Document):
    """What was asked for."""

    paths: list[str]
    kustomize: str | None
    apps: list[str]
    selector: str | None
    base: str | None
    changed_only: bool
    optimize: str | None
    previews: bool


class GitDocument(Document):
    """The commit, null outside a repository."""

    revision: str | None
    dirty: bool
    base: str | None


class ManifestsDocument(Document):
    """What it was made from."""

    digest: str = Field(
        description="sha256:<hex> of all that was loaded but sensitive values, or hmac-sha256:<hex> of all of it."
    )
    files: Count
    apps: Count
    git: GitDocument | None


class LeftAloneDocument(Document):
    """What is not touched, and would be told otherwise."""

    orphan_apps: list[str] = Field(description="Apps that the base declared and the manifests no longer do.")
    unmanaged_apps: Count | None = Field(description="Live apps that nobody declares; null where no list was read.")
    suspended: list[str]
    stale: list[AddressText] = Field(description="What has moved on since the base: this branch is to be rebased.")
    released: list[AddressText] = Field(description="Sections that are no longer declared, and left as they are.")
    held: list[AddressText] = Field(description="Fresh drift.")
    unknown_targets: list[AddressText] = Field(description="Targets on platforms that octosync doesn't know.")
    undeclared_deployments: list[AddressText]
    rolled_back: list[AddressText]


class ScopeDocument(Document):
    """What was read."""

    apps: list[str]
    sections: dict[str, Count] = Field(description="How many apps declare each section.")
    left_alone: LeftAloneDocument


class OverrideDocument(Document):
    """A guard that this run loosens."""

    guard: str
    value: str
    source: str = Field(description="By what.")


class FieldChangeDocument(Document):
    """One field."""

    path: Annotated[list[str], WithJsonSchema({"type": "array", "items": {"type": ["string", "integer"]}})] = Field(
        description="The wire's names."
    )
    before: object
    after: object
    sensitive: bool = Field(description="Whether a value is hidden.")


class ChangeDocument(Document):
    """What changes of an object."""

    actions: list[Annotated[str, one_of([*(verb.value for verb in Verb), NO_OP])]] = Field(
        description="What is done: one of them."
    )
    before: object = Field(description="Live, null where it is not there; sensitive values are null.")
    after: object = Field(description="As declared, null where it is to go; sensitive values are null.")
    fields: list[FieldChangeDocument] = Field(description="Field by field.")


class LastChangeDocument(Document):
    """Who changed it last, as far as the activity feed tells."""

    actor: str | None
    at: Time | None
    event: str | None = Field(description="The event's id.")
    of: Annotated[str, one_of(["object", "app"])] = Field(
        description="Whether the event is about the object or only its app."
    )


class OperationDocument(Document):
    """The request that apply sends."""

    id: str
    method: str
    path: str


class AssignmentDocument(Document):
    """Devices of a platform."""

    platform: str | None
    device_count: Count | None


class PreviewDocument(Document):
    """What Octomil says that enabling or optimizing would do; `why` it says nothing where it does not."""

    variant: str | None
    reason: str | None = None
    device_count: Count | None = None
    assignments: list[AssignmentDocument] = []
    warnings: list[str] = []
    note: str | None = None
    why: str | None = None
    expected_improvement: Ratios = {}


class SourceDocument(Document):
    """Where it is declared."""

    file: str
    line: Count | None
    column: Count | None


class ResourceChangeDocument(Document):
    """One change of one object."""

    address: AddressText
    app: str = Field(description="The app's slug.")
    type: Annotated[str, one_of(Kind)] = Field(description="What kind of object it is.")
    name: str
    labels: dict[str, object] = Field(description="The app's labels.")
    change: ChangeDocument
    action_reason: Annotated[str, one_of(Reason)] | None = Field(description="Why it is planned.")
    drift: LastChangeDocument | None
    held_until: Time | None = Field(description="Until when fresh drift is left alone.")
    held: bool = Field(
        default=False, description="True where it is left alone without an end: `held_until` is null then."
    )
    operation: OperationDocument | None
    preview: PreviewDocument | None
    depends_on: list[AddressText] = Field(description="What has to happen before.")
    destructive: bool = Field(description="Whether something is lost for good.")
    source: SourceDocument | None


class BlockedDocument(Document):
    """What a guard refuses."""

    guard: str = Field(description="`octosync explain GUARD` says what it refuses.")
    message: str
    override: str | None = Field(description="The flag that allows it, null where none does.")
    trailer: str | None = Field(description="The line of a commit that allows it.")
    way_out: str | None = Field(description="What helps otherwise.")
    addresses: list[AddressText]


class RecommendationDocument(Document):
    """A better variant that is not rolled out."""

    address: AddressText
    current_variant: str | None
    suggested_variant: str | None
    expected_improvement: Ratios = Field(description="Relative, by metric: 0.05 is five percent.")
    reason: str | None
    waiting: str | None = Field(description="For what it waits, null where it waits for nothing.")


class StartDocument(Document):
    """Where it begins."""

    line: Count
    column: Count | None


class RangeDocument(Document):
    """The place in a file; null if it has none."""

    filename: str
    start: StartDocument


class DiagnosticDocument(Document):
    """One thing to know, from the manifests or from what is live."""

    severity: Annotated[str, one_of(Severity)]
    rule: str = Field(description="`octosync explain RULE` says what it means.")
    summary: str
    range: RangeDocument | None
    path: str = ""
    suggestion: str = ""
    notes: list[str] = []


class ErrorDocument(Document):
    """An app that could not be read, or what else failed the run."""

    app: str | None = Field(description="Null where it is about no app, as with the reference `strict`.")
    reference: str
    message: str
    hints: list[str]
    request_id: str | None


class FingerprintingDocument(Document):
    """What the fingerprints and the digest of the manifests cover."""

    key_check: str | None = Field(
        description="Tells whether OCTOSYNC_PLAN_KEY is the same where the plan is applied; null where it is not set."
    )
    not_covered: list[AddressText] = Field(
        description="Objects with sensitive values, which are left out: a change of these values can't be noticed."
    )


class CostDocument(Document):
    """What the plan took and what applying it takes."""

    requests_used: Count
    requests_to_apply: Count
    seconds_at_rate_limit: Seconds


class SummaryDocument(Document):
    """How many changes of each kind."""

    create: Count
    update: Count
    delete: Count
    enable: Count
    optimize: Count
    archive: Count
    held: Count
    unchanged: Count


class PlanDocument(Document):
    """What `octosync apply` would do, and why."""

    format_version: Annotated[
        str, WithJsonSchema({"type": "string", "pattern": rf"^{FORMAT_VERSION.partition('.')[0]}\.\d+$"})
    ] = Field(description="A new minor adds keys, a new major changes them.")
    octosync_version: str
    timestamp: Time = Field(description="When it was made, in UTC.")
    errored: bool = Field(description="Whether an app could not be read; such a plan is never applied.")
    control_plane: ControlPlaneDocument
    invocation: InvocationDocument
    manifests: ManifestsDocument
    scope: ScopeDocument
    overrides: list[OverrideDocument] = Field(description="Guards that this run loosens.")
    resource_changes: list[ResourceChangeDocument] = Field(description="By address.")
    blocked: list[BlockedDocument] = Field(description="What guards refuse.")
    recommendations: list[RecommendationDocument] = Field(
        description="Better variants that are not rolled out by this plan."
    )
    diagnostics: list[DiagnosticDocument]
    errors: list[ErrorDocument] = Field(description="Apps that could not be read, and what else failed the run.")
    fingerprints: dict[AddressText, str] = Field(description="Of each object as it is live, by address.")
    fingerprinting: FingerprintingDocument
    cost: CostDocument
    summary: SummaryDocument


def plan_schema() -> JsonObject:
    """Return the schema of a plan document, for programs that read `octosync plan -o json` or a plan file."""
    return PlanDocument.json_schema("octosync plan")
