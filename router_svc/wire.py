"""Protobuf at the door: requests into asks, decisions into messages. Decides nothing, and checks only what a field may hold.

The law: a whole channel key, or a proxy's URL, goes into a message only when the caller's token has the `credentials` scope.
"""

import itertools
import random
import uuid
from collections.abc import Callable
from typing import Final, cast

from google.protobuf import duration_pb2

from router_svc.desk import LONGEST_LIMIT, TIME_LIMIT
from router_svc.explain import Considered
from router_svc.follower import State, Trust
from router_svc.picker import DEFAULT_CANDIDATES, MAX_CANDIDATES, Ask, Candidate, Plan
from router_svc.snapshot import NO_SHAPING, ChannelKey, Proxy, Shaping, Timeouts, Token
from trunkline.errors import FieldFault, InvalidFields
from trunkline.secret import ApiKeyHasher, Secret
from trunkline.v1 import revision_pb2, router_pb2

MAX_NAME: Final = 1_024
"""Characters of a model name, an API key or an address that are worth looking at."""
MAX_EXCLUDED: Final = 1_024
_WRITTEN: Final = 32  # messages kept of one channel key

_NOBODY: Final[frozenset[int]] = frozenset()


class Asks:
    """Makes asks of picks: hashes API keys, draws seeds, numbers decisions."""

    def __init__(self, hasher: ApiKeyHasher) -> None:
        """Take the API keys' hash."""
        self._hasher = hasher
        self._prefix = uuid.uuid4().hex[:12]
        self._numbers = itertools.count(1)

    def ask(self, pick: router_pb2.Pick) -> Ask:
        """Read a pick. Raises InvalidFields with every fault."""
        if (
            pick.max_candidates > MAX_CANDIDATES
            or pick.max_candidates < 0
            or not pick.model
            or len(pick.model) > MAX_NAME
        ):
            raise InvalidFields(_faults(pick))
        excluded = frozenset(pick.excluded_channel_ids) if pick.excluded_channel_ids else _NOBODY
        api_key = pick.api_key
        if not (api_key or pick.group) or len(api_key) > MAX_NAME or len(excluded) > MAX_EXCLUDED:
            raise InvalidFields(_faults(pick))
        return Ask(
            pick.model,
            self._hasher.hash(api_key) if api_key else None,
            pick.group,
            pick.client_address,
            excluded,
            pick.max_candidates or DEFAULT_CANDIDATES,
            pick.seed if pick.HasField("seed") else random.getrandbits(64),
            f"{self._prefix}-{next(self._numbers):x}",
        )

    def key_hash(self, api_key: str) -> bytes:
        """Hash an API key."""
        return self._hasher.hash(api_key)


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
    if len(pick.excluded_channel_ids) > MAX_EXCLUDED:
        faults.append(FieldFault("pick.excluded_channel_ids", f"are more than {MAX_EXCLUDED}"))
    return faults


def min_token_of(message: "router_pb2.Pick | router_pb2.ListModelsRequest") -> Token | None:
    """Read the oldest state that may answer; None when any may."""
    return token_of(message.min_token) if message.HasField("min_token") else None


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


class PlanWriter:
    """Writes plans for one caller. What is the same for many plans is written once and copied."""

    def __init__(self, *, credentials: bool, trust: Callable[[], Trust]) -> None:
        """Take whether the caller may have whole keys, and what tells how far answers can be trusted."""
        self._credentials = credentials
        self._trust = trust
        self._common = router_pb2.Plan()
        self._token = Token(-1, "")
        self.begin()

    def begin(self) -> None:
        """Begin a message: its plans are as trusted as the router is now."""
        degraded, age = self._trust()
        self._common.degraded = degraded
        self._common.snapshot_age.CopyFrom(duration_message(age))

    def write(self, plan: Plan, into: router_pb2.Plan) -> None:
        """Write a plan into an empty message."""
        if plan.token is not self._token:
            self._token = plan.token
            self._common.token.CopyFrom(token_message(plan.token))
        into.CopyFrom(self._common)
        into.decision_id = plan.decision_id
        into.seed = plan.seed
        into.group = plan.group
        into.matched_model = plan.matched_model
        into.api_key_id = plan.api_key_id
        for candidate in plan.candidates:
            into.candidates.append(self._candidate(candidate))

    def message(self, plan: Plan) -> router_pb2.Plan:
        """Write a plan into a message of its own."""
        self.begin()
        message = router_pb2.Plan()
        self.write(plan, message)
        return message

    def _candidate(self, candidate: Candidate) -> router_pb2.Candidate:
        """Give a candidate's message: the same one as long as its channel's version lives."""
        key = candidate.key
        if key is None:
            return _candidate_message(candidate, credentials=self._credentials)
        name = (candidate.priority, candidate.upstream_model, self._credentials)
        if key.written is None:
            key.written = {}
        message = key.written.get(name)
        if message is None:
            if len(key.written) >= _WRITTEN:  # a wildcard may be asked for under endlessly many names
                key.written.clear()
            message = key.written[name] = _candidate_message(candidate, credentials=self._credentials)
        return cast("router_pb2.Candidate", message)


def _candidate_message(candidate: Candidate, *, credentials: bool) -> router_pb2.Candidate:
    channel, key, upstream_model, priority = candidate
    message = router_pb2.Candidate(
        channel_id=channel.id,
        channel_name=channel.name,
        provider=channel.provider,
        base_url=channel.base_url,
        upstream_model=upstream_model,
        priority=priority,
        channel_revision=channel.revision,
    )
    if key is not None:
        message.key_id = key.id
        message.key_last_four = key.last_four
        if credentials:
            message.key = _plain(key)
    if channel.header_overrides:
        message.header_overrides.update(channel.header_overrides)
    if channel.parameter_overrides:
        message.parameter_overrides_json = channel.parameter_overrides
    if channel.timeouts != _DEFAULTS:
        message.timeouts.CopyFrom(_timeouts_message(channel.timeouts))
    if channel.shaping is not NO_SHAPING:
        message.shaping.CopyFrom(_shaping_message(channel.shaping, credentials=credentials))
    return message


def _shaping_message(shaping: Shaping, *, credentials: bool) -> router_pb2.Shaping:
    proxy = shaping.proxy
    return router_pb2.Shaping(
        provider_options=shaping.provider_options,
        removed_headers=shaping.removed_headers,
        system_prompt=shaping.system_prompt,
        system_prompt_mode=_PROMPT_MODES[shaping.system_prompt_mode],
        status_mapping=shaping.status_mapping,
        proxy_url=_plain(proxy) if credentials and proxy is not None else "",
        strict=shaping.strict,
        repeat_after_timeout=shaping.repeat_after_timeout,
    )


_PROMPT_MODES: Final = {
    "DEFAULT": router_pb2.SYSTEM_PROMPT_MODE_DEFAULT,
    "PREPEND": router_pb2.SYSTEM_PROMPT_MODE_PREPEND,
}


_DEFAULTS: Final = Timeouts()


def _plain(sealed: ChannelKey | Proxy) -> str:
    return sealed.opened.reveal() if isinstance(sealed.opened, Secret) else ""


def _timeouts_message(timeouts: Timeouts) -> router_pb2.Timeouts:
    def written(milliseconds: int | None) -> duration_pb2.Duration | None:
        return None if milliseconds is None else duration_message(milliseconds / 1000)

    return router_pb2.Timeouts(
        connect=written(timeouts.connect),
        first_byte=written(timeouts.first_byte),
        idle=written(timeouts.idle),
        total=written(timeouts.total),
    )


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


def result_name(result: router_pb2.OutcomeResult.ValueType) -> str:
    """Name an outcome's result; one that only newer relays know is `UNKNOWN`."""
    named = router_pb2.OutcomeResult.DESCRIPTOR.values_by_number.get(result)
    return named.name.removeprefix("OUTCOME_RESULT_") if named is not None else "UNKNOWN"
