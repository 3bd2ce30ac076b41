from __future__ import annotations

import fcntl
import os
import pty
import re
import shlex
import signal
import struct
import subprocess
import sys
import tempfile
import termios
from contextlib import suppress
from pathlib import Path

import pytest
from tests.support.commands import start_command, stop_command
from tests.support.workdirs import Workdir

from octosync.cli import main
from octosync.cli.runs.demo import demo_runner, shell_path, shipped_manifests
from octosync.errors import ExitCode, Interrupted, OctosyncError
from octosync.report.text import cells
from octosync.server import ServerSettings, running_server


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory for temporary directories."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def _demo(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["octosync", "demo"])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(str(ended.value.code))


def _commands(output: str) -> list[str]:
    return re.findall(r"^\$ octosync (\S+)", output, re.MULTILINE)


def test_the_demo_shows_the_whole_workflow(
    temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Validate, plan, apply, empty plan, status, a live change, drift, revert, empty plan; no file is left."""
    monkeypatch.chdir(tmp_path)
    assert _demo(monkeypatch) == ExitCode.DONE
    output, errors = capsys.readouterr()
    assert errors == ""
    assert _commands(output) == ["validate", "plan", "apply", "plan", "status", "plan", "apply", "plan"]
    assert output.count("No changes. 9 apps as declared.") == 2
    assert "… 7 more apps like these\n\nPlan: 47 to create, 2 to enable.\n" in output
    assert re.search(r"@app/field-notes/transcription +transcription-\S+ .*  started +started\n", output)
    drift = output.partition("The plan shows what differs")[2].partition("Apply reverts it")[0]
    assert "~ slot chat" in drift
    assert "cloud_first → local_first" in drift
    assert "model_variant_id" not in drift
    assert list(temporary.iterdir()) == []
    assert list(tmp_path.iterdir()) == [temporary]
    assert Path.cwd() == tmp_path


def test_the_demo_pauses_only_at_a_terminal(tmp_path: Path, command_folder: Path) -> None:
    """With --step, each chapter but the first waits for Enter; without a terminal, --step is a usage error."""
    ended = Workdir(tmp_path).octosync("demo", "--step")
    assert (ended.code, ended.stdout) == (64, "")
    assert "error: no-terminal: " in ended.stderr
    user_end, program_end = pty.openpty()
    fcntl.ioctl(program_end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    environment = {**os.environ, "TERM": "dumb", "TMPDIR": str(tmp_path)}
    environment.pop("CI", None)
    command = [str(command_folder / "octosync"), "demo", "--step"]
    with subprocess.Popen(
        command, stdin=program_end, stdout=program_end, stderr=program_end, env=environment
    ) as process:
        os.close(program_end)
        seen = b""
        pauses = 0
        with suppress(OSError):  # Linux reports the end of a terminal as an error
            while piece := os.read(user_end, 65_536):
                seen += piece
                if seen.count(b"Press Enter") > pauses:
                    pauses += 1
                    os.write(user_end, b"\n")
    os.close(user_end)
    lines = seen.decode().replace("\r\n", "\n").splitlines()
    assert (process.returncode, pauses) == (0, 8)
    assert lines[-1].startswith("Edit a manifest and plan again.")
    assert [line for line in lines if cells(line.rpartition("\r")[2]) > 80] == []


def test_the_demo_ignores_its_environment(tmp_path: Path, command_folder: Path) -> None:
    """Neither variables nor an octosync.yaml affect the demo, and an API key is neither used nor shown."""
    (tmp_path / "octosync.yaml").write_text("nonsense: [", encoding="utf-8")
    tmp_path.chmod(0o555)
    variables = {
        "OCTOSYNC_URL": "http://127.0.0.1:9",
        "OCTOSYNC_OUTPUT": "json",
        "OCTOSYNC_FILE": "/nowhere",
        "OCTOMIL_API_KEY": "oct_live_s3cret",
    }
    ended = Workdir(tmp_path, variables, (str(command_folder / "octosync"),)).run("demo")
    assert (ended.code, ended.stderr) == (0, "")
    assert "s3cret" not in ended.stdout
    assert "\x1b" not in ended.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["octosync.yaml"]


def test_environment_variables_are_restored(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that the demo hides from its commands are restored when it ends."""
    monkeypatch.setenv("OCTOMIL_API_KEY", "s3cret")
    with shipped_manifests() as manifests, demo_runner(manifests):
        assert "OCTOMIL_API_KEY" not in os.environ
    assert os.environ["OCTOMIL_API_KEY"] == "s3cret"
    assert list(temporary.iterdir()) == []


@pytest.mark.usefixtures("temporary")
def test_the_demo_is_coloured_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    """`--color always` colours the text of the demo and the output of its commands."""
    with shipped_manifests() as manifests, demo_runner(manifests, colour="always") as runner:
        runner.run("validate", ends=ExitCode.DONE)
    typed, *shown = capsys.readouterr().out.strip().splitlines()
    assert "\x1b" in typed
    assert any("\x1b" in line for line in shown)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_demo_cleanly(
    number: signal.Signals, code: int, tmp_path: Path, command_folder: Path
) -> None:
    """Ctrl-C and SIGTERM end it with their exit codes, without a traceback and without leftover files."""
    with start_command("demo", command=(command_folder / "octosync",), TMPDIR=str(tmp_path)) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("1. "):
                break
        assert list(tmp_path.iterdir()) != []
        _, errors = stop_command(process, number)
    assert process.returncode == code
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_demo_between_two_steps(number: signal.Signals, code: int, temporary: Path) -> None:
    """It interrupts no step, and afterwards signals have their previous handlers."""
    before = signal.getsignal(number)
    with shipped_manifests() as manifests, demo_runner(manifests) as runner:
        os.kill(os.getpid(), number)
        with pytest.raises(Interrupted) as caught:
            runner.run("validate", ends=ExitCode.DONE)
    assert caught.value.exit_code == code
    assert signal.getsignal(number) == before
    assert list(temporary.iterdir()) == []


def test_a_closed_pipe_ends_the_demo_cleanly(tmp_path: Path) -> None:
    """`octosync demo | head` leaves no folder and prints no error."""
    with start_command("demo", TMPDIR=str(tmp_path)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
    assert errors == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("manifest", "ends"),
    [
        ("apiVersion: octosync.dev/v1\nkind: Apps\nmetadata: {name: demo}\n", ExitCode.DONE),
        ("apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: demo}\n", ExitCode.CHANGES),
    ],
)
def test_a_step_with_an_unexpected_exit_code_is_an_error(
    manifest: str, ends: ExitCode, tmp_path: Path, temporary: Path
) -> None:
    """The demo never continues after a command that failed, or that succeeded unexpectedly."""
    folder = tmp_path / "wrong"
    folder.mkdir()
    (folder / "app.yaml").write_text(manifest, encoding="utf-8")
    with pytest.raises(OctosyncError, match=r"validate.*exit code") as caught, demo_runner(folder) as runner:
        runner.run("validate", ends=ends)
    assert (caught.value.reference, caught.value.exit_code) == ("demo-failed", ExitCode.ERROR)
    assert caught.value.hints
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("plan", "--no-such-flag"), "no such option"), (("plan", "--context", "nowhere"), "unknown-context")],
)
def test_the_error_of_a_step_is_shown(
    arguments: tuple[str, ...], message: str, temporary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reason why a step failed is printed as the command prints it."""
    with shipped_manifests() as manifests, pytest.raises(OctosyncError, match="64"), demo_runner(manifests) as runner:
        runner.run(*arguments, ends=ExitCode.DONE)
    assert message in capsys.readouterr().err
    assert list(temporary.iterdir()) == []


def test_without_a_temporary_folder_there_is_no_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names what to set, and the exit code is 1."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    assert _demo(monkeypatch) == ExitCode.ERROR
    errors = capsys.readouterr().err
    assert "no-temporary-folder" in errors
    assert "TMPDIR" in errors


def _suggested(output: str) -> list[list[str]]:
    lines = output.partition("Next steps:")[2].splitlines()
    return [shlex.split(line[2:].partition("   ")[0]) for line in lines if line.startswith("  ")]


def test_the_suggested_commands_work(
    temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands at the end of the demo work as printed, in any directory."""
    monkeypatch.chdir(tmp_path)
    _demo(monkeypatch)
    copy, server, plan, apply = _suggested(capsys.readouterr().out)
    assert (copy[:2], copy[3:]) == (["cp", "-r"], ["."])
    assert server == ["octosync", "server", "--seed", "demo"]
    subprocess.run(copy, cwd=tmp_path, check=True)
    with running_server(ServerSettings(seed="demo")) as plane:
        for _, *words in (plan, [*apply, "--yes"]):
            typed = [plane.url if word.startswith("http://") else word for word in words]
            ended = Workdir(tmp_path).octosync(*typed)
            assert ended.code == 0, ended.stderr
    assert list(temporary.iterdir()) == []


def test_in_a_checkout_the_demo_suggests_its_manifests(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """If the examples are below the working directory, they are named as they are, and nothing is copied."""
    with shipped_manifests() as manifests:
        monkeypatch.chdir(manifests.parents[1])
        _demo(monkeypatch)
    assert [words[:2] for words in _suggested(capsys.readouterr().out)] == [
        ["octosync", "server"],
        ["octosync", "plan"],
        ["octosync", "apply"],
    ]
    assert list(temporary.iterdir()) == []


def test_paths_are_ready_to_be_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative below the working directory, absolute elsewhere, quoted if a shell would split them."""
    monkeypatch.chdir(tmp_path)
    assert shell_path(tmp_path / "a" / "b c") == "'a/b c'"
    assert shell_path(Path("/elsewhere")) == "/elsewhere"
