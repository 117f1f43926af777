"""Which headers cross the relay."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_svc.headers import names_up, to_client, with_own

CLIENT = [
    (b"host", b"relay"),
    (b"authorization", b"Bearer sk-client"),
    (b"x-api-key", b"sk-client"),
    (b"cookie", b"a=b"),
    (b"x-forwarded-for", b"10.0.0.1"),
    (b"x-real-ip", b"10.0.0.1"),
    (b"cf-connecting-ip", b"10.0.0.1"),
    (b"connection", b"keep-alive, X-Hop"),
    (b"x-hop", b"1"),
    (b"te", b"trailers"),
    (b"transfer-encoding", b"chunked"),
    (b"content-length", b"5"),
    (b"accept-encoding", b"gzip"),
    (b"expect", b"100-continue"),
    (b"x-request-id", b"theirs"),
    (b"x-trunkline-secret", b"1"),
    (b"content-type", b"application/json"),
    (b"user-agent", b"sdk/1"),
    (b"openai-beta", b"x=v1"),
]


def test_nothing_private_or_hop_by_hop_goes_up() -> None:
    """The upstream gets the channel's key, our request id, and what a client says of its request."""
    sent = with_own(CLIENT, "r-1", [(b"authorization", b"Bearer sk-channel")], {})
    assert sorted(sent) == [
        (b"accept-encoding", b"identity"),
        (b"authorization", b"Bearer sk-channel"),
        (b"content-type", b"application/json"),
        (b"openai-beta", b"x=v1"),
        (b"user-agent", b"sdk/1"),
        (b"x-request-id", b"r-1"),
    ]


def test_a_channel_without_a_key_sends_none() -> None:
    """Not the client's either."""
    assert not any(name == b"authorization" for name, _ in with_own(CLIENT, "r-1", [], {}))


def test_overrides_win_over_the_client_and_over_us_but_not_over_framing() -> None:
    """Whatever their case."""
    overrides = {"User-Agent": "ours", "Authorization": "Key x", "Content-Length": "9", "X-New": "1"}
    sent = with_own(CLIENT, "r", [(b"authorization", b"Bearer k")], overrides)
    assert [value for name, value in sent if name == b"user-agent"] == [b"ours"]
    assert [value for name, value in sent if name == b"authorization"] == [b"Key x"]
    assert [value for name, value in sent if name == b"x-new"] == [b"1"]
    assert not any(name == b"content-length" for name, _ in sent)


def test_nothing_of_the_account_or_the_connection_comes_down() -> None:
    """The client gets what belongs to the answer."""
    answer = [
        (b"Content-Type", b"application/json"),
        (b"Content-Length", b"2"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Connection", b"close, x-inner"),
        (b"X-Inner", b"1"),
        (b"Set-Cookie", b"__cf=1"),
        (b"Server", b"up"),
        (b"Date", b"now"),
        (b"openai-organization", b"org-1"),
        (b"x-request-id", b"theirs"),
        (b"cf-ray", b"1"),
        (b"location", b"http://elsewhere"),
        (b"x-trunkline-channel-id", b"9"),
        (b"retry-after", b"3"),
        (b"openai-processing-ms", b"12"),
    ]
    assert to_client(answer) == [
        (b"content-type", b"application/json"),
        (b"content-length", b"2"),
        (b"retry-after", b"3"),
        (b"openai-processing-ms", b"12"),
    ]


def test_credentials_of_a_providers_own_take_the_place_of_the_clients() -> None:
    """Under whatever name: here one that a channel lets through."""
    client = [(b"X-Token", b"theirs"), (b"x-tag", b"1"), (b"user-agent", b"sdk")]
    sent = with_own(client, "r", [(b"x-token", b"ours")], {}, names_up("X-Token , x-tag"))
    assert sent[:2] == [(b"x-tag", b"1"), (b"user-agent", b"sdk")]
    assert [value for name, value in sent if name == b"x-token"] == [b"ours"]


def test_names_past_those_remembered_cross_or_end_as_any_other() -> None:
    """Clients can make up no end of names, long ones too."""
    made_up = [(b"anthropic-made-up-%d" % number, b"1") for number in range(3000)]
    long = b"OpenAI-Long-" + b"a" * 100
    sent = with_own([*made_up, (long, b"1"), (b"X-" + long, b"1"), (b"Cookie", b"1")], "r", [], {})
    assert sent[:-2] == [*made_up, (long.lower(), b"1")]


GATEWAYS = """
    x-forwarded-for x-forwarded-user x-forwarded-email forwarded via x-real-ip true-client-ip x-client-ip
    x-envoy-external-address cf-connecting-ip cf-access-jwt-assertion cf-access-authenticated-user-email
    cf-aig-authorization fly-client-ip x-amzn-oidc-data x-amzn-oidc-identity x-amz-security-token
    x-goog-iap-jwt-assertion x-goog-authenticated-user-email x-goog-user-project x-ms-client-principal
    x-auth-request-email x-auth-request-access-token x-user-id remote-user x-portkey-api-key x-portkey-config
    x-portkey-virtual-key helicone-auth helicone-user-id x-litellm-api-key x-bt-parent langfuse-trace-id
    http-referer x-title origin referer sec-fetch-site x-csrf-token x-vercel-ip-city x-original-url
    x-http-method-override x-rewrite-url x-host x-trunkline-strict chatgpt-account-id baggage
"""
CREDENTIALS = (
    "authorization proxy-authorization x-api-key api-key x-goog-api-key cookie openai-organization openai-project"
)
OWN = """
    accept accept-language content-type user-agent idempotency-key traceparent tracestate openai-beta anthropic-version
    anthropic-beta anthropic-dangerous-direct-browser-access x-stainless-lang x-stainless-retry-count x-goog-api-client x-app
    x-client-request-id originator x-codex-beta-features
"""


@pytest.mark.parametrize("name", [*GATEWAYS.split(), *CREDENTIALS.split()])
def test_who_a_client_is_never_goes_up_unless_a_channel_says_so(name: str) -> None:
    """Whoever put it there; credentials do not even then."""
    client = [(name.encode(), b"secret"), (name.title().encode(), b"secret")]
    assert not any(value == b"secret" for _, value in with_own(client, "r", [], {}))
    let_through = with_own(client, "r", [], {}, names_up(name))
    assert any(value == b"secret" for _, value in let_through) is (name in GATEWAYS.split())


@pytest.mark.parametrize("name", OWN.split())
def test_what_a_client_says_of_its_request_goes_up(name: str) -> None:
    """The APIs' own headers, their SDKs', and traces."""
    assert (name.encode(), b"x") in with_own([(name.title().encode(), b"x")], "r", [], {})


@given(st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyz-"), min_size=1))
def test_a_name_that_nobody_knows_does_not_go_up(name: str) -> None:
    """It is an allow-list."""
    known = name in OWN.split() or name == "x-goog-request-params"
    known = known or name.startswith(("openai-", "anthropic-", "x-stainless-"))
    assert known or (name.encode(), b"secret") not in with_own([(name.encode(), b"secret")], "r", [], {})


STEERING = """
    x-accel-redirect x-accel-buffering x-accel-expires x-sendfile x-sendfile-type x-lighttpd-send-file x-reproxy-url
    x-litespeed-cache-control surrogate-control cdn-cache-control set-cookie set-cookie2 clear-site-data refresh location
    content-location link alt-svc strict-transport-security public-key-pins content-security-policy service-worker-allowed
    access-control-allow-origin access-control-allow-credentials cross-origin-opener-policy permissions-policy sourcemap
    www-authenticate proxy-authenticate proxy-status server-timing timing-allow-origin nel report-to reporting-endpoints
    authorization x-api-key api-key x-goog-api-key cookie request-id x-request-id server via x-powered-by
"""


@pytest.mark.parametrize("name", STEERING.split())
def test_nothing_that_steers_a_browser_or_a_proxy_comes_down(name: str) -> None:
    """Nor what belongs to the account; limits of rates do, and what is the provider's own."""
    limits = (b"x-ratelimit-remaining-requests", b"1")
    assert to_client([(name.title().encode(), b"x"), limits]) == [limits]
