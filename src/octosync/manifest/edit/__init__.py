"""Edits of manifest files: `accept` writes live values in place and leaves every other byte alone. No file is written here."""
