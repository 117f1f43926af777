"""Reads the contents of a Gemini conversation.

The law: calls and results without ids are matched by name, in order, and given ids by their places, which are the same each
time the conversation is read.
"""

from typing import Final

from relay_svc.dialects import media, signatures
from relay_svc.dialects.faults import DialectFault
from relay_svc.dialects.form import Call, Dialect, Media, Message, Part, Result, Role, Text, Thinking
from relay_svc.dialects.gemini.proto import ProtoMembers
from relay_svc.dialects.losses import Losses
from relay_svc.dialects.members import Members, encode
from relay_svc.dialects.openai_words import append
from relay_svc.dialects.signatures import SKIP

_PART_ELSEWHERE: Final = frozenset(
    {"videoMetadata", "mediaResolution", "mediaProcessing", "partMetadata", "speechMetadata", "audioTranscription"}
    | {"documentMetadata", "spreadsheetMetadata", "audioMetadata"}
)
_GOOGLES_OWN: Final = frozenset({"executableCode", "codeExecutionResult", "toolCall", "toolResponse"})
_ROLES: Final[dict[str, Role]] = {"": "user", "user": "user", "function": "user", "model": "assistant"}
_FILES_OF_GOOGLE: Final = ("https://generativelanguage.googleapis.com/", "gs://", "files/")


class Contents:
    """Reads one conversation."""

    def __init__(self, losses: Losses) -> None:
        """Begin with no calls seen."""
        self._losses = losses
        self._unanswered: dict[str, list[str]] = {}  # ids by name
        self._made = 0

    def read(self, top: ProtoMembers) -> list[Message]:
        """Read the turns. Raises DialectFault, CannotCarry."""
        messages: list[Message] = []
        if type(top.peek("contents")) is dict:  # a single one, which the API takes too
            entries = iter([ProtoMembers(top.take("contents"), "contents")])
        else:
            entries = top.each("contents")
        for entry in entries:
            role = _ROLES.get(entry.text("role"))
            if role is None:
                raise DialectFault(entry.path("role"), "must be user or model")
            parts = self.parts(entry)
            parts.sort(key=lambda part: not isinstance(part, Result))
            append(messages, role, parts)
        if not messages:
            raise DialectFault("contents", "must not be empty")
        return messages

    def parts(self, entry: ProtoMembers) -> list[Part]:
        """Read the parts of one turn. Raises DialectFault, CannotCarry."""
        parts = [part for piece in entry.each("parts") if (part := self._part(piece))]
        entry.take("role")
        entry.rest(self._losses, "contents")
        return parts

    def _part(self, piece: ProtoMembers) -> Part | None:
        if piece.only("text"):  # nearly always
            return Text(piece.given_text("text"))
        if piece.has_any(_GOOGLES_OWN):
            self._losses.essential("contents.parts")
        signature = signatures.known(piece.text("thoughtSignature"), Dialect.GEMINI)
        thought = piece.flag("thought")
        part: Part
        if (call := piece.inner("functionCall")) is not None:
            part = self._call(call)
            part.signature = None if signature is not None and signature.value == SKIP else signature
        elif (answered := piece.inner("functionResponse")) is not None:
            part = self._result(answered)
        elif (blob := piece.inner("inlineData")) is not None:
            part = _blob(blob)
        elif (file := piece.inner("fileData")) is not None:
            part = self._file(file)
        elif thought:
            part = Thinking(piece.text("text"), signature)
        else:
            if signature is not None:
                self._losses.add("thought_signature")
            if piece.peek("text") is None:
                piece.rest(self._losses, "contents.parts", _PART_ELSEWHERE)
                return None
            part = Text(piece.text("text"))
        piece.rest(self._losses, "contents.parts", _PART_ELSEWHERE)
        return part

    def _call(self, call: ProtoMembers) -> Call:
        name, id_ = call.need_text("name"), call.text("id")
        if not id_:
            self._made += 1
            id_ = f"call_{self._made}"
        self._unanswered.setdefault(name, []).append(id_)
        text = encode(call.json_object("args")).decode()
        call.rest(self._losses, "contents.parts.functionCall")
        return Call(id_, name, text)

    def _result(self, answered: ProtoMembers) -> Result:
        name, id_ = answered.need_text("name"), answered.text("id")
        waiting = self._unanswered.get(name, [])
        if not id_:
            if not waiting:
                raise DialectFault(answered.path("name"), "must be that of a call before it")
            id_ = waiting.pop(0)
        elif id_ in waiting:
            waiting.remove(id_)
        response = answered.json_object("response")
        parts: list[Text | Media] = []
        for piece in answered.each("parts"):
            blob = piece.inner("inlineData")
            if blob is None:
                self._losses.essential("contents.parts.functionResponse")
            parts.append(_blob(blob))
        is_error = set(response) == {"error"}
        output = response.get("output", response.get("result")) if len(response) == 1 and not is_error else None
        if is_error and type(response["error"]) is str:
            output = response["error"]
        text = output if type(output) is str else encode(response).decode()
        answered.rest(self._losses, "contents.parts.functionResponse", frozenset({"scheduling", "willContinue"}))
        return Result(id_, name, [Text(text), *parts], is_error)

    def _file(self, file: Members) -> Media:
        url = file.need_text("fileUri")
        mime, name = file.text("mimeType").lower(), file.text("displayName")
        if url.startswith(_FILES_OF_GOOGLE):
            return Media(media.kind_of(mime), mime=mime, file_id=url, home=Dialect.GEMINI, name=name)
        return Media(media.kind_of(mime or media.guessed_mime(url)), mime=mime, url=url, name=name)


def _blob(blob: Members) -> Media:
    mime, name = blob.need_text("mimeType").lower(), blob.text("displayName")
    return Media(media.kind_of(mime), mime=mime, data=media.standard_base64(blob.need_text("data")), name=name)
