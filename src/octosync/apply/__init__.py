"""Apply carries out an approved plan and returns one outcome per action.

Actions run in dependency order. An object is read again before it is overwritten if its last read is old, and a lost response is
resolved by reading the object. `rollout` then waits for the deployments that the plan touched.

What may not live here: decisions about what to write (`plan`) and the wording of reports (`report`).
"""

from typing import TYPE_CHECKING

from octosync.exports import lazy_exports

if TYPE_CHECKING:
    from octosync.apply.bootstrap import BootstrapResult, FirstApp, Keys, bootstrap_app, check_slug_is_free, key_hint
    from octosync.apply.executor import apply_plan
    from octosync.apply.outcomes import OUTCOMES, ApplyResult, Listener, OutcomeMeaning, Progress
    from octosync.apply.rollout import RolloutWaiter, RolloutWatch, rollouts_to_watch
    from octosync.apply.verify import FRESH_FOR_SECONDS
else:
    __all__, __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "bootstrap": "BootstrapResult FirstApp Keys bootstrap_app check_slug_is_free key_hint",
            "executor": "apply_plan",
            "outcomes": "OUTCOMES ApplyResult Listener OutcomeMeaning Progress",
            "rollout": "RolloutWaiter RolloutWatch rollouts_to_watch",
            "verify": "FRESH_FOR_SECONDS",
        },
    )
