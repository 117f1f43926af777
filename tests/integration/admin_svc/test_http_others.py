"""API keys, groups, abilities, routers and revisions over HTTP."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import psycopg

from tests.integration.admin_svc.conftest import ENVIRONMENT, Admin
from tests.integration.admin_svc.doubles import FakeRouter


async def test_an_api_key_shows_its_secret_once_and_is_stored_as_a_hash(admin: Admin) -> None:
    """The secret is in the answer that created it and nowhere else."""
    response = await admin.http.post("/api/v1/api-keys", json={"name": "k", "expire_time": "2030-01-01T00:00:00Z"})
    assert response.status_code == 200, response.text
    key = response.json()["api_key"]
    secret = key.pop("secret")
    assert secret.startswith("sk-")
    assert key["last_four"] == secret[-4:]
    assert (key["group"], key["status"], key["expire_time"]) == ("default", "ENABLED", "2030-01-01T00:00:00Z")
    assert (await admin.http.get(f"/api/v1/api-keys/{key['id']}")).json() == {"api_key": key}
    assert (await admin.http.get("/api/v1/api-keys")).json() == {"api_keys": [key], "next_page_token": ""}
    async with await psycopg.AsyncConnection.connect(admin.dsn) as hand:
        (stored,) = await (await hand.execute("SELECT hash FROM api_keys")).fetchone() or (b"",)
        assert stored == hmac.new(ENVIRONMENT["TRUNKLINE_PEPPER"].encode(), secret.encode(), hashlib.sha256).digest()
        (response_kept,) = await (
            await hand.execute("SELECT response FROM revisions WHERE action = 'CreateApiKey'")
        ).fetchone() or (b"",)
        assert secret.encode() not in response_kept


async def test_an_api_key_is_changed_by_mask_and_etag_and_deleted(admin: Admin) -> None:
    """As a channel is; lists are replaced whole, networks written as Postgres writes them."""
    await admin.http.post("/api/v1/groups", json={"name": "vip"})
    key = (await admin.http.post("/api/v1/api-keys", json={"name": "k", "remark": "kept"})).json()["api_key"]
    path = f"/api/v1/api-keys/{key['id']}"
    wanted = {
        "fallback_groups": ["vip"],
        "model_allow_list": ["gpt-*", "m"],
        "address_allow_list": ["10.1.2.3", "2001:db8::/32"],
        "status": "DISABLED",
        "etag": key["etag"],
    }
    changed = (await admin.http.patch(path, json=wanted)).json()["api_key"]
    assert changed["address_allow_list"] == ["10.1.2.3/32", "2001:db8::/32"]
    assert (changed["fallback_groups"], changed["status"], changed["remark"]) == (["vip"], "DISABLED", "kept")
    assert (await admin.http.patch(path, json=wanted)).json()["error_code"] == "ETAG_MISMATCH"
    assert (await admin.http.patch(path, json={"expire_time": None, "name": "n"})).json()["api_key"]["name"] == "n"
    assert (await admin.http.delete(path)).status_code == 200
    assert (await admin.http.get(path)).status_code == 404


async def test_every_fault_of_an_api_key_is_answered_at_once(admin: Admin) -> None:
    """By its field, counted as the caller counted."""
    body = {
        "name": "",
        "group": "nobody",
        "fallback_groups": ["default", "nobody"],
        "model_allow_list": ["a*b"],
        "address_allow_list": ["10.0.0.1/8", "::1", "here"],
        "status": "ENABLED",
    }
    response = await admin.http.post("/api/v1/api-keys", json=body)
    assert sorted(fault["field"] for fault in response.json()["faults"]) == sorted(
        [
            "name",
            "group",
            "fallback_groups[1]",
            "fallback_groups[1]",
            "model_allow_list[0]",
            "address_allow_list[0]",
            "address_allow_list[2]",
        ]
    )
    response = await admin.http.post("/api/v1/api-keys", json={"name": "k", "secret": "sk-mine", "expire_time": "soon"})
    assert sorted(fault["field"] for fault in response.json()["faults"]) == ["expire_time", "secret"]


async def test_a_time_beyond_pythons_years_set_by_hand_leaves_the_list_readable(admin: Admin) -> None:
    """`infinity` is a legal timestamp in Postgres."""
    await admin.http.post("/api/v1/api-keys", json={"name": "k"})
    async with await psycopg.AsyncConnection.connect(admin.dsn, autocommit=True) as hand:
        await hand.execute("UPDATE api_keys SET expire_time = 'infinity'")
    keys = (await admin.http.get("/api/v1/api-keys")).json()["api_keys"]
    assert keys[0]["expire_time"] == "9999-12-30T00:00:00Z"


async def test_a_group_in_use_is_not_deleted(admin: Admin) -> None:
    """Neither one that keys belong to, nor one that they fall back to."""
    for name in ("vip", "spare"):
        assert (await admin.http.post("/api/v1/groups", json={"name": name})).status_code == 200
    key: dict[str, Any] = {"name": "k", "group": "vip", "fallback_groups": ["spare"]}
    key = (await admin.http.post("/api/v1/api-keys", json=key)).json()["api_key"]
    for name in ("vip", "spare"):
        refused = await admin.http.delete(f"/api/v1/groups/{name}")
        assert (refused.status_code, refused.json()["error_code"]) == (409, "GROUP_IN_USE")
    await admin.http.delete(f"/api/v1/api-keys/{key['id']}")
    assert (await admin.http.delete("/api/v1/groups/vip")).status_code == 200
    assert (await admin.http.delete("/api/v1/groups/vip")).status_code == 404
    groups = (await admin.http.get("/api/v1/groups")).json()["groups"]
    assert [group["name"] for group in groups] == ["default", "spare"]
    assert (await admin.http.post("/api/v1/groups", json={"name": "a/b"})).json()["faults"][0]["field"] == "name"


async def test_dropping_over_half_of_the_channels_is_refused_unless_allowed(admin: Admin) -> None:
    """Ten channels, six of them in one group: deleting that group asks to be asked for by name."""
    await admin.http.post("/api/v1/groups", json={"name": "big"})
    for number in range(10):
        await admin.create(f"c{number}", groups=["big"] if number < 6 else ["big", "default"])
    refused = await admin.http.delete("/api/v1/groups/big")
    assert (refused.status_code, refused.json()["error_code"]) == (409, "MASS_CHANGE_REFUSED")
    assert refused.json()["metadata"] == {"dropped": "6", "total": "10"}
    assert len((await admin.http.get("/api/v1/abilities")).json()["abilities"]) == 14
    allowed = await admin.http.delete("/api/v1/groups/big", params={"allow_mass_change": "true"})
    assert allowed.status_code == 200
    assert len((await admin.http.get("/api/v1/abilities")).json()["abilities"]) == 4


async def test_half_of_the_channels_may_go_and_so_may_all_of_nine(admin: Admin) -> None:
    """The rule begins above half, and at ten channels."""
    await admin.http.post("/api/v1/groups", json={"name": "big"})
    for number in range(9):
        await admin.create(f"c{number}", groups=["big"])
    assert (await admin.http.delete("/api/v1/groups/big")).status_code == 200


async def test_an_ability_is_overridden_and_follows_its_channel_again(admin: Admin) -> None:
    """Model names with slashes and wildcards stand in the path."""
    channel = await admin.create(models=["meta/llama-3/*"], priority=4)
    path = f"/api/v1/abilities/default/meta/llama-3/*/{channel['id']}"
    own = await admin.http.put(path, json={"enabled": False, "priority": 0})
    assert own.status_code == 200, own.text
    ability = own.json()["ability"]
    assert (ability["model"], ability["enabled"], ability["priority"], ability["weight"]) == (
        "meta/llama-3/*",
        False,
        0,
        1,
    )
    assert (ability["effective"], ability["overridden"], ability["upstream_model"]) == (False, True, "meta/llama-3/*")
    back = (await admin.http.delete(path)).json()["ability"]
    assert (back["enabled"], back["priority"], back["overridden"]) == (True, 4, False)
    assert (await admin.http.put(path, json={})).json()["faults"][0]["field"] == "enabled"
    assert (await admin.http.put(path, json={"weight": -1})).json()["faults"][0]["field"] == "weight"
    missing = await admin.http.put(f"/api/v1/abilities/default/other/{channel['id']}", json={"weight": 1})
    assert missing.json()["error_code"] == "NOT_FOUND"


async def test_revisions_tell_who_changed_what(admin: Admin) -> None:
    """Newest first, with the actor, the action and the channels touched; `psql` is there as well."""
    channel = (
        await admin.http.post(
            "/api/v1/channels",
            json={"name": "a", "provider": "p", "base_url": "http://h"},
            headers={"x-trunkline-actor": "alice"},
        )
    ).json()
    async with await psycopg.AsyncConnection.connect(admin.dsn, autocommit=True) as hand:
        await hand.execute("UPDATE channels SET weight = 9")
    newest, mine = (await admin.http.get("/api/v1/revisions", params={"page_size": 2})).json()["revisions"]
    assert newest["action"] == "sql"
    assert (mine["actor"], mine["action"]) == ("alice@127.0.0.1", "CreateChannel")
    assert mine["token"] == channel["token"]
    assert mine["touched_channel_ids"] == [channel["channel"]["id"]]
    page = await admin.http.get("/api/v1/revisions", params={"channel_id": channel["channel"]["id"], "page_size": 1})
    assert page.json()["revisions"] == [newest]
    after = {"page_token": page.json()["next_page_token"], "channel_id": channel["channel"]["id"]}
    assert (await admin.http.get("/api/v1/revisions", params=after)).json()["revisions"] == [mine]


async def test_routers_are_listed_with_their_leases(admin: Admin, routers: tuple[FakeRouter, FakeRouter]) -> None:
    """Live ones and ones whose lease ran out lately."""
    await admin.create()
    await routers[1].lease(-5.0)
    one, two = (await admin.http.get("/api/v1/routers")).json()["routers"]
    assert (one["id"], one["live"], one["state"], one["address"]) == (
        "router-1",
        True,
        "SERVING",
        routers[0].address,
    )
    assert (two["live"], two["id"]) == (False, "router-2")
