"""What a bootstrap made, for its one moment: the keys, the manifest, and what to do with them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from octosync.errors import ExitCode
from octosync.model import JsonObject
from octosync.plan import FORMAT_VERSION
from octosync.report.outcomes import run_line
from octosync.report.text import text_of, visible


def keys_text(keys: Mapping[str, str]) -> str:
    """Write keys as lines that a shell, and whatever else reads a file of variables, takes: `OCTOMIL_APP_KEY=…`."""
    return "".join(f"OCTOMIL_{name.upper()}={shlex.quote(key)}\n" for name, key in keys.items())


def bootstrap_document(
    *, run_id: str, app: str, target: str, keys: Mapping[str, str], key_file: str | None, manifest: str
) -> JsonObject:
    """Return the one document that says it all; keys are null where they are in a file, or where there is none."""
    shown = keys if key_file is None else {}
    return {
        "format_version": FORMAT_VERSION,
        "run": run_id,
        "app": app,
        "target": target,
        "key_file": key_file,
        "app_key": shown.get("app_key"),
        "publishable_key": shown.get("publishable_key"),
        "manifest": manifest,
    }


def render_bootstrapped(*, app: str, target: str, where: str, key_file: str | None, plan: str) -> str:
    """Say what was made, where its keys are, and what comes next: `plan` begins the command line of a plan."""
    keys = f"in {visible(key_file)}, readable by you alone" if key_file else "on standard output: keep them out of Git"
    return text_of(
        (
            f"Made app `{visible(app)}` with target {visible(target)} on {visible(where)}.",
            f"Its keys are {keys}. They are answered this once.",
            f"Commit the manifest, declare slots in it, and see:  {visible(plan)} -f FILE --app {visible(app)}",
        )
    )


def render_bootstrap_end(*, run_id: str, history: str, exit_code: ExitCode) -> str:
    """Say what shows the run, and how it ended."""
    return text_of((run_line(run_id, history=history, exit_code=exit_code),))
