"""What `octosync init` says: what it wrote, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence

from octosync.model import counted
from octosync.report.text import text_of, visible


def render_founded(
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
