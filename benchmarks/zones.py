"""octoDNS as a planner. It runs in a process of its own."""

from __future__ import annotations

import time
from pathlib import Path


def plan_records(folder: str, count: str) -> dict[str, float]:
    """Load a zone with this number of records, and compare it with an equal one. Return the seconds of CPU."""
    from octodns.provider.yaml import YamlProvider
    from octodns.zone import Zone

    zones = Path(folder) / "zones"
    zones.mkdir()
    records = (f"app-{n:05}:\n  ttl: 300\n  type: A\n  value: 192.0.2.{n % 250 + 1}\n" for n in range(int(count)))
    (zones / "example.com.yaml").write_text("---\n" + "".join(records), encoding="utf-8")
    provider = YamlProvider("manifests", str(zones))
    desired, existing = Zone("example.com.", []), Zone("example.com.", [])
    began = time.process_time()
    provider.populate(desired)
    loaded = time.process_time()
    provider.populate(existing)
    comparing = time.process_time()
    assert existing.changes(desired, provider) == []
    return {"load": loaded - began, "compare": time.process_time() - comparing}
