"""What a fault is, and what it may lay its hands on."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from prove.cluster import Cluster
from prove.postgres import Server
from prove.records import Window

Run = Callable[["Scene"], Awaitable[frozenset[str] | None]]
NOBODY: Final[frozenset[str]] = frozenset()
"""No router may be unavailable."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong, and is put right again."""

    name: str
    run: Run
    """Breaks, holds and mends; tells which routers need not be available meanwhile (None: all of them)."""


@dataclass(slots=True)
class Scene:
    """What a fault may lay its hands on."""

    cluster: Cluster
    rng: random.Random
    hold: float
    """Times the length of a fault as it is written."""
    failovers: list[Failover] = field(default_factory=list)
    begun: float = 0.0
    """When the fault began; a fault that prepares first moves it."""
    windows: list[Window] = field(default_factory=list)
    """What a fault excuses besides itself: its preparations."""


@dataclass(frozen=True, slots=True)
class Failover:
    """A primary that was given up for a standby that lagged."""

    old: Server
    lost: float
    regained: float
