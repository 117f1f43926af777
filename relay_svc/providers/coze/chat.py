"""A chat request of OpenAI's as Coze's bots take it.

The law: pure. Bots know two roles: what the system says goes before what the user says next. Bots have their own model,
tools and parameters, so those of the request are losses, named to the caller; what the request cannot do without (a picture
that has no address, the result of a tool) is an AdapterFault. A user of ours is never the same as another API key's user of
the same name.
"""

from typing import Any, Final

import msgspec

from relay_svc.providers.faults import AdapterFault

_IGNORED: Final = frozenset(
    {"model", "messages", "stream", "stream_options", "user", "n", "custom_variables", "parameters"}
)
_MOST_MESSAGES: Final = 100
"""Coze's own bound."""
_FILES: Final = {"image_url": "image", "file": "file", "input_audio": "audio"}


_MEMBERS: Final = msgspec.json.Decoder(dict[str, Any])


def members_of(body: bytes) -> dict[str, Any]:
    """Read a request. Raises AdapterFault."""
    try:
        return _MEMBERS.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise AdapterFault("the body", "must be a JSON object") from None


def to_coze(body: bytes, bot_id: str, api_key_id: int) -> tuple[bytes, tuple[str, ...]]:
    """Write a request for a bot; gives the names of what was lost, too. Raises AdapterFault."""
    request = members_of(body)
    messages = _messages(request.get("messages"))
    sent: dict[str, Any] = {
        "bot_id": bot_id,
        "user_id": user_id(request, api_key_id),
        "stream": True,
        "auto_save_history": False,
        "additional_messages": messages,
    }
    for name in ("custom_variables", "parameters"):
        if isinstance(request.get(name), dict):
            sent[name] = request[name]
    lost = tuple(
        sorted(name for name, value in request.items() if name not in _IGNORED and value not in (None, [], {}))
    )
    return msgspec.json.encode(sent), lost


def user_id(request: dict[str, Any], api_key_id: int) -> str:
    """Name the user to Coze, which keeps a memory for each."""
    user = request.get("user")
    return f"key-{api_key_id}-{user}"[:128] if isinstance(user, str) and user else f"key-{api_key_id}"


def _messages(given: object) -> list[dict[str, str]]:
    if not isinstance(given, list) or not given:
        raise AdapterFault("messages", "must be a list that is not empty")
    sent: list[dict[str, str]] = []
    before: list[str] = []  # what the system said and nobody has been told yet
    for place, message in enumerate(given):
        path = f"messages[{place}]"
        if not isinstance(message, dict):
            raise AdapterFault(path, "must be an object")
        match message.get("role"):
            case "system" | "developer":
                before.append(_text_of(message.get("content"), path))
            case "user":
                sent.append(_question(message.get("content"), before, path))
                before = []
            case "assistant":
                sent.extend(_answer(message, path))
            case _:
                raise AdapterFault(f"{path}.role", "cannot be given to a bot of Coze's")
    if before:
        sent.append(_question("", before, "messages"))
    if len(sent) > _MOST_MESSAGES:
        raise AdapterFault("messages", f"are more than {_MOST_MESSAGES}")
    return sent


def _answer(message: dict[str, Any], path: str) -> list[dict[str, str]]:
    if message.get("tool_calls"):
        raise AdapterFault(f"{path}.tool_calls", "cannot be given to a bot of Coze's, which has its own tools")
    text = _text_of(message.get("content"), path)
    return [{"role": "assistant", "type": "answer", "content": text, "content_type": "text"}] if text else []


def _question(content: object, before: list[str], path: str) -> dict[str, str]:
    parts = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
    objects = [_part(part, f"{path}.content[{number}]") for number, part in enumerate(parts)]
    texts = [*before, *(part["text"] for part in objects if part["type"] == "text")]
    text = "\n\n".join(filter(None, texts))
    files = [part for part in objects if part["type"] != "text"]
    shown = {"role": "user", "type": "question"}
    if not files:
        return shown | {"content": text, "content_type": "text"}
    every = ([{"type": "text", "text": text}] if text else []) + files
    return shown | {"content": msgspec.json.encode(every).decode(), "content_type": "object_string"}


def _part(part: object, path: str) -> dict[str, str]:
    if not isinstance(part, dict):
        raise AdapterFault(path, "must be an object")
    kind = part.get("type")
    if kind == "text":
        if not isinstance(text := part.get("text"), str):
            raise AdapterFault(f"{path}.text", "must be a string")
        return {"type": "text", "text": text}
    if kind not in _FILES:
        raise AdapterFault(f"{path}.type", "cannot be given to a bot of Coze's")
    inner = part.get(kind)
    url = inner.get("url") if isinstance(inner, dict) else None
    if not isinstance(url, str) or not url.startswith(("https://", "http://")):
        raise AdapterFault(f"{path}.{kind}", "must have an address: Coze takes no data in the request")
    return {"type": _FILES[kind], "file_url": url}


def _text_of(content: object, path: str) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise AdapterFault(f"{path}.content", "must be a text or a list of parts")
    parts = [_part(part, f"{path}.content[{number}]") for number, part in enumerate(content)]
    if any(part["type"] != "text" for part in parts):
        raise AdapterFault(f"{path}.content", "may hold texts only")
    return "\n\n".join(part["text"] for part in parts)
