"""The location of the state: files and PostgreSQL URLs, and what is shown of them."""

from __future__ import annotations

import copy
import pickle
import traceback
from pathlib import Path
from typing import Any

import pytest

from octosync.errors import UsageError
from octosync.state import StateUrl, parse_location

PASSWORD = "hunter2-is-long"


@pytest.fixture
def conninfo() -> Any:
    """Return the part of the driver that reads what a URL becomes."""
    return pytest.importorskip("psycopg.conninfo", reason="psycopg is not installed")


def url(text: str) -> StateUrl:
    """Return a text as a URL."""
    location = parse_location(text)
    assert isinstance(location, StateUrl)
    return location


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://db.example/octosync", "postgresql://db.example:5432/octosync"),
        (" postgres://user@db.example:6432/octosync\n", "postgresql://db.example:6432/octosync"),
        ("postgresql://a,b:5433/octosync?target_session_attrs=any", "postgresql://a:5432,b:5433/octosync"),
        ("postgresql://u:p%40ss%2F@[::1]:5433/octosync?sslmode=require", "postgresql://[::1]:5433/octosync"),
        ("postgresql:///octosync?host=/run/postgresql", "postgresql:///octosync?host=/run/postgresql"),
        ("postgresql://%2Frun%2Fpostgresql:5433/octosync", "postgresql:///octosync?host=/run/postgresql&port=5433"),
        ("postgresql:///octosync", "postgresql:///octosync"),
        ("postgresql://?service=octosync", "postgresql:///?service=octosync"),
        ("postgresql://db/?dbname=octosync&user=u", "postgresql://db:5432/octosync"),
    ],
)
def test_only_the_place_of_a_database_is_shown(text: str, shown: str) -> None:
    """Hosts, ports and the database are shown; no user and no other parameter is, and what is shown can be read again."""
    location = url(text)
    assert str(location) == f"{location}" == shown
    assert str(url(shown)) == shown


def test_any_other_text_is_a_path() -> None:
    """A path may have any name that is not almost a URL."""
    assert parse_location("state.db") == Path("state.db")
    assert parse_location("./postgres/password=/state:1.db") == Path("postgres/password=/state:1.db")


@pytest.mark.parametrize(
    "text",
    [
        f"mysql://u:{PASSWORD}@db/octosync",
        f"postgresql+psycopg://u:{PASSWORD}@db/octosync",
        f'"postgresql://u:{PASSWORD}@db/octosync"',
        f"postgresql:/u:{PASSWORD}@db/octosync",
        f"postgres:u:{PASSWORD}@db/octosync",
        f"postgresql//u:{PASSWORD}@db/octosync",
        f"u:{PASSWORD}@db/octosync",
        f"host=db dbname=octosync password={PASSWORD}",
        f"postgresql://u:12/{PASSWORD}@db/octosync",
        f"postgresql://u:12@{PASSWORD}@db/octosync",
        f"postgresql://u:{PASSWORD}",
        f"postgresql://u:{PASSWORD}@db",
        f"postgresql://u:{PASSWORD}@db/a/b",
        f"postgresql://u:{PASSWORD}%@db/octosync",
        f"postgresql://u:{PASSWORD}@db:0/octosync",
        f"postgresql://u:{PASSWORD}@a,b:1,c:2/octosync?port=1,2",
        f"postgresql://u:a?{PASSWORD}=1/x@db/octosync",
        f"postgresql://db/octosync?{PASSWORD}=1",
        f"postgresql://db/octosync?sslmode={PASSWORD}=1",
        f"postgresql://db/octosync?{PASSWORD}",
        f"postgresql://db/octo%20sync?password={PASSWORD}",
        f"postgresql://db/octosync?sslkeylogfile={PASSWORD}",
    ],
)
def test_a_url_that_is_not_valid_is_an_error_that_does_not_quote_it(text: str) -> None:
    """The error names what is wrong, and contains no part of the text: any of it may be a password."""
    with pytest.raises(UsageError) as raised:
        parse_location(text)
    assert raised.value.reference == "state-url-invalid"
    shown = "".join(traceback.format_exception(raised.value)) + repr(raised.value) + "".join(raised.value.hints)
    assert PASSWORD not in shown


@pytest.mark.parametrize(
    "text", [f"postgresql://u:{PASSWORD}@db/octosync", f"postgresql://db/octosync?user=u&password={PASSWORD}"]
)
def test_a_password_is_only_in_what_the_driver_gets(text: str, conninfo: Any) -> None:
    """A password is in no text and no copy of a URL; output masks it, and the whole URL."""
    location = url(text)
    assert location.has_password
    assert conninfo.conninfo_to_dict(location.conninfo().reveal())["password"] == PASSWORD
    assert PASSWORD not in f"{location}{location!r}{location.conninfo()}{location.secrets}"
    assert {PASSWORD, text} <= {secret.reveal() for secret in location.secrets}
    for copied in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError) as raised:
            copied(location)
        assert PASSWORD not in str(raised.value)
    assert not url("postgresql://u@db/octosync").has_password


def test_variables_of_libpq_name_no_other_database(monkeypatch: pytest.MonkeyPatch, conninfo: Any) -> None:
    """What decides which database is used comes from the URL alone, not from variables for other programs."""
    for name in ("PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGOPTIONS", "PGCLIENTENCODING"):
        monkeypatch.setenv(name, "9")
    for text, hosts in (
        ("postgresql:///octosync", [""]),
        ("postgresql://127.0.0.1,[::1]/octosync", ["127.0.0.1", "::1"]),
    ):
        given = conninfo.conninfo_to_dict(url(text).conninfo().reveal())
        attempts = conninfo.conninfo_attempts(given)
        assert [attempt["host"] for attempt in attempts] == hosts
        assert all(attempt["port"] == "5432" and attempt["hostaddr"] in {"", *hosts} for attempt in attempts)
        assert (given["dbname"], given["options"], given["client_encoding"]) == ("octosync", "", "UTF8")
        assert "password" not in given


def test_a_password_of_the_environment_can_be_kept_from_a_server() -> None:
    """An empty password counts as given, so that libpq reads neither PGPASSWORD nor that of PGSERVICE."""
    location = url("postgresql://db/octosync").without_password_from_environment()
    assert "password=''" in location.conninfo().reveal()
    assert location == url("postgresql://db/octosync").without_password_from_environment()


def test_parameters_with_credentials_are_known() -> None:
    """A file in Git may not have parameters that name a credential or send one to another address."""
    assert url("postgresql://u@a,b/octosync?sslmode=verify-full&sslrootcert=/ca.pem").refused_in_a_file == ()
    found = url("postgresql://u:p@db/o?hostaddr=127.0.0.1&passfile=/p&service=s&options=-cx%3D1").refused_in_a_file
    assert found == ("hostaddr", "options", "passfile", "password", "service")
