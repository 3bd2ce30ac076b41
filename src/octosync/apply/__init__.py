"""Apply carries out an approved plan and returns one outcome per action.

Actions run in dependency order. An object is read again before it is overwritten if its last read is old, and a lost response is
resolved by reading the object. `rollout` then waits for the deployments that the plan touched.

What may not live here: decisions about what to write (`plan`) and the wording of reports (`report`).
"""

from octosync.apply.bootstrap import BootstrapResult, FirstApp, Keys, bootstrap_app, check_slug_is_free, key_hint
from octosync.apply.executor import apply_plan
from octosync.apply.outcomes import OUTCOMES, ApplyResult, Listener, OutcomeMeaning, Progress
from octosync.apply.rollout import RolloutWaiter, RolloutWatch, rollouts_to_watch
from octosync.apply.verify import FRESH_FOR_SECONDS

__all__ = [
    "FRESH_FOR_SECONDS",
    "OUTCOMES",
    "ApplyResult",
    "BootstrapResult",
    "FirstApp",
    "Keys",
    "Listener",
    "OutcomeMeaning",
    "Progress",
    "RolloutWaiter",
    "RolloutWatch",
    "apply_plan",
    "bootstrap_app",
    "check_slug_is_free",
    "key_hint",
    "rollouts_to_watch",
]
