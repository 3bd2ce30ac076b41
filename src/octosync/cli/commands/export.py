"""`octosync export`: its options and help."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from octosync.cli.command import REMOTE_CODES, Command, runs
from octosync.cli.options import FORMATS, colour_option, control_plane_options, env_option, file_option, option

if TYPE_CHECKING:
    from octosync.model import Section

_SHOWN: Final = "targets,slots,inference_config,deploy"
_STDOUT: Final = "-"


def _directory(ctx: click.Context, parameter: click.Parameter, value: str | None) -> Path | None:
    """Return the value of `-d`, None for standard output. Refuse an empty one: `-d "$DIR"` without DIR must not mean `.`."""
    if value == "":
        raise click.BadParameter("the value is empty; is a variable not set?", ctx, parameter)
    if value in {*FORMATS, "yaml"}:
        message = (
            f"{value!r} is a format, and export always writes manifests in YAML; a directory of this name is ./{value}"
        )
        raise click.BadParameter(message, ctx, parameter)
    return None if value is None or value == _STDOUT else Path(value)


def _sections(ctx: click.Context, parameter: click.Parameter, value: str) -> frozenset[Section]:
    """Return the value of `--sections`. Raise `click.BadParameter` for an invalid one."""
    from octosync.model import Section, closest

    sections = {  # by their names in manifests and in the JSON of plans
        "targets": Section.TARGETS,
        "slots": Section.SLOTS,
        "inference_config": Section.INFERENCE_CONFIG,
        "inferenceConfig": Section.INFERENCE_CONFIG,
        "deploy": Section.DEPLOYMENTS,
    }
    names = [name.strip() for name in value.split(",")]
    for name in names:
        if name not in sections:
            close = closest(name, sections)
            meant = f"; did you mean {close}?" if close else f": {_SHOWN.replace(',', ', ')}"
            raise click.BadParameter(f"{name!r} is not a section{meant}", ctx, parameter)
    found = frozenset(sections[name] for name in names)
    if Section.DEPLOYMENTS in found and Section.SLOTS not in found:
        raise click.BadParameter("deploy is declared in slots: add slots", ctx, parameter)
    return found


@click.command(cls=Command, codes=REMOTE_CODES, example="octosync export 'search-*' -d apps/")
@click.argument("names", nargs=-1, metavar="[APP]...")
@option(
    "-d",
    "--out-dir",
    former="-o",  # for one release: for all other commands it is the format
    callback=_directory,
    metavar="DIR",
    help="Write one file per app to DIR. The default is stdout.",
)
@option("--force", env=False, is_flag=True, help="Overwrite existing files with different content.")
@option(
    "--sections", default=_SHOWN, show_default=True, callback=_sections, metavar="LIST", help="The sections to export."
)
@option("--archived", is_flag=True, help="Include archived apps.")
@option("--unmanaged", is_flag=True, help="Export only what the manifests of -f or octosync.yaml don't declare.")
@file_option
@env_option
@control_plane_options
@colour_option
@runs("export")
def command() -> None:
    """Write the manifests of live apps. Their plan is empty. APP is a slug or a pattern with *; the default is all apps."""
