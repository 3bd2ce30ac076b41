"""octosync keeps Octomil apps in the state that a Git repository declares."""

__version__ = "0.1.0"
