"""Translates between messages and records, and decides nothing.

The law: what proto3 cannot say is settled here, once: an unspecified status on create means ENABLED, an absent weight 1, no
group the default one; a number of a Struct that is whole is an integer again (`max_tokens: 5.0` would be refused upstream).
Values of header overrides are shown to holders of the admin scope and masked for others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from google.protobuf import duration_pb2, field_mask_pb2, message, struct_pb2, timestamp_pb2

from admin_svc import records
from admin_svc.fanout import Visibility
from trunkline.errors import FieldFault, InvalidFields
from trunkline.v1 import admin_pb2, catalog_pb2, revision_pb2, router_pb2

M = TypeVar("M", bound=message.Message)

MASKED: Final = "••••"
"""What a caller who may not see a header override's value sees."""
_LARGEST_EXACT: Final = 1 << 53
_LIMITS: Final = ("connect", "first_byte", "idle", "total")

# --- in: drafts and masks -------------------------------------------------------------------------------------------


def channel_draft(sent: catalog_pb2.Channel) -> records.Channel:
    """Read a channel to create."""
    values = {name: read(sent) for name, read in _CHANNEL_FIELDS.items()}
    values["status"] = values["status"] or records.ENABLED
    values["groups"] = values["groups"] or (records.DEFAULT_GROUP,)
    values["timeouts"] = records.Timeouts(**values["timeouts"])
    return records.Channel(**values)


def channel_values(sent: catalog_pb2.Channel, mask: field_mask_pb2.FieldMask) -> dict[str, Any]:
    """Read the fields of a channel that a mask names; `timeouts` holds those limits that it names. Raises InvalidFields."""
    values: dict[str, Any] = {}
    for path in _paths(mask, (*_CHANNEL_FIELDS, *(f"timeouts.{limit}" for limit in _LIMITS)), _CHANNEL_FIELDS):
        root, _, limit = path.partition(".")
        read = _CHANNEL_FIELDS[root](sent)
        if limit:
            values.setdefault(root, {})[f"{limit}_ms"] = read[f"{limit}_ms"]
        else:
            values[root] = read
    return values


def channel_key_values(sent: catalog_pb2.ChannelKey, mask: field_mask_pb2.FieldMask) -> dict[str, Any]:
    """Read the fields of a channel key that a mask names. Raises InvalidFields."""
    return {path: _CHANNEL_KEY_FIELDS[path](sent) for path in _paths(mask, _CHANNEL_KEY_FIELDS, _CHANNEL_KEY_FIELDS)}


def api_key_draft(sent: catalog_pb2.ApiKey) -> records.ApiKey:
    """Read an API key to create. Raises InvalidFields."""
    values = {name: read(sent) for name, read in _API_KEY_FIELDS.items()}
    values["status"] = values["status"] or records.ENABLED
    values["group"] = values["group"] or records.DEFAULT_GROUP
    return records.ApiKey(**values)


def api_key_values(sent: catalog_pb2.ApiKey, mask: field_mask_pb2.FieldMask) -> dict[str, Any]:
    """Read the fields of an API key that a mask names. Raises InvalidFields."""
    return {path: _API_KEY_FIELDS[path](sent) for path in _paths(mask, _API_KEY_FIELDS, _API_KEY_FIELDS)}


def override(request: admin_pb2.SetAbilityOverrideRequest) -> records.Override:
    """Read an override to set."""
    given = {name: getattr(request, name) for name in ("enabled", "priority", "weight") if request.HasField(name)}
    return records.Override(group=request.group, model=request.model, channel_id=request.channel_id, **given)


def _paths(mask: field_mask_pb2.FieldMask, known: Iterable[str], every: Iterable[str]) -> list[str]:
    """Take the paths of a mask; `*` stands for every field."""
    if list(mask.paths) == ["*"]:
        return list(every)
    known = frozenset(known)
    faults = [
        FieldFault("update_mask", f"{path[:64]!r} is not a field that can be changed")
        for path in mask.paths
        if path not in known
    ]
    if not mask.paths:
        faults.append(FieldFault("update_mask", "must name a field to change"))
    if faults:
        raise InvalidFields(faults)
    return list(mask.paths)


# --- in: values -----------------------------------------------------------------------------------------------------


def name_of(enum: Any, number: int) -> str:
    """Name an enum's value without its prefix; empty for the unspecified one."""
    return "" if number == 0 else str(enum.Name(number)).removeprefix(prefix_of(enum.DESCRIPTOR.name))


def prefix_of(enum_name: str) -> str:
    """Write the prefix of an enum's values: `CHANNEL_STATUS_` for ChannelStatus."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", enum_name).upper() + "_"


def seconds_of(span: duration_pb2.Duration) -> float:
    """Read a span in seconds."""
    return span.seconds + span.nanos / 1e9


def status_of(enum: Any, number: int) -> str:
    """Name a status; a newer client's value by its number, which no rule admits and no row has."""
    try:
        return name_of(enum, number)
    except ValueError:
        return str(number)


def _milliseconds(sent: router_pb2.Timeouts) -> dict[str, int | None]:
    return {
        f"{limit}_ms": round(seconds_of(getattr(sent, limit)) * 1000) if sent.HasField(limit) else None
        for limit in _LIMITS
    }


def _expiry(sent: catalog_pb2.ApiKey) -> datetime | None:
    if not sent.HasField("expire_time"):
        return None
    try:
        return sent.expire_time.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise InvalidFields([FieldFault("api_key.expire_time", "is not a time from year 1 to 9999")]) from None


def plain(value: struct_pb2.Value) -> Any:
    """Read a JSON value."""
    match value.WhichOneof("kind"):
        case "struct_value":
            return plain_object(value.struct_value)
        case "list_value":
            return [plain(item) for item in value.list_value.values]
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() and abs(number) <= _LARGEST_EXACT else number
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case _:
            return None


def plain_object(struct: struct_pb2.Struct) -> dict[str, Any]:
    """Read a JSON object."""
    return {name: plain(value) for name, value in struct.fields.items()}


def _field(name: str, into: Callable[[Any], Any] = lambda value: value) -> Callable[[Any], Any]:
    return lambda sent: into(getattr(sent, name))


_Fields = Mapping[str, Callable[[Any], Any]]
_CHANNEL_FIELDS: Final[_Fields] = {
    **{name: _field(name) for name in ("name", "provider", "base_url", "status_reason", "priority", "remark")},
    **{name: _field(name, tuple) for name in ("models", "groups", "tags")},
    **{name: _field(name, dict) for name in ("model_mapping", "header_overrides")},
    "status": lambda sent: status_of(catalog_pb2.ChannelStatus, sent.status),
    "weight": lambda sent: sent.weight if sent.HasField("weight") else records.DEFAULT_WEIGHT,
    "parameter_overrides": _field("parameter_overrides", plain_object),
    "timeouts": _field("timeouts", _milliseconds),
}
_CHANNEL_KEY_FIELDS: Final[_Fields] = {
    **{name: _field(name) for name in ("status_reason", "remark")},
    "status": lambda sent: status_of(catalog_pb2.ChannelStatus, sent.status),
}
_API_KEY_FIELDS: Final[_Fields] = {
    **{name: _field(name) for name in ("name", "group", "remark")},
    **{name: _field(name, tuple) for name in ("fallback_groups", "model_allow_list", "address_allow_list")},
    "status": lambda sent: status_of(catalog_pb2.ApiKeyStatus, sent.status),
    "expire_time": _expiry,
}


# --- out ------------------------------------------------------------------------------------------------------------


def show_token(token: records.Token) -> revision_pb2.RevisionToken:
    """Write a state of the catalog."""
    return revision_pb2.RevisionToken(revision=token.revision, chain=token.chain)


def show_visibility(visibility: Visibility) -> revision_pb2.Visibility:
    """Write where a change is in force."""
    return revision_pb2.Visibility(
        visible_on=visibility.visible_on, of=visibility.of, lagging=visibility.lagging, lapsed=visibility.lapsed
    )


def show_channel(channel: records.Channel, *, reveal: bool) -> catalog_pb2.Channel:
    """Write a channel; `reveal` shows the values of its header overrides."""
    limits = {
        limit: _span(value) for limit in _LIMITS if (value := getattr(channel.timeouts, f"{limit}_ms")) is not None
    }
    return _filled(
        catalog_pb2.Channel(
            status=_number(catalog_pb2.ChannelStatus, channel.status),
            model_mapping=channel.model_mapping,
            header_overrides={name: value if reveal else MASKED for name, value in channel.header_overrides.items()},
            parameter_overrides=_struct(channel.parameter_overrides),
            timeouts=router_pb2.Timeouts(**limits),
            keys=[show_channel_key(key) for key in channel.keys],
            create_time=_time(channel.create_time),
            update_time=_time(channel.update_time),
        ),
        channel,
    )


def show_channel_key(key: records.ChannelKey) -> catalog_pb2.ChannelKey:
    """Write a channel key, without its secret."""
    return _filled(
        catalog_pb2.ChannelKey(
            status=_number(catalog_pb2.ChannelStatus, key.status), create_time=_time(key.create_time)
        ),
        key,
    )


def show_ability(ability: records.Ability) -> catalog_pb2.Ability:
    """Write an ability."""
    return _filled(catalog_pb2.Ability(), ability)


def show_group(group: records.Group) -> catalog_pb2.Group:
    """Write a group."""
    return _filled(catalog_pb2.Group(create_time=_time(group.create_time)), group)


def show_api_key(key: records.ApiKey) -> catalog_pb2.ApiKey:
    """Write an API key, without its secret."""
    return _filled(
        catalog_pb2.ApiKey(
            status=_number(catalog_pb2.ApiKeyStatus, key.status),
            expire_time=_time(key.expire_time),
            create_time=_time(key.create_time),
            update_time=_time(key.update_time),
        ),
        key,
    )


def show_router(lease: records.RouterLease, *, connected: bool) -> catalog_pb2.Router:
    """Write a router."""
    return _filled(
        catalog_pb2.Router(
            applied=show_token(lease.applied),
            state=_number(router_pb2.RouterState, lease.state),
            expire_time=_time(lease.expire_time),
            start_time=_time(lease.start_time),
            connected=connected,
        ),
        lease,
    )


def show_revision(revision: records.Revision) -> catalog_pb2.Revision:
    """Write one change of the catalog."""
    return _filled(
        catalog_pb2.Revision(token=show_token(revision.token), change_time=_time(revision.change_time)), revision
    )


def _filled(written: M, record: Any) -> M:
    """Copy the plain fields that message and record share by name."""
    for field in written.DESCRIPTOR.fields:
        if field.message_type is None and field.enum_type is None and hasattr(record, field.name):
            value = getattr(record, field.name)
            if field.is_repeated:
                getattr(written, field.name).extend(value)
            else:
                setattr(written, field.name, value)
    return written


def _time(time: datetime | None) -> timestamp_pb2.Timestamp | None:
    if time is None:
        return None
    written = timestamp_pb2.Timestamp()
    written.FromDatetime(time)
    return written


def _span(milliseconds: int) -> duration_pb2.Duration:
    written = duration_pb2.Duration()
    written.FromMilliseconds(milliseconds)
    return written


def _number(enum: Any, name: str) -> Any:
    """Number an enum's value; the unspecified one for what a hand has written."""
    return dict(enum.items()).get(prefix_of(enum.DESCRIPTOR.name) + name, 0)


def _struct(values: Mapping[str, Any]) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    for name, value in values.items():
        try:
            struct[name] = value
        except (ValueError, OverflowError):  # a number written by hand that no double can hold
            struct[name] = None
    return struct
