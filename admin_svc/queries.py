"""What each reading method asks for, and SyncChannels, which changes nothing either."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, TypeVar

from admin_svc import reads, wire
from admin_svc.broadcaster import Broadcaster
from admin_svc.database import Connection, DatabaseFaultError, reading
from admin_svc.paging import Paging
from admin_svc.reads import ChannelFilter
from admin_svc.records import Sight
from trunkline import auth
from trunkline.database import Pool
from trunkline.errors import Cause, DatabaseUnavailable, FieldFault, InvalidFields
from trunkline.telemetry import get_logger
from trunkline.v1 import admin_pb2 as pb
from trunkline.v1 import catalog_pb2

log = get_logger()

T = TypeVar("T")

_DEFAULT_SYNC: Final = 2.0
_LONGEST_SYNC: Final = 60.0

Query = Callable[[Connection, Any, AbstractSet[str]], Awaitable[Any]]


class Queries:
    """Answers reads from the pool, and syncs by the broadcaster."""

    def __init__(self, pool: Pool, broadcaster: Broadcaster) -> None:
        self._pool = pool
        self._broadcaster = broadcaster

    async def call(self, method: str, request: Any, scopes: AbstractSet[str]) -> Any:
        """Answer one call of a reading method, to a holder of these scopes. Raises Refused."""
        if method == "SyncChannels":
            return await self._sync(request)
        async with reading(self._pool) as connection:
            if method == "ListRouters":
                return await self._routers(connection, request)
            return await QUERIES[method](connection, request, scopes)

    async def _sync(self, request: pb.SyncChannelsRequest) -> pb.SyncChannelsResponse:
        timeout = wire.seconds_of(request.timeout) if request.HasField("timeout") else _DEFAULT_SYNC
        if not 0 <= timeout <= _LONGEST_SYNC:
            raise InvalidFields([FieldFault("timeout", f"must be from 0 to {_LONGEST_SYNC:.0f} seconds")])
        head, routers = await self._broadcaster.sync(timeout)
        reached = [
            pb.SyncChannelsResponse.Reached(
                router_id=router.router_id,
                applied=wire.show_token(router.applied) if router.applied else None,
                reached=router.reached,
                fault=router.fault,
            )
            for router in routers
        ]
        return pb.SyncChannelsResponse(token=wire.show_token(head), routers=reached)

    async def _routers(self, connection: Connection, request: pb.ListRoutersRequest) -> pb.ListRoutersResponse:
        page = await reads.routers(connection, _paging(request))
        routers = [wire.show_router(lease, connected=self._broadcaster.is_connected(lease.id)) for lease in page.items]
        return pb.ListRoutersResponse(routers=routers, next_page_token=page.next_page_token)


class Follower:
    """What the broadcaster reads, from the pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def head_and_leases(self) -> Sight:
        """Read the head and the leases. Raises Refused."""
        return await self._read(reads.head_and_leases)

    async def chains(self, asked: Sequence[int]) -> dict[int, str]:
        """Read the chains of those revisions that exist. Raises Refused."""
        return await self._read(lambda connection: reads.chains(connection, asked))

    async def _read(self, read: Callable[[Connection], Awaitable[T]]) -> T:
        try:
            async with reading(self._pool) as connection:
                return await read(connection)
        except DatabaseFaultError as fault:  # following must outlive whatever is done to the schema
            log.warning("[Async] catalog not read", fault=str(fault))
            raise DatabaseUnavailable(cause=Cause.DATABASE_FAULT) from None


def _paging(request: Any) -> Paging:
    return Paging(request.page_size, request.page_token)


async def _get_channel(
    connection: Connection, request: pb.GetChannelRequest, scopes: AbstractSet[str]
) -> pb.GetChannelResponse:
    channel = await reads.channel(connection, request.channel_id)
    return pb.GetChannelResponse(channel=wire.show_channel(channel, reveal=auth.ADMIN in scopes))


async def _list_channels(
    connection: Connection, request: pb.ListChannelsRequest, scopes: AbstractSet[str]
) -> pb.ListChannelsResponse:
    wanted = ChannelFilter(
        group=request.group,
        model=request.model,
        tag=request.tag,
        status=wire.status_of(catalog_pb2.ChannelStatus, request.status),
    )
    page = await reads.channels(connection, wanted, _paging(request))
    channels = [wire.show_channel(channel, reveal=auth.ADMIN in scopes) for channel in page.items]
    return pb.ListChannelsResponse(channels=channels, next_page_token=page.next_page_token)


async def _list_channel_keys(
    connection: Connection, request: pb.ListChannelKeysRequest, _scopes: AbstractSet[str]
) -> pb.ListChannelKeysResponse:
    keys = await reads.channel_keys(connection, request.channel_id)
    return pb.ListChannelKeysResponse(keys=[wire.show_channel_key(key) for key in keys])


async def _list_abilities(
    connection: Connection, request: pb.ListAbilitiesRequest, _scopes: AbstractSet[str]
) -> pb.ListAbilitiesResponse:
    page = await reads.abilities(connection, request.group, request.model, request.channel_id, _paging(request))
    abilities = [wire.show_ability(ability) for ability in page.items]
    return pb.ListAbilitiesResponse(abilities=abilities, next_page_token=page.next_page_token)


async def _list_groups(
    connection: Connection, request: pb.ListGroupsRequest, _scopes: AbstractSet[str]
) -> pb.ListGroupsResponse:
    page = await reads.groups(connection, _paging(request))
    groups = [wire.show_group(group) for group in page.items]
    return pb.ListGroupsResponse(groups=groups, next_page_token=page.next_page_token)


async def _get_api_key(
    connection: Connection, request: pb.GetApiKeyRequest, _scopes: AbstractSet[str]
) -> pb.GetApiKeyResponse:
    key = await reads.api_key(connection, request.api_key_id)
    return pb.GetApiKeyResponse(api_key=wire.show_api_key(key))


async def _list_api_keys(
    connection: Connection, request: pb.ListApiKeysRequest, _scopes: AbstractSet[str]
) -> pb.ListApiKeysResponse:
    page = await reads.api_keys(connection, request.group, _paging(request))
    keys = [wire.show_api_key(key) for key in page.items]
    return pb.ListApiKeysResponse(api_keys=keys, next_page_token=page.next_page_token)


async def _list_revisions(
    connection: Connection, request: pb.ListRevisionsRequest, _scopes: AbstractSet[str]
) -> pb.ListRevisionsResponse:
    page = await reads.revisions(connection, request.channel_id, _paging(request))
    revisions = [wire.show_revision(revision) for revision in page.items]
    return pb.ListRevisionsResponse(revisions=revisions, next_page_token=page.next_page_token)


QUERIES: Final[Mapping[str, Query]] = {
    "GetChannel": _get_channel,
    "ListChannels": _list_channels,
    "ListChannelKeys": _list_channel_keys,
    "ListAbilities": _list_abilities,
    "ListGroups": _list_groups,
    "GetApiKey": _get_api_key,
    "ListApiKeys": _list_api_keys,
    "ListRevisions": _list_revisions,
}
