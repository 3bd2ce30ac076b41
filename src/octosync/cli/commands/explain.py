"""`octosync explain`: its options and help."""

from __future__ import annotations

import click

from octosync.cli.command import Command, runs
from octosync.cli.options import colour_option, output_option


def _complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from octosync.cli.runs.explain import completions

    del ctx, parameter
    return completions(incomplete)


@click.command(cls=Command, example="octosync explain app.spec.slots.servingPolicy")
@click.argument("path", required=False, shell_complete=_complete)
@output_option("text", "json")
@colour_option
@runs("explain")
def command() -> None:
    """Explain a field of a manifest or of octosync.yaml, or a name that octosync prints.

    PATH is a field, or the name of a rule, finding, guard, outcome, reason, notification, exit code, operation or error. With one
    of these words in the plural, such as guards or exit-codes, list all of them with their meanings; with policies, list the
    variables of the rules of policies. Without PATH, list the topics.
    """
