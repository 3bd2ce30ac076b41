"""The models of octosync.yaml. Validation, JSON Schema and `octosync explain` come from them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Final
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field, create_model

from octosync.manifest.config.config import DURATION, MEANING, Configuration, Rate
from octosync.manifest.load.variables import NAME, SECRET_NAMES, may_hold_a_secret
from octosync.manifest.schema.shapes import WHOLE, AnyText, Count, InvalidText, Maybe, Name, ObjectModel, Text
from octosync.model import Judges, NotifyEvent, Sensitivity, Severity
from octosync.plan import DEFAULT_TRAILERS, LIMITS, TRAILERS, Limit
from octosync.plan.guards.freeze import check_cron, check_timezone

Duration = Annotated[str, Text(pattern=DURATION, meaning=MEANING)]
EnvironmentVariable = Annotated[
    str,
    Text(
        pattern=NAME,
        meaning="the name of an environment variable; a secret is never a value in this file",
        rule="secret-in-configuration",
    ),
]
# A commit must not make the controller sign with any secret of its environment, nor POST to any URL in there.
OwnVariable = Annotated[
    str,
    Text(
        pattern=re.compile(
            r"(?!(?:OCTOMIL_API_KEY|OCTOSYNC_(?:ADMIN_TOKEN|PLAN_KEY|STATE_KEY))$)(?:OCTOMIL|OCTOSYNC)_[A-Z0-9_]+"
        ),
        meaning="the name of an environment variable that begins with OCTOMIL_ or OCTOSYNC_ and doesn't hold one of octosync's own keys",
        rule="secret-in-configuration",
    ),
]


_RECEIVER_NOTE: Final = (
    "it contains no user, password or fragment; "
    "if the URL is itself a secret, set urlEnv to the environment variable that holds it"
)


def _check_plane_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise InvalidText("this is not a URL", rule="invalid-url", quotes=False, hides="@" in url) from None
    if "@" in parts.netloc or "?" in url or "#" in url:
        raise InvalidText(
            "the URL of a control plane contains no user, password, query or fragment",
            rule="secret-in-configuration",
            quotes=False,
            notes=("a secret is never a value in octosync.yaml: use tokenEnv or tokenFile",),
            hides=True,  # it may be a password or a key
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"\s", url):
        raise InvalidText("is not an http:// or https:// URL", rule="invalid-url")
    return url


def is_receiver_url(url: str) -> bool:
    """Return whether a URL can receive a POST."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    sound = (
        parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc and not parts.fragment
    )
    return sound and not re.search(r"[^!-~]", url)


def _check_receiver_url(url: str) -> str:
    if not is_receiver_url(url):
        summary = "this is not the http:// or https:// URL of a receiver"
        raise InvalidText(summary, rule="invalid-url", quotes=False, notes=(_RECEIVER_NOTE,))
    return url


def _check_variable(name: str) -> str:
    if may_hold_a_secret(name):
        summary = "looks like a secret; secrets don't belong in manifests"
        raise InvalidText(summary, rule="secret-variable", notes=SECRET_NAMES)
    return name


def _takes(
    key: str, check: Callable[[str], None], note: str, names: Callable[[], Iterable[str]] = tuple
) -> AfterValidator:
    def checked(text: str) -> str:
        try:
            check(text)
        except ValueError as error:
            raise InvalidText(f"is not what `{key}` takes: {error}", notes=(note,), names=sorted(names())) from None
        return text

    return AfterValidator(checked)


class ContextSection(ObjectModel, title="a context"):
    """An item of `contexts`."""

    url: Annotated[Name, AfterValidator(_check_plane_url)] = Field(
        description="the control plane's base URL", examples=["https://api.octomil.com"]
    )
    org: Maybe[Name] = Field(
        None,
        description="the ID of the org; a response that names another org is an error",
        examples=["8f1c5b0e-6d1a-4c5e-9b57-0c70a11ce001"],
    )
    token_env: Maybe[EnvironmentVariable] = Field(
        None, description="the environment variable that holds the API key", examples=["OCTOMIL_API_KEY"]
    )
    token_file: Maybe[Name] = Field(
        None,
        description="the file that holds the API key, read again when it changes",
        examples=["/run/secrets/octomil"],
    )
    kustomize: Maybe[Name] = Field(
        None,
        description="the kustomization that renders this context's manifests",
        examples=["overlays/production"],
    )
    paths: Maybe[list[Name]] = Field(
        None, description="this context's manifests, instead of the common paths", examples=[["apps/"]]
    )
    vars: Maybe[dict[str, AnyText]] = Field(
        None, description="the values of ${NAME} in manifests", examples=[{"CHANNEL": "beta"}]
    )


class OwnerSection(ObjectModel, title="an owner"):
    """An item of `owners`."""

    paths: Name = Field(description="the files, a pattern with * and **", examples=["teams/search/**"])
    apps: list[Name] = Field(min_length=1, description="the apps, patterns with *", examples=[["search-*"]])


def _limit(limit: Limit) -> tuple[Any, Any]:
    """Return the type and the field of a limit."""
    if limit.most is None:
        return Count, Field(limit.default, description=limit.about)
    return float, Field(limit.default, ge=0, le=limit.most, description=limit.about)


# A limit is described by the guard that it belongs to.
_GUARD_FIELDS: dict[str, Any] = {
    **{name: _limit(limit) for name, limit in LIMITS.items()},
    "trailers": (
        list[Annotated[str, Text(choices=TRAILERS)]],
        Field(list(DEFAULT_TRAILERS), description="the guards that a line in a commit message can override"),
    ),
}
GuardsSection = create_model(
    "GuardsSection", __base__=ObjectModel, __doc__="`guards`.", __cls_kwargs__={"title": "guards"}, **_GUARD_FIELDS
)


class FreezeSection(ObjectModel, title="a freeze window"):
    """An item of `freeze`."""

    cron: Annotated[
        str,
        Text(
            pattern=re.compile(r"\s*[0-9A-Za-z*/,#-]+(\s+[0-9A-Za-z*/,#-]+){4}\s*"),
            meaning="a cron expression of five fields, as in `0 18 * * FRI`",
        ),
        _takes(
            "cron",
            check_cron,
            "minute, hour, day of the month, month, day of the week; write a range over the end of the week as a list: FRI,SAT,SUN,MON",
        ),
    ] = Field(
        description="the start of the window: minute, hour, day of the month, month, day of the week",
        examples=["0 18 * * FRI"],
    )
    duration: Duration = Field(
        description="the length of the window, in elapsed time; nothing is applied inside it", examples=["60h"]
    )
    timezone: Annotated[
        str,
        Text(pattern=re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*"), meaning="a time zone such as Europe/Berlin"),
        _takes(
            "timezone",
            check_timezone,
            "zones are named as in the IANA database, such as Europe/Berlin",
            names=available_timezones,
        ),
    ] = Field("UTC", description="the time zone of the cron expression", examples=["Europe/Berlin"])
    exempt: Maybe[list[Name]] = Field(
        None, alias="except", description="apps that are not frozen, as patterns with *", examples=[["sandbox-*"]]
    )


MOST_POLICIES: Final = 100
# No two parts that match spaces follow each other: a long text would take forever.
_TERM: Final = r"\s*[A-Za-z0-9][A-Za-z0-9._/-]*\s*(?:!=|==|=)\s*(?:[A-Za-z0-9._-]+\s*)?"


class PolicySection(ObjectModel, title="a policy"):
    """An item of `policies`."""

    name: Annotated[
        str,
        Text(
            pattern=re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"),
            meaning="at most 63 lower-case letters, digits and dashes",
        ),
    ] = Field(
        description="the name; the guard that rejects violations is policy:NAME",
        examples=["restricted-data-stays-local"],
    )
    judges: Annotated[str, Text(choices=tuple(judges.value for judges in Judges))] = Field(
        Judges.CHANGE.value,
        description="what the rule is evaluated for: each planned change, or each declared app in `validate` and each "
        "changed app in a plan",
    )
    selector: Maybe[
        Annotated[
            str, Text(pattern=re.compile(rf"{_TERM}(?:,{_TERM})*"), meaning="a selector such as team=search,tier!=test")
        ]
    ] = Field(
        None,
        description="the labels of its apps, in the manifests or in the base; the default is all apps",
        examples=["data=restricted"],
    )
    rule: Annotated[
        str, Text(pattern=re.compile(r"[\s\S]{1,4000}"), meaning="an expression of at most 4,000 characters")
    ] = Field(
        description="the condition that must be true, in CEL (https://cel.dev); `octosync explain policies` lists its variables",
        examples=['change.action != "archive" || "retired" in app.labels'],
    )
    severity: Annotated[str, Text(choices=(Severity.ERROR.value, Severity.WARNING.value))] = Field(
        Severity.ERROR.value, description="the effect of a violation: error rejects the change, warning reports it"
    )
    message: Annotated[str, Text(pattern=re.compile(r"[\s\S]{1,500}"), meaning="a text of at most 500 characters")] = (
        Field(
            description="the description of a violation",
            examples=["Only apps with the label `retired` can be archived."],
        )
    )
    link: Maybe[
        Annotated[
            str,
            Text(
                pattern=re.compile(r"https://[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?(?:[/?#][!-~]{0,500})?"),
                meaning="an https:// URL without user and password",
            ),
        ]
    ] = Field(
        None,
        description="the https URL of a page about the policy",
        examples=["https://wiki.example.com/policies/archive"],
    )


class ReceiverSection(ObjectModel, title="a receiver"):
    """An item of `notify`."""

    url: Maybe[Annotated[Name, AfterValidator(_check_receiver_url)]] = Field(
        None,
        description="the URL of the receiver: https, and not on this machine; only its host is shown",
        examples=["https://hooks.example.com/octosync"],
    )
    url_env: Maybe[OwnVariable] = Field(
        None,
        description=("the environment variable that holds the URL, for a URL that is a secret or on this machine"),
        examples=["OCTOSYNC_NOTIFY_URL"],
    )
    events: list[Annotated[str, Text(choices=tuple(event.value for event in NotifyEvent))]] = Field(
        [event.value for event in NotifyEvent], min_length=1, description="the events to send"
    )
    secret_env: Maybe[OwnVariable] = Field(
        None,
        description="the environment variable that holds the secret for signing requests",
        examples=["OCTOSYNC_NOTIFY_SECRET"],
    )


class OperationSection(ObjectModel, title="an operation"):
    """An item of `api.operations`."""

    method: Maybe[Name] = Field(None, description="the HTTP method", examples=["PUT"])
    path: Maybe[Name] = Field(None, description="the path below the API's base", examples=["/apps/{slug}"])


class ApiSection(ObjectModel, title="api"):
    """`api`."""

    operations: Maybe[dict[str, OperationSection]] = Field(
        None,
        description="methods and paths that differ from the expected ones, by operation ID",
        examples=[{"apps.update": {"method": "PUT"}}],
    )
    read_only: Maybe[dict[str, list[Name]]] = Field(
        None,
        description="additional read-only fields, by object; octosync never sends them",
        examples=[{"slot": ["coverage_detail"]}],
    )
    platforms: Maybe[list[Name]] = Field(None, description="additional platforms of targets", examples=[["visionos"]])


class DriftSection(ObjectModel, title="drift"):
    """`drift`."""

    hold: Duration = Field("30m", description="how long drift is held before it is reverted")


class RateSection(ObjectModel, title="rate"):
    """`rate`."""

    requests_per_minute: Maybe[Count] = Field(
        None,
        description="the rate limit in requests per minute, 0 for no limit; "
        "the default is 100, and no limit for a control plane on this machine",
        examples=[100],
    )
    concurrency: Annotated[int, Field(ge=1, le=256), WHOLE] = Field(
        Rate().concurrency, description="the maximum number of concurrent requests"
    )


class ConfigurationFile(ObjectModel, title="octosync.yaml"):
    """octosync.yaml."""

    requires: Maybe[Name] = Field(
        None, description="the versions of octosync that can read this file, such as >=0.1,<1", examples=[">=0.1,<1"]
    )
    contexts: Maybe[dict[str, ContextSection]] = Field(
        None, description="the control planes, by name", examples=[{"local": {"url": "http://127.0.0.1:8787"}}]
    )
    default_context: Maybe[Name] = Field(None, description="the default context", examples=["local"])
    paths: Maybe[list[Name]] = Field(None, description="the manifests, relative to this file", examples=[["apps/"]])
    env: Maybe[
        list[Annotated[str, Text(pattern=NAME, meaning="a variable's name"), AfterValidator(_check_variable)]]
    ] = Field(None, description="the environment variables that manifests can use", examples=[["RELEASE_CHANNEL"]])
    owners: Maybe[list[OwnerSection]] = Field(None, description="which folders can declare which apps")
    guards: Maybe[GuardsSection] = Field(None, description="the limits of the guards")
    freeze: Maybe[list[FreezeSection]] = Field(None, description="the freeze windows, in which nothing is applied")
    policies: Maybe[list[PolicySection]] = Field(None, description="your own rules for changes and apps")
    drift: Maybe[DriftSection] = Field(None, description="how drift is handled")
    max_canaries: Count = Field(
        Configuration().max_canaries, description="the maximum number of canaries that run at the same time"
    )
    notify: Maybe[list[ReceiverSection]] = Field(None, description="where `octosync watch` sends notifications")
    rate: Maybe[RateSection] = Field(None, description="the rate limit")
    sensitive_keys: list[Name] = Field(
        list(Sensitivity().patterns),
        description=(
            "patterns of keys whose values are redacted, instead of the default; numbers, booleans and null are shown"
        ),
    )
    api: Maybe[ApiSection] = Field(
        None, description="differences between the control plane and the API that octosync expects"
    )
