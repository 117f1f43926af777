"""The body of a chat request: what routing needs of it, and the bytes to send on.

The law: pure. The client's own bytes go on; a mapped model is spliced into them, and nothing is written anew unless the
channel overrides parameters. The top-level `model` must be there once, under any spelling: a body that names it twice (or
as `Model`, which upstreams written in Go take for the same) could show one model to the allow-list and another upstream.

Finding the one `model` member must cost no more than reading the body, in C, whatever the body holds. So its key is looked
for as text first: when `"model"` stands once and no escape could spell it, that is it; otherwise `model_member` looks.
"""

import codecs
import re
from itertools import islice
from typing import Any, Final

import msgspec

from relay_svc.model_member import MOST_MENTIONS, TooManyMentions, model_keys
from relay_svc.named_models import Beside, names_beside
from relay_svc.plan import Unshown

_UTF8_SLICE: Final = 1 << 20  # bytes decoded at a time, so that checking a large body needs little memory
_PLAIN: Final = b'"model"'
_VALUE: Final = re.compile(rb'[ \t\r\n]*:[ \t\r\n]*("[^"\\]*+(?:\\.[^"\\]*+)*+")', re.DOTALL)


class PayloadFault(ValueError):  # noqa: N818 - the client's fault, said as it is
    """A body that cannot be routed; `param` is the member at fault, if one is."""

    def __init__(self, message: str, param: str | None = None) -> None:
        """Keep the sentence for the client and the member's name."""
        super().__init__(message)
        self.param = param


class CostlyBody(Exception):  # noqa: N818 - a fact about a body
    """A body that takes longer to read than its bytes are worth; who sent it must be known first."""


class Payload(Unshown, frozen=True):
    """A chat request's body: the bytes, the model asked for, where its value stands, whether it asks for a stream."""

    body: bytes
    model: str
    span: tuple[int, int]
    stream: bool
    beside: tuple[Beside, ...]
    """Models that it names besides."""

    def addressed_to(self, model: str, overrides: str = "") -> bytes:
        """Give the body for an upstream's model; `overrides` is a JSON object whose members replace those of the body.

        Raises ValueError when the overrides are no JSON object.
        """
        if overrides:
            return self._rewritten(model, overrides)
        if model == self.model:
            return self.body
        start, end = self.span
        return b"".join((self.body[:start], msgspec.json.encode(model), self.body[end:]))

    def _rewritten(self, model: str, overrides: str) -> bytes:
        members: dict[str, Any] = _MEMBERS.decode(self.body)
        members["model"] = model
        members.update(_MEMBERS.decode(overrides))
        return msgspec.json.encode(members)


_MEMBERS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def parse(body: bytes, most: int = MOST_MENTIONS) -> Payload:
    """Read what routing needs. Raises PayloadFault, CostlyBody past `most` strings that spell `model`."""
    members = members_of(body)
    given = members.get("model")
    if given is None:
        raise PayloadFault("you must provide a model", "model")
    raw_model = bytes(given)
    if not raw_model.startswith(b'"'):
        raise PayloadFault("model must be a string", "model")
    if not body.isascii() and not _is_utf8(body):
        raise PayloadFault("the body is not UTF-8")
    key_end, alone = _key_end(body, most)
    value = _VALUE.match(body, key_end)
    if value is None or value[1] != raw_model.strip():  # pragma: no cover - the search and the parser disagree
        raise PayloadFault("model could not be found", "model")
    model: str = msgspec.json.decode(raw_model)
    if not model:
        raise PayloadFault("you must provide a model", "model")
    stream = members.get("stream")
    return Payload(
        body,
        model,
        value.span(1),
        stream is not None and bytes(stream) == b"true",
        names_beside(body, members, tools=not alone),
    )


def members_of(body: bytes) -> dict[str, msgspec.Raw]:
    """Read a body's own members. Raises PayloadFault."""
    try:
        return _MEMBERS.decode(body)
    except msgspec.ValidationError:
        raise PayloadFault("the body must be a JSON object") from None
    except msgspec.DecodeError as fault:
        raise PayloadFault(f"the body is not valid JSON: {fault}") from None
    except UnicodeDecodeError:
        raise PayloadFault("the body is not UTF-8") from None
    except RecursionError:
        raise PayloadFault("the body is nested too deeply") from None


def _is_utf8(body: bytes) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    view = memoryview(body)
    try:
        for start in range(0, len(view), _UTF8_SLICE):
            decoder.decode(view[start : start + _UTF8_SLICE])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _key_end(body: bytes, most: int) -> tuple[int, bool]:
    """Find where the key of the one top-level `model` ends, in a valid object that has one. Raises PayloadFault, CostlyBody.

    And tell whether nothing else in the body spells it.
    """
    lowered = body.lower()
    first = lowered.find(_PLAIN)
    # One mention under any case, and no escape that could spell another: it is the key that the parser found. Looking for
    # one byte costs a tenth of looking for a word, so backslashes are looked for first.
    if lowered.find(_PLAIN, first + 1) < 0 and not (
        b"\\" in lowered and (b"\\u006" in lowered or b"\\u004" in lowered)
    ):
        return first + len(_PLAIN), True
    try:
        keys = list(islice(model_keys(body, most), 2))
    except TooManyMentions:
        if most < MOST_MENTIONS:
            raise CostlyBody from None
        raise PayloadFault("the body mentions model too often", "model") from None
    if len(keys) != 1:
        raise PayloadFault("model is given more than once", "model")
    return keys[0], False
