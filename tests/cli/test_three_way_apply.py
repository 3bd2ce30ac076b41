"""The three-way merge end to end: commits, a control plane that others change too, and the live state afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.clients import KEY
from tests.support.embedded_planes import client, ok, run_plane
from tests.support.examples import seeds
from tests.support.projects import APP, Project
from tests.support.repositories import Repo
from tests.support.workdirs import CommandResult, Workdir

from octosync.server import Token
from octosync.server.settings import utc_now

pytestmark = pytest.mark.no_cover  # slow under coverage; other tests of this package cover the same code

COLLEAGUE = "key-of-ana"
NOTES = APP.format(slug="notes", name="Notes")
BARE = "apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: bare}\nspec: {name: Bare}\n"


@dataclass(frozen=True)
class Shared(Project):
    """A project with a repository, whose apps `notes` and `bare` are live as of tag `start`, and a colleague with a key."""

    repo: Repo

    def type(self, command: str, base: str, *arguments: str | Path) -> CommandResult:
        """Plan or apply against a base."""
        more = ("--yes", "--state", "../journal.db") if command == "apply" else ()
        return self.workdir.octosync(command, "--base", base, *more, *arguments)

    def document(self, base: str, *arguments: str) -> dict[str, Any]:
        """Plan against a base; return the document."""
        document: dict[str, Any] = json.loads(self.type("plan", base, "-o", "json", *arguments).stdout)
        return document

    def rows(self, base: str, *arguments: str) -> list[tuple[str, str, str, bool]]:
        """Plan against a base; return each row's address, action and reason, and whether it is held."""
        return [
            (
                change["address"],
                change["change"]["actions"][0],
                change["action_reason"],
                change["held_until"] is not None,
            )
            for change in self.document(base, *arguments)["resource_changes"]
        ]

    def left_alone(self, base: str) -> dict[str, Any]:
        """Plan against a base; return the non-empty lists of objects that are left alone."""
        left: dict[str, Any] = self.document(base)["scope"]["left_alone"]
        return {name: value for name, value in left.items() if value}

    def as_colleague(self, method: str, path: str, body: Any = None) -> None:
        """Send a write as the colleague."""
        with client(f"{self.url}/api/v1", COLLEAGUE) as http:
            http.request(method, path, json=body).raise_for_status()

    def live(self) -> list[Any]:
        """Return the live state of both apps, without times, IDs and requests."""
        paths = (f"/apps/{slug}{rest}" for slug in ("notes", "bare") for rest in ("", "/targets", "/slots"))
        configs = (f"/apps/{slug}/inference-config" for slug in ("notes", "bare"))
        return [_timeless(self.plane.api.get(path).json()) for path in (*paths, *configs)]


def _timeless(value: Any) -> Any:
    match value:
        case dict():
            passing = {"id", "created_at", "updated_at", "request_id"}
            return {key: _timeless(item) for key, item in value.items() if key not in passing}
        case list():
            return list(map(_timeless, value))
    return value


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Shared]:
    tokens = (Token("ci", KEY), Token("ana", COLLEAGUE))
    with run_plane(KEY, clock=utc_now, tokens=tokens) as plane:
        workdir = Workdir(tmp_path / "repository", {"OCTOMIL_OUR_KEY": KEY})
        repo = Repo.init(workdir.directory)
        shared = Shared(plane, workdir, repo)
        contexts = f"contexts: {{main: {{url: '{shared.url}', tokenEnv: OCTOMIL_OUR_KEY}}}}\ndefaultContext: main\n"
        workdir.write("octosync.yaml", f"{contexts}paths: [apps/]\n")
        shared.declare("notes", text=NOTES)
        shared.declare("bare", text=BARE)
        repo.commit("start")
        assert workdir.octosync("apply", "--yes", "--state", "../journal.db").code == 0
        repo.git("tag", "start")
        shared.log()
        yield shared


def child(kind: str, spec: str) -> str:
    """Return a child document."""
    return f"apiVersion: octosync.dev/v1\nkind: {kind}\nmetadata: {{name: child}}\nspec: {spec}\n"


def with_field(field: str) -> str:
    """Declare one more field of the slot of notes."""
    return NOTES.replace("servingPolicy: local_first\n", f"servingPolicy: local_first\n      {field}\n")


ADDITIONS = {
    "description": ("notes", NOTES.replace("  name: Notes\n", "  name: Notes\n  description: Reads aloud\n")),
    "description of an app without sections": ("bare", BARE.replace("{name: Bare}", "{name: Bare, description: x}")),
    "engines": ("notes", with_field("preferredEngines: [mlx]")),
    "public": ("notes", with_field("publicClientAllowed: true")),
    "variant": ("notes", with_field("variant: phi-4-mini-q4")),
    "binding": ("notes", with_field("bindings: [{binding_key: b, note: x}]")),
    "policy": ("notes", NOTES.replace("local_first", "local_only")),
    "target": ("notes", NOTES.replace("  slots:", "    - {platform: macos, identifier: com.acme.more}\n  slots:")),
    "slot": ("notes", NOTES.replace("  inferenceConfig", "    - {capability: tts}\n  inferenceConfig")),
    "inference config key": ("notes", NOTES.replace('chat"}', 'chat", temperature: 1}')),
    "child target": ("more", child("AppTarget", "{app: notes, platform: macos, identifier: com.acme.more}")),
    "child slot": ("more", child("CapabilitySlot", "{app: bare, capability: tts, servingPolicy: local_only}")),
    "child config": ("more", child("InferenceConfig", "{app: bare, config: {n: 1}}")),
}


def test_a_git_revert_restores_the_live_state(shared: Shared) -> None:
    """`git revert` removes any addition, and a second apply against the same base writes nothing."""
    before = shared.live()
    additions = list(ADDITIONS.items())
    for number in seeds(len(additions), fewest=len(additions) // 2):
        addition, (name, text) = additions[number]
        shared.declare(name, text=text)
        added = shared.repo.commit(addition)
        assert shared.type("apply", "start").code == 0, addition
        assert shared.live() != before, addition
        shared.log()
        assert shared.type("apply", "start").code == 0, addition
        assert shared.writes() == [], addition
        shared.repo.git("revert", "--no-edit", "HEAD")
        assert shared.type("apply", added, "--changed-only").code == 0, addition
        assert shared.live() == before, addition
        shared.log()
        assert shared.type("apply", added).code == 0, addition
        assert shared.writes() == [], addition


@pytest.mark.parametrize("addition", ["child target", "child slot", "child config", "description"])
def test_a_partial_apply_is_reverted(shared: Shared, addition: str) -> None:
    """The base never had the change, and --attempted marks it as one of octosync, not as drift."""
    before = shared.live()
    name, text = ADDITIONS[addition]
    shared.declare(name, text=text)
    attempted = shared.repo.commit("add")
    assert shared.type("apply", "start").code == 0
    shared.repo.git("revert", "--no-edit", "HEAD")
    assert shared.type("apply", "start", "--attempted", attempted, "--changed-only").code == 0
    assert shared.live() == before


def test_drift_is_held_and_then_reverted(shared: Shared) -> None:
    """A recent live change of the app and every kind of object stays while it is held, and is then reverted."""
    before = shared.live()
    shared.as_colleague("PATCH", "/apps/notes", {"name": "By hand"})
    shared.as_colleague("PUT", "/apps/notes/slots/chat", {"serving_policy": "cloud_only", "bindings": []})
    shared.as_colleague("POST", "/apps/notes/targets", {"platform": "macos", "identifier": "com.acme.hand"})
    shared.as_colleague("DELETE", "/apps/notes/inference-config")
    changed = shared.live()
    rows = [
        ("app/notes", "update"),
        ("app/notes/target/macos:com.acme.hand", "delete"),
        ("app/notes/slot/chat", "update"),
        ("app/notes/inference-config", "create"),
    ]
    assert shared.rows("start") == [(*row, "drift", True) for row in rows]
    assert shared.left_alone("start") == {"held": [address for address, _ in rows]}
    assert shared.type("plan", "start", "--detailed-exitcode").code == 2
    assert "Plan: 4 held. 1 app as declared." in shared.type("plan", "start").stdout
    comment = shared.type("plan", "start", "-o", "markdown").stdout
    assert "**4 held** · read 2 apps" in comment
    assert "<b>notes</b> · 4 held" in comment
    assert shared.type("apply", "start").code == 0
    assert shared.live() == changed
    assert shared.rows("start", "--drift-hold", "0") == [(*row, "drift", False) for row in rows]
    assert shared.type("apply", "start", "--drift-hold", "0").code == 0
    assert shared.live() == before


def test_a_target_that_was_moved_by_hand_is_held(shared: Shared) -> None:
    """A move is held on both sides, and reverted only without a hold."""
    shared.declare("bare", text=BARE.replace("{name: Bare}", "{name: Bare, targets: []}"))
    base = shared.repo.commit("own")
    (target,) = ok(shared.plane.api.get("/apps/notes/targets"))["targets"]
    shared.as_colleague("DELETE", f"/apps/notes/targets/{target['id']}")
    shared.as_colleague("POST", "/apps/bare/targets", {"platform": "ios", "identifier": "com.acme.notes"})
    assert [row[3] for row in shared.rows(base)] == [True, True]
    assert shared.type("apply", base, "--drift-hold", "0").code == 0
    assert [app["identifier"] for app in ok(shared.plane.api.get("/apps/notes/targets"))["targets"]] == [
        "com.acme.notes"
    ]


def test_an_orphan_is_listed_and_then_pruned(shared: Shared) -> None:
    """An app that is removed from Git stays live until --prune archives it; after that nothing is left to do."""
    before = shared.live()
    shared.repo.git("rm", "--quiet", "apps/notes.yaml")
    shared.repo.commit("without notes")
    assert shared.left_alone("start") == {"orphan_apps": ["notes"]}
    assert shared.type("apply", "start").code == 0
    assert shared.live() == before
    assert shared.rows("start", "--prune") == [("app/notes", "archive", "removed", False)]
    planned = shared.type("plan", "start", "--prune").stdout
    assert "Read 2 apps with" in planned
    assert "selected" not in planned
    assert shared.type("apply", "start", "--prune").code == 0
    assert ok(shared.plane.api.get("/apps/notes"))["archived_at"] is not None
    shared.log()
    assert shared.type("apply", "start", "--prune").code == 0
    assert shared.writes() == []


def test_a_change_of_main_is_stale_until_the_branch_has_it(shared: Shared) -> None:
    """The change of this branch is planned, that of main is left alone and listed; after a rebase nothing is stale."""
    shared.repo.branch("change")
    shared.declare("bare", text=BARE.replace("Bare", "Bare after"))
    shared.repo.commit("branch")
    shared.repo.switch("main")
    shared.declare("notes", text=NOTES.replace("local_first", "local_only"))
    shared.repo.commit("main")
    assert shared.type("apply", "start").code == 0
    shared.repo.switch("change")
    planned = [("app/bare", "update", "manifest_changed", False)]
    assert (shared.rows("main"), shared.left_alone("main")) == (planned, {"stale": ["app/notes/slot/chat"]})
    assert shared.type("apply", "main").code == 4
    shared.repo.git("rebase", "--quiet", "main")
    assert (shared.rows("main"), shared.left_alone("main")) == (planned, {})
    shared.log()
    assert shared.type("apply", "main").code == 0
    assert shared.writes() == ["PATCH /apps/bare"]


def test_a_diverged_change_is_refused_and_allowed(shared: Shared) -> None:
    """A live change is not overwritten unintentionally: exit 4 and no write, without a flag or the line of a commit."""
    shared.declare("notes", text=NOTES.replace("local_first", "local_only"))
    shared.repo.commit("branch")
    shared.as_colleague("PUT", "/apps/notes/slots/chat", {"serving_policy": "cloud_only", "bindings": []})
    shared.log()
    refused = shared.type("apply", "start")
    assert (refused.code, shared.writes()) == (4, [])
    assert "Octosync-Allow: diverged" in refused.stdout
    assert shared.rows("start") == [("app/notes/slot/chat", "update", "diverged", False)]
    assert shared.type("plan", "start", "--allow-diverged").code == 0
    shared.repo.commit("Ours\n\nOctosync-Allow: diverged\n")
    allowed = shared.type("apply", "start")
    assert (allowed.code, shared.writes()) == (0, ["PUT /apps/notes/slots/chat"])
    assert f"diverged (commit {shared.repo.head[:12]})" in allowed.stdout
