"""What goes on the wire to an upstream."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_svc.upstream_http1.request import Origin, Target, Unsendable

URLS = {
    "http://example.test/v1": (Origin(False, "example.test", 80), b"/v1", b"example.test"),
    "https://example.test": (Origin(True, "example.test", 443), b"/", b"example.test"),
    "https://example.test:443/a": (Origin(True, "example.test", 443), b"/a", b"example.test"),
    "https://example.test:80/a": (Origin(True, "example.test", 80), b"/a", b"example.test:80"),
    "HTTP://Example.TEST:8080/A?b=c": (Origin(False, "example.test", 8080), b"/A?b=c", b"example.test:8080"),
    "http://[::1]:81/a": (Origin(False, "::1", 81), b"/a", b"[::1]:81"),
    "http://[2001:DB8::1]/": (Origin(False, "2001:db8::1", 80), b"/", b"[2001:db8::1]"),
    "http://127.0.0.1:1/a%2Fb%3A": (Origin(False, "127.0.0.1", 1), b"/a%2Fb%3A", b"127.0.0.1:1"),
    'http://h/a"b': (Origin(False, "h", 80), b"/a%22b", b"h"),
    "http://h/a#fragment": (Origin(False, "h", 80), b"/a", b"h"),
}
NOWHERE = [
    "",
    "example.test",
    "//example.test/",
    "ftp://example.test/",
    "http:///a",
    "http://:80/a",
    "http://[::1/a",
    "http://[nonsense]/a",
    "http://[fe80::1%25eth0]/a",
    "http://h:0/a",
    "http://h:65536/a",
    "http://h:x/a",
    "http://user:password@h/a",
    "http://key@h/a",
    "http://bücher.example/a",
    "http://h/ä",
    "http://h/a b",
    "http://h/a\r\nx: y",
    "http://h\n/a",
    "http://h\t.test/a",
    "http://" + "h" * 254 + "/a",
]
CONTROL = {*range(9), *range(10, 32), 127}
VALUES = st.binary(max_size=30).filter(lambda value: not set(value) & CONTROL)
NAMES = st.text("abcXYZ-_!#0123", min_size=1, max_size=12).map(str.encode)


@pytest.mark.parametrize("url", URLS)
def test_a_url_leads_to_an_origin_a_path_and_a_host(url: str) -> None:
    """Escapes stay as they are; a usual port is not named."""
    origin, path, host = URLS[url]
    target = Target(url)
    assert target.origin == origin
    assert target.head([], 0) == b"POST %b HTTP/1.1\r\nhost: %b\r\ncontent-length: 0\r\n\r\n" % (path, host)


@pytest.mark.parametrize("url", NOWHERE)
def test_a_url_that_leads_nowhere_is_refused_in_words_that_do_not_quote_it(url: str) -> None:
    """Nothing is guessed, nothing stripped; and an address may be as private as a key."""
    with pytest.raises(Unsendable) as caught:
        Target(url)
    for part in ("password", "nonsense", "eth0", "65536", "example.test"):
        assert part not in str(caught.value)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8), st.integers(0, 1 << 30))
def test_a_head_holds_the_headers_given_and_its_own(headers: list[tuple[bytes, bytes]], length: int) -> None:
    """One line each, in order, and the length last."""
    lines = Target("http://h/a").head(headers, length).split(b"\r\n")
    assert lines[:2] == [b"POST /a HTTP/1.1", b"host: h"]
    assert lines[2:] == [*(b"%b: %b" % pair for pair in headers), b"content-length: %d" % length, b"", b""]


def test_a_host_that_is_given_takes_the_place_of_the_targets() -> None:
    """A channel may need another name than its address."""
    for name in (b"host", b"Host"):
        head = Target("http://h/a").head([(b"x-a", b"b"), (name, b"other")], 3)
        assert head == b"POST /a HTTP/1.1\r\nx-a: b\r\n%b: other\r\ncontent-length: 3\r\n\r\n" % name


@given(NAMES, VALUES, st.integers(0, 30), st.sampled_from(sorted(CONTROL)))
def test_a_value_with_a_control_character_is_refused(name: bytes, value: bytes, at: int, code: int) -> None:
    """Wherever it stands: it would begin another header, or end the head."""
    bad = value[:at] + bytes([code]) + value[at:]
    with pytest.raises(Unsendable):
        Target("http://h/a").head([(b"x-a", b"b"), (name, bad), (b"x-c", b"d")], 0)


@pytest.mark.parametrize("name", [b"", b"a b", b"a:", b"a\r\n", b"\xe4", b"a\0", b"a,"])
def test_a_name_that_is_none_is_refused(name: bytes) -> None:
    """Again and again."""
    for _ in range(2):
        with pytest.raises(Unsendable):
            Target("http://h/a").head([(name, b"x")], 0)


@pytest.mark.parametrize("name", [b"content-length", b"Content-Length", b"transfer-encoding"])
def test_framing_is_not_the_callers(name: bytes) -> None:
    """Two lengths in one request are how requests are smuggled."""
    with pytest.raises(Unsendable):
        Target("http://h/a").head([(name, b"5")], 0)


def test_no_end_of_names_fills_no_memory() -> None:
    """Clients choose them."""
    target = Target("http://h/a")
    for number in range(10_000):
        name = b"x-%d" % number
        assert name in target.head([(name, b"y")], 0)
