"""The recent history that a snapshot stands on: tells whether a revision token belongs to it.

The law: a token is part of this history only if its chain is the chain that was read at its revision. Of revisions older than
what is kept here it tells nothing; the database must be asked.
"""

from collections.abc import Iterable
from enum import Enum

from router_svc.snapshot import Token

KEPT = 10_000
"""Revisions kept at most."""


class Standing(Enum):
    """How a token stands to the state applied."""

    REACHED = "reached"
    AHEAD = "ahead"
    """Its revision is above what is applied: to be caught up with, or of another branch."""
    FOREIGN = "foreign"
    """Its revision was applied with another chain."""
    FORGOTTEN = "forgotten"
    """Its revision is older than what is kept."""


class Lineage:
    """The chains of recent revisions, up to the one applied."""

    def __init__(self) -> None:
        """Begin with no history."""
        self._chains: dict[int, str] = {}
        self._applied = -1
        self._forgotten = -1

    def extend(self, history: Iterable[Token], applied: Token) -> None:
        """Go on to a later state, along the revisions between."""
        self._chains.update(history)
        self._chains[applied.revision] = applied.chain
        self._applied = applied.revision
        if len(self._chains) > KEPT:
            self._chains = dict(sorted(self._chains.items())[-KEPT // 2 :])

    def restart(self, history: Iterable[Token], applied: Token) -> None:
        """Stand on a history read whole, which may be another branch."""
        self._chains = {}
        self._forgotten = -1
        self.extend(history, applied)

    def remember(self, token: Token) -> None:
        """Keep a token that the database vouched for."""
        self._chains[token.revision] = token.chain

    def forget_until(self, revision: int) -> None:
        """Learn that the database knows a revision no more: history goes from its old end, without holes."""
        self._forgotten = max(self._forgotten, revision)

    def standing(self, token: Token) -> Standing:
        """Tell how a token stands; one without a chain is compared by its number alone."""
        if token.revision > self._applied:
            return Standing.AHEAD
        if not token.chain:
            return Standing.REACHED
        chain = self._chains.get(token.revision)
        if chain is None:
            return Standing.REACHED if token.revision <= self._forgotten else Standing.FORGOTTEN
        return Standing.REACHED if chain == token.chain else Standing.FOREIGN
