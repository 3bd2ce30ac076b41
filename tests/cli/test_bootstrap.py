"""`octosync bootstrap`: a first app, keys that are shown only once, and a manifest with an empty plan."""

from __future__ import annotations

import io
import json
import os
import signal
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TextIO

import pytest
import yaml
from tests.support.clients import KEY
from tests.support.embedded_planes import ok
from tests.support.projects import Project
from tests.support.workdirs import CommandResult, MemoryStream

IDENTIFIERS = {
    "ios": "com.acme.notes",
    "android": "com.acme.notes",
    "macos": "com.acme.notes",
    "linux": "com.acme.notes",
    "windows": "Acme.Notes",
    "browser": "https://notes.acme.example:8443",
}


def bootstrap(
    project: Project, *arguments: str | Path, slug: str = "notes", platform: str = "ios", **more: Any
) -> CommandResult:
    """Bootstrap an app."""
    options = ("--platform", platform, "--identifier", IDENTIFIERS[platform])
    return project.workdir.octosync("bootstrap", slug, *options, "--url", project.url, *arguments, **more)


def has_empty_plan(project: Project, manifest: str) -> bool:
    """Return whether a manifest, valid without a warning, has an empty plan."""
    project.declare("notes", text=manifest)
    assert project.workdir.octosync("validate", "-f", "apps", "--strict").code == 0
    ran = project.plan("--detailed-exitcode")
    assert ran.code in {0, 2}, ran.output
    return ran.code == 0


def keys_in(text: str) -> dict[str, str]:
    """Return the variables of some lines."""
    return dict(line.split("=", 1) for line in text.splitlines())


@pytest.mark.parametrize("platform", IDENTIFIERS)
def test_the_manifest_has_an_empty_plan(project: Project, platform: str) -> None:
    """Keys go to a file that only its owner can read; standard output is the manifest, which needs no apply."""
    ran = bootstrap(project, "--key-file", "keys.env", platform=platform)
    assert ran.code == 0
    file = project.workdir.directory / "keys.env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    keys = keys_in(file.read_text())
    assert keys["OCTOMIL_APP_KEY"].startswith("oct_app_test_")
    assert ("OCTOMIL_PUBLISHABLE_KEY" in keys) is (platform in {"ios", "android", "browser"})
    assert "in keys.env, readable only by you" in ran.stderr
    assert has_empty_plan(project, ran.stdout)
    assert [line for line in project.log() if line.startswith("POST")] == ["POST /apps/bootstrap"]


@pytest.mark.parametrize(
    "name",
    [
        "Notes",
        "on",
        "12",
        "null",
        "${HOME}",
        "$${X}",
        'a: "b" # c',
        "- x",
        "Übung 🐙",
        "~",
        "it's",
        "\\",
        "x " * 60 + "x",
    ],
)
def test_a_manifest_with_any_name_has_an_empty_plan(project: Project, name: str) -> None:
    """The manifest quotes any name so that it is read back unchanged."""
    ran = bootstrap(project, "--name", name, "--key-file", "keys.env")
    assert ran.code == 0
    assert ok(project.plane.api.get("/apps/notes"))["name"] == name
    assert has_empty_plan(project, ran.stdout)


def test_without_a_file_standard_output_is_the_keys(project: Project) -> None:
    """Standard output has only the keys, as lines of variables; the manifest is shown on standard error."""
    ran = bootstrap(project)
    assert ran.code == 0
    assert set(keys_in(ran.stdout)) == {"OCTOMIL_APP_KEY", "OCTOMIL_PUBLISHABLE_KEY"}
    manifest = ran.stderr[ran.stderr.index("apiVersion:") : ran.stderr.index("\nRun ")]
    assert has_empty_plan(project, manifest)


def test_json_has_everything(project: Project) -> None:
    """One document with stable names: the keys or the name of their file, and the manifest."""
    open_ = json.loads(bootstrap(project, "-o", "json").stdout)
    assert (open_["format_version"], open_["app"], open_["target"]) == ("1.0", "notes", "ios:com.acme.notes")
    assert open_["app_key"].startswith("oct_app_test_")
    assert open_["publishable_key"].startswith("oct_pub_test_")
    assert open_["key_file"] is None
    assert has_empty_plan(project, open_["manifest"])
    filed = json.loads(bootstrap(project, "-o", "json", "--key-file", "k", slug="other", platform="linux").stdout)
    assert (filed["app_key"], filed["publishable_key"], filed["key_file"]) == (None, None, "k")
    run = json.loads(project.workdir.octosync("history", "last", "-o", "json").stdout)
    assert (filed["run"], run["command"], run["git"], run["overrides"]) == (run["run"], "bootstrap", None, [])


@pytest.mark.parametrize(
    "arguments", [(), ("-o", "json"), ("--key-file", "keys.env"), ("-o", "json", "--key-file", "keys.env")]
)
def test_keys_are_in_one_place_only(project: Project, arguments: tuple[str, ...]) -> None:
    """They are in their destination, and in no other stream or file, in no journal and not in the history."""
    ran = bootstrap(project, *arguments)
    assert ran.code == 0
    history = (
        project.workdir.octosync("history", "last").output + project.workdir.octosync("history", "-o", "json").output
    )
    files = project.workdir.files()
    file = files.pop("keys.env", b"").decode()
    wanted, others = (file, ran.stdout) if "--key-file" in arguments else (ran.stdout, file)
    rest = others + ran.stderr + history + "".join(data.decode(errors="replace") for data in files.values())
    assert wanted.count("oct_app_test_") == wanted.count("oct_pub_test_") == 1
    assert ".octosync/state.db" in files
    assert not any(key in rest for key in ("oct_app_", "oct_pub_", KEY))


def test_a_key_file_that_exists_is_kept(project: Project) -> None:
    """An existing file, folder or link is never a key file, which is checked before the first request."""
    project.workdir.write("keys.env", "precious")
    project.workdir.write("folder/x", "")
    (project.workdir.directory / "link").symlink_to("nowhere")
    for name in ("keys.env", "folder", "link", "no/such/folder/keys.env"):
        ran = bootstrap(project, "--key-file", name)
        assert ran.code == 1
        assert ran.stderr.startswith("error: key-file-")
    assert project.log() == []
    assert project.workdir.files() == {"keys.env": b"precious", "folder/x": b""}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("Notes_1", "--platform", "ios", "--identifier", "x"), "APP: `Notes_1` is not a slug"),
        (("", "--platform", "ios", "--identifier", "x"), "APP: "),
        (("notes", "--platform", "iso", "--identifier", "x"), "--platform: `iso` is none of "),
        (("notes", "--platform", "iso", "--identifier", "x"), "did you mean `ios`?"),
        (("notes", "--platform", "ios", "--identifier", ""), "--identifier: "),
        (("notes", "--platform", "ios", "--identifier", "x", "--name", ""), "--name: "),
        (("notes", "--platform", "ios"), "missing option '--identifier'"),
        (("--platform", "ios", "--identifier", "x"), "missing argument 'APP'"),
    ],
)
def test_undeclarable_arguments_are_refused(project: Project, arguments: tuple[str, ...], complaint: str) -> None:
    """The checks of manifests, with the names of the options, before any request; no key file is left."""
    ran = project.workdir.octosync("bootstrap", *arguments, "--url", project.url, "--key-file", "keys.env")
    assert ran.code == 64
    assert complaint in ran.stderr
    assert project.log() == []
    assert project.workdir.files() == {}


def test_every_invalid_argument_is_reported_at_once(project: Project) -> None:
    """Three mistakes are three lines of one error."""
    ran = project.workdir.octosync("bootstrap", "A_", "--platform", "x", "--identifier", "", "--url", project.url)
    assert [line.strip().partition(":")[0] for line in ran.stderr.splitlines()[1:-1]] == [
        "APP",
        "--platform",
        "--identifier",
    ]


def test_platforms_are_those_of_octosync_yaml(project: Project) -> None:
    """A platform that octosync.yaml adds can be bootstrapped, because a manifest can declare it too."""
    project.workdir.write("octosync.yaml", "api: {platforms: [ios, toaster]}\n")
    ran = project.workdir.octosync(
        "bootstrap", "notes", "--platform", "toaster", "--identifier", "x", "--url", project.url
    )
    assert "--platform" not in ran.stderr
    assert project.log() == ["GET /apps/notes", "POST /apps/bootstrap"]


def test_an_app_that_exists_is_refused(project: Project) -> None:
    """Only the read is sent, no file and no journal is left, and the hint has the alternative."""
    project.plane.with_app("notes")
    ran = bootstrap(project, "--key-file", "keys.env")
    assert ran.code == 1
    assert "error: app-exists: app `notes` already exists" in ran.stderr
    assert f"octosync export --url {project.url} notes\n" in ran.stderr
    assert ran.stderr.endswith("Nothing was written.\n")
    assert project.writes() == ["POST /apps"]
    assert project.workdir.files() == {}


def test_a_target_of_another_app_is_refused(project: Project) -> None:
    """The error names that app, nothing was created, and the empty key file is removed."""
    project.plane.with_target(project.plane.with_app("holder"), "ios", IDENTIFIERS["ios"])
    ran = bootstrap(project, "--key-file", "keys.env")
    assert ran.code == 1
    assert "is taken by app `holder`" in ran.stderr
    assert "Nothing was written." in ran.stderr
    assert not (project.workdir.directory / "keys.env").exists()


def test_a_lost_response_is_reported_with_where_to_get_a_key(project: Project) -> None:
    """The app was created and the response lost: exit 5, sent once, no key file, and the run in the journal."""
    project.break_with({"operation": "apps.bootstrap", "action": "cut_after"})
    ran = bootstrap(project, "--key-file", "keys.env")
    assert (ran.code, ran.stdout) == (5, "")
    assert "error: keys-lost: app `notes` was created" in ran.stderr
    assert "in the Octomil dashboard" in ran.stderr
    assert "Nothing was written" not in ran.stderr
    assert project.writes() == ["POST /apps/bootstrap"]
    assert not (project.workdir.directory / "keys.env").exists()
    assert "exit 5" in project.workdir.octosync("history", "last").stdout


def test_a_request_that_was_lost_is_sent_again(project: Project) -> None:
    """The app was not created, so the request is sent again, and the keys are printed."""
    project.break_with({"operation": "apps.bootstrap", "action": "cut_before"})
    ran = bootstrap(project)
    assert ran.code == 0
    assert len(keys_in(ran.stdout)) == 2


def test_an_approval_is_exit_5(project: Project) -> None:
    """The request needs an approval first, as in apply, and nothing was created."""
    project.break_with(
        {"operation": "apps.bootstrap", "action": "answer", "status": 202, "value": {"status": "pending_approval"}}
    )
    ran = bootstrap(project)
    assert ran.code == 5
    assert "awaiting-approval" in ran.stderr
    assert "Nothing was written." in ran.stderr


def test_an_app_that_differs_is_declared_as_it_is(project: Project) -> None:
    """The keys are printed, the manifest declares the live values, and the difference is an error (5)."""
    project.break_with(
        {"operation": "apps.bootstrap", "action": "set_answer_field", "field": "app.name", "value": "\u202eNotes"}
    )
    ran = bootstrap(project)
    assert ran.code == 5
    assert len(keys_in(ran.stdout)) == 2
    assert "error: not-kept: " in ran.stderr
    assert "\u202e" not in ran.output
    assert yaml.safe_load(ran.stderr.partition("\n\n")[2].partition("\n\n")[0])["spec"]["name"] == "\u202eNotes"


def test_the_suggested_commands_reach_the_same_control_plane(project: Project) -> None:
    """The commands that a bootstrap suggests can be typed as they are."""
    ran = bootstrap(project, "--key-file", "keys.env")
    project.workdir.write("notes.yaml", ran.stdout)
    typed = ran.stderr.partition("and run:  octosync ")[2].splitlines()[0].replace("FILE", "notes.yaml")
    assert "No changes." in project.workdir.octosync(*typed.split()).stdout
    project.break_with({"operation": "apps.bootstrap", "action": "cut_after"})
    lost = bootstrap(project, slug="other", platform="linux")
    typed = lost.stderr.partition("to commit:  octosync ")[2].splitlines()[0]
    assert "name: other" in project.workdir.octosync(*typed.split()).stdout


def test_the_run_is_recorded(project: Project) -> None:
    """The journal is the one of --state, and history shows the run like any other."""
    ran = bootstrap(project, "--state", "runs.db")
    typed = ran.stderr.splitlines()[-1].partition("(octosync ")[2].rstrip(")")
    assert typed.endswith(" --state runs.db")
    shown = project.workdir.octosync(*typed.split()).stdout
    assert "✓ create app/notes " in shown


def test_without_a_journal_nothing_is_created(project: Project) -> None:
    """A write that can't be recorded isn't sent."""
    project.workdir.write("runs.db", "not a database, and long enough to be recognised as such  " * 50)
    ran = bootstrap(project, "--state", "runs.db", "--key-file", "keys.env")
    assert ran.code == 1
    assert "journal-unusable" in ran.stderr
    assert project.log() == ["GET /apps/notes"]
    assert not (project.workdir.directory / "keys.env").exists()


def test_keys_are_not_written_to_dev_null(project: Project) -> None:
    """Standard output to /dev/null would lose the keys: refused before the first request, and allowed with a key file."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        ran = bootstrap(project, stdout=nowhere)
        assert ran.code == 64
        assert "--key-file FILE" in ran.stderr
        assert project.log() == []
        assert bootstrap(project, "--key-file", "keys.env", stdout=nowhere).code == 0


class Full(MemoryStream):
    """A standard output on a full disk."""

    def write(self, _: str) -> int:
        """Fail."""
        raise OSError(28, "No space left on device")


class Closed(MemoryStream):
    """A standard output whose reader has closed it."""

    def write(self, _: str) -> int:
        """Fail."""
        raise BrokenPipeError

    def fileno(self) -> int:
        """Fail: there is no descriptor."""
        raise io.UnsupportedOperation


@pytest.mark.parametrize("stream", [Full, Closed])
def test_keys_that_can_not_be_printed_are_lost(project: Project, stream: type[TextIO]) -> None:
    """Exit 5, with where to get a key, and that the app exists."""
    ran = bootstrap(project, stdout=stream())
    assert ran.code == 5
    assert "error: keys-lost: the keys of app `notes` were created and are lost: " in ran.stderr
    assert "in the Octomil dashboard" in ran.stderr
    assert "Nothing was written" not in ran.stderr


@pytest.mark.parametrize("stream", [Full, Closed])
def test_a_manifest_that_can_not_be_printed_costs_no_key(project: Project, stream: type[TextIO]) -> None:
    """The keys are in their file, and the manifest is shown on standard error instead."""
    ran = bootstrap(project, "--key-file", "keys.env", stdout=stream())
    assert ran.code == 0
    assert len(keys_in((project.workdir.directory / "keys.env").read_text())) == 2
    assert "kind: App" in ran.stderr


def interrupted(
    project: Project, *numbers: signal.Signals, held: float, operation: str = "apps.bootstrap"
) -> CommandResult:
    """Bootstrap, and send signals once a request of an operation has reached the control plane, which delays it."""
    project.break_with({"operation": operation, "action": "delay", "seconds": held})

    def send() -> None:
        while not any(fault["acted"] for fault in ok(project.plane.local.get("/faults"))["rules"]):
            pass
        for number in numbers:
            os.kill(os.getpid(), number)

    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(send)
        ran = bootstrap(project, "--key-file", "keys.env")
        sent.result()
    project.break_with()
    return ran


def test_a_signal_waits_for_the_keys(project: Project) -> None:
    """A request in flight is finished: the keys of its response are printed, and then the run ends as interrupted."""
    ran = interrupted(project, signal.SIGINT, held=0.3)
    assert ran.code == 130
    assert len(keys_in((project.workdir.directory / "keys.env").read_text())) == 2
    assert "kind: App" in ran.stdout


def test_a_signal_before_it_is_sent_ends_the_run(project: Project) -> None:
    """Nothing was sent, and no file is left."""
    ran = interrupted(project, signal.SIGTERM, held=30, operation="apps.get")
    assert ran.code == 143
    assert ran.stderr == "error: interrupted: the run was interrupted\n  Nothing was written.\n"
    assert project.writes() == []
    assert project.workdir.files() == {}


def test_a_second_signal_leaves_the_effect_unknown(project: Project) -> None:
    """Interrupted in flight, the app may have been created. The error has how to find out, and history shows it as unknown."""
    ran = interrupted(project, signal.SIGINT, signal.SIGTERM, held=30)
    assert ran.code in {130, 143}
    assert "app `notes` may have been created, and then its keys are lost" in ran.stderr
    assert "Nothing was written" not in ran.stderr
    assert "… create app/notes " in project.workdir.octosync("history", "last").stdout
