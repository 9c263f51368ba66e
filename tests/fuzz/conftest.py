"""Fuzzing: whatever the bytes, a reader succeeds or says in the project's own words what is wrong.

In the normal run each test tries the same cases every time. COVERS_FUZZ_EXAMPLES=20000 tries that
many in each, and other ones every time; what it finds is kept as an @example or in corpus/.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_MORE = os.environ.get("COVERS_FUZZ_EXAMPLES")

settings.register_profile(
    "covers",
    max_examples=int(_MORE or 150),
    derandomize=not _MORE,
    database=None,
    deadline=None,  # `bounded` measures time: a busy machine is no failure
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("covers")
