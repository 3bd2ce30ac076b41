"""The models of the plan document: its JSON and its JSON Schema (2020-12) come from them, and plan files are read by them.

A field contains what the JSON contains; a field with a default is in the JSON only if it was set. A new minor version of
`format_version` adds keys, so unknown keys are ignored.
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
        # pydantic's order of definitions depends on which models were used before.
        definitions = dict(sorted(schema.pop("$defs", {}).items()))
        return {"$schema": DIALECT, "title": title, **schema, **({"$defs": definitions} if definitions else {})}


class SchemaGenerator(GenerateJsonSchema):
    """Pydantic's schemas without titles and defaults, with definitions named like the JSON's keys."""

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
    """Return the schema of a string that is one of these values."""
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
    """The control plane."""

    url: str = Field(description="The URL.")
    org_id: str | None = Field(description="The ID of the org; null if it is not known.")
    context: str | None = Field(description="The context of octosync.yaml; null if none is in use.")


class InvocationDocument(Document):
    """The arguments of the run."""

    paths: list[str] = Field(description="The files and directories of `-f` or octosync.yaml.")
    kustomize: str | None = Field(description="The kustomization of `-k` or octosync.yaml.")
    apps: list[str] = Field(description="The values of `--app`.")
    selector: str | None = Field(description="The value of `-l`.")
    base: str | None = Field(description="The value of `--base`.")
    changed_only: bool = Field(description="Whether `--changed-only` was set.")
    optimize: str | None = Field(description="The value of `--optimize`.")
    previews: bool = Field(description="Whether previews were requested: false with `--no-preview`.")
    objects: list[AddressText] = Field(default=[], description="The only objects that were planned (`--target`).")


class GitDocument(Document):
    """The Git commit of the manifests."""

    revision: str | None = Field(description="The commit that is checked out.")
    dirty: bool = Field(description="Whether the work tree has uncommitted changes; true if that is not known.")
    base: str | None = Field(description="The commit of the base; null without one.")


class ManifestsDocument(Document):
    """The manifests that were loaded."""

    digest: str = Field(
        description="sha256:<hex> of what was loaded, without sensitive values; hmac-sha256:<hex> includes them."
    )
    files: Count = Field(description="The number of files.")
    apps: Count = Field(description="The number of declared apps.")
    git: GitDocument | None


class LeftAloneDocument(Document):
    """What the plan leaves unchanged although it differs or is not declared."""

    orphan_apps: list[str] = Field(description="Apps that the base declares and the manifests do not.")
    unmanaged_apps: Count | None = Field(
        description="Live apps that no manifest declares; null if the apps were not listed."
    )
    suspended: list[str] = Field(description="Apps that an annotation suspends.")
    stale: list[AddressText] = Field(description="Objects that changed since the base: rebase this branch.")
    released: list[AddressText] = Field(description="Objects of sections that are no longer declared.")
    held: list[AddressText] = Field(description="Drift on hold.")
    unknown_targets: list[AddressText] = Field(description="Targets on platforms unknown to octosync.")
    undeclared_deployments: list[AddressText] = Field(
        description="Live deployments in environments that their slot doesn't declare."
    )
    rolled_back: list[AddressText] = Field(description="Declared capabilities whose deployment was rolled back.")
    not_approved: list[str] = Field(
        default=[], description="Apps that differ from the manifests and are not in the plan file that is applied."
    )


class ScopeDocument(Document):
    """The apps and sections of the plan."""

    apps: list[str] = Field(description="The slugs of the planned apps.")
    sections: dict[str, Count] = Field(description="How many apps declare each section.")
    left_alone: LeftAloneDocument


class OverrideDocument(Document):
    """An override of a guard."""

    guard: str = Field(description="The guard.")
    value: str = Field(description="What the override allows: a number, `all`, or `true`.")
    source: str = Field(description="The flag or the commit that sets it.")


class FieldChangeDocument(Document):
    """A changed field."""

    path: Annotated[list[str], WithJsonSchema({"type": "array", "items": {"type": ["string", "integer"]}})] = Field(
        description="The field names of the API."
    )
    before: object = Field(description="The live value.")
    after: object = Field(description="The value after apply.")
    sensitive: bool = Field(description="Whether the values are redacted.")


class ChangeDocument(Document):
    """The change of an object."""

    actions: list[Annotated[str, one_of([*(verb.value for verb in Verb), NO_OP])]] = Field(
        description="The action; exactly one."
    )
    before: object = Field(description="The live state; null if the object does not exist. Sensitive values are null.")
    after: object = Field(
        description="The state after apply; null if the object is deleted. Sensitive values are null."
    )
    fields: list[FieldChangeDocument] = Field(description="The changed fields.")


class LastChangeDocument(Document):
    """The last change of the object in the activity feed."""

    actor: str | None = Field(description="The author; null if the event has none.")
    at: Time | None = Field(description="The time of the event.")
    event: str | None = Field(description="The id of the event.")
    of: Annotated[str, one_of(["object", "app"])] = Field(
        description="Whether the event names the object or only its app."
    )


class OperationDocument(Document):
    """The request that apply sends."""

    id: str = Field(description="The ID of the operation.")
    method: str = Field(description="The HTTP method.")
    path: str = Field(description="The path below the API's base.")


class AssignmentDocument(Document):
    """The number of devices of a platform."""

    platform: str | None = Field(description="The platform.")
    device_count: Count | None = Field(description="The number of its devices.")


class PreviewDocument(Document):
    """Octomil's preview of enabling or optimizing; `why` is the reason if there is none."""

    variant: str | None = Field(description="The variant that Octomil would deploy.")
    reason: str | None = Field(default=None, description="Octomil's reason for the variant.")
    device_count: Count | None = Field(default=None, description="The number of devices that would get it.")
    assignments: list[AssignmentDocument] = Field(default=[], description="The devices by platform.")
    warnings: list[str] = Field(default=[], description="Octomil's warnings.")
    note: str | None = Field(default=None, description="How the variant differs from the manifest.")
    why: str | None = Field(default=None, description="Why there is no preview.")
    expected_improvement: Ratios = Field(default={}, description="Relative improvement by metric: 0.05 is 5%.")


class SourceDocument(Document):
    """The place in the manifests that declares the object."""

    file: str = Field(description="The file.")
    line: Count | None = Field(description="The line; null if it is not known.")
    column: Count | None = Field(description="The column; null if it is not known.")


class ResourceChangeDocument(Document):
    """A planned change of an object."""

    address: AddressText
    app: str = Field(description="The app's slug.")
    type: Annotated[str, one_of(Kind)] = Field(description="The kind of the object.")
    name: str = Field(description="The name of the object in its app.")
    labels: dict[str, object] = Field(description="The app's labels.")
    change: ChangeDocument
    action_reason: Annotated[str, one_of(Reason)] | None = Field(description="The reason of the action.")
    drift: LastChangeDocument | None
    held_until: Time | None = Field(description="The end of the drift's hold.")
    held: bool = Field(
        default=False, description="True if the drift is on hold without an end; `held_until` is null then."
    )
    operation: OperationDocument | None
    preview: PreviewDocument | None
    depends_on: list[AddressText] = Field(description="The objects whose actions must succeed first.")
    destructive: bool = Field(description="Whether the action deletes something that can't be restored.")
    source: SourceDocument | None


class BlockedDocument(Document):
    """The refusal of a guard."""

    guard: str = Field(description="The guard; `octosync explain GUARD` describes it.")
    message: str = Field(description="What the guard rejects.")
    override: str | None = Field(description="The flag that allows the change; null if none does.")
    trailer: str | None = Field(description="The trailer of a commit message that allows the change.")
    way_out: str | None = Field(description="Another way to resolve the refusal.")
    addresses: list[AddressText] = Field(description="The objects whose changes are rejected.")


class PolicyDocument(Document):
    """The result of a policy."""

    name: str = Field(description="The name of the policy.")
    severity: Annotated[str, one_of((Severity.ERROR.value, Severity.WARNING.value))] = Field(
        description="`error` rejects changes, `warning` reports them."
    )
    outcome: Annotated[str, one_of(("passed", "violated", "failed"))] = Field(
        description="passed, violated, or failed: the rule has no value for something."
    )
    judged: Count = Field(description="How many changes or apps the policy has judged.")
    violations: list[AddressText] = Field(description="The objects for which the rule is not true.")
    problem: str | None = Field(description="Why the rule has no value for some of them; null if it has one for all.")


class RecommendationDocument(Document):
    """A better variant that the plan does not roll out."""

    address: AddressText = Field(description="The capability.")
    current_variant: str | None = Field(description="The deployed variant.")
    suggested_variant: str | None = Field(description="The better variant.")
    expected_improvement: Ratios = Field(description="Relative improvement by metric: 0.05 is 5%.")
    reason: str | None = Field(description="Octomil's reason.")
    waiting: str | None = Field(description="What an automatic rollout waits for; null if it does not wait.")


class StartDocument(Document):
    """The start of the range."""

    line: Count = Field(description="The line.")
    column: Count | None = Field(description="The column.")


class RangeDocument(Document):
    """A place in a file."""

    filename: str = Field(description="The file.")
    start: StartDocument


class DiagnosticDocument(Document):
    """A diagnostic of the manifests or of live state."""

    severity: Annotated[str, one_of(Severity)] = Field(description="An error, a warning or a notice.")
    rule: str = Field(description="The rule; `octosync explain RULE` describes it.")
    summary: str = Field(description="The problem, in one sentence.")
    range: RangeDocument | None
    path: str = Field(default="", description="The path of the field, such as `spec.slots[0].variant`.")
    suggestion: str = Field(default="", description="The value that was probably meant.")
    notes: list[str] = Field(default=[], description="What to know or to do, a sentence each.")


class ErrorDocument(Document):
    """An error of an app or of the run."""

    app: str | None = Field(description="The app; null if the error is about no single app, such as `strict`.")
    reference: str = Field(description="The stable name of the error.")
    message: str = Field(description="What happened, in one sentence.")
    hints: list[str] = Field(description="What to do, a sentence each.")
    request_id: str | None = Field(description="The ID of the failed request.")


class FingerprintingDocument(Document):
    """What the fingerprints and the digest of the manifests include."""

    key_check: str | None = Field(
        description="Identifies OCTOSYNC_PLAN_KEY, which must be the same when the plan is applied; null if it is not set."
    )
    not_covered: list[AddressText] = Field(
        description="Objects with sensitive values that are not included: changes of these values are not detected."
    )
    declared: dict[AddressText, str] = Field(
        default={}, description="With a key, the HMAC of each changed object with sensitive values, as it will be."
    )


class CostDocument(Document):
    """The requests of planning and applying."""

    requests_used: Count = Field(description="The number of requests of this plan.")
    requests_to_apply: Count = Field(description="The number of requests of an apply.")
    seconds_at_rate_limit: Seconds = Field(
        description="How long an apply waits for the rate limit. It reads again, and nothing else uses the key."
    )


class SummaryDocument(Document):
    """The number of changes of each kind."""

    create: Count = Field(description="Objects to create.")
    update: Count = Field(description="Objects to update.")
    delete: Count = Field(description="Objects to delete.")
    enable: Count = Field(description="Capabilities to enable.")
    optimize: Count = Field(description="Canaries to start.")
    archive: Count = Field(description="Apps to archive.")
    held: Count = Field(description="Objects whose drift is on hold.")
    unchanged: Count = Field(description="Objects that are as declared.")


class CommitDocument(Document):
    """A commit."""

    revision: str = Field(description="The commit.")
    subject: str = Field(description="The first line of the message.")


class PendingSummaryDocument(Document):
    """The number of pending changes of each kind."""

    create: Count = Field(description="Objects to create.")
    update: Count = Field(description="Objects to update.")
    delete: Count = Field(description="Objects to delete.")
    enable: Count = Field(description="Capabilities to enable.")
    archive: Count = Field(description="Apps to archive.")


class PendingDocument(Document):
    """What is merged and not applied yet: it is no part of the plan, and the next apply makes it, too."""

    applied: str = Field(description="The commit of `--applied`: the last one that was applied in full.")
    attempted: list[str] = Field(description="The revisions of `--attempted`.")
    commits: list[CommitDocument] = Field(
        description="The commits since then that change the files of the pending apps, newest first."
    )
    resource_changes: list[ResourceChangeDocument] = Field(description="The pending changes, by address.")
    apps_not_read: list[str] = Field(description="Apps with pending changes that this run did not read.")
    summary: PendingSummaryDocument


class RunUnderWayDocument(Document):
    """The run that holds the lock of the control plane and org."""

    run: str = Field(description="The ID of the run.")
    actor: str = Field(description="Who started it.")
    host: str = Field(description="Where it runs.")
    revision: str | None = Field(description="The commit of its manifests; null if it is not known.")
    since: Time = Field(description="Since when it holds the lock.")


class HoldDocument(Document):
    """A hold of an app's drift by an operator."""

    app: str = Field(description="The app's slug.")
    until: Time = Field(description="The end of the hold.")
    reason: str = Field(description="Why it is held.")
    at: Time = Field(description="Since when it is held.")


class SuspensionDocument(Document):
    """The suspension of the controller of the control plane and org."""

    at: Time = Field(description="Since when it is suspended.")
    reason: str = Field(description="Why it is suspended.")


class SharedStateDocument(Document):
    """What the shared state contained about the control plane and org when the plan was made."""

    location: str | None = Field(description="The URL of the state, without secrets; null if it is not known.")
    run_under_way: RunUnderWayDocument | None
    suspension: SuspensionDocument | None
    holds: list[HoldDocument] = Field(description="The holds of apps with changes, by app.")
    error: ErrorDocument | None


class PlanDocument(Document):
    """What `octosync apply` would do, and why."""

    format_version: Annotated[
        str, WithJsonSchema({"type": "string", "pattern": rf"^{FORMAT_VERSION.partition('.')[0]}\.\d+$"})
    ] = Field(description="A minor version adds keys, a major version changes them.")
    octosync_version: str = Field(description="The version of octosync that made the plan.")
    timestamp: Time = Field(description="The time of the plan, in UTC.")
    errored: bool = Field(description="Whether an app could not be read; such a plan is never applied.")
    control_plane: ControlPlaneDocument
    invocation: InvocationDocument
    manifests: ManifestsDocument
    scope: ScopeDocument
    overrides: list[OverrideDocument] = Field(description="Overrides of guards.")
    resource_changes: list[ResourceChangeDocument] = Field(description="The changes, by address.")
    blocked: list[BlockedDocument] = Field(description="Refusals of guards.")
    policies: list[PolicyDocument] = Field(default=[], description="The results of the policies of octosync.yaml.")
    recommendations: list[RecommendationDocument] = Field(
        description="Better variants that the plan does not roll out."
    )
    diagnostics: list[DiagnosticDocument] = Field(description="Diagnostics of the manifests and of live state.")
    errors: list[ErrorDocument] = Field(description="Apps that could not be read, and other errors of the run.")
    fingerprints: dict[AddressText, str] = Field(description="The fingerprint of each live object, by address.")
    fingerprinting: FingerprintingDocument
    cost: CostDocument
    summary: SummaryDocument
    pending: PendingDocument | None = Field(
        default=None,
        description="What is merged and not applied yet; only with `--applied`. The plan assumes that it is applied first: "
        "`before` and `fingerprints` are as that leaves the objects.",
    )
    shared_state: SharedStateDocument | None = Field(
        default=None, description="What the shared state contained; missing if the state is a file."
    )


def plan_schema() -> JsonObject:
    """Return the schema of a plan document, for programs that read `octosync plan -o json` or a plan file."""
    return PlanDocument.json_schema("octosync plan")
