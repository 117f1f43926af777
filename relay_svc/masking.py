"""Takes a channel's key out of what its upstream says, for upstreams repeat the key they refuse. Pure.

Law: the exact key, plain or as URLs, JSON and base64 (so `Basic`, too) write it, passes down in no error, and plain in no
header. Bodies of successes are not looked through: a search costs a fiftieth of what passing a chunk on does, and as much
again where a key may lie across two.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from trunkline.secret import Secret

Headers = list[tuple[bytes, bytes]]

MASK: Final = b"***"
_SHORTEST: Final = 8
"""Characters of a key that is masked: shorter ones (`none`, `EMPTY`) are words, and no secrets."""


def masked(text: bytes, key: Secret | None) -> bytes:
    """The text without the key; one that breaks off within the key loses the beginning of it as well."""
    plain = _plain(key)
    if not plain:
        return text
    for form in _forms(plain):
        text = text.replace(form, MASK)
    cut = next((size for size in range(len(plain) - 1, _SHORTEST - 1, -1) if text.endswith(plain[:size])), 0)
    return text[:-cut] + MASK if cut else text


def masked_headers(headers: Headers, key: Secret | None) -> Headers:
    """The headers without the key: the same list when none holds it, as nearly always."""
    plain = _plain(key)
    if plain:
        for _, value in headers:
            if plain in value:
                return [(name, value.replace(plain, MASK)) for name, value in headers]
    return headers


def masked_error_headers(headers: Headers, key: Secret | None) -> Headers:
    """The headers of an error without the key, however it is written."""
    return [(name, masked(value, key)) for name, value in headers]


def _plain(key: Secret | None) -> bytes:
    plain = key.reveal().encode() if key is not None else b""
    return plain if len(plain) >= _SHORTEST else b""


def _forms(plain: bytes) -> Iterator[bytes]:
    yield plain
    text = plain.decode()
    for form in (quote(text, safe=""), quote(text), json.dumps(text)[1:-1], text.replace("/", "\\/")):
        if form != text:
            yield form.encode()
    yield from _in_base64(plain)


def _in_base64(plain: bytes) -> Iterator[bytes]:
    """What base64 of any text has in it that holds the key: one form for each place in a group of three bytes."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + plain)
        # Characters that hold bits of what stands before or after are not the key's alone.
        core = encoded[(0, 2, 3)[before] : (before + len(plain)) * 8 // 6]
        yield core
        yield core.translate(bytes.maketrans(b"+/", b"-_"))
