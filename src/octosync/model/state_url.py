"""The URL of a database on a PostgreSQL server that several processes share as their state.

A URL is read here as libpq reads it, so that neither a driver nor a library is needed to show it. The password and every other
parameter are kept in a `Secret`: no text, error or traceback contains them.

libpq takes what a URL doesn't name from its own variables (PGHOST, PGSERVICE and others). Nothing that decides which database is
used, or how it behaves, comes from them: `StateUrl.conninfo` names all of that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Self
from urllib.parse import unquote

from octosync.errors import UsageError
from octosync.model.redaction import Secret
from octosync.model.values import closest

DEFAULT_PORT: Final = 5432
FORMAT: Final = "postgresql://HOST:5432/DATABASE"
PASSWORD_SOURCES: Final = (
    "Name the environment variable that holds the URL: stateUrlEnv in octosync.yaml, or OCTOSYNC_STATE itself",
    "Or omit the password: libpq takes it from ~/.pgpass or PGPASSWORD, and needs none for a client certificate",
)

_SECRETS: Final = frozenset({"password", "sslpassword"})
# Where the database is: `str()` shows these.
_PLACES: Final = frozenset({"host", "port", "dbname", "service"})
# The parameters that octosync.yaml may have, too: none of them has or names a credential, or sends one to another address.
_HARMLESS: Final = frozenset(
    {
        "application_name",
        "channel_binding",
        "connect_timeout",
        "gssencmode",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "load_balance_hosts",
        "max_protocol_version",
        "min_protocol_version",
        "require_auth",
        "ssl_max_protocol_version",
        "ssl_min_protocol_version",
        "sslmode",
        "sslnegotiation",
        "sslrootcert",
        "sslsni",
        "target_session_attrs",
        "tcp_user_timeout",
        "user",
    }
)
_OTHERS: Final = frozenset(
    {
        "hostaddr",
        "krbsrvname",
        "options",
        "passfile",
        "requirepeer",
        "sslcert",
        "sslcertmode",
        "sslcrl",
        "sslcrldir",
        "sslkey",
    }
)
_PARAMETERS: Final = _SECRETS | _PLACES | _HARMLESS | _OTHERS

_SCHEMES: Final = frozenset({"postgresql", "postgres"})
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
# A URL with a typing error, or a text of keywords and values, would be shown as the path of a file, with its password.
_ALMOST_URL: Final = re.compile(
    r"\W*(?:postgres|postgresql|psql)\b(?:[^:/]*:|//)|.*://|[^/@]*:[^@]*@", re.DOTALL | re.IGNORECASE
)
_KEYWORDS: Final = re.compile(rf"\s*(?:{'|'.join(sorted(_PARAMETERS))})\s*=", re.IGNORECASE)
_ENCODED: Final = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})*")
# What is shown has no character that a password with a typing error around it would bring there.
_SHOWN_NAME: Final = re.compile(r"[\w.$~+-]*")
_SHOWN_HOST: Final = re.compile(r"[\w.:%-]*|[/@][\w.:%/+-]+")


@dataclass(frozen=True, slots=True, repr=False)
class StateUrl:
    """The URL of a PostgreSQL database. `str()`, `repr()` and formats show hosts, ports and the database, and nothing else.

    `hosts` are names or addresses, or folders of sockets, tried in order; "" is the server's default folder. If `service` names a
    part of libpq's service file, hosts and the database may come from there. `has_password`: the URL contains the password.
    """

    hosts: tuple[tuple[str, int], ...]
    database: str
    service: str = ""
    has_password: bool = False
    takes_password_from_environment: bool = True
    names: frozenset[str] = frozenset()  # of the parameters
    _text: Secret = field(default_factory=lambda: Secret(""))
    _values: tuple[tuple[str, Secret], ...] = ()

    def __str__(self) -> str:
        parameters = f"?service={self.service}" if self.service else ""
        folders = [(host, port) for host, port in self.hosts if host.startswith(("/", "@"))]
        if folders:
            host, port = folders[0]
            parameters += f"{'&' if parameters else '?'}host={host}" + (f"&port={port}" if port != DEFAULT_PORT else "")
        shown = (
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            for host, port in self.hosts
            if host or port != DEFAULT_PORT
        )
        return f"postgresql://{'' if folders else ','.join(shown)}/{self.database}{parameters}"

    def __repr__(self) -> str:
        return f"StateUrl({str(self)!r})"

    def __format__(self, format_spec: str) -> str:
        return format(str(self), format_spec)

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Everything that output must not contain: passwords, as they are and as the URL has them, and the whole URL."""
        whole = self._text.reveal()
        userinfo = whole.partition("://")[2].rpartition("@")[0].partition(":")[2]
        values = [value for name, value in self._values if name in _SECRETS]
        raw = [Secret(text) for text in (userinfo, whole if whole != str(self) else "")]
        return tuple(filter(None, dict.fromkeys((*values, *raw))))

    @property
    def text_without_password(self) -> str:
        """The URL as it was given, for a command line; as `str()` shows it if it has a password."""
        return str(self) if self.has_password else self._text.reveal()

    @property
    def refused_in_a_file(self) -> tuple[str, ...]:
        """The parameters, sorted, that octosync.yaml must not have: they name a credential, or where else to send it."""
        return tuple(sorted(self.names & (_OTHERS | _SECRETS | {"service"})))

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine: its traffic passes no network."""
        return bool(self.hosts) and all(
            host.startswith(("/", "@")) or host in {"", "localhost", "127.0.0.1", "::1"} for host, _ in self.hosts
        )

    def verifies_server(self, environment: Mapping[str, str]) -> bool:
        """Return whether the certificate of the server is verified."""
        modes = [value.reveal() for name, value in self._values if name == "sslmode"]
        return (modes or [environment.get("PGSSLMODE", "")])[-1] in {"verify-ca", "verify-full"}

    def without_password_from_environment(self) -> Self:
        """Return the same URL for a server that PGPASSWORD and PGSERVICE must not be sent to."""
        return replace(self, takes_password_from_environment=False)

    def conninfo(self) -> Secret:
        """Return the parameters as libpq's keywords and values, with those that libpq's variables would set otherwise.

        With a service, whatever it doesn't name comes from the variables. A password that is not in the URL comes from
        PGPASSWORD or libpq's password file.
        """
        values = {name: value.reveal() for name, value in self._values}
        given = {"client_encoding": "UTF8", "application_name": "octosync", **self._defaults, **values}
        return Secret(" ".join(f"{name}={_quoted(value)}" for name, value in given.items()))

    @property
    def _defaults(self) -> Mapping[str, str]:
        hosts = {
            "host": ",".join(host for host, _ in self.hosts),
            "port": ",".join(str(port) for _, port in self.hosts),
        }
        if self.service:
            return hosts if self.hosts else {}
        # An empty value counts as given. An empty password is asked for in the password file, not in the environment.
        none = {"hostaddr": "", "options": ""}
        if not self.has_password and not self.takes_password_from_environment:
            none["password"] = ""
        several = len(self.hosts) > 1  # the one that can be written to leads after a failover
        return {
            **none,
            **hosts,
            "dbname": self.database,
            "target_session_attrs": "read-write" if several else "any",
        }


def parse_state_url(text: str) -> StateUrl | None:
    """Return the URL that a text is; None for the path of a file.

    Raises `UsageError` (`state-url-invalid`) for any other URL and for one that libpq would not accept. No error quotes it.
    """
    if (url := _URL.fullmatch(text.strip())) is not None:
        return _parse_url(url[1], url[2])
    if _ALMOST_URL.match(text) or _KEYWORDS.match(text):
        raise _invalid("it is neither a path nor a URL", f"A URL begins with postgresql://, as in {FORMAT}")
    return None


def _invalid(why: str, hint: str) -> UsageError:
    return UsageError("state-url-invalid", f"the URL of the state can't be used: {why}", hints=(hint,))


_ENCODE: Final = "Percent-encode special characters of a user or a password: @ is %40, / is %2F, : is %3A, % is %25"


def _parse_url(scheme: str, rest: str) -> StateUrl:
    if scheme.lower() not in _SCHEMES:
        raise _invalid("only a PostgreSQL database has a URL", f"Give a path for a file, or {FORMAT} for a database")
    if not _ENCODED.fullmatch(rest):
        raise _invalid("a % is not followed by two hexadecimal digits", _ENCODE)
    if any(ord(character) <= 32 or ord(character) == 127 for character in rest):
        raise _invalid("it has a space or a control character", _ENCODE)
    before, at, after = rest.partition("@")
    userinfo, rest = (before, after) if at and "/" not in before else ("", rest)
    if "@" in rest:
        raise _invalid("it has an @ in a wrong place", _ENCODE)
    place, _, query = rest.partition("?")
    hosts, _, database = place.partition("/")
    if "/" in database or "," in database:
        raise _invalid("the name of the database has a / or a comma", _ENCODE)
    values = {**_credentials(userinfo), **_hosts(hosts)}
    if database:
        values["dbname"] = _decoded(database)
    values |= _parameters(query)
    return _state_url(Secret(f"{scheme}://{userinfo}{at and '@' if userinfo else ''}{rest}"), values)


def _decoded(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise _invalid("it has percent-encoded bytes that are not UTF-8", _ENCODE) from None


def _credentials(userinfo: str) -> Mapping[str, str]:
    user, colon, password = userinfo.partition(":")
    found = {"user": _decoded(user)} if user else {}
    return {**found, "password": _decoded(password)} if colon and password else found


_HOST: Final = re.compile(r"(?:\[(?P<address>[0-9A-Fa-f:.%a-z]+)\]|(?P<name>[^:\[\]]*))(?::(?P<port>[0-9]*))?")


def _hosts(text: str) -> Mapping[str, str]:
    if not text:
        return {}
    found = [_HOST.fullmatch(host) for host in text.split(",")]
    hosts = [host for host in found if host is not None]
    if len(hosts) < len(found):
        raise _invalid("a host or a port is not valid", _ENCODE)
    names = [_decoded(host["address"] or host["name"] or "") for host in hosts]
    return {"host": ",".join(names), "port": ",".join(host["port"] or "" for host in hosts)}


def _parameters(query: str) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for parameter in filter(None, query.split("&")):
        name, equals, value = parameter.partition("=")
        if not equals or "=" in value:
            raise _invalid("a parameter is not name=value", f"As in {FORMAT}?sslmode=verify-full")
        name, value = _decoded(name), _decoded(value)
        if name == "ssl" and value == "true":  # as libpq reads URLs for JDBC
            name, value = "sslmode", "require"
        if name not in _PARAMETERS:
            known = closest(name, _PARAMETERS)
            hint = f"Did you mean {known}?" if known is not None else f"Known are: {', '.join(sorted(_PARAMETERS))}"
            raise _invalid("it has an unknown parameter", hint)  # which may be a part of a password
        found[name] = value
    return found


def _state_url(text: Secret, values: Mapping[str, str]) -> StateUrl:
    if any("\0" in value for value in values.values()):
        raise _invalid("it has a null character", _ENCODE)
    service, database = values.get("service", ""), values.get("dbname", "")
    if not database and not service:
        raise _invalid("it names no database", f"Name the database, as in {FORMAT}")
    hosts = tuple(_addresses(values)) if not service or "host" in values else ()
    names, places = (service, database), (host for host, _ in hosts)
    if not (all(map(_SHOWN_NAME.fullmatch, names)) and all(map(_SHOWN_HOST.fullmatch, places))):
        raise _invalid("a host, the database or the service has a special character", _ENCODE)
    return StateUrl(
        hosts=hosts,
        database=database,
        service=service,
        has_password=any(values.get(name) for name in _SECRETS),
        names=frozenset(values),
        _text=text,
        _values=tuple(
            (name, Secret(value)) for name, value in values.items() if value and name not in {"host", "port"}
        ),
    )


def _addresses(values: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    hosts, ports = values.get("host", "").split(","), values.get("port", "").split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    if len(ports) != len(hosts):
        raise _invalid("it has another number of ports than of hosts", f"As in {FORMAT}")
    for host, port in zip(hosts, ports, strict=True):
        number = port or str(DEFAULT_PORT)
        if not (number.isascii() and number.isdigit() and len(number) < 6 and 0 < int(number) < 65536):
            raise _invalid("a port is not a number from 1 to 65535", _ENCODE)
        yield host, int(number)


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
