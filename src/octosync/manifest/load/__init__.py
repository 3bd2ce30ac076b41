"""Loading: from files, folders, kustomizations and standard input to desired state."""
