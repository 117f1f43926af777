"""Asks a stream to tell its tokens, and hides the telling from a client that did not ask.

The law: pure. The question is spliced into the client's own bytes where they say nothing of it. Only the chunk that tells
tokens and nothing else is hidden: OpenAI's clients look into `choices[0]`, and there it has none. All other bytes pass
unchanged.
"""

import re
from typing import Any, Final

import msgspec

_ASKED: Final = b'"stream_options":{"include_usage":true},'
_MENTION: Final = b'"stream_options"'
_BOUNDARY: Final = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_USAGE: Final = b'"usage"'
_NO_CHOICES: Final = re.compile(rb'"choices"[ \t]*:[ \t]*\[[ \t]*\]')


class _Head(msgspec.Struct):
    stream_options: Any = msgspec.UNSET


class _Chunk(msgspec.Struct):
    choices: list[msgspec.Raw] | None = None
    usage: dict[str, msgspec.Raw] | None = None


_HEAD: Final = msgspec.json.Decoder(_Head)
_CHUNK: Final = msgspec.json.Decoder(_Chunk)
_MEMBERS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def ask_for_usage(body: bytes) -> tuple[bytes, bool]:
    """Give the body of a request for a stream that asks for usage, and whether it did so by itself.

    Raises ValueError when it is no JSON object.
    """
    plain = _MENTION not in body and b"\\u" not in body  # nearly always; an escape could spell it
    options = msgspec.UNSET if plain else _HEAD.decode(body).stream_options
    if options is msgspec.UNSET:
        return _spliced(body), False
    if isinstance(options, dict) and options.get("include_usage") is True:
        return body, True
    members: dict[str, Any] = dict(_MEMBERS.decode(body))
    members["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    return msgspec.json.encode(members), False


def _spliced(body: bytes) -> bytes:
    start = body.index(b"{") + 1
    empty = body[start:].lstrip().startswith(b"}")
    return b"".join((body[:start], _ASKED[:-1] if empty else _ASKED, body[start:]))


def hides(events: bytes) -> bool:
    """Tell whether something may be to hide: every chunk may mention usage, but few have no choices."""
    return _USAGE in events and _NO_CHOICES.search(events) is not None


def without_usage(events: bytes) -> bytes:
    """Hide the chunk that tells tokens and nothing else; takes whole events, as `answers.EventStream` has them."""
    if not hides(events):  # nearly always
        return events
    kept: list[bytes] = []
    start = 0
    for boundary in _BOUNDARY.finditer(events):
        event = events[start : boundary.end()]
        start = boundary.end()
        if not _only_tells_usage(event):
            kept.append(event)
    kept.append(events[start:])
    return b"".join(kept)


def _only_tells_usage(event: bytes) -> bool:
    if _USAGE not in event:
        return False
    lines = event.strip().splitlines()
    if len(lines) != 1 or not lines[0].startswith(b"data:"):
        return False
    try:
        chunk = _CHUNK.decode(lines[0][5:])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return chunk.choices == [] and chunk.usage is not None
