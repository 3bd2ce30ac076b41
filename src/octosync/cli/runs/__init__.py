"""What each command does. Its module in `commands` has its options and help.

A module of this package is imported before its command begins, while a signal still ends the process at once.
"""
