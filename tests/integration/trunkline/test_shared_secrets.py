"""Services that differ in their secrets do not serve, and a rotation in any order says "not now" at worst.

Law: real admins and routers on a real database; whoever holds what the catalog is written with gives plans, whoever does not
gives UNVERIFIED, and nobody ever says "unknown API key" or "no channel" of what is there.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import grpc
import httpx2
import psycopg
import pytest

from admin_svc.assembly import serve
from admin_svc.settings import Settings
from tests.harness.waiting import PATIENCE, eventually_async
from tests.integration.admin_svc.conftest import ENVIRONMENT, Admin, running_admin
from tests.integration.router_svc.running import (
    ADMIN_TOKEN,
    ENCRYPTION_KEYS,
    PEPPER,
    Client,
    Database,
    RunningRouter,
    refusal_of,
    running_router,
)
from trunkline.errors import Cause, Reason
from trunkline.rpc import read_error
from trunkline.settings import read
from trunkline.v1 import router_pb2

SECRETS = {"TRUNKLINE_PEPPER": PEPPER, "TRUNKLINE_ENCRYPTION_KEYS": ENCRYPTION_KEYS}
K2 = "k2:" + base64.b64encode(b"2" * 32).decode()
OTHER_K1 = "k1:" + base64.b64encode(b"x" * 32).decode()
FOREIGN = {
    "pepper": ({"TRUNKLINE_PEPPER": "another pepper of the tests"}, "TRUNKLINE_PEPPER"),
    "key of a known id": ({"TRUNKLINE_ENCRYPTION_KEYS": OTHER_K1}, "TRUNKLINE_ENCRYPTION_KEYS (k1)"),
    "keys of other ids": ({"TRUNKLINE_ENCRYPTION_KEYS": K2}, "TRUNKLINE_ENCRYPTION_KEYS"),
}


@pytest.fixture
async def database(migrated_dsn: str) -> AsyncIterator[Database]:
    """The test's own database, as an operator with psql sees it."""
    async with await psycopg.AsyncConnection.connect(migrated_dsn, autocommit=True) as connection:
        yield Database(connection)


@asynccontextmanager
async def admin_of(dsn: str, **secrets: str) -> AsyncIterator[Admin]:
    """An admin with these secrets."""
    async with running_admin(dsn, **(SECRETS | secrets)) as admin:
        yield admin


async def refused_at_start(dsn: str, **secrets: str) -> str:
    """What an admin says that does not start."""
    settings = read(Settings, ENVIRONMENT | {"TRUNKLINE_DSN": dsn} | SECRETS | secrets)
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.timeout(PATIENCE):
            await serve(settings, asyncio.Event(), lambda _: None)
    [leaf] = caught.value.exceptions
    assert isinstance(leaf, OSError)
    assert "\n" not in str(leaf)
    return str(leaf)


async def created(admin: Admin, model: str) -> str:
    """A channel for a model, and an API key: its secret."""
    await admin.create(model, models=[model], keys=[f"sk-{model}-upstream"])
    response = await admin.http.post("/api/v1/api-keys", json={"name": model, "group": "default"})
    assert response.status_code == 200, response.text
    return str(response.json()["api_key"]["secret"])


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("cache", ["true", "false"])
async def test_a_router_with_foreign_secrets_answers_nothing_and_says_which(
    migrated_dsn: str, kind: str, cache: str
) -> None:
    """Neither a plan nor a flat no, by no way to ask; its status and its readiness name the setting."""
    foreign, setting = FOREIGN[kind]
    async with admin_of(migrated_dsn) as admin:
        api_key = await created(admin, "m")
        async with running_router(migrated_dsn, TRUNKLINE_ROUTER_CACHE=cache, **foreign) as running:
            client = running.client()

            async def told() -> bool:
                return list((await client.status()).secrets_differing) == [setting]

            await eventually_async(told)
            picks = [
                client.pick("m", api_key=api_key),
                client.pick("m"),
                client.pick("none"),
                client.pick("m", limit=0),
            ]
            picks.append(client.pick("m", api_key="sk-nobody"))
            for pick in picks:
                refusal = await refusal_of(pick)
                assert (refusal.reason, refusal.metadata["cause"]) == (Reason.UNVERIFIED, Cause.SECRETS_DIFFER)
            listing = router_pb2.ListModelsRequest(api_key=api_key)
            listed = await refusal_of(client.stub.ListModels(listing, metadata=client.metadata, timeout=PATIENCE))
            assert listed.reason is Reason.UNVERIFIED
            assert (await client.status()).state == router_pb2.ROUTER_STATE_DEGRADED
            await eventually_async(lambda: setting in running.router.health.reason)


async def test_a_router_takes_part_once_its_secrets_are_the_catalogs(migrated_dsn: str, database: Database) -> None:
    """Each read of the head looks again, also when nothing else has changed."""
    async with admin_of(migrated_dsn):
        await database.channel("a", ["m"])
        async with running_router(migrated_dsn) as running:
            await running.ready()
            await database.run("UPDATE shared_secrets SET fingerprint = sha256('x') WHERE kind = 'encryption_key'")
            await eventually_async(lambda: not running.router.health.ready)
            assert (await refusal_of(running.client().pick("m"))).metadata["cause"] == Cause.SECRETS_DIFFER
            await database.run("DELETE FROM shared_secrets WHERE kind = 'encryption_key'")
            await eventually_async(lambda: running.router.health.ready)
            assert (await running.client().pick("m")).candidates


@pytest.mark.parametrize("kind", FOREIGN)
async def test_an_admin_with_foreign_secrets_does_not_start(migrated_dsn: str, kind: str) -> None:
    """In one line that names the setting, and leaves what is registered as it was."""
    foreign, setting = FOREIGN[kind]
    async with admin_of(migrated_dsn) as admin:
        await created(admin, "m")
    before = await registered(migrated_dsn)
    assert setting.split()[0] in await refused_at_start(migrated_dsn, **foreign)
    assert await registered(migrated_dsn) == before


async def test_the_first_admin_of_a_database_from_before_must_open_what_is_sealed(
    migrated_dsn: str, database: Database
) -> None:
    """Else a wrong one would register false fingerprints, and shut out those with the right secrets."""
    await database.channel("a", ["m"])
    for foreign in (OTHER_K1, K2):
        assert "TRUNKLINE_ENCRYPTION_KEYS" in await refused_at_start(migrated_dsn, TRUNKLINE_ENCRYPTION_KEYS=foreign)
        assert await registered(migrated_dsn) == set()
    async with admin_of(migrated_dsn):
        assert {kind for kind, _ in await registered(migrated_dsn)} == {"pepper", "encryption_key"}


async def test_a_pepper_may_change_while_no_api_key_is_there(migrated_dsn: str) -> None:
    """And whoever still has the one before writes nothing with it."""
    async with admin_of(migrated_dsn) as before, admin_of(migrated_dsn, TRUNKLINE_PEPPER="a new pepper of the tests"):
        response = await before.http.post("/api/v1/api-keys", json={"name": "late", "group": "default"})
        assert (response.status_code, Cause.SECRETS_DIFFER in response.text) == (503, True)


async def test_a_secret_is_forgotten_only_when_nothing_is_sealed_with_it(migrated_dsn: str, database: Database) -> None:
    """And never the last of its kind."""
    async with admin_of(migrated_dsn, TRUNKLINE_ENCRYPTION_KEYS=f"{K2},{ENCRYPTION_KEYS}"):
        channel_id = await database.channel("a", ["m"])
        with pytest.raises(psycopg.errors.RestrictViolation, match="sealed with k1"):
            await database.run("SELECT forget_secret('encryption_key', 'k1')")
        await database.run("DELETE FROM channels WHERE id = %s", channel_id)
        await database.run("SELECT forget_secret('encryption_key', 'k1')")
        with pytest.raises(psycopg.errors.RestrictViolation, match="is the only"):
            await database.run("SELECT forget_secret('encryption_key', 'k2')")


async def registered(dsn: str) -> set[tuple[object, ...]]:
    """Kinds and ids of what is registered."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        return set(await Database(connection).run("SELECT kind, id FROM shared_secrets"))


# ---------------------------------------------------------------------- rotation

OLD = SECRETS
BOTH = {
    "TRUNKLINE_PEPPER": "a new pepper of the tests",
    "TRUNKLINE_OLD_PEPPER": PEPPER,
    "TRUNKLINE_ENCRYPTION_KEYS": f"{K2},{ENCRYPTION_KEYS}",
}


@dataclass
class Fleet:
    """An admin and two routers, each of which can be started again with other secrets."""

    dsn: str
    stack: AsyncExitStack
    admin: Admin | None = None
    routers: dict[int, RunningRouter] = field(default_factory=dict)
    _lives: dict[int, AsyncExitStack] = field(default_factory=dict)

    async def start(self, place: int, secrets: dict[str, str]) -> None:
        """Have one begin a new life; place 0 is the admin."""
        if place in self._lives:
            self.routers.pop(place, None)
            await self._lives[place].aclose()
        life = self._lives[place] = await self.stack.enter_async_context(AsyncExitStack())
        if place == 0:
            self.admin = await life.enter_async_context(admin_of(self.dsn, **secrets))
        else:
            running = await life.enter_async_context(running_router(self.dsn, **secrets))
            await eventually_async(lambda: running.router.health.ready)
            self.routers[place] = running


@dataclass
class Flow:
    """Picks that go on, and all that was ever said to them."""

    fleet: Fleet
    api_keys: dict[str, str] = field(default_factory=dict)
    """By the model that each may ask for."""
    plans: int = 0
    put_off: int = 0
    flat: list[str] = field(default_factory=list)

    async def run(self, clients: dict[int, Client]) -> None:
        """Pick for every API key at every router, again and again, until cancelled."""
        while True:
            for running in list(self.fleet.routers.values()):
                if id(running) not in clients:
                    clients[id(running)] = running.client()
                for model, api_key in list(self.api_keys.items()):
                    await self._pick(clients[id(running)], model, api_key)
            await asyncio.sleep(0)

    async def goes_on(self, picks: int) -> None:
        """Wait until so many more picks were answered."""
        enough = self.plans + self.put_off + picks
        await eventually_async(lambda: self.plans + self.put_off > enough)

    async def _pick(self, client: Client, model: str, api_key: str) -> None:
        try:
            plan = await client.pick(model, api_key=api_key, limit=0.2)
            self.plans += bool(plan.candidates)
        except grpc.aio.AioRpcError as error:
            refusal = read_error(error)
            if refusal.reason in (Reason.UNVERIFIED, Reason.NOT_READY, Reason.DRAINING) or refusal.reason is None:
                self.put_off += 1  # no reason: the router went away under the call
            else:
                self.flat.append(f"{refusal.reason} for {model}: {refusal.message}")
        except (grpc.aio.UsageError, asyncio.CancelledError):
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=lambda order: "".join(map(str, order)))
async def test_secrets_rotate_in_any_order_without_a_false_no(migrated_dsn: str, order: tuple[int, ...]) -> None:
    """Pepper and encryption key at once: API keys and channels of before, of meanwhile and of after are served."""
    async with AsyncExitStack() as stack:
        fleet = Fleet(migrated_dsn, stack)
        for place in range(3):
            await fleet.start(place, OLD)
        assert fleet.admin is not None
        flow = Flow(fleet, {"before": await created(fleet.admin, "before")})
        async with asyncio.TaskGroup() as tasks:
            flowing = tasks.create_task(flow.run({}))
            for step, place in enumerate(order):
                await fleet.start(place, BOTH)
                model = f"after{step}"
                flow.api_keys[model] = await created(fleet.admin, model)
                await flow.goes_on(6)
            said = flow.plans
            await eventually_async(lambda: flow.plans > said + 8)
            flowing.cancel()
        assert flow.flat == []
        for running in fleet.routers.values():
            for model, api_key in flow.api_keys.items():
                assert (await running.client().pick(model, api_key=api_key)).candidates
            status = await running.client(ADMIN_TOKEN).status()
            assert (list(status.secrets_differing), list(status.secrets_missing)) == ([], [])


async def test_a_router_that_lacks_a_new_secret_serves_the_rest_degraded(migrated_dsn: str) -> None:
    """What is written with the old ones goes on; what is not is put off, and the status and a gauge say so."""
    async with admin_of(migrated_dsn) as first:
        before = await created(first, "before")
        async with running_router(migrated_dsn, **OLD) as running:
            await running.ready()
            async with admin_of(migrated_dsn, **BOTH) as second:
                after = await created(second, "after")
                client = running.client()
                unknown = await refusal_of(client.pick("before", api_key=after))
                assert (unknown.reason, unknown.metadata["cause"]) == (Reason.UNVERIFIED, Cause.SECRET_MISSING)
                sealed = await refusal_of(client.pick("after", api_key=before))
                assert (sealed.reason, sealed.metadata["cause"]) == (Reason.UNVERIFIED, Cause.KEY_NOT_OPENED)
                plan = await client.pick("before", api_key=before)
                assert (len(plan.candidates), plan.degraded) == (1, True)
                status = await client.status()
                assert [entry.rpartition(" ")[0] for entry in status.secrets_missing] == ["pepper", "encryption key"]
                assert status.state == router_pb2.ROUTER_STATE_DEGRADED
                async with httpx2.AsyncClient() as http:
                    text = (await http.get(f"http://{running.router.http_address}/metrics")).text
                assert "trunkline_router_keys_in_doubt 1.0" in text


async def test_a_router_that_differs_has_no_lease(migrated_dsn: str, database: Database) -> None:
    """Nobody is told of it, and the next router of its id need not wait for a lease to end."""
    async with admin_of(migrated_dsn) as admin:
        await created(admin, "m")
        async with running_router(migrated_dsn) as running:
            await running.ready()
            pepper = "UPDATE shared_secrets SET fingerprint = {} WHERE kind = 'pepper'"
            await database.run(pepper.format("sha256(fingerprint)"))

            async def gone() -> bool:
                return await database.run("SELECT id FROM routers") == []

            await eventually_async(gone)
