"""Rows as the database gives them: read, or put aside one by one, never trusted and never quoted."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_svc.disk_format import row_of
from router_svc.draft import BadRow
from router_svc.rows import API_KEY_COLUMNS, CHANNEL_COLUMNS, Reader
from router_svc.snapshot import NO_SHAPING, ApiKey, Channel, Override, Timeouts

SEALED = base64.b64encode(b"sealed bytes").decode()
CHANNEL: dict[str, Any] = {
    "id": 7, "revision": 3, "content_hash": -5, "name": "a", "provider": "openai", "base_url": "https://host/v1/",
    "status": "ENABLED", "priority": 2, "weight": 5, "header_overrides": b'{"x-a": "1"}',
    "parameter_overrides": b'{"temperature": 0.5}', "connect_timeout_ms": 100, "first_byte_timeout_ms": None,
    "idle_timeout_ms": None, "total_timeout_ms": 9000,
    "keys": json.dumps([
        {"id": 1, "sealed": SEALED, "last_four": "abcd", "status": "ENABLED"},
        {"id": 2, "sealed": SEALED, "last_four": "efgh", "status": "DISABLED"},
    ]).encode(),
    "models": b'[["m", null], ["n", "big-n"], ["x*", "y*"]]', "groups": ["default", "vip"],
    "overrides": b'[["default", "m", false, null, 3]]', "shaping": None,
}  # fmt: skip
API_KEY: dict[str, Any] = {
    "id": 9, "revision": 4, "content_hash": 8, "hash": b"h" * 32, "status": "ENABLED", "group_name": "default",
    "fallback_groups": ["vip", "default"], "model_allow_list": ["m*"], "address_allow_list": ["10.0.0.0/8"],
    "expire_time": 12.5,
}  # fmt: skip


def read_channel(**columns: Any) -> Channel | BadRow:
    """Read the sample channel with some columns changed."""
    row = CHANNEL | columns
    return Reader().channel([row[name] for name in CHANNEL_COLUMNS])


def shaped(**fields: Any) -> dict[str, bytes]:
    """The shaping column as the view writes it, at its defaults but for some fields."""
    defaults: dict[str, Any] = {
        "provider_options": {}, "removed_headers": [], "system_prompt": "", "system_prompt_mode": "DEFAULT",
        "status_mapping": {}, "proxy_sealed": None, "proxy_shown": "", "strict": False, "repeat_after_timeout": False,
    }  # fmt: skip
    return {"shaping": json.dumps(defaults | fields).encode()}


def read_api_key(**columns: Any) -> ApiKey | BadRow:
    """Read the sample API key with some columns changed."""
    row = API_KEY | columns
    return Reader().api_key([row[name] for name in API_KEY_COLUMNS])


def test_a_channel_is_read_with_all_its_children() -> None:
    """Every column finds its place."""
    read = read_channel()
    assert isinstance(read, Channel)
    assert (read.id, read.revision, read.content_hash, read.name) == (7, 3, -5, "a")
    assert read.base_url == "https://host/v1"
    assert read.header_overrides == {"x-a": "1"}
    assert json.loads(read.parameter_overrides) == {"temperature": 0.5}
    assert read.timeouts == Timeouts(100, None, None, 9000)
    assert [key.id for key in read.keys] == [1, 2]
    assert [key.id for key in read.usable] == [1]
    assert read.keys[0].sealed == b"sealed bytes"
    assert read.models == ("m", "n", "x*")
    assert read.upstreams == {"n": "big-n", "x*": "y*"}
    assert read.groups == ("default", "vip")
    assert read.overrides == (Override("default", "m", enabled=False, priority=None, weight=3),)


def test_an_api_key_is_read_with_its_own_group_first() -> None:
    """Fallback groups follow in order, none twice."""
    read = read_api_key()
    assert isinstance(read, ApiKey)
    assert read.groups == ("default", "vip")
    assert read.models == ("m*",)
    assert not read.plain
    free = read_api_key(model_allow_list=[], address_allow_list=[], expire_time=None)
    assert isinstance(free, ApiKey)
    assert free.plain


def test_json_that_was_stored_as_a_string_is_read_too() -> None:
    """Other products store JSON inside a JSON string."""
    read = read_channel(header_overrides=json.dumps('{"x-a": "2"}').encode(), parameter_overrides=b'""')
    assert isinstance(read, Channel)
    assert read.header_overrides == {"x-a": "2"}
    assert read.parameter_overrides == ""


def test_a_shaping_is_read_whole() -> None:
    """Names of headers in lower case, JSON in strings too, and the proxy still sealed."""
    sealed = b"k1:" + bytes(40)
    read = read_channel(
        parameter_overrides=b'[{"op": "delete", "path": "user"}]',
        **shaped(
            provider_options='{"bot_id": "1"}',
            removed_headers=["X-A"],
            system_prompt="be kind",
            system_prompt_mode="PREPEND",
            status_mapping={"429": 503},
            proxy_sealed=base64.b64encode(sealed).decode(),
            proxy_shown="http://proxy",
            strict=True,
        ),
    )
    assert isinstance(read, Channel)
    assert json.loads(read.parameter_overrides) == [{"op": "delete", "path": "user"}]
    shaping = read.shaping
    assert (shaping.provider_options, shaping.removed_headers) == ({"bot_id": "1"}, ("x-a",))
    assert (shaping.system_prompt, shaping.system_prompt_mode) == ("be kind", "PREPEND")
    assert (shaping.status_mapping, shaping.strict, shaping.repeat_after_timeout) == ({429: 503}, True, False)
    assert shaping.proxy is not None
    assert shaping.proxy.sealed == sealed
    again = Reader().channel(row_of(read))
    assert isinstance(again, Channel)
    assert row_of(again) == row_of(read)


def test_what_shapes_nothing_is_one_object_for_all() -> None:
    """However it is written: nothing at all, defaults, or empty JSON in strings."""
    for columns in (
        {"shaping": None},
        {"shaping": b"null"},
        shaped(),
        shaped(provider_options="", status_mapping="null", proxy_shown="gone"),
    ):
        read = read_channel(**columns)
        assert isinstance(read, Channel)
        assert read.shaping is NO_SHAPING
        assert row_of(read)[-1] is None


def test_channels_share_what_is_equal() -> None:
    """A thousand channels with the same models hold one list of them."""
    reader = Reader()
    row = [CHANNEL[name] for name in CHANNEL_COLUMNS]
    one, two = reader.channel(row), reader.channel([8, *row[1:]])
    assert isinstance(one, Channel)
    assert isinstance(two, Channel)
    assert one.models is two.models
    assert one.groups is two.groups


@pytest.mark.parametrize(
    ("columns", "at_fault"),
    [
        ({"header_overrides": b"[1, 2]"}, "header_overrides"),
        ({"header_overrides": b'{"x-secret": 7}'}, "header_overrides"),
        ({"parameter_overrides": b"3"}, "parameter_overrides"),
        ({"parameter_overrides": b'"not json"'}, "parameter_overrides"),
        ({"weight": -1}, "weight"),
        ({"weight": 10**7}, "weight"),
        ({"weight": None}, "weight"),
        ({"priority": "high"}, "priority"),
        ({"status": "PAUSED"}, "status"),
        ({"base_url": "ftp://host"}, "base_url"),
        ({"base_url": "http://host:port"}, "base_url"),
        ({"base_url": "http://[::1"}, "base_url"),
        ({"name": ""}, "name"),
        ({"connect_timeout_ms": 0}, "timeouts"),
        ({"keys": b'[{"id": 1, "sealed": "***", "status": "ENABLED"}]'}, "keys"),
        ({"keys": b'[{"id": 1, "sealed": "AA==", "status": "LOST"}]'}, "keys"),
        ({"models": b"{}"}, "models"),
        ({"models": None}, "models"),
        ({"groups": ["default", None]}, "groups"),
        ({"groups": "default"}, "groups"),
        ({"overrides": b'[["default", "m", null, null, -4]]'}, "overrides"),
        ({"parameter_overrides": b'[{"op": "set", "path": "model", "value": 1}]'}, "parameter_overrides: operation 0"),
        ({"shaping": b"[]"}, "shaping"),
        ({"shaping": b"{}"}, "shaping"),
        (shaped(system_prompt_mode="NEVER"), "system_prompt_mode"),
        (shaped(system_prompt=None), "shaping"),
        (shaped(removed_headers=["x", None]), "shaping"),
        (shaped(removed_headers=[""]), "removed_headers"),
        (shaped(provider_options={"a": 1}), "provider_options"),
        (shaped(provider_options="no json"), "provider_options"),
        (shaped(status_mapping=[429]), "status_mapping"),
        (shaped(status_mapping={"429": "503"}), "status_mapping"),
        (shaped(status_mapping={"many": 503}), "status_mapping"),
        (shaped(status_mapping={"429": 200}), "status_mapping"),
        (shaped(status_mapping={"200": 500}), "status_mapping"),
        (shaped(proxy_sealed="***"), "proxy_sealed"),
        (shaped(proxy_sealed=base64.b64encode(b"http://u:p@proxy").decode()), "proxy_sealed"),
    ],
)
def test_a_channel_that_cannot_be_read_is_a_bad_row_that_names_its_fault(
    columns: dict[str, Any], at_fault: str
) -> None:
    """The fault names the column; id, revision and content hash are kept for the digest."""
    read = read_channel(**columns)
    assert isinstance(read, BadRow)
    assert read[:4] == ("channel", 7, 3, -5)
    assert read.fault.startswith(at_fault)
    assert not read.off


@pytest.mark.parametrize(
    ("columns", "at_fault"),
    [
        ({"hash": b"short"}, "hash"),
        ({"status": "LOST"}, "status"),
        ({"group_name": None}, "group_name"),
        ({"fallback_groups": None}, "fallback_groups"),
        ({"model_allow_list": [""]}, "model_allow_list"),
        ({"address_allow_list": ["10.0.0.0/99"]}, "address_allow_list"),
        ({"address_allow_list": None}, "address_allow_list"),
        ({"expire_time": "soon"}, "expire_time"),
    ],
)
def test_an_api_key_that_cannot_be_read_is_a_bad_row_that_names_its_fault(
    columns: dict[str, Any], at_fault: str
) -> None:
    """An allow-list that cannot be read is a fault, never an empty list that allows everything."""
    read = read_api_key(**columns)
    assert isinstance(read, BadRow)
    assert read[:4] == ("api_key", 9, 4, 8)
    assert read.fault.startswith(at_fault)


def test_a_bad_row_whose_status_can_be_read_says_so() -> None:
    """So that its last good version is not kept alive."""
    read = read_channel(weight=-1, status="DISABLED")
    assert isinstance(read, BadRow)
    assert read.off
    key = read_api_key(hash=b"", status="DISABLED")
    assert isinstance(key, BadRow)
    assert key.off


def test_a_fault_shows_no_value() -> None:
    """Values of overrides, keys and URLs may be secrets."""
    for columns in (
        {"header_overrides": b'{"authorization": ["sk-secret"]}'},
        {"parameter_overrides": b'"sk-secret"'},
        {"keys": b'[{"id": 1, "sealed": "sk-secret", "status": "ENABLED"}]'},
        {"base_url": "sk-secret"},
        {"status": "sk-secret"},
        {"parameter_overrides": b'[{"op": "sk-secret", "path": "sk-secret", "sk-secret": 1}]'},
        shaped(system_prompt_mode="sk-secret"),
        shaped(status_mapping={"sk-secret": "sk-secret"}),
        shaped(provider_options={"sk-secret": {"sk-secret": 1}}),
        shaped(proxy_sealed="http://u:sk-secret@proxy"),
        shaped(removed_headers=["", "sk-secret"]),
    ):
        read = read_channel(**columns)
        assert isinstance(read, BadRow)
        assert "secret" not in repr(read)


anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=8),
    st.lists(st.one_of(st.none(), st.text(max_size=3)), max_size=3),
    st.recursive(st.one_of(st.none(), st.integers(), st.text(max_size=3)), lambda inner: st.lists(inner, max_size=2))
    .map(json.dumps).map(str.encode),
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(CHANNEL_COLUMNS[3:]), anything, max_size=4))
def test_nothing_in_a_channels_row_can_break_the_reader(columns: dict[str, Any]) -> None:
    """Whatever the columns hold, a row is a channel or a bad row."""
    assert isinstance(read_channel(**columns), (Channel, BadRow))


@given(st.dictionaries(st.sampled_from(API_KEY_COLUMNS[3:]), anything, max_size=4))
def test_nothing_in_an_api_keys_row_can_break_the_reader(columns: dict[str, Any]) -> None:
    """Whatever the columns hold, a row is an API key or a bad row."""
    assert isinstance(read_api_key(**columns), (ApiKey, BadRow))
