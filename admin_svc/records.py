"""What the admin service reads and writes, as plain frozen values: the words of the catalog, free of wire and SQL types.

The law: a record never holds the secret of a channel key, of a proxy or of an API key, and what may hold one (header
overrides) is left out of its repr. Times are aware datetimes; spans are integer milliseconds, None where the relay's default
holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

ENABLED: Final = "ENABLED"
DISABLED: Final = "DISABLED"
AUTO_DISABLED: Final = "AUTO_DISABLED"

DEFAULT_GROUP: Final = "default"
"""The group of a channel or an API key that names none when it is created; every database begins with it."""
DEFAULT_WEIGHT: Final = 1

PROMPT_DEFAULT: Final = "DEFAULT"
PROMPT_PREPEND: Final = "PREPEND"


@dataclass(frozen=True, slots=True)
class Token:
    """A state of the catalog, exactly: its number, and the hexadecimal chain hash over its history."""

    revision: int
    chain: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Time limits of one attempt, in milliseconds."""

    connect_ms: int | None = None
    first_byte_ms: int | None = None
    idle_ms: int | None = None
    total_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelKey:
    """One credential of a channel, without its secret."""

    id: int
    last_four: str = ""
    status: str = ENABLED
    status_reason: str = ""
    remark: str = ""
    create_time: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One upstream account; `id`, `etag`, `keys`, `revision` and the times are the database's to say."""

    name: str
    provider: str
    base_url: str
    status: str = ENABLED
    status_reason: str = ""
    models: tuple[str, ...] = ()
    model_mapping: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    priority: int = 0
    weight: int = DEFAULT_WEIGHT
    tags: tuple[str, ...] = ()
    header_overrides: Mapping[str, str] = field(default_factory=dict, repr=False)
    parameter_overrides: Mapping[str, Any] | tuple[Any, ...] = field(default_factory=dict, repr=False)
    """Members to replace, or operations; see `trunkline.parameter_overrides`."""
    timeouts: Timeouts = Timeouts()
    provider_options: Mapping[str, str] = field(default_factory=dict)
    removed_headers: tuple[str, ...] = ()
    system_prompt: str = field(default="", repr=False)
    system_prompt_mode: str = PROMPT_DEFAULT
    status_mapping: Mapping[int, int] = field(default_factory=dict)
    proxy_url: str = ""
    """As it may be shown, without its credentials."""
    strict: bool = False
    repeat_after_timeout: bool = False
    remark: str = ""
    id: int = 0
    etag: str = ""
    keys: tuple[ChannelKey, ...] = ()
    revision: int = 0
    create_time: datetime | None = None
    update_time: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ability:
    """One routing fact, overrides applied."""

    group: str
    model: str
    channel_id: int
    channel_name: str
    enabled: bool
    effective: bool
    priority: int
    weight: int
    overridden: bool
    upstream_model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """What one ability has of its own; None where it follows its channel."""

    group: str
    model: str
    channel_id: int
    enabled: bool | None = None
    priority: int | None = None
    weight: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A named set of callers that share routes."""

    name: str
    remark: str = ""
    revision: int = 0
    create_time: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What a client of the relay presents, without its secret."""

    name: str
    group: str = DEFAULT_GROUP
    fallback_groups: tuple[str, ...] = ()
    model_allow_list: tuple[str, ...] = ()
    address_allow_list: tuple[str, ...] = ()
    expire_time: datetime | None = None
    status: str = ENABLED
    remark: str = ""
    id: int = 0
    etag: str = ""
    last_four: str = ""
    revision: int = 0
    create_time: datetime | None = None
    update_time: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterLease:
    """A router as it last wrote itself into the catalog's database."""

    id: str
    address: str
    incarnation: str
    applied: Token
    state: str
    version: str
    expire_time: datetime
    start_time: datetime
    live: bool
    lease_left: float
    """Seconds until the lease runs out, by the database's clock; negative when it has."""


@dataclass(frozen=True, slots=True)
class Sight:
    """One read of the head together with the leases."""

    head: Token
    leases: Sequence[RouterLease]
    clock: float
    """Seconds, by the database's clock."""
    server: str
    """Which life of the database it was read from: another one after each promotion of a standby."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One change of the catalog, as its audit log keeps it."""

    token: Token
    actor: str
    action: str
    request_id: str
    touched_channel_ids: tuple[int, ...]
    touched_channel_count: int
    change_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """One page of a list; `next_page_token` is empty at the end."""

    items: tuple[T, ...]
    next_page_token: str = ""
