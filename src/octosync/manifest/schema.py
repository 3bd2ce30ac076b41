"""The manifest schema: the one truth about what each kind may hold, from which checks and JSON Schema both come."""

from __future__ import annotations

import re
from typing import Final

from octosync.contract import CAPABILITIES, ENGINES, ENVIRONMENTS, PLATFORMS
from octosync.contract.policy import PRESETS, ROUTING_MODES, ROUTING_PREFERENCES
from octosync.manifest.shapes import (
    Field,
    Flag,
    Ignored,
    ListOf,
    MapOf,
    Number,
    Opaque,
    Record,
    Shape,
    Text,
    TextOrRecord,
)
from octosync.model import JsonObject, Optimize

GROUP: Final = "octosync.dev"
API_VERSION: Final = f"{GROUP}/v1"

PROTECT: Final = f"{GROUP}/protect"
SUSPEND: Final = f"{GROUP}/suspend"

SLUG: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SLUG = Text(
    pattern=SLUG,
    meaning="a slug: 1 to 63 lower-case letters, digits and inner hyphens",
    rule="invalid-slug",
)
_ANY_TEXT = Text(may_be_empty=True)
_NAME = Text()
# The two are path segments and address parts on the wire.
_CAPABILITY = Text(
    pattern=re.compile(r"[a-z0-9]([a-z0-9_.-]{0,62})"),
    meaning="a capability key such as `chat` or `text_completion`",
    known=CAPABILITIES,
)
_PLATFORM = Text(pattern=re.compile(r"[a-z0-9]([a-z0-9_-]{0,62})"), meaning="a platform such as `ios`", known=PLATFORMS)

_PLATFORM_FIELD = Field(
    shape=_PLATFORM, about="where the app runs: ios, android, macos, linux, windows or browser", required=True
)
_IDENTIFIER_FIELD = Field(
    shape=_NAME,
    about="bundle id, package name or, for browser, origin; unique with the platform in the org",
    required=True,
    example="com.acme.notes",
)
_APP_FIELD = Field(shape=_SLUG, about="the slug of the app that it belongs to", required=True, example="notes")

TARGET: Final = Record(title="a target", fields={"platform": _PLATFORM_FIELD, "identifier": _IDENTIFIER_FIELD})

FALLBACK: Final = Record(
    title="a serving policy's fallback",
    fields={
        "allowCloudFallback": Field(shape=Flag(), about="whether a request may go to the cloud instead", required=True),
        "allowLocalFallback": Field(
            shape=Flag(), about="whether a request may run on the device instead", required=True
        ),
    },
)

POLICY: Final = TextOrRecord(
    text=Text(choices=tuple(PRESETS)),
    record=Record(
        title="a serving policy",
        fields={
            "routingMode": Field(
                shape=Text(choices=ROUTING_MODES), about="auto, local_only or cloud_only", required=True
            ),
            "routingPreference": Field(
                shape=Text(choices=ROUTING_PREFERENCES), about="local, performance or cloud; with routingMode auto only"
            ),
            "fallback": Field(
                shape=FALLBACK, about="where a request may go when its first choice fails", required=True
            ),
        },
    ),
)

DEPLOY: Final = Record(
    title="a slot's deploy",
    fields={
        "environments": Field(
            shape=ListOf(item=Text(choices=ENVIRONMENTS), least=1),
            about="where the capability is to be enabled",
            required=True,
        ),
        "optimize": Field(
            shape=Text(choices=tuple(choice.value for choice in Optimize)),
            about="how far to go when a better variant exists: suggest shows it in the plan, auto starts the canary",
            default=Optimize.SUGGEST.value,
        ),
        "minImprovement": Field(
            shape=Number(least=0, most=1),
            about="the relative improvement from which auto acts: 0.05 is five percent",
            default=0,
            example=0.05,
        ),
    },
)

_CONFIG_EXAMPLE: Final[JsonObject] = {"model": "@app/notes/chat", "parameters": {"temperature": 0.2}}
_CONFIG_OWNS: Final = "the whole object: live keys that it lacks are removed"

_SLOT_FIELDS: Final = {
    "capability": Field(
        shape=_CAPABILITY, about="what the slot does, one slot each: chat, vision, tts, …", required=True
    ),
    "variant": Field(
        shape=_NAME,
        about="auto (Octomil chooses, and its choice is kept) or a catalog variant's id",
        default="auto",
        example="phi-4-mini-q4",
        owns="the slot's variant; auto owns none",
    ),
    "servingPolicy": Field(
        shape=POLICY,
        about="a preset or the whole policy; absent: live's is kept, and a new slot gets local_first",
        owns="the whole policy",
    ),
    "preferredEngines": Field(
        shape=ListOf(item=Text(known=ENGINES)),
        about="engines, best first",
        example=["coreml", "mlx"],
        owns="the whole list, in its order",
    ),
    "publicClientAllowed": Field(
        shape=Flag(), about="whether clients with a publishable key may use the slot", owns="that field of the slot"
    ),
    "bindings": Field(
        shape=ListOf(item=Opaque()),
        about="wire objects, sent as they are; their order has no meaning",
        example=[{"binding_key": "primary"}],
        owns="the whole list, each compared by the fields that it declares",
    ),
    "deploy": Field(
        shape=DEPLOY,
        about="where to enable the capability; absent: configured and never deployed",
        owns="that the capability is deployed there; there is no API to undeploy",
    ),
}

SLOT: Final = Record(title="a slot", fields=_SLOT_FIELDS)

_CONFIG = Opaque(nullable=True)

APP_SPEC: Final = Record(
    title="an app",
    fields={
        "name": Field(
            shape=_NAME,
            about="the app's display name; absent: not owned, and a new app is called by its slug",
            example="Notes",
            owns="the app's name",
        ),
        "description": Field(
            shape=_ANY_TEXT,
            about="what the app is; absent: not owned",
            example="Voice notes that answer back",
            owns="the app's description",
        ),
        "archived": Field(
            shape=Flag(),
            about="true archives the app: there is no way back",
            default=False,
            owns="that the app is live",
        ),
        "targets": Field(
            shape=ListOf(item=TARGET, key=("platform", "identifier")),
            about="the whole list of the app's targets; [] deletes all",
            owns="the whole list: a live target that is not in it is deleted",
        ),
        "slots": Field(
            shape=ListOf(item=SLOT, key=("capability",)),
            about="the whole list of the app's slots; [] deletes all",
            owns="the whole list: a live slot that is not in it is deleted",
        ),
        "inferenceConfig": Field(
            shape=_CONFIG,
            about="the whole inference config, sent as it is; null deletes it",
            example=_CONFIG_EXAMPLE,
            owns=_CONFIG_OWNS,
        ),
    },
)

_SPECS: Final[dict[str, tuple[Record, bool]]] = {
    # kind: its spec, and whether it is needed
    "App": (APP_SPEC, False),
    "AppTarget": (Record(title="an AppTarget", fields={"app": _APP_FIELD, **TARGET.fields}), True),
    "CapabilitySlot": (Record(title="a CapabilitySlot", fields={"app": _APP_FIELD, **_SLOT_FIELDS}), True),
    "InferenceConfig": (
        Record(
            title="an InferenceConfig",
            fields={
                "app": _APP_FIELD,
                "config": Field(
                    shape=_CONFIG,
                    about="the whole inference config; null deletes it",
                    required=True,
                    example=_CONFIG_EXAMPLE,
                    owns=_CONFIG_OWNS,
                ),
            },
        ),
        True,
    ),
}


def _metadata(name: Shape, *, required: bool) -> Record:
    return Record(
        title="metadata",
        fields={
            "name": Field(
                shape=name,
                about="the app's slug" if required else "a name for people",
                required=required,
                example="notes",
            ),
            "namespace": Field(shape=Ignored(), about="accepted and ignored", example="default"),
            "labels": Field(
                shape=MapOf(value=_ANY_TEXT), about="for selectors and policies; never sent", example={"team": "search"}
            ),
            "annotations": Field(
                shape=MapOf(value=_ANY_TEXT),
                about=f"{PROTECT}, {SUSPEND}, and others, which are ignored",
                example={PROTECT: "true"},
            ),
        },
    )


def _document(kind: str, spec: Record, *, spec_required: bool) -> Record:
    app = kind == "App"
    return Record(
        title=f"a document of kind {kind}",
        fields={
            "apiVersion": Field(shape=Text(choices=(API_VERSION,)), about=API_VERSION, required=True),
            "kind": Field(shape=Text(choices=(kind,)), about=kind, required=True),
            "metadata": Field(
                shape=_metadata(_SLUG if app else _ANY_TEXT, required=app),
                about="name, labels, annotations",
                required=app,
            ),
            "spec": Field(shape=spec, about="what is declared", required=spec_required),
        },
    )


KINDS: Final[dict[str, Record]] = {
    kind: _document(kind, spec, spec_required=required) for kind, (spec, required) in _SPECS.items()
}
