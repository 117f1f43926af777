"""Finds where the one top-level `model` stands in a JSON object, whatever else the object holds.

The law: pure, and linear: each byte is looked at a bounded number of times, by C code. The text is known to be valid JSON, so
a mention's depth is the count of the brackets before it that stand in no string. Mentions are counted as they are found, and
there is a bound on their number.
"""

import re
from collections.abc import Iterator
from typing import Final

MOST_MENTIONS: Final = 10_000
"""Most strings in one body that spell `model`."""
MOST_AT_ONCE: Final = 64
"""Most of them that are looked at within the event loop: a few microseconds each."""
_MENTION: Final = re.compile(
    rb'"(?:[mM]|\\u00[46][dD])(?:[oO]|\\u00[46][fF])(?:[dD]|\\u00[46]4)(?:[eE]|\\u00[46]5)(?:[lL]|\\u00[46][cC])"'
)
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"{}[]"))
_COLON: Final = re.compile(rb"[ \t\r\n]*+:")


class TooManyMentions(Exception):  # noqa: N818 - a fact about a body
    """More strings spell `model` than are looked at."""


def model_keys(body: bytes, most: int = MOST_MENTIONS) -> Iterator[int]:
    """Give the end of each top-level key that spells `model`, in valid JSON. Raises TooManyMentions."""
    return keys_spelled(body, _MENTION, most)


def keys_spelled(body: bytes, spelling: re.Pattern[bytes], most: int = MOST_MENTIONS) -> Iterator[int]:
    """Give the end of each top-level key that is spelled so, quotes and all. Raises TooManyMentions."""
    depth = place = 0  # `place` is outside of every string
    for count, mention in enumerate(spelling.finditer(body)):
        if count >= most:
            raise TooManyMentions
        start, end = mention.span()
        bare = _STRING.sub(b"", body[place:start])
        outside, opened, _ = bare.partition(b'"')
        brackets = outside.translate(None, _NOT_BRACKETS)
        depth += brackets.count(b"{") + brackets.count(b"[") - brackets.count(b"}") - brackets.count(b"]")
        # An open string before it: its first quote is escaped and the last is that string's end, so it is no whole string.
        place = end
        if depth == 1 and not opened and _COLON.match(body, end):
            yield end
