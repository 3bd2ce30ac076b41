"""Commands of commands, such as `octosync api`."""

from __future__ import annotations

import click


class InOrder(click.Group):
    """A group that lists its commands in the order of their definition."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands' names."""
        del ctx
        return list(self.commands)
