"""Rows of the router's views, read into items: one bad row is one `BadRow`, never a failure.

The law: nothing here trusts a row further than its id, revision and content hash, and a fault names what is wrong without
ever showing a value, since a value may be a secret. JSON that another product stored as a string within JSON is read too.
Whatever the reading of one row raises, foreseen or not, puts that row aside: a fault of one must not stop the load of all.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec

from router_svc import columns
from router_svc.columns import ColumnFault
from router_svc.draft import BadRow
from router_svc.snapshot import (
    NO_SHAPING,
    ApiKey,
    Channel,
    ChannelKey,
    Group,
    Kind,
    Override,
    Proxy,
    Shaping,
)
from trunkline import json_values, parameter_overrides
from trunkline.secret import is_sealed

CHANNEL_COLUMNS: Final = (
    "id", "revision", "content_hash", "name", "provider", "base_url", "status", "priority", "weight",
    "header_overrides", "parameter_overrides", "connect_timeout_ms", "first_byte_timeout_ms", "idle_timeout_ms",
    "total_timeout_ms", "keys", "models", "groups", "overrides",
    "shaping",
)  # fmt: skip
API_KEY_COLUMNS: Final = (
    "id", "revision", "content_hash", "hash", "status", "group_name", "fallback_groups", "model_allow_list",
    "address_allow_list", "expire_time",
)  # fmt: skip
GROUP_COLUMNS: Final = ("name", "revision", "content_hash")

CHANNEL_STATUSES: Final = frozenset({"ENABLED", "DISABLED", "AUTO_DISABLED"})
API_KEY_STATUSES: Final = frozenset({"ENABLED", "DISABLED"})
PROMPT_MODES: Final = frozenset({"DEFAULT", "PREPEND"})
ERROR_STATUSES: Final = range(400, 600)
_HASH_BYTES: Final = 32

Row = Sequence[Any]
T = TypeVar("T")


class _KeyRow(msgspec.Struct):
    id: int
    sealed: str
    status: str
    last_four: str | None = None


class _ShapingRow(msgspec.Struct):
    provider_options: msgspec.Raw
    removed_headers: list[str]
    system_prompt: str
    system_prompt_mode: str
    status_mapping: msgspec.Raw
    strict: bool
    repeat_after_timeout: bool
    proxy_sealed: str | None = None


_KEYS: Final = msgspec.json.Decoder(list[_KeyRow])
_MODELS: Final = msgspec.json.Decoder(list[tuple[str, str | None]])
_OVERRIDES: Final = msgspec.json.Decoder(list[tuple[str, str, bool | None, int | None, int | None]])
_HEADERS: Final = msgspec.json.Decoder(dict[str, str] | None)
_PARAMETERS: Final = msgspec.json.Decoder(dict[str, Any] | list[Any] | None)
_SHAPING: Final = msgspec.json.Decoder(_ShapingRow | None)
_OPTIONS: Final = msgspec.json.Decoder(dict[str, str] | None)
_ERROR_STATUSES: Final = msgspec.json.Decoder(dict[int, int] | None)


class Reader:
    """Reads rows; equal lists of groups and models become one object, since thousands of channels share them."""

    def __init__(self) -> None:
        """Begin with nothing to share. One reader lives as long as one load."""
        self._shared: dict[Any, Any] = {}

    def channel(self, row: Row) -> Channel | BadRow:
        """Read a row of CHANNEL_COLUMNS; columns of JSON come as bytes."""
        try:
            return self._channel(row)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - the boundary of one row: whatever it raises is this row's fault
            off = columns.is_off(CHANNEL_STATUSES, row[6])
            return _bad("channel", row, error, off=off)._replace(
                groups=_readable(row[17]), models=_readable_models(row[16])
            )

    def api_key(self, row: Row) -> ApiKey | BadRow:
        """Read a row of API_KEY_COLUMNS; its time comes as seconds since the epoch, which has room for infinity."""
        try:
            return self._api_key(row)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - the boundary of one row: whatever it raises is this row's fault
            bad = _bad("api_key", row, error, off=columns.is_off(API_KEY_STATUSES, row[4]))
            return bad._replace(hash=row[3]) if isinstance(row[3], bytes) and len(row[3]) == _HASH_BYTES else bad

    def group(self, row: Row) -> Group | BadRow:
        """Read a row of GROUP_COLUMNS."""
        return Group(*row)

    def _channel(self, row: Row) -> Channel:
        models = columns.json_value("models", _MODELS, row[16])
        keys = tuple(self._key(key) for key in columns.json_value("keys", _KEYS, row[15]))
        usable = tuple(key for key in keys if key.status == "ENABLED")
        return Channel(
            id=row[0],
            revision=self._share(row[1]),
            content_hash=row[2],
            name=columns.text("name", row[3]),
            provider=self._share(columns.text("provider", row[4])),
            base_url=columns.base_url(row[5]),
            status=self._share(columns.one_of("status", CHANNEL_STATUSES, row[6])),
            priority=columns.number("priority", row[7]),
            weight=columns.weight("weight", row[8]),
            header_overrides=_headers(row[9]),
            parameter_overrides=_parameters(row[10]),
            timeouts=self._share(columns.timeouts(row[11:15])),
            keys=keys,
            usable=keys if len(usable) == len(keys) else usable,
            sole=usable[0] if len(usable) == 1 else None,
            models=self._share(tuple(self._share(model) for model, _ in models)),
            upstreams={model: name for model, name in models if name is not None and name != model} or _NO_UPSTREAMS,
            groups=self._names("groups", row[17]),
            overrides=tuple(map(_override, columns.json_value("overrides", _OVERRIDES, row[18]))),
            shaping=NO_SHAPING if row[19] is None else _shaping(row[19]),
        )

    def _api_key(self, row: Row) -> ApiKey:
        if not isinstance(row[3], bytes) or len(row[3]) != _HASH_BYTES:
            raise ColumnFault(f"hash: not {_HASH_BYTES} bytes")
        status = columns.one_of("status", API_KEY_STATUSES, row[4])
        models = self._names("model_allow_list", row[7])
        networks = columns.networks(row[8])
        expire_time = columns.seconds("expire_time", row[9])
        groups = (columns.text("group_name", row[5]), *self._names("fallback_groups", row[6]))
        return ApiKey(
            id=row[0],
            revision=row[1],
            content_hash=row[2],
            hash=row[3],
            status=self._share(status),
            groups=self._share(tuple(dict.fromkeys(groups))),
            models=models,
            networks=networks,
            expire_time=expire_time,
            plain=status == "ENABLED" and not models and not networks and expire_time is None,
        )

    def _key(self, row: _KeyRow) -> ChannelKey:
        if row.status not in CHANNEL_STATUSES:
            raise ColumnFault(f"keys: the status of key {row.id} is none that is known")
        try:
            sealed = base64.b64decode(row.sealed, validate=True)
        except (binascii.Error, ValueError):
            raise ColumnFault(f"keys: key {row.id} is not base64") from None
        return ChannelKey(row.id, sealed, row.last_four or "", self._share(row.status))

    def _names(self, column: str, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise ColumnFault(f"{column}: not a list")
        return self._share(tuple(self._share(columns.text(column, name)) for name in value))

    def _share(self, value: T) -> T:
        shared: T = self._shared.setdefault(value, value)
        return shared


_NO_HEADERS: Final[dict[str, str]] = {}
_NO_UPSTREAMS: Final[dict[str, str]] = {}


def _bad(kind: Kind, row: Row, error: Exception, *, off: bool) -> BadRow:
    fault = str(error) if isinstance(error, ColumnFault) else f"cannot be read: {type(error).__name__}"
    return BadRow(kind, row[0], row[1], row[2], fault, off)


def _readable(names: Any) -> tuple[str, ...] | None:
    """Give the names of a list, if it is one."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    return tuple(names)


def _readable_models(value: Any) -> tuple[str, ...] | None:
    try:
        return tuple(model for model, _ in columns.json_value("models", _MODELS, value))
    except (ColumnFault, ValueError):
        return None


def _headers(value: Any) -> dict[str, str]:
    headers: dict[str, str] | None
    headers = columns.json_value("header_overrides", _HEADERS, columns.bounded("header_overrides", value))
    return headers or _NO_HEADERS


def _parameters(value: Any) -> str:
    parsed = columns.json_value("parameter_overrides", _PARAMETERS, columns.bounded("parameter_overrides", value))
    if why := json_values.fault_of(parsed):
        raise ColumnFault(f"parameter_overrides: {why}")
    if isinstance(parsed, list):
        for fault in parameter_overrides.faults_of(parsed):
            raise ColumnFault(f"parameter_overrides: {fault}")
    return json.dumps(parsed, ensure_ascii=False, separators=(",", ":")) if parsed else ""


def _shaping(value: Any) -> Shaping:
    row: _ShapingRow | None = columns.json_value("shaping", _SHAPING, columns.bounded("shaping", value))
    if row is None:
        return NO_SHAPING
    statuses: dict[int, int] = columns.json_value("status_mapping", _ERROR_STATUSES, bytes(row.status_mapping)) or {}
    if not all(number in ERROR_STATUSES for pair in statuses.items() for number in pair):
        raise ColumnFault("status_mapping: not from error status to error status")
    shaping = Shaping(
        provider_options=columns.json_value("provider_options", _OPTIONS, bytes(row.provider_options)) or {},
        removed_headers=tuple(columns.text("removed_headers", name).lower() for name in row.removed_headers),
        system_prompt=row.system_prompt,
        system_prompt_mode=columns.one_of("system_prompt_mode", PROMPT_MODES, row.system_prompt_mode),
        status_mapping=statuses,
        proxy=None if row.proxy_sealed is None else _proxy(row.proxy_sealed),
        strict=row.strict,
        repeat_after_timeout=row.repeat_after_timeout,
    )
    return shaping if row_of_shaping(shaping) != row_of_shaping(NO_SHAPING) else NO_SHAPING


def row_of_shaping(shaping: Shaping) -> dict[str, Any]:
    """Give a shaping as the value that it could have been read from."""
    fields: dict[str, Any] = msgspec.structs.asdict(shaping)
    proxy: Proxy | None = fields.pop("proxy")
    return fields | {"proxy_sealed": None if proxy is None else base64.b64encode(proxy.sealed).decode()}


def _proxy(text: str) -> Proxy:
    try:
        sealed = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ColumnFault("proxy_sealed: not base64") from None
    if not is_sealed(sealed):
        raise ColumnFault("proxy_sealed: not sealed")
    return Proxy(sealed)


def _override(row: tuple[str, str, bool | None, int | None, int | None]) -> Override:
    group, model, enabled, priority, weight = row
    if weight is not None:
        columns.weight("overrides: weight", weight)
    return Override(group, model, enabled, priority, weight)
