"""How long an upstream asks to be left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_svc.retry_after import LONGEST, retry_after

NOW = 1_700_000_000.0
GOOGLE = b'{"error":{"code":429,"details":[{"@type":"x"},{"@type":"google.rpc.RetryInfo","retryDelay":"17.5s"}]}}'


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ([(b"retry-after", b"3")], b"", 3.0),
        ([(b"Retry-After", b" 0.5 ")], b"", 0.5),
        ([(b"retry-after", b"3"), (b"retry-after-ms", b"250")], b"", 0.25),
        ([(b"retry-after", b"Tue, 14 Nov 2023 22:13:30 GMT")], b"", 10.0),
        ([(b"retry-after", b"Tue, 14 Nov 2023 22:13:30")], b"", 10.0),
        ([(b"retry-after", b"Tue, 14 Nov 2000 22:13:30 GMT")], b"", 0.0),
        ([(b"retry-after", b"999999999")], b"", LONGEST),
        ([(b"retry-after", b"-1")], b"", None),
        ([(b"retry-after", b"inf")], b"", None),
        ([(b"retry-after", "٣".encode())], b"", None),
        ([], GOOGLE, 17.5),
        ([], b"[" + GOOGLE + b"]", 17.5),
        ([(b"retry-after", b"1")], GOOGLE, 1.0),
        ([], b'{"retryDelay"', None),
        ([], b'{"error":{"details":[{"retryDelay":1}]}}', None),
        ([], b"", None),
    ],
)
def test_it_is_read_wherever_providers_say_it(
    headers: list[tuple[bytes, bytes]], body: bytes, seconds: float | None
) -> None:
    """Seconds, milliseconds, a date, Google's RetryInfo."""
    assert retry_after(headers, body, NOW) == seconds


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_nothing_makes_it_raise(header: bytes, body: bytes) -> None:
    """An upstream may say anything."""
    said = retry_after([(b"retry-after", header)], b'{"error":{"details":[{"retryDelay":"' + body, NOW)
    assert said is None or 0 <= said <= LONGEST
