"""Reading octosync.yaml: the same strict loader and walk as for manifests, and rules of its own.

No secret is a value in octosync.yaml, and none that stands there anyway is shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

from octosync import __version__
from octosync.contract import Contract
from octosync.errors import ConfigError
from octosync.manifest.config.config import (
    Configuration,
    Configured,
    Context,
    GuardLimits,
    Rate,
    is_allowed,
    parse_duration,
)
from octosync.manifest.config.schema import ApiSection, ConfigurationFile, GuardsSection, OperationSection, RateSection
from octosync.manifest.load.files import display_name, read_files
from octosync.manifest.load.owners import Owner
from octosync.manifest.load.variables import NAME, names_a_secret
from octosync.manifest.schema.checked_fields import Fields
from octosync.manifest.schema.rules import Findings, Reporter
from octosync.manifest.schema.validate import check, closest
from octosync.manifest.yaml.loader import parse
from octosync.manifest.yaml.nodes import Document, Mapping, Node, Scalar, Sequence, join
from octosync.manifest.yaml.source import Source
from octosync.model import Diagnostic, FreezeWindow, NotifyEvent, Origin, Receiver, Secret, Sensitivity

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


def hide_receivers(root: Node, reporter: Reporter) -> None:
    """Keep the URLs under `notify` out of every excerpt and message, whatever else is wrong there."""
    for notify in _values(root, "notify"):
        for item in notify.items if isinstance(notify, Sequence) else ():
            for url in _values(item, "url"):
                if isinstance(url, Scalar):
                    reporter.source.hide((url.line, url.column), (url.line, url.column + url.width))


def _values(node: Node, key: str) -> list[Node]:
    """Return what stands under a key, each time where it stands there more than once."""
    if not isinstance(node, Mapping):
        return []
    return [value for at, value in (*node.entries.values(), *node.repeated) if at.value == key]


def is_hidden(origin: Origin | None, source: Source) -> bool:
    """Say whether a line may not be shown, though it was when something was found there."""
    return origin is not None and source.hides_on(origin.line)


_SECRETS = Sensitivity()


def read_configuration(path: Path | None, *, version: str = __version__, directory: Path | None = None) -> Configured:
    """Read an octosync.yaml (relative to `directory`), or return the defaults for None. Never raises for what it says."""
    if path is None:
        return Configured(Configuration())
    findings = Findings()
    base = directory or Path()
    if (base / path).is_dir():
        name = display_name(str(path))
        findings.add("unreadable-path", f"{name} can't be read: it is a directory", origin=Origin(name))
        return Configured(Configuration(file=name, directory=path.parent), findings.sorted)
    files = read_files([str(path)], base, findings)
    if not files:
        return Configured(Configuration(file=display_name(str(path)), directory=path.parent), findings.sorted)
    return read_configuration_text(files[0].name, files[0].data, path.parent, version=version)


def read_configuration_text(
    name: str, data: bytes, directory: Path, *, version: str | None = __version__
) -> Configured:
    """Read the bytes of an octosync.yaml that stands in a directory, wherever they come from.

    `version` None: it is not asked which octosync it `requires`.
    """
    findings = Findings()
    source, documents = parse(name, data, _SECRETS, findings)
    reporter = Reporter(findings, source)
    configuration = Configuration(file=name, directory=directory)
    for extra in documents[1:]:
        reporter.report("wrong-type", _start(extra), "octosync.yaml is one document, and this is another")
    if not documents:
        return Configured(configuration, findings.sorted)
    root = documents[0].root
    hide_receivers(root, reporter)
    if version is not None and _refuses_version(root, reporter, version):
        return Configured(configuration, tuple(one for one in findings.sorted if one.rule == "version-not-allowed"))
    refuse_secrets(root, reporter)
    fields = check(root, ConfigurationFile, reporter, "config")
    if fields is not None:
        configuration = _Reading(fields, reporter, directory).configuration(name)
    found = (replace(one, excerpt=None) if is_hidden(one.origin, source) else one for one in findings.sorted)
    return Configured(configuration, _one_each(tuple(found)))


def _one_each(found: tuple[Diagnostic, ...]) -> tuple[Diagnostic, ...]:
    """Leave out that a key is unknown where it is refused as a secret."""
    secrets = {one.origin for one in found if one.rule == "secret-in-configuration"}
    return tuple(one for one in found if one.rule != "unknown-field" or one.origin not in secrets)


def _start(document: Document) -> Scalar:
    return Scalar(None, document.root.line, document.root.column, 1)


def _guard_limits(fields: Fields) -> GuardLimits:
    given, plain = fields.attributes(GuardsSection), GuardLimits()
    trailers = given.pop("trailers", plain.trailers)
    return GuardLimits(limits={**plain.limits, **given}, trailers=trailers)


def _refuses_version(root: Node, reporter: Reporter, version: str) -> bool:
    """Say whether this octosync is refused; then nothing else of the file counts, since it may be written for another."""
    node = root.get("requires") if isinstance(root, Mapping) else None
    if not isinstance(node, Scalar) or not isinstance(node.value, str):
        return False
    try:
        allowed = is_allowed(version, node.value)
    except ValueError:
        summary = f"{reporter.quote(node.value, node)} is no version specifier"
        reporter.report("invalid-value", node, summary, path="requires", notes=("write it like >=0.1,<1",))
        return False
    if allowed:
        return False
    summary = f"this is octosync {version}, and octosync.yaml requires {node.value}"
    reporter.report("version-not-allowed", node, summary, path="requires", notes=("install a version that it allows",))
    return True


class _Reading:
    """Turns the checked file into a configuration."""

    def __init__(self, fields: Fields, reporter: Reporter, directory: Path) -> None:
        self._fields = fields
        self._reporter = reporter
        self._directory = directory

    def configuration(self, file: str) -> Configuration:
        """Build the configuration; what is wrong is reported and left out."""
        fields = self._fields
        contexts = {name: self._context(name, one) for name, one in fields.record_map("contexts").items()}
        default = fields.text("defaultContext")
        named = fields.node.get("contexts")
        # A context that is there and wrong is not unknown.
        if default is not None and (named is None or (isinstance(named, Mapping) and default not in named.entries)):
            at = fields.at("defaultContext")
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
            paths=self._paths(fields),
            env=fields.texts("env"),
            owners=tuple(
                Owner(paths=one.text("paths") or "", apps=one.texts("apps")) for one in fields.records("owners")
            ),
            guards=_guard_limits(guards) if guards else plain.guards,
            freeze=tuple(self._freeze_window(one) for one in fields.records("freeze")),
            drift_hold=parse_duration(hold) if hold is not None else plain.drift_hold,
            max_canaries=given.get("max_canaries", plain.max_canaries),
            notify=tuple(self._receiver(one) for one in fields.records("notify")),
            rate=Rate(**rate.attributes(RateSection)) if rate else plain.rate,
            sensitivity=Sensitivity(given["sensitive_keys"]) if "sensitive_keys" in given else plain.sensitivity,
            contract=self._contract(),
        )

    def _context(self, name: str, fields: Fields) -> Context:
        if "tokenEnv" in fields and "tokenFile" in fields:
            summary = "a context has one source of its token: tokenEnv or tokenFile"
            at = fields.key_at("tokenFile")
            self._reporter.report("two-token-sources", at, summary, path=fields.below("tokenFile"))
        variables = fields.node.get("vars")
        if isinstance(variables, Mapping):
            path = fields.below("vars")
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
            kustomize=str(self._directory / kustomize) if kustomize else None,
            paths=self._paths(fields),
            vars=fields.text_map("vars"),
            origin=self._origin(fields),
        )

    def _freeze_window(self, fields: Fields) -> FreezeWindow:
        duration = fields.text("duration")
        return FreezeWindow(
            cron=fields.text("cron") or "",
            duration=parse_duration(duration) if duration else timedelta(),
            timezone=fields.text("timezone") or "UTC",
            exempt=fields.texts("except"),
            origin=self._origin(fields),
        )

    def _receiver(self, fields: Fields) -> Receiver:
        if ("url" in fields.node.entries) == ("urlEnv" in fields.node.entries):
            at = fields.key_at("urlEnv")  # the record itself, where there is none
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

    def _origin(self, fields: Fields) -> Origin:
        return self._reporter.source.origin(fields.node.line, fields.node.column)

    def _paths(self, fields: Fields) -> tuple[str, ...]:
        return tuple(str(self._directory / path) for path in fields.texts("paths"))

    def _contract(self) -> Contract:
        api = self._fields.record("api")
        if api is None:
            return Contract()
        operations = {id_: one.attributes(OperationSection) for id_, one in api.record_map("operations").items()}
        # Each by itself, so that every one that can't be is told where it stands; then together: two may not go together.
        apply = Contract().overridden
        operations = {
            id_: one
            for id_, one in operations.items()
            if self._is_possible(api, "operations", id_, partial(apply, operations={id_: one}))
        }
        read_only = {
            name: fields
            for name, fields in api.attributes(ApiSection).get("read_only", {}).items()
            if self._is_possible(api, "readOnly", name, partial(apply, read_only={name: fields}))
        }
        try:
            return apply(operations=operations, read_only=read_only, platforms=api.texts("platforms"))
        except ConfigError as error:
            self._refuse_override(error, self._fields.key_at("api"), "api")
            return Contract()

    def _is_possible(self, api: Fields, key: str, name: str, attempt: Callable[[], Contract]) -> bool:
        try:
            attempt()
        except ConfigError as error:
            overrides = api.at(key)
            at = overrides.entries[name][0] if isinstance(overrides, Mapping) else overrides
            self._refuse_override(error, at, join(api.below(key), name))
            return False
        return True

    def _refuse_override(self, error: ConfigError, at: Node, path: str) -> None:
        self._reporter.report("invalid-override", at, error.message, path=path, notes=error.hints)
