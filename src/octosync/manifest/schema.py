"""The manifest schema: the one truth about what each kind may hold, from which checks and JSON Schema both come."""

from __future__ import annotations

import re
from typing import Final

from octosync.contract import ENVIRONMENTS
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
from octosync.model import Optimize

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
    pattern=re.compile(r"[a-z0-9]([a-z0-9_.-]{0,62})"), meaning="a capability key such as `chat` or `text_completion`"
)
_PLATFORM = Text(pattern=re.compile(r"[a-z0-9]([a-z0-9_-]{0,62})"), meaning="a platform such as `ios`")

_PLATFORM_FIELD = Field(
    shape=_PLATFORM, about="where the app runs: ios, android, macos, linux, windows or browser", required=True
)
_IDENTIFIER_FIELD = Field(
    shape=_NAME,
    about="bundle id, package name or, for browser, origin; unique with the platform in the org",
    required=True,
)
_APP_FIELD = Field(shape=_SLUG, about="the slug of the app that it belongs to", required=True)

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
            about="never, suggest (default) or auto: how far to go when a better variant exists",
        ),
        "minImprovement": Field(
            shape=Number(least=0, most=1), about="the relative improvement from which auto acts: 0.05 is five percent"
        ),
    },
)

_SLOT_FIELDS: Final = {
    "capability": Field(
        shape=_CAPABILITY, about="what the slot does, one slot each: chat, vision, tts, …", required=True
    ),
    "variant": Field(shape=_NAME, about="auto (default: Octomil chooses) or a catalog variant's id"),
    "servingPolicy": Field(shape=POLICY, about="a preset or the whole policy; absent: live's is kept"),
    "preferredEngines": Field(shape=ListOf(item=_NAME), about="engines, best first"),
    "publicClientAllowed": Field(shape=Flag(), about="whether clients with a publishable key may use the slot"),
    "bindings": Field(shape=ListOf(item=Opaque()), about="wire objects, sent as they are; their order has no meaning"),
    "deploy": Field(shape=DEPLOY, about="where to enable the capability; absent: configured and never deployed"),
}

SLOT: Final = Record(title="a slot", fields=_SLOT_FIELDS)

_CONFIG = Opaque(nullable=True)

APP_SPEC: Final = Record(
    title="an app",
    fields={
        "name": Field(shape=_NAME, about="the app's display name; absent: not owned"),
        "description": Field(shape=_ANY_TEXT, about="what the app is; absent: not owned"),
        "archived": Field(shape=Flag(), about="true archives the app: there is no way back"),
        "targets": Field(shape=ListOf(item=TARGET), about="the whole list of the app's targets; [] deletes all"),
        "slots": Field(shape=ListOf(item=SLOT), about="the whole list of the app's slots; [] deletes all"),
        "inferenceConfig": Field(shape=_CONFIG, about="the whole inference config, sent as it is; null deletes it"),
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
                "config": Field(shape=_CONFIG, about="the whole inference config; null deletes it", required=True),
            },
        ),
        True,
    ),
}


def _metadata(name: Shape, *, required: bool) -> Record:
    return Record(
        title="metadata",
        fields={
            "name": Field(shape=name, about="the app's slug" if required else "a name for people", required=required),
            "namespace": Field(shape=Ignored(), about="accepted and ignored"),
            "labels": Field(shape=MapOf(value=_ANY_TEXT), about="for selectors and policies; never sent"),
            "annotations": Field(
                shape=MapOf(value=_ANY_TEXT), about=f"{PROTECT}, {SUSPEND}, and others, which are ignored"
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
