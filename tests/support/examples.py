"""How many examples property tests try: enough to see a mistake of today, and many more with `OCTOSYNC_THOROUGH=1`."""

from __future__ import annotations

import os
from typing import Final

from hypothesis import HealthCheck, settings

_THOROUGH: Final = os.environ.get("OCTOSYNC_THOROUGH") == "1"
_SHARE: Final = 4  # of the examples is tried otherwise, and other ones in each run


def examples(thorough: int) -> settings:
    """Return the settings of a property with so many examples where all are wanted."""
    return settings(max_examples=thorough if _THOROUGH else thorough // _SHARE)


def load_profile() -> None:
    """Set what holds for every property: it never fails for being slow on a busy machine, and keeps no folder of its own."""
    settings.register_profile(
        "octosync",
        max_examples=100 if _THOROUGH else 100 // _SHARE,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
        print_blob=True,
    )
    settings.load_profile("octosync")
