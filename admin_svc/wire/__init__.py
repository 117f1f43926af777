"""Translates between messages and records, and decides nothing."""

from admin_svc.wire.drafts import (
    api_key_draft,
    api_key_values,
    channel_draft,
    channel_key_values,
    channel_values,
    override,
)
from admin_svc.wire.shows import (
    show_ability,
    show_api_key,
    show_channel,
    show_channel_key,
    show_group,
    show_revision,
    show_router,
    show_token,
    show_visibility,
)
from admin_svc.wire.words import (
    name_of,
    plain_list,
    plain_object,
    prefix_of,
    seconds_of,
    status_of,
)

__all__ = [
    "api_key_draft",
    "api_key_values",
    "channel_draft",
    "channel_key_values",
    "channel_values",
    "name_of",
    "override",
    "plain_list",
    "plain_object",
    "prefix_of",
    "seconds_of",
    "show_ability",
    "show_api_key",
    "show_channel",
    "show_channel_key",
    "show_group",
    "show_revision",
    "show_router",
    "show_token",
    "show_visibility",
    "status_of",
]
