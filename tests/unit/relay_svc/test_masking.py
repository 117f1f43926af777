"""A channel's key is taken out of what its upstream says."""

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_svc.masking import masked, masked_error_headers, masked_headers
from trunkline.secret import Secret

KEY = 'sk-proj/a+B="9" 0123456789'
WAYS = {
    "plain": KEY,
    "url": quote(KEY, safe=""),
    "url, slashes kept": quote(KEY),
    "json": json.dumps(KEY)[1:-1],
    "json, slashes escaped": KEY.replace("/", "\\/"),
    "basic, as a user": base64.b64encode(f"{KEY}:".encode()).decode(),
    "basic, as a password": base64.b64encode(f"user:{KEY}".encode()).decode(),
    "basic, url-safe": base64.urlsafe_b64encode(f"a:{KEY}".encode()).decode(),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_key_is_masked_however_it_is_written(way: str) -> None:
    """What stands around it stays."""
    said = masked(b"Incorrect API key provided: " + WAYS[way].encode() + b". See the docs.", Secret(KEY))
    assert said.startswith(b"Incorrect API key provided: ")
    assert said.endswith(b". See the docs.")
    assert b"***" in said
    assert all(KEY[start : start + 12] not in said.decode() for start in range(len(KEY) - 12))


@given(st.text(st.characters(codec="ascii"), min_size=8, max_size=80), st.binary(max_size=30), st.binary(max_size=30))
def test_base64_of_anything_around_the_key_does_not_show_it(key: str, before: bytes, after: bytes) -> None:
    """Wherever the key falls in the groups of three bytes."""
    written = base64.b64encode(before + key.encode() + after)
    kept = masked(written, Secret(key))
    core = len(key.encode()) * 8 // 6 - 2
    assert kept != written
    assert len(kept) <= len(written) - core + 3 * written.count(b"***") + 6


@given(st.integers(8, len(KEY) - 1))
def test_a_key_that_is_cut_off_at_the_end_is_masked_too(size: int) -> None:
    """A long error is cut at a bound, which may fall into the key."""
    assert masked(b"the key " + KEY[:size].encode(), Secret(KEY)) == b"the key ***"


@pytest.mark.parametrize("key", [None, Secret(""), Secret("EMPTY"), Secret("1")])
def test_what_is_no_secret_is_not_looked_for(key: Secret | None) -> None:
    """Or every error of a local server that takes any key would be full of holes."""
    assert masked(b"EMPTY 1", key) == b"EMPTY 1"


def test_headers_are_masked_and_those_without_the_key_are_the_same_list() -> None:
    """One search for all of them."""
    clean = [(b"a", b"1"), (b"b", b"2")]
    assert masked_headers(clean, Secret(KEY)) is clean
    echoing = [(b"a", b"1"), (b"x-debug", b"auth=" + KEY.encode())]
    assert masked_headers(echoing, Secret(KEY)) == [(b"a", b"1"), (b"x-debug", b"auth=***")]
    assert masked_error_headers([(b"x", quote(KEY, safe="").encode())], Secret(KEY)) == [(b"x", b"***")]
