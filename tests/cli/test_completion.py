"""Shell completion: the shells accept the scripts, which offer contexts, files and other values."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.workdirs import Workdir

CONFIGURATION = "contexts:\n  staging: {url: 'http://127.0.0.1:1'}\n  production: {url: 'http://127.0.0.1:2'}\n"


def offered(workdir: Workdir, *words: str) -> list[str]:
    """Return what bash offers for the last word."""
    line = " ".join(("octosync", *words))
    ran = workdir.octosync(_OCTOSYNC_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=str(len(words)))
    return ran.stdout.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_accepts_its_script(shell: str, workdir: Workdir) -> None:
    """Each shell parses its script without a message."""
    ran = workdir.octosync("completion", shell)
    assert (ran.code, ran.stderr) == (0, "")
    assert ran.stdout.endswith("\n")
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = workdir.write(f"octosync.{shell}", ran.stdout)
    ended = subprocess.run([shell, "-n", str(script)], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_bash_completes_with_the_script(workdir: Workdir) -> None:
    """A bash that has sourced the script completes a command with the function that it registers."""
    script = workdir.write("octosync.bash", workdir.octosync("completion", "bash").stdout)
    typed = (
        f". {script}; COMP_WORDS=(octosync expl) COMP_CWORD=1; "
        'complete -p octosync; _octosync_completion octosync expl octosync; echo "${COMPREPLY[@]}"'
    )
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    ended = subprocess.run(
        ["bash", "--norc", "-c", typed],
        capture_output=True,
        text=True,
        check=False,
        cwd=workdir.directory,
        env={"PATH": path},
    )
    assert ended.stderr == ""
    assert "-F _octosync_completion octosync" in ended.stdout
    assert ended.stdout.splitlines()[-1] == "explain"


def test_another_shell_is_a_usage_error(workdir: Workdir) -> None:
    """A shell without a script is an error with the list of shells."""
    ran = workdir.octosync("completion", "powershell")
    assert ran.code == 64
    assert all(shell in ran.stderr for shell in ("bash", "zsh", "fish"))
    assert workdir.octosync("completion").code == 64


def test_contexts_are_offered(workdir: Workdir) -> None:
    """`--context` completes the names of octosync.yaml, or of the file that --config names."""
    workdir.write("octosync.yaml", CONFIGURATION)
    workdir.write("other.yaml", CONFIGURATION.replace("staging", "sandbox"))
    assert offered(workdir, "plan", "--context", "") == ["plain,staging", "plain,production"]
    assert offered(workdir, "status", "--context", "st") == ["plain,staging"]
    assert offered(workdir, "plan", "--config", "other.yaml", "--context", "s") == ["plain,sandbox"]


def test_policies_are_offered(workdir: Workdir) -> None:
    """`--allow-policy` completes the names in octosync.yaml, and `explain` the variables of rules."""
    workdir.write(
        "octosync.yaml",
        "policies: [{name: few-apps, rule: run.apps < 4, message: m}, {name: b, rule: a, message: m}]\n",
    )
    assert offered(workdir, "plan", "--allow-policy", "few") == ["plain,few-apps"]
    assert offered(workdir, "watch", "--allow-policy", "") == ["plain,few-apps", "plain,b"]
    assert offered(workdir, "explain", "polic") == ["plain,policies", "plain,policy-failed", "plain,policy"]
    assert "plain,policies.change.action" in offered(workdir, "explain", "policies.change.a")


@pytest.mark.parametrize("content", [None, "contexts: [", "contexts: {a: {url: 7}}", "- a\n"])
def test_without_a_valid_octosync_yaml_nothing_is_offered(content: str | None, workdir: Workdir) -> None:
    """A missing or invalid octosync.yaml writes nothing to the prompt."""
    if content is not None:
        workdir.write("octosync.yaml", content)
    line = "octosync plan --context zzz"
    ran = workdir.octosync(_OCTOSYNC_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD="3")
    assert (ran.code, ran.output.strip()) == (0, "")


def test_formats_files_and_paths_are_offered(workdir: Workdir) -> None:
    """Choices, formats of `--write`, files for -f, and the fields of `explain`."""
    assert "plain,markdown" in offered(workdir, "plan", "-o", "")
    assert "plain,markdown=" in offered(workdir, "plan", "--write", "mark")
    assert offered(workdir, "plan", "-f", "ap") == ["file,ap"]
    assert offered(workdir, "plan", "-k", "over") == ["dir,over"]
    assert offered(workdir, "explain", "app.spec.slots.serv") == ["plain,app.spec.slots.servingPolicy"]
    assert offered(workdir, "explain", "guards") == ["plain,guards"]
    assert "plain,during-canary" in offered(workdir, "explain", "during")
    assert offered(workdir, "help", "pl") == ["plain,plan"]
    assert offered(workdir, "help", "api", "p") == ["plain,probe"]
    assert offered(workdir, "help", "plan", "p") == []
