"""What a channel changes in a request on its way up, and in an answer's status on its way down.

    1  a vendor's quirks: members renamed or left out, the role `developer`
    2  the channel's system prompt
    3  the question for usage, of a stream that did not ask
    4  the channel's parameter overrides, which have the last word

The law: pure. Where nothing is to be changed the same bytes come back, and what is not touched stays as the client wrote
it, number for number. Whether anything is to be changed is found by searching, not by parsing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import msgspec

from relay_svc import headers as crossing
from relay_svc.operations import GENERATIONS, Format, Operation
from relay_svc.plan import Shaping
from relay_svc.providers.call import Adapter, Call
from relay_svc.system_prompts import Members, opened, put_prompt
from relay_svc.usage_asked import ask_for_usage
from trunkline.parameter_overrides import Overrides, parse

Headers = list[tuple[bytes, bytes]]

_MEMBERS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_CHATTY: Final = frozenset({Operation.CHAT, Operation.COMPLETIONS})
"""Operations whose streams tell their tokens only when asked."""
_OWN_WORDS: Final[Mapping[Format, bytes]] = {
    Format.OPENAI_CHAT: b"openai-",
    Format.OPENAI_RESPONSES: b"openai-",
    Format.OPENAI: b"openai-",
    Format.ANTHROPIC: b"anthropic-",
    Format.GEMINI: b"x-goog-",
}
"""How the headers begin that only upstreams of one family understand."""


class ShapingFault(ValueError):  # noqa: N818 - the channel's fault, said as it is
    """A body that cannot be shaped: overrides that are none, or a body that is no object."""


@dataclass(frozen=True, slots=True)
class Shaped:
    """A body as it goes up.

    `hides_usage` says that the client is not to be shown the chunk that tells the tokens; a stream that is translated has its
    own way of telling them, and needs no hiding.
    """

    body: bytes
    hides_usage: bool = False


@lru_cache(maxsize=1024)
def overrides_of(text: str) -> Overrides:
    """Read a channel's overrides. Raises ShapingFault."""
    try:
        return parse(text)
    except ValueError as fault:
        raise ShapingFault(f"parameter overrides: {fault}") from None


def shape(body: bytes, call: Call, shaping: Shaping, overrides: Overrides, path: str) -> Shaped:
    """Shape a body that is in the upstream's format and names its model; `path` is the one the client called.

    Raises ShapingFault.
    """
    try:
        changed = _changed(body, call, shaping)
        hides = False
        if _is_to_be_asked(call):
            changed, asked = ask_for_usage(changed)
            hides = not asked
        if overrides and not overrides.touches_nothing(call.model, path):
            changed = _overridden(changed, overrides, call.model, path)
        return Shaped(changed, hides)
    except (msgspec.MsgspecError, ValueError, RecursionError) as fault:
        raise ShapingFault(f"the body: {fault}") from None


def _is_to_be_asked(call: Call) -> bool:
    return (
        call.events
        and call.operation in _CHATTY
        and call.vendor.stream_options
        and call.adapter is Adapter.NONE  # what stands behind one is asked in words of its own
    )


def _changed(body: bytes, call: Call, shaping: Shaping) -> bytes:
    quirks = _quirks_in(body, call)
    prompt = shaping.system_prompt if call.operation in GENERATIONS else ""
    if not quirks and not prompt:
        return body
    before: Members = dict(_MEMBERS.decode(body))
    members = before
    for quirk in quirks:
        members = _QUIRKS[quirk](members)
    members = put_prompt(members, call.format, prompt, prepends=shaping.prepends_prompt)
    return body if members is before else msgspec.json.encode(members)


def _overridden(body: bytes, overrides: Overrides, model: str, path: str) -> bytes:
    before: Members = dict(_MEMBERS.decode(body))
    members = overrides.apply(before, model, path)
    return body if members is before else msgspec.json.encode(members)


# ---------------------------------------------------------------- quirks


def _quirks_in(body: bytes, call: Call) -> list[bytes]:
    """Find which of a vendor's quirks a body meets, by the words that it would have to hold."""
    if call.format not in (Format.OPENAI_CHAT, Format.OPENAI):
        return []
    knows = {
        b'"max_completion_tokens"': call.vendor.max_completion_tokens,
        b'"stream_options"': call.vendor.stream_options,
        b'"developer"': call.vendor.developer_role,
    }
    return [word for word, known in knows.items() if not known and word in body]


def _older_name(members: Members) -> Members:
    if "max_completion_tokens" not in members:
        return members
    newer = members["max_completion_tokens"]
    return {"max_tokens": newer} | {name: value for name, value in members.items() if name != "max_completion_tokens"}


def _no_stream_options(members: Members) -> Members:
    if "stream_options" not in members:
        return members
    return {name: value for name, value in members.items() if name != "stream_options"}


def _no_developer(members: Members) -> Members:
    messages = opened(members.get("messages"))
    if not isinstance(messages, list) or not any(map(_is_developer, messages)):
        return members
    renamed = [{**message, "role": "system"} if _is_developer(message) else message for message in messages]
    return {**members, "messages": renamed}


def _is_developer(message: object) -> bool:
    return isinstance(message, dict) and message.get("role") == "developer"


_QUIRKS: Final[Mapping[bytes, Any]] = {
    b'"max_completion_tokens"': _older_name,
    b'"stream_options"': _no_stream_options,
    b'"developer"': _no_developer,
}


# ---------------------------------------------------------------- headers and statuses


def upstream_headers(
    client: Iterable[tuple[bytes, bytes]],
    request_id: str,
    call: Call,
    overrides: Mapping[str, str],
    removed: frozenset[str] = frozenset(),
    sent_up: crossing.Names | None = None,
) -> Headers:
    """Give the headers of an upstream request: the client's, the call's over them, the channel's over all."""
    mine = _OWN_WORDS.get(call.format)
    foreign = tuple(prefix for prefix in frozenset(_OWN_WORDS.values()) if prefix != mine)
    passed = [pair for pair in client if not pair[0].lower().startswith(foreign)]
    given = {name.lower() for name, _ in passed}
    own = [*call.credentials, *(pair for pair in call.defaults if pair[0] not in given)]
    return [
        pair
        for pair in crossing.with_own(passed, request_id, own, overrides, sent_up)
        if pair[0].decode("latin-1") not in removed
    ]


def shown_status(status: int, shaping: Shaping) -> int:
    """Tell the status that a client is shown for an upstream's; what follows from the upstream's own is decided before."""
    return shaping.status_mapping.get(status, status)
