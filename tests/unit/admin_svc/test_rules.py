"""What channels, groups, overrides and API keys must be."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin_svc import rules
from admin_svc.records import ApiKey, Channel, ChannelKey, Group, Override, Timeouts
from trunkline.errors import FieldFault, InvalidFields, MassChangeRefused
from trunkline.secret import Secret

CHANNEL = Channel(
    name="a", provider="openai", base_url="https://api.example.com/v1", models=("m",), groups=("default",)
)
API_KEY = ApiKey(name="k")
GROUPS = frozenset({"default", "vip"})


def fields_of(faults: rules.Faults) -> list[str]:
    """The fields at fault, in the order found."""
    try:
        faults.refuse_any()
    except InvalidFields as refused:
        return [fault.field for fault in refused.faults]
    return []


def faults_of(**changes: Any) -> list[str]:
    """The fields at fault of a channel that is sound but for some changes."""
    faults = rules.Faults()
    rules.admit_channel(replace(CHANNEL, **changes), GROUPS, faults)
    return fields_of(faults)


def admitted(**changes: Any) -> Channel:
    """A channel as it will be stored; it must be sound."""
    faults = rules.Faults()
    channel = rules.admit_channel(replace(CHANNEL, **changes), GROUPS, faults)
    faults.refuse_any()
    return channel


def test_a_sound_channel_is_stored_as_given() -> None:
    """Nothing is changed for its own sake."""
    assert admitted() == CHANNEL


def test_spelling_is_settled_and_repeats_go() -> None:
    """Blanks around, slashes behind, case of scheme and host, and what stands twice."""
    channel = admitted(
        name=" a ",
        provider="Open AI_compatible",
        base_url=" HTTPS://API.Example.com:443/V1// ",
        models=("m ", "m", "n"),
        groups=("vip", "default", " vip"),
        tags=("t", "t"),
        model_mapping={"m ": " up "},
    )
    assert (channel.name, channel.provider) == ("a", "open-ai-compatible")
    assert channel.base_url == "https://api.example.com:443/V1"
    assert (channel.models, channel.groups, channel.tags) == (("m", "n"), ("vip", "default"), ("t",))
    assert channel.model_mapping == {"m": "up"}


@pytest.mark.parametrize(
    "url",
    [
        "host",
        "ftp://h",
        "http://",
        "http:///v1",
        "http://u:p@h",
        "http://h?x=1",
        "http://h#f",
        "http://h:99999",
        "http://h o",
        "http://h\\x",
        "http://[::1",
        "http://h/\x00",
        "http://h/ä",
        "http://bücher.example",
        "//h",
        "http://:80",
        "http://-h",
        pytest.param("http://" + "h" * 3000, id="too long"),
    ],
)
def test_what_is_no_base_url_is_a_fault(url: str) -> None:
    """A URL needs a scheme of two and a host, and nothing that requests would trip over."""
    assert faults_of(base_url=url) == ["base_url"]


@pytest.mark.parametrize(
    ("url", "stored"),
    [
        ("http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://localhost/", "http://localhost"),
        ("https://a_b.example.:8443/x/y/", "https://a_b.example.:8443/x/y"),
        ("http://10.0.0.1/%7Euser", "http://10.0.0.1/%7Euser"),
    ],
)
def test_where_a_url_points_to_is_the_operators_business(url: str, stored: str) -> None:
    """Private addresses, odd ports and any host are taken."""
    assert admitted(base_url=url).base_url == stored


def test_wildcards_stand_at_the_end_only() -> None:
    """Of models, and of upstream names whose model has one."""
    assert faults_of(models=("gpt-*", "*", "a*b", "**", "x,y", "."), groups=()) == [
        "models[2]",
        "models[3]",
        "models[4]",
        "models[5]",
    ]
    mapping = {"gpt-*": "up-*", "m": "up-*", "n": "a*b", "absent": "x", "o": ""}
    assert faults_of(models=("gpt-*", "m", "n", "o"), model_mapping=mapping) == [
        'model_mapping["m"]',
        'model_mapping["n"]',
        'model_mapping["absent"]',
        'model_mapping["o"]',
    ]


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "connection",
        "Transfer-Encoding",
        "content-length",
        "TE",
        "a b",
        "",
        "ä",
        "x:",
        "Proxy-Authorization",
        *("X-Api-Key", "api-key", "x-goog-api-key", "Cookie", "Set-Cookie", "xi-api-key", "Ocp-Apim-Subscription-Key"),
        *("X-Auth-Token", "X-Amz-Security-Token", "private-token", "CF-Access-Client-Secret", "x-amz-authorization"),
    ],
)
def test_a_header_that_would_break_the_request_or_the_seal_is_a_fault(name: str) -> None:
    """Framing belongs to the connection, credentials to the keys; a name is a token."""
    assert faults_of(header_overrides={name: "v"}) == [f'header_overrides["{name}"]']


@pytest.mark.parametrize("value", ["Bearer abc", "basic dXNlcg==", "Token t"])
def test_a_credential_is_one_whatever_its_header_is_called(value: str) -> None:
    """Its scheme tells."""
    assert faults_of(header_overrides={"X-A": value}) == ['header_overrides["X-A"]']


@pytest.mark.parametrize(
    "name", ["anthropic-version", "X-Max-Tokens", "HTTP-Referer", "X-Title", "idempotency", "Host"]
)
def test_a_header_that_is_no_credential_may_be_set(name: str) -> None:
    """Words that only look like it."""
    assert faults_of(header_overrides={name: "basic"}) == []


MOVES: dict[str, Any] = {
    "provider": "anthropic",
    "base_url": "https://other.example",
    "header_overrides": {"hOST": "other.example"},
}


@pytest.mark.parametrize("field", MOVES)
def test_keys_go_elsewhere_when_what_names_their_destination_changes(field: str) -> None:
    """And when a new proxy sees them; not for anything else of a channel."""
    moved = replace(CHANNEL, **{field: MOVES[field]})
    assert rules.sends_keys_elsewhere(CHANNEL, moved, new_proxy=False)
    assert rules.sends_keys_elsewhere(CHANNEL, CHANNEL, new_proxy=True)
    stays = replace(CHANNEL, name="other", weight=3, models=("n",), header_overrides={"X-A": "1"}, remark="r")
    assert not rules.sends_keys_elsewhere(CHANNEL, stays, new_proxy=False)


def test_headers_are_told_apart_without_case_and_their_values_never_shown() -> None:
    """A fault names the header, and no more."""
    faults = rules.Faults()
    rules.admit_channel(replace(CHANNEL, header_overrides={"X-A": "s3cret\x00", "x-a": "v"}), GROUPS, faults)
    with pytest.raises(InvalidFields) as caught:
        faults.refuse_any()
    assert [fault.field for fault in caught.value.faults] == ['header_overrides["X-A"]', 'header_overrides["x-a"]']
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "a\x00", [{"k\x00": 1}], "x" * 70_000])
def test_a_parameter_that_the_database_cannot_hold_is_a_fault(value: Any) -> None:
    """Postgres takes neither NUL nor NaN into JSON; and everything has a bound."""
    assert faults_of(parameter_overrides={"p": value}) in (['parameter_overrides["p"]'], ["parameter_overrides"])


def test_parameters_may_not_undo_the_routing() -> None:
    """The model is what the channel was chosen for; deep nesting is for attackers."""
    deep: Any = 1
    for _ in range(40):
        deep = [deep]
    assert faults_of(parameter_overrides={"model": "x", "stream": True, "temperature": 0, "deep": deep}) == [
        'parameter_overrides["model"]',
        'parameter_overrides["stream"]',
        'parameter_overrides["deep"]',
    ]


def test_numbers_and_lists_have_bounds() -> None:
    """Weight zero is legal: it means last among its tier."""
    assert faults_of(weight=0, priority=-5) == []
    assert faults_of(weight=1_000_001, priority=10**7, timeouts=Timeouts(connect_ms=0, total_ms=10**9)) == [
        "priority",
        "weight",
        "timeouts.connect",
        "timeouts.total",
    ]
    assert faults_of(models=tuple(map(str, range(2001))), tags=("t",) * 33, status="ON") == ["status", "models", "tags"]


def test_only_faults_of_the_fields_asked_about_count() -> None:
    """So that a row that a hand broke can still be mended field by field."""
    faults = rules.Faults("channel", only={"name", "timeouts"})
    broken = replace(CHANNEL, name="", base_url="", timeouts=Timeouts(idle_ms=-1))
    rules.admit_channel(broken, GROUPS, faults)
    assert fields_of(faults) == ["channel.name", "channel.timeouts.idle"]


def test_secrets_are_checked_without_being_shown() -> None:
    """Trimmed, without repeats; a header must be able to carry them."""
    faults = rules.Faults()
    written = [Secret(text) for text in (" sk-a\n", "sk-a", "", "s3cret\nx", "schlüssel")]
    assert rules.admit_secrets(written[:2], faults) == (Secret("sk-a"),)
    rules.admit_secrets(written, faults)
    assert fields_of(faults) == ["keys[2]", "keys[3]", "keys[4]"]
    with pytest.raises(InvalidFields) as caught:
        faults.refuse_any()
    assert "s3cret" not in str(caught.value)


def test_an_api_keys_networks_are_written_as_the_database_writes_them() -> None:
    """A lone address is a network of one; bits beyond the mask are a mistake worth telling."""
    faults = rules.Faults()
    key = rules.admit_api_key(replace(API_KEY, address_allow_list=("10.0.0.1", "2001:DB8::/32")), GROUPS, faults)
    assert key.address_allow_list == ("10.0.0.1/32", "2001:db8::/32")
    rules.admit_api_key(
        replace(API_KEY, address_allow_list=("10.0.0.1/8", "x", "fe80::1%eth0", "1.2.3.4/33")), GROUPS, faults
    )
    assert fields_of(faults) == [f"address_allow_list[{position}]" for position in range(4)]


def test_an_api_keys_groups_must_exist_and_differ() -> None:
    """Its own group is tried first anyway."""
    faults = rules.Faults()
    rules.admit_api_key(replace(API_KEY, group="gone", fallback_groups=("vip", "gone", "none")), GROUPS, faults)
    assert fields_of(faults) == ["group", "fallback_groups[1]", "fallback_groups[1]", "fallback_groups[2]"]


@pytest.mark.parametrize("name", ["", " ", "a/b", "a,b", "a*", "..", "x" * 65, "a\nb"])
def test_a_group_must_have_a_name_that_lists_and_urls_can_hold(name: str) -> None:
    """It is a key of its own."""
    faults = rules.Faults()
    rules.admit_group(Group(name=name), faults)
    assert fields_of(faults) == ["name"]


def test_an_override_must_say_something() -> None:
    """One that says nothing is deleted, not set."""
    faults = rules.Faults()
    rules.admit_override(Override(group="g", model="m", channel_id=1), faults)
    rules.admit_override(Override(group="g", model="m", channel_id=1, weight=-1), faults)
    rules.admit_override(Override(group="g", model="m", channel_id=1, enabled=False), faults)
    assert fields_of(faults) == ["enabled", "weight"]


@given(st.sets(st.integers(0, 40)), st.sets(st.integers(0, 40)), st.booleans())
def test_a_mass_change_is_one_that_drops_over_half_of_ten_or_more(
    before: set[int], after: set[int], allowed: bool
) -> None:
    """Nothing else is, and it passes when allowed."""
    dropped = len(before - after)
    refused = len(before) >= 10 and dropped / len(before) > 0.5 and not allowed
    with pytest.raises(MassChangeRefused) if refused else contextlib.nullcontext() as caught:
        rules.admit_mass_change(before, after, allowed=allowed)
    if caught is not None:
        assert caught.value.metadata == {"dropped": str(dropped), "total": str(len(before))}


def test_models_that_leave_take_their_mapping_along() -> None:
    """Unless the mapping is given too, which then must agree by itself."""
    current = replace(CHANNEL, models=("m", "n"), model_mapping={"m": "x", "n": "y"})
    assert rules.changed_channel(current, {"models": ("n ",)}).model_mapping == {"n": "y"}
    assert rules.changed_channel(current, {"models": (), "model_mapping": {"m": "z"}}).model_mapping == {"m": "z"}
    assert rules.changed_channel(current, {"timeouts": {"idle_ms": 5}}).timeouts == Timeouts(idle_ms=5)
    key = ChannelKey(id=1, status="AUTO_DISABLED", status_reason="quota")
    assert rules.changed_channel_key(key, {"status": "ENABLED"}).status_reason == ""
    assert rules.changed_channel_key(key, {"remark": "r"}).status_reason == "quota"


texts = st.text(max_size=80)
drafts = st.builds(
    Channel,
    name=texts,
    provider=texts | st.sampled_from(["azure-openai", "coze", "openai"]),
    base_url=st.one_of(texts, st.from_regex(r"https?://[a-z.:/0-9\[\]]{0,20}", fullmatch=True)),
    status=st.sampled_from(["ENABLED", "DISABLED", "AUTO_DISABLED", "x"]),
    models=st.lists(texts, max_size=5).map(tuple),
    model_mapping=st.dictionaries(texts, texts, max_size=3),
    groups=st.lists(st.sampled_from(["default", "vip", "x", ""]), max_size=4).map(tuple),
    priority=st.integers(-(1 << 31), (1 << 31) - 1),
    weight=st.integers(-(1 << 31), (1 << 31) - 1),
    tags=st.lists(texts, max_size=3).map(tuple),
    header_overrides=st.dictionaries(texts, texts, max_size=3),
    parameter_overrides=st.dictionaries(texts, st.recursive(st.none() | st.floats() | texts, st.lists), max_size=3)
    | st.lists(
        st.dictionaries(st.sampled_from(["op", "path", "value", "to", "when"]), st.sampled_from(["set", "a"]) | texts)
    ).map(tuple),
    provider_options=st.dictionaries(texts | st.just("bot_id"), texts | st.just("1"), max_size=3),
    removed_headers=st.lists(texts, max_size=3).map(tuple),
    system_prompt=texts,
    system_prompt_mode=st.sampled_from(["DEFAULT", "PREPEND", "x"]),
    status_mapping=st.dictionaries(st.integers(390, 610), st.integers(390, 610), max_size=3),
    timeouts=st.builds(Timeouts, connect_ms=st.none() | st.integers()),
    remark=texts,
)


@given(drafts)
def test_what_is_admitted_is_admitted_again_unchanged(draft: Channel) -> None:
    """Whatever a stranger sends, the rules answer faults or a channel, and a channel that passed passes as it is stored."""
    faults = rules.Faults()
    channel = rules.admit_channel(draft, GROUPS, faults)
    if not fields_of(faults):
        assert rules.admit_channel(channel, GROUPS, faults) == channel
        assert fields_of(faults) == []
        assert "\x00" not in json.dumps([channel.name, channel.base_url, channel.parameter_overrides])
        assert set(channel.model_mapping) <= set(channel.models)
        assert not channel.base_url.endswith("/")


@given(drafts)
def test_a_fault_is_named_by_a_field_and_shows_no_control_character(draft: Channel) -> None:
    """Faults go to logs, terminals and JSON."""
    faults = rules.Faults("channel")
    rules.admit_channel(draft, GROUPS, faults)
    try:
        faults.refuse_any()
    except InvalidFields as refused:
        fault: FieldFault
        for fault in refused.faults:
            assert fault.field.startswith("channel.")
            assert "\n" not in fault.field + fault.description
            assert "\x00" not in fault.field + fault.description
            assert len(fault.field) < 200
