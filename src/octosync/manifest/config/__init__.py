"""octosync.yaml: its models, and how it is found and read."""
