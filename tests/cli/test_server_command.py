from __future__ import annotations

import io
import json
import os
import signal
import socket
import sys
from pathlib import Path

import httpx
import pytest
from tests.support.commands import OCTOSYNC, start_command, stop_command, wait_for_url
from tests.support.workdirs import Workdir

from octosync.cli import main
from octosync.errors import ExitCode


def _get(url: str, key: str | None = None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with httpx.Client(trust_env=False) as client:
        return client.get(url, headers=headers)


def test_the_server_answers_until_a_signal_stops_it(tmp_path: Path, command_folder: Path) -> None:
    """It prints its address, responds there, and SIGINT or SIGTERM ends it with exit code 0 and without a message.

    With --db, an app that was created exists after a restart. /openapi.json, which the start message names, is served.
    """
    ends = ((signal.SIGINT, (str(command_folder / "octosync"),)), (signal.SIGTERM, OCTOSYNC))
    for apps_before, (number, command) in enumerate(ends):
        flags = ("--port", "0", "--db", str(tmp_path / "plane.db"))
        with start_command("server", *flags, command=command) as process:
            origin = wait_for_url(process)
            url = f"{origin}/api/v1/apps"
            assert len(_get(url).json()["apps"]) == apps_before
            with httpx.Client(trust_env=False) as client:
                client.post(url, json={"slug": "demo", "name": "Demo"})
            assert "apps.put_slot" in json.dumps(_get(f"{origin}/openapi.json").json())
            out, errors = stop_command(process, number)
        assert (process.returncode, out) == (0, "")
        assert f"{origin}/openapi.json" in errors
        assert "Traceback" not in errors


def test_a_taken_port_is_a_clear_error(tmp_path: Path) -> None:
    """The message has address and port, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = Workdir(tmp_path).octosync("server", "--port", str(port))
    assert (ended.code, ended.stdout) == (1, "")
    assert "address-unavailable" in ended.stderr
    assert str(port) in ended.stderr
    assert "--port" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_keys_are_required_and_never_shown(command_folder: Path) -> None:
    """With --token every request needs the key; the start message mentions that and does not show it.

    With --rate-limit 2/60 two requests succeed, and the third is a 429.
    """
    flags = ("--token", "ana:s3cret=apps:read", "--rate-limit", "2/60")
    with start_command("server", "--port", "0", *flags, command=(command_folder / "octosync",)) as process:
        url = f"{wait_for_url(process)}/api/v1/apps"
        assert _get(url).status_code == 401
        assert [_get(url, "s3cret").status_code for _ in range(3)] == [200, 200, 429]
        out, errors = stop_command(process)
    assert "OCTOMIL_API_KEY=…" in errors
    assert "s3cret" not in out + errors


def test_keys_come_from_a_file(tmp_path: Path, command_folder: Path) -> None:
    """No process list shows them; the file may have comments and several keys."""
    keys = tmp_path / "keys"
    keys.write_text("# internal\nana:s3cret=apps:read\n\n  ben:other \n", encoding="utf-8")
    flags = ("--port", "0", "--token-file", str(keys))
    with start_command("server", *flags, command=(command_folder / "octosync",)) as process:
        url = f"{wait_for_url(process)}/api/v1/apps"
        assert [_get(url, key).status_code for key in (None, "s3cret", "other", "# internal")] == [401, 200, 200, 401]
        assert b"s3cret" not in Path(f"/proc/{process.pid}/cmdline").read_bytes()
        stop_command(process)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("pipe", b"", "not a regular file"),
        ("missing", b"", "No such file"),
        ("keys", b"", "it contains no keys"),
        ("keys", b"# none\n\n", "it contains no keys"),
        ("keys", b"\xff\xfe", "it is not text"),
        ("keys", b"x" * 100_000, "larger than 64 KiB"),
        ("keys", b"name:", "token-format"),
    ],
)
def test_a_token_file_without_keys_is_an_error(tmp_path: Path, name: str, text: bytes, reason: str) -> None:
    """The server never starts without its configured keys: the error has the reason."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "keys").write_bytes(text)
    ended = Workdir(tmp_path).octosync("server", "--port", "0", "--token-file", tmp_path / name)
    assert ended.code == (64 if reason == "token-format" else 1)
    assert reason == "token-format" or "token-file-unreadable" in ended.stderr
    assert reason in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("limit", ["", "x", "5/0", "-1", "1/x"])
def test_an_invalid_rate_limit_is_a_usage_error(
    limit: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message has an example."""
    monkeypatch.setattr(sys, "argv", ["octosync", "server", f"--rate-limit={limit}"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == ExitCode.USAGE
    assert "--rate-limit 100" in capsys.readouterr().err


class _StopOnStart(io.StringIO):
    """A stream that stops this process's server as soon as it prints its address."""

    def write(self, text: str, /) -> int:
        if "listens on" in text:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().write(text)


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (["--seed", "demo"], ["demo-key-ana", "demo-key-ben", "examples/manifests", "kept in memory"]),
        (["--db", "plane.db"], ["kept in plane.db", "octosync plan -f PATH --url http://127.0.0.1:"]),
    ],
)
def test_the_start_message_has_the_next_steps(
    flags: list[str], parts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the place of the data, a plan command and, with the demo seed, the keys of its users."""
    monkeypatch.chdir(tmp_path)
    stream = _StopOnStart()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(sys, "argv", ["octosync", "server", "--port", "0", *flags])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert [part for part in parts if part not in stream.getvalue()] == []
