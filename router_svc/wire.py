"""Protobuf at the door: requests into asks, and what is not a plan into messages (plans are `plan_writer`'s).

The law: nothing is decided here, and checked is only what a field may hold.
"""

import itertools
import random
import uuid
from typing import Final

from google.protobuf import duration_pb2
from msgspec import Struct

from router_svc.desk import LONGEST_LIMIT, TIME_LIMIT
from router_svc.explain import Considered
from router_svc.follower import State
from router_svc.plan import DEFAULT_CANDIDATES, MAX_CANDIDATES, Ask
from router_svc.snapshot import Token
from trunkline import unstorable_text
from trunkline.errors import FieldFault, InvalidFields
from trunkline.secret import ApiKeyHasher
from trunkline.v1 import revision_pb2, router_pb2

MAX_NAME: Final = 1_024
"""Characters of a model name, an API key or an address that are worth looking at."""
MAX_EXCLUDED: Final = 4_096

_NOBODY: Final[frozenset[int]] = frozenset()


class Asked(Struct, frozen=True, gc=False):
    """What a pick says, the same as long as its bytes are: an ask but for what each pick has of its own."""

    model: str
    key_hash: bytes | None
    group: str
    address: str
    excluded: frozenset[int]
    wanted: int
    seed: int | None
    """None when it is to be drawn."""
    required: int
    min_token: Token | None
    time_limit: float
    """Seconds."""
    old_key_hash: bytes | None = None


class Asks:
    """Makes asks of picks: hashes API keys, draws seeds, numbers decisions."""

    def __init__(self, hasher: ApiKeyHasher, old_hasher: ApiKeyHasher | None = None) -> None:
        """Take the API keys' hash, and the one before it while keys are rotated."""
        self._hasher, self._old_hasher = hasher, old_hasher
        self._prefix = uuid.uuid4().hex[:12]
        self._numbers = itertools.count(1)

    def ask(self, pick: router_pb2.Pick) -> Ask:
        """Make an ask of a pick. Raises InvalidFields with every fault."""
        return self.fresh(self.read(pick, TIME_LIMIT))

    def fresh(self, asked: Asked) -> Ask:
        """Make an ask of what a pick says: with a seed and a decision id of its own."""
        return Ask(
            asked.model,
            asked.key_hash,
            asked.group,
            asked.address,
            asked.excluded,
            asked.wanted,
            random.getrandbits(64) if asked.seed is None else asked.seed,
            f"{self._prefix}-{next(self._numbers):x}",
            asked.required,
            asked.old_key_hash,
        )

    def read_item(self, item: router_pb2.PickChannelsRequest.Item) -> Asked:
        """Read a pick of a stream. Raises InvalidFields with every fault."""
        return self.read(item.pick, time_limit_of(item.time_limit if item.HasField("time_limit") else None, None))

    def read(self, pick: router_pb2.Pick, time_limit: float) -> Asked:
        """Read a pick that may wait some seconds. Raises InvalidFields with every fault."""
        model, api_key, wanted = pick.model, pick.api_key, pick.max_candidates
        group = "" if api_key else pick.group
        excluded = frozenset(pick.excluded_channel_ids) or _NOBODY
        if (
            not model
            or not (api_key or group)
            or not 0 <= wanted <= MAX_CANDIDATES
            or len(model) > MAX_NAME
            or len(api_key) > MAX_NAME
            or len(excluded) > MAX_EXCLUDED
            or pick.required_channel_id < 0
            or "\0" in model
            or "\0" in api_key
            or "\0" in pick.group
            or "\0" in pick.client_address
        ):
            raise InvalidFields(_faults(pick))
        return Asked(
            model,
            self._hasher.hash(api_key) if api_key else None,
            group,
            pick.client_address,
            excluded,
            wanted or DEFAULT_CANDIDATES,
            pick.seed if pick.HasField("seed") else None,
            pick.required_channel_id,
            min_token_of(pick),
            time_limit,
            self.old_key_hash(api_key),
        )

    def key_hash(self, api_key: str) -> bytes:
        """Hash an API key."""
        return self._hasher.hash(api_key)

    def old_key_hash(self, api_key: str) -> bytes | None:
        """Hash an API key with the pepper before, if there is one."""
        return self._old_hasher.hash(api_key) if api_key and self._old_hasher is not None else None


def _faults(pick: router_pb2.Pick) -> list[FieldFault]:
    faults = []
    if not pick.model:
        faults.append(FieldFault("pick.model", "is empty"))
    if len(pick.model) > MAX_NAME:
        faults.append(FieldFault("pick.model", f"is longer than {MAX_NAME} characters"))
    if not (pick.api_key or pick.group):
        faults.append(FieldFault("pick.caller", "neither an API key nor a group"))
    if len(pick.api_key) > MAX_NAME:
        faults.append(FieldFault("pick.api_key", f"is longer than {MAX_NAME} characters"))
    if not 0 <= pick.max_candidates <= MAX_CANDIDATES:
        faults.append(FieldFault("pick.max_candidates", f"is not within 1 and {MAX_CANDIDATES}"))
    if pick.required_channel_id < 0:
        faults.append(FieldFault("pick.required_channel_id", "is no channel"))
    if len(pick.excluded_channel_ids) > MAX_EXCLUDED:
        faults.append(FieldFault("pick.excluded_channel_ids", f"are more than {MAX_EXCLUDED}"))
    return [*faults, *unstorable_text.faults_of(pick, "pick.")]


def min_token_of(message: "router_pb2.Pick | router_pb2.ListModelsRequest") -> Token | None:
    """Read the oldest state that may answer; None when any may. Raises InvalidFields."""
    if not message.HasField("min_token"):
        return None
    token = token_of(message.min_token)
    if "\0" in token.chain:
        raise InvalidFields(unstorable_text.faults_of(message, "pick." if isinstance(message, router_pb2.Pick) else ""))
    return token


def token_of(message: revision_pb2.RevisionToken) -> Token:
    """Read a revision token."""
    return Token(message.revision, message.chain)


def token_message(token: Token) -> revision_pb2.RevisionToken:
    """Write a revision token."""
    return revision_pb2.RevisionToken(revision=token.revision, chain=token.chain)


def time_limit_of(message: duration_pb2.Duration | None, remaining: float | None) -> float:
    """Give the seconds that a pick may wait, within what its caller says and within the call's own time."""
    asked = TIME_LIMIT if message is None else message.seconds + message.nanos / 1e9
    limit = min(max(asked, 0.0), LONGEST_LIMIT)
    # A tenth of the call's time is left for the answer to travel.
    return limit if remaining is None else min(limit, 0.9 * max(remaining, 0.0))


def duration_message(seconds: float) -> duration_pb2.Duration:
    """Write a span of time."""
    nanoseconds = round(seconds * 1e9)
    return duration_pb2.Duration(seconds=nanoseconds // 10**9, nanos=nanoseconds % 10**9)


def considered_message(entry: Considered) -> router_pb2.ConsideredChannel:
    """Write a channel considered."""
    return router_pb2.ConsideredChannel(
        channel_id=entry.channel.id,
        channel_name=entry.channel.name,
        group=entry.group,
        matched_model=entry.matched_model,
        priority=entry.priority,
        weight=entry.weight,
        share=entry.share,
        out_reason=entry.out_reason,
        rank=entry.rank,
    )


_STATES: Final = {
    State.STARTING: router_pb2.ROUTER_STATE_STARTING,
    State.SERVING: router_pb2.ROUTER_STATE_SERVING,
    State.DEGRADED: router_pb2.ROUTER_STATE_DEGRADED,
    State.DRAINING: router_pb2.ROUTER_STATE_DRAINING,
}


def state_message(state: State | str) -> router_pb2.RouterState.ValueType:
    """Write a router's state; a name that a newer router wrote is unspecified here."""
    if isinstance(state, str):
        state_named = State.__members__.get(state)
        return _STATES[state_named] if state_named is not None else router_pb2.ROUTER_STATE_UNSPECIFIED
    return _STATES[state]


_RESULTS: Final = {
    value.number: value.name.removeprefix("OUTCOME_RESULT_") for value in router_pb2.OutcomeResult.DESCRIPTOR.values
}


def outcomes_of(message: router_pb2.ReportOutcomesRequest) -> dict[tuple[int, int, int], int]:
    """Count the outcomes of each channel, result and HTTP status; what came last stands last."""
    counts: dict[tuple[int, int, int], int] = {}
    for outcome in message.outcomes:
        what = (outcome.channel_id, outcome.result, outcome.http_status)
        counts[what] = counts.pop(what, 0) + 1
    return counts


def result_name(result: int) -> str:
    """Name an outcome's result; one that only newer relays know is `UNKNOWN`."""
    return _RESULTS.get(result, "UNKNOWN")
