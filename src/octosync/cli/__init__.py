"""The command line: one command a file; the only room that prints, exits, prompts or reads the environment."""


def main() -> None:
    """Run the `octosync` command."""
