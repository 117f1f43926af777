"""The words between the relay and its routers, without the wire: what is asked, what is answered, what is reported.

The law: plain values. `router_client` alone turns them into protobuf and back. What is made anew for every request is a
msgspec.Struct, made in 0.2 µs where a frozen dataclass takes as much for two fields.
"""

from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Protocol

import msgspec

from trunkline.errors import Reason
from trunkline.secret import Secret


class Unshown(msgspec.Struct, frozen=True):
    """What holds headers or bodies, and so perhaps a credential: it shows its name and none of its fields."""

    def __repr__(self) -> str:
        """Hide the fields."""
        return f"{type(self).__name__}(…)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Hide them from pretty printers, too: msgspec shows them all."""
        return []


class Asked(msgspec.Struct, frozen=True):
    """What a client wants routed."""

    api_key: Secret
    model: str
    client_address: str
    max_candidates: int
    channel_id: int = 0
    """The one channel that may be named; 0 for any."""
    excluded: tuple[int, ...] = ()
    """Channels that must not be named: this request has seen them."""


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Time limits of one attempt, in seconds."""

    connect: float
    """From dialling to a usable connection."""
    first_byte: float
    """From the request sent to the first byte of the answer."""
    idle: float
    """Between two reads of the answer."""
    total: float
    """The whole attempt."""


@dataclass(frozen=True, slots=True)
class ChannelLimits:
    """The time limits that a channel sets for itself, in seconds; None where it leaves them to the relay."""

    connect: float | None = None
    first_byte: float | None = None
    idle: float | None = None
    total: float | None = None

    def over(self, default: TimeLimits) -> TimeLimits:
        """Fill the gaps with the relay's own limits."""
        if self is NO_LIMITS:
            return default
        return TimeLimits(
            default.connect if self.connect is None else self.connect,
            default.first_byte if self.first_byte is None else self.first_byte,
            default.idle if self.idle is None else self.idle,
            default.total if self.total is None else self.total,
        )


NO_LIMITS: Final = ChannelLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaping:
    """How requests are shaped for an upstream."""

    provider_options: Mapping[str, str] = field(default_factory=dict)
    removed_headers: frozenset[str] = frozenset()
    """Names of headers never sent up, in lower case."""
    system_prompt: str = field(default="", repr=False)
    prepends_prompt: bool = False
    """Whether the prompt goes before the caller's own; otherwise it is given only where the caller gave none."""
    status_mapping: Mapping[int, int] = field(default_factory=dict)
    """Statuses shown to the client in place of an upstream's error statuses."""
    proxy: Secret | None = None
    """The URL of the proxy that the upstream is reached through."""
    strict: bool = False
    """Whether a request is refused when something of it cannot be carried into the upstream's format."""
    repeat_after_timeout: bool = False


NO_SHAPING: Final = Shaping()
"""What most channels have, one object for all."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One channel of a plan."""

    channel_id: int
    channel_name: str
    provider: str
    base_url: str
    upstream_model: str
    key_id: int = 0
    key: Secret | None = None
    """None for a channel that needs none."""
    header_overrides: Mapping[str, str] = field(default_factory=dict, repr=False)
    parameter_overrides: str = ""
    """A JSON object, or a list of operations (see `trunkline.parameter_overrides`), or empty."""
    limits: ChannelLimits = NO_LIMITS
    shaping: Shaping = NO_SHAPING
    ways: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)
    """How it is asked for each operation, kept by `outbound`: as many as endpoints, twice over or thrice."""

    @property
    def repeat_after_timeout(self) -> bool:
        """Whether a request that timed out after it was sent may be tried elsewhere."""
        return self.shaping.repeat_after_timeout


class Plan(msgspec.Struct, frozen=True):
    """The candidates for one request, best first, and the state that named them."""

    router: str
    """The address of the router that decided; outcomes go back to it."""
    decision_id: str
    revision: int
    group: str
    matched_model: str
    api_key_id: int
    candidates: Sequence[Candidate]
    degraded: bool = False
    snapshot_age: float = 0.0
    """Seconds since the router's snapshot was last known to be at head; told only by one that is degraded."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model that a key may use."""

    name: str
    providers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Models:
    """The models that a key may use, by name."""

    revision: int
    models: tuple[Model, ...]
    degraded: bool = False


class NoPlan(Exception):  # noqa: N818 - the root of those below; `errors.of_pick` says each over HTTP
    """No plan, and no list of models either."""


class PickRefused(NoPlan):
    """Why there is no plan, as a router said it; `reason` is None when it speaks of a kind unknown here."""

    def __init__(
        self,
        reason: Reason | None,
        message: str,
        metadata: Mapping[str, str] | None = None,
        retry_delay: float | None = None,
    ) -> None:
        """Keep the router's words; `retry_delay` in seconds, None when asking again is no use."""
        super().__init__(message)
        self.reason = reason
        self.metadata = metadata or {}
        self.retry_delay = retry_delay


class RoutersUnreachable(NoPlan):
    """No router answered in time."""


class PicksOverloaded(NoPlan):
    """More picks are waiting than the bound allows."""


class Routers(Protocol):
    """The port to the routers. Every wait ends at `deadline`, by the event loop's clock."""

    def pick(self, asked: Asked, deadline: float) -> Coroutine[Any, Any, Plan]:
        """Ask for a plan. Raises NoPlan."""
        ...

    async def models(self, api_key: Secret, client_address: str, deadline: float) -> Models:
        """List the models that a key may use. Raises as `pick`."""
        ...

    def report(self, router: str, outcome: "Outcome") -> None:
        """Tell a router what came of one of its candidates; never waits."""
        ...


class Result(StrEnum):
    """How an attempt ended; the names of `trunkline.v1.OutcomeResult` without their prefix."""

    SUCCESS = "SUCCESS"
    CONNECT_FAILED = "CONNECT_FAILED"
    CONNECT_TIMEOUT = "CONNECT_TIMEOUT"
    READ_TIMEOUT = "READ_TIMEOUT"
    UPSTREAM_ERROR = "UPSTREAM_ERROR"
    BROKEN_ANSWER = "BROKEN_ANSWER"
    CLIENT_LEFT = "CLIENT_LEFT"
    ABANDONED = "ABANDONED"


class Usage(msgspec.Struct, frozen=True):
    """Tokens as the upstream counted them; 0 when unknown."""

    input_tokens: int = 0
    output_tokens: int = 0


NO_USAGE: Final = Usage()


class Outcome(msgspec.Struct, frozen=True):
    """What happened to one attempt on one candidate. Durations in seconds."""

    decision_id: str
    request_id: str
    attempt: int
    channel_id: int
    key_id: int
    model: str
    result: Result
    http_status: int
    error_code: str
    first_byte_seconds: float | None
    total_seconds: float
    end_time: float
    """Seconds since the epoch."""
    streamed: bool
    usage: Usage = NO_USAGE
