"""Export: manifests that declare live apps, and the starter manifests."""
