"""The number of examples of property tests: few by default, fifteen times as many with `OCTOSYNC_THOROUGH=1`."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import Final

os.environ["HYPOTHESIS_NO_PLUGINS"] = (
    "1"  # the plugin of trio, which selenium installs, would import it in every test process
)
from hypothesis import HealthCheck, settings

THOROUGH: Final = os.environ.get("OCTOSYNC_THOROUGH") == "1"
_SHARE: Final = 15  # by default a fifteenth of the examples is tried, different ones in each run
_FEWEST: Final = 10


def examples(thorough: int) -> settings:
    """Return the settings of a property; `thorough` is its number of examples in a thorough run."""
    return settings(max_examples=_count(thorough))


def seeds(thorough: int, *, fewest: int = _FEWEST) -> Sequence[int]:
    """Return the seeds of a test that draws its own examples: 0 to `thorough`, or some of them, at least `fewest`."""
    return range(thorough) if THOROUGH else sorted(random.sample(range(thorough), _count(thorough, fewest)))


def _count(thorough: int, fewest: int = _FEWEST) -> int:
    return thorough if THOROUGH else max(thorough // _SHARE, min(thorough, fewest))


def load_profile() -> None:
    """Set the defaults of every property: it never fails because a machine is slow, and stores no examples on disk."""
    settings.register_profile(
        "octosync",
        max_examples=_count(100),
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
        print_blob=True,
    )
    settings.load_profile("octosync")
