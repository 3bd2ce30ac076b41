"""What `octosync export` says beside the manifests: what it wrote where, what it left out and why, what it could not read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from octosync.errors import OctosyncError
from octosync.model import LeftOut, counted
from octosync.report.errors import error_lines
from octosync.report.ink import Ink
from octosync.report.text import text_of, visible


def render_export(
    left_out: Iterable[LeftOut],
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
    ink = Ink(colour)
    missing = tuple(left_out)
    lines = [line for slug, error in sorted(errors.items()) for line in error_lines(error, ink, about=slug)]
    lines += [f"left out: {visible(str(one.address))}: {visible(one.name)}: {visible(one.why)}" for one in missing]
    if not lines and directory is None:
        return ""
    where = f" to {visible(directory)}" if directory is not None else ""
    parts = [f"{ink.green('Wrote')} {counted(written, 'manifest')}{where}"]
    parts += [f"{same} as they should be already"] if same else []
    parts += [f"{counted(len(missing), 'thing')} left out"] if missing else []
    parts += [f"{counted(len(errors), 'app')} not exported"] if errors else []
    return text_of([*lines, f"{', '.join(parts)}."])
