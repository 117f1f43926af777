"""Channels over HTTP, as scripts use them."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.integration.admin_svc.conftest import READ_TOKEN, SERVICE_TOKEN, Admin, running_admin

EXAMPLE: dict[str, Any] = {
    "name": "a",
    "provider": "openai-compatible",
    "base_url": "http://127.0.0.1:9/v1",
    "keys": ["sk-0123456789abcdef"],
    "models": ["m"],
    "groups": ["default"],
    "priority": 10,
    "weight": 1,
    "model_mapping": {"m": "upstream-m"},
    "status": "ENABLED",
}


async def test_a_channel_is_created_from_a_flat_body_and_read_back(admin: Admin) -> None:
    """Creating answers the channel, the token and the visibility; reading answers the same channel, without secrets."""
    response = await admin.http.post("/api/v1/channels", json=EXAMPLE)
    assert response.status_code == 200, response.text
    answer = response.json()
    channel = answer["channel"]
    assert answer["token"]["revision"] == channel["revision"]
    assert len(answer["token"]["chain"]) == 64
    assert answer["visibility"] == {"visible_on": 0, "of": 0, "lagging": [], "lapsed": []}
    for name in EXAMPLE.keys() - {"keys"}:
        assert channel[name] == EXAMPLE[name]
    assert [(key["last_four"], key["status"]) for key in channel["keys"]] == [("cdef", "ENABLED")]
    assert "sk-0123456789abcdef" not in response.text
    read = await admin.http.get(f"/api/v1/channels/{channel['id']}")
    assert read.json() == {"channel": channel}
    assert read.headers["etag"] == f'"{channel["etag"]}"'
    listed = await admin.http.get("/api/v1/channels")
    assert listed.json() == {"channels": [channel], "next_page_token": ""}


async def test_only_the_keys_present_in_a_patch_change(admin: Admin) -> None:
    """The mask is the keys present, within `timeouts` too; the rest stays as it was."""
    channel = await admin.create(weight=7, timeouts={"connect": "2s", "idle": "30s"}, remark="kept")
    path = f"/api/v1/channels/{channel['id']}"
    changed = (await admin.http.patch(path, json={"priority": 3, "timeouts": {"idle": "1.5s"}})).json()["channel"]
    assert changed["timeouts"] == {"connect": "2s", "first_byte": None, "idle": "1.5s", "total": None}
    same = channel.keys() - {"priority", "timeouts", "etag", "revision", "update_time"}
    assert {name: changed[name] for name in same} == {name: channel[name] for name in same}
    assert (changed["priority"], changed["weight"], changed["remark"]) == (3, 7, "kept")
    cleared = (await admin.http.patch(path, json={"timeouts": None})).json()["channel"]
    assert set(cleared["timeouts"].values()) == {None}


async def test_what_was_read_can_be_sent_back_as_a_patch(admin: Admin) -> None:
    """Fields that only the server gives are passed over, so a console may send the whole record; nothing changes."""
    await admin.http.post("/api/v1/channels", json=EXAMPLE | {"parameter_overrides": {"max_tokens": 5, "n": None}})
    channel = (await admin.http.get("/api/v1/channels")).json()["channels"][0]
    response = await admin.http.patch(f"/api/v1/channels/{channel['id']}", json=channel)
    assert response.status_code == 200, response.text
    assert response.json()["channel"] == channel
    assert channel["parameter_overrides"] == {"max_tokens": 5, "n": None}


@pytest.mark.parametrize("by_header", [True, False])
async def test_a_stale_etag_is_refused_and_the_current_one_is_not(admin: Admin, by_header: bool) -> None:
    """An etag in the body or in If-Match makes a change conditional."""
    channel = await admin.create()
    path = f"/api/v1/channels/{channel['id']}"

    async def patch(etag: str) -> Any:
        headers = {"if-match": f'"{etag}"'} if by_header else {}
        return await admin.http.patch(path, json={"weight": 5} | ({} if by_header else {"etag": etag}), headers=headers)

    stale = await patch("0" * 16)
    assert (stale.status_code, stale.json()["error_code"]) == (412 if by_header else 409, "ETAG_MISMATCH")
    assert stale.json()["metadata"]["current"] == channel["etag"]
    fresh = await patch(channel["etag"])
    assert fresh.status_code == 200
    assert fresh.json()["channel"]["etag"] != channel["etag"]
    assert (await admin.http.delete(path, params={"etag": channel["etag"]})).status_code == 409
    assert (await admin.http.delete(path, headers={"if-match": "*"})).status_code == 200
    assert (await admin.http.get(path)).json()["error_code"] == "NOT_FOUND"


NAMED = [
    ("model_mapping", "other"),
    ("header_overrides", "Authorization"),
    ("header_overrides", "X-Bad"),
    ("parameter_overrides", "model"),
]


async def test_every_fault_of_a_channel_is_answered_at_once_by_its_field(admin: Admin) -> None:
    """One answer names them all, as the body names them."""
    body = {
        "name": " ",
        "provider": "Open AI!",
        "base_url": "ftp://host",
        "keys": ["good-key", "bad\nkey"],
        "models": ["m", "a*b", ""],
        "model_mapping": {"other": "x"},
        "groups": ["default", "nobody"],
        "weight": -1,
        "header_overrides": {"Authorization": "Bearer s3cret", "X-Bad": "a\r\nb"},
        "parameter_overrides": {"model": "x"},
        "timeouts": {"connect": "0s"},
    }
    response = await admin.http.post("/api/v1/channels", json=body)
    assert (response.status_code, response.json()["error_code"]) == (400, "INVALID_FIELDS")
    assert response.json()["success"] is False
    assert sorted(fault["field"] for fault in response.json()["faults"]) == sorted(
        [
            "name",
            "provider",
            "base_url",
            "keys[1]",
            "models[1]",
            "models[2]",
            'model_mapping["other"]',
            "groups[1]",
            "weight",
            "timeouts.connect",
            'header_overrides["Authorization"]',
            'header_overrides["X-Bad"]',
            'parameter_overrides["model"]',
        ]
    )
    assert "s3cret" not in response.text


async def test_a_change_of_one_field_is_not_refused_for_another_that_a_hand_broke(admin: Admin) -> None:
    """A channel with a broken URL can still be switched off; overrides written as text are read."""
    channel = await admin.create()
    async with await psycopg.AsyncConnection.connect(admin.dsn, autocommit=True) as hand:
        await hand.execute(
            """UPDATE channels SET base_url = 'not a url', header_overrides = '"{\\"X-A\\": \\"1\\"}"'"""
        )
    response = await admin.http.patch(f"/api/v1/channels/{channel['id']}", json={"status": "DISABLED"})
    assert response.status_code == 200, response.text
    assert response.json()["channel"]["header_overrides"] == {"X-A": "1"}
    response = await admin.http.patch(f"/api/v1/channels/{channel['id']}", json={"base_url": "still not"})
    assert [fault["field"] for fault in response.json()["faults"]] == ["base_url"]


async def test_models_that_stay_keep_their_overrides(admin: Admin) -> None:
    """Children are changed where they differ: an override survives a change of the models beside it."""
    channel = await admin.create(models=["kept", "gone"], model_mapping={"gone": "x", "kept": "y"})
    ability = f"/api/v1/abilities/default/kept/{channel['id']}"
    assert (await admin.http.put(ability, json={"weight": 9})).status_code == 200
    path = f"/api/v1/channels/{channel['id']}"
    patched = (await admin.http.patch(path, json={"models": ["kept", "new"]})).json()["channel"]
    assert (patched["models"], patched["model_mapping"]) == (["kept", "new"], {"kept": "y"})
    abilities = (await admin.http.get("/api/v1/abilities")).json()["abilities"]
    assert [(row["model"], row["weight"], row["overridden"]) for row in abilities] == [
        ("kept", 9, True),
        ("new", 1, False),
    ]


async def test_a_reason_goes_with_the_status_it_explains(admin: Admin) -> None:
    """Switching a channel on clears the reason for which it was off."""
    channel = await admin.create(status="AUTO_DISABLED", status_reason="quota")
    path = f"/api/v1/channels/{channel['id']}"
    assert (await admin.http.get(path)).json()["channel"]["status_reason"] == "quota"
    assert (await admin.http.patch(path, json={"status": "ENABLED"})).json()["channel"]["status_reason"] == ""


async def test_channel_keys_are_added_switched_off_and_deleted_without_showing_them(admin: Admin) -> None:
    """Keys have a status and a note of their own, and never a secret."""
    channel = await admin.create()
    path = f"/api/v1/channels/{channel['id']}/keys"
    added = await admin.http.post(path, json={"keys": ["key-number-one-1111", "key-number-two-2222"], "remark": "new"})
    assert added.status_code == 200, added.text
    one, two = added.json()["keys"]
    assert (one["last_four"], two["remark"]) == ("1111", "new")
    assert "number" not in added.text
    off = await admin.http.patch(f"{path}/{one['id']}", json={"status": "DISABLED", "status_reason": "leaked"})
    assert off.json()["key"] == one | {"status": "DISABLED", "status_reason": "leaked"}
    assert (await admin.http.delete(f"{path}/{two['id']}")).status_code == 200
    assert (await admin.http.delete(f"{path}/{two['id']}")).status_code == 404
    assert [key["status"] for key in (await admin.http.get(path)).json()["keys"]] == ["DISABLED"]
    assert (await admin.http.post(path, json={"keys": []})).json()["faults"][0]["field"] == "keys"
    assert (await admin.http.get("/api/v1/channels/999/keys")).status_code == 404


async def test_a_taken_name_and_an_unknown_id_are_refused_as_such(admin: Admin) -> None:
    """Names are unique, on create and on rename."""
    await admin.create("a")
    other = await admin.create("b")
    again = await admin.http.post("/api/v1/channels", json=EXAMPLE)
    assert (again.status_code, again.json()["error_code"]) == (409, "ALREADY_EXISTS")
    renamed = await admin.http.patch(f"/api/v1/channels/{other['id']}", json={"name": "a"})
    assert renamed.json()["metadata"] == {"kind": "channel", "id": "a"}
    assert (await admin.http.patch("/api/v1/channels/77", json={"weight": 1})).json()["error_code"] == "NOT_FOUND"
    assert (await admin.http.delete("/api/v1/channels/77")).status_code == 404


async def test_a_list_is_paged_and_filtered(admin: Admin) -> None:
    """Pages follow one another by key; filters narrow them."""
    for number in range(5):
        await admin.create(f"c{number}", tags=["even"] if number % 2 == 0 else [], models=["m", f"m{number}"])
    names: list[str] = []
    token = ""
    while True:
        page = (await admin.http.get("/api/v1/channels", params={"page_size": 2, "page_token": token})).json()
        names += [channel["name"] for channel in page["channels"]]
        token = page["next_page_token"]
        if not token:
            break
    assert names == ["c0", "c1", "c2", "c3", "c4"]

    async def found(**query: str) -> list[str]:
        answer = await admin.http.get("/api/v1/channels", params=query)
        return [channel["name"] for channel in answer.json()["channels"]]

    assert await found(tag="even") == ["c0", "c2", "c4"]
    assert await found(model="m3") == ["c3"]
    assert await found(status="DISABLED") == []
    assert await found(group="vip") == []
    wrong = await admin.http.get("/api/v1/channels", params={"page_token": "xx", "page_size": 5000, "colour": "red"})
    assert [fault["field"] for fault in wrong.json()["faults"]] == ["colour"]
    assert (await admin.http.get("/api/v1/channels", params={"page_token": "xx"})).json()["faults"][0]["field"] == (
        "page_token"
    )


async def test_values_of_header_overrides_are_masked_for_readers(admin: Admin) -> None:
    """They may hold secrets: a token that only reads sees the names."""
    channel = await admin.create(header_overrides={"X-Org": "s3cret"})
    assert channel["header_overrides"] == {"X-Org": "s3cret"}
    reader = {"authorization": f"Bearer {READ_TOKEN}"}
    for path in (f"/api/v1/channels/{channel['id']}", "/api/v1/channels"):
        response = await admin.http.get(path, headers=reader)
        assert response.status_code == 200
        assert "s3cret" not in response.text
        assert "X-Org" in response.text


@pytest.mark.parametrize(
    ("token", "status", "code"),
    [
        ("Basic x", 401, "TOKEN_INVALID"),
        ("Bearer wrong", 401, "TOKEN_INVALID"),
        (f"Bearer {SERVICE_TOKEN}", 403, "SCOPE_MISSING"),
        (f"Bearer {READ_TOKEN}", 403, "SCOPE_MISSING"),
    ],
)
async def test_a_mutation_needs_the_admin_scope(admin: Admin, token: str, status: int, code: str) -> None:
    """No token, a strange one, and ones of other scopes are told apart."""
    response = await admin.http.post("/api/v1/channels", json=EXAMPLE, headers={"authorization": token})
    assert (response.status_code, response.json()["error_code"]) == (status, code)
    assert (await admin.http.get("/api/v1/channels")).json()["channels"] == []


MOVES: list[dict[str, Any]] = [
    {"base_url": "http://127.0.0.1:10/v1"},
    {"provider": "openai-compatible"},
    {"proxy_url": "http://127.0.0.1:11"},
    {"header_overrides": {"Host": "other.example"}},
]


@pytest.mark.parametrize("move", MOVES, ids=lambda move: next(iter(move)))
async def test_keys_do_not_go_elsewhere_unless_they_are_given_anew(admin: Admin, move: dict[str, Any]) -> None:
    """Whoever may change a channel cannot have the keys sent to themselves; with new ones, the old are gone."""
    channel = await admin.create(keys=["sk-old-0123456789"])
    path = f"/api/v1/channels/{channel['id']}"
    refused = await admin.http.patch(path, json=move)
    assert refused.status_code == 400
    assert [fault["field"] for fault in refused.json()["faults"]] == ["replace_keys"]
    assert (await admin.http.get(path)).json()["channel"] == channel
    moved = await admin.http.patch(path, json=move | {"replace_keys": ["sk-new-0123456789abcd"]})
    assert moved.status_code == 200, moved.text
    assert [key["last_four"] for key in moved.json()["channel"]["keys"]] == ["abcd"]
    assert (await admin.http.patch(path, json=move)).status_code == 200  # it changes nothing any more
    assert (
        await admin.http.patch(path, json={"proxy_url": ""})
    ).status_code == 200  # taking a proxy away sends nothing on


@pytest.mark.parametrize("move", MOVES, ids=lambda move: next(iter(move)))
async def test_a_token_with_credentials_may_send_keys_elsewhere(migrated_dsn: str, move: dict[str, Any]) -> None:
    """It may read them anyway. A channel without keys has none to lose."""
    token = "a-token-that-moves-keys"
    async with running_admin(migrated_dsn, TRUNKLINE_TOKENS=f"admin+read+credentials:{token}") as admin:
        channel = await admin.create(keys=["sk-old-0123456789"])
        path = f"/api/v1/channels/{channel['id']}"
        headers = {"authorization": f"Bearer {token}"}
        moved = await admin.http.patch(path, json=move, headers=headers)
        assert moved.status_code == 200, moved.text
        assert moved.json()["channel"]["keys"] == channel["keys"]
        bare = await admin.create("without keys")
        assert (await admin.http.patch(f"/api/v1/channels/{bare['id']}", json=move)).status_code == 200


async def test_keys_in_a_patch_are_told_where_keys_are_added(admin: Admin) -> None:
    """Alone or beside other fields; those that were shown may come back with a change."""
    channel = (await admin.http.post("/api/v1/channels", json=EXAMPLE)).json()["channel"]
    path = f"/api/v1/channels/{channel['id']}"
    new = ["sk-new-000000000000"]
    bodies: list[dict[str, Any]] = [{"keys": new}, {"keys": new, "priority": 3}, {"keys": []}]
    for body in bodies:
        refused = await admin.http.patch(path, json=body)
        assert refused.status_code == 400
        assert "POST /api/v1/channels/{channel_id}/keys" in refused.text
    changed = await admin.http.patch(path, json={"keys": channel["keys"], "priority": 3})
    assert changed.status_code == 200
    assert changed.json()["channel"]["keys"] == channel["keys"]
