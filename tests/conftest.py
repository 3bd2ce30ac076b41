"""What holds for every room's tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A test never fails for being slow on a busy machine, and never keeps examples in a folder of its own.
settings.register_profile(
    "octosync", deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("octosync")
