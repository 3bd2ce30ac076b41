"""Desired state of the controller: manifests on disk are watched, loaded and compared with what was loaded before."""
