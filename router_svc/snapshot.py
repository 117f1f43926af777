"""An immutable catalog at one revision: what a pick reads.

The law: nothing here changes once built, but for what a channel key remembers of having been used. A snapshot is one state of
the catalog, named by its token; `draft` makes the next one, sharing what did not change. Knows nothing of rows, wire or
clock.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final, Literal, NamedTuple

from msgspec import Struct

from router_svc.routes import NOWHERE, Placement, Route
from router_svc.shards import Shards

Kind = Literal["channel", "api_key", "group"]
"""What has content of its own in the catalog."""
WILDCARD: Final = "*"
"""Ends a declared model name that stands for all names beginning so."""


class Token(NamedTuple):
    """A state of the catalog: its number, and its chain in hexadecimal."""

    revision: int
    chain: str


class Head(NamedTuple):
    """The head row: a state, and what it must add up to."""

    token: Token
    digest: int
    channel_count: int
    api_key_count: int
    group_count: int


class Seal(Enum):
    """That a channel key has not been opened yet, or that it cannot be."""

    UNTRIED = "untried"
    BROKEN = "broken"


class ChannelKey(Struct, gc=False, eq=False):
    """One credential of a channel, sealed.

    `opened` remembers the plain key once it was needed, or that there is none; `written` what was made of it for the wire;
    `ready` that a pick found it to open, so that later ones need not touch what was opened, which lies elsewhere in memory.
    """

    id: int
    sealed: bytes
    last_four: str
    status: str
    opened: object = Seal.UNTRIED
    ready: bool = False
    written: dict[tuple[int, str, bool], bytes] | None = None

    def __repr__(self) -> str:
        return f"ChannelKey({self.id})"


class Proxy(Struct, gc=False, eq=False):
    """What an upstream is reached through, sealed; `opened` remembers its plain URL as with a channel key."""

    sealed: bytes
    opened: object = Seal.UNTRIED

    def __repr__(self) -> str:
        return "Proxy(…)"


class Shaping(Struct, frozen=True, gc=False, eq=False, kw_only=True):
    """How requests are shaped for an upstream; whatever shapes nothing is NO_SHAPING, one object for all."""

    provider_options: Mapping[str, str] = {}
    removed_headers: tuple[str, ...] = ()
    """In lower case."""
    system_prompt: str = ""
    system_prompt_mode: str = "DEFAULT"
    status_mapping: Mapping[int, int] = {}
    proxy: Proxy | None = None
    strict: bool = False
    repeat_after_timeout: bool = False

    def __repr__(self) -> str:
        return "Shaping(…)"


NO_SHAPING: Final = Shaping()


class Timeouts(Struct, frozen=True, gc=False):
    """Time limits of one attempt in milliseconds; None is the relay's default."""

    connect: int | None = None
    first_byte: int | None = None
    idle: int | None = None
    total: int | None = None


class Override(NamedTuple):
    """What one ability has of its own; None is the channel's."""

    group: str
    model: str
    enabled: bool | None
    priority: int | None
    weight: int | None


class Channel(Struct, frozen=True, gc=False, eq=False, kw_only=True):
    """One upstream account, with everything a plan says of it.

    What a pick looks at comes first: it then lies together in memory, where picks of large catalogs wait for each look.
    """

    id: int
    usable: tuple[ChannelKey, ...]
    """The keys that are enabled."""
    sole: ChannelKey | None = None
    """The one key that is enabled; None when there are none or several."""
    upstreams: Mapping[str, str]
    """What models are called at the upstream, where that differs."""
    revision: int
    content_hash: int
    name: str
    provider: str
    base_url: str
    status: str
    priority: int
    weight: int
    header_overrides: Mapping[str, str]
    parameter_overrides: str
    """A JSON object, or a list of operations; empty when there are no overrides."""
    timeouts: Timeouts
    keys: tuple[ChannelKey, ...]
    models: tuple[str, ...]
    groups: tuple[str, ...]
    overrides: tuple[Override, ...]
    shaping: Shaping = NO_SHAPING

    def __repr__(self) -> str:
        return f"Channel({self.id} at {self.revision})"

    @property
    def out_reason(self) -> str:
        """Why no ability of this channel can be picked; empty when they can."""
        if self.status != "ENABLED":
            return "channel_disabled" if self.status == "DISABLED" else "channel_auto_disabled"
        return "no_usable_key" if self.keys and not self.usable else ""

    def placements(self) -> dict[tuple[str, str], Placement]:
        """Tell how the channel stands at each group and model."""
        own = Placement(self.priority, self.weight, self.out_reason)
        places = {(group, model): own for group in self.groups for model in self.models}
        for group, model, enabled, priority, weight in self.overrides:
            if (group, model) in places:  # an override outlives neither its group nor its model
                places[group, model] = Placement(
                    own.priority if priority is None else priority,
                    own.weight if weight is None else weight,
                    own.out_reason or ("ability_disabled" if enabled is False else ""),
                )
        return places

    def stands_as(self, other: "Channel") -> bool:
        """Tell whether both stand the same way in every route."""
        return (
            self.groups == other.groups
            and self.models == other.models
            and self.overrides == other.overrides
            and self.priority == other.priority
            and self.weight == other.weight
            and self.out_reason == other.out_reason
        )

    def upstream_model(self, declared: str, model: str) -> str:
        """Name at the upstream the model asked for, which a declared name matched."""
        upstream = self.upstreams.get(declared)
        if upstream is None:
            return model
        if declared.endswith(WILDCARD) and upstream.endswith(WILDCARD):
            return upstream[:-1] + model[len(declared) - 1 :]
        return upstream


Network = IPv4Network | IPv6Network


class ApiKey(Struct, frozen=True, gc=False, eq=False, kw_only=True):
    """What a client presents, and what it may do."""

    id: int
    revision: int
    content_hash: int
    hash: bytes
    status: str
    groups: tuple[str, ...]
    """The key's own group, then its fallback groups."""
    models: tuple[str, ...]
    """The models allowed, with wildcards; empty allows all."""
    networks: tuple[Network, ...]
    """The networks allowed; empty allows all."""
    expire_time: float | None
    """Seconds since the epoch."""
    plain: bool
    """Whether it is enabled and nothing limits it, so that nothing need be checked."""

    def allows_model(self, model: str) -> bool:
        """Tell whether the model is on the allow-list."""
        return not self.models or any(covers(allowed, model) for allowed in self.models)

    def allows_address(self, address: str) -> bool:
        """Tell whether the address is on the allow-list; one that cannot be read never is."""
        if not self.networks:
            return True
        try:
            read = _plain_address(address)
        except ValueError:
            return False
        return any(read in network for network in self.networks)


def covers(declared: str, model: str) -> bool:
    """Tell whether a declared name, perhaps a wildcard, stands for a model (or for a narrower wildcard)."""
    return declared == model or (declared.endswith(WILDCARD) and model.startswith(declared[:-1]))


def _plain_address(text: str) -> IPv4Address | IPv6Address:
    address = ip_address(text)
    # A dual-stack listener shows IPv4 clients as ::ffff:a.b.c.d; the allow-list means the IPv4 address.
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


class Group(Struct, frozen=True, gc=False, eq=False):
    """A named set of callers that share routes."""

    name: str
    revision: int
    content_hash: int


Item = Channel | ApiKey | Group


class Quarantined(NamedTuple):
    """A row that could not be read; its last good version may still be served."""

    kind: Kind
    id: str
    revision: int
    content_hash: int
    fault: str
    served_revision: int
    """The revision of the good version still served; 0 when there is none."""
    off: bool = False
    """Whether the row itself says that it is not to be used."""
    groups: tuple[str, ...] | None = None
    """Of a channel, as far as they can be read: then it matters to nobody else."""
    models: tuple[str, ...] | None = None
    """Likewise."""
    hash: bytes = b""
    """Of an API key, if it can be read."""


class GroupRoutes:
    """The routes of one group: exact model names, and wildcards by prefix."""

    __slots__ = ("exact", "lengths", "wildcards")

    def __init__(self, exact: Shards[str, Route], wildcards: Mapping[str, Route]) -> None:
        """Take routes by model name, and by prefix (without the `*`)."""
        self.exact = exact
        self.wildcards = wildcards
        self.lengths = tuple(sorted({len(prefix) for prefix in wildcards}, reverse=True))

    def of(self, model: str) -> Iterator[tuple[str, Route]]:
        """Walk the routes a model matches, with their declared names: exact, then wildcards, longest first."""
        if (route := self.exact.get(model)) is not None:
            yield model, route
        for length in self.lengths:
            if length <= len(model) and (route := self.wildcards.get(model[:length])) is not None:
                yield model[:length] + WILDCARD, route

    def named(self, declared: str) -> Route:
        """Give the route of a declared name."""
        if declared.endswith(WILDCARD):
            return self.wildcards.get(declared[:-1]) or NOWHERE
        return self.exact.get(declared) or NOWHERE

    def items(self) -> Iterator[tuple[str, Route]]:
        """Walk all routes with their declared names."""
        yield from self.exact.items()
        for prefix, route in self.wildcards.items():
            yield prefix + WILDCARD, route


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Snapshot:
    """The catalog at one revision."""

    token: Token
    digest: int = 0
    """The sum of all content hashes as read, quarantined rows included."""
    channels: Shards[int, Channel] = field(default_factory=Shards[int, Channel].empty)
    api_keys: Shards[int, ApiKey] = field(default_factory=Shards[int, ApiKey].empty)
    api_keys_by_hash: Shards[bytes, ApiKey] = field(default_factory=Shards[bytes, ApiKey].empty)
    groups: Shards[str, Group] = field(default_factory=Shards[str, Group].empty)
    routes: Mapping[str, GroupRoutes] = field(default_factory=dict)
    quarantine: Mapping[tuple[Kind, str], Quarantined] = field(default_factory=dict)
    ability_count: int = 0

    def rows(self, kind: Kind) -> int:
        """Count the rows of a kind as read, quarantined ones included."""
        held: Mapping[Kind, int] = {
            "channel": len(self.channels),
            "api_key": len(self.api_keys),
            "group": len(self.groups),
        }
        return held[kind] + sum(bad.kind == kind and not bad.served_revision for bad in self.quarantine.values())

    def pieces(self) -> list[object]:
        """Give what the snapshot consists of, so that a large one can be let go piece by piece."""
        maps: list[Shards[Any, Any]] = [self.channels, self.api_keys, self.api_keys_by_hash, self.groups]
        maps += [routes.exact for routes in self.routes.values()]
        return [part for shards in maps for part in shards.parts]

    @property
    def head(self) -> Head:
        """What the head row must say at this state."""
        return Head(self.token, self.digest, self.rows("channel"), self.rows("api_key"), self.rows("group"))
