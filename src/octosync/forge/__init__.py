"""The forge: GitHub and what resembles it, over its REST API, and the workflows that a repository starts with.

What may not live here: manifests, plans and the control plane (a comment's text is given), anything that prints or reads
the environment. Foreign exceptions end here: whatever httpx raises becomes a `RemoteError`.
"""

from octosync.forge.comments import Comment, Did, Posted, merged_as, outdate, post
from octosync.forge.github import PUBLIC_API, GitHub, Repository, repository_in
from octosync.forge.issues import DEEPEST, Applied, Issue, applied, close, keep_open
from octosync.forge.job import Event, read_event
from octosync.forge.workflows import UNKNOWN_COMMIT, secret_for, starter_workflows

__all__ = [
    "DEEPEST",
    "PUBLIC_API",
    "UNKNOWN_COMMIT",
    "Applied",
    "Comment",
    "Did",
    "Event",
    "GitHub",
    "Issue",
    "Posted",
    "Repository",
    "applied",
    "close",
    "keep_open",
    "merged_as",
    "outdate",
    "post",
    "read_event",
    "repository_in",
    "secret_for",
    "starter_workflows",
]
