"""The shape of manifests: fields, rules, validation, JSON Schema, and `octosync explain`."""
