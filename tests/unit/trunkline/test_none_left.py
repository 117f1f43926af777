"""Whether a descriptor is to be had now."""

from __future__ import annotations

import os
import resource

from relay_svc import errors
from relay_svc.plan import NoPlan
from trunkline import descriptors


def test_having_none_left_is_said_instead_of_blaming_routers() -> None:
    """By a limit that is really reached, and only while it is."""
    before = descriptors.EXHAUSTED.labels("routers")._value.get()
    assert errors.of_pick(NoPlan()).reason == "ROUTER_UNREACHABLE"
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        reason = errors.of_pick(NoPlan()).reason
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert reason == "OUT_OF_DESCRIPTORS"
    assert descriptors.EXHAUSTED.labels("routers")._value.get() == before + 1
    assert errors.of_pick(NoPlan()).reason == "ROUTER_UNREACHABLE"
