"""Where the state is: which of `--state`, OCTOSYNC_STATE and octosync.yaml names it, and which secrets a file can't reach."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.support.clients import KEY
from tests.support.postgres import PASSWORD as SERVER_PASSWORD
from tests.support.postgres import USER, PostgresServer
from tests.support.projects import Project
from tests.support.workdirs import Workdir

from octosync.cli.run_options import StateFlag
from octosync.cli.state_location import choose_state
from octosync.errors import ConfigError
from octosync.manifest import Configuration, Context, read_configuration
from octosync.manifest.git.base import as_reviewed
from octosync.state import StateUrl, parse_location

PASSWORD = "hunter2-of-the-database"
SECRET_URL = f"postgresql://u:{PASSWORD}@127.0.0.1:1/octosync"
DEFAULT = Path(".octosync/state.db")


def configured(workdir: Workdir, text: str, context: str | None = None) -> tuple[Configuration, Context | None]:
    """Return a configuration that was found, not named, and one of its contexts."""
    workdir.write("octosync.yaml", text)
    found = read_configuration(Path("octosync.yaml"), directory=workdir.directory)
    assert not found.diagnostics
    return found.configuration, None if context is None else found.configuration.context(context)


def chosen(
    settings: tuple[Configuration, Context | None],
    environment: Mapping[str, str] | None = None,
    flag: str | None = None,
) -> tuple[str, tuple[str, ...]]:
    """Return the chosen location as it is shown, and the arguments that name it in another command."""
    given = StateFlag(None if flag is None else parse_location(flag), is_typed=True)
    state = choose_state(given, *settings, environment=environment or {})
    return str(state.location), state.arguments


BOTH = """\
stateUrl: postgresql://top/octosync
contexts:
  own: {url: http://127.0.0.1:1, stateUrl: postgresql://own/octosync}
  none: {url: http://127.0.0.1:1}
  env: {url: http://127.0.0.1:1, stateUrlEnv: OCTOSYNC_DATABASE}
"""


def test_the_flag_precedes_the_context_which_precedes_the_file(workdir: Workdir) -> None:
    """Without any of them, it is the default file. The arguments name the same state again, without a password."""
    top, own, env = (
        "postgresql://top:5432/octosync",
        "postgresql://own:5432/octosync",
        {"OCTOSYNC_DATABASE": SECRET_URL},
    )
    assert chosen(configured(workdir, BOTH)) == (top, ())
    assert chosen(configured(workdir, BOTH, "none")) == (top, ())
    assert chosen(configured(workdir, BOTH, "own")) == (own, ("--context", "own"))
    assert chosen(configured(workdir, BOTH, "env"), env) == ("postgresql://127.0.0.1:1/octosync", ("--context", "env"))
    assert chosen(configured(workdir, BOTH, "own"), flag="x.db") == ("x.db", ("--state", "x.db"))
    typed = "postgresql://u@h/octosync?sslmode=require"
    assert chosen(configured(workdir, BOTH, "own"), flag=typed) == ("postgresql://h:5432/octosync", ("--state", typed))
    assert chosen(configured(workdir, "paths: [apps/]")) == (str(DEFAULT), ())
    given = StateFlag(parse_location(SECRET_URL))  # of the environment, which is there when the command is repeated
    assert choose_state(given, Configuration(), None).arguments == ()


@pytest.mark.parametrize("value", [None, "state.db", KEY, f"mysql://u:{PASSWORD}@h/d"])
def test_a_variable_has_to_hold_a_url(workdir: Workdir, value: str | None) -> None:
    """Its text is never used as a path, and no error quotes it: a file could name the variable of a key."""
    settings = configured(workdir, "stateUrlEnv: OCTOMIL_API_KEY")
    with pytest.raises(ConfigError) as raised:
        chosen(settings, {} if value is None else {"OCTOMIL_API_KEY": value})
    assert raised.value.reference == ("no-state-url" if value is None else "state-url-invalid")
    assert value is None or value not in f"{raised.value}{raised.value.hints}"


def test_a_discovered_file_reaches_no_secret_of_the_machine(workdir: Workdir) -> None:
    """A file that was found, not named, may name octosync's variables only, and PGPASSWORD is not sent to its host."""
    configuration, _ = configured(workdir, "stateUrlEnv: DATABASE_URL")
    with pytest.raises(ConfigError) as raised:
        chosen((configuration, None), {"DATABASE_URL": SECRET_URL})
    assert raised.value.reference == "state-source-not-trusted"
    for text in (
        "stateUrl: postgresql://h/octosync",
        "contexts: {c: {url: http://a, stateUrl: postgresql://h/octosync}}",
    ):
        context = "c" if "contexts" in text else None
        url = choose_state(StateFlag(), *configured(workdir, text, context), environment={"PGPASSWORD": "x"}).location
        assert isinstance(url, StateUrl)
        assert "password=''" in url.conninfo().reveal()
    given = choose_state(StateFlag(parse_location("postgresql://h/octosync")), configuration, None).location
    assert isinstance(given, StateUrl)
    assert "password" not in given.conninfo().reveal()


@pytest.mark.parametrize("command", [("history",), ("doctor",), ("status",), ("watch", "-f", "apps")])
def test_a_password_on_the_command_line_is_refused(workdir: Workdir, command: tuple[str, ...]) -> None:
    """Other users can read command lines. The error names the alternatives, and does not quote the password."""
    ran = workdir.octosync(*command, "--state", SECRET_URL)
    assert (ran.code, "error: password-on-command-line" in ran.stderr) == (64, True), ran.output
    assert all(word in ran.stderr for word in ("stateUrlEnv", "OCTOSYNC_STATE", "~/.pgpass", "client certificate"))
    assert PASSWORD not in ran.output


@pytest.mark.parametrize(
    "source",
    [
        {"OCTOSYNC_STATE": SECRET_URL},
        {"OCTOSYNC_STATE": f"postgresql://u:{PASSWORD}@@127.0.0.1:1/octosync"},
        {"OCTOSYNC_STATE": f"host=127.0.0.1 port=1 dbname=octosync password={PASSWORD}"},
        {"OCTOSYNC_DATABASE": SECRET_URL},
    ],
)
def test_a_password_is_in_no_output(project: Project, source: dict[str, str]) -> None:
    """The database can't be reached: neither errors nor debug output nor reports have the password."""
    project.declare()
    name = next(iter(source))
    if name == "OCTOSYNC_DATABASE":
        project.workdir.write("octosync.yaml", f"stateUrlEnv: {name}\n")
    project.workdir.environment = {**project.workdir.environment, **source}
    folder = project.workdir.directory
    every = (
        ("apply", "-f", "apps", "--url", project.url, "--yes", "-v", "--write", "json=run.json"),
        ("doctor", "--url", project.url, "-v"),
        ("bootstrap", "notes", "--platform", "ios", "--identifier", "a.b", "--url", project.url, "-v"),
        ("status", "--url", project.url, "-v"),
        ("history", "last"),
        ("history", "-o", "json"),
    )
    for command in every if source == {"OCTOSYNC_STATE": SECRET_URL} else every[:2]:
        ran = project.workdir.octosync(*command, OCTOSYNC_DEBUG="1")
        assert ran.code in ({0, 1, 64, 75} if command[0] == "status" else {1, 64, 75}), ran.output
        assert PASSWORD not in ran.output, ran.output
        assert "internal-error" not in ran.output, ran.output
    assert not any(PASSWORD in path.read_text(errors="replace") for path in folder.rglob("*.json"))
    assert not any(PASSWORD in str(path) or ".db" in path.name for path in folder.rglob("*"))


def test_a_manifest_can_not_contain_the_url(project: Project) -> None:
    """OCTOSYNC_STATE may hold a password, so no manifest can use it, whatever octosync.yaml allows."""
    project.declare(name="${OCTOSYNC_STATE}")
    project.workdir.write("octosync.yaml", "env: [OCTOSYNC_STATE]\n")
    ran = project.workdir.octosync("plan", "-f", "apps", "--url", project.url, OCTOSYNC_STATE=SECRET_URL)
    assert (ran.code, "secret-variable" in ran.output, PASSWORD in ran.output) == (1, True, False), ran.output


def test_a_database_is_used_like_a_file(project: Project, postgres_url: str, postgres_server: PostgresServer) -> None:
    """Apply records its run there, history shows it from anywhere, and doctor checks it; none shows a password."""
    project.declare()
    shown = str(parse_location(postgres_url))
    env: dict[str, Any] = {"OCTOSYNC_STATE": postgres_url}
    database = postgres_url.rpartition("/")[2]
    postgres_server.execute(f"revoke create on database {database} from {USER}", database)
    empty = project.workdir.octosync("doctor", "--url", project.url, **env)
    assert "can't be written: the user may not write to the database" in empty.stdout, empty.output
    postgres_server.execute(f"create schema octosync authorization {USER}", database)
    empty = project.workdir.octosync("doctor", "--url", project.url, **env)
    assert f"ok       state: {shown} has no state yet" in empty.stdout, empty.output
    assert "can't be written" not in empty.stdout, empty.output
    applied = project.apply("-v", **env)
    assert (applied.code, f"debug: state: {shown} (OCTOSYNC_STATE)" in applied.stderr) == (0, True), applied.output
    project.workdir.write("octosync.yaml", "stateUrlEnv: OCTOSYNC_DATABASE\n")
    history = project.workdir.octosync("history", "-o", "json", OCTOSYNC_DATABASE=postgres_url)
    document = json.loads(history.stdout)
    assert (document["journal"], len(document["runs"])) == (shown, 1)
    postgres_server.execute(f"revoke insert on octosync.run from {USER}", database)
    refused = project.workdir.octosync("doctor", "--url", project.url, OCTOSYNC_DATABASE=postgres_url)
    assert f"ok       state: {shown} has 1 run (PostgreSQL " in refused.stdout
    assert f"error    state: {shown} can't be written: the user may not write to the schema octosync" in refused.stdout
    postgres_server.execute(f"alter database {database} set default_transaction_read_only = on")
    read_only = project.workdir.octosync("doctor", "--url", project.url, OCTOSYNC_DATABASE=postgres_url)
    assert f"error    state: {shown} can't be written: it is read-only" in read_only.stdout
    assert not any(SERVER_PASSWORD in ran.output for ran in (empty, applied, history, refused, read_only))


def test_pgpassword_is_sent_only_to_a_server_that_a_trusted_file_names(workdir: Workdir, postgres_url: str) -> None:
    """An octosync.yaml that was found may name an attacker's server. The error states why the password is missing."""
    workdir.write("octosync.yaml", f"stateUrl: {postgres_url.replace(f':{SERVER_PASSWORD}', '')}\n")
    env: dict[str, Any] = {"PGPASSWORD": SERVER_PASSWORD, "PGPASSFILE": "/dev/null"}
    found = workdir.octosync("history", **env)
    assert (found.code, "PGPASSWORD is not sent" in found.stderr) == (75, True), found.output
    assert SERVER_PASSWORD not in found.output
    assert workdir.octosync("history", "--config", "octosync.yaml", **env).code == 0


def test_a_missing_driver_is_an_error_that_names_the_extra(workdir: Workdir, monkeypatch: pytest.MonkeyPatch) -> None:
    """Psycopg is an extra: without it, files work as before. A controller ends, since it can't be installed meanwhile."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    workdir.write("apps/empty.yaml", "")
    watch = ("watch", "-f", "apps", "--allow-empty", "--url", "http://127.0.0.1:1", "--listen", "127.0.0.1:0")
    for command in (("history",), watch):
        ran = workdir.octosync(*command, "--state", "postgresql://127.0.0.1/octosync")
        assert (ran.code, ran.stderr.splitlines()[0].split(": ")[1]) == (1, "postgres-not-installed"), ran.output
        assert "octosync[postgres]" in ran.stderr
    assert workdir.octosync("history").code == 0


def test_a_command_to_repeat_names_a_typed_state(project: Project) -> None:
    """The run that continues an interrupted one uses the same state, unless the environment names it."""
    project.declare()
    project.break_with({"operation": "apps.put_slot", "action": "status", "status": 422, "message": "no"})
    typed = project.apply("--state", "runs.db")
    assert (typed.code, "--state runs.db" in typed.output.partition("octosync apply -f")[2]) == (5, True), typed.output


def test_the_state_of_a_reviewed_change_is_that_of_its_base(workdir: Workdir) -> None:
    """A pull request can't make the job that reviews it connect to another server, nor send a variable there."""
    base, _ = configured(workdir, BOTH)
    change = "stateUrlEnv: OCTOSYNC_OTHER\ncontexts:\n"
    for name in ("own", "none", "env", "new"):
        change += f"  {name}: {{url: http://127.0.0.1:1, stateUrl: postgresql://evil/octosync}}\n"
    reviewed = as_reviewed(configured(workdir, change)[0], base)
    env = {"OCTOSYNC_DATABASE": SECRET_URL}
    places = {name: chosen((reviewed, reviewed.context(name)), env)[0] for name in ("own", "none", "env", "new")}
    assert places == {
        "own": "postgresql://own:5432/octosync",
        "none": "postgresql://top:5432/octosync",
        "env": "postgresql://127.0.0.1:1/octosync",
        "new": "postgresql://top:5432/octosync",
    }


def test_the_status_needs_no_access_to_the_state(project: Project) -> None:
    """Without the variable of the URL, only the pending approvals are not known."""
    project.workdir.write("octosync.yaml", "stateUrlEnv: OCTOSYNC_DATABASE\n")
    ran = project.workdir.octosync("status", "--url", project.url)
    assert (ran.code, "no-state-url" in ran.stderr) == (0, True), ran.output
    assert "Pending approvals are not known." in ran.stderr
