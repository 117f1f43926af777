"""Reads the input items of a responses request.

The law: an item that only OpenAI can read (a reference, a call of its own tools) cannot be carried.
"""

from typing import Final

from relay_svc.dialects import media, signatures
from relay_svc.dialects.faults import DialectFault
from relay_svc.dialects.form import (
    Call,
    Dialect,
    Media,
    Message,
    Part,
    Refusal,
    Result,
    Role,
    Signature,
    Text,
    Thinking,
)
from relay_svc.dialects.losses import Losses
from relay_svc.dialects.members import Members
from relay_svc.dialects.openai_words import append, of_a_tool, read_cache, read_detail, read_file

_KNOWN: Final = frozenset({"id", "status", "phase", "namespace", "caller", "async", "name"})
"""Members of items that say nothing to another provider."""
_ROLES: Final = ("user", "assistant", "system", "developer")


def read_input(top: Members, losses: Losses) -> list[Message]:
    """Read the conversation. Raises DialectFault, CannotCarry."""
    if type(top.peek("input")) is str:
        return [Message("user", [Text(top.need_text("input"))])]
    messages: list[Message] = []
    for item in top.each("input"):
        type_ = item.text("type") or "message"
        reader = _ITEMS.get(type_)
        if reader is None:
            losses.essential("input")
        role, parts = reader(item, losses)
        for name in _KNOWN:
            item.take(name)
        item.rest(losses, "input")
        if parts and role == "assistant" and messages and messages[-1].role == "assistant":
            messages[-1].parts.extend(parts)
        else:
            append(messages, role, parts)
    if not messages:
        raise DialectFault("input", "must not be empty")
    return messages


def _message(item: Members, losses: Losses) -> tuple[Role, list[Part]]:
    role = item.text("role")
    if role not in _ROLES:
        raise DialectFault(item.path("role"), "must be one of user, assistant, system, developer")
    return role, _content(item, "content", losses)  # type: ignore[return-value]  # checked above


def _call(item: Members, _losses: Losses) -> tuple[Role, list[Part]]:
    return "assistant", [Call(item.need_text("call_id"), item.need_text("name"), item.text("arguments"))]


def _result(item: Members, losses: Losses) -> tuple[Role, list[Part]]:
    parts = of_a_tool(_content(item, "output", losses), item.path("output"))
    return "user", [Result(item.need_text("call_id"), "", parts)]


def _reasoning(item: Members, losses: Losses) -> tuple[Role, list[Part]]:
    texts = [entry.text("text") for name in ("summary", "content") for entry in item.each(name)]
    secret, id_ = item.text("encrypted_content"), item.text("id")
    thinking = Thinking("\n\n".join(filter(None, texts)), signature_of(id_, secret))
    if not thinking.text and not secret:
        losses.add("reasoning.id")  # only OpenAI could look it up
        return "assistant", []
    return "assistant", [thinking]


def signature_of(id_: str, secret: str) -> Signature | None:
    """Read a proof: OpenAI knows it by the item's id and its sealed content together."""
    if not secret:
        return None
    known = signatures.known(secret, Dialect.OPENAI_RESPONSES)
    if known is None or known.home is not Dialect.OPENAI_RESPONSES:
        return known
    return Signature(known.home, f"{id_}|{known.value}")


def _content(item: Members, name: str, losses: Losses) -> list[Part]:
    content = item.peek(name)
    if type(content) is str:
        item.take(name)
        return [Text(content)] if content else []
    parts: list[Part] = []
    for piece in item.each(name):
        type_ = piece.text("type")
        reader = _PARTS.get(type_)
        if reader is None:
            raise DialectFault(piece.path("type"), "must be one of input_text, input_image, input_file, output_text")
        parts.append(reader(piece))
        piece.rest(losses, "input.content", frozenset({"annotations", "logprobs", "detail"}))
    return parts


def _text(piece: Members) -> Part:
    return Text(piece.given_text("text"), read_cache(piece))


def _refusal(piece: Members) -> Part:
    return Refusal(piece.given_text("refusal"))


def _image(piece: Members) -> Part:
    detail, file_id, url = read_detail(piece), piece.text("file_id"), piece.text("image_url")
    cache = read_cache(piece)
    if file_id:
        return Media("image", file_id=file_id, home=Dialect.OPENAI_CHAT, detail=detail, cache=cache)
    if not url:
        raise DialectFault(piece.path("image_url"), "must be a string that is not empty")
    found = media.from_url(url, "image", piece.path("image_url"))
    found.detail, found.cache = detail, cache
    return found


def _file(piece: Members) -> Part:
    cache = read_cache(piece)
    found = read_file(piece, piece.text("file_data"), piece.text("file_url"))
    found.cache = cache
    return found


_ITEMS: Final = {
    "message": _message,
    "function_call": _call,
    "function_call_output": _result,
    "reasoning": _reasoning,
}
_PARTS: Final = {
    "input_text": _text,
    "output_text": _text,
    "text": _text,
    "refusal": _refusal,
    "input_image": _image,
    "input_file": _file,
}
