"""The reader of octosync.yaml: the strict loader and the validation of manifests, and rules of its own.

No secret may be a value in octosync.yaml, and one that is there anyway is never shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from octosync import __version__
from octosync.contract import Contract
from octosync.errors import ConfigError
from octosync.manifest.config.config import (
    Configuration,
    ConfigurationResult,
    Context,
    GuardLimits,
    Rate,
    is_allowed,
    parse_duration,
)
from octosync.manifest.config.schema import (
    MOST_POLICIES,
    ApiSection,
    ConfigurationFile,
    GuardsSection,
    OperationSection,
    RateSection,
)
from octosync.manifest.load.files import display_name, read_files
from octosync.manifest.load.owners import Owner
from octosync.manifest.load.selection import parse_selector
from octosync.manifest.load.variables import NAME, names_a_secret
from octosync.manifest.schema.checked_object import CheckedObject
from octosync.manifest.schema.rules import Findings, Reporter
from octosync.manifest.schema.validate import check
from octosync.manifest.yaml.loader import parse
from octosync.manifest.yaml.nodes import Mapping, Node, Scalar, Sequence, YamlDocument, join
from octosync.manifest.yaml.source import Source
from octosync.model import (
    Diagnostic,
    FreezeWindow,
    Judges,
    NotifyEvent,
    Origin,
    Policy,
    Receiver,
    Secret,
    Sensitivity,
    Severity,
    closest,
)

# Keys of octosync.yaml that have a secret's letters and hold none.
_NO_SECRETS = frozenset({"tokenEnv", "tokenFile", "secretEnv", "sensitiveKeys"})
_SENT = "name the environment variable with tokenEnv, or the file with tokenFile"
_SIGNED = "name the environment variable with secretEnv"


def refuse_secrets(node: Node, reporter: Reporter, path: str = "") -> None:
    """Report every literal under a key that names a secret. An unknown key is no better place for it than a known one."""
    if isinstance(node, Sequence):
        for index, item in enumerate(node.items):
            refuse_secrets(item, reporter, join(path, index))
    if not isinstance(node, Mapping):
        return
    for key, (key_node, value) in node.entries.items():
        below = join(path, key)
        if key in _NO_SECRETS or not (_SECRETS.covers(key) or names_a_secret(key)):
            refuse_secrets(value, reporter, below)
        elif isinstance(value, Scalar) and isinstance(value.value, str | int | float):
            reporter.report(
                "secret-in-configuration",
                key_node,
                f"{reporter.quote(key, key_node)}: a secret is never a value in octosync.yaml",
                path=below,
                suggestion=closest(key, ("tokenEnv", "tokenFile", "secretEnv")),
                notes=(_SIGNED if path.startswith("notify") else _SENT,),
            )
        else:
            refuse_secrets(value, reporter, below)


_WITH_USER: Final = re.compile(r"://[^/]*@")


def hide_urls(root: Node, reporter: Reporter) -> None:
    """Keep URLs with a user or a password out of every excerpt, under any key."""
    if isinstance(root, Mapping):
        for _, value in (*root.entries.values(), *root.repeated):
            hide_urls(value, reporter)
    elif isinstance(root, Sequence):
        for item in root.items:
            hide_urls(item, reporter)
    elif isinstance(root.value, str) and _WITH_USER.search(root.value):
        reporter.source.hide((root.line, root.column), (root.line, root.column + root.width))


def hide_receivers(root: Node, reporter: Reporter) -> None:
    """Keep the URLs under `notify` out of every excerpt and message."""
    for notify in _values(root, "notify"):
        for item in notify.items if isinstance(notify, Sequence) else ():
            for url in _values(item, "url"):
                if isinstance(url, Scalar):
                    reporter.source.hide((url.line, url.column), (url.line, url.column + url.width))


def _values(node: Node, key: str) -> list[Node]:
    """Return the values of a key, all of them if it is repeated."""
    if not isinstance(node, Mapping):
        return []
    return [value for at, value in (*node.entries.values(), *node.repeated) if at.value == key]


def is_hidden(origin: Origin | None, source: Source) -> bool:
    """Return whether a line may not be shown, though it could be when something was found there."""
    return origin is not None and source.hides_on(origin.line)


_SECRETS = Sensitivity()


def read_configuration(
    path: Path | None, *, version: str = __version__, directory: Path | None = None
) -> ConfigurationResult:
    """Read an octosync.yaml (relative to `directory`), or return the defaults for None. Problems in the file never raise."""
    if path is None:
        return ConfigurationResult(Configuration())
    findings = Findings()
    base = directory or Path()
    if (base / path).is_dir():
        name = display_name(str(path))
        findings.add("unreadable-path", f"{name} can't be read: it is a directory", origin=Origin(name))
        return ConfigurationResult(Configuration(file=name, directory=path.parent), findings.sorted)
    files = read_files([str(path)], base, findings)
    if not files:
        return ConfigurationResult(Configuration(file=display_name(str(path)), directory=path.parent), findings.sorted)
    return read_configuration_text(files[0].name, files[0].data, path.parent, version=version)


def read_configuration_text(
    name: str, data: bytes, directory: Path, *, version: str | None = __version__, base: str = ""
) -> ConfigurationResult:
    """Read the bytes of an octosync.yaml, whose paths are relative to `directory`; `base` is that of its origins.

    If `version` is None, the version that it `requires` is not checked.
    """
    findings = Findings()
    source, documents = parse(name, data, _SECRETS, findings, base=base)
    reporter = Reporter(findings, source)
    configuration = Configuration(file=name, directory=directory)
    for extra in documents[1:]:
        reporter.report("wrong-type", _start(extra), "octosync.yaml is one document, and this is another")
    if not documents:
        return ConfigurationResult(configuration, findings.sorted)
    root = documents[0].root
    hide_receivers(root, reporter)
    hide_urls(root, reporter)
    if version is not None and _refuses_version(root, reporter, version):
        found = (finding for finding in findings.sorted if finding.rule == "version-not-allowed")
        return ConfigurationResult(configuration, tuple(found))
    refuse_secrets(root, reporter)
    fields = check(root, ConfigurationFile, reporter, "config")
    if fields is not None:
        configuration = _ConfigurationBuilder(fields, reporter, directory).configuration(name)
    shown = (
        replace(finding, excerpt=None) if is_hidden(finding.origin, source) else finding for finding in findings.sorted
    )
    return ConfigurationResult(configuration, _without_repetitions(tuple(shown)))


def _without_repetitions(found: tuple[Diagnostic, ...]) -> tuple[Diagnostic, ...]:
    """Leave out unknown fields that were reported as secrets."""
    secrets = {finding.origin for finding in found if finding.rule == "secret-in-configuration"}
    return tuple(finding for finding in found if finding.rule != "unknown-field" or finding.origin not in secrets)


def _start(document: YamlDocument) -> Scalar:
    return Scalar(None, document.root.line, document.root.column, 1)


def _guard_limits(fields: CheckedObject) -> GuardLimits:
    given, plain = fields.attributes(GuardsSection), GuardLimits()
    trailers = given.pop("trailers", plain.trailers)
    return GuardLimits(limits={**plain.limits, **given}, trailers=trailers)


def _refuses_version(root: Node, reporter: Reporter, version: str) -> bool:
    """Return whether this version of octosync is not allowed. Then nothing else in the file counts: it is for another version."""
    node = root.get("requires") if isinstance(root, Mapping) else None
    if not isinstance(node, Scalar) or not isinstance(node.value, str):
        return False
    try:
        allowed = is_allowed(version, node.value)
    except ValueError:
        summary = f"{reporter.quote(node.value, node)} is not a version specifier"
        reporter.report("invalid-value", node, summary, path="requires", notes=("write it like >=0.1,<1",))
        return False
    if allowed:
        return False
    summary = f"this is octosync {version}, and octosync.yaml requires {node.value}"
    reporter.report("version-not-allowed", node, summary, path="requires", notes=("install a version that it allows",))
    return True


class _ConfigurationBuilder:
    """Builds the configuration from the checked file."""

    def __init__(self, fields: CheckedObject, reporter: Reporter, directory: Path) -> None:
        self._fields = fields
        self._reporter = reporter
        self._directory = directory

    def configuration(self, file: str) -> Configuration:
        """Build the configuration, and report values that contradict each other. Wrong values are left out."""
        fields = self._fields
        contexts = {name: self._context(name, context) for name, context in fields.record_map("contexts").items()}
        default = fields.text("defaultContext")
        named = fields.node.get("contexts")
        # A context that is wrong is not unknown.
        if default is not None and (named is None or (isinstance(named, Mapping) and default not in named.entries)):
            at = fields.value_node("defaultContext")
            self._reporter.report(
                "unknown-context",
                at,
                f"{self._reporter.quote(default, at)} is none of the contexts",
                path="defaultContext",
                suggestion=closest(default, contexts),
            )
        given, plain = fields.attributes(ConfigurationFile), Configuration()
        guards, rate, drift = (fields.record(key) for key in ("guards", "rate", "drift"))
        hold = drift.text("hold") if drift else None
        return Configuration(
            file=file,
            directory=self._directory,
            contexts=contexts,
            default_context=default,
            **self._state(fields),
            paths=self._paths(fields),
            env=fields.texts("env"),
            owners=tuple(
                Owner(paths=owner.text("paths") or "", apps=owner.texts("apps")) for owner in fields.records("owners")
            ),
            guards=_guard_limits(guards) if guards else plain.guards,
            freeze=tuple(map(self._freeze_window, fields.records("freeze"))),
            policies=self._policies(fields.records("policies")),
            drift_hold=parse_duration(hold) if hold is not None else plain.drift_hold,
            max_canaries=given.get("max_canaries", plain.max_canaries),
            notify=tuple(map(self._receiver, fields.records("notify"))),
            rate=Rate(**rate.attributes(RateSection)) if rate else plain.rate,
            sensitivity=Sensitivity(given["sensitive_keys"]) if "sensitive_keys" in given else plain.sensitivity,
            contract=self._contract(),
        )

    def _context(self, name: str, fields: CheckedObject) -> Context:
        if "tokenEnv" in fields and "tokenFile" in fields:
            summary = "a context has one source of its token: tokenEnv or tokenFile"
            at = fields.key_node("tokenFile")
            self._reporter.report("two-token-sources", at, summary, path=fields.path_to("tokenFile"))
        variables = fields.node.get("vars")
        if isinstance(variables, Mapping):
            path = fields.path_to("vars")
            for key, (key_node, _) in variables.entries.items():
                if not NAME.fullmatch(key):
                    summary = f"{self._reporter.quote(key, key_node)} is not a variable's name"
                    self._reporter.report("invalid-value", key_node, summary, path=path)
        token_file, kustomize = fields.text("tokenFile"), fields.text("kustomize")
        return Context(
            name=name,
            url=fields.text("url") or "",
            org=fields.text("org"),
            token_env=fields.text("tokenEnv"),
            token_file=self._directory / token_file if token_file else None,
            **self._state(fields),
            kustomize=str(self._directory / kustomize) if kustomize else None,
            paths=self._paths(fields),
            vars=fields.text_map("vars"),
            origin=self._origin(fields),
        )

    def _state(self, fields: CheckedObject) -> dict[str, Any]:
        """Return the fields of a configuration or a context that name the shared state."""
        if "stateUrl" in fields and "stateUrlEnv" in fields:
            at = fields.key_node("stateUrlEnv")
            summary = "the state has one URL: stateUrl or stateUrlEnv"
            self._reporter.report("two-state-sources", at, summary, path=fields.path_to("stateUrlEnv"))
        url = None
        if (text := fields.text("stateUrl")) is not None:
            from octosync.model.state_url import parse_state_url

            url = parse_state_url(text)
        return {
            "state_url": url,
            "state_url_env": fields.text("stateUrlEnv"),
        }

    def _freeze_window(self, fields: CheckedObject) -> FreezeWindow:
        duration = fields.text("duration")
        return FreezeWindow(
            cron=fields.text("cron") or "",
            duration=parse_duration(duration) if duration else timedelta(),
            timezone=fields.text("timezone") or "UTC",
            exempt=fields.texts("except"),
            origin=self._origin(fields),
        )

    def _policies(self, items: list[CheckedObject]) -> tuple[Policy, ...]:
        """Return the policies. A part that is wrong never makes a policy judge less: without a rule, it accepts nothing."""
        names: set[str] = set()
        for fields in items:
            name = fields.text("name") or ""
            if name in names:
                at = fields.value_node("name")
                summary = f"{self._reporter.quote(name, at)} is the name of another policy"
                self._reporter.report("duplicate-policy", at, summary, path=fields.path_to("name"))
            names |= {name} - {""}
        if len(items) > MOST_POLICIES:
            at = self._fields.key_node("policies")
            summary = f"there are {len(items)} policies, and at most {MOST_POLICIES} are allowed"
            self._reporter.report("invalid-value", at, summary, path="policies")
        return tuple(map(self._policy, items))

    def _policy(self, fields: CheckedObject) -> Policy:
        selector, at, source = fields.text("selector"), fields.value_node("rule"), self._reporter.source
        rule = fields.text("rule") or ""
        return Policy(
            name=fields.text("name") or "unnamed",
            rule=rule,
            message=" ".join((fields.text("message") or "").split()),
            judges=Judges(fields.text("judges") or Judges.CHANGE.value),
            severity=Severity(fields.text("severity") or Severity.ERROR.value),
            link=fields.text("link"),
            selector=parse_selector(selector) if selector is not None else (),
            origin=source.origin(at.line, at.column),
            excerpt=source.excerpt(at.line) if rule and source.written(at) == rule else None,
        )

    def _receiver(self, fields: CheckedObject) -> Receiver:
        if ("url" in fields.node.entries) == ("urlEnv" in fields.node.entries):
            at = fields.key_node("urlEnv")  # the receiver itself if it has none
            place = at if isinstance(at, Scalar) else Scalar(None, at.line, at.column, 1)
            summary = "a receiver has one URL: `url` or `urlEnv`"
            self._reporter.report("receiver-url", place, summary, path=fields.path)
        url = fields.text("url")
        return Receiver(
            url=None if url is None else Secret(url),
            url_env=fields.text("urlEnv"),
            events=tuple(map(NotifyEvent, fields.texts("events"))) if "events" in fields else tuple(NotifyEvent),
            secret_env=fields.text("secretEnv"),
            origin=self._origin(fields),
        )

    def _origin(self, fields: CheckedObject) -> Origin:
        return self._reporter.source.origin(fields.node.line, fields.node.column)

    def _paths(self, fields: CheckedObject) -> tuple[str, ...]:
        return tuple(str(self._directory / path) for path in fields.texts("paths"))

    def _contract(self) -> Contract:
        api = self._fields.record("api")
        if api is None:
            return Contract()
        operations = {
            id_: override.attributes(OperationSection) for id_, override in api.record_map("operations").items()
        }
        # Each is tried alone, so that every impossible one is reported with its position; then all together: two may clash.
        apply = Contract().overridden
        operations = {
            id_: override
            for id_, override in operations.items()
            if self._is_possible(api, "operations", id_, partial(apply, operations={id_: override}))
        }
        read_only = {
            name: fields
            for name, fields in api.attributes(ApiSection).get("read_only", {}).items()
            if self._is_possible(api, "readOnly", name, partial(apply, read_only={name: fields}))
        }
        try:
            return apply(operations=operations, read_only=read_only, platforms=api.texts("platforms"))
        except ConfigError as error:
            self._refuse_override(error, self._fields.key_node("api"), "api")
            return Contract()

    def _is_possible(self, api: CheckedObject, key: str, name: str, attempt: Callable[[], Contract]) -> bool:
        try:
            attempt()
        except ConfigError as error:
            overrides = api.value_node(key)
            at = overrides.entries[name][0] if isinstance(overrides, Mapping) else overrides
            self._refuse_override(error, at, join(api.path_to(key), name))
            return False
        return True

    def _refuse_override(self, error: ConfigError, at: Node, path: str) -> None:
        self._reporter.report("invalid-override", at, error.message, path=path, notes=error.hints)
