from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from tests.support.commands import octosync as run_octosync
from tests.support.commands import start_command, stop_command

from octosync.cli import main
from octosync.cli.commands.demo import demo_runner, shell_path, shipped_manifests
from octosync.errors import ExitCode, Interrupted, OctosyncError
from octosync.server import ServerSettings, running_server


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder where temporary folders are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def _demo(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["octosync", "demo"])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(str(ended.value.code))


def _commands(story: str) -> list[str]:
    return re.findall(r"^\$ octosync (\S+)", story, re.MULTILINE)


def test_the_demo_tells_the_whole_walk(
    temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Validate, plan, apply, empty plan, what is live, an edit, drift, healed, empty plan; nothing is left behind."""
    monkeypatch.chdir(tmp_path)
    assert _demo(monkeypatch) == ExitCode.DONE
    story, complaints = capsys.readouterr()
    assert complaints == ""
    assert _commands(story) == ["validate", "plan", "apply", "plan", "status", "plan", "apply", "plan"]
    assert story.count("No changes. 9 apps as declared.") == 2
    assert re.search(r"production +started: transcription-\S+\n", story)
    drift = story.partition("The plan shows the drift")[2].partition("Apply reverts the drift")[0]
    assert "~ slot chat" in drift
    assert "cloud_first → local_first" in drift
    assert "model_variant_id" not in drift
    assert list(temporary.iterdir()) == []
    assert list(tmp_path.iterdir()) == [temporary]
    assert Path.cwd() == tmp_path


def test_the_demo_is_not_turned_elsewhere(tmp_path: Path) -> None:
    """Neither variables nor an octosync.yaml around it change the demo, and an API key is not used, let alone shown."""
    (tmp_path / "octosync.yaml").write_text("nonsense: [", encoding="utf-8")
    tmp_path.chmod(0o555)
    variables = {
        "OCTOSYNC_URL": "http://127.0.0.1:9",
        "OCTOSYNC_OUTPUT": "json",
        "OCTOSYNC_FILE": "/nowhere",
        "OCTOMIL_API_KEY": "oct_live_s3cret",
    }
    ended = run_octosync("demo", cwd=tmp_path, variables=variables)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "s3cret" not in ended.stdout
    assert "\x1b" not in ended.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["octosync.yaml"]


def test_the_users_variables_come_back(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the demo hides from its commands is there again when it ends."""
    monkeypatch.setenv("OCTOMIL_API_KEY", "s3cret")
    with shipped_manifests() as manifests, demo_runner(manifests):
        assert "OCTOMIL_API_KEY" not in os.environ
    assert os.environ["OCTOMIL_API_KEY"] == "s3cret"
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_demo_clean(number: signal.Signals, code: int, tmp_path: Path) -> None:
    """Ctrl-C and SIGTERM end it with their exit codes, without a traceback and with nothing left behind."""
    with start_command("demo", TMPDIR=str(tmp_path)) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("1. "):
                break
        _, complaints = stop_command(process, number)
    assert process.returncode == code
    assert "Traceback" not in complaints
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_story_between_two_steps(number: signal.Signals, code: int, temporary: Path) -> None:
    """It tears no step apart, and when the story has ended signals act as they did before it."""
    before = signal.getsignal(number)
    with shipped_manifests() as manifests, demo_runner(manifests) as runner:
        os.kill(os.getpid(), number)
        with pytest.raises(Interrupted) as caught:
            runner.run("validate", ends=ExitCode.DONE)
    assert caught.value.exit_code == code
    assert signal.getsignal(number) == before
    assert list(temporary.iterdir()) == []


def test_a_reader_that_has_seen_enough_ends_the_demo_clean(tmp_path: Path) -> None:
    """`octosync demo | head` leaves no folder behind, and complains of nothing."""
    with start_command("demo", TMPDIR=str(tmp_path)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        complaints = process.stderr.read()
    assert complaints == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("manifest", "ends"),
    [
        ("apiVersion: octosync.dev/v1\nkind: Apps\nmetadata: {name: demo}\n", ExitCode.DONE),
        ("apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: demo}\n", ExitCode.CHANGES),
    ],
)
def test_a_step_that_ends_otherwise_than_told_is_an_error(
    manifest: str, ends: ExitCode, tmp_path: Path, temporary: Path
) -> None:
    """The story never goes on over a command that failed, or that went well where it should not have."""
    folder = tmp_path / "wrong"
    folder.mkdir()
    (folder / "app.yaml").write_text(manifest, encoding="utf-8")
    with pytest.raises(OctosyncError, match=r"validate.*exit code") as caught, demo_runner(folder) as runner:
        runner.run("validate", ends=ends)
    assert (caught.value.reference, caught.value.exit_code) == ("demo-failed", ExitCode.ERROR)
    assert caught.value.hints
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("plan", "--no-such-flag"), "no such option"), (("plan", "--context", "nowhere"), "unknown-context")],
)
def test_what_a_step_complains_of_is_shown(
    arguments: tuple[str, ...], said: str, temporary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reason why a step failed is printed as the command prints it."""
    with shipped_manifests() as manifests, pytest.raises(OctosyncError, match="64"), demo_runner(manifests) as runner:
        runner.run(*arguments, ends=ExitCode.DONE)
    assert said in capsys.readouterr().err
    assert list(temporary.iterdir()) == []


def test_without_a_temporary_folder_there_is_no_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error says what to set, and exits 1."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    assert _demo(monkeypatch) == ExitCode.ERROR
    complaints = capsys.readouterr().err
    assert "no-temporary-folder" in complaints
    assert "TMPDIR" in complaints


def _advised(story: str) -> list[list[str]]:
    lines = story.partition("Next steps:")[2].splitlines()
    return [shlex.split(line[2:].partition("   ")[0]) for line in lines if line.startswith("  ")]


def test_what_the_demo_advises_works(
    temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands at its end work as printed, in any directory."""
    monkeypatch.chdir(tmp_path)
    _demo(monkeypatch)
    copy, server, plan, apply = _advised(capsys.readouterr().out)
    assert (copy[:2], copy[3:]) == (["cp", "-r"], ["."])
    assert server == ["octosync", "server", "--seed", "demo"]
    subprocess.run(copy, cwd=tmp_path, check=True)
    with running_server(ServerSettings(seed="demo")) as plane:
        for _, *words in (plan, [*apply, "--yes"]):
            typed = [plane.url if word.startswith("http://") else word for word in words]
            ended = run_octosync(*typed, cwd=tmp_path)
            assert ended.returncode == 0, ended.stderr
    assert list(temporary.iterdir()) == []


def test_in_a_checkout_the_demo_advises_the_manifests_there(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the examples are below the working directory, they are named as they are, and nothing is copied."""
    with shipped_manifests() as manifests:
        monkeypatch.chdir(manifests.parents[1])
        _demo(monkeypatch)
    assert [words[:2] for words in _advised(capsys.readouterr().out)] == [
        ["octosync", "server"],
        ["octosync", "plan"],
        ["octosync", "apply"],
    ]
    assert list(temporary.iterdir()) == []


def test_paths_are_shown_as_they_are_to_be_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short below the working directory, whole elsewhere, quoted where a shell would split them."""
    monkeypatch.chdir(tmp_path)
    assert shell_path(tmp_path / "a" / "b c") == "'a/b c'"
    assert shell_path(Path("/elsewhere")) == "/elsewhere"
