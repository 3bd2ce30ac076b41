"""How far octosync follows the optimization that Octomil suggests."""

from __future__ import annotations

from enum import Enum
from typing import Final


class Optimize(Enum):
    """What octosync does when Octomil has a better variant, from least to most."""

    NEVER = "never"
    SUGGEST = "suggest"
    AUTO = "auto"


# How much worse a better variant may be in any metric, unless the manifest declares it.
MAX_REGRESSION: Final = 0.1
