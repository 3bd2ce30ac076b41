"""What `octosync init` says: what it wrote, and what to do next.

What `octosync export` says beside the manifests: what it wrote where, what it left out and why, what it could not read.

What a bootstrap made, for its one moment: the keys, the manifest, and what to do with them.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence

from octosync.errors import ExitCode, OctosyncError
from octosync.model import ExportOmission, JsonObject, counted
from octosync.plan import FORMAT_VERSION
from octosync.report.errors import error_lines
from octosync.report.outcomes import run_line
from octosync.report.text import Style, text_of, visible


def render_init(
    directory: str,
    files: Sequence[str],
    secrets: Mapping[str, str],
    *,
    to_ignore: str | None,
    to_replace: str | None = None,
) -> str:
    """Render the files that were written and the next steps.

    `directory` is where, "." for the working directory; `secrets` has by context the name of the secret that its workflow
    wants; `to_ignore` is the line that an existing .gitignore lacks, None where it lacks none. `to_replace` is
    the word in the workflows that stands for the commit of octosync, None if they have the commit.
    """
    here = directory == "."
    lines = [f"Wrote {counted(len(files), 'file')} to {'this folder' if here else visible(directory)}:"]
    lines.extend(f"  {visible(name)}" for name in files)
    lines.extend(("", "Next:"))
    if not here:
        lines.append(f"  cd {visible(shlex.quote(directory))}")
    lines.extend(_steps(secrets))
    if to_replace is not None:
        lines.append(
            f"Put the commit of octosync that is to run in the place of {to_replace} in the workflows: this octosync"
        )
        lines.append(
            "was not installed from a commit, and the name of a version could be moved to another. Or use --action-ref."
        )
    if to_ignore is not None:
        lines.append(f"Add a line {to_ignore} to .gitignore, which was there already.")
    return text_of(lines)


def _steps(secrets: Mapping[str, str]) -> Iterator[str]:
    yield "  octosync validate"
    yield "  octosync server --seed demo   # in another terminal: a control plane to try things on"
    yield "  octosync plan"
    for context in list(secrets)[-1:]:
        yield f"  octosync export -o apps/ --context {context}   # where apps are live already; with your API key"
    yield "Then commit it: octosync has committed nothing."
    if secrets:
        named = ", ".join(secrets.values())
        yield f"The workflows want the API {'key' if len(secrets) == 1 else 'keys'} as secrets of the repository: {named}."


def render_export(
    left_out: Iterable[ExportOmission],
    errors: Mapping[str, OctosyncError],
    *,
    written: int,
    same: int,
    directory: str | None,
    colour: bool = False,
) -> str:
    """Render what an export came to: each app that failed, each thing left out, and last how many manifests there are.

    `written` are those that were written and `same` those that were there already, `directory` where, None for standard
    output.
    """
    style = Style(colour)
    missing = tuple(left_out)
    lines = [line for slug, error in sorted(errors.items()) for line in error_lines(error, style, about=slug)]
    lines += [f"left out: {visible(str(one.address))}: {visible(one.name)}: {visible(one.why)}" for one in missing]
    if not lines and directory is None:
        return ""
    where = f" to {visible(directory)}" if directory is not None else ""
    parts = [f"{style.green('Wrote')} {counted(written, 'manifest')}{where}"]
    parts += [f"{same} as they should be already"] if same else []
    parts += [f"{counted(len(missing), 'thing')} left out"] if missing else []
    parts += [f"{counted(len(errors), 'app')} not exported"] if errors else []
    return text_of([*lines, f"{', '.join(parts)}."])


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


def render_bootstrap(*, app: str, target: str, where: str, key_file: str | None, plan: str) -> str:
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
