"""The forge: GitHub and GitHub Enterprise through their REST API, and the starter workflows of a repository.

Manifests, plans, the control plane (the text of a comment is given), printing and reading the environment don't belong here.
Exceptions of httpx are translated into `RemoteError` and don't leave this package.
"""

from typing import TYPE_CHECKING

from octosync.exports import lazy_exports

if TYPE_CHECKING:
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
else:
    __all__, __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "comments": "Comment PostResult PostStatus find_merged_pull_request mark_outdated post_comment",
            "github": "GitHub",
            "issues": "MAX_DEPLOYMENTS AppliedRevision Issue close_issue find_applied_revision keep_issue_open",
            "job": "PUBLIC_API GitHubRepository JobEvent read_job_event repository_from_environment",
            "workflows": "UNKNOWN_COMMIT promotion_order secret_name starter_workflows",
        },
    )
