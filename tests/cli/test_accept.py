"""`octosync accept`: manual changes are written into the manifest that declares the object, and the next plan is empty."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.clients import KEY
from tests.support.embedded_planes import ok
from tests.support.projects import Project
from tests.support.workdirs import CommandResult

from octosync.cli.file_writer import replace_all
from octosync.errors import OctosyncError

DEMO = """\
# The demo.
apiVersion: octosync.dev/v1
kind: App
metadata:
  name: demo
spec:
  name: "Demo"   # as shown
  description: Voice notes
  targets:
    # the phone
    - {platform: ios, identifier: com.example.demo}
    - {platform: android, identifier: com.example.demo}   # the other phone
  slots:
    - capability: chat   # talks
      servingPolicy: local_first  # at home
      preferredEngines: [coreml, mlx]
    - capability: vision
      servingPolicy:
        routingMode: auto
        routingPreference: local
        fallback: {allowCloudFallback: true, allowLocalFallback: true}
      bindings:
        - use_case: photos   # of people
          binding_key: main
  inferenceConfig:
    model: "@app/demo/chat"   # internal
    parameters:
      temperature: 0.2        # cool
      max_tokens: 512
---
apiVersion: octosync.dev/v1
kind: App
metadata: {name: notes}
spec:
  name: Notes
---
apiVersion: octosync.dev/v1
kind: CapabilitySlot
spec:
  app: notes
  capability: tts
  servingPolicy: private   # internal
---
# What notes infers with.
apiVersion: octosync.dev/v1
kind: InferenceConfig
spec: {app: notes, config: {model: "@app/notes/tts", voice: {speed: 1}}}
"""


@pytest.fixture
def live(project: Project) -> Project:
    """Apply the declared apps."""
    project.declare("demo", text=DEMO)
    assert project.apply("--rate", "0").code == 0
    project.log()
    return project


def accept(project: Project, *arguments: str | Path, **more: Any) -> CommandResult:
    """Accept into the manifests in `apps`."""
    return project.workdir.octosync("accept", *arguments, "-f", "apps", "--url", project.url, "--rate", "0", **more)


def addresses(project: Project) -> list[str]:
    """Return the addresses that the plan would change."""
    ran = project.plan("-o", "json", "--rate", "0")
    return [change["address"] for change in json.loads(ran.stdout)["resource_changes"]]


def manifest(project: Project, name: str = "apps/demo.yaml") -> str:
    """Return the content of a file."""
    return (project.workdir.directory / name).read_bytes().decode()


def changed_lines(project: Project) -> tuple[list[str], list[str]]:
    """Return the lines that were removed from the manifest, and those that were added."""
    before, after = DEMO.splitlines(), manifest(project).splitlines()
    return [line for line in before if line not in after], [line for line in after if line not in before]


def patch_app(**fields: Any) -> Callable[[Project], Any]:
    return lambda project: ok(project.plane.api.patch("/apps/demo", json=fields))


def put_slot(capability: str, app: str = "demo", **fields: Any) -> Callable[[Project], Any]:
    return lambda project: ok(project.plane.api.put(f"/apps/{app}/slots/{capability}", json={"bindings": [], **fields}))


def put_config(app: str, config: dict[str, Any]) -> Callable[[Project], Any]:
    return lambda project: ok(project.plane.api.put(f"/apps/{app}/inference-config", json=config))


def delete(path: str) -> Callable[[Project], Any]:
    return lambda project: project.plane.api.delete(path).raise_for_status()


def delete_android(project: Project) -> None:
    targets = ok(project.plane.api.get("/apps/demo/targets"))["targets"]
    project.plane.api.delete(
        f"/apps/demo/targets/{next(target['id'] for target in targets if target['platform'] == 'android')}"
    ).raise_for_status()


MAIN = {"binding_key": "main", "use_case": "photos"}
CASES: dict[str, tuple[Callable[[Project], Any], str, list[str], list[str]]] = {
    "a name": (
        patch_app(name="Demo: 2"),
        "app/demo",
        ['  name: "Demo"   # as shown'],
        ['  name: "Demo: 2"   # as shown'],
    ),
    "a description": (
        patch_app(description="Two\nlines"),
        "app/demo",
        ["  description: Voice notes"],
        ["  description: |-", "    Two", "    lines"],
    ),
    "no description": (patch_app(description=None), "app/demo", ["  description: Voice notes"], []),
    "a preset": (
        put_slot("chat", serving_policy="cloud_only", preferred_engines=["coreml", "mlx"]),
        "app/demo/slot/chat",
        ["      servingPolicy: local_first  # at home"],
        ["      servingPolicy: cloud_only  # at home"],
    ),
    "a custom policy instead of a preset": (
        put_slot(
            "chat",
            serving_policy={
                "routing_mode": "auto",
                "routing_preference": "cloud",
                "fallback": {"allow_cloud_fallback": False, "allow_local_fallback": True},
            },
            preferred_engines=["coreml", "mlx"],
        ),
        "app/demo/slot/chat",
        ["      servingPolicy: local_first  # at home"],
        [
            "      servingPolicy:  # at home",
            "        routingPreference: cloud",
            "        fallback:",
            "          allowCloudFallback: false",
            "          allowLocalFallback: true",
        ],
    ),
    "a policy in full": (
        put_slot("vision", serving_policy="cloud_first", bindings=[MAIN]),
        "app/demo/slot/vision",
        ["        routingPreference: local"],
        ["        routingPreference: cloud"],
    ),
    "engines": (
        put_slot("chat", serving_policy="local_first", preferred_engines=["onnx", "mlx"]),
        "app/demo/slot/chat",
        ["      preferredEngines: [coreml, mlx]"],
        ["      preferredEngines: [onnx, mlx]"],
    ),
    "bindings": (
        put_slot("vision", serving_policy="local_first", bindings=[{"binding_key": "a"}, {**MAIN, "use_case": "maps"}]),
        "app/demo/slot/vision",
        ["        - use_case: photos   # of people"],
        ["        - use_case: maps   # of people", "        - binding_key: a"],
    ),
    "a scalar of the config, a key more and one less": (
        put_config("demo", {"model": "@app/demo/chat", "parameters": {"temperature": 0.7, "stop": ["x"]}}),
        "app/demo/inference-config",
        ["      temperature: 0.2        # cool", "      max_tokens: 512"],
        ["      temperature: 0.7        # cool", "      stop: [x]"],
    ),
    "no config": (
        delete("/apps/demo/inference-config"),
        "app/demo/inference-config",
        [
            "  inferenceConfig:",
            '    model: "@app/demo/chat"   # internal',
            "    parameters:",
            "      temperature: 0.2        # cool",
            "      max_tokens: 512",
        ],
        ["  inferenceConfig: null"],
    ),
    "a config in a document of its own": (
        put_config("notes", {"model": "@app/notes/tts", "voice": {"speed": 2}}),
        "app/notes/inference-config",
        ['spec: {app: notes, config: {model: "@app/notes/tts", voice: {speed: 1}}}'],
        ['spec: {app: notes, config: {model: "@app/notes/tts", voice: {speed: 2}}}'],
    ),
    "one slot more": (
        put_slot("tts", serving_policy="private"),
        "app/demo/slot/tts",
        [],
        ["    - capability: tts", "      servingPolicy: local_only"],
    ),
    "one slot less": (
        delete("/apps/demo/slots/chat"),
        "app/demo/slot/chat",
        [
            "    - capability: chat   # talks",
            "      servingPolicy: local_first  # at home",
            "      preferredEngines: [coreml, mlx]",
        ],
        [],
    ),
    "a slot in a document of its own": (
        put_slot("tts", "notes", serving_policy="cloud_first"),
        "app/notes/slot/tts",
        ["  servingPolicy: private   # internal"],
        ["  servingPolicy: cloud_first   # internal"],
    ),
    "one document less": (
        delete("/apps/notes/slots/tts"),
        "app/notes/slot/tts",
        [
            "kind: CapabilitySlot",
            "spec:",
            "  app: notes",
            "  capability: tts",
            "  servingPolicy: private   # internal",
        ],
        [],
    ),
    "one target more": (
        lambda project: project.plane.with_target("/apps/demo", "macos"),
        "app/demo/target/macos:com.example.demo",
        [],
        ["    - {platform: macos, identifier: com.example.demo}"],
    ),
    "one target less": (
        delete_android,
        "app/demo/target/android:com.example.demo",
        ["    - {platform: android, identifier: com.example.demo}   # the other phone"],
        [],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_an_accepted_change_is_declared_and_no_longer_planned(live: Project, case: str) -> None:
    """Only the lines concerned change, comments stay, and the object is no longer in the plan."""
    change, address, gone, new = CASES[case]
    change(live)
    assert addresses(live) == [address]
    ran = accept(live, address)
    assert (ran.code, ran.stderr) == (0, "")
    if case not in ("one document less", "a custom policy instead of a preset"):  # lines that also occur elsewhere
        assert changed_lines(live) == (gone, new)
    else:
        assert set(gone) >= set(changed_lines(live)[0])
    assert addresses(live) == []
    assert ran.stdout.endswith("Accepted 1 object in 1 file. The next plan does not change it.\n")
    assert f"{address}   apps/demo.yaml:" in ran.stdout


def test_a_pinned_variant_follows_the_live_one(project: Project) -> None:
    """A variant that the manifest pins is replaced by the live one."""
    text = DEMO.replace("capability: chat   # talks", "capability: chat\n      variant: chat-swift-1b-q4")
    project.declare("demo", text=text)
    assert project.apply("--rate", "0").code == 0
    put_slot(
        "chat",
        serving_policy="local_first",
        preferred_engines=["coreml", "mlx"],
        model_variant_id="chat-steady-3b-q4",
    )(project)
    assert accept(project, "app/demo/slot/chat").code == 0
    assert manifest(project) == text.replace("chat-swift-1b-q4", "chat-steady-3b-q4")
    assert addresses(project) == []


def test_several_addresses_are_all_or_nothing(live: Project) -> None:
    """One address that can't be accepted stops all, before anything is written."""
    patch_app(name="Demo 2")(live)
    put_config("demo", {"model": "@app/demo/chat", "api_key": "sk-live-1"})(live)
    ran = accept(live, "app/demo", "app/demo/inference-config")
    assert (ran.code, ran.stdout) == (1, "")
    assert "app/demo/inference-config can't be accepted: a sensitive value of it differs" in ran.stderr
    assert "sk-live-1" not in ran.output
    assert manifest(live) == DEMO
    assert accept(live, "app/demo").code == 0
    assert addresses(live) == ["app/demo/inference-config"]


def test_several_files_are_written_together(live: Project) -> None:
    """Changes of several files are written into each, and reported with their positions."""
    live.declare("other", text="apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: other}\nspec: {name: Other}\n")
    assert live.apply("--rate", "0").code == 0
    patch_app(name="Demo 2")(live)
    ok(live.plane.api.patch("/apps/other", json={"name": "Others"}))
    ran = accept(live, "app/other", "app/demo", "app/demo")
    assert ran.stdout == (
        'app/demo   apps/demo.yaml:2\n  name   Demo → "Demo 2"\napp/other   apps/other.yaml:1\n  name   Other → Others\n'
        "\nAccepted 2 objects in 2 files. The next plan does not change them.\n"
    )
    assert addresses(live) == []


def test_a_file_that_changed_meanwhile_stops_all(tmp_path: Path) -> None:
    """Concurrent changes of a file are not overwritten, and no other file is written either."""
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"edited")
    with pytest.raises(OctosyncError, match="was changed while this ran"):
        replace_all({tmp_path / "a": (b"a", b"new"), tmp_path / "b": (b"b", b"new")})
    assert (tmp_path / "a").read_bytes() + (tmp_path / "b").read_bytes() == b"aedited"


def test_a_patch_is_printed_and_applies(live: Project) -> None:
    """`--patch` writes nothing; `git apply` accepts its output, with the same result."""
    patch_app(name="Demo 2")(live)
    put_slot("tts", serving_policy="private")(live)
    ran = accept(live, "app/demo", "app/demo/slot/tts", "--patch")
    assert ran.code == 0
    assert ran.stderr.endswith("Would accept 2 objects in 1 file. Nothing was written.\n")
    assert manifest(live) == DEMO
    subprocess.run(["git", "apply"], input=ran.stdout.encode(), cwd=live.workdir.directory, check=True)
    assert addresses(live) == []


def test_a_patch_shows_no_sensitive_value(project: Project) -> None:
    """A secret beside a change is in no patch. The file itself can be edited, and the secret stays in it."""
    text = DEMO.replace("      max_tokens: 512", "      api_key: sk-1")
    project.declare("demo", text=text)
    assert project.apply("--rate", "0").code == 0
    put_config("demo", {"model": "@app/demo/chat", "parameters": {"temperature": 0.5, "api_key": "sk-1"}})(project)
    ran = accept(project, "app/demo/inference-config", "--patch")
    assert ran.code == 1
    assert "sk-1" not in ran.output
    assert accept(project, "app/demo/inference-config").code == 0
    assert manifest(project) == text.replace("temperature: 0.2 ", "temperature: 0.5 ")


def test_only_addressed_objects_are_read(live: Project) -> None:
    """A slot costs the requests for its app and the app's slots."""
    put_slot("tts", serving_policy="private")(live)
    live.log()
    assert accept(live, "app/demo/slot/tts").code == 0
    assert live.log() == ["GET /apps/demo", "GET /apps/demo/slots"]


def test_an_address_without_a_difference_is_no_error(live: Project) -> None:
    """It is reported, and so is an address that is neither declared nor live."""
    ran = accept(live, "app/demo/slot/chat", "app/demo/slot/nothing")
    assert (ran.code, ran.stderr) == (0, "")
    assert ran.stdout == (
        "app/demo/slot/chat: already as declared\napp/demo/slot/nothing: neither declared nor live\nNothing to accept.\n"
    )
    assert manifest(live) == DEMO


REFUSED = {
    "app/demo/capability/chat@production": "an enabled capability has no live value",
    "app/notes/slot/asr": "no manifest declares it",
}


@pytest.mark.parametrize("address", REFUSED)
def test_a_change_that_no_manifest_can_declare_is_refused(live: Project, address: str) -> None:
    """The refusal has the reason, and nothing is written."""
    put_slot("asr", "notes", serving_policy="private")(live)
    ran = accept(live, address)
    assert ran.code == 1
    assert f"{address} can't be accepted: {REFUSED[address]}" in ran.stderr
    assert ran.stderr.endswith("Nothing was written.\n")


def test_an_archived_app_is_declared_as_archived(live: Project) -> None:
    """An app can't be unarchived, so `archived: true` is written, and the plan is empty. For its objects, that is the hint."""
    live.plane.api.post("/apps/demo/archive").raise_for_status()
    ran = accept(live, "app/demo/slot/chat")
    assert (ran.code, "the app is archived, and can't be unarchived" in ran.stderr) == (1, True)
    assert "To declare `archived: true`: octosync accept app/demo\n" in ran.stderr
    assert accept(live, "app/demo").code == 0
    assert changed_lines(live) == ([], ["  archived: true"])
    assert addresses(live) == []
    assert live.apply("--rate", "0").code == 0


def test_an_app_that_is_not_live_is_refused(project: Project) -> None:
    """There is no live value to keep."""
    project.declare("demo", text=DEMO)
    ran = accept(project, "app/demo/slot/chat")
    assert (ran.code, "the app does not exist" in ran.stderr) == (1, True)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("demo", "'demo' is not an address"),
        ("", "'' is not an address"),
        ("app/demos", "no manifest declares app demos\n  Did you mean app demo?"),
    ],
)
def test_a_wrong_address_is_a_usage_error(live: Project, address: str, message: str) -> None:
    """A malformed address or an undeclared app is reported before any request."""
    ran = accept(live, address)
    assert ran.code == 64
    assert message in ran.stderr
    assert live.log() == []


def test_a_value_from_a_variable_is_refused_with_what_to_write(project: Project) -> None:
    """The error names the variable, and shows what to write."""
    project.declare("demo", text=DEMO.replace("Voice notes", "Notes on ${CHANNEL:=stable}"))
    assert project.apply("--rate", "0").code == 0
    patch_app(description="Notes on beta")(project)
    ran = accept(project, "app/demo")
    assert ran.code == 1
    assert "its value comes from the variable CHANNEL" in ran.stderr
    assert "    description: Notes on beta\n" in ran.stderr


def test_a_value_with_an_alias_is_refused(project: Project) -> None:
    """A value that is used in several places is changed in none."""
    text = DEMO.replace("servingPolicy: local_first  # at home", "servingPolicy: &policy local_first").replace(
        """\
      servingPolicy:
        routingMode: auto
        routingPreference: local
        fallback: {allowCloudFallback: true, allowLocalFallback: true}
""",
        "      servingPolicy: *policy\n",
    )
    project.declare("demo", text=text)
    assert project.apply("--rate", "0").code == 0
    put_slot("chat", serving_policy="private", preferred_engines=["coreml", "mlx"])(project)
    put_slot("vision", serving_policy="private", bindings=[MAIN])(project)
    anchored, alias = accept(project, "app/demo/slot/chat"), accept(project, "app/demo/slot/vision")
    assert (anchored.code, alias.code) == (1, 1)
    assert (
        "it is repeated by *policy, so it would change in several places\n  Also there: apps/demo.yaml:18"
        in anchored.stderr
    )
    assert "it is an alias" in alias.stderr
    assert manifest(project) == text


def test_for_standard_input_the_error_shows_the_change(live: Project) -> None:
    """A manifest from standard input has no file to edit: the error shows the change."""
    patch_app(name="Demo 2")(live)
    ran = live.workdir.octosync("accept", "app/demo", "-f", "-", "--url", live.url, stdin=DEMO.encode())
    assert ran.code == 1
    assert "the manifests come from standard input, not from a file" in ran.stderr
    assert "    name: Demo 2\n" in ran.stderr


def test_json_manifests_stay_json(project: Project) -> None:
    """A JSON manifest keeps its layout, and is valid JSON afterwards."""
    document = {
        "apiVersion": "octosync.dev/v1",
        "kind": "App",
        "metadata": {"name": "demo"},
        "spec": {"name": "Demo", "slots": [{"capability": "chat", "servingPolicy": "private"}]},
    }
    text = json.dumps(document, indent=2) + "\n"
    project.workdir.write("apps/demo.json", text)
    assert project.apply("--rate", "0").code == 0
    patch_app(name='Dé "mo"')(project)
    put_slot("tts", serving_policy="cloud_only")(project)
    assert accept(project, "app/demo", "app/demo/slot/tts").code == 0
    after = manifest(project, "apps/demo.json")
    assert json.loads(after)["spec"]["name"] == 'Dé "mo"'
    assert [line for line in after.splitlines() if line not in text.splitlines()] == [
        '    "name": "Dé \\"mo\\"",',
        "      },",
        '      {"capability": "tts", "servingPolicy": "cloud_only"}',
    ]
    assert addresses(project) == []


@pytest.mark.parametrize("end", ["\n", ""])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("line_break", ["\n", "\r\n"])
def test_line_breaks_end_and_byte_order_mark_are_kept(project: Project, line_break: str, mark: str, end: str) -> None:
    """The rest of the file stays the same, byte by byte; its mode is kept, and a link stays a link."""
    text = (mark + DEMO.rstrip("\n") + end).replace("\n", line_break)
    path = project.workdir.write("real/demo.yaml", text)
    path.chmod(0o640)
    (project.workdir.directory / ".git").mkdir()  # a link stays in its work tree
    (project.workdir.directory / "apps").mkdir()
    (project.workdir.directory / "apps/demo.yaml").symlink_to("../real/demo.yaml")
    assert project.apply("--rate", "0").code == 0
    patch_app(name="Demo 2")(project)
    put_config("notes", {"model": "@app/notes/tts", "voice": {"speed": 2}})(project)
    ran = accept(project, "app/demo", "app/notes/inference-config")
    assert ran.code == 0, ran.stderr
    assert path.read_bytes().decode() == text.replace('"Demo"', '"Demo 2"').replace("speed: 1", "speed: 2")
    assert path.stat().st_mode & 0o777 == 0o640
    assert (project.workdir.directory / "apps/demo.yaml").is_symlink()
    assert sorted(file.name for file in path.parent.iterdir()) == ["demo.yaml"]


def test_a_target_that_moved_is_accepted_with_both_its_addresses(live: Project) -> None:
    """The new address alone is refused while the old one is declared; with both, the target moves in the manifests."""
    live.workdir.write(
        "apps/notes.yaml",
        "apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: other}\nspec:\n  targets: []  # none\n",
    )
    assert live.apply("--rate", "0").code == 0
    delete_android(live)
    live.plane.with_target("/apps/other", "android")
    old, new = "app/demo/target/android:com.example.demo", "app/other/target/android:com.example.demo"
    alone = accept(live, new)
    assert alone.code == 1
    assert f"app demo declares it, too\n  Accept that, too: {old}" in alone.stderr
    assert accept(live, new, old).code == 0
    assert manifest(live, "apps/notes.yaml").endswith(
        "spec:\n  targets:  # none\n    - {platform: android, identifier: com.example.demo}\n"
    )
    assert addresses(live) == []


def test_a_suspended_app_can_be_accepted(live: Project) -> None:
    """A live change can be accepted before the suspension of its app ends."""
    text = DEMO.replace("  name: demo\n", '  name: demo\n  annotations: {octosync.dev/suspend: "true"}\n')
    live.declare("demo", text=text)
    patch_app(name="Demo 2")(live)
    assert accept(live, "app/demo").code == 0
    assert manifest(live) == text.replace('"Demo"', '"Demo 2"')


def test_a_failed_read_is_an_error_and_writes_nothing(live: Project) -> None:
    """An object that can't be read is not treated as absent."""
    live.break_with({"operation": "apps.list_slots", "action": "status", "status": 403, "times": None})
    ran = accept(live, "app/demo/slot/chat")
    assert ran.code != 0
    assert manifest(live) == DEMO


def test_the_key_is_in_no_output(live: Project) -> None:
    """The output of accept doesn't contain the credential."""
    patch_app(name="Demo 2")(live)
    assert KEY not in accept(live, "app/demo").output


def test_a_plan_suggests_accept_for_live_changes(live: Project) -> None:
    """The last line of the plan can be typed as it is. After that, the next plan has no such change."""
    patch_app(name="Demo 2")(live)
    delete("/apps/demo/slots/chat")(live)
    put_slot("tts", serving_policy="private")(live)
    planned = live.plan("--rate", "0").stdout
    suggestion = f"To keep the live values instead: octosync accept app/demo app/demo/slot/tts -f apps --url {live.url}"
    assert planned.splitlines()[-1] == suggestion
    assert live.workdir.octosync(*shlex.split(suggestion.partition(": octosync ")[2]), "--rate", "0").code == 0
    assert addresses(live) == ["app/demo/slot/chat"]  # declared and new: no live change would be reverted


def test_a_plan_without_a_file_to_edit_suggests_no_accept(live: Project) -> None:
    """Manifests from standard input have no file, and a new object has no live value to keep."""
    delete("/apps/demo/slots/chat")(live)
    assert "octosync accept" not in live.plan("--rate", "0").stdout
    patch_app(name="Demo 2")(live)
    piped = live.workdir.octosync("plan", "-f", "-", "--url", live.url, "--rate", "0", stdin=DEMO.encode())
    assert "octosync accept" not in piped.stdout


def test_for_a_rendered_manifest_the_error_shows_the_change(live: Project) -> None:
    """A rendered manifest has no line to edit: the error has the change and its position in the rendered text."""
    live.workdir.write("overlay/kustomization.yaml", "resources: [app.yaml]\n")
    live.workdir.write("overlay/app.yaml", DEMO)
    tool = live.workdir.write("bin/kustomize", '#!/bin/sh\nexec cat "$2/app.yaml"\n')
    tool.chmod(0o755)
    patch_app(name="Demo 2")(live)
    path = f"{tool.parent}:{os.environ['PATH']}"
    ran = live.workdir.octosync("accept", "app/demo", "-k", "overlay", "--url", live.url, "--rate", "0", PATH=path)
    assert ran.code == 1
    assert (
        "app/demo can't be written at overlay (rendered):2:1: it is rendered: edit a file of the kustomization"
        in ran.stderr
    )
    assert "    name: Demo 2\n" in ran.stderr
    assert manifest(live, "overlay/app.yaml") == DEMO
