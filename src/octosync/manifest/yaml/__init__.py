"""YAML with positions: every value knows its file, line and column."""
