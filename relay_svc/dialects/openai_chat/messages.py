"""Reads the messages of a chat completions request.

The law: what the conversation cannot do without raises CannotCarry; the rest is a loss by its name.
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


def read_messages(top: Members, losses: Losses) -> list[Message]:
    """Read the conversation. Raises DialectFault, CannotCarry."""
    messages: list[Message] = []
    for entry in top.each("messages"):
        role = entry.text("role")
        reader = _ROLES.get(role)
        if reader is None:
            if role == "function":
                losses.essential("functions")
            raise DialectFault(entry.path("role"), "must be one of system, developer, user, assistant, tool")
        append(messages, *reader(entry, losses, role))
        entry.rest(losses, "messages", frozenset({"name"}))
    if not messages:
        raise DialectFault("messages", "must not be empty")
    return messages


def _plain(entry: Members, losses: Losses, role: str) -> tuple[Role, list[Part]]:
    return role, _content(entry, losses)  # type: ignore[return-value]  # the table below gives only such roles


def _tool_result(entry: Members, losses: Losses, _role: str) -> tuple[Role, list[Part]]:
    call_id = entry.need_text("tool_call_id")
    parts = of_a_tool(_content(entry, losses), entry.path("content"))
    return "user", [Result(call_id, "", parts)]


def _assistant(entry: Members, losses: Losses, _role: str) -> tuple[Role, list[Part]]:
    if entry.peek("audio"):
        losses.essential("messages.audio")
    if entry.peek("function_call"):
        losses.essential("functions")
    parts: list[Part] = []
    thought = entry.text("reasoning_content") or entry.text("reasoning")
    if thought:
        parts.append(Thinking(thought))
    parts.extend(_content(entry, losses))
    refusal = entry.text("refusal")
    if refusal:
        parts.append(Refusal(refusal))
    parts.extend(_call(call, losses) for call in entry.each("tool_calls"))
    return "assistant", parts


_ROLES: Final = {
    "system": _plain,
    "developer": _plain,
    "user": _plain,
    "assistant": _assistant,
    "tool": _tool_result,
}


def _call(entry: Members, losses: Losses) -> Call:
    if entry.text("type") == "custom":
        losses.essential("tools.custom")
    function = entry.inner("function")
    if function is None:
        raise DialectFault(entry.path("function"), "must be an object")
    call = Call(entry.need_text("id"), function.need_text("name"), function.text("arguments"))
    call.signature = _signature(entry)
    function.rest(losses, "messages.tool_calls.function")
    entry.rest(losses, "messages.tool_calls", frozenset({"index"}))
    return call


def _signature(entry: Members) -> Signature | None:
    # Where Gemini's own OpenAI-compatible face puts it, and so where clients that keep it send it back.
    extra = entry.inner("extra_content")
    google = extra.inner("google") if extra else None
    return signatures.known(google.text("thought_signature"), Dialect.GEMINI) if google else None


def _content(entry: Members, losses: Losses) -> list[Part]:
    content = entry.peek("content")
    if type(content) is str:
        entry.take("content")
        return [Text(content)] if content else []
    parts: list[Part] = []
    for piece in entry.each("content"):
        type_ = piece.text("type")
        reader = _PARTS.get(type_)
        if reader is None:
            raise DialectFault(piece.path("type"), "must be one of text, image_url, input_audio, file, refusal")
        parts.append(reader(piece))
        piece.rest(losses, "messages.content")
    return parts


def _text(piece: Members) -> Part:
    return Text(piece.given_text("text"), read_cache(piece))


def _image(piece: Members) -> Part:
    image = piece.inner("image_url")
    if image is None:
        raise DialectFault(piece.path("image_url"), "must be an object")
    found = media.from_url(image.need_text("url"), "image", image.path("url"))
    found.detail = read_detail(image)
    found.cache = read_cache(piece)
    return found


def _audio(piece: Members) -> Part:
    audio = piece.inner("input_audio")
    if audio is None:
        raise DialectFault(piece.path("input_audio"), "must be an object")
    mime = media.audio_mime(audio.need_text("format"))
    return Media("audio", mime=mime, data=audio.need_text("data"), cache=read_cache(piece))


def _file(piece: Members) -> Part:
    file = piece.inner("file")
    if file is None:
        raise DialectFault(piece.path("file"), "must be an object")
    found = read_file(file, file.text("file_data"), "")
    found.cache = read_cache(piece)
    return found


def _refusal(piece: Members) -> Part:
    return Refusal(piece.given_text("refusal"))


_PARTS: Final = {"text": _text, "image_url": _image, "input_audio": _audio, "file": _file, "refusal": _refusal}
