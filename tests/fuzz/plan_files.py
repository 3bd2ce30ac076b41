"""Plan files with any value in any place: apply refuses them, or sends what was approved; never a traceback, never more."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from hypothesis import note
from hypothesis import strategies as st
from tests.fuzz.documents import CANARY, Draw, at, edit_bytes, places, removed, replaced
from tests.fuzz.plane import World, open_world
from tests.fuzz.runner import Case, Finding, Part
from tests.support.repositories import Repo

_VALUES: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 10**400, 1.5, "", "x", "zzz", "evil", "../evil", "/", "/etc", "-", "HEAD", "HEAD~1", "HEAD~2",
    "main",
    "--yes", "x" * 5000, "\0", "\ud800", [], ["evil"], ["-"], ["/etc"], [None], {}, {"a": 1}, "*", "team=x", "auto", "1.0", "2.0",
)  # fmt: skip
_CODES: Final = {0, 1, 3, 4, 5, 64, 75}
_ARGUMENTS: Final = ((), ("-f", "apps"), ("--drift-hold", "0"), ("--base", "main"), ("--base", "HEAD~1"))


def _manifest(slug: str, spec: dict[str, Any]) -> str:
    return json.dumps({"apiVersion": "octosync.dev/v1", "kind": "App", "metadata": {"name": slug}, "spec": spec})


def _prepare(world: World) -> list[str]:
    """Create live state and three commits, the second of which allows deletes; return plan files: plain, guarded, foreign."""
    workdir, repo = world.workdir, Repo.init(world.workdir.directory)
    targets = [{"platform": "ios", "identifier": f"com.acme.t{number}"} for number in range(12)]
    config = {"model": "m", "api_key": CANARY}
    workdir.write(".gitignore", "*.json\n.octosync\n")
    workdir.write("evil/evil.yaml", _manifest("evil", {"name": "Evil"}))
    workdir.write("apps/a.yaml", _manifest("a", {"targets": targets, "inferenceConfig": config}))
    repo.commit("root")
    assert workdir.octosync("apply", "-f", "apps", "--yes").code == 0
    workdir.write("apps/a.yaml", _manifest("a", {"inferenceConfig": config}))
    plans = []
    for name, arguments in (("evil", ("-f", "evil")),):
        assert workdir.octosync("plan", *arguments, "--plan-out", f"{name}.json").code == 0
        plans.append((workdir.directory / f"{name}.json").read_text())
    workdir.write("apps/a.yaml", _manifest("a", {"targets": [], "inferenceConfig": config}))
    repo.commit("No targets\n\nOctosync-Allow: deletes=50")
    workdir.write("apps/b.yaml", _manifest("b", {"name": "B", "inferenceConfig": {**config, "access_token": CANARY}}))
    repo.commit("An app")
    assert workdir.octosync("plan", "-f", "apps/b.yaml", "--plan-out", "plain.json").code == 0
    guarded = workdir.octosync(
        "plan", "-f", "apps", "--base", "HEAD~1", "--drift-hold", "0", "--plan-out", "guarded.json"
    )
    assert guarded.code == 4, guarded.output
    return [*((workdir.directory / f"{name}.json").read_text() for name in ("plain", "guarded")), *plans]


def _tamper(draw: Draw, text: str, donor: str, revisions: list[str]) -> str:
    document = json.loads(text)
    foreign = json.loads(donor)
    for _ in range(draw(st.integers(1, 2))):
        telling = [
            path for path in places(document) if path and path[0] in {"invocation", "manifests", "control_plane"}
        ]
        path = draw(st.sampled_from(telling if draw(st.booleans()) else places(document)))
        match draw(st.sampled_from(("value", "value", "revision", "remove", "donor", "section"))):
            case "value":
                document = replaced(document, path, draw(st.sampled_from(_VALUES)))
            case "revision":
                revision = draw(st.sampled_from(revisions))
                document = replaced(document, ("invocation", "base"), revision)
                document["manifests"] = {
                    **foreign["manifests"],
                    "git": {**foreign["manifests"]["git"], "base": revision},
                }
            case "remove" if path:
                document = removed(document, path)
            case "section":
                document = foreign
            case _:
                try:
                    document = replaced(document, path, at(foreign, path))
                except (KeyError, IndexError, TypeError):
                    document = replaced(document, path, foreign)
        if (
            not isinstance(document, dict)
            or "invocation" not in document
            or not isinstance(document["invocation"], dict)
        ):
            break
    note(f"invocation: {json.dumps(document.get('invocation') if isinstance(document, dict) else document)[:600]}")
    return json.dumps(document)


@contextmanager
def _open_plan_files() -> Iterator[Case]:
    with open_world() as world:
        plain, guarded, donor = _prepare(world)
        approved = {
            plain: Counter({("POST", "/apps"): 1, ("PUT", "/apps/b/inference-config"): 1}),
            guarded: Counter[tuple[str, str]](),
        }
        repo = Repo(world.workdir.directory)
        revisions = [repo.git("rev-parse", name) for name in ("HEAD~2", "HEAD~1", "HEAD")] + ["HEAD~2", "main"]
        before = world.snapshot()

        def case(data: st.DataObject) -> None:
            world.restore(before)
            text = (plain, guarded)[data.draw(st.integers(0, 1))]
            if data.draw(st.integers(0, 4)):
                written = _tamper(data.draw, text, donor, revisions).encode()
            else:
                written = edit_bytes(text.encode(), data.draw)
            world.workdir.write("plan.json", written)
            arguments = data.draw(st.sampled_from(_ARGUMENTS))
            if text == guarded:
                arguments = (*arguments, *(() if "--drift-hold" in arguments else ("--drift-hold", "0")))
            note(f"octosync apply plan.json --yes {' '.join(arguments)}")
            ran = world.workdir.octosync("apply", "plan.json", "--yes", *arguments)
            sent = Counter((method, path) for method, path, _ in world.writes())
            if "Traceback" in ran.output or ran.code not in _CODES:
                raise Finding(f"exit code {ran.code}: {ran.output[-2000:]}")
            if CANARY in ran.output:
                raise Finding(f"a secret is shown: {ran.output[-2000:]}")
            if more := sent - approved[text]:
                raise Finding(f"the plan file steered the run: {dict(more)} was sent and never approved")

        try:
            yield case
        finally:
            before.close()


PLAN_FILES: Final = Part("plan-files", "plan files, tampered with", _open_plan_files, 120)
