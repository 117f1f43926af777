"""What HTTP carries that is no request of ours: always answered in the envelope, never by a fault of ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from admin_svc.http import MOST_BODY
from tests.harness.postgres import TestPostgres
from tests.integration.admin_svc.conftest import ADMIN_TOKEN, Admin, running_admin
from trunkline.guess_brake import MOST_WRONG


@pytest.fixture(scope="module")
def module_dsn(postgres: TestPostgres) -> Iterator[str]:
    """One database for all of them."""
    with postgres.migrated_database() as dsn:
        yield dsn


@pytest.fixture(scope="module")
async def admin(module_dsn: str) -> AsyncIterator[Admin]:
    """One admin for all of them, and so the same one after each of them."""
    async with running_admin(module_dsn) as admin:
        yield admin


CHANNEL: dict[str, Any] = {"name": "a", "provider": "p", "base_url": "http://h"}


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b'{"name": NaN}',
        b'{"a": 1, "a": 2}',
        b"[" * 100_000,
        b'{"a": ' + b"9" * 5000,
        b'{"a": ' * 50_000,
    ],
    ids=["cut", "list", "text", "not utf-8", "nan", "key twice", "deep list", "long number", "deep object"],
)
async def test_a_body_that_is_no_json_object_is_answered_400(admin: Admin, body: bytes) -> None:
    """With where and why, in the envelope."""
    response = await admin.http.post("/api/v1/channels", content=body)
    assert (response.status_code, response.json()["error_code"]) == (400, "MALFORMED_JSON")


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"colour": "red", "channel": {}, "models": "m"}, ["channel", "colour", "models"]),
        (
            {"priority": "1", "weight": 1.5, "status": "ON", "models": [1]},
            ["models[0]", "priority", "status", "weight"],
        ),
        ({"priority": 1 << 40, "weight": True, "timeouts": {"connect": 3, "x": "1s"}}, None),
        (
            {"name": "a\x00b", "remark": "\x07", "models": ["a\nb"], "tags": [""]},
            ["models[0]", "name", "remark", "tags[0]"],
        ),
        ({"name": "\ud800", "model_mapping": {"m": "\udfff"}, "parameter_overrides": {"a": ["\ud800"]}}, None),
        (
            {"parameter_overrides": {"a": 1 << 60}, "header_overrides": {"a": 1}},
            ["header_overrides", "parameter_overrides"],
        ),
        (
            {"parameter_overrides": {"a": "\x00", "b": {"c\x01": 1}}},
            ['parameter_overrides["a"]', 'parameter_overrides["b"]'],
        ),
        (
            {"parameter_overrides": [{"a": 1 << 60}], "provider_options": {"a": 1}, "removed_headers": [1]},
            ["parameter_overrides", "provider_options", "removed_headers[0]"],
        ),
        ({"parameter_overrides": [["\ud800"]], "system_prompt": "\ud800", "proxy_url": 1}, None),
        (
            {"status_mapping": {"x": 1, "9" * 30: 1, "1": True, "2": 1 << 40}},
            [f'status_mapping["{key}"]' for key in ("1", "2", "9" * 30, "x")],
        ),
        ({"status_mapping": [400]}, ["status_mapping"]),
        ({"models": ["m"] * 3000, "name": "n" * 200}, ["models", "name"]),
        ({"request_id": "17", "keys": [{}]}, ["keys[0]", "request_id"]),
        ({"request_id": "17"}, ["request_id"]),
    ],
)
async def test_fields_of_another_shape_are_faults_by_name(
    admin: Admin, body: dict[str, Any], fields: list[str] | None
) -> None:
    """Unknown names, wrong types, numbers out of range and text that cannot be stored."""
    response = await admin.http.post("/api/v1/channels", content=json.dumps(CHANNEL | body))
    assert (response.status_code, response.json()["error_code"]) == (400, "INVALID_FIELDS"), response.text
    if fields is not None:
        assert sorted(fault["field"] for fault in response.json()["faults"]) == fields


async def test_a_body_past_the_bound_is_answered_413(admin: Admin) -> None:
    """Whether its length is declared or not."""

    async def chunks() -> Any:
        for _ in range(MOST_BODY // 65_536 + 2):
            yield b" " * 65_536

    for content in (b" " * (MOST_BODY + 1), chunks()):
        response = await admin.http.post("/api/v1/channels", content=content)
        assert (response.status_code, response.json()["error_code"]) == (413, "BODY_TOO_LARGE")


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/", 404),
        ("GET", "/api/v1/channels/", 404),
        ("PUT", "/api/v1/channels", 405),
        ("POST", "/api/v1/channels/1", 405),
        ("GET", "/api/sync/channels", 405),
        ("GET", "/api/v1/channels/abc", 400),
        ("GET", "/api/v1/channels/99999999999999999999", 400),
        ("GET", "/api/v1/channels/-1", 404),
        ("DELETE", "/api/v1/groups/%00", 400),
        ("DELETE", "/api/v1/groups/%FF%FE", 404),
        ("GET", "/api/v1/abilities?group=%00", 400),
        ("GET", "/api/v1/channels?page_token=W251bGxd", 400),
        ("GET", "/api/v1/groups?page_token=WyJcdTAwMDAiXQ==", 400),
        ("GET", "/api/v1/groups?page_token=WyJcdWQ4MDAiXQ==", 400),
        ("GET", "/api/v1/groups?page_token=%ED%A0%80", 400),
        ("GET", "/api/v1/channels?page_size=-1", 400),
        ("PATCH", "/api/v1/channels/1", 400),
        ("POST", "/api/v1/channels?wait=SOME", 400),
        ("POST", "/api/v1/channels?wait_timeout=forever", 400),
        ("POST", "/api/v1/channels?wait_timeout=1h", 400),
    ],
)
async def test_every_answer_is_json_in_the_envelope(admin: Admin, verb: str, path: str, status: int) -> None:
    """Unknown paths, wrong methods and unfit parts of a path or a query."""
    response = await admin.http.request(verb, path)
    assert response.status_code == status, response.text
    if status != 200:
        assert response.json()["success"] is False
        assert {"message", "error_code", "faults", "request_id"} <= response.json().keys()


async def test_an_id_in_the_body_must_be_the_one_in_the_path(admin: Admin) -> None:
    """A record sent to another record's path is a mistake, not a rename."""
    channel = await admin.create("other")
    response = await admin.http.patch(f"/api/v1/channels/{channel['id']}", json={"id": 999, "weight": 3})
    assert [fault["field"] for fault in response.json()["faults"]] == ["id"]


async def test_a_request_that_stops_midway_holds_nothing_up(admin: Admin) -> None:
    """A client that leaves in the middle of its body; the next one is served."""
    host, port = admin.running.http_address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /api/v1/channels HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\nContent-Length: 99\r\n\r\n{{"
    writer.write(head.encode())
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await admin.http.get("/api/v1/channels")).status_code == 200
    assert reader.at_eof() or not await reader.read()


async def test_health_readiness_and_metrics_are_served_without_a_token(admin: Admin) -> None:
    """On the same port as the API."""
    await admin.create("measured")
    for path in ("/health", "/readyz", "/metrics"):
        response = await admin.http.get(path, headers={"authorization": ""})
        assert response.status_code == 200
    assert 'trunkline_admin_mutations_total{method="CreateChannel",outcome="OK"}' in response.text


async def test_faults_of_shape_and_of_rules_are_answered_at_once(admin: Admin) -> None:
    """A wrong type, a wrong word, an unknown field, a broken rule, an unknown group: one answer names them all."""
    body = {
        "name": "",
        "provider": "?!",
        "base_url": "ftp://x",
        "priority": "high",
        "status": "ON",
        "weight": -1,
        "groups": ["nowhere"],
        "model_mapping": {"other": "y"},
        "models": ["a*b"],
        "bogus": 1,
    }
    response = await admin.http.post("/api/v1/channels?wait=SOME", json=body)
    assert response.status_code == 400
    named = {fault["field"].partition("[")[0].partition(".")[0] for fault in response.json()["faults"]}
    assert named == {*body, "wait"}


async def test_guessing_tokens_is_slowed_down_and_keeps_nobody_out(module_dsn: str) -> None:
    """429 with how long to wait; a right token from the same address, and a request without one, are answered as ever."""
    async with running_admin(module_dsn) as admin:

        async def status(authorization: str) -> tuple[int, bool]:
            response = await admin.http.get("/api/v1/groups", headers={"authorization": authorization})
            return response.status_code, "retry-after" in response.headers

        answers = [await status(f"Bearer guess-{number}") for number in range(MOST_WRONG + 3)]
        assert answers == [(401, False)] * MOST_WRONG + [(429, True)] * 3
        assert await status(f"Bearer {ADMIN_TOKEN}") == (200, False)
        assert await status("") == (401, False)
