"""Policies: their expressions are compiled and evaluated here, in a process with limits.

What may not live here: what a rule is about (that is `plan`), and what follows from its result.
"""

from octosync.policies.evaluator import evaluate, problems_of

__all__ = ["evaluate", "problems_of"]
