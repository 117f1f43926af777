"""What a connection is told that did not bring a request: written once, in the words of each family of clients.

The law: the connection ends with it, since nobody knows where the next request would begin.
"""

from collections.abc import Mapping
from typing import Final

from relay_svc.envelopes import Told, envelope
from relay_svc.operations import Format


def _answer(status: int, phrase: bytes, code: str, message: str, *, again: bool = False) -> Mapping[Format, bytes]:
    """Write a refusal for each family of clients; `again` says whether repeating the request can mend it."""
    told = Told(status, code.upper(), message, code, None, "", None, again)
    retry = b"retry-after: 1" if again else b"x-should-retry: false"
    head = b"HTTP/1.1 %d %b\r\n%b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
    bodies = {written: envelope(written, told) for written in (Format.OPENAI, Format.ANTHROPIC, Format.GEMINI)}
    return {written: head % (status, phrase, retry, len(body)) + body for written, body in bodies.items()}


TOO_LARGE: Final = _answer(
    431, b"Request Header Fields Too Large", "headers_too_large", "the request's headers are too large or too many"
)
TOO_SLOW: Final = _answer(
    408, b"Request Timeout", "headers_too_slow", "the request's headers did not arrive in time", again=True
)
MALFORMED: Final = _answer(400, b"Bad Request", "malformed_request", "this is not HTTP as the relay reads it")
