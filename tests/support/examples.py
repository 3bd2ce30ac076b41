"""The number of examples of property tests: few by default, many more with `OCTOSYNC_THOROUGH=1`."""

from __future__ import annotations

import os
from typing import Final

from hypothesis import HealthCheck, settings

_THOROUGH: Final = os.environ.get("OCTOSYNC_THOROUGH") == "1"
_SHARE: Final = 4  # by default a quarter of the examples is tried, different ones in each run


def examples(thorough: int) -> settings:
    """Return the settings of a property; `thorough` is its number of examples in a thorough run."""
    return settings(max_examples=thorough if _THOROUGH else thorough // _SHARE)


def load_profile() -> None:
    """Set the defaults of every property: it never fails because a machine is slow, and stores no examples on disk."""
    settings.register_profile(
        "octosync",
        max_examples=100 if _THOROUGH else 100 // _SHARE,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
        print_blob=True,
    )
    settings.load_profile("octosync")
