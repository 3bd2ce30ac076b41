"""Policies: their expressions are compiled and evaluated here, in a process with limits.

What may not live here: what a rule is about (that is `plan`), and what follows from its result.
"""

from typing import TYPE_CHECKING

from octosync.exports import lazy_exports

if TYPE_CHECKING:
    from octosync.policies.evaluator import evaluate, problems_of
else:
    __all__, __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "evaluator": "evaluate problems_of",
        },
    )
