"""Git: the repository, its revisions, and manifests at a base revision."""
