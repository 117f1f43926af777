"""Whose address a request has."""

from ipaddress import ip_network

import pytest

from relay_svc.address import client_address

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("198.51.100.7", [b"1.2.3.4"], "198.51.100.7"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [b"1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", [b"6.6.6.6, 1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", [b"6.6.6.6", b"1.2.3.4, 10.9.9.9"], "1.2.3.4"),
        ("10.0.0.1", [b"10.1.1.1, 10.2.2.2"], "10.1.1.1"),
        ("10.0.0.1", [b"1.2.3.4, nonsense"], "10.0.0.1"),
        ("10.0.0.1", [b"\xff, 1.2.3.4"], "1.2.3.4"),
        ("::ffff:10.0.0.1", [b"2001:db8::1"], "2001:db8::1"),
        ("::ffff:198.51.100.7", [], "198.51.100.7"),
        ("", [b"1.2.3.4"], ""),
    ],
)
def test_a_forwarded_address_is_believed_as_far_as_trusted_proxies_wrote_it(
    peer: str, forwarded: list[bytes], expected: str
) -> None:
    """What a client writes itself stands to the left of what a proxy added."""
    assert client_address(peer, forwarded, TRUSTED) == expected


def test_without_trusted_proxies_nothing_is_believed() -> None:
    """The default."""
    assert client_address("10.0.0.1", [b"1.2.3.4"], ()) == "10.0.0.1"
