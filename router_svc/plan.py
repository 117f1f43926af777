"""What is asked of the picker, and what it answers.

The law: plain values of one snapshot. A refusal is a value too: whether it may be said depends on a proof that others bring.
"""

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from router_svc.snapshot import ApiKey, Channel, ChannelKey, Snapshot, Token
from trunkline.errors import Refused

DEFAULT_CANDIDATES: Final = 3
MAX_CANDIDATES: Final = 64

OpenKey = Callable[[Channel, ChannelKey | None], bool]
"""Opens a sealed key if it was not tried yet, None for a channel that needs none; tells whether it can be used."""


class Ask(Struct, gc=False):
    """One request for channels."""

    model: str
    key_hash: bytes | None = None
    """The hash of the caller's API key; None for a caller that names its group."""
    group: str = ""
    address: str = ""
    excluded: frozenset[int] = frozenset()
    wanted: int = DEFAULT_CANDIDATES
    seed: int = 0
    decision_id: str = ""
    required: int = 0
    """The one channel that may be named; 0 for any."""
    old_key_hash: bytes | None = None
    """The same API key hashed with the pepper before, while there is one: looked up where the first finds nothing."""


def caller_of(snapshot: Snapshot, ask: Ask) -> ApiKey | None:
    """The API key that asks, whichever pepper it is hashed with; None when there is none such, or none was shown."""
    if ask.key_hash is None:
        return None
    api_key = snapshot.api_keys_by_hash.get(ask.key_hash)
    if api_key is None and ask.old_key_hash is not None:
        return snapshot.api_keys_by_hash.get(ask.old_key_hash)
    return api_key


class Candidate(Struct, gc=False):
    """One channel of a plan."""

    channel: Channel
    key: ChannelKey | None
    """The key chosen; None for an upstream that needs none."""
    upstream_model: str
    priority: int


class Plan(Struct, gc=False):
    """Candidates, best first; at least one."""

    token: Token
    group: str
    matched_model: str
    """The declared name that matched, of the first candidate."""
    api_key_id: int
    candidates: list[Candidate]
    seed: int
    decision_id: str


Decision = Plan | Refused
