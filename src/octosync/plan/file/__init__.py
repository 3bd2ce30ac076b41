"""The plan as a document: what `plan -o json` writes and `apply --plan` reads."""
