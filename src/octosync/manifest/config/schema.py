"""The models of octosync.yaml. Validation, JSON Schema and `octosync explain` come from them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Annotated, Final
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from octosync.errors import UsageError
from octosync.manifest.config.config import DURATION, MEANING, Configuration, Rate
from octosync.manifest.load.variables import NAME, SECRET_NAMES, may_hold_a_secret
from octosync.manifest.schema.shapes import (
    AnyText,
    Bounds,
    Check,
    Count,
    InvalidText,
    Maybe,
    Name,
    ObjectModel,
    Text,
    field,
)
from octosync.model import Judges, NotifyEvent, Sensitivity, Severity
from octosync.plan import DEFAULT_TRAILERS, LIMITS, TRAILERS
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


def _check_state_url(text: str) -> str:
    from octosync.model.state_url import FORMAT, PASSWORD_SOURCES, parse_state_url

    try:
        url = parse_state_url(text)
    except UsageError as error:
        raise InvalidText(error.message, rule="invalid-url", quotes=False, notes=error.hints, hides=True) from None
    if url is None:
        raise InvalidText(f"this is not a URL such as {FORMAT}", rule="invalid-url", quotes=False, hides=True)
    if url.has_password:
        raise InvalidText(
            "the URL of the state has a password",
            rule="secret-in-configuration",
            quotes=False,
            notes=("a secret is never a value in octosync.yaml", *PASSWORD_SOURCES),
            hides=True,
        )
    if refused := ", ".join(url.refused_in_a_file):
        summary = f"the URL of the state has {refused}, which names a credential or where else to send one: not in octosync.yaml"
        raise InvalidText(summary, rule="invalid-url", quotes=False, notes=(PASSWORD_SOURCES[0],), hides=True)
    return text


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


def _takes(key: str, check: Callable[[str], None], note: str, names: Callable[[], Iterable[str]] = tuple) -> Check:
    def checked(text: str) -> str:
        try:
            check(text)
        except ValueError as error:
            raise InvalidText(f"is not what `{key}` takes: {error}", notes=(note,), names=sorted(names())) from None
        return text

    return Check(checked)


StateAddress = Maybe[Annotated[Name, Check(_check_state_url)]]
_state_url: Final = field(
    None,
    description="the URL of the PostgreSQL database with the state, without a password",
    example="postgresql://db.example.com/octosync?sslmode=verify-full",
)
_state_url_env: Final = field(
    None, description="the environment variable that holds the URL of the state", example="OCTOSYNC_STATE_URL"
)


class ContextSection(ObjectModel, title="a context"):
    """An item of `contexts`."""

    url: Annotated[Name, Check(_check_plane_url)] = field(
        description="the control plane's base URL", example="https://api.octomil.com"
    )
    org: Maybe[Name] = field(
        None,
        description="the ID of the org; a response that names another org is an error",
        example="8f1c5b0e-6d1a-4c5e-9b57-0c70a11ce001",
    )
    token_env: Maybe[EnvironmentVariable] = field(
        None, description="the environment variable that holds the API key", example="OCTOMIL_API_KEY"
    )
    token_file: Maybe[Name] = field(
        None,
        description="the file that holds the API key, read again when it changes",
        example="/run/secrets/octomil",
    )
    state_url: StateAddress = _state_url
    state_url_env: Maybe[EnvironmentVariable] = _state_url_env
    kustomize: Maybe[Name] = field(
        None,
        description="the kustomization that renders this context's manifests",
        example="overlays/production",
    )
    paths: Maybe[list[Name]] = field(
        None, description="this context's manifests, instead of the common paths", example=["apps/"]
    )
    vars: Maybe[dict[str, AnyText]] = field(
        None, description="the values of ${NAME} in manifests", example={"CHANNEL": "beta"}
    )


class OwnerSection(ObjectModel, title="an owner"):
    """An item of `owners`."""

    paths: Name = field(description="the files, a pattern with * and **", example="teams/search/**")
    apps: Annotated[list[Name], Bounds(1)] = field(description="the apps, patterns with *", example=["search-*"])


class _Limits(ObjectModel):
    """The limits of the guards, each described by the guard that it belongs to."""


for _name, _limit in LIMITS.items():
    _bounded = Count if _limit.most is None else Annotated[float, Bounds(0, _limit.most)]
    _Limits.__annotations__[_name] = _bounded
    setattr(_Limits, _name, field(_limit.default, description=_limit.about))


class GuardsSection(_Limits, title="guards"):
    """`guards`."""

    trailers: list[Annotated[str, Text(choices=TRAILERS)]] = field(
        list(DEFAULT_TRAILERS), description="the guards that a line in a commit message can override"
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
    ] = field(
        description="the start of the window: minute, hour, day of the month, month, day of the week",
        example="0 18 * * FRI",
    )
    duration: Duration = field(
        description="the length of the window, in elapsed time; nothing is applied inside it", example="60h"
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
    ] = field("UTC", description="the time zone of the cron expression", example="Europe/Berlin")
    exempt: Maybe[list[Name]] = field(
        None, key="except", description="apps that are not frozen, as patterns with *", example=["sandbox-*"]
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
    ] = field(
        description="the name; the guard that rejects violations is policy:NAME",
        example="restricted-data-stays-local",
    )
    judges: Annotated[str, Text(choices=tuple(judges.value for judges in Judges))] = field(
        Judges.CHANGE.value,
        description="what the rule is evaluated for: each planned change, or each declared app in `validate` and each "
        "changed app in a plan",
    )
    selector: Maybe[
        Annotated[
            str, Text(pattern=re.compile(rf"{_TERM}(?:,{_TERM})*"), meaning="a selector such as team=search,tier!=test")
        ]
    ] = field(
        None,
        description="the labels of its apps, in the manifests or in the base; the default is all apps",
        example="data=restricted",
    )
    rule: Annotated[
        str, Text(pattern=re.compile(r"[\s\S]{1,4000}"), meaning="an expression of at most 4,000 characters")
    ] = field(
        description="the condition that must be true, in CEL (https://cel.dev); `octosync explain policies` lists its variables",
        example='change.action != "archive" || "retired" in app.labels',
    )
    severity: Annotated[str, Text(choices=(Severity.ERROR.value, Severity.WARNING.value))] = field(
        Severity.ERROR.value, description="the effect of a violation: error rejects the change, warning reports it"
    )
    message: Annotated[str, Text(pattern=re.compile(r"[\s\S]{1,500}"), meaning="a text of at most 500 characters")] = (
        field(
            description="the description of a violation",
            example="Only apps with the label `retired` can be archived.",
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
    ] = field(
        None,
        description="the https URL of a page about the policy",
        example="https://wiki.example.com/policies/archive",
    )


class ReceiverSection(ObjectModel, title="a receiver"):
    """An item of `notify`."""

    url: Maybe[Annotated[Name, Check(_check_receiver_url)]] = field(
        None,
        description="the URL of the receiver: https, and not on this machine; only its host is shown",
        example="https://hooks.example.com/octosync",
    )
    url_env: Maybe[OwnVariable] = field(
        None,
        description=("the environment variable that holds the URL, for a URL that is a secret or on this machine"),
        example="OCTOSYNC_NOTIFY_URL",
    )
    events: Annotated[list[Annotated[str, Text(choices=tuple(event.value for event in NotifyEvent))]], Bounds(1)] = (
        field([event.value for event in NotifyEvent], description="the events to send")
    )
    secret_env: Maybe[OwnVariable] = field(
        None,
        description="the environment variable that holds the secret for signing requests",
        example="OCTOSYNC_NOTIFY_SECRET",
    )


class OperationSection(ObjectModel, title="an operation"):
    """An item of `api.operations`."""

    method: Maybe[Name] = field(None, description="the HTTP method", example="PUT")
    path: Maybe[Name] = field(None, description="the path below the API's base", example="/apps/{slug}")


class ApiSection(ObjectModel, title="api"):
    """`api`."""

    operations: Maybe[dict[str, OperationSection]] = field(
        None,
        description="methods and paths that differ from the expected ones, by operation ID",
        example={"apps.update": {"method": "PUT"}},
    )
    read_only: Maybe[dict[str, list[Name]]] = field(
        None,
        description="additional read-only fields, by object; octosync never sends them",
        example={"slot": ["coverage_detail"]},
    )
    platforms: Maybe[list[Name]] = field(None, description="additional platforms of targets", example=["visionos"])


class DriftSection(ObjectModel, title="drift"):
    """`drift`."""

    hold: Duration = field("30m", description="how long drift is held before it is reverted")


class RateSection(ObjectModel, title="rate"):
    """`rate`."""

    requests_per_minute: Maybe[Count] = field(
        None,
        description="the rate limit in requests per minute, 0 for no limit; "
        "the default is 100, and no limit for a control plane on this machine",
        example=100,
    )
    concurrency: Annotated[int, Bounds(1, 256)] = field(
        Rate().concurrency, description="the maximum number of concurrent requests"
    )


class ConfigurationFile(ObjectModel, title="octosync.yaml"):
    """octosync.yaml."""

    requires: Maybe[Name] = field(
        None, description="the versions of octosync that can read this file, such as >=0.1,<1", example=">=0.1,<1"
    )
    contexts: Maybe[dict[str, ContextSection]] = field(
        None, description="the control planes, by name", example={"local": {"url": "http://127.0.0.1:8787"}}
    )
    default_context: Maybe[Name] = field(None, description="the default context", example="local")
    state_url: StateAddress = _state_url
    state_url_env: Maybe[EnvironmentVariable] = _state_url_env
    paths: Maybe[list[Name]] = field(None, description="the manifests, relative to this file", example=["apps/"])
    env: Maybe[list[Annotated[str, Text(pattern=NAME, meaning="a variable's name"), Check(_check_variable)]]] = field(
        None, description="the environment variables that manifests can use", example=["RELEASE_CHANNEL"]
    )
    owners: Maybe[list[OwnerSection]] = field(None, description="which folders can declare which apps")
    guards: Maybe[GuardsSection] = field(None, description="the limits of the guards")
    freeze: Maybe[list[FreezeSection]] = field(None, description="the freeze windows, in which nothing is applied")
    policies: Maybe[list[PolicySection]] = field(None, description="your own rules for changes and apps")
    drift: Maybe[DriftSection] = field(None, description="how drift is handled")
    max_canaries: Count = field(
        Configuration().max_canaries, description="the maximum number of canaries that run at the same time"
    )
    notify: Maybe[list[ReceiverSection]] = field(None, description="where `octosync watch` sends notifications")
    rate: Maybe[RateSection] = field(None, description="the rate limit")
    sensitive_keys: list[Name] = field(
        list(Sensitivity().patterns),
        description=(
            "patterns of keys whose values are redacted, instead of the default; numbers, booleans and null are shown"
        ),
    )
    api: Maybe[ApiSection] = field(
        None, description="differences between the control plane and the API that octosync expects"
    )
