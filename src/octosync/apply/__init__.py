"""An approved plan → one outcome per action: in dependency order, from fresh reads, each lost answer resolved by reading.

And then, where that is wanted, what becomes of the deployments that it touched.

What may not live here: deciding what to write (that is `plan`), or in which words to report it (`report`).
"""

from octosync.apply.bootstrap import Bootstrapped, FirstApp, Keys, bootstrap_app, key_hint, refuse_taken
from octosync.apply.executor import ApplyResult, Listener, Progress, apply_plan
from octosync.apply.recorder import OUTCOMES, OutcomeMeaning, Record
from octosync.apply.rollout import RolloutWaiter, RolloutWatch, rollouts_to_watch
from octosync.apply.verify import FRESH_FOR_SECONDS

__all__ = [
    "FRESH_FOR_SECONDS",
    "OUTCOMES",
    "ApplyResult",
    "Bootstrapped",
    "FirstApp",
    "Keys",
    "Listener",
    "OutcomeMeaning",
    "Progress",
    "Record",
    "RolloutWaiter",
    "RolloutWatch",
    "apply_plan",
    "bootstrap_app",
    "key_hint",
    "refuse_taken",
    "rollouts_to_watch",
]
