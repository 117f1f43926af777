"""Text that Postgres cannot store, in every string field of every method, and at every way in."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf import message_factory

from admin_svc.service import METHODS
from tests.harness.string_fields import string_fields
from tests.integration.admin_svc.conftest import Admin
from trunkline.errors import Reason
from trunkline.rpc import read_error

CHANNEL = {"name": "c", "provider": "openai", "base_url": "http://127.0.0.1:9/v1", "models": ["m"]}
HOSTILE = ("\0", "a\0b", "a\0", "\ufffe\0", "日本\0")
ODD = (
    "\ufffe",
    "\U0010ffff",
    "\x01",
    "\x7f",
    "\u202e",
    "e\u0301",
    "%s",
    "'; --",
    "\\u0000",
    "\\x00",
    "{}",
    "x" * 9_000,
)
"""Text that can be stored, or is refused by a rule of its field; never a fault."""
FIELDS = [(method, path, put) for method in METHODS for path, put in string_fields(METHODS[method].input_type)]
VALID: dict[str, dict[str, Any]] = {
    "CreateChannel": {"channel": CHANNEL},
    "UpdateChannel": {"channel": {"id": 1}},
    "UpdateChannelKey": {"channel_id": 1, "key": {"id": 1}},
    "AddChannelKeys": {"channel_id": 1, "keys": ["sk-more"]},
    "SetAbilityOverride": {"group": "default", "model": "m", "channel_id": 1, "enabled": True},
    "DeleteAbilityOverride": {"group": "default", "model": "m", "channel_id": 1},
    "CreateGroup": {"group": {"name": "g"}},
    "CreateApiKey": {"api_key": {"name": "k"}},
    "UpdateApiKey": {"api_key": {"id": 1}},
}
"""What a request says beside the text, so that it would be carried out."""


def request_of(method: str, put: Any, path: str, text: str) -> Any:
    """A request that would be carried out but for one text."""
    request: Any = message_factory.GetMessageClass(METHODS[method].input_type)(**VALID.get(method, {}))
    put(request, text)
    if "update_mask" in request.DESCRIPTOR.fields_by_name and not path.startswith("update_mask"):
        _, _, inner = path.partition(".")
        name = inner.partition(".")[0].partition("<")[0]
        request.update_mask.paths.append(name or "remark")
    return request


@pytest.fixture
async def stocked(admin: Admin) -> Admin:
    """An admin with something of each kind."""
    await admin.create("a", keys=["sk-one"])
    assert (await admin.http.post("/api/v1/api-keys", json={"name": "k"})).status_code == 200
    return admin


async def revisions_of(admin: Admin) -> int:
    """How many changes there were."""
    return len((await admin.http.get("/api/v1/revisions")).json()["revisions"])


async def test_a_nul_in_any_string_field_is_invalid_fields_by_name(stocked: Admin) -> None:
    """Whatever the method: INVALID_FIELDS names the field, nothing is changed, nothing is INTERNAL."""
    before = await revisions_of(stocked)
    wrong = []
    for position, (method, path, put) in enumerate(FIELDS):
        request = request_of(method, put, path, HOSTILE[position % len(HOSTILE)])
        try:
            await getattr(stocked.grpc, method)(request)
        except grpc.aio.AioRpcError as error:
            read = read_error(error)
            parts = [part.partition("<")[0] for part in path.split(".")]
            named = {fault.field.partition("[")[0] for fault in read.faults}
            if read.reason is not Reason.INVALID_FIELDS or not any(part in name for name in named for part in parts):
                wrong.append((method, path, read.reason, read.message))
        else:
            wrong.append((method, path, None, "carried out"))
    assert wrong == []
    assert len(FIELDS) > 60, "the descriptors are walked"
    assert await revisions_of(stocked) == before


async def test_no_other_text_is_an_internal_fault(stocked: Admin) -> None:
    """It is stored, finds nothing, or is refused by a reason that is the caller's."""
    wrong = []
    for position, (method, path, put) in enumerate(FIELDS):
        for text in (ODD[position % len(ODD)], ODD[(position * 7 + 3) % len(ODD)]):
            try:
                await getattr(stocked.grpc, method)(request_of(method, put, path, text))
            except grpc.aio.AioRpcError as error:
                if error.code() in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAVAILABLE):
                    wrong.append((method, path, text, error.details()))
    assert wrong == []


@pytest.mark.parametrize(
    ("verb", "path", "body", "field"),
    [
        ("GET", "/api/v1/abilities?group=%00", None, "group"),
        ("GET", "/api/v1/abilities?model=a%00", None, "model"),
        ("GET", "/api/v1/channels?tag=%00", None, "tag"),
        ("GET", "/api/v1/channels?page_token=%00", None, "page_token"),
        ("GET", "/api/v1/api-keys?group=%00", None, "group"),
        ("DELETE", "/api/v1/groups/%00", None, "name"),
        ("DELETE", "/api/v1/channels/1?etag=%00", None, "etag"),
        ("DELETE", "/api/v1/channels/1?request_id=%00", None, "request_id"),
        ("POST", "/api/v1/channels", b'{"name": "a\\u0000"}', "name"),
        ("PATCH", "/api/v1/channels/1", b'{"parameter_overrides": {"a": {"b": ["\\u0000"]}}}', "parameter_overrides"),
        ("PATCH", "/api/v1/channels/1", b'{"parameter_overrides": {"a\\u0000": 1}}', "parameter_overrides"),
        ("PATCH", "/api/v1/channels/1", b'{"remark": "\\ud800"}', "remark"),
        ("PATCH", "/api/v1/channels/1", b'{"header_overrides": {"X-A": "\\u0000"}}', "header_overrides"),
        ("PATCH", "/api/v1/api-keys/1", b'{"model_allow_list": ["\\u0000"]}', "model_allow_list"),
    ],
)
async def test_over_http_it_is_400_and_names_the_field(
    stocked: Admin, verb: str, path: str, body: bytes | None, field: str
) -> None:
    """In a path, a query and a body."""
    response = await stocked.http.request(verb, path, content=body)
    assert (response.status_code, response.json()["error_code"]) == (400, "INVALID_FIELDS"), response.text
    assert any(fault["field"].startswith(field) for fault in response.json()["faults"]), response.text


async def test_headers_that_hold_what_cannot_be_stored_change_nothing(stocked: Admin) -> None:
    """An actor, a trace id and an etag that no row holds: a name without it, or the caller's own fault."""
    for header, status in (
        ("x-trunkline-actor", 200),
        ("x-request-id", 200),
        ("if-match", 412),
        ("idempotency-key", 400),
    ):
        response = await stocked.http.request(
            "PATCH",
            "/api/v1/channels/1",
            content=b'{"remark": "r"}',
            headers=[(header.encode(), b"\xed\xa0\x80\xff\x80x")],
        )
        assert response.status_code == status, (header, response.text)
