"""What a client asks for: its endpoint, its body, and what routing needs of the two.

The law: pure. The body stays the client's own bytes; it is read into the internal form only when an upstream of another
format is to be asked, and then once, however many candidates there are.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from relay_svc import multipart, payload
from relay_svc.dialects import CannotCarry, Dialect, DialectFault, Losses, Request, read_request
from relay_svc.endpoints import Body, Endpoint, ModelIn, Route, StreamBy, wants_events
from relay_svc.model_member import MOST_AT_ONCE
from relay_svc.multipart import ComingForm, Form
from relay_svc.named_models import Beside, names_beside_path
from relay_svc.operations import CONVERSATIONS, Format
from relay_svc.payload import Payload, PayloadFault
from relay_svc.plan import Unshown
from relay_svc.providers import Asked

DIALECTS: Final[Mapping[Format, Dialect]] = {written: Dialect(written.value) for written in CONVERSATIONS}
"""The formats between which there is a translation, as `dialects` calls them."""

LONGEST_MODEL: Final = 1024
"""Characters of a model's name. It travels to a router before anyone has looked at the key, together with other clients'
picks: a name as long as a body may be would break the stream under all of them."""


class Unnamed(Unshown, frozen=True):
    """A body that does not name its model: the path does."""

    body: bytes

    def addressed_to(self, _model: str) -> bytes:
        """Give the body: an upstream's path names its model."""
        return self.body

    def renamed(self, old: str, new: str) -> bytes:
        """Give the body for an upstream that knows the model as `new`: Gemini's clients may repeat the path's name."""
        if old == new or not (b'"model"' in self.body or b"\\u" in self.body):
            return self.body
        try:
            body: Any = msgspec.json.decode(self.body)
            requests = body.get("requests") if isinstance(body, dict) else None
            counted = body.get("generateContentRequest") if isinstance(body, dict) else None
            for part in (body, counted, *(requests if isinstance(requests, list) else ())):
                if isinstance(part, dict) and part.get("model") in (old, _PREFIX + old):
                    part["model"] = _PREFIX + new
            return msgspec.json.encode(body)
        except (msgspec.MsgspecError, RecursionError, UnicodeError, OverflowError):
            return self.body  # not for us to judge: the upstream will


Content = bytes | Payload | Form | ComingForm
"""A body: whole, whole and read already, or a form as far as it is here."""


class Inbound:
    """One request."""

    __slots__ = (
        "_read",
        "asked",
        "beside",
        "body",
        "content_type",
        "endpoint",
        "faults",
        "form",
        "model",
        "path",
        "stream",
        "strict",
    )

    def __init__(self, route: Route, content: Content, path: str, query: bytes, content_type: bytes) -> None:
        """Read what routing needs; `path` is without its query. Raises PayloadFault, FormFault, CostlyBody."""
        self.endpoint = endpoint = route.endpoint
        self.path, self.content_type = path, content_type
        self.body: Payload | Unnamed
        self.form: Form | ComingForm | None = None
        self.beside: tuple[Beside, ...] = ()
        """Models that it names beside its own."""
        events = True
        if endpoint.model_in is ModelIn.PATH:
            self.body, self.model = Unnamed(_whole(content)), route.subject.removeprefix(_PREFIX)
            self.beside = names_beside_path(self.body.body, payload.members_of(self.body.body), self.model)
            self.stream = endpoint.stream_by is StreamBy.PATH
            events = not self.stream or wants_events(query)
        elif endpoint.body is Body.MULTIPART:
            self.body = Unnamed(b"")
            self.form = form = _form(content, content_type)
            self.model, self.stream = form.model, form.stream and endpoint.stream_by is not StreamBy.NEVER
        else:
            self.body = content if isinstance(content, Payload) else payload.parse(_whole(content), MOST_AT_ONCE)
            self.model, self.beside = self.body.model, self.body.beside
            self.stream = self.body.stream and endpoint.stream_by is not StreamBy.NEVER
        if len(self.model) > LONGEST_MODEL:
            raise PayloadFault("model is no model's name", "model")
        self.asked = _asked(endpoint, self.stream, events)
        self.strict = False
        """Whether the caller wants nothing lost."""
        self._read: dict[bool, tuple[Request, Losses]] = {}
        self.faults: dict[tuple[Any, ...], DialectFault | CannotCarry] = {}
        """Why it cannot be written for some kinds of upstream, kept by `outbound`: of many alike, one is tried."""

    @property
    def written(self) -> Format:
        """How the client writes and reads."""
        return self.endpoint.format

    @property
    def again(self) -> bool:
        """Whether it can be sent once more: all that was sent of it is still here."""
        return self.form is None or isinstance(self.form, Form) or self.form.again

    @property
    def array(self) -> bool:
        """Whether a stream is wanted as one JSON array."""
        return not self.asked.events

    def request(self, *, strict: bool) -> tuple[Request, Losses]:
        """Read it into the internal form; the losses are the caller's to go on with. Raises DialectFault, CannotCarry."""
        if strict not in self._read:
            losses = Losses(strict=strict)
            request = read_request(DIALECTS[self.written], self.body.body, losses, model=self.model, stream=self.stream)
            self._read[strict] = request, losses
        request, losses = self._read[strict]
        return request, losses.copy()


def _whole(content: Content) -> bytes:
    if not isinstance(content, bytes):
        raise TypeError("a form, where none belongs")
    return content


def _form(content: Content, content_type: bytes) -> Form | ComingForm:
    if isinstance(content, Payload):
        raise TypeError("no form, where one belongs")
    return multipart.parse(content, content_type) if isinstance(content, bytes) else content


_PREFIX: Final = "models/"

_ASKED: Final[dict[tuple[str, bool, bool], Asked]] = {}
"""What each endpoint asks, made once: as many as endpoints, twice over or thrice."""


def _asked(endpoint: Endpoint, stream: bool, events: bool) -> Asked:  # noqa: FBT001 - a key
    key = endpoint.name, stream, events
    asked = _ASKED.get(key)
    if asked is None:
        asked = _ASKED[key] = Asked(endpoint.operation, endpoint.format, stream, events)
    return asked
