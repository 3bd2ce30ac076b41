"""The command line: one command a file; the only room that prints, exits, prompts or reads the environment."""

from octosync.cli.root import main

__all__ = ["main"]
