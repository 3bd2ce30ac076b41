"""An approved plan → one outcome per action: in dependency order, from fresh reads, each lost answer resolved by reading.

What may not live here: deciding what to write (that is `plan`), or in which words to report it (`report`).
"""

from octosync.apply.record import Record
from octosync.apply.run import Applied, Progress, apply_plan
from octosync.apply.witness import FRESH_FOR_SECONDS

__all__ = ["FRESH_FOR_SECONDS", "Applied", "Progress", "Record", "apply_plan"]
