"""The models of manifests, one for each kind. Validation, JSON Schema and `octosync explain` come from them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import Field

from octosync.contract import APP, CAPABILITIES, ENGINES, ENVIRONMENTS, PLATFORMS, PRESETS
from octosync.contract.resources import ROUTING_MODES, ROUTING_PREFERENCES
from octosync.manifest.schema.shapes import (
    AS_NAME,
    AS_OBJECT,
    NAME_OR_OBJECT,
    AnyText,
    Key,
    Maybe,
    Name,
    ObjectModel,
    Owns,
    Text,
    attributes_of,
)
from octosync.model import Optimize

GROUP: Final = "octosync.dev"
API_VERSION: Final = f"{GROUP}/v1"

PROTECT: Final = f"{GROUP}/protect"
SUSPEND: Final = f"{GROUP}/suspend"

SLUG: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
Slug = Annotated[
    str,
    Text(
        pattern=SLUG,
        meaning="a slug: 1 to 63 lower-case letters, digits and inner hyphens",
        rule="invalid-slug",
    ),
]
# The two are path segments and address parts on the wire.
CapabilityKey = Annotated[
    str,
    Text(
        pattern=re.compile(r"[a-z0-9]([a-z0-9_.-]{0,62})"),
        meaning="a capability key such as `chat` or `text_completion`",
        known=CAPABILITIES,
    ),
]
PlatformName = Annotated[
    str,
    Text(pattern=re.compile(r"[a-z0-9]([a-z0-9_-]{0,62})"), meaning="a platform such as `ios`", known=PLATFORMS),
]


class TargetSpec(ObjectModel, title="a target"):
    """A target of an app."""

    platform: PlatformName = Field(
        description="where the app runs: ios, android, macos, linux, windows or browser",
    )
    identifier: Name = Field(
        description="bundle id, package name or, for browser, origin; unique with the platform in the org",
        examples=["com.acme.notes"],
    )


class FallbackSpec(ObjectModel, title="a serving policy's fallback"):
    """`fallback` of a serving policy."""

    allow_cloud_fallback: bool = Field(description="whether a request may go to the cloud instead")
    allow_local_fallback: bool = Field(description="whether a request may run on the device instead")


class PolicySpec(ObjectModel, title="a serving policy"):
    """`servingPolicy` of a slot, as an object."""

    routing_mode: Annotated[str, Text(choices=ROUTING_MODES)] = Field(description="auto, local_only or cloud_only")
    routing_preference: Maybe[Annotated[str, Text(choices=ROUTING_PREFERENCES)]] = Field(
        None, description="local, performance or cloud; with routingMode auto only"
    )
    fallback: FallbackSpec = Field(description="where a request may go when its first choice fails")


Policy = Annotated[
    Annotated[str, Text(choices=tuple(PRESETS)), AS_NAME] | Annotated[PolicySpec, AS_OBJECT], NAME_OR_OBJECT
]


class DeploySpec(ObjectModel, title="a slot's deploy"):
    """`deploy` of a slot."""

    environments: list[Annotated[str, Text(choices=ENVIRONMENTS)]] = Field(
        min_length=1, description="where the capability is to be enabled"
    )
    optimize: Annotated[str, Text(choices=tuple(choice.value for choice in Optimize))] = Field(
        Optimize.SUGGEST.value,
        description="how far to go when a better variant exists: suggest shows it in the plan, auto starts the canary",
    )
    min_improvement: float = Field(
        0,
        ge=0,
        le=1,
        description="the relative improvement from which auto acts: 0.05 is five percent",
        examples=[0.05],
    )


class SlotSpec(ObjectModel, title="a slot"):
    """A slot of an app."""

    capability: CapabilityKey = Field(description="what the slot does, one slot each: chat, vision, tts, …")
    variant: Annotated[Name, Owns("the slot's variant; auto owns none")] = Field(
        "auto",
        description="auto (Octomil chooses, and its choice is kept) or a catalog variant's id",
        examples=["phi-4-mini-q4"],
    )
    serving_policy: Annotated[Maybe[Policy], Owns("the whole policy")] = Field(
        None, description="a preset or the whole policy; absent: live's is kept, and a new slot gets local_first"
    )
    preferred_engines: Annotated[
        Maybe[list[Annotated[str, Text(known=ENGINES)]]], Owns("the whole list, in its order")
    ] = Field(None, description="engines, best first", examples=[["coreml", "mlx"]])
    public_client_allowed: Annotated[Maybe[bool], Owns("that field of the slot")] = Field(
        None, description="whether clients with a publishable key may use the slot"
    )
    bindings: Annotated[
        Maybe[list[dict[str, Any]]], Owns("the whole list, each compared by the fields that it declares")
    ] = Field(
        None,
        description="wire objects, sent as they are; their order has no meaning",
        examples=[[{"binding_key": "primary"}]],
    )
    deploy: Annotated[Maybe[DeploySpec], Owns("that the capability is deployed there; there is no API to undeploy")] = (
        Field(None, description="where to enable the capability; absent: configured and never deployed")
    )


# What the API calls the fields that a slot is sent with: as their attributes, but for the variant.
SLOT_WIRE_NAMES: Final = {
    key: "model_variant_id" if key == "variant" else name
    for name, key, _ in attributes_of(SlotSpec)
    if key not in ("capability", "deploy")
}


Config = Annotated[dict[str, Any] | None, Owns("the whole object: live keys that it lacks are removed")]
_CONFIG_EXAMPLE: Final = {"model": "@app/notes/chat", "parameters": {"temperature": 0.2}}


class AppSpec(ObjectModel, title="an app"):
    """`spec` of an App."""

    name: Annotated[Maybe[Name], Owns("the app's name")] = Field(
        None,
        description="the app's display name; absent: not owned, and a new app is called by its slug",
        examples=["Notes"],
    )
    description: Annotated[Maybe[AnyText], Owns("the app's description")] = Field(
        None, description="what the app is; absent: not owned", examples=["Voice notes that answer back"]
    )
    archived: Annotated[bool, Owns("that the app is live")] = Field(
        False, description="true archives the app: archiving can't be undone"
    )
    targets: Annotated[
        Maybe[list[TargetSpec]],
        Key(("platform", "identifier")),
        Owns("the whole list: a live target that is not in it is deleted"),
    ] = Field(None, description="the whole list of the app's targets; [] deletes all")
    slots: Annotated[
        Maybe[list[SlotSpec]],
        Key(("capability",)),
        Owns("the whole list: a live slot that is not in it is deleted"),
    ] = Field(None, description="the whole list of the app's slots; [] deletes all")
    inference_config: Config = Field(
        None,
        description="the whole inference config, sent as it is; null deletes it",
        examples=[_CONFIG_EXAMPLE],
    )


# The wire names of an app's own fields, by their keys in manifests.
APP_WIRE_NAMES: Final = {key: name for name, key, _ in attributes_of(AppSpec) if name in APP.writable}


class _OfApp(ObjectModel):
    app: Slug = Field(description="the slug of the app that it belongs to", examples=["notes"])


class AppTargetSpec(TargetSpec, _OfApp, title="an AppTarget"):
    """`spec` of an AppTarget."""


class CapabilitySlotSpec(SlotSpec, _OfApp, title="a CapabilitySlot"):
    """`spec` of a CapabilitySlot."""


class InferenceConfigSpec(_OfApp, title="an InferenceConfig"):
    """`spec` of an InferenceConfig."""

    config: Config = Field(description="the whole inference config; null deletes it", examples=[_CONFIG_EXAMPLE])


class Metadata(ObjectModel, title="metadata"):
    """`metadata` of a document."""

    name: Maybe[AnyText] = Field(None, description="a name for people", examples=["notes"])
    namespace: Any = Field(None, description="accepted and ignored", examples=["default"])
    labels: Maybe[dict[str, AnyText]] = Field(
        None, description="for selectors and policies; never sent", examples=[{"team": "search"}]
    )
    annotations: Maybe[dict[str, AnyText]] = Field(
        None, description=f"{PROTECT}, {SUSPEND}, and others, which are ignored", examples=[{PROTECT: "true"}]
    )


class AppMetadata(Metadata, title="metadata"):
    """`metadata` of an App."""

    name: Slug = Field(description="the app's slug", examples=["notes"])


class _Manifest(ObjectModel):
    api_version: Annotated[str, Text(choices=(API_VERSION,))] = Field(description=API_VERSION)
    kind: Annotated[str, Text()]
    metadata: Maybe[Metadata] = Field(None, description="name, labels, annotations")


class AppManifest(_Manifest, title="a document of kind App"):
    """A document of kind App."""

    kind: Annotated[str, Text(choices=("App",))] = Field(description="App")
    metadata: AppMetadata = Field(description="name, labels, annotations")
    spec: Maybe[AppSpec] = Field(None, description="what is declared")


class AppTargetManifest(_Manifest, title="a document of kind AppTarget"):
    """A document of kind AppTarget."""

    kind: Annotated[str, Text(choices=("AppTarget",))] = Field(description="AppTarget")
    spec: AppTargetSpec = Field(description="what is declared")


class CapabilitySlotManifest(_Manifest, title="a document of kind CapabilitySlot"):
    """A document of kind CapabilitySlot."""

    kind: Annotated[str, Text(choices=("CapabilitySlot",))] = Field(description="CapabilitySlot")
    spec: CapabilitySlotSpec = Field(description="what is declared")


class InferenceConfigManifest(_Manifest, title="a document of kind InferenceConfig"):
    """A document of kind InferenceConfig."""

    kind: Annotated[str, Text(choices=("InferenceConfig",))] = Field(description="InferenceConfig")
    spec: InferenceConfigSpec = Field(description="what is declared")


KINDS: Final[dict[str, type[ObjectModel]]] = {
    "App": AppManifest,
    "AppTarget": AppTargetManifest,
    "CapabilitySlot": CapabilitySlotManifest,
    "InferenceConfig": InferenceConfigManifest,
}
