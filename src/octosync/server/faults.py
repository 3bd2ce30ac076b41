"""Injected faults."""


class Faults:
    """The rules in force."""
