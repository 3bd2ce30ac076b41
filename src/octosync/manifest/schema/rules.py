"""The table of rules: the id, severity, meaning and example of every diagnostic of this package.

The reference page is generated from this table, and tests try every example. `Findings` collects all problems of a load, so that
they are reported together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from octosync.manifest.yaml.source import HasPosition, Source, quoted
from octosync.model import Diagnostic, Origin, Severity, counted

_ERROR, _WARNING, _NOTICE = Severity.ERROR, Severity.WARNING, Severity.NOTICE


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule.

    `example` is a manifest that breaks it and no other, `configuration` the octosync.yaml that it needs for that, or, with
    no `example`, the one that breaks it. If no text can show it, both are empty and `situation` describes when it happens.
    """

    id: str
    severity: Severity
    meaning: str
    example: str = ""
    configuration: str = ""
    situation: str = ""


def _app(spec: str = "", *, metadata: str = "", name: str = "demo") -> str:
    body = "".join(f"  {line}\n" for line in spec.splitlines())
    more = "".join(f"  {line}\n" for line in metadata.splitlines())
    spec_text = f"spec:\n{body}" if body else ""
    return f"apiVersion: octosync.dev/v1\nkind: App\nmetadata:\n  name: {name}\n{more}{spec_text}"


def _slot(fields: str) -> str:
    lines = fields.splitlines()
    return _app("slots:\n  - capability: chat\n" + "".join(f"    {line}\n" for line in lines))


def _manifest(id_: str, severity: Severity, meaning: str, example: str, configuration: str = "") -> Rule:
    return Rule(id=id_, severity=severity, meaning=meaning, example=example, configuration=configuration)


def _file(id_: str, severity: Severity, meaning: str, situation: str) -> Rule:
    return Rule(id=id_, severity=severity, meaning=meaning, situation=situation)


def _settings(id_: str, severity: Severity, meaning: str, configuration: str) -> Rule:
    return Rule(id=id_, severity=severity, meaning=meaning, configuration=configuration)


_LEVELS = (
    "apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: demo}\nspec:\n  inferenceConfig: "
    + "{a: " * 33
    + "1"
    + "}" * 33
)
_BOMB = (
    "apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: demo}\nspec:\n  inferenceConfig:\n"
    "    a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
    + "".join(f"    a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 6))
)

_FILES: Final = (
    _file("missing-path", _ERROR, "A path doesn't exist.", "octosync validate -f nowhere.yaml"),
    _file("unreadable-path", _ERROR, "A file or directory can't be read.", "a file without read permission"),
    _file(
        "not-a-file",
        _ERROR,
        "A path is neither file nor directory: pipe it to `-f -`.",
        "octosync validate -f <(generate)",
    ),
    _file("set-too-large", _ERROR, "All files together are larger than 256 MiB.", "a hundred generated files of 4 MiB"),
    _file(
        "link-outside",
        _ERROR,
        "A link leads out of its Git work tree, or out of the named folder.",
        "apps/a.yaml, a link to /etc/passwd",
    ),
    _file(
        "path-outside-repository",
        _ERROR,
        "An octosync.yaml or a kustomization in a Git work tree names a path outside of it.",
        "`paths: [../../other]` in octosync.yaml",
    ),
    _file("file-too-large", _ERROR, "A file is larger than 16 MiB.", "a generated file of 17 MiB"),
    _file(
        "more-problems",
        _NOTICE,
        "More than 1,000 problems were found. The most severe are listed, the others are counted.",
        "a generated file with 40,000 unknown fields",
    ),
    _file("empty-directory", _WARNING, "A directory contains no manifests.", "a directory with a README only"),
    _file(
        "empty-file", _WARNING, "One of several files contains no document.", "a file with comments only, beside others"
    ),
    _file("no-documents", _ERROR, "No file contains a document.", "a directory whose files are all empty"),
    _file(
        "owners-not-checked",
        _NOTICE,
        "Owners can't be checked for documents from standard input, because they have no folder.",
        "octosync validate -f -",
    ),
    _file("not-utf8", _ERROR, "A file is not UTF-8 text.", "a file saved as Latin-1 or UTF-16"),
    _file(
        "invalid-base",
        _WARNING,
        "The base has errors: its invalid parts count as not declared, and nothing is pruned.",
        "octosync plan --base main, where a manifest on main has an unknown field",
    ),
    _file(
        "attempt-gone",
        _WARNING,
        "A revision of --attempted is not in the clone, for example after a force push. With --changed-only, apply plans all apps.",
        "octosync apply --base main --attempted COMMIT, where the branch that had COMMIT was force-pushed",
    ),
    _file(
        "all-apps-planned",
        _NOTICE,
        "Apply with --changed-only plans all apps, because the base does not show every change.",
        "octosync apply --base main --changed-only, after a change of the URL of a context",
    ),
    _file(
        "after-the-merge",
        _NOTICE,
        "This change sets something in octosync.yaml that a plan takes from the base: it takes effect after the merge.",
        "octosync plan --base main, in a branch that changes the URL of a context",
    ),
)

_YAML: Final = (
    _manifest(
        "control-character", _ERROR, "NUL and other control characters are not allowed.", _app('description: "a\\0b"')
    ),
    _manifest("yaml-syntax", _ERROR, "The text is neither YAML nor JSON.", _app("name: a: b")),
    _manifest(
        "tab-indentation",
        _ERROR,
        "YAML can't be indented with tabs.",
        "apiVersion: octosync.dev/v1\nkind: App\nmetadata:\n\tname: demo\n",
    ),
    _manifest("tag", _ERROR, "Tags are not allowed: manifests are plain data.", _app('description: !!str "a"')),
    _manifest("duplicate-key", _ERROR, "An object has the same key twice.", _app("name: a\nname: b")),
    _manifest("non-string-key", _ERROR, "A key is not a string.", _app("inferenceConfig: {1: a}")),
    _manifest(
        "merge-key", _ERROR, "Merge keys are not YAML 1.2.", _app("inferenceConfig:\n  a: &a {b: c}\n  d: {<<: *a}")
    ),
    _manifest("not-json-number", _ERROR, "JSON can't represent the number.", _app("inferenceConfig: {a: .inf}")),
    _manifest(
        "lone-surrogate",
        _ERROR,
        "An incomplete surrogate pair, or a code point that is not a character.",
        _app('description: "\\ud83d"'),
    ),
    _manifest("unknown-alias", _ERROR, "An alias has no anchor above it.", _app("inferenceConfig: {a: *b}")),
    _manifest("recursive-alias", _ERROR, "An alias is inside its own anchor.", _app("inferenceConfig: &a {b: *a}")),
    _manifest("too-many-nodes", _ERROR, "A document has more than 100,000 nodes, aliases expanded.", _BOMB),
    _file(
        "too-much-text",
        _ERROR,
        "A file has more than 16 MiB of text, aliases expanded and variables replaced.",
        "a text of 9 MiB and two aliases of it",
    ),
    _manifest("too-deep", _ERROR, "A document is nested deeper than 32 levels.", _LEVELS),
)

_SCHEMA: Final = (
    _manifest(
        "foreign-document",
        _NOTICE,
        "A document of another API; it is ignored.",
        _app() + "---\napiVersion: v1\nkind: ConfigMap\n",
    ),
    _manifest(
        "octosync-output",
        _NOTICE,
        "A document that octosync wrote, such as a plan or a schema; it is ignored.",
        _app() + '---\nformat_version: "1.0"\noctosync_version: 0.1.0\nresource_changes: []\nsummary: {}\n',
    ),
    _manifest("unknown-version", _ERROR, "An unknown version of octosync's API.", _app().replace("/v1", "/v2")),
    _manifest("unknown-kind", _ERROR, "An unknown kind of octosync's API.", _app().replace("kind: App", "kind: Apps")),
    _manifest("unknown-field", _ERROR, "A field that the object doesn't have.", _slot("servingPolcy: local_first")),
    _manifest("missing-field", _ERROR, "A required field is missing.", _app("targets:\n  - platform: ios")),
    _manifest("wrong-type", _ERROR, "A value has the wrong type.", _app("archived: yes")),
    _manifest("invalid-value", _ERROR, "A value is not allowed for the field.", _slot("servingPolicy: local_frist")),
    _manifest("invalid-slug", _ERROR, "A slug that no app can have.", _app(name="Demo")),
    _manifest(
        "invalid-annotation",
        _ERROR,
        "An octosync.dev annotation has an invalid value.",
        _app(metadata="annotations: {octosync.dev/suspend: tomorrow}"),
    ),
    _manifest(
        "unknown-annotation",
        _WARNING,
        "An octosync.dev annotation that octosync doesn't know.",
        _app(metadata='annotations: {octosync.dev/protct: "true"}'),
    ),
    _manifest(
        "suspension-over",
        _WARNING,
        "A suspension has ended.",
        _app(metadata='annotations: {octosync.dev/suspend: "2020-01-31T18:00:00Z"}'),
    ),
)

_MEANING: Final = (
    _manifest("unknown-platform", _ERROR, "A platform that octosync doesn't know.", _app("targets:\n  - {platform: iso, identifier: com.example.demo}")),
    _manifest("identifier-shape", _WARNING, "An identifier that doesn't look like its platform's.", _app("targets:\n  - {platform: browser, identifier: example.com/}")),
    _manifest("unknown-capability", _WARNING, "A capability that octosync doesn't know.", _app("slots:\n  - capability: chta")),
    _manifest("unknown-engine", _WARNING, "An engine that octosync doesn't know.", _slot("preferredEngines: [cormel]")),
    _manifest("repeated-value", _WARNING, "A list contains the same value twice.", _slot("preferredEngines: [mlx, mlx]")),
    _manifest("contradictory-policy", _ERROR, "A serving policy contradicts itself.", _slot("servingPolicy:\n  routingMode: local_only\n  fallback: {allowCloudFallback: true, allowLocalFallback: true}")),
    _manifest("preference-without-auto", _ERROR, "routingPreference without routingMode auto.", _slot("servingPolicy:\n  routingMode: local_only\n  routingPreference: local\n  fallback: {allowCloudFallback: false, allowLocalFallback: true}")),
    _manifest("auto-with-pinned-variant", _ERROR, "optimize: auto on a slot that pins its variant.", _slot("variant: phi-4-mini\ndeploy: {environments: [production], optimize: auto}")),
    _manifest("auto-in-development", _WARNING, "optimize: auto in development does nothing.", _slot("deploy: {environments: [development], optimize: auto}")),
    _manifest("deploy-on-archived", _ERROR, "A slot of an archived app has a deploy section.", _app("archived: true\ntargets: []\nslots:\n  - capability: chat\n    deploy: {environments: [production]}")),
    _manifest("archive-strands-identifiers", _WARNING, "An archived app keeps its identifiers taken permanently.", _app("archived: true")),
    _manifest("duplicate-app", _ERROR, "An app is declared twice.", _app() + "---\n" + _app()),
    _manifest("duplicate-slot", _ERROR, "A slot is declared twice.", _app("slots:\n  - capability: chat\n  - capability: chat")),
    _manifest("declared-twice", _ERROR, "A target, binding or inference config is declared twice.", _app("targets:\n  - {platform: ios, identifier: a.b}\n  - {platform: ios, identifier: a.b}")),
    _manifest("target-claimed-twice", _ERROR, "Two apps claim one (platform, identifier).", _app("targets:\n  - {platform: ios, identifier: a.b}") + "---\n" + _app("targets:\n  - {platform: ios, identifier: a.b}", name="other")),
    _manifest("app-not-owned", _ERROR, "A document is outside the folder that can declare its app.", _app(), "owners:\n  - {paths: teams/demo/**, apps: [demo]}\n"),
    _manifest("read-only-field", _ERROR, "A field is declared as read-only in octosync.yaml.", _slot("preferredEngines: [mlx]"), "api: {readOnly: {slot: [preferred_engines]}}\n"),
    _manifest("undefined-variable", _ERROR, "A variable has no value.", _app("name: ${CHANNEL}")),
    _manifest("malformed-variable", _ERROR, "A ${ is not followed by a valid reference.", _app("name: ${release-channel}")),
    _manifest("colon-in-key", _WARNING, "A key contains a colon and has no value: a space is missing.", _app("inferenceConfig: {api_key:sk-123, model: m}")),
    _manifest("secret-in-manifest", _WARNING, "A literal value under a key that looks like the name of a secret.", _app("inferenceConfig: {api_key: sk-123}")),
)  # fmt: skip

_CONFIGURATION: Final = (
    _manifest("secret-variable", _ERROR, "The name of a variable looks like a secret.", _app("name: ${API_TOKEN}")),
    _settings(
        "secret-in-configuration",
        _ERROR,
        "octosync.yaml contains a secret.",
        "contexts:\n  local: {url: http://127.0.0.1:8787, token: sk-123}\n",
    ),
    _settings(
        "version-not-allowed", _ERROR, "octosync.yaml requires another version of octosync.", 'requires: "<0.0.1"\n'
    ),
    _settings(
        "unknown-context",
        _ERROR,
        "defaultContext names no context.",
        "contexts:\n  local: {url: http://127.0.0.1:8787}\ndefaultContext: lokal\n",
    ),
    _settings(
        "two-token-sources",
        _ERROR,
        "A context has both tokenEnv and tokenFile.",
        "contexts:\n  local: {url: http://127.0.0.1:8787, tokenEnv: A, tokenFile: b}\n",
    ),
    _settings(
        "two-state-sources",
        _ERROR,
        "octosync.yaml or a context has both stateUrl and stateUrlEnv.",
        "stateUrl: postgresql://db.example.com/octosync\nstateUrlEnv: OCTOSYNC_STATE_URL\n",
    ),
    _settings(
        "receiver-url",
        _ERROR,
        "A receiver of notifications has both url and urlEnv, or none of them.",
        "notify:\n  - {url: 'https://hooks.example.com', urlEnv: OCTOSYNC_NOTIFY_URL}\n",
    ),
    _settings(
        "duplicate-policy",
        _ERROR,
        "Two policies have the same name.",
        "policies:\n"
        "  - {name: a, rule: change.destructive, message: a}\n"
        "  - {name: a, rule: change.destructive, message: b}\n",
    ),
    _settings(
        "invalid-url",
        _ERROR,
        "A URL is invalid for a control plane, a receiver or the state.",
        "contexts:\n  local: {url: 127.0.0.1}\n",
    ),
    _settings(
        "invalid-override",
        _ERROR,
        "An override under api is invalid.",
        "api:\n  operations:\n    apps.list: {method: DELETE}\n",
    ),
)

RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {rule.id: rule for rule in (*_FILES, *_YAML, *_SCHEMA, *_MEANING, *_CONFIGURATION)}
)

# Rules about a base, which no change of the manifests can correct: `--strict` does not apply to them.
BASE_RULES: Final = frozenset({"invalid-base", "attempt-gone"})

MOST_LISTED: Final = 1000
_UNLISTED: Final = "more-problems"
_GRAVEST_FIRST: Final = (Severity.ERROR, Severity.WARNING, Severity.NOTICE)


class Findings:
    """Collects a bounded number of diagnostics and counts the rest. `RULES` has the meaning and severity of each rule.

    `file` is the file of all of them.
    """

    def __init__(self, file: str | None = None) -> None:
        self._file = file
        self._found: dict[Severity, list[Diagnostic]] = {severity: [] for severity in _GRAVEST_FIRST}
        self._counts = dict.fromkeys(_GRAVEST_FIRST, 0)
        self._unlisted: list[Diagnostic] = []  # what counts what is not listed of a file

    def add(
        self,
        rule: str,
        summary: str,
        *,
        origin: Origin | None = None,
        path: str = "",
        excerpt: str | None = None,
        width: int = 1,
        suggestion: str | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        """Add a finding of a rule."""
        self._keep(
            Diagnostic(
                severity=RULES[rule].severity,
                rule=rule,
                summary=summary,
                origin=origin,
                path=path,
                excerpt=excerpt,
                width=max(width, 1),
                suggestion=suggestion,
                notes=notes,
            )
        )

    def extend(self, others: tuple[Diagnostic, ...]) -> None:
        """Take over what was found elsewhere."""
        for diagnostic in others:
            self._keep(diagnostic)

    def has_room(self, rule: str) -> bool:
        """Return whether another finding of a rule would be listed; otherwise it is only counted."""
        return len(self._found[RULES[rule].severity]) < MOST_LISTED

    def add_unlisted(self, rule: str) -> None:
        """Count a finding that is not to be listed."""
        self._counts[RULES[rule].severity] += 1

    def _keep(self, diagnostic: Diagnostic) -> None:
        if diagnostic.rule == _UNLISTED:
            self._unlisted.append(diagnostic)
            return
        self._counts[diagnostic.severity] += 1
        found = self._found[diagnostic.severity]
        if len(found) < MOST_LISTED:
            found.append(diagnostic)

    @property
    def sorted(self) -> tuple[Diagnostic, ...]:
        """Return every finding once, ordered by position.

        Of more than `MOST_LISTED`, the gravest are listed, and a notice counts the others.
        """
        if not self.count and not self._unlisted:
            return ()
        listed: list[Diagnostic] = []
        unlisted: list[str] = []
        for severity, found in self._found.items():
            unique = dict.fromkeys(found)
            room = MOST_LISTED - len(listed)
            listed += sorted(unique, key=_order)[:room]
            more = max(0, len(unique) - room) + self._counts[severity] - len(found)
            unlisted += [counted(more, severity.value)] if more else []
        listed += self._unlisted
        if unlisted:
            summary = f"{' and '.join(unlisted)} more are not listed"
            origin = Origin(self._file) if self._file is not None else None
            listed.append(
                Diagnostic(severity=RULES[_UNLISTED].severity, rule=_UNLISTED, summary=summary, origin=origin)
            )
        return tuple(sorted(listed, key=_order))

    @property
    def count(self) -> int:
        """How often something was found so far, repetitions included."""
        return sum(self._counts.values())

    @property
    def has_errors(self) -> bool:
        """Return whether any finding is an error."""
        return self._counts[Severity.ERROR] > 0


def _order(diagnostic: Diagnostic) -> tuple[object, ...]:
    return (*diagnostic.sort_key, diagnostic.path, diagnostic.notes)


@dataclass(slots=True, eq=False)
class Reporter:
    """Adds findings about one file, each with its source line unless that is sensitive."""

    findings: Findings
    source: Source

    def report(
        self,
        rule: str,
        at: HasPosition,
        summary: str,
        *,
        path: str = "",
        suggestion: str | None = None,
        notes: tuple[str, ...] = (),
        shows_line: bool = True,
    ) -> None:
        """Add a finding about a node or anything else with a position; its line is omitted if it may be a secret."""
        if not self.findings.has_room(rule):
            self.findings.add_unlisted(rule)
            return
        shown = self.source.snippet(at)
        self.findings.add(
            rule,
            summary,
            origin=shown.origin,
            path=path,
            excerpt=shown.excerpt if shows_line else None,
            width=shown.width,
            suggestion=suggestion,
            notes=(*notes, *shown.notes),
        )

    def quote(self, value: object, at: HasPosition) -> str:
        """Quote a value for a message, unless it is sensitive at its position."""
        return quoted(value) if not self.source.hides(at.line, at.column) else "a sensitive value"
