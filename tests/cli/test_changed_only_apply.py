"""Apply with --changed-only: everything that merges changed is applied, at the cost of what they changed."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from tests.support.clients import KEY
from tests.support.embedded_planes import ok, run_plane
from tests.support.examples import THOROUGH
from tests.support.projects import APP, Project
from tests.support.repositories import Repo
from tests.support.workdirs import CommandResult, Workdir

from octosync.server import Token
from octosync.server.settings import utc_now

MANY: Final = 100
ALL: Final = ["notes", "search", "voice"]
OWNED: Final = APP.replace("name: {name}\n", "name: {name}\n  description: ${{TEAM:=none}}\n")
ENDED: Final = APP.replace(
    "{{name: {slug}}}", "{{name: {slug}, annotations: {{octosync.dev/suspend: '2020-01-01T00:00:00Z'}}}}"
)


@dataclass(frozen=True)
class Main(Project):
    """A repository whose commits on main are applied with --changed-only."""

    repo: Repo

    def configure(self, more: str = "", *, url: str | None = None) -> None:
        """Write octosync.yaml."""
        contexts = f"contexts:\n  main: {{url: '{url or self.url}', tokenEnv: OCTOMIL_MAIN_KEY}}\n"
        self.workdir.write("octosync.yaml", f"{contexts}defaultContext: main\npaths: [apps/]\n{more}")

    def begin(self, tag: str) -> None:
        """Tag the checked-out commit, and clear the log."""
        self.repo.git("tag", tag)
        self.log()

    def merge(self, base: str, *arguments: str | Path, **environment: Any) -> CommandResult:
        """Apply the checked-out commit."""
        return self.workdir.octosync(
            "apply", "--yes", "--state", "../journal.db", "--base", base, "--changed-only", *arguments, **environment
        )

    def report(self, base: str, *arguments: str | Path, **environment: Any) -> dict[str, Any]:
        """Apply the checked-out commit without an error; return its plan."""
        ran = self.merge(base, "-o", "json", *arguments, **environment)
        assert ran.code == 0, ran.output
        plan: dict[str, Any] = json.loads(ran.stdout)["plan"]
        return plan

    def planned_apps(self, base: str, *arguments: str | Path, **environment: Any) -> list[str]:
        """Apply the checked-out commit without an error; return the apps that were planned."""
        apps: list[str] = self.report(base, *arguments, **environment)["scope"]["apps"]
        return apps

    def live(self, slug: str) -> dict[str, Any]:
        """Return a live app."""
        app: dict[str, Any] = ok(self.plane.api.get(f"/apps/{slug}"))
        return app

    def targets(self, slug: str) -> list[str]:
        """Return the identifiers of an app's live targets."""
        return sorted(target["identifier"] for target in ok(self.plane.api.get(f"/apps/{slug}/targets"))["targets"])


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Main]:
    with run_plane(KEY, clock=utc_now, tokens=(Token("ci", KEY),)) as plane:
        workdir = Workdir(tmp_path / "repository", {"OCTOMIL_MAIN_KEY": KEY})
        main = Main(plane, workdir, Repo.init(workdir.directory))
        main.configure()
        yield main


@pytest.fixture
def main(empty: Main) -> Main:
    main = empty
    for slug in ("notes", "search", "voice"):
        main.declare(slug, name="Before")
    main.repo.commit("start")
    assert main.workdir.octosync("apply", "--yes", "--state", "../journal.db").code == 0
    main.begin("start")
    return main


def test_a_merge_costs_what_it_changes(empty: Main) -> None:
    """2 of 100 apps: at most 6 requests for each and 4 more, writes included, and none for the other apps."""
    main = empty
    for slug in (f"app-{number:03}" for number in range(MANY)):
        main.declare(slug, name="Before")
    main.repo.commit("100 apps")
    touched = ("app-007", "app-083")
    only = [part for slug in touched for part in ("--app", slug)]
    assert main.workdir.octosync("apply", "--yes", "--state", "../journal.db", *only).code == 0
    for number, (old, new) in enumerate(
        (
            ("name: Before", "name: Changed"),
            ("  targets:", "  targets:\n    - {platform: android, identifier: com.acme.SLUG}"),
            ("/chat", "/other"),
            ("local_first", "local_only"),
            ("local_only", "cloud_first\n      deploy: {environments: [staging]}"),
            ("cloud_first", "local_first"),
        )
    ):
        main.begin(f"base-{number}")
        for slug in touched:
            path = main.repo.root / f"apps/{slug}.yaml"
            path.write_text(path.read_text().replace(old, new.replace("SLUG", slug)))
        main.repo.commit()
        assert main.planned_apps(f"base-{number}") == list(touched)
        log = main.log()
        assert len(log) <= 6 * len(touched) + 4, log
        assert not any("/apps/app-" in line and not any(slug in line for slug in touched) for line in log)


def test_what_an_attempt_may_have_changed_is_applied(main: Main) -> None:
    """An app whose change was attempted and reverted in Git is selected, although it is as the base has it."""
    main.declare("notes", name="Attempted")
    attempted = main.repo.commit()
    ok(main.plane.api.patch("/apps/notes", json={"name": "Attempted"}))
    main.declare("notes", name="Before")
    main.declare("voice", name="After")
    main.repo.commit()
    assert main.planned_apps("start", "--attempted", attempted) == ["notes", "voice"]
    assert (main.live("notes")["name"], main.live("voice")["name"]) == ("Before", "After")


@pytest.mark.parametrize("strict", [(), ("--strict",)])
def test_an_attempt_that_a_force_push_removed_is_a_warning(main: Main, strict: tuple[str, ...]) -> None:
    """Its changes are unknown, so all apps are planned; the run does not fail."""
    main.declare("voice", name="After")
    main.repo.commit()
    report = main.report("start", "--attempted", "d" * 40, *strict)
    assert report["scope"]["apps"] == ALL
    assert [diagnostic["rule"] for diagnostic in report["diagnostics"]] == ["attempt-gone", "all-apps-planned"]
    assert main.live("voice")["name"] == "After"
    assert main.merge("start", "--attempted", "mian").code == 64


def test_an_attempt_that_a_shallow_clone_lacks_is_an_error(main: Main) -> None:
    """It may be newer than the checked-out commit, and applying would undo it."""
    newer = main.repo.commit("newer")
    main.repo.git("reset", "--quiet", "--hard", "start")
    shallow = Repo.init(main.repo.root / "shallow")
    shallow.git("fetch", "--quiet", "--depth=1", f"file://{main.repo.root}", "start")
    shallow.git("checkout", "--quiet", "FETCH_HEAD")
    clone = Workdir(shallow.root, main.workdir.environment)
    ran = clone.octosync("apply", "--yes", "--base", "HEAD", "--attempted", newer, "--changed-only")
    assert (ran.code, "unknown-revision" in ran.stderr) == (64, True)


@pytest.mark.parametrize(
    ("more", "host", "reason"),
    [
        ("api: {platforms: [tv]}\n", "127.0.0.1", "`api` in octosync.yaml has changed"),
        ("", "localhost", "`url` or `org` of the context main has changed"),
    ],
)
def test_a_setting_that_concerns_all_apps_selects_all(main: Main, more: str, host: str, reason: str) -> None:
    """After a change of the control plane or of its API, all apps are planned; a notice gives the reason."""
    main.configure(more, url=main.url.replace("127.0.0.1", host))
    main.repo.commit()
    report = main.report("start")
    assert report["scope"]["apps"] == ALL
    (notice,) = (found for found in report["diagnostics"] if found["rule"] == "all-apps-planned")
    assert reason in notice["summary"]
    main.begin("all")
    main.declare("voice", name="After")
    main.repo.commit()
    assert main.planned_apps("all") == ["voice"]


def test_other_settings_select_no_app(main: Main) -> None:
    """Guards, owners, the rate limit and the default context do not change what is applied."""
    main.configure("guards: {maxDeletes: 20}\nrate: {requestsPerMinute: 0}\ndrift: {hold: 1h}\n")
    main.repo.commit()
    assert main.report("start")["scope"]["apps"] == []
    assert main.log() == []


def test_an_invalid_base_selects_all(main: Main) -> None:
    """A manifest that can't be read may have been any app's."""
    main.workdir.write("apps/broken.yaml", "kind: [")
    main.repo.commit()
    main.begin("broken")
    (main.repo.root / "apps/broken.yaml").unlink()
    main.repo.commit()
    assert main.planned_apps("broken") == ALL


def test_another_value_of_an_environment_variable_is_applied(main: Main) -> None:
    """Git does not have the value: apps that refer to one are always selected, and no others."""
    main.configure("env: [TEAM]\n")
    main.declare("voice", text=OWNED.format(slug="voice", name="Before"))
    main.repo.commit()
    main.report("start", TEAM="red")
    main.begin("red")
    main.repo.commit()
    assert main.planned_apps("red", "--drift-hold", "0", TEAM="blue") == ["voice"]
    assert main.live("voice")["description"] == "blue"


def test_what_changed_during_a_suspension_is_applied(main: Main) -> None:
    """An app whose suspension has ended is selected until its annotation is removed."""
    main.declare("voice", text=ENDED.format(slug="voice", name="During"))
    main.repo.commit()
    main.begin("suspended")
    main.repo.commit()
    assert main.planned_apps("suspended", "--drift-hold", "0") == ["voice"]
    assert main.live("voice")["name"] == "During"


def test_the_end_of_a_suspension_applies_what_changed_during_it(main: Main) -> None:
    """It is no drift that is held: a later run would not select the app again. A move that waited is made, too."""
    suspended = APP.replace("{{name: {slug}}}", "{{name: {slug}, annotations: {{octosync.dev/suspend: 'true'}}}}")
    own = "    - {platform: ios, identifier: com.acme.voice}\n"
    rest = suspended.format(slug="voice", name="During").replace(own, "").replace("targets:", "targets: []")
    main.declare("voice", text=rest)
    main.declare("notes", text=APP.format(slug="notes", name="Before").replace("  slots:", f"{own}  slots:"))
    main.repo.commit()
    main.report("start")
    main.begin("suspended")
    assert main.live("voice")["name"] == "Before"
    assert (main.targets("voice"), main.targets("notes")) == (["com.acme.voice"], ["com.acme.notes"])
    main.declare("voice", text=rest.replace(", annotations: {octosync.dev/suspend: 'true'}", ""))
    main.repo.commit()
    assert main.planned_apps("suspended") == ["notes", "voice"]
    assert main.live("voice")["name"] == "During"
    assert (main.targets("voice"), main.targets("notes")) == ([], ["com.acme.notes", "com.acme.voice"])


def test_rolled_back_capabilities_are_in_all_apps(main: Main) -> None:
    """--retry-rolled-back concerns apps that have not changed."""
    main.repo.commit()
    assert main.planned_apps("start", "--retry-rolled-back") == ALL


@pytest.mark.parametrize(("source", "holder"), [("voice", "search"), ("search", "voice")], ids=["gained", "lost"])
def test_a_target_that_was_moved_by_hand_is_moved_back(main: Main, source: str, holder: str) -> None:
    """The app at the other end of the move is selected too, although its manifests have not changed."""
    (target,) = ok(main.plane.api.get(f"/apps/{source}/targets"))["targets"]
    ok(main.plane.api.delete(f"/apps/{source}/targets/{target['id']}"), 204)
    ok(
        main.plane.api.post(f"/apps/{holder}/targets", json={"platform": "ios", "identifier": f"com.acme.{source}"}),
        201,
    )
    main.declare("search", name="After")
    main.repo.commit()
    main.log()
    report = main.report("start", "--drift-hold", "0")
    assert report["scope"]["apps"] == ["search", "voice"]
    assert report["cost"]["requests_used"] == len(main.log()) - report["cost"]["requests_to_apply"]
    assert [main.targets(slug) for slug in ALL] == [[f"com.acme.{slug}"] for slug in ALL]
    assert main.live("search")["name"] == "After"


def test_a_new_target_that_another_app_got_by_hand_is_moved_by_a_run_for_all_apps(main: Main) -> None:
    """The holder is unknown to Git, so the registration fails, which is not forgotten; a run for all apps reads the holder."""
    ok(main.plane.api.post("/apps/voice/targets", json={"platform": "linux", "identifier": "new"}), 201)
    text = APP.format(slug="search", name="Before")
    main.declare("search", text=text.replace("  slots:", "    - {platform: linux, identifier: new}\n  slots:"))
    main.repo.commit()
    failed = main.merge("start")
    assert (failed.code, "taken by app `voice`" in failed.output) == (5, True)
    everything = ("--base", "start", "--attempted", main.repo.head, "--drift-hold", "0", "--state", "../journal.db")
    assert main.workdir.octosync("apply", "--yes", *everything).code == 0
    assert (main.targets("search"), main.targets("voice")) == (["com.acme.search", "new"], ["com.acme.voice"])


def test_a_removed_app_is_pruned(main: Main) -> None:
    """Only it is planned."""
    (main.repo.root / "apps/voice.yaml").unlink()
    main.repo.commit()
    assert main.planned_apps("start", "--prune") == ["voice"]
    assert main.live("voice")["archived_at"]


def test_a_move_in_git_selects_both_apps(main: Main) -> None:
    """The target is moved with its device assignments."""
    text = APP.format(slug="voice", name="Before")
    main.declare(
        "voice",
        text=text.replace("    - {platform: ios, identifier: com.acme.voice}\n", "").replace("targets:", "targets: []"),
    )
    main.declare(
        "notes",
        text=APP.format(slug="notes", name="Before").replace(
            "  slots:", "    - {platform: ios, identifier: com.acme.voice}\n  slots:"
        ),
    )
    main.repo.commit()
    assert main.planned_apps("start") == ["notes", "voice"]
    assert main.targets("notes") == ["com.acme.notes", "com.acme.voice"]


def test_a_reviewed_plan_selects_what_plan_selects(main: Main) -> None:
    """Apply of a plan file plans the same apps as `octosync plan`, without those that only a complete run needs."""
    main.configure("env: [TEAM]\n")
    main.declare("voice", text=OWNED.format(slug="voice", name="Before"))
    main.repo.commit()
    main.report("start")
    main.begin("owned")
    main.declare("notes", name="After")
    main.repo.commit()
    planned = main.workdir.octosync("plan", "--base", "owned", "--changed-only", "--plan-out", "../plan.json")
    assert planned.code == 0, planned.output
    applied = main.workdir.octosync(
        "apply", "../plan.json", "--base", "owned", "--changed-only", "--state", "../journal.db"
    )
    assert applied.code == 0, applied.output
    assert main.live("notes")["name"] == "After"


_FAULTS: Final = (
    "apps.create",
    "apps.update",
    "apps.create_target",
    "apps.delete_target",
    "apps.put_slot",
    "apps.delete_slot",
)


class _History:
    """A random series of merges into main, of which only some runs are started, and only some of those succeed."""

    def __init__(self, main: Main, seed: int) -> None:
        self._main, self._random = main, random.Random(seed)  # noqa: S311 — not for secrets
        self._past = [main.repo.head]
        self.base, self.attempted = main.repo.head, list[str]()

    def merge(self) -> None:
        """Merge a random change: fields, targets that appear, disappear or move, slots, an app, or the return of a state."""
        chosen, repo = self._random, self._main.repo
        if chosen.random() < 0.4:
            repo.git("rm", "--quiet", "-r", "apps")
            repo.git("checkout", "--quiet", chosen.choice(self._past[-3:]), "--", "apps")
        else:
            manifests = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(repo.root.glob("apps/*.yaml"))}
            for _ in range(2):
                self._change(manifests)
            for slug, manifest in manifests.items():
                repo.write(f"apps/{slug}.yaml", yaml.safe_dump(manifest))
        self._past.append(repo.commit())

    def _change(self, manifests: dict[str, Any]) -> None:
        chosen = self._random
        slug, taker = chosen.choice(sorted(manifests)), chosen.choice(sorted(manifests))
        spec = manifests[slug]["spec"]
        match chosen.randrange(6):
            case 0:
                spec["name"] = f"Name {chosen.randrange(3)}"
            case 1 if spec["targets"]:
                manifests[taker]["spec"]["targets"].append(spec["targets"].pop(0))
            case 2 if spec["targets"]:
                spec["targets"].pop()
            case 3:
                spec["targets"].append({"platform": "linux", "identifier": f"new-{len(self._past)}-{chosen.random()}"})
            case 4:
                spec["slots"] = chosen.choice(([], [{"capability": "chat", "servingPolicy": "cloud_only"}]))
            case _:
                text = APP.format(slug=f"app-{len(self._past)}", name="New")
                manifests[f"app-{len(self._past)}"] = yaml.safe_load(text)

    def run(self, *, faults: Sequence[str]) -> None:
        """Apply the checked-out commit, with faults of operations; remember the outcome as deployments do."""
        main, head = self._main, self._main.repo.head
        main.break_with(*({"operation": fault, "action": "status", "status": 422, "times": None} for fault in faults))
        attempts = [part for revision in self.attempted if revision != head for part in ("--attempted", revision)]
        ran = main.merge(self.base, *attempts, "--allow-deletes", "all")
        assert ran.code == 0 or faults, ran.output
        if ran.code == 0:
            self.base, self.attempted = head, []
        else:
            self.attempted.append(head)


@pytest.mark.parametrize("seed", range(1, 9) if THOROUGH else (2, 4))
def test_nothing_of_a_random_history_is_forgotten(main: Main, seed: int) -> None:
    """Whatever was skipped, failed in part, reverted or moved: after a success, no app differs from its manifests."""
    main.workdir.environment["OCTOSYNC_RATE"] = "0"
    history = _History(main, seed)
    outcome = random.Random(seed)  # noqa: S311 — not for secrets
    for _ in range(8):
        history.merge()
        if outcome.random() < 0.7:
            history.run(faults=outcome.sample(_FAULTS, 3))
    history.merge()
    history.run(faults=())
    left = main.workdir.octosync("plan", "-o", "json")
    assert json.loads(left.stdout)["resource_changes"] == [], left.stdout
