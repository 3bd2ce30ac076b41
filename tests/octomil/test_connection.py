"""Connections: the normal form of the URL, and errors that never show a secret."""

from __future__ import annotations

import copy
import pickle
import ssl
from pathlib import Path

import pytest

from octosync.errors import ConfigError
from octosync.model import Secret
from octosync.octomil import Connection, Octomil, load_certificate_authorities, normalise_url

KEY = "oct_live_0123456789a91f"


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("api.octomil.com/", "https://api.octomil.com/api/v1"),
        ("https://api.octomil.com", "https://api.octomil.com/api/v1"),
        ("https://api.octomil.com/api/v1/", "https://api.octomil.com/api/v1"),
        ("  https://API.Octomil.com:8443\n", "https://api.octomil.com:8443/api/v1"),
        ("https://gateway.example/octomil/api/v1", "https://gateway.example/octomil/api/v1"),
        ("http://127.0.0.1:8787", "http://127.0.0.1:8787/api/v1"),
        ("127.0.0.1:8787", "http://127.0.0.1:8787/api/v1"),
        ("localhost:8787", "http://localhost:8787/api/v1"),
        ("http://[::1]:8787/", "http://[::1]:8787/api/v1"),
    ],
)
def test_a_url_has_one_normal_form(given: str, normal: str) -> None:
    """A bare origin, a trailing slash and a missing scheme all mean the same base URL, which is its own normal form."""
    assert normalise_url(given) == normal
    assert normalise_url(normal) == normal


@pytest.mark.parametrize(
    "url",
    [
        "",
        "  ",
        "https://",
        "ftp://octomil.com",
        "https://a b.com",
        "https://x.com?org=1",
        "https://x.com/#a",
        "https://x:port",
    ],
)
def test_an_invalid_url_is_refused(url: str) -> None:
    """An invalid URL is one configuration error, with an example of a valid URL."""
    with pytest.raises(ConfigError) as refused:
        normalise_url(url)
    assert refused.value.reference == "bad-url"
    assert "https://api.octomil.com/api/v1" in refused.value.hints[0]


@pytest.mark.parametrize("tail", ["?api_key=hunter2", "/#hunter2", "/api/v1?a=b#hunter2"])
def test_text_after_a_url_is_not_shown(tail: str) -> None:
    """The error for a URL that contains a key does not show the key and names the source of the URL."""
    with pytest.raises(ConfigError) as refused:
        normalise_url(f"https://octomil.example{tail}")
    assert "hunter2" not in f"{refused.value} {refused.value.hints}"
    assert "https://octomil.example" in refused.value.message
    assert "because of what follows it" in refused.value.message


@pytest.mark.parametrize(
    "proxy", ["garbage://hunter2::", "http://hunter2:port", "socks5://u:hunter2@proxy:1080", "http://", "", "hunter2"]
)
def test_an_invalid_proxy_is_refused_without_showing_it(proxy: str) -> None:
    """An invalid address of an HTTP proxy is one error before anything is sent, and its password is not shown."""
    with pytest.raises(ConfigError) as refused:
        Connection(url="https://octomil.example", proxy=proxy)
    assert refused.value.reference == "bad-proxy"
    assert "hunter2" not in f"{refused.value} {refused.value.hints}"


def test_credentials_in_a_url_are_refused_without_showing_them() -> None:
    """A user name or password in the URL is refused and never shown."""
    with pytest.raises(ConfigError) as refused:
        normalise_url("https://ana:hunter2@api.octomil.com")
    shown = str(refused.value) + " ".join(refused.value.hints)
    assert refused.value.reference == "credentials-in-url"
    assert "hunter2" not in shown
    assert "ana" not in shown


def test_a_key_is_never_sent_unencrypted() -> None:
    """With a key, http:// needs --insecure, except for loopback."""
    with pytest.raises(ConfigError) as refused:
        Connection(url="http://octomil.internal", token=Secret(KEY))
    assert refused.value.reference == "insecure-url"
    assert "--insecure" in refused.value.hints[0]
    assert Connection(url="http://octomil.internal", token=Secret(KEY), insecure=True).host == "octomil.internal"
    assert Connection(url="http://octomil.internal").is_loopback is False
    assert Connection(url="http://127.8.9.10:1", token=Secret(KEY)).is_loopback
    assert Connection(url="http://api.localhost", token=Secret(KEY)).is_loopback


@pytest.mark.parametrize("key", ["", f"{KEY}\n", f"{KEY}é", f" {KEY}", "a\x00b", "two words"])
def test_a_key_that_no_header_can_contain_is_refused_without_showing_it(key: str) -> None:
    """The error for a key with a line break or beyond ASCII names the source of the key and does not show it."""
    with pytest.raises(ConfigError) as refused:
        Connection(url="https://api.octomil.com", token=Secret(key), token_source="OCTOMIL_API_KEY")
    shown = str(refused.value) + " ".join(refused.value.hints)
    assert refused.value.reference == "token-unusable"
    assert "OCTOMIL_API_KEY" in shown
    assert KEY not in shown


@pytest.mark.parametrize("pace", [{"requests_per_minute": -1}, {"concurrency": 0}, {"attempts": 0}])
def test_invalid_rates_are_refused(pace: dict[str, int]) -> None:
    """A negative rate, a concurrency of 0 and 0 attempts are configuration errors. They don't hang."""
    with pytest.raises(ConfigError, match="invalid-rate"):
        Connection(url="https://api.octomil.com", **pace)  # type: ignore[arg-type] # any of several integers


def test_a_secret_is_never_shown() -> None:
    """No repr, format, message or pickle of a secret, or of an object that holds it, contains it."""
    secret = Secret(KEY)
    connection = Connection(url="https://api.octomil.com", token=secret, proxy="http://u:pw@proxy:1")
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret!r:>20}", repr(connection), str(connection)):
        assert KEY not in shown
        assert "pw" not in shown
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        copy.copy(secret)


def test_a_secret_is_identified_by_its_last_characters() -> None:
    """A long key shows its last four characters, a short key none."""
    assert Secret(KEY).ending() == "…a91f"
    assert Secret("a91fa91f").ending() == ""
    assert Secret(KEY) == Secret(KEY) != Secret("other")
    assert len({Secret(KEY), Secret(KEY)}) == 1
    assert Secret(KEY)
    assert not Secret("")


@pytest.mark.parametrize(("content", "reason"), [(None, "no such file"), ("not a certificate", "no certificate")])
async def test_certificates_that_cannot_be_loaded_are_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, reason: str
) -> None:
    """The error for an `SSL_CERT_FILE` that is missing or invalid names the variables."""
    file = tmp_path / "authorities.pem"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with pytest.raises(ConfigError) as refused:
        await Octomil(Connection(url="https://octomil.example")).__aenter__()
    assert refused.value.reference == "certificates-unreadable"
    assert reason in refused.value.message
    assert "SSL_CERT_FILE" in refused.value.hints[0]


def test_certificates_and_host_names_are_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The authorities are those of certifi, or of `SSL_CERT_FILE` or `SSL_CERT_DIR` alone; the first of these comes first."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    usual = load_certificate_authorities()
    assert usual.verify_mode is ssl.CERT_REQUIRED
    assert usual.check_hostname
    authorities = usual.get_ca_certs(binary_form=True)
    assert len(authorities) > 1

    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert load_certificate_authorities().get_ca_certs() == []
    private = tmp_path / "authority.pem"
    private.write_text(ssl.DER_cert_to_PEM_cert(authorities[0]))
    monkeypatch.setenv("SSL_CERT_FILE", str(private))
    assert load_certificate_authorities().get_ca_certs(binary_form=True) == authorities[:1]
