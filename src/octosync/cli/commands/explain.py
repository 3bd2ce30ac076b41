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
    """Explain a field of a manifest or of octosync.yaml, a rule, a finding, a guard or an outcome.

    With rules, findings, guards or outcomes as PATH, list all of them with their meanings; with policies, list the variables of
    the rules of policies. Without PATH, list the available topics.
    """
