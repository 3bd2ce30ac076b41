"""What one would use instead of octosync, in the same run: a shell script, Ansible, and octoDNS as another planner."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from benchmarks.fleet import OBJECTS, control_plane, fill, slug, wanted, write_manifests
from benchmarks.measure import Figure, Result, Scale
from benchmarks.timing import OCTOSYNC, ROOT, Usage, call_child, run, seconds

_CHANGED: Final = 300  # apps that octosync changes
_SHELL: Final = 30  # apps that the script changes; its cost per app does not depend on their number
_ANSIBLE: Final = 5
_RECORDS: Final = 10_000
_POLICY: Final = "cloud_first"
_SCRIPT: Final = ROOT / "benchmarks" / "reconcile.sh"
_PLAYBOOK: Final = ROOT / "benchmarks" / "reconcile.yaml"


def measure_shell(scale: Scale) -> Result:
    """Compare a change of one slot of many apps with a script that does it with curl and jq."""
    missing = [name for name in ("bash", "curl", "jq", "xargs") if shutil.which(name) is None]
    if missing:
        return Result(skipped=f"{', '.join(missing)} is not installed")
    apps, sample = scale.apps(_CHANGED), scale.apps(_SHELL)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        files = _wanted_files(folder, 2 * sample)
        with control_plane(fill(folder / "plane.db", max(apps, 2 * sample))) as url:
            api = f"{url}/api/v1"
            loop = run(["bash", str(_SCRIPT), api, *files[:sample]])
            listed = folder / "files"
            listed.write_text("\n".join(files[sample:]), encoding="utf-8")
            parallel = run(["xargs", "-a", str(listed), "-P", "16", "-n", "1", "bash", str(_SCRIPT), api])
        octosync = _octosync(folder, apps)
    return Result(
        [
            *_figures("curl and jq in a loop", loop, sample, octosync, apps),
            *_figures("curl and jq, 16 apps at a time", parallel, sample, octosync, apps),
        ]
    )


def measure_ansible(scale: Scale) -> Result:
    """Compare the same change with Ansible's `uri` module, for a few apps."""
    beside = Path(sys.executable).with_name("ansible-playbook")
    command = str(beside) if beside.exists() else shutil.which("ansible-playbook")
    if command is None:
        return Result(skipped="ansible-playbook is not installed; `make bench` uses it if it is")
    apps, sample = scale.apps(_CHANGED), scale.apps(_ANSIBLE)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _wanted_files(folder, sample)
        with control_plane(fill(folder / "plane.db", sample)) as url:
            facts = json.dumps({"url": f"{url}/api/v1", "folder": str(folder), "slugs": [*map(slug, range(sample))]})
            playbook = run(
                [command, "--connection", "local", "--inventory", "localhost,", "--extra-vars", facts, str(_PLAYBOOK)],
                cwd=folder,
                variables={"ANSIBLE_PYTHON_INTERPRETER": sys.executable, "ANSIBLE_LOCALHOST_WARNING": "false"},
            )
        octosync = _octosync(folder, apps)
    return Result(_figures("Ansible's uri module", playbook, sample, octosync, apps))


def measure_octodns(scale: Scale) -> Result:
    """Compare loading and planning with octoDNS, for as many DNS records as there are objects; nothing changes."""
    if find_spec("octodns") is None:
        return Result(skipped="octodns is not installed; `make bench` installs it")
    apps = max(2, scale.apps(_RECORDS) // OBJECTS)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        manifests, few = write_manifests(folder / "apps", apps), write_manifests(folder / "few", 10)
        octosync = call_child("in_memory.load_and_plan", manifests, few)
        octodns = call_child("zones.plan_records", folder, apps * OBJECTS)
    records = f"{apps * OBJECTS:,} objects"
    return Result(
        [
            Figure(
                name=f"{name} of {records} with octoDNS ÷ octosync",
                value=octodns[step] / octosync[own],
                details=f"{seconds(octodns[step])} against {seconds(octosync[own])}",
            )
            for name, step, own in (("loading", "load", "load"), ("comparing", "compare", "plan"))
        ]
    )


def _wanted_files(folder: Path, apps: int) -> list[str]:
    """Write the wanted state of apps as JSON, one file per app, and return the paths."""
    files = []
    for n in range(apps):
        file = folder / f"{slug(n)}.json"
        file.write_text(json.dumps(wanted(n, policy=_POLICY)), encoding="utf-8")
        files.append(str(file))
    return files


def _octosync(folder: Path, apps: int) -> Usage:
    """Make the change with `octosync apply`."""
    manifests = write_manifests(folder / "changed", apps, policy=_POLICY)
    with control_plane(fill(folder / "changed.db", apps)) as url:
        usage = run([*OCTOSYNC, "apply", "-f", str(manifests), "--url", url, "--rate", "0", "--yes"], cwd=folder)
    assert f"{apps:,} applied" in usage.output, usage.output[-500:]
    return usage


def _figures(name: str, usage: Usage, sample: int, octosync: Usage, apps: int) -> list[Figure]:
    """Return the cost per app of a tool, relative to that of octosync."""
    return [
        Figure(
            name=f"{what} of a changed app with {name} ÷ octosync apply",
            value=(took / sample) / (own / apps),
            details=f"{seconds(took / sample)} against {seconds(own / apps)}; {sample} and {apps} apps",
        )
        for what, took, own in (("CPU", usage.cpu, octosync.cpu), ("wall time", usage.wall, octosync.wall))
    ]
