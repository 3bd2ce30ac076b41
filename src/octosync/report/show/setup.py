"""The reports of `octosync init`, `octosync export` and `octosync bootstrap`: what they wrote or created, and the next steps."""

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
    to_ignore: Sequence[str],
    to_replace: str | None = None,
) -> str:
    """Render the files that were written and the next steps.

    `directory` is "." for the working directory. `secrets` has, by context, the name of the secret that its workflow needs,
    in the order in which merges are applied.
    `to_ignore` are the lines that an existing .gitignore lacks. `to_replace` is the placeholder for the commit of
    octosync in the workflows; None if they contain the commit.
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
            f"In the workflows, replace {to_replace} by the commit of octosync that they run, or use --action-ref. This octosync "
            "was not installed from a commit, and a version tag can be moved."
        )
    lines += [f"Add the line {line} to .gitignore, which already existed." for line in to_ignore]
    return text_of(lines)


def _steps(secrets: Mapping[str, str]) -> Iterator[str]:
    yield "  octosync validate"
    yield "  octosync server --seed demo   # in another terminal"
    yield "  octosync plan"
    for context in list(secrets)[-1:]:
        yield "If apps already exist, export them. This needs your API key:"
        yield f"  octosync export -d apps/ --context {context}"
    yield "Then commit the files: octosync does not commit them."
    if secrets:
        named = ", ".join(secrets.values())
        yield f"The workflows need the API {'key' if len(secrets) == 1 else 'keys'} as repository secrets: {named}."
    if len(secrets) > 1:
        yield f"A merge is applied to {', then to '.join(secrets)}: each waits until the one before has succeeded."


def render_export(
    left_out: Iterable[ExportOmission],
    errors: Mapping[str, OctosyncError],
    *,
    written: int,
    same: int,
    directory: str | None,
    colour: bool = False,
) -> str:
    """Render the result of an export: the apps that failed, the objects that were left out, and the number of manifests.

    `written` counts the files that were written, `same` those that were already up to date. `directory` is None for
    standard output.
    """
    style = Style(colour)
    missing = tuple(left_out)
    lines = [line for slug, error in sorted(errors.items()) for line in error_lines(error, style, about=slug)]
    lines += [f"left out: {visible(str(item.address))}: {visible(item.name)}: {visible(item.why)}" for item in missing]
    if not lines and directory is None:
        return ""
    where = f" to {visible(directory)}" if directory is not None else ""
    parts = [f"{style.green('Wrote')} {counted(written, 'manifest')}{where}"]
    parts += [f"{same} already up to date"] if same else []
    parts += [f"{counted(len(missing), 'thing')} left out"] if missing else []
    parts += [f"{counted(len(errors), 'app')} not exported"] if errors else []
    return text_of([*lines, f"{', '.join(parts)}."])


def keys_text(keys: Mapping[str, str]) -> str:
    """Return keys as the lines of a file with environment variables: `OCTOMIL_APP_KEY=…`."""
    return "".join(f"OCTOMIL_{name.upper()}={shlex.quote(key)}\n" for name, key in keys.items())


def bootstrap_document(
    *, run_id: str, app: str, target: str, keys: Mapping[str, str], key_file: str | None, manifest: str
) -> JsonObject:
    """Return the result of a bootstrap as JSON; a key is null if it was written to a file, or if there is none."""
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
    """Render what was created, where its keys are, and the next step; `plan` is the start of the command line of a plan."""
    keys = f"in {visible(key_file)}, readable only by you" if key_file else "on standard output: keep them out of Git"
    return text_of(
        (
            f"Created app `{visible(app)}` with target {visible(target)} on {visible(where)}.",
            f"Its keys are {keys}. They won't be shown again.",
            f"Commit the manifest, declare slots in it, and run:  {visible(plan)} -f FILE --app {visible(app)}",
        )
    )


def render_bootstrap_end(*, run_id: str, history: str, exit_code: ExitCode) -> str:
    """Render the last line of a bootstrap: its run and its exit code."""
    return text_of((run_line(run_id, history=history, exit_code=exit_code),))
