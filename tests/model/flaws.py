"""The mistakes that the model can be made with, each of them one that a system of this kind has made or could.

The law: one flaw leaves out one rule of the protocol and nothing else, so that what its trace shows is that rule's work.
"""

from __future__ import annotations

from enum import StrEnum


class Flaw(StrEnum):
    """A rule that is left out; the value says what is done, or what happens, instead."""

    # What a snapshot is.
    TORN_READ = "the head is read in one transaction and the rows in another"
    EMPTY_READ = "a read that broke off after the head is taken for an empty catalog"
    WRONG_BASE = "what changed since a number is applied without asking whose number it is"
    BLIND_DIGEST = "digests are not compared"
    BARE_SEQUENCE = "revisions come from a sequence, so that a lower one may commit after a higher one"
    QUARANTINE_OVER_DISABLE = "a row that cannot be read keeps its last good version though it can be read to be off"
    DISTRUST_FORGOTTEN = "when a load of everything fails, the next one may read only what changed"
    # Following.
    TWO_LOADERS = "a second load may begin before the first has ended"
    LATE_CLEAR = "the wanted flag is cleared when a load ends, not before it reads"
    NUMBER_ONLY = "a head is compared by its number, without its chain"
    NO_POLL = "polling rests while the stream is up"
    TIED_TO_CACHE = "a router whose cache is switched off does not follow"
    # Refusals.
    NO_PROOF = "a refusal is said from the snapshot as it is"
    JOINED_READ = "a refusal is proven by a head read that had already begun"
    FAILED_PROOF = "a head read that failed counts as one that found nothing new"
    NEWER_IS_FINE = "a snapshot counts as fresh when its number is not below the head's"
    HINT_IS_PROOF = "a hint of what is applied counts as proof that it is the head"
    STALE_MEMO = "a refusal once computed is kept when the snapshot changes"
    # Leases and visibility.
    LEASE_FROM_ANSWER = "a lease is counted from the answer to its renewal, not from the sending"
    TRUST_KEPT = "a router that let its lease lapse is trusted again as soon as it has a new one"
    DISK_TRUSTED = "a router started from its disk is trusted before it has seen the head"
    DEGRADED_COUNTED = "a router that says it is degraded need not be waited for"
    LEASES_READ_EARLY = "the leases waited for are those read before the change was committed"
    NO_GRACE = "after a failover leases are judged by what the new database knows of them"
    SEEN_BY_NUMBER = "a router counts as having a change when its number is high enough"
    CLOCK_JUMPS = "when the database's clock jumps ahead, leases are judged by it alone"
    # Tokens.
    TOKEN_BY_NUMBER = "a token counts as reached when its number is"
    LOOKED_UP_ALONE = "a token is looked up without asking whether the snapshot is of the same history"
    DIRECT_UNASKED = "a pick that names a token is answered by a read of the database that is not held against it"

    __hash__ = str.__hash__  # looked up at every step; Enum's own is a call in Python
