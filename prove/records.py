"""What clients saw, as plain values. Times are seconds since the epoch, by the one clock that this machine has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from prove.history import Token
from prove.truth import Ask

FLAT: Final = frozenset(
    {
        "API_KEY_UNKNOWN",
        "API_KEY_DISABLED",
        "API_KEY_EXPIRED",
        "MODEL_NOT_ALLOWED",
        "ADDRESS_NOT_ALLOWED",
        "MODEL_UNKNOWN",
        "MODEL_NOT_IN_GROUP",
        "NO_CHANNEL",
    }
)
"""Refusals that say no, and so must be proven."""
NOT_NOW: Final = frozenset({"UNVERIFIED", "NOT_READY", "STALE"})
"""Refusals that say ask again."""
LOST_BRANCH: Final = "LOST_BRANCH"
NO_ANSWER: Final = "no answer: "
"""Begins the reason of a pick that got none: the connection broke, or its deadline passed."""


class PlanRead(NamedTuple):
    """What a plan said, as far as it is checked."""

    group: str
    candidates: tuple[tuple[int, int, int, str], ...]
    """(channel, key, priority, upstream model), best first."""


class Answer(NamedTuple):
    """One pick and what came of it."""

    router: str
    ask: Ask
    sent: float
    received: float
    reason: str
    """Empty for a plan."""
    token: Token
    """The state named by the answer; a refusal names no chain, and no revision (-1) when it has none."""
    marked: bool
    """Whether the plan was marked degraded."""
    min_token: Token | None
    plan: PlanRead | None
    unary: bool


class Ack(NamedTuple):
    """A change that an admin said is committed, and where it said that it is in force."""

    time: float
    token: Token
    request_id: str
    waited: bool
    """Whether the caller waited for routers (QUORUM or ALL)."""
    lagging: frozenset[str]
    """Routers that were named as not having it in force."""


class Window(NamedTuple):
    """When which routers need not be available; `routers` None is all of them."""

    begin: float
    end: float
    routers: frozenset[str] | None
    fault: str


@dataclass(frozen=True, slots=True)
class Violation:
    """A law that an answer broke."""

    law: str
    what: str
    at: float
    fault: str = ""
    """The fault during or after which it happened."""
