"""Which headers cross the relay."""

from relay_svc.headers import to_client, with_own

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
    """Under whatever name: here one that would cross otherwise."""
    sent = with_own([(b"X-Token", b"theirs"), (b"x-tag", b"1")], "r", [(b"x-token", b"ours")], {})
    assert [pair for pair in sent if pair[0] in (b"x-token", b"x-tag")] == [(b"x-tag", b"1"), (b"x-token", b"ours")]


def test_names_past_those_remembered_cross_or_end_as_any_other() -> None:
    """Clients can make up no end of names, long ones too."""
    made_up = [(b"x-made-up-%d" % number, b"1") for number in range(3000)]
    long = b"X-Long-" + b"a" * 100
    sent = with_own([*made_up, (long, b"1"), (b"X-Trunkline-" + long, b"1"), (b"Cookie", b"1")], "r", [], {})
    assert sent[:-2] == [*made_up, (long.lower(), b"1")]
