"""The forge: GitHub and GitHub Enterprise through their REST API, and the starter workflows of a repository.

Manifests, plans, the control plane (the text of a comment is given), printing and reading the environment don't belong here.
Exceptions of httpx are translated into `RemoteError` and don't leave this package.
"""

from octosync.forge.comments import (
    Comment,
    PostResult,
    PostStatus,
    find_merged_pull_request,
    mark_outdated,
    post_comment,
)
from octosync.forge.github import GitHub
from octosync.forge.issues import (
    MAX_DEPLOYMENTS,
    AppliedRevision,
    Issue,
    close_issue,
    find_applied_revision,
    keep_issue_open,
)
from octosync.forge.job import PUBLIC_API, GitHubRepository, JobEvent, read_job_event, repository_from_environment
from octosync.forge.workflows import UNKNOWN_COMMIT, promotion_order, secret_name, starter_workflows

__all__ = [
    "MAX_DEPLOYMENTS",
    "PUBLIC_API",
    "UNKNOWN_COMMIT",
    "AppliedRevision",
    "Comment",
    "GitHub",
    "GitHubRepository",
    "Issue",
    "JobEvent",
    "PostResult",
    "PostStatus",
    "close_issue",
    "find_applied_revision",
    "find_merged_pull_request",
    "keep_issue_open",
    "mark_outdated",
    "post_comment",
    "promotion_order",
    "read_job_event",
    "repository_from_environment",
    "secret_name",
    "starter_workflows",
]
