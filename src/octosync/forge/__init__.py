"""The forge: GitHub and what resembles it, over its REST API, and the workflows that a repository starts with.

What may not live here: manifests, plans and the control plane (a comment's text is given), anything that prints or reads
the environment. Foreign exceptions end here: whatever httpx raises becomes a `RemoteError`.
"""

from octosync.forge.starting import secret_for, starter_workflows

__all__ = [
    "secret_for",
    "starter_workflows",
]
