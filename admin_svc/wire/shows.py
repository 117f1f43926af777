"""Records into messages.

The law: values of header overrides are shown to holders of the admin scope and masked for others; what a hand wrote that the
wire has no word for is shown as far as it can be.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

from google.protobuf import duration_pb2, message, struct_pb2, timestamp_pb2

from admin_svc import records
from admin_svc.fanout import Visibility
from admin_svc.wire.drafts import LIMITS
from admin_svc.wire.words import prefix_of
from trunkline.v1 import catalog_pb2, revision_pb2, router_pb2

M = TypeVar("M", bound=message.Message)

MASKED: Final = "••••"
"""What a caller who may not see a header override's value sees."""


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
        limit: _span(value) for limit in LIMITS if (value := getattr(channel.timeouts, f"{limit}_ms")) is not None
    }
    return _filled(
        catalog_pb2.Channel(
            status=_number(catalog_pb2.ChannelStatus, channel.status),
            model_mapping=channel.model_mapping,
            header_overrides={name: value if reveal else MASKED for name, value in channel.header_overrides.items()},
            provider_options=channel.provider_options,
            system_prompt_mode=_number(router_pb2.SystemPromptMode, channel.system_prompt_mode),
            status_mapping=channel.status_mapping,
            **_parameters(channel.parameter_overrides),
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


def _parameters(overrides: Mapping[str, Any] | tuple[Any, ...]) -> dict[str, Any]:
    """Write what changes the request body in the spelling that it has."""
    if isinstance(overrides, Mapping):
        return {"parameter_overrides": _struct(overrides)}
    operations = struct_pb2.ListValue()
    for operation in overrides:
        try:
            operations.append(operation)
        except (ValueError, OverflowError):  # a number written by hand that no double can hold
            operations.append(None)
    return {"parameter_operations": operations}


def _struct(values: Mapping[str, Any]) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    for name, value in values.items():
        try:
            struct[name] = value
        except (ValueError, OverflowError):  # a number written by hand that no double can hold
            struct[name] = None
    return struct
