"""A runner for our own workflows, with real git and real scripts. octosync is installed already.

It supports the GitHub expressions and actions that these workflows use, and fails for all others.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from docs.executing import ROOT

_OURS: Final = "octomil/octosync@"
_INSTALLING: Final = "Install octosync"
_FOREIGN: Final = ("actions/checkout@", "actions/upload-artifact@", "actions/setup-python@")
_NAME: Final = re.compile(r"'[^']*'|\b(?:github|inputs|steps|secrets|runner)(?:\.[\w-]+)+")


@dataclass
class JobResult:
    """The result of a job: whether it succeeded, its log, its summary, each step's outputs, and the uploaded paths."""

    succeeded: bool
    log: str
    summary: str
    outputs: Mapping[str, Mapping[str, str]]
    uploaded: list[str]


@dataclass
class Runner:
    """Runs jobs for a repository, each in a fresh clone below `folder`. Every step has the variables of `environment`.

    `command` is the folder of the installed `octosync`.
    """

    origin: Path
    folder: Path
    environment: Mapping[str, str]
    command: Path
    jobs: int = 0

    def run(
        self,
        name: str,
        *,
        github: Mapping[str, Any],
        inputs: Mapping[str, str],
        secrets: Mapping[str, str] | None = None,
    ) -> JobResult:
        """Run the only job of a workflow. `github` is the context of that name, nested as on GitHub."""
        workflow = _document(ROOT / ".github" / "workflows" / name)
        (job,) = workflow["jobs"].values()
        defaults = {
            name: str(spec.get("default", "")) for name, spec in workflow[True]["workflow_call"]["inputs"].items()
        }
        self.jobs += 1
        folder = self.folder / f"job-{self.jobs}"
        (folder / "temp").mkdir(parents=True)
        (folder / "temp" / "octosync-bin").symlink_to(self.command)
        context = {"github": github, "inputs": {**defaults, **inputs}, "secrets": secrets or {}, "steps": {}}
        job_run = _JobRun(self, folder, context)
        if "if" in job and not _evaluated(job["if"], context, succeeded=True):
            return JobResult(False, "skipped", "", {}, [])
        succeeded = job_run.steps(job["steps"], context)
        summary = folder / "summary.md"
        return JobResult(
            succeeded,
            "".join(job_run.log),
            summary.read_text(encoding="utf-8") if summary.exists() else "",
            {id_: step["outputs"] for id_, step in context["steps"].items()},
            job_run.uploaded,
        )


@dataclass
class _JobRun:
    runner: Runner
    folder: Path
    context: Mapping[str, Any]
    log: list[str] = field(default_factory=list)
    uploaded: list[str] = field(default_factory=list)
    count: int = 0

    def steps(self, steps: list[dict[str, Any]], context: Mapping[str, Any]) -> bool:
        """Run steps in order; after a failure, only those whose condition allows it. Return whether all succeeded."""
        succeeded = True
        for step in steps:
            condition = str(step.get("if", "success()"))
            if not _evaluated(condition.removeprefix("${{").removesuffix("}}"), context, succeeded=succeeded):
                continue
            if "cancelled()" not in condition and not succeeded:
                continue
            outputs: dict[str, str] = {}
            done = self._step(step, context, outputs)
            if "id" in step:
                context["steps"][step["id"]] = {"outputs": outputs}
            succeeded = succeeded and (done or step.get("continue-on-error") is True)
        return succeeded

    def _step(self, step: dict[str, Any], context: Mapping[str, Any], outputs: dict[str, str]) -> bool:
        with_ = {name: _text(value, context) for name, value in step.get("with", {}).items()}
        if "run" in step:
            return step.get("name") == _INSTALLING or self._script(step, context, outputs)
        if step["uses"].startswith(_OURS):
            return self._action(with_, outputs)
        assert step["uses"].startswith(_FOREIGN), step["uses"]
        if step["uses"].startswith("actions/checkout@"):
            self._checkout(with_.get("ref") or self.context["github"]["sha"])
        if step["uses"].startswith("actions/upload-artifact@"):
            self.uploaded.append(with_["path"])
        return True

    def _action(self, with_: Mapping[str, str], outputs: dict[str, str]) -> bool:
        action = _document(ROOT / "action.yml")
        assert set(with_) <= set(action["inputs"])
        defaults = {name: str(spec.get("default", "")) for name, spec in action["inputs"].items()}
        inside = {
            "github": {**self.context["github"], "action_path": str(ROOT)},
            "inputs": {**defaults, **with_},
            "steps": {},
            "runner": {"temp": str(self.folder / "temp")},
        }
        done = self.steps(action["runs"]["steps"], inside)
        outputs.update({name: _text(spec["value"], inside) for name, spec in action["outputs"].items()})
        return done

    def _checkout(self, revision: str) -> None:
        work = self.folder / "work"
        subprocess.run(["git", "clone", "--quiet", "--template=", str(self.runner.origin), str(work)], check=True)
        subprocess.run(["git", "checkout", "--quiet", "--detach", revision], cwd=work, check=True)

    def _script(self, step: dict[str, Any], context: Mapping[str, Any], outputs: dict[str, str]) -> bool:
        self.count += 1
        output = self.folder / f"output-{self.count}"
        output.touch()
        environment = {
            "PATH": f"{self.folder / 'temp' / 'octosync-bin'}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.folder),
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_SHA": self.context["github"]["sha"],
            "GITHUB_OUTPUT": str(output),
            "GITHUB_STEP_SUMMARY": str(self.folder / "summary.md"),
            "RUNNER_OS": "Linux",
            "RUNNER_TEMP": str(self.folder / "temp"),
            **self.runner.environment,
            **{name: _text(value, context) for name, value in step.get("env", {}).items()},
        }
        ran = subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"]],
            cwd=self.folder / "work",
            env=environment,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.log.append(ran.stdout)
        outputs.update(_outputs(output.read_text(encoding="utf-8")))
        return ran.returncode == 0


@cache
def _document(path: Path) -> dict[Any, Any]:
    """Return a YAML document, which must not be changed: every job has the same one."""
    document: dict[Any, Any] = yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)
    return document


def _outputs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        assert equals, line
        yield name, value


def _text(value: object, context: Mapping[str, Any]) -> str:
    def replaced(found: re.Match[str]) -> str:
        return str(_evaluated(found[1], context, succeeded=True))

    return re.sub(r"\$\{\{(.*?)\}\}", replaced, str(value).lower() if isinstance(value, bool) else str(value))


def _evaluated(expression: str, context: Mapping[str, Any], *, succeeded: bool) -> Any:
    """Evaluate an expression: comparisons, `&&`, `||`, `!`, and a few functions."""
    names: dict[str, Any] = {
        "format": lambda text, *values: text.format(*values),
        "success": lambda: succeeded,
        "cancelled": lambda: False,
    }

    def named(found: re.Match[str]) -> str:
        if found[0].startswith("'"):
            return found[0]
        name = f"value_{len(names)}"
        names[name] = _looked_up(context, found[0].split("."))
        return name

    code = _NAME.sub(named, expression.strip())
    code = re.sub(r"!(?!=)", " not ", code.replace("&&", " and ").replace("||", " or ")).strip()
    return eval(code, {"__builtins__": {}}, names)  # noqa: S307 — our own workflows' expressions


def _looked_up(context: Mapping[str, Any], path: list[str]) -> Any:
    """Return a value of the context; "" if it is missing, as GitHub renders null."""
    value: Any = context
    for name in path:
        value = value.get(name, "") if isinstance(value, Mapping) else ""
    return value
