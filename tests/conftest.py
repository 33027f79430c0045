"""Settings shared by all tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# The same examples in every run: a failure must be the change's, not the day's.
settings.register_profile(
    "steady",
    deadline=None,
    derandomize=True,
    max_examples=80,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("steady")
