"""What a channel may say of how its requests are shaped."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin_svc import rules
from admin_svc.records import Channel
from trunkline.errors import InvalidFields
from trunkline.secret import Secret

CHANNEL = Channel(name="a", provider="openai", base_url="https://api.example.com/v1", models=("m",))


def judged(**changes: Any) -> tuple[Channel, list[str]]:
    """A channel with some changes as it would be stored, and its fields at fault."""
    faults = rules.Faults()
    channel = rules.admit_channel(replace(CHANNEL, **changes), (), faults)
    return channel, fields_of(faults)


def fields_of(faults: rules.Faults) -> list[str]:
    """The fields at fault, in the order found."""
    try:
        faults.refuse_any()
    except InvalidFields as refused:
        return [fault.field for fault in refused.faults]
    return []


def proxy_of(url: str) -> tuple[rules.Proxy | None, list[str], str]:
    """A proxy as it would be used, the fields at fault, and what the faults say."""
    faults = rules.Faults()
    proxy = rules.admit_proxy(Secret(url), faults)
    try:
        faults.refuse_any()
    except InvalidFields as refused:
        return proxy, [fault.field for fault in refused.faults], str(refused)
    return proxy, [], ""


def test_every_fault_is_found_at_once() -> None:
    """Under the path of each."""
    _, faults = judged(
        provider="azure-openai",
        provider_options={"api_version": "soon", "other": "x", "bad": "a\x00"},
        removed_headers=("X-Good", "bad name", "Connection", ""),
        parameter_overrides=({"op": "set", "path": "model", "value": 1}, {"op": "delete", "path": "a\x00"}, 3),
        system_prompt="x" * 40_000,
        system_prompt_mode="APPEND",
        status_mapping={429: 503, 200: 500, 500: 700},
    )
    assert sorted(faults) == sorted(
        [
            'provider_options["bad"]',
            'provider_options["api_version"]',
            'provider_options["other"]',
            "removed_headers[1]",
            "removed_headers[2]",
            "removed_headers[3]",
            "parameter_overrides[0].path",
            "parameter_overrides[1]",
            "parameter_overrides[2]",
            "system_prompt",
            "system_prompt_mode",
            "status_mapping[200]",
            "status_mapping[500]",
        ]
    )


def test_spelling_is_settled() -> None:
    """Names of headers in lower case and once, no blanks around options."""
    channel, faults = judged(
        removed_headers=(" X-Stainless-Arch", "x-stainless-arch", "User-Agent"),
        provider_options={" organization ": " org-1 "},
        system_prompt=" as written\n",
    )
    assert faults == []
    assert channel.removed_headers == ("x-stainless-arch", "user-agent")
    assert channel.provider_options == {"organization": "org-1"}
    assert channel.system_prompt == " as written\n"


@pytest.mark.parametrize(
    ("provider", "url", "stored"),
    [
        ("openai", "", "https://api.openai.com/v1"),
        ("Anthropic", " ", "https://api.anthropic.com/v1"),
        ("gemini", "http://mine/v1beta/", "http://mine/v1beta"),
    ],
)
def test_a_provider_with_one_address_for_all_needs_none(provider: str, url: str, stored: str) -> None:
    """What is stored says it in full, for routers and for people."""
    channel, faults = judged(provider=provider, base_url=url)
    assert (channel.base_url, faults) == (stored, [])


@pytest.mark.parametrize("provider", ["azure-openai", "openai-compatible", "somebodys-own"])
def test_other_providers_need_an_address(provider: str) -> None:
    """Nobody can guess it."""
    assert "base_url" in judged(provider=provider, base_url="", provider_options={"api_version": "latest"})[1]


def test_options_of_a_provider_that_is_not_known_are_its_own_business() -> None:
    """Within bounds."""
    assert judged(provider="somebodys-own", provider_options={"any thing": "at all"})[1] == []
    assert judged(provider="somebodys-own", provider_options={str(n): "" for n in range(33)})[1] == ["provider_options"]
    assert judged(provider="somebodys-own", provider_options={"a": "x" * 2000})[1] == ['provider_options["a"]']


def test_overrides_are_bounded_as_a_whole() -> None:
    """A list too long is not looked into; one too large is told as a whole."""
    assert judged(parameter_overrides=({"op": "no"},) * 65)[1] == ["parameter_overrides"]
    large = {"op": "set", "path": "a", "value": "x" * 40_000}
    assert judged(parameter_overrides=(large,))[1] == []
    assert judged(parameter_overrides=(large, large))[1] == ["parameter_overrides"]
    assert judged(parameter_overrides=({"op": "set", "path": "a", "value": [float("nan")]},))[1] == [
        "parameter_overrides[0]"
    ]


def test_there_are_only_so_many_error_statuses() -> None:
    """From 400 to 599, both ways."""
    assert judged(status_mapping={400: 599, 599: 400})[1] == []
    assert judged(status_mapping={399: 400})[1] == judged(status_mapping={399: 600})[1] == ["status_mapping[399]"]
    assert judged(status_mapping=dict.fromkeys(range(201), 500))[1] == ["status_mapping"]


@pytest.mark.parametrize(
    ("url", "shown", "used"),
    [
        ("http://proxy:8080", "http://proxy:8080", "http://proxy:8080"),
        (" HTTPS://Proxy/ ", "https://proxy", "https://proxy"),
        ("socks5://u:p%40ss@10.0.0.1:1080", "socks5://10.0.0.1:1080", "socks5://u:p%40ss@10.0.0.1:1080"),
        ("socks5h://u:a@b@[::1]:1080/", "socks5h://[::1]:1080", "socks5h://u:a@b@[::1]:1080"),
        ("http://only-user@proxy", "http://proxy", "http://only-user@proxy"),
    ],
)
def test_a_proxy_is_shown_without_its_credentials_and_used_with_them(url: str, shown: str, used: str) -> None:
    """In one spelling; and no repr shows the rest."""
    proxy, faults, _ = proxy_of(url)
    assert proxy is not None
    assert (proxy.shown, proxy.secret.reveal(), faults) == (shown, used, [])
    assert repr(proxy) == f"Proxy(shown={shown!r})"


@pytest.mark.parametrize(
    "url",
    [
        "proxy:8080",
        "ftp://u:s3cret@proxy",
        "http://",
        "http://u:s3cret@",
        "http://u:s3cret@proxy/path",
        "http://u:s3cret@proxy?x=1",
        "http://u:s3cret@proxy#f",
        "http://u:s3cret@proxy:99999",
        "http://u:s3cret@proxy:0",
        "http://u:s3cret@pr oxy",
        "http://u:s3cret\n@proxy",
        "http://u:s3cret@bücher.example",
        "http://u:s3cret@[::1",
        "http://u:s3cret@proxy\\x",
        pytest.param("http://u:s3cret@" + "h" * 3000, id="too long"),
    ],
)
def test_what_is_no_proxy_is_a_fault_that_shows_nothing_of_it(url: str) -> None:
    """The password may be anywhere in it."""
    proxy, faults, told = proxy_of(url)
    assert (proxy, faults) == (None, ["proxy_url"])
    assert "s3cret" not in told


def test_an_empty_proxy_is_none() -> None:
    """And no fault."""
    assert proxy_of(" ") == (None, [], "")


@given(st.text(), st.sampled_from(["http", "https", "socks5", "socks5h", "file"]))
def test_no_text_whatever_gets_through_as_a_proxy_that_would_not_do(text: str, scheme: str) -> None:
    """What is shown holds no `@`, and what is used is ASCII on one line."""
    proxy, faults, _ = proxy_of(f"{scheme}://{text}")
    assert (proxy is None) is bool(faults)
    if proxy is not None:
        assert "@" not in proxy.shown
        assert proxy.secret.reveal().isascii()
        assert proxy.secret.reveal().isprintable()


def test_a_new_provider_judges_the_options_that_stay() -> None:
    """Though the caller named the provider only: the channel would not work."""
    assert rules.judged_with({"weight": 1}) == {"weight"}
    assert rules.judged_with({"provider": "azure-openai"}) == {"provider", "provider_options"}
