"""Deterministic output: the same input gives the same bytes, regardless of hash seed and of the order of files and arguments."""

from __future__ import annotations

import json
import random
from pathlib import Path

from tests.support.clients import KEY
from tests.support.examples import seeds
from tests.support.projects import APP, Project
from tests.support.workdirs import Workdir

SEEDS = ("0", "42", "4294967295")
FILES = {
    **{f"apps/team-{i % 3}/app-{i}.yaml": APP.format(slug=f"app-{i}", name=f"App {i}") for i in range(6)},
    "apps/moves.yaml": "apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: moves, labels: {b: x, a: y}}\n"
    "spec:\n  targets: [{platform: ios, identifier: com.acme.gone}]\n"
    "  inferenceConfig: {z: 1, a: {y: 2, b: [3, 1]}, m: null}\n",
    "apps/gives.yaml": "apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: gives}\nspec: {targets: [], slots: []}\n",
    "apps/warns.yaml": "apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: warns}\nspec: {slots: [{capability: chta}]}\n",
}


def test_any_seed_and_any_order_give_the_same_bytes(project: Project, tmp_path: Path) -> None:
    """Text and JSON are identical for any PYTHONHASHSEED, each with its own order of files and arguments."""
    gives = project.plane.with_app("gives")
    project.plane.with_target(gives, "ios", "com.acme.gone")
    project.plane.with_slot(gives, "chat", bindings=[{"b": 1, "a": 2}, {"a": 1}])
    project.plane.with_slot(gives, "vision")
    running = []
    for number in seeds(len(SEEDS), fewest=2):
        seed = SEEDS[number]
        order = random.Random(number).sample(sorted(FILES), len(FILES))  # noqa: S311 — an order, no secret
        workdir = Workdir(tmp_path / seed, {"OCTOMIL_API_KEY": KEY, "PYTHONHASHSEED": seed})
        for name in order:
            workdir.write(name, FILES[name])
        named = [part for name in order for part in ("-f", name)]
        options = ("--url", project.url, "--rate", "0", "--plan-out", "plan.json")
        running.append((workdir, workdir.start("plan", *named, *options)))
    texts, documents = set(), set()
    for workdir, process in running:
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        document = json.loads((workdir.directory / "plan.json").read_text())
        document["timestamp"] = ""
        texts.add(out)
        documents.add(json.dumps(document))
    assert len(texts) == len(documents) == 1
    assert b"Plan:" in texts.pop()
