"""JSON to messages and back."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin_svc import http_json
from admin_svc.http_request import message_of
from admin_svc.http_routes import ROUTES
from admin_svc.rules import Faults
from admin_svc.service import METHODS
from trunkline.errors import InvalidFields
from trunkline.v1 import admin_pb2, catalog_pb2

ROUTE_OF = {route.method: route for route in ROUTES}


def read(message: Any, values: dict[str, Any]) -> list[str]:
    """Fill a message; the fields at fault."""
    faults = Faults()
    http_json.read_into(message, values, faults)
    try:
        faults.refuse_any()
    except InvalidFields as refused:
        return [fault.field for fault in refused.faults]
    return []


def test_every_method_has_a_path_of_its_own() -> None:
    """HTTP is a whole face of the service."""
    assert set(ROUTE_OF) == set(METHODS)
    assert len({(route.verb, route.path) for route in ROUTES}) == len(ROUTES)


def test_a_channel_is_written_as_scripts_read_it() -> None:
    """Every field is there; ids are numbers, enums short, spans and times text, what is absent null."""
    channel = catalog_pb2.Channel(id=1 << 40, status=catalog_pb2.CHANNEL_STATUS_AUTO_DISABLED, weight=0)
    channel.timeouts.connect.FromMilliseconds(1500)
    channel.create_time.FromJsonString("2026-01-02T03:04:05Z")
    channel.parameter_overrides.update({"n": 5, "x": 0.5, "deep": [{"a": None}]})
    shown = http_json.show(channel)
    fields = [field.name for field in catalog_pb2.Channel.DESCRIPTOR.fields]
    assert list(shown) == [name for name in fields if name != "parameter_operations"]
    assert (shown["id"], shown["status"], shown["weight"]) == (1 << 40, "AUTO_DISABLED", 0)
    assert shown["timeouts"] == {"connect": "1.5s", "first_byte": None, "idle": None, "total": None}
    assert (shown["create_time"], shown["update_time"]) == ("2026-01-02T03:04:05Z", None)
    assert shown["parameter_overrides"] == {"n": 5, "x": 0.5, "deep": [{"a": None}]}
    assert http_json.show(catalog_pb2.Channel())["status"] == "UNSPECIFIED"


def test_a_secret_that_is_not_there_has_no_key() -> None:
    """So that nobody takes an empty text for one."""
    assert "secret" not in http_json.show(catalog_pb2.ApiKey(id=1))
    assert http_json.show(catalog_pb2.ApiKey(secret="sk-x"))["secret"] == "sk-x"


@pytest.mark.parametrize(
    ("text", "milliseconds"), [("2s", 2000), ("0.25s", 250), ("500ms", 500), ("1.5m", 90_000), ("1h", 3_600_000)]
)
def test_spans_have_units(text: str, milliseconds: int) -> None:
    """As in settings."""
    request = admin_pb2.SyncChannelsRequest()
    assert read(request, {"timeout": text}) == []
    assert request.timeout.ToMilliseconds() == milliseconds


@pytest.mark.parametrize("value", ["7", "", "s", "-1s", "1e3s", "2 s", 2, None, [], "1d", "9999999999s"])
def test_what_is_no_span_is_a_fault(value: Any) -> None:
    """Null is only absence."""
    assert read(admin_pb2.SyncChannelsRequest(), {"timeout": value}) == ([] if value is None else ["timeout"])


@pytest.mark.parametrize(
    "value", ["2026-01-01", "2026-01-01T00:00:00", "soon", 5, "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00"]
)
def test_a_time_needs_its_zone_and_a_year_that_exists(value: Any) -> None:
    """A time without a zone is anybody's guess."""
    assert read(catalog_pb2.ApiKey(), {"expire_time": value}) == ["expire_time"]


def test_enums_are_read_with_any_case_and_never_the_unspecified_one() -> None:
    """Leaving it out is how nothing is said."""
    channel = catalog_pb2.Channel()
    assert read(channel, {"status": "disabled"}) == []
    assert channel.status == catalog_pb2.CHANNEL_STATUS_DISABLED
    assert read(channel, {"status": "UNSPECIFIED"}) == ["status"]
    assert read(channel, {"status": 1}) == ["status"]


def test_a_patch_masks_the_keys_present() -> None:
    """Output-only keys are passed over, limits are masked one by one, null masks too."""
    body = {"id": 7, "etag": "e", "revision": 3, "remark": None, "weight": 0, "timeouts": {"idle": "2s", "total": None}}
    request = message_of(ROUTE_OF["UpdateChannel"], {"channel_id": "7"}, [], {}, body)
    assert list(request.update_mask.paths) == ["remark", "timeouts.idle", "timeouts.total", "weight"]
    assert (request.channel.id, request.channel.etag, request.channel.HasField("weight")) == (7, "e", True)
    with pytest.raises(InvalidFields, match="must name a field"):
        message_of(ROUTE_OF["UpdateChannel"], {"channel_id": "7"}, [], {}, {"etag": "e"})


def test_waiting_and_idempotency_come_from_query_and_headers() -> None:
    """The body's request id wins over the header's; a trace id that is no UUID is only that."""
    id_one, id_two = "6f1d6a52-2f0f-4bd5-9d8b-6a0a4f7f8c11", "0b9d9a5c-54d1-4a2b-8a0b-7a4b3d0c1e22"
    route = ROUTE_OF["CreateGroup"]
    query = [("wait", "quorum"), ("wait_timeout", "250ms")]
    request = message_of(route, {}, query, {"x-request-id": id_one}, {"name": "g"})
    assert (request.wait.mode, request.wait.timeout.ToMilliseconds(), request.request_id) == (2, 250, id_one)
    body = {"name": "g", "request_id": id_two}
    assert message_of(route, {}, [], {"idempotency-key": id_one}, body).request_id == id_two
    assert message_of(route, {}, [], {"idempotency-key": "mine"}, {}).request_id == "mine"
    assert message_of(route, {}, [], {"x-request-id": "trace"}, {}).request_id == ""
    with pytest.raises(InvalidFields) as caught:
        message_of(route, {}, [("wait", "x"), ("wait_timeout", "x"), ("y", "")], {"if-match": "e"}, {"z": 1})
    assert [fault.field for fault in caught.value.faults] == ["z", "wait", "wait_timeout", "y", "If-Match"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=8,
)
FIELDS = [field.name for message in (catalog_pb2.Channel, catalog_pb2.ApiKey) for field in message.DESCRIPTOR.fields]


@given(
    st.sampled_from(ROUTES),
    st.dictionaries(st.sampled_from([*FIELDS, "keys", "request_id", "wait"]), json_values, max_size=5),
    st.lists(st.tuples(st.sampled_from(["wait", "page_size", "status", "x"]), st.text(max_size=5)), max_size=2),
)
def test_any_object_makes_a_message_or_faults(route: Any, body: dict[str, Any], query: list[tuple[str, str]]) -> None:
    """Never a fault of ours, and what was made can be written back."""
    parts = dict.fromkeys((part for part, _ in route.parts), "7")
    try:
        request = message_of(route, parts, query, {}, body)
    except InvalidFields as refused:
        assert refused.faults  # noqa: PT017 - either is right
    else:
        request.SerializeToString()
        http_json.show(request)


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: ("{" + text).encode("utf-8", "surrogatepass")))
def test_any_bytes_are_an_object_or_malformed(body: bytes) -> None:
    """Nothing else comes out of a body."""
    with contextlib.suppress(http_json.MalformedJsonError):
        assert isinstance(http_json.parse(body), dict)
