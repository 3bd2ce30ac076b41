"""Load desired state from files, folders, kustomizations and standard input."""
