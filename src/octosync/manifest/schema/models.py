"""The models of manifests, one for each kind. Validation, JSON Schema and `octosync explain` come from them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from octosync.contract import APP, CAPABILITIES, ENGINES, ENVIRONMENTS, PLATFORMS, PRESETS
from octosync.contract.resources import ROUTING_MODES, ROUTING_PREFERENCES
from octosync.manifest.schema.shapes import (
    AnyText,
    Bounds,
    Key,
    Maybe,
    Name,
    ObjectModel,
    Owns,
    Text,
    attributes_of,
    field,
)
from octosync.model import MAX_REGRESSION, Optimize

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
    Text(
        pattern=re.compile(r"[a-z0-9]([a-z0-9_-]{0,62})"),
        meaning="a platform such as `ios`",
        known=PLATFORMS,
        others="others are an error, unless `api.platforms` of octosync.yaml lists them",
    ),
]


class TargetSpec(ObjectModel, title="a target"):
    """A target of an app."""

    platform: PlatformName = field(
        description="the platform of the target: ios, android, macos, linux, windows or browser",
    )
    identifier: Name = field(
        description="the bundle ID, package name or, for browser, origin; unique in the org together with the platform",
        example="com.acme.notes",
    )


class FallbackSpec(ObjectModel, title="a serving policy's fallback"):
    """`fallback` of a serving policy."""

    allow_cloud_fallback: bool = field(description="whether a request can fall back to the cloud")
    allow_local_fallback: bool = field(description="whether a request can fall back to the device")


class PolicySpec(ObjectModel, title="a serving policy"):
    """`servingPolicy` of a slot, as an object."""

    routing_mode: Annotated[str, Text(choices=ROUTING_MODES)] = field(
        description="the routing mode: auto, local_only or cloud_only"
    )
    routing_preference: Maybe[Annotated[str, Text(choices=ROUTING_PREFERENCES)]] = field(
        None, description="the preference of routing mode auto: local, performance or cloud"
    )
    fallback: FallbackSpec = field(description="where a request can be routed if its first choice fails")


Policy = Annotated[str, Text(choices=tuple(PRESETS))] | PolicySpec


class DeploySpec(ObjectModel, title="a slot's deploy"):
    """`deploy` of a slot."""

    environments: Annotated[list[Annotated[str, Text(choices=ENVIRONMENTS)]], Bounds(1)] = field(
        description="the environments in which the capability is enabled"
    )
    optimize: Annotated[str, Text(choices=tuple(choice.value for choice in Optimize))] = field(
        Optimize.SUGGEST.value,
        description="what to do if a better variant exists: suggest shows it in the plan, auto starts a canary, never ignores it",
    )
    min_improvement: Annotated[float, Bounds(0, 1)] = field(
        0,
        description="the relative improvement from which auto starts a canary: 0.05 is 5%",
        example=0.05,
    )
    max_regression: Annotated[float, Bounds(0, 1)] = field(
        MAX_REGRESSION,
        description="how much worse any metric may get, so that auto starts a canary: 0.1 is 10%",
        example=0.02,
    )


class SlotSpec(ObjectModel, title="a slot"):
    """A slot of an app."""

    capability: CapabilityKey = field(
        description="the capability of the slot, such as chat, vision or tts; an app has at most one slot for each"
    )
    variant: Annotated[Name, Owns("the slot's variant; auto owns none")] = field(
        "auto",
        description="auto (Octomil chooses the variant, and octosync keeps it) or the ID of a catalog variant",
        example="phi-4-mini-q4",
    )
    serving_policy: Annotated[Maybe[Policy], Owns("the whole policy")] = field(
        None,
        description="a preset or the whole policy; if absent, the live policy is kept, and a new slot gets local_first",
    )
    preferred_engines: Annotated[
        Maybe[list[Annotated[str, Text(known=ENGINES)]]], Owns("the whole list, in its order")
    ] = field(None, description="the engines in order of preference", example=["coreml", "mlx"])
    public_client_allowed: Annotated[Maybe[bool], Owns("this field of the slot")] = field(
        None, description="whether clients with a publishable key can use the slot"
    )
    bindings: Annotated[
        Maybe[list[dict[str, Any]]], Owns("the whole list; each binding is compared by the fields that it declares")
    ] = field(
        None,
        description="the bindings, sent to the API unchanged; their order has no meaning",
        example=[{"binding_key": "primary"}],
    )
    deploy: Annotated[
        Maybe[DeploySpec], Owns("the deployment of the capability in these environments; there is no API to undeploy")
    ] = field(None, description="where to enable the capability; if absent, the slot is configured but never deployed")


# What the API calls the fields that a slot is sent with: as their attributes, but for the variant.
SLOT_WIRE_NAMES: Final = {
    key: "model_variant_id" if key == "variant" else name
    for name, key, _ in attributes_of(SlotSpec)
    if key not in ("capability", "deploy")
}


Config = Annotated[dict[str, Any] | None, Owns("the whole object: live keys that are not in it are removed")]
_CONFIG_EXAMPLE: Final = {"model": "@app/notes/chat", "parameters": {"temperature": 0.2}}


class AppSpec(ObjectModel, title="an app"):
    """`spec` of an App."""

    name: Annotated[Maybe[Name], Owns("the app's name")] = field(
        None,
        description="the display name of the app; if absent, it is not owned, and the name of a new app is its slug",
        example="Notes",
    )
    description: Annotated[Maybe[AnyText], Owns("the app's description")] = field(
        None,
        description="the description of the app; if absent, it is not owned",
        example="Voice notes that answer back",
    )
    archived: Annotated[bool, Owns("whether the app is archived")] = field(
        False, description="true archives the app; this can't be undone"
    )
    targets: Annotated[
        Maybe[list[TargetSpec]],
        Key(("platform", "identifier")),
        Owns("the whole list: a live target that is not in it is deleted"),
    ] = field(None, description="all targets of the app; [] deletes them")
    slots: Annotated[
        Maybe[list[SlotSpec]],
        Key(("capability",)),
        Owns("the whole list: a live slot that is not in it is deleted"),
    ] = field(None, description="all slots of the app; [] deletes them")
    inference_config: Config = field(
        None,
        description="the whole inference config, sent to the API unchanged; null deletes it",
        example=_CONFIG_EXAMPLE,
    )


# The wire names of an app's own fields, by their keys in manifests.
APP_WIRE_NAMES: Final = {key: name for name, key, _ in attributes_of(AppSpec) if name in APP.writable}


class _OfApp(ObjectModel):
    app: Slug = field(description="the slug of its app", example="notes")


class AppTargetSpec(TargetSpec, _OfApp, title="an AppTarget"):
    """`spec` of an AppTarget."""


class CapabilitySlotSpec(SlotSpec, _OfApp, title="a CapabilitySlot"):
    """`spec` of a CapabilitySlot."""


class InferenceConfigSpec(_OfApp, title="an InferenceConfig"):
    """`spec` of an InferenceConfig."""

    config: Config = field(description="the whole inference config; null deletes it", example=_CONFIG_EXAMPLE)


class Metadata(ObjectModel, title="metadata"):
    """`metadata` of a document."""

    name: Maybe[AnyText] = field(None, description="a name for readers, without effect", example="notes")
    namespace: Any = field(None, description="ignored; accepted for tools that set it", example="default")
    labels: Maybe[dict[str, AnyText]] = field(
        None, description="labels for selectors and policies; octosync doesn't send them", example={"team": "search"}
    )
    annotations: Maybe[dict[str, AnyText]] = field(
        None, description=f"{PROTECT} and {SUSPEND}; other annotations are ignored", example={PROTECT: "true"}
    )


class AppMetadata(Metadata, title="metadata"):
    """`metadata` of an App."""

    name: Slug = field(description="the app's slug", example="notes")


class _Manifest(ObjectModel):
    api_version: Annotated[str, Text(choices=(API_VERSION,))] = field(description=API_VERSION)
    kind: Annotated[str, Text()]
    metadata: Maybe[Metadata] = field(None, description="name, labels and annotations")


class AppManifest(_Manifest, title="a document of kind App"):
    """A document of kind App."""

    kind: Annotated[str, Text(choices=("App",))] = field(description="App")
    metadata: AppMetadata = field(description="name, labels and annotations")
    spec: Maybe[AppSpec] = field(None, description="the declared state")


class AppTargetManifest(_Manifest, title="a document of kind AppTarget"):
    """A document of kind AppTarget."""

    kind: Annotated[str, Text(choices=("AppTarget",))] = field(description="AppTarget")
    spec: AppTargetSpec = field(description="the declared state")


class CapabilitySlotManifest(_Manifest, title="a document of kind CapabilitySlot"):
    """A document of kind CapabilitySlot."""

    kind: Annotated[str, Text(choices=("CapabilitySlot",))] = field(description="CapabilitySlot")
    spec: CapabilitySlotSpec = field(description="the declared state")


class InferenceConfigManifest(_Manifest, title="a document of kind InferenceConfig"):
    """A document of kind InferenceConfig."""

    kind: Annotated[str, Text(choices=("InferenceConfig",))] = field(description="InferenceConfig")
    spec: InferenceConfigSpec = field(description="the declared state")


KINDS: Final[dict[str, type[ObjectModel]]] = {
    "App": AppManifest,
    "AppTarget": AppTargetManifest,
    "CapabilitySlot": CapabilitySlotManifest,
    "InferenceConfig": InferenceConfigManifest,
}
