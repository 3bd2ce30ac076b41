"""The command line. Each command has a file in `commands`. Only this package prints, exits, prompts or reads the environment."""

from octosync.cli.root import main

__all__ = ["main"]
