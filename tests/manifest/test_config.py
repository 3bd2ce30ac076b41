"""The configuration file octosync.yaml."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.manifests import Workspace, only, rules

from octosync.errors import UsageError
from octosync.manifest import (
    Configuration,
    GuardLimits,
    Owner,
    Rate,
    find_configuration,
    parse_duration,
    read_configuration,
)
from octosync.manifest.config.config import is_allowed
from octosync.model import (
    FreezeWindow,
    Judges,
    NotifyEvent,
    Origin,
    Policy,
    Receiver,
    Requirement,
    Secret,
    Sensitivity,
    Severity,
)

FULL = """\
requires: ">=0.1,<1"
contexts:
  production: {url: https://api.octomil.com, org: 8f1c, tokenEnv: OCTOMIL_API_KEY, kustomize: overlays/production}
  staging: {url: https://api.octomil.com, org: 77ab, tokenFile: secrets/t, paths: [apps/], vars: {CHANNEL: beta}}
  local: {url: "http://127.0.0.1:8787"}
defaultContext: local
paths: [apps/]
env: [RELEASE_CHANNEL]
owners: [{paths: "teams/search/**", apps: ["search-*"]}]
guards: {maxDeletes: 11, maxDeletePercent: 12.5, minObjects: 13, maxArchives: 0, trailers: [deletes]}
freeze: [{cron: "0 18 * * FRI", duration: 60h, timezone: Europe/Berlin, except: ["sandbox-*"]}]
notify:
  - {url: "https://hooks.example.com/T0/B0", events: [failed, held], secretEnv: OCTOSYNC_NOTIFY_SECRET}
  - {urlEnv: OCTOSYNC_NOTIFY_URL}
drift: {hold: 1h30m}
maxCanaries: 0
rate: {requestsPerMinute: 0, concurrency: 4}
sensitiveKeys: ["*credential*"]
api:
  operations: {apps.list: {path: /applications}}
  readOnly: {slot: [computed]}
  platforms: [visionos]
"""


def test_every_key_is_read_into_frozen_values(workspace: Workspace) -> None:
    """Each key of the documented example is read, with paths relative to the working directory."""
    configured = workspace.configure(FULL)
    assert not configured.diagnostics
    found = configured.configuration
    production, staging, local = (found.contexts[name] for name in ("production", "staging", "local"))
    assert (production.org, production.token_env, production.kustomize) == (
        "8f1c",
        "OCTOMIL_API_KEY",
        "overlays/production",
    )
    assert production.origin == Origin("octosync.yaml", 3, 15)
    assert (staging.token_file, staging.paths, staging.vars) == (Path("secrets/t"), ("apps",), {"CHANNEL": "beta"})
    assert (local.url, local.org, local.token_env, local.token_file) == ("http://127.0.0.1:8787", None, None, None)
    assert (found.file, found.default_context, found.paths) == ("octosync.yaml", "local", ("apps",))
    assert found.env == ("RELEASE_CHANNEL",)
    assert found.owners == (Owner("teams/search/**", ("search-*",)),)
    limits = {"maxDeletes": 11, "maxDeletePercent": 12.5, "minObjects": 13, "maxArchives": 0}
    assert found.guards == GuardLimits(limits={**GuardLimits().limits, **limits}, trailers=("deletes",))
    assert found.freeze == (
        FreezeWindow(
            cron="0 18 * * FRI",
            duration=timedelta(hours=60),
            timezone="Europe/Berlin",
            exempt=("sandbox-*",),
        ),
    )
    assert found.freeze[0].origin == Origin("octosync.yaml", 11, 10)
    assert found.notify == (
        Receiver(
            url=Secret("https://hooks.example.com/T0/B0"),
            events=(NotifyEvent.FAILED, NotifyEvent.HELD),
            secret_env="OCTOSYNC_NOTIFY_SECRET",
        ),
        Receiver(url_env="OCTOSYNC_NOTIFY_URL"),
    )
    assert found.notify[0].origin == Origin("octosync.yaml", 13, 5)
    assert (found.drift_hold, found.max_canaries) == (timedelta(minutes=90), 0)
    assert found.rate == Rate(requests_per_minute=0, concurrency=4)
    assert found.sensitivity == Sensitivity(("*credential*",))
    assert found.contract.operations["apps.list"].path == "/applications"
    assert "computed" in found.contract.shapes["slot"].read_only
    assert found.contract.platforms[-1] == "visionos"


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "{}", "guards: {}\nrate: {}\ndrift: {}\napi: {}\nfreeze: []\nnotify: []\n"]
)
def test_without_keys_the_defaults_apply(workspace: Workspace, text: str) -> None:
    """An empty file and empty sections are equal to no file."""
    configured = workspace.configure(text)
    assert not configured.diagnostics
    found, plain = configured.configuration, Configuration()
    for name in (
        "guards",
        "rate",
        "drift_hold",
        "max_canaries",
        "sensitivity",
        "contexts",
        "paths",
        "owners",
        "freeze",
        "policies",
        "notify",
    ):
        assert getattr(found, name) == getattr(plain, name)
    assert read_configuration(None).configuration == plain


@pytest.mark.parametrize(
    ("text", "rule", "path", "suggestion"),
    [
        ("[1]", "wrong-type", "", None),
        ("{}\n---\n{}", "wrong-type", "", None),
        ("defaultContxt: x", "unknown-field", "defaultContxt", "defaultContext"),
        ("contexts: {c: {}}", "missing-field", "contexts.c.url", None),
        ("contexts: {c: {url: 'http://a', tokenenv: A}}", "secret-in-configuration", "contexts.c.tokenenv", "tokenEnv"),
        ("contexts: {c: {url: 'http://a', orgs: b}}", "unknown-field", "contexts.c.orgs", "org"),
        ("contexts: {c: {url: 'ftp://a'}}", "invalid-url", "contexts.c.url", None),
        ("contexts: {c: {url: 'http://'}}", "invalid-url", "contexts.c.url", None),
        ("contexts: {c: {url: 'http://a b'}}", "invalid-url", "contexts.c.url", None),
        ("contexts: {c: {url: 'http://a:99999'}}", "invalid-url", "contexts.c.url", None),
        ("contexts: {c: {url: 'http://a', vars: {a-b: c}}}", "invalid-value", "contexts.c.vars", None),
        ("contexts: {c: {url: 'http://a', vars: {A: 1}}}", "wrong-type", "contexts.c.vars.A", '"1"'),
        ("stateUrl: state.db", "invalid-url", "stateUrl", None),
        ("stateUrl: 'postgresql://h/d?hostaddr=10.0.0.1'", "invalid-url", "stateUrl", None),
        ("stateUrl: 'postgresql://h/d?service=s'", "invalid-url", "stateUrl", None),
        ("stateUrl: postgresql://h/d\nstateUrlEnv: A", "two-state-sources", "stateUrlEnv", None),
        ("requires: newest", "invalid-value", "requires", None),
        ("requires: 1", "wrong-type", "requires", '"1"'),
        ("env: [a-b]", "invalid-value", "env[0]", None),
        ("env: [A, API_TOKEN]", "secret-variable", "env[1]", None),
        ("env: [1]", "wrong-type", "env[0]", None),
        ("owners: [{paths: a}]", "missing-field", "owners[0].apps", None),
        ("guards: {maxDeletes: -1}", "invalid-value", "guards.maxDeletes", None),
        ("guards: {maxDeletes: 1.5}", "wrong-type", "guards.maxDeletes", None),
        ("guards: {maxDeletePercent: 101}", "invalid-value", "guards.maxDeletePercent", None),
        ("guards: {trailers: [delete]}", "invalid-value", "guards.trailers[0]", "deletes"),
        ("drift: {hold: 30}", "wrong-type", "drift.hold", None),
        ("drift: {hold: 30 minutes}", "invalid-value", "drift.hold", None),
        ("notify: [{}]", "receiver-url", "notify[0]", None),
        ("notify: [{url: 'http://a', urlEnv: OCTOSYNC_A}]", "receiver-url", "notify[0]", None),
        ("notify: [{url: hooks.example.com}]", "invalid-url", "notify[0].url", None),
        ("notify: [{url: 'ftp://a'}]", "invalid-url", "notify[0].url", None),
        ("notify: [{url: 'http://a', events: [aplied]}]", "invalid-value", "notify[0].events[0]", "applied"),
        ("notify: [{url: 'http://a', events: []}]", "invalid-value", "notify[0].events", None),
        ("notify: [{url: 'http://a', secretEnv: not-a-name}]", "secret-in-configuration", "notify[0].secretEnv", None),
        (
            "notify: [{url: 'http://a', secretEnv: NOTIFY_SECRET}]",
            "secret-in-configuration",
            "notify[0].secretEnv",
            None,
        ),
        (
            "notify: [{url: 'http://a', secretEnv: OCTOSYNC_ADMIN_TOKEN}]",
            "secret-in-configuration",
            "notify[0].secretEnv",
            None,
        ),
        (
            "notify: [{url: 'http://a', secretEnv: OCTOSYNC_PLAN_KEY}]",
            "secret-in-configuration",
            "notify[0].secretEnv",
            None,
        ),
        (
            "notify: [{url: 'http://a', secretEnv: OCTOMIL_API_KEY}]",
            "secret-in-configuration",
            "notify[0].secretEnv",
            None,
        ),
        ("notify: [{urlEnv: DATABASE_URL}]", "secret-in-configuration", "notify[0].urlEnv", None),
        ("notify: [{url: 'http://a', secret: abc}]", "secret-in-configuration", "notify[0].secret", "secretEnv"),
        ("freeze: [{cron: daily, duration: 1h}]", "invalid-value", "freeze[0].cron", None),
        ("freeze: [{cron: '0 18 * * FOO', duration: 1h}]", "invalid-value", "freeze[0].cron", None),
        ("freeze: [{cron: '61 * * * *', duration: 1h}]", "invalid-value", "freeze[0].cron", None),
        ("freeze: [{cron: '0 18 * * FRI-MON', duration: 1h}]", "invalid-value", "freeze[0].cron", None),
        ("freeze: [{cron: '0 0 30 2 *', duration: 1h}]", "invalid-value", "freeze[0].cron", None),
        ("freeze: [{cron: '0 0 ? * *', duration: 1h}]", "invalid-value", "freeze[0].cron", None),
        ("freeze: [{cron: '0 0 0 * * *', duration: 1h}]", "invalid-value", "freeze[0].cron", None),
        (
            "freeze: [{cron: '0 0 * * *', duration: 1h, timezone: Europe/Berln}]",
            "invalid-value",
            "freeze[0].timezone",
            "Europe/Berlin",
        ),
        ("policies: [{rule: a, message: b}]", "missing-field", "policies[0].name", None),
        ("policies: [{name: a, message: b}]", "missing-field", "policies[0].rule", None),
        ("policies: [{name: a, rule: b}]", "missing-field", "policies[0].message", None),
        ("policies: [{name: A b, rule: b, message: c}]", "invalid-value", "policies[0].name", "a-b"),
        ("policies: [{name: a, rule: b, message: c, on: app}]", "unknown-field", "policies[0].on", None),
        ("policies: [{name: a, rule: b, message: c, judges: apps}]", "invalid-value", "policies[0].judges", "app"),
        ("policies: [{name: a, rule: b, message: c, severity: notice}]", "invalid-value", "policies[0].severity", None),
        (
            "policies: [{name: a, rule: b, message: c, selector: 'x in y'}]",
            "invalid-value",
            "policies[0].selector",
            None,
        ),
        ("policies: [{name: a, rule: b, message: c, link: 'http://a'}]", "invalid-value", "policies[0].link", None),
        (
            "policies: [{name: a, rule: b, message: c, link: 'https://a:b@c'}]",
            "invalid-value",
            "policies[0].link",
            None,
        ),
        (f"policies: [{{name: a, rule: '{'a' * 4001}', message: c}}]", "invalid-value", "policies[0].rule", None),
        (f"policies: [{{name: a, rule: b, message: '{'a' * 501}'}}]", "invalid-value", "policies[0].message", None),
        (
            f"policies: [{', '.join(f'{{name: p{n}, rule: a, message: b}}' for n in range(101))}]",
            "invalid-value",
            "policies",
            None,
        ),
        ("rate: {concurrency: 0}", "invalid-value", "rate.concurrency", None),
        ("api: {operations: {apps.lst: {path: /x}}}", "invalid-override", 'api.operations."apps.lst"', None),
        ("api: {operations: {apps.get: {path: /x}}}", "invalid-override", 'api.operations."apps.get"', None),
        ("api: {readOnly: {slots: [x]}}", "invalid-override", "api.readOnly.slots", None),
        ("heal: {}", "unknown-field", "heal", None),
    ],
)
def test_each_mistake_is_one_error_at_its_place(
    workspace: Workspace, text: str, rule: str, path: str, suggestion: str | None
) -> None:
    """The diagnostics are those of manifests: rule, path, suggestion."""
    configured = workspace.configure(text)
    found = only(configured)
    assert (found.rule, found.path, found.suggestion) == (rule, path, suggestion)
    assert configured.has_errors
    assert found.origin is not None
    assert found.origin.file == "octosync.yaml"


def test_policies_are_read(workspace: Workspace) -> None:
    """Each with its defaults, its labels, and the place of its rule; a message is one line."""
    found = workspace.configure(
        "policies:\n"
        "  - {name: a, rule: change.destructive, message: b}\n"
        "  - name: c-1\n    judges: app\n    selector: data=restricted,tier!=x\n    severity: warning\n"
        "    rule: |\n      app.protected\n      || true\n    message: >\n      two\n\n      lines\n    link: https://a.example/b?c#d\n"
    )
    assert not found.diagnostics
    first, second = found.configuration.policies
    assert first == Policy(name="a", rule="change.destructive", message="b")
    assert first.origin == Origin("octosync.yaml", 2, 21)
    assert second == Policy(
        name="c-1",
        judges=Judges.APP,
        selector=(Requirement("data", "restricted", equal=True), Requirement("tier", "x", equal=False)),
        severity=Severity.WARNING,
        rule="app.protected\n|| true\n",
        message="two lines",
        link="https://a.example/b?c#d",
    )


def test_a_hostile_selector_is_refused_at_once(workspace: Workspace) -> None:
    """A text of many spaces takes no longer than its length."""
    found = only(workspace.configure(f"policies: [{{name: a, rule: b, message: c, selector: 'a={' ' * 300_000}!'}}]"))
    assert (found.rule, found.path) == ("invalid-value", "policies[0].selector")


def test_a_policy_that_is_wrong_never_judges_less(workspace: Workspace) -> None:
    """Without a sound selector, severity and rule it is about all apps, refuses, and accepts nothing."""
    found = workspace.configure("policies: [{name: 1, rule: 2, message: 3, selector: '=', severity: none, judges: x}]")
    assert found.has_errors
    assert found.configuration.policies == (Policy(name="unnamed", rule="", message=""),)


def test_the_meaning_of_values_is_checked_with_everything_else(workspace: Workspace) -> None:
    """A wrong URL, time zone and cron expression are reported together with unknown and missing fields of the same objects."""
    found = workspace.configure(
        "contexts:\n  a: {url: ftp://a, orgs: x}\n  b: {url: 'http://b', url: 'ftp://b'}\n"
        "freeze:\n  - {cron: '61 * * * *', timezone: Europe/Berln}\n"
        "env: [A_TOKEN, a-b]\n"
    )
    assert [(diagnostic.rule, diagnostic.path) for diagnostic in found.diagnostics] == [
        ("invalid-url", "contexts.a.url"),
        ("unknown-field", "contexts.a.orgs"),
        ("duplicate-key", "contexts.b.url"),
        ("invalid-url", "contexts.b.url"),
        ("missing-field", "freeze[0].duration"),
        ("invalid-value", "freeze[0].cron"),
        ("invalid-value", "freeze[0].timezone"),
        ("secret-variable", "env[0]"),
        ("invalid-value", "env[1]"),
    ]
    assert found.diagnostics[6].suggestion == "Europe/Berlin"


def test_every_invalid_override_is_reported_at_its_place(workspace: Workspace) -> None:
    """Every one is reported, not only the first. Two that conflict with each other are reported at `api`."""
    three = workspace.configure(
        "api:\n"
        "  operations:\n"
        "    apps.lst: {path: /x}\n"
        "    apps.get: {method: POST}\n"
        "    apps.archive: {path: '/gone/{slug}'}\n"
        "  readOnly: {slots: [x], slot: [etag]}\n"
    )
    assert [(found.origin.line, found.origin.column) for found in three.diagnostics if found.origin] == [
        (3, 5),
        (4, 5),
        (6, 14),
    ]
    clash = workspace.configure(
        "api:\n"
        "  operations:\n"
        "    apps.capabilities.preview: {path: '/apps/{slug}/{capability}/look'}\n"
        "    apps.capabilities.enable: {path: '/apps/{slug}/{capability}/look'}\n"
    )
    assert only(clash).path == "api"


SECRET = "hunter2-8f1c"


@pytest.mark.parametrize(
    "text",
    [
        f"contexts: {{c: {{url: 'http://a', token: {SECRET}}}}}",
        f"contexts:\n  c:\n    url: http://a\n    apiKey: {SECRET}",
        f"contexts:\n  c:\n    url: http://a\n    tokenEnv: {SECRET}",
        f"contexts:\n  c:\n    url: http://user:{SECRET}@a",
        f"contexts:\n  c:\n    url: 'http://{SECRET}@[a'",
        f"contexts:\n  c:\n    url: http://a?key={SECRET}",
        f"contexts:\n  c:\n    url: http://a#{SECRET}",
        f"contexts:\n  c:\n    url: http://a\n    url: http://user:{SECRET}@a",
        f"contexts:\n  c:\n    url: http://a\n    vars:\n      API_TOKEN: {SECRET}",
        f"stateUrl: postgresql://u:{SECRET}@h/d",
        f"stateUrl: 'postgresql://h/d?password={SECRET}'",
        f"stateUrl: postgresql://u:{SECRET}/@h/d",
        f"stateUrl: mysql://u:{SECRET}@h/d",
        f"stateUri: postgresql://u:{SECRET}@h/d\ntoken: a",
        f"contexts: {{c: {{url: 'http://a', stateUrl: 'postgresql://u:{SECRET}@h/d', rl: 1}}}}",
        f"notify: [{{url: 'http://user:{SECRET}@a'}}]",
        f"notify: [{{url: 'http://a/#{SECRET}'}}]",
        f"notify: [{{url: 'https://{SECRET}@[a'}}]",
        f"notify: [{{url: 'http://a', secret: {SECRET}}}]",
        f"notify: [{{url: 'http://a', secretEnv: {SECRET}}}]",
        f"password: {SECRET}",
        f"api: [{{secret: {SECRET}}}]",
        f"token: {SECRET}: x",
    ],
)
def test_a_secret_in_the_file_is_an_error_and_never_shown(workspace: Workspace, text: str) -> None:
    """A token, a key, and a URL with a password or a query are errors that name the key and show no value."""
    configured = workspace.configure(text)
    assert configured.has_errors
    shown = repr(
        [
            (diagnostic.summary, diagnostic.path, diagnostic.excerpt, diagnostic.suggestion, diagnostic.notes)
            for diagnostic in configured.diagnostics
        ]
    )
    assert SECRET not in shown
    assert {"secret-in-configuration", "invalid-url", "yaml-syntax"} & set(rules(configured))


@pytest.mark.parametrize(
    "wrong", ["urlEnv: A", "evnts: [held]", "events: [aplied]", "secretEnv: a-b", "events: 1", "url: http://b"]
)
def test_the_url_of_a_receiver_is_never_shown(workspace: Workspace, wrong: str) -> None:
    """Whatever other error the line has, the URL may be a secret by itself, so no excerpt contains it."""
    configured = workspace.configure(f"notify: [{{url: 'https://hooks.example.com/{SECRET}', {wrong}}}]\n")
    assert configured.has_errors
    shown = repr(
        [
            (diagnostic.summary, diagnostic.path, diagnostic.excerpt, diagnostic.suggestion, diagnostic.notes)
            for diagnostic in configured.diagnostics
        ]
    )
    assert SECRET not in shown
    assert SECRET not in repr(configured.configuration)


def test_another_required_version_is_the_only_error(workspace: Workspace) -> None:
    """A file for a newer octosync may have unknown keys, so only the version is reported."""
    text = 'requires: ">=2"\nnewKey: 1\nnewKey: 2\n'
    found = only(workspace.configure(text, version="1.9.0"))
    assert (found.rule, found.summary) == (
        "version-not-allowed",
        "this is octosync 1.9.0, and octosync.yaml requires >=2",
    )
    assert "version-not-allowed" not in rules(workspace.configure(text, version="2.0"))


@pytest.mark.parametrize(
    ("specifier", "version", "accepted"),
    [
        (">=0.1,<1", "0.1.0", True), (">=0.1,<1", "1.0", False), (">=0.1, < 1", "0.0.9", False),
        ("==0.1", "0.1.0", True), ("==0.1.*", "0.1.7", True), ("==0.1.*", "0.2.0", False), ("==1.0.0", "1", True),
        ("!=0.1.*", "0.1.7", False), ("!=0.1.*", "0.2", True), ("!=0.1.0", "0.1", False),
        ("~=0.1", "0.9", True), ("~=0.1", "1.0", False), ("~=0.1.2", "0.1.9", True), ("~=0.1.2", "0.2.0", False),
        ("~=0.1.2", "0.1.1", False), (">0.1", "0.1.1", True), (">0.1", "0.1", False), ("<=0.1", "0.1.0", True),
        (">=0.1", "0.1.0rc1", True), (">=0.1", "unknown", False), ("==0.1.0rc1", "0.1.0rc1", True), (">0.1rc1", "0.1rc1", False),
    ],
)  # fmt: skip
def test_version_specifiers_have_the_meaning_of_python_packages(specifier: str, version: str, accepted: bool) -> None:
    """The usual operators, `.*` and `~=`. A pre-release counts as its release unless a specifier names one."""
    assert is_allowed(version, specifier) is accepted


@pytest.mark.parametrize("text", ["", "1", ">=", ">=1.*", "~=1", "^1", ">=1,", "=1", ">=a", "==" + "9" * 5000])
def test_any_other_text_is_not_a_version_specifier(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match=r"Invalid specifier|empty part|Exceeds the limit"):
        is_allowed("0.1.0", text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("30s", 30), ("30m", 1800), ("4h", 14400), ("1h30m", 5400), ("2d1s", 172801), ("0m", 0)],
)
def test_durations(text: str, seconds: int) -> None:
    """Days, hours, minutes and seconds, in that order, each at most once."""
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "30", "m", "1.5h", "30m1h", "-1h", "1h 30m", "1w", "9999999999h"])
def test_any_other_text_is_not_a_duration(text: str) -> None:
    """A bare number has no unit."""
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


def test_the_file_is_found_in_parent_folders(workspace: Workspace) -> None:
    """The nearest one is used, and its paths are relative to the working directory."""
    workspace.write({"octosync.yaml": "paths: [apps]", "a/b/c/x": "", "a/b/octosync.yaml": "paths: [deep]"})
    at = workspace.directory
    assert find_configuration(at) == at / "octosync.yaml"
    found = find_configuration(at / "a" / "b" / "c")
    assert found == at / "a/b/c/../octosync.yaml"
    assert [Path(path).resolve() for path in read_configuration(found).configuration.paths] == [
        (at / "a/b/deep").resolve()
    ]
    outer = find_configuration(at / "a")
    assert outer is not None
    assert outer.resolve() == at.resolve() / "octosync.yaml"


def test_without_a_file_there_is_no_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search ends at the root."""
    monkeypatch.setattr("octosync.manifest.config.config.FILE_NAME", "octosync-missing.yaml")
    assert find_configuration(tmp_path) is None


@pytest.mark.parametrize("name", ["nowhere.yaml", "folder"])
def test_an_unreadable_file_is_an_error(workspace: Workspace, name: str) -> None:
    """`--config` with a missing file never counts as "no configuration"."""
    workspace.write({"folder/x.txt": ""})
    configured = read_configuration(Path(name), directory=workspace.directory)
    assert configured.has_errors


def test_a_context_is_chosen_by_name(workspace: Workspace) -> None:
    """A wrong name is a usage error that lists the contexts."""
    configuration = workspace.configure(FULL).configuration
    assert configuration.context("local").name == "local"
    for name, hint in (
        ("prodution", "Did you mean production?"),
        ("zzz", "octosync.yaml has: production, staging, local"),
    ):
        with pytest.raises(UsageError, match="unknown-context") as raised:
            configuration.context(name)
        assert raised.value.hints == (hint,)
    with pytest.raises(UsageError, match="unknown-context") as raised:
        Configuration().context("x")
    assert "there is none" in raised.value.hints[0]
    with pytest.raises(UsageError) as raised:
        Configuration(file="octosync.yaml").context("x")
    assert "no contexts" in raised.value.hints[0]
