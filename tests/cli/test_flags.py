"""Flags, environment variables and octosync.yaml: their precedence, and which flags have no environment variable."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import click
import pytest
from tests.support.clients import KEY
from tests.support.embedded_planes import EmbeddedPlane, ok, run_plane
from tests.support.projects import Project
from tests.support.workdirs import Workdir

from octosync.cli.commands.history import command as history
from octosync.cli.root import octosync, usage_error
from octosync.cli.run_options import RemoteFlags
from octosync.cli.session import connect
from octosync.errors import UsageError
from octosync.manifest import Configuration
from octosync.plan import GUARDS
from octosync.server import Token

OTHER_KEY = "oct_test_other_456"
COMMAND_LINE_ONLY = {
    "--help",
    "--yes",
    "--insecure",
    "--env",
    *(guard.flag.name for guard in GUARDS.values() if guard.flag is not None),
    "--allow-remote-bases",
    "--prune",
    "--retry-rolled-back",
    "--force",
    "--token",  # of the server: a key is given explicitly
    "--version",
}


def options(command: click.Command = octosync) -> Iterator[tuple[str, click.Option]]:
    """Yield every option of a command and of all its subcommands, with its longest name."""
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            yield max(parameter.opts, key=len), parameter
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from options(below)


def test_every_flag_except_those_that_loosen_has_a_variable() -> None:
    """`OCTOSYNC_<FLAG>` sets every flag, except those that loosen a guard, skip the confirmation or filter the history."""
    # `schema --kustomize` chooses what is printed; for other commands the variable names a folder.
    named = [(flag, option) for flag, option in options() if flag != "--kustomize" or not option.is_flag]
    # A variable that filters the history would hide runs without a word.
    filters = [option for option in history.params if option.name in {"apps", "actors", "since", "until", "outcomes"}]
    named = [(flag, option) for flag, option in named if option not in filters]
    # `--allowed-host` of the embedded server loosens its checks; for watch, the variable names its Service.
    assert {flag for flag, option in named if not option.envvar} <= {*COMMAND_LINE_ONLY, "--allowed-host"}
    for flag, option in named:
        if option.envvar:
            assert flag not in COMMAND_LINE_ONLY
            name = "debug" if flag == "--verbose" else flag.removeprefix("--")  # also for commands without the flag
            assert option.envvar == "OCTOSYNC_" + name.replace("-", "_").upper()


def test_an_error_in_a_variable_names_the_variable(workdir: Workdir, monkeypatch: pytest.MonkeyPatch) -> None:
    """An invalid value from the environment is an error about the variable, for every option that accepts some values only."""
    accepting, refused = set(), set()
    for flag, option in options():
        if not option.envvar:
            continue
        context = click.Context(octosync, info_name="octosync")
        with monkeypatch.context() as patch:
            patch.setenv(str(option.envvar), "tcp://x")
            try:
                option.handle_parse_result(context, {}, [])
            except click.BadParameter as invalid:
                error = usage_error(invalid)
            except UsageError as unquoted:  # the value may be a password
                place = unquoted.message.partition(": ")[0]
                refused.add((flag, unquoted.reference, place == option.envvar, "tcp://x" in str(unquoted)))
                continue
            else:
                accepting.add(flag)
                assert isinstance(option.type, (click.Path, type(click.STRING)))
                continue
        assert error.message.startswith(f"{option.envvar}: 'tcp://x' ")
        assert f" {option.envvar} " in error.hints[0]
    assert refused == {("--state", "state-url-invalid", True, False)}
    # These values are checked when the command runs.
    for command, flag, variable in (
        ("watch -f apps", "--listen", "OCTOSYNC_LISTEN"),
        ("server", "--rate-limit", "OCTOSYNC_RATE_LIMIT"),
        ("init --yes", "--contexts", "OCTOSYNC_CONTEXTS"),
    ):
        assert flag in accepting
        environment: dict[str, Any] = {variable: "tcp://x"}
        assert (
            f"The environment variable {variable} sets {flag}."
            in workdir.octosync(*command.split(), **environment).stderr
        )


def test_a_variable_of_kubernetes_is_recognised(workdir: Workdir) -> None:
    """In a pod, Kubernetes sets OCTOSYNC_PORT for a Service named octosync. The error explains that."""
    ran = workdir.octosync("server", OCTOSYNC_PORT="tcp://10.96.0.7:80")
    assert ran.code == 64
    assert ran.stderr.startswith("error: usage: OCTOSYNC_PORT: 'tcp://10.96.0.7:80' is not a number\n")
    assert "Kubernetes sets OCTOSYNC_PORT" in ran.stderr
    assert "enableServiceLinks: false" in ran.stderr


def test_no_variable_loosens_a_guard(project: Project) -> None:
    """`OCTOSYNC_ALLOW_PROTECTED`, `OCTOSYNC_ALLOW_DELETES` and `OCTOSYNC_YES` have no effect."""
    project.plane.with_slot(project.plane.with_app("search"))
    metadata = "{name: search, annotations: {octosync.dev/protect: 'true'}}"
    project.declare(text=f"apiVersion: octosync.dev/v1\nkind: App\nmetadata: {metadata}\nspec: {{slots: []}}\n")
    project.log()
    loosened: dict[str, Any] = {
        f"OCTOSYNC_{name}": "1" for name in ("ALLOW_PROTECTED", "ALLOW_DELETES", "ALLOW_ARCHIVES")
    }
    assert project.plan(**loosened).code == 4
    assert project.apply(**loosened).code == 4
    assert project.workdir.octosync("apply", "-f", "apps", "--url", project.url, OCTOSYNC_YES="1").code == 64
    assert project.writes() == []


def test_variables_replace_flags(project: Project) -> None:
    """A pipeline may set everything else once."""
    project.declare()
    project.declare("notes", name="Notes")
    ran = project.workdir.octosync(
        "plan", OCTOSYNC_FILE="apps", OCTOSYNC_URL=project.url, OCTOSYNC_OUTPUT="json", OCTOSYNC_APP="search notes"
    )
    assert ran.code == 0
    assert '"apps": 2' in ran.stdout


@pytest.fixture
def second_plane() -> Iterator[EmbeddedPlane]:
    with run_plane(OTHER_KEY, tokens=(Token("second", OTHER_KEY),)) as plane:
        yield plane


@pytest.fixture
def configured(project: Project, second_plane: EmbeddedPlane) -> Project:
    """Two control planes: `here` needs KEY, `there` needs another key; the default of the file is `here`."""
    project.declare()
    project.workdir.environment = {"OCTOMIL_HERE_KEY": KEY, "OCTOMIL_THERE_KEY": OTHER_KEY}
    project.workdir.write(
        "octosync.yaml",
        f"contexts:\n  here: {{url: {project.url}, tokenEnv: OCTOMIL_HERE_KEY}}\n"
        f"  there: {{url: {second_plane.running.url}, tokenEnv: OCTOMIL_THERE_KEY}}\n"
        f"  keyless: {{url: {project.url}}}\n"
        "defaultContext: here\npaths: [apps/]\n",
    )
    return project


def reached(project: Project, second_plane: EmbeddedPlane) -> str:
    """Return which of the two received requests."""
    here, there = project.log(), second_plane.log()
    ok(second_plane.local.delete("/requests-log"), 204)
    assert not (here and there)
    return "here" if here else "there" if there else "nowhere"


def test_without_flags_the_default_context_is_used(configured: Project, second_plane: EmbeddedPlane) -> None:
    """The paths and the default context of octosync.yaml are enough; the context is shown."""
    ran = configured.workdir.octosync("plan")
    assert ran.code == 0
    assert " here (127.0.0.1" in ran.stdout
    assert reached(configured, second_plane) == "here"


def test_flag_over_octosync_over_octomil_over_file(configured: Project, second_plane: EmbeddedPlane) -> None:
    """Flag > OCTOSYNC_* > OCTOMIL_* > file > default, one step at a time."""
    workdir, there = configured.workdir, second_plane.running.url
    octomil: dict[str, Any] = {"OCTOMIL_API_URL": there, "OCTOMIL_API_KEY": OTHER_KEY}
    # A context is used as a whole: OCTOMIL_* applies only without one.
    assert workdir.octosync("plan", **octomil).code == 0
    assert reached(configured, second_plane) == "here"
    assert workdir.octosync("plan", OCTOSYNC_CONTEXT="there").code == 0
    assert reached(configured, second_plane) == "there"
    assert workdir.octosync("plan", "--context", "here", OCTOSYNC_CONTEXT="there").code == 0
    assert reached(configured, second_plane) == "here"
    assert workdir.octosync("plan", "--context", "here", OCTOSYNC_URL=there).code == 0
    assert reached(configured, second_plane) == "here"
    assert workdir.octosync("plan", "--url", there, OCTOSYNC_CONTEXT="here", OCTOMIL_API_KEY=OTHER_KEY).code == 0
    assert reached(configured, second_plane) == "there"
    (workdir.directory / "octosync.yaml").unlink()
    assert workdir.octosync("plan", "-f", "apps", **octomil).code == 0
    assert reached(configured, second_plane) == "there"
    octosync_url: dict[str, Any] = {"OCTOSYNC_URL": configured.url, "OCTOMIL_API_URL": there, "OCTOMIL_API_KEY": KEY}
    assert workdir.octosync("plan", "-f", "apps", **octosync_url).code == 0
    assert reached(configured, second_plane) == "here"


def test_a_context_is_used_as_a_whole(configured: Project) -> None:
    """A context without a token source sends no key, even with OCTOMIL_API_KEY; one with an unset variable is an error."""
    ran = configured.workdir.octosync("plan", "--context", "keyless", OCTOMIL_API_KEY=KEY)
    assert ran.code == 1
    assert "401" in ran.stderr
    configured.log()
    del configured.workdir.environment["OCTOMIL_HERE_KEY"]
    ran = configured.workdir.octosync("plan", OCTOMIL_API_KEY=KEY)
    assert ran.code == 1
    assert "OCTOMIL_HERE_KEY is not set" in ran.stderr
    assert "octosync.yaml:2" in ran.stderr
    assert configured.log() == []


def test_url_and_context_together_are_refused(configured: Project) -> None:
    """Each names a control plane, so the user has to choose one."""
    cases: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
        (("--url", configured.url, "--context", "here"), {}),
        ((), {"OCTOSYNC_URL": configured.url, "OCTOSYNC_CONTEXT": "here"}),
    )
    for typed, variables in cases:
        ran = configured.workdir.octosync("plan", *typed, **variables)
        assert ran.code == 64
        assert "url-with-context" in ran.stderr
    assert configured.log() == []


def test_a_missing_credential_is_an_error_with_hints(workdir: Workdir) -> None:
    """Without a key and a control plane octosync never guesses one: the error names the variable and the demo."""
    workdir.write("apps/a.yaml", "apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: a}\n")
    ran = workdir.octosync("plan", "-f", "apps")
    assert ran.code == 1
    assert "OCTOMIL_API_KEY" in ran.stderr
    assert "octosync demo" in ran.stderr


def test_a_token_file_is_read(project: Project, tmp_path: Path) -> None:
    """`--token-file` contains only the key; a refusal names the file and never its content."""
    project.declare()
    project.workdir.environment = {}
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    assert project.plan("--token-file", file).code == 0
    assert project.plan(OCTOSYNC_TOKEN_FILE=str(file)).code == 0
    file.write_text("oct_test_wrong_9999")
    ran = project.plan("--token-file", file)
    assert ran.code == 1
    assert str(file) in ran.stderr
    assert "oct_test_wrong" not in ran.output


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"\xff\xfe", b"a\nb"])
def test_a_token_file_without_a_key_is_one_clear_error(project: Project, content: bytes) -> None:
    """Empty, blank, two lines, not text: reported before anything is sent."""
    project.declare()
    project.workdir.write("key", content)
    ran = project.plan("--token-file", "key")
    assert ran.code == 1
    assert "key" in ran.stderr
    assert project.log() == []


STRICT = "error: strict: there are warnings, and --strict makes them errors"


def test_strict_makes_warnings_errors(project: Project) -> None:
    """`--strict` fails with a warning, and the error gives that reason."""
    project.declare(
        text="apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: a}\nspec: {slots: [{capability: chta}]}\n"
    )
    assert project.plan().code == 0
    valid = project.workdir.octosync("validate", "-f", "apps", "--strict")
    assert (valid.code, valid.stdout.count(STRICT)) == (1, 1)
    ran = project.plan("--strict")
    assert (ran.code, ran.stderr.count(STRICT)) == (1, 1)
    project.plan("--strict", "--write", "json=plan.json")
    valid = project.workdir.octosync("validate", "-f", "apps", "--strict", "-o", "json")
    for document in (json.loads(valid.stdout), json.loads((project.workdir.directory / "plan.json").read_text())):
        assert [error["reference"] for error in document["errors"]] == ["strict"]
    assert project.apply("--strict").code == 1
    assert project.writes() == []


def test_strict_covers_warnings_of_the_plan(project: Project) -> None:
    """A warning that depends on live state fails a strict plan and apply, and the error names the flag."""
    project.plane.with_slot(project.plane.with_app("search"), public_client_allowed=True)
    project.declare(
        text="apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: search}\n"
        "spec: {slots: [{capability: chat, servingPolicy: local_only}]}\n"
    )
    project.log()
    for ran in (project.plan("--strict"), project.apply("--strict")):
        assert (ran.code, ran.stderr.count(STRICT)) == (1, 1)
    document = json.loads(project.plan("--strict", "-o", "json").stdout)
    assert (document["errored"], document["errors"][0]["reference"]) == (True, "strict")
    assert "--strict makes them errors" in project.plan("--strict", "-o", "markdown").stdout
    assert project.writes() == []
    assert project.apply().code == 0


def test_a_suggested_command_repeats_the_flags(project: Project) -> None:
    """The command that a blocked plan suggests has every flag that affects it, and works as typed."""
    project.plane.with_slot(project.plane.with_app("search"))
    text = "{name: search, annotations: {octosync.dev/protect: 'true'}}"
    project.declare(
        text=f"apiVersion: octosync.dev/v1\nkind: App\nmetadata: {text}\nspec: {{name: '${{CHANNEL}}', slots: []}}\n"
    )
    project.workdir.write("key", KEY)
    project.workdir.write("else where/octosync.yaml", "rate: {requestsPerMinute: 0}\n")
    project.workdir.environment = {"CHANNEL": "beta"}
    typed = ("--config", "else where/octosync.yaml", "--env", "CHANNEL", "--token-file", "key", "--app", "sea*")
    output = project.plan(*typed).stdout
    (line,) = (line for line in output.splitlines() if "To allow this:" in line)
    command = shlex.split(line.partition("octosync ")[2])
    assert project.workdir.octosync(*command, "--yes").code == 0


@pytest.mark.parametrize(
    ("url", "environment", "proxy"),
    [
        ("https://octomil.example", {"HTTPS_PROXY": "http://proxy:3128"}, "http://proxy:3128"),
        ("https://octomil.example", {"https_proxy": "proxy:3128"}, "http://proxy:3128"),
        ("https://octomil.example", {"HTTP_PROXY": "http://proxy:3128"}, None),
        ("https://octomil.example", {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": ".example"}, None),
        (
            "https://octomil.example",
            {"HTTPS_PROXY": "http://proxy:3128", "no_proxy": "other.example"},
            "http://proxy:3128",
        ),
        ("https://127.0.0.1", {"HTTPS_PROXY": "http://proxy:3128"}, None),
        ("https://octomil.example", {}, None),
    ],
)
def test_a_proxy_comes_from_the_usual_variables(url: str, environment: dict[str, str], proxy: str | None) -> None:
    """`HTTPS_PROXY` and `NO_PROXY` have their usual meaning; loopback addresses never use a proxy."""
    assert connect(RemoteFlags(url=url), Configuration(), None, environment).proxy == proxy


class _Proxy(BaseHTTPRequestHandler):
    """A proxy that forbids everything, and records its requests."""

    requests: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.requests.append(self.requestline)
        self.send_error(403, "Not through here")

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def test_requests_go_through_the_proxy(workdir: Workdir) -> None:
    """Requests beyond this machine go to the proxy, and an error names the proxy as a possible source of the response."""
    manifest = "apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: search}\n"
    with HTTPServer(("127.0.0.1", 0), _Proxy) as proxy:
        thread = Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            address = f"http://127.0.0.1:{proxy.server_port}"
            url = ("--url", "http://octomil.invalid")
            ran = workdir.octosync("plan", "-f", "-", *url, stdin=manifest.encode(), HTTP_PROXY=address)
        finally:
            proxy.shutdown()
            thread.join()
    assert ran.code == 1
    assert _Proxy.requests == ["GET http://octomil.invalid/api/v1/apps/search HTTP/1.1"]
    assert "it may come from a proxy" in ran.stderr
