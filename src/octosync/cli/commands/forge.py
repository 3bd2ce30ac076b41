"""`octosync forge`: its options and help."""

from __future__ import annotations

import click

from octosync.cli.command import OrderedCommandGroup, runs
from octosync.cli.options import config_option, context_option, option, output_option

marker_option = option("--marker", required=True, metavar="M", help="The hidden marker that identifies it.")

author_option = option(
    "--author",
    metavar="LOGIN",
    help="The author's account; NAME[bot] for a GitHub app. The default is the token's account, or github-actions[bot].",
)

head_option = option("--head", metavar="SHA", help="The revision that the text describes.")


@click.group(cls=OrderedCommandGroup, example="octosync forge comment --marker plan comment.md")
def command() -> None:
    """Integrate with GitHub or GitHub Enterprise. Uses GITHUB_API_URL, GITHUB_REPOSITORY, and the token in GITHUB_TOKEN."""


@command.command(
    short_help="Create or update the comment on a pull request.",
    example="octosync forge comment --marker plan-production comment.md",
)
@click.argument("file", required=False, metavar="[FILE]")
@marker_option
@option("--pull", type=click.IntRange(1), metavar="N", help="The pull request. The default comes from the job's event.")
@option("--merged", metavar="SHA", help="The pull request whose merge created this revision.")
@option("--since", metavar="SHA", help="With --merged: also the pull requests merged after this revision.")
@head_option
@option("--outdated", is_flag=True, help="Without a text: mark the comment as outdated if the head has changed.")
@author_option
@runs("forge", "comment")
def comment() -> None:
    """Create or update the comment on a pull request that has this author and hidden marker, and print its URL.

    FILE is Markdown, or - for standard input. An unchanged comment is not sent again. If the token can't comment, for example in
    a fork, the text goes to the job summary, with a notice, and the exit code is 0.
    """


@command.command(
    short_help="Keep one tracking issue up to date.",
    example="octosync forge issue --marker drift-production \\\n  --title 'Drift in production' drift.md",
)
@click.argument("file", required=False, metavar="[FILE]")
@marker_option
@option("--title", metavar="TEXT", help="The title of the issue.")
@option("--close", "closing", is_flag=True, help="Without a text: close the issue if it is open.")
@head_option
@author_option
@runs("forge", "issue")
def issue() -> None:
    """Create, update or close the issue that has this author and hidden marker, and print its URL.

    FILE is Markdown, or - for standard input. An unchanged issue is not sent again.
    """


@command.command(
    "applied",
    short_help="Print the last revision that was applied in full.",
    example="octosync forge applied --context production",
)
@option("--environment", metavar="NAME", help="The environment. The default is octosync-CONTEXT.")
@context_option
@config_option
@output_option("text", "json")
@runs("forge", "applied_")
def applied_() -> None:
    """Print the newest successful deployment of an environment, and the unsuccessful ones after it.

    The text output is flags for `octosync apply`: --base SHA --attempted SHA. It is empty if there was no successful deployment:
    then apply has no base, and plans all manifests.
    """
