"""The one transaction: repeated, contended, locked, and cut at the worst moments."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest

from tests.harness.waiting import eventually_async
from tests.integration.admin_svc.conftest import ENVIRONMENT, Admin, running_admin
from trunkline.errors import Reason
from trunkline.secret import ApiKeyHasher, Secret
from trunkline.v1 import admin_pb2 as pb
from trunkline.v1 import catalog_pb2, revision_pb2


def channel(name: str = "a", **fields: Any) -> catalog_pb2.Channel:
    """A sound channel."""
    return catalog_pb2.Channel(name=name, provider="p", base_url="http://h", models=["m"], **fields)


async def rows(dsn: str, statement: str) -> list[tuple[Any, ...]]:
    """What a query answers to a hand."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as hand:
        return await (await hand.execute(statement)).fetchall()


async def test_a_repeated_request_gives_the_first_answer_and_changes_nothing(admin: Admin) -> None:
    """Also after the channel was changed, and whatever it waits for this time."""
    request = pb.CreateChannelRequest(channel=channel(header_overrides={"X-A": "s3cret"}), request_id=str(uuid.uuid4()))
    first = await admin.grpc.CreateChannel(request)
    update = pb.UpdateChannelRequest(channel=catalog_pb2.Channel(id=first.channel.id, weight=9))
    update.update_mask.paths.append("weight")
    await admin.grpc.UpdateChannel(update)
    request.wait.mode = revision_pb2.WAIT_MODE_NONE
    again = await admin.grpc.CreateChannel(request)
    assert (again.channel, again.token) == (first.channel, first.token)
    assert len(await rows(admin.dsn, "SELECT FROM revisions WHERE action = 'CreateChannel'")) == 1
    ((kept,),) = await rows(admin.dsn, "SELECT response FROM revisions WHERE action = 'CreateChannel'")
    assert b"s3cret" not in kept


async def test_a_request_id_is_not_for_another_request(admin: Admin) -> None:
    """Neither for another body nor for another method."""
    request_id = str(uuid.uuid4())
    await admin.grpc.CreateChannel(pb.CreateChannelRequest(channel=channel(), request_id=request_id))
    for call in (
        admin.grpc.CreateChannel(pb.CreateChannelRequest(channel=channel("b"), request_id=request_id)),
        admin.grpc.CreateGroup(pb.CreateGroupRequest(group=catalog_pb2.Group(name="g"), request_id=request_id)),
    ):
        refusal = await admin.refusal(call)
        assert (refusal.reason, refusal.metadata["request_id"]) == (
            Reason.REQUEST_ID_REUSED,
            refusal.metadata["request_id"],
        )
    assert await rows(admin.dsn, "SELECT name FROM channels") == [("a",)]


async def test_a_refused_request_leaves_its_id_free_and_no_revision(admin: Admin) -> None:
    """Only what was committed is remembered."""
    ((before,),) = await rows(admin.dsn, "SELECT revision FROM catalog")
    request = pb.CreateChannelRequest(channel=channel(groups=["later"]), request_id=str(uuid.uuid4()))
    refusal = await admin.refusal(admin.grpc.CreateChannel(request))
    assert [fault.field for fault in refusal.faults] == ["channel.groups[0]"]
    assert await rows(admin.dsn, "SELECT revision FROM catalog") == [(before,)]
    await admin.grpc.CreateGroup(pb.CreateGroupRequest(group=catalog_pb2.Group(name="later")))
    assert (await admin.grpc.CreateChannel(request)).channel.groups == ["later"]


async def test_a_secret_shown_once_is_not_shown_to_a_repeated_call(admin: Admin) -> None:
    """The key exists, and the refusal says which it is."""
    request = pb.CreateApiKeyRequest(api_key=catalog_pb2.ApiKey(name="k"), request_id=str(uuid.uuid4()))
    first = await admin.grpc.CreateApiKey(request)
    assert first.api_key.secret.startswith("sk-")
    refusal = await admin.refusal(admin.grpc.CreateApiKey(request))
    assert (refusal.reason, refusal.metadata["api_key_id"]) == (Reason.SECRET_ALREADY_SHOWN, str(first.api_key.id))
    assert len(await rows(admin.dsn, "SELECT FROM api_keys")) == 1


async def test_the_same_request_ten_times_at_once_is_one_change(admin: Admin) -> None:
    """Calls that race find the winner's answer."""
    request = pb.CreateChannelRequest(channel=channel(), request_id=str(uuid.uuid4()))
    async with asyncio.TaskGroup() as tasks:
        calls = [tasks.create_task(call(admin.grpc.CreateChannel(request))) for _ in range(10)]
    assert len({call.result().SerializeToString() for call in calls}) == 1
    assert len(await rows(admin.dsn, "SELECT FROM channels")) == 1


async def test_of_many_updates_with_one_etag_one_wins_and_without_all_do(admin: Admin) -> None:
    """Writers queue at the head row; each sees what the one before it left."""
    created = (await admin.grpc.CreateChannel(pb.CreateChannelRequest(channel=channel()))).channel

    def update(etag: str, tag: str) -> Any:
        request = pb.UpdateChannelRequest(channel=catalog_pb2.Channel(id=created.id, etag=etag, remark=tag))
        request.update_mask.paths.append("remark")
        return admin.grpc.UpdateChannel(request)

    async def outcome(awaited: Any) -> str:
        try:
            await awaited
        except Exception as error:  # noqa: BLE001 - counted below
            return str(error.code().name)  # type: ignore[attr-defined]
        return "OK"

    for etag, winners in ((created.etag, 1), ("", 12)):
        async with asyncio.TaskGroup() as tasks:
            calls = [tasks.create_task(outcome(update(etag, f"{etag}{number}"))) for number in range(12)]
        assert [call.result() for call in calls].count("OK") == winners
    ((revisions, newest),) = await rows(admin.dsn, "SELECT count(*), max(revision) FROM revisions")
    assert newest == revisions - 1, "dense from 0"


async def test_a_catalog_that_another_session_holds_is_refused_by_its_pid(admin: Admin) -> None:
    """Within the lock timeout, for every caller in the queue, naming who stands at its front."""
    async with await psycopg.AsyncConnection.connect(admin.dsn) as holder:
        await holder.execute("SELECT begin_change()")
        async with asyncio.TaskGroup() as tasks:
            calls = [
                tasks.create_task(
                    admin.refusal(admin.grpc.CreateChannel(pb.CreateChannelRequest(channel=channel(name))))
                )
                for name in ("a", "b")
            ]
        for refused in calls:
            refusal = refused.result()
            assert (refusal.reason, refusal.retry_delay) == (Reason.CATALOG_LOCKED, 1.0)
            assert refusal.metadata["blocking_pid"] == str(holder.info.backend_pid)
        assert (await admin.http.get("/api/v1/channels")).status_code == 200, "reads do not wait"


async def call(awaited: Any) -> Any:
    """A gRPC call as a coroutine, which a task needs."""
    return await awaited


# --- the connection breaks --------------------------------------------------------------------------------------------


@dataclass
class Wire:
    """A proxy to Postgres that can be told to cut a connection at its COMMIT."""

    path: str
    cut: str = ""
    """`before`: the COMMIT is not passed on; `after`: its answer is not. Each once."""
    cut_all: bool = False
    """With a cut, every connection breaks and no new one is made."""
    deaf: bool = False
    cuts: int = 0
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        if self.deaf:
            writer.close()
            return
        up_reader, up_writer = await asyncio.open_unix_connection(self.path)
        self.writers |= {writer, up_writer}
        mute = asyncio.Event()
        with contextlib.suppress(OSError):
            async with asyncio.TaskGroup() as tasks:
                back = tasks.create_task(self._back(up_reader, writer, mute))
                while data := await reader.read(65_536):
                    if b"COMMIT\0" in data and self.cut:
                        self.cuts += 1
                        how, self.cut, self.deaf = self.cut, "", self.cut_all
                        if how == "after":
                            mute.set()
                            up_writer.write(data)
                            await back
                        break
                    up_writer.write(data)
                back.cancel()
        for end in self.writers if self.deaf else (writer, up_writer):
            end.close()
        self.writers -= {writer, up_writer}

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, mute: asyncio.Event) -> None:
        while data := await reader.read(65_536):
            if mute.is_set():
                return
            writer.write(data)


@contextlib.asynccontextmanager
async def wired(dsn: str) -> AsyncIterator[tuple[Wire, str]]:
    """A proxy before a database, and the DSN that goes through it."""
    parts = psycopg.conninfo.conninfo_to_dict(dsn)
    wire = Wire(f"{parts['host']}/.s.PGSQL.{parts.get('port') or 5432}")
    server = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield wire, psycopg.conninfo.make_conninfo(dsn, host="127.0.0.1", port=port, sslmode="disable")
    finally:
        server.close()
        for writer in list(wire.writers):
            writer.close()


@pytest.mark.parametrize("cut", ["before", "after"])
async def test_a_commit_whose_outcome_is_unknown_is_made_exactly_once(migrated_dsn: str, cut: str) -> None:
    """The next attempt finds the first one's record, or proves that it is gone; a secret is shown all the same."""
    async with wired(migrated_dsn) as (wire, dsn), running_admin(dsn) as admin:
        wire.cut = cut
        answer = await admin.grpc.CreateApiKey(pb.CreateApiKeyRequest(api_key=catalog_pb2.ApiKey(name="k")))
        assert wire.cuts == 1
        ((stored,),) = await rows(migrated_dsn, "SELECT hash FROM api_keys")
        assert stored == ApiKeyHasher(Secret(ENVIRONMENT["TRUNKLINE_PEPPER"])).hash(answer.api_key.secret)
        ((revision,),) = await rows(migrated_dsn, "SELECT revision FROM revisions WHERE action = 'CreateApiKey'")
        assert answer.token.revision == revision


async def test_an_outcome_that_cannot_be_learned_is_said_so_and_can_be_asked_for_later(migrated_dsn: str) -> None:
    """COMMIT_UNKNOWN names the request id; the same id answers once the database is back."""
    async with wired(migrated_dsn) as (wire, dsn), running_admin(dsn) as admin:
        wire.cut, wire.cut_all = "after", True
        request = pb.CreateChannelRequest(channel=channel(), request_id=str(uuid.uuid4()))
        refusal = await admin.refusal(admin.grpc.CreateChannel(request))
        assert (wire.cuts, refusal.reason) == (1, Reason.COMMIT_UNKNOWN)
        assert request.request_id in refusal.message
        assert refusal.retry_delay == 1.0
        wire.deaf = False
        assert (await admin.grpc.CreateChannel(request)).channel.name == "a"
        assert len(await rows(migrated_dsn, "SELECT FROM channels")) == 1


async def a_writer_waits(dsn: str) -> bool:
    """Whether a backend waits for the head row."""
    return bool(await rows(dsn, "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))


async def test_a_backend_that_is_killed_before_its_commit_is_replaced(admin: Admin) -> None:
    """The change is made on another connection; its caller learns nothing of it."""
    async with await psycopg.AsyncConnection.connect(admin.dsn) as holder, asyncio.TaskGroup() as tasks:
        await holder.execute("SELECT begin_change()")
        made = tasks.create_task(call(admin.grpc.CreateChannel(pb.CreateChannelRequest(channel=channel()))))
        await eventually_async(lambda: a_writer_waits(admin.dsn))
        await rows(admin.dsn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        await holder.rollback()
    assert made.result().channel.name == "a"
    assert await rows(admin.dsn, "SELECT name FROM channels") == [("a",)]


async def test_a_caller_that_leaves_does_not_undo_what_it_began(admin: Admin) -> None:
    """A change under way is carried to its end."""
    async with await psycopg.AsyncConnection.connect(admin.dsn) as holder, asyncio.TaskGroup() as tasks:
        await holder.execute("SELECT begin_change()")
        begun = tasks.create_task(call(admin.grpc.CreateChannel(pb.CreateChannelRequest(channel=channel()))))
        await eventually_async(lambda: a_writer_waits(admin.dsn))
        begun.cancel()
        await asyncio.wait([begun])
        await holder.rollback()
    await eventually_async(lambda: rows(admin.dsn, "SELECT FROM channels"))
