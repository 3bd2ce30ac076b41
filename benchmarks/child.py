"""Calls a function in a process of its own: `python -m benchmarks.child MODULE.FUNCTION ARGUMENT…` prints the result as JSON."""

from __future__ import annotations

import json
import sys
from importlib import import_module

if __name__ == "__main__":
    module, _, function = sys.argv[1].partition(".")
    print(json.dumps(getattr(import_module(f"benchmarks.{module}"), function)(*sys.argv[2:])))
