"""The schema of octosync.yaml."""

from __future__ import annotations

import re
from typing import Final

from octosync.manifest.configuration import Configuration, GuardLimits, Rate
from octosync.manifest.durations import DURATION, MEANING
from octosync.manifest.shapes import Field, ListOf, MapOf, Number, Record, Text
from octosync.manifest.variables import NAME
from octosync.model import NotifyEvent, Sensitivity

TRAILERS: Final = (
    "deletes",
    "archives",
    "protected",
    "during-canary",
    "live-traffic",
    "diverged",
    "frozen",
    "rollback",
)

_TEXT = Text()
_TEXTS = ListOf(item=_TEXT)
_COUNT = Number(whole=True)
_DURATION = Text(pattern=DURATION, meaning=MEANING)
_VARIABLE = Text(
    pattern=NAME, meaning="the name of an environment variable; a secret is never a value in this file",
    rule="secret-in-configuration",
)  # fmt: skip
# A commit must not make the controller sign with any secret of its environment, nor POST to any URL in there.
_OWN_VARIABLE = Text(
    pattern=re.compile(r"(?!(?:OCTOMIL_API_KEY|OCTOSYNC_(?:ADMIN_TOKEN|PLAN_KEY|STATE_KEY))$)(?:OCTOMIL|OCTOSYNC)_[A-Z0-9_]+"),
    meaning="the name of an environment variable that begins with OCTOMIL_ or OCTOSYNC_, and is no key of octosync's own",
    rule="secret-in-configuration",
)  # fmt: skip

CONTEXT: Final = Record(
    title="a context",
    fields={
        "url": Field(
            shape=_TEXT, about="the control plane's base URL", required=True, example="https://api.octomil.com"
        ),
        "org": Field(
            shape=_TEXT,
            about="the org that everything is sent to, and that answers must name",
            example="8f1c5b0e-6d1a-4c5e-9b57-0c70a11ce001",
        ),
        "tokenEnv": Field(
            shape=_VARIABLE, about="the environment variable that holds the API key", example="OCTOMIL_API_KEY"
        ),
        "tokenFile": Field(
            shape=_TEXT,
            about="the file that holds the API key, read again when it changes",
            example="/run/secrets/octomil",
        ),
        "kustomize": Field(
            shape=_TEXT, about="the kustomization that renders this context's manifests", example="overlays/production"
        ),
        "paths": Field(shape=_TEXTS, about="this context's manifests, instead of the common paths", example=["apps/"]),
        "vars": Field(
            shape=MapOf(value=Text(may_be_empty=True)),
            about="values of ${NAME} in manifests",
            example={"CHANNEL": "beta"},
        ),
    },
)

_OWNER = Record(
    title="an owner",
    fields={
        "paths": Field(
            shape=_TEXT, about="the files, as a pattern with * and **", required=True, example="teams/search/**"
        ),
        "apps": Field(
            shape=ListOf(item=_TEXT, least=1), about="the apps, as patterns with *", required=True, example=["search-*"]
        ),
    },
)

_GUARDS = Record(
    title="guards",
    fields={
        "maxDeletes": Field(shape=_COUNT, about="removals allowed in a run", default=GuardLimits().max_deletes),
        "maxDeletePercent": Field(
            shape=Number(most=100),
            about="percentage of live objects of a kind that may go",
            default=GuardLimits().max_delete_percent,
        ),
        "minObjects": Field(
            shape=_COUNT, about="live objects from which the percentage counts", default=GuardLimits().min_objects
        ),
        "maxArchives": Field(shape=_COUNT, about="archives allowed in a run", default=GuardLimits().max_archives),
        "trailers": Field(
            shape=ListOf(item=Text(choices=TRAILERS)),
            about="guards that a commit's line may lift",
            default=list(GuardLimits().trailers),
        ),
    },
)

_FREEZE = Record(
    title="a freeze window",
    fields={
        "cron": Field(
            shape=Text(
                pattern=re.compile(r"\s*[0-9A-Za-z*/,#-]+(\s+[0-9A-Za-z*/,#-]+){4}\s*"),
                meaning="a cron expression of five fields, as in `0 18 * * FRI`",
            ),
            about="when the window begins: minute, hour, day of the month, month, day of the week",
            required=True,
            example="0 18 * * FRI",
        ),
        "duration": Field(
            shape=_DURATION,
            about="how long nothing is applied from then on, in elapsed time",
            required=True,
            example="60h",
        ),
        "timezone": Field(
            shape=Text(
                pattern=re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*"), meaning="a time zone such as Europe/Berlin"
            ),
            about="the zone of the cron expression",
            default="UTC",
            example="Europe/Berlin",
        ),
        "except": Field(shape=_TEXTS, about="apps that are not frozen, as patterns with *", example=["sandbox-*"]),
    },
)

_RECEIVER = Record(
    title="a receiver",
    fields={
        "url": Field(
            shape=_TEXT,
            about="where to POST: https, and not this machine; never shown beyond its host",
            example="https://hooks.example.com/octosync",
        ),
        "urlEnv": Field(
            shape=_OWN_VARIABLE,
            about="the environment variable that holds the URL, instead: for one that is itself a secret, or on this machine",
            example="OCTOSYNC_NOTIFY_URL",
        ),
        "events": Field(
            shape=ListOf(item=Text(choices=tuple(one.value for one in NotifyEvent)), least=1),
            about="what it is told of",
            default=[one.value for one in NotifyEvent],
        ),
        "secretEnv": Field(
            shape=_OWN_VARIABLE,
            about="the environment variable that holds the secret which requests are signed with",
            example="OCTOSYNC_NOTIFY_SECRET",
        ),
    },
)

_API = Record(
    title="api",
    fields={
        "operations": Field(
            shape=MapOf(
                value=Record(
                    title="an operation",
                    fields={
                        "method": Field(shape=_TEXT, about="the HTTP method", example="PUT"),
                        "path": Field(shape=_TEXT, about="the path below the API's base", example="/apps/{slug}"),
                    },
                )
            ),
            about="other methods and paths for operations, by operation id",
            example={"apps.update": {"method": "PUT"}},
        ),
        "readOnly": Field(
            shape=MapOf(value=_TEXTS),
            about="further fields that are never sent, by object",
            example={"slot": ["coverage_detail"]},
        ),
        "platforms": Field(
            shape=_TEXTS, about="further platforms that targets may be registered on", example=["visionos"]
        ),
    },
)

CONFIGURATION: Final = Record(
    title="octosync.yaml",
    fields={
        "requires": Field(shape=_TEXT, about="the octosync versions that may read this, as in >=0.1,<1", example=">=0.1,<1"),
        "contexts": Field(shape=MapOf(value=CONTEXT), about="the control planes, by name", example={"local": {"url": "http://127.0.0.1:8787"}}),
        "defaultContext": Field(shape=_TEXT, about="the context that serves when none is chosen", example="local"),
        "paths": Field(shape=_TEXTS, about="the manifests, relative to this file", example=["apps/"]),
        "env": Field(shape=ListOf(item=Text(pattern=NAME, meaning="a variable's name")), about="environment variables that manifests may use", example=["RELEASE_CHANNEL"]),
        "owners": Field(shape=ListOf(item=_OWNER), about="which folder may declare which apps"),
        "guards": Field(shape=_GUARDS, about="what a run may remove"),
        "freeze": Field(shape=ListOf(item=_FREEZE), about="when nothing is applied"),
        "drift": Field(
            shape=Record(title="drift", fields={"hold": Field(shape=_DURATION, about="how long fresh drift is left alone", default="30m")}),
            about="how drift is treated",
        ),
        "maxCanaries": Field(shape=_COUNT, about="canaries that may run at once", default=Configuration().max_canaries),
        "notify": Field(shape=ListOf(item=_RECEIVER), about="whom `octosync watch` tells of what happens"),
        "rate": Field(
            shape=Record(
                title="rate",
                fields={
                    "requestsPerMinute": Field(shape=_COUNT, about="requests a minute, 0 for no limit", default=Rate().requests_per_minute),
                    "concurrency": Field(shape=Number(least=1, most=256, whole=True), about="requests at once", default=Rate().concurrency),
                },
            ),
            about="how fast requests are sent",
        ),
        "sensitiveKeys": Field(shape=_TEXTS, about="keys whose values are never shown, as patterns; replaces the default. Numbers, booleans and null are shown", default=list(Sensitivity().patterns)),
        "api": Field(shape=_API, about="where the control plane differs from what octosync expects"),
    },
)  # fmt: skip
