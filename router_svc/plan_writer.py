"""Plans into messages, as the bytes that travel.

The law: what an account is reached with (a whole channel key, a proxy's URL, values of header overrides) and what is said in
its name (a system prompt) goes into a message only when the caller's token has the `credentials` scope.
Protobuf reads messages that follow each other as one, so what is the same for many plans is encoded once and joined: the
candidates, as long as their channel's version lives, and what a message's plans have in common. The only framing done here
is that of results.
"""

from collections.abc import Callable
from typing import Final

from google.protobuf import duration_pb2

from router_svc.follower import Trust
from router_svc.plan import Candidate, Plan
from router_svc.snapshot import NO_SHAPING, ChannelKey, Proxy, Shaping, Timeouts, Token
from router_svc.wire import duration_message, token_message
from trunkline.errors import Refused
from trunkline.rpc import refusal_of
from trunkline.secret import Secret
from trunkline.v1 import router_pb2

_WRITTEN: Final = 32  # candidates kept of one channel key
_SAID: Final = 256  # callers and models whose plans' common part is kept
_DEFAULTS: Final = Timeouts()
MASKED: Final = "••••"
"""Stands for what a caller may know of, and not read."""
_RESPONSE: Final = router_pb2.PickChannelsResponse
_RESULT: Final = _RESPONSE.Result
_LENGTH_DELIMITED: Final = 2  # the wire type of what is inside a message


def _tag(number: int) -> bytes:
    return bytes([number << 3 | _LENGTH_DELIMITED])


_RESULTS_TAG: Final = _tag(_RESPONSE.RESULTS_FIELD_NUMBER)
_PLAN_TAG: Final = _tag(_RESULT.PLAN_FIELD_NUMBER)
_REFUSAL_TAG: Final = _tag(_RESULT.REFUSAL_FIELD_NUMBER)


class PlanWriter:
    """Writes plans for one caller."""

    def __init__(self, *, credentials: bool, trust: Callable[[], Trust]) -> None:
        """Take whether the caller may have whole keys, and what tells how far answers can be trusted."""
        self._credentials = credentials
        self._trust = trust
        self._marks = router_pb2.Plan()
        self._age = self._marks.snapshot_age
        self._trusted = b""
        self._token = Token(-1, "")
        self._said: dict[tuple[str, str, int], bytes] = {}
        """What many plans of the state named by the token have in common."""
        self.begin()

    def begin(self) -> None:
        """Begin a message: its plans are as trusted as the router is now."""
        # What a plan has of its own, written over for each. Not kept longer: a message never lets go of a text it once held.
        self._own = router_pb2.Plan()
        degraded, age = self._trust()
        self._marks.degraded = degraded
        self._age.seconds, self._age.nanos = divmod(round(age * 1e9), 10**9)
        self._trusted = self._marks.SerializeToString()

    def result(self, mark: bytes, decision: Plan | Refused) -> bytes:
        """Write a decision as one result of a `PickChannelsResponse`: a part of such a message, marked by its pick's id."""
        if isinstance(decision, Refused):
            tag, answer = _REFUSAL_TAG, _refusal(decision)
        else:
            tag, answer = _PLAN_TAG, self.plan(decision)
        size = _varint(len(answer))
        body = len(mark) + len(tag) + len(size) + len(answer)
        return b"".join((_RESULTS_TAG, _varint(body), mark, tag, size, answer))

    def plan(self, plan: Plan) -> bytes:
        """Write a plan."""
        own, credentials = self._own, self._credentials
        own.decision_id = plan.decision_id
        own.seed = plan.seed
        parts = [own.SerializeToString(), self._common(plan), self._trusted]
        for candidate in plan.candidates:
            kept = candidate.key.written if candidate.key is not None else None
            part = kept.get((candidate.priority, candidate.upstream_model, credentials)) if kept is not None else None
            parts.append(part or self._candidate(candidate))
        return b"".join(parts)

    def message(self, plan: Plan) -> router_pb2.Plan:
        """Write a plan into a message of its own."""
        self.begin()
        return router_pb2.Plan.FromString(self.plan(plan))

    def _common(self, plan: Plan) -> bytes:
        """Write what a plan has in common with others of its caller, model and state."""
        if plan.token is not self._token:
            self._token = plan.token
            self._said.clear()
        name = (plan.group, plan.matched_model, plan.api_key_id)
        said = self._said.get(name)
        if said is None:
            if len(self._said) >= _SAID:
                self._said.clear()
            common = router_pb2.Plan(token=token_message(plan.token), group=plan.group)
            common.matched_model, common.api_key_id = plan.matched_model, plan.api_key_id
            said = self._said[name] = common.SerializeToString()
        return said

    def _candidate(self, candidate: Candidate) -> bytes:
        """Write a candidate as a part of its plan: the same bytes as long as its channel's version lives."""
        part = _written(candidate, credentials=self._credentials)
        if (key := candidate.key) is not None:
            kept = key.written
            if kept is None:
                kept = key.written = {}
            elif len(kept) >= _WRITTEN:  # a wildcard may be asked for under endlessly many names
                kept.clear()
            kept[candidate.priority, candidate.upstream_model, self._credentials] = part
        return part


def _refusal(refused: Refused) -> bytes:
    """Write a refusal, once however often it is said."""
    if not refused.written:
        refused.written = refusal_of(refused).SerializeToString()
    return refused.written


def _varint_of(number: int) -> bytes:
    rest = number >> 7
    return bytes((number & 127 | 128,)) + _varint_of(rest) if rest else bytes((number,))


_VARINTS: Final = tuple(map(_varint_of, range(2_048)))  # the sizes of nearly all plans


def _varint(number: int) -> bytes:
    return _VARINTS[number] if number < len(_VARINTS) else _varint_of(number)


def _written(candidate: Candidate, *, credentials: bool) -> bytes:
    message = _candidate_message(candidate, credentials=credentials)
    return router_pb2.Plan(candidates=[message]).SerializeToString()


def _candidate_message(candidate: Candidate, *, credentials: bool) -> router_pb2.Candidate:
    channel, key = candidate.channel, candidate.key
    message = router_pb2.Candidate(
        channel_id=channel.id,
        channel_name=channel.name,
        provider=channel.provider,
        base_url=channel.base_url,
        upstream_model=candidate.upstream_model,
        priority=candidate.priority,
        channel_revision=channel.revision,
    )
    if key is not None:
        message.key_id = key.id
        message.key_last_four = key.last_four
        if credentials:
            message.key = _plain(key)
    if channel.header_overrides:
        shown = channel.header_overrides if credentials else dict.fromkeys(channel.header_overrides, MASKED)
        message.header_overrides.update(shown)
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
        system_prompt=shaping.system_prompt if credentials or not shaping.system_prompt else MASKED,
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
