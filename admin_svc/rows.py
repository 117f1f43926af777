"""Rows as the database gives them, turned into records.

The law: what a hand has broken in one row is shown as far as it can be, and never makes a list unreadable.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from admin_svc.cursors import loads
from admin_svc.records import ApiKey, Channel, ChannelKey, Revision, RouterLease, Timeouts, Token

Row = Mapping[str, Any]

_HASH_BITS: Final = (1 << 64) - 1
_STATUS: Final = re.compile(r"[0-9]{1,9}")
_FIRST_TOO_LARGE: Final = 1 << 31


def channel(row: Row) -> Channel:
    """Read a row as a channel."""
    return Channel(
        **{name: row[name] for name in ("id", "name", "provider", "base_url", "status", "status_reason", "priority")},
        **{name: row[name] for name in ("weight", "remark", "revision")},
        etag=_etag(row),
        models=tuple(row["models"]),
        model_mapping=row["model_mapping"] or {},
        groups=tuple(row["groups"]),
        tags=_texts(row["tags"]),
        header_overrides={name: _text(value) for name, value in _object(row["header_overrides"]).items()},
        parameter_overrides=_parameters(row["parameter_overrides"]),
        provider_options={name: _text(value) for name, value in _object(row["provider_options"]).items()},
        removed_headers=tuple(filter(None, _texts(row["removed_headers"]))),
        status_mapping=_statuses(row["status_mapping"]),
        proxy_url=row["proxy_shown"],
        **{name: row[name] for name in ("system_prompt", "system_prompt_mode", "strict", "repeat_after_timeout")},
        timeouts=Timeouts(
            connect_ms=row["connect_timeout_ms"],
            first_byte_ms=row["first_byte_timeout_ms"],
            idle_ms=row["idle_timeout_ms"],
            total_ms=row["total_timeout_ms"],
        ),
        keys=msgspec.convert(row["keys"] or [], tuple[ChannelKey, ...]),
        create_time=row["created_time"],
        update_time=row["updated_time"],
    )


def api_key(row: Row) -> ApiKey:
    """Read a row as an API key."""
    return ApiKey(
        **{name: row[name] for name in ("id", "name", "last_four", "expire_time", "status", "remark", "revision")},
        etag=_etag(row),
        group=row["group_name"],
        fallback_groups=_texts(row["fallback_groups"]),
        model_allow_list=_texts(row["model_allow_list"]),
        address_allow_list=_texts(row["networks"]),
        create_time=row["created_time"],
        update_time=row["updated_time"],
    )


def revision(row: Row) -> Revision:
    """Read a row as a change of the catalog."""
    return Revision(
        token=Token(row["revision"], row["chain_hex"]),
        actor=row["actor"],
        action=row["action"],
        request_id=row["request_id"] or "",
        touched_channel_ids=tuple(row["touched_channels"]),
        touched_channel_count=row["touched_count"],
        change_time=row["change_time"],
    )


def lease(row: Row) -> RouterLease:
    """Read a row as a router."""
    return RouterLease(
        **{name: row[name] for name in ("id", "address", "incarnation", "state", "version", "expire_time")},
        **{name: row[name] for name in ("start_time", "live", "lease_left")},
        applied=Token(row["applied_revision"], row["applied_chain"]),
    )


def _etag(row: Row) -> str:
    return format(row["content_hash"] & _HASH_BITS, "016x")


def _object(value: Any) -> dict[str, Any]:
    """Take an object out of a JSON column."""
    value = _unquoted(value)
    return value if isinstance(value, dict) else {}


def _unquoted(value: Any) -> Any:
    """Read JSON that was written into a JSON column as a string, as other products do."""
    return loads(value) if isinstance(value, str) else value


def _parameters(value: Any) -> dict[str, Any] | tuple[Any, ...]:
    value = _unquoted(value)
    return tuple(value) if isinstance(value, list) else value if isinstance(value, dict) else {}


def _statuses(value: Any) -> dict[int, int]:
    """Take the statuses out of a JSON column: those that the wire can carry."""
    return {
        int(status): shown
        for status, shown in _object(value).items()
        if _STATUS.fullmatch(status) and type(shown) is int and abs(shown) < _FIRST_TOO_LARGE
    }


def _texts(values: Any) -> tuple[str, ...]:
    """Take the texts of an array: one of several dimensions holds none."""
    return tuple(value for value in values or () if isinstance(value, str))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
