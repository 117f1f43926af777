"""Every error that the relay itself says to a client, and the shape it says it in.

The law: one table from reason to HTTP status, and `docs/errors.md` says the same. `code` is OpenAI's own word where there is
one and the reason in lower case otherwise; how a body is written for each family of clients is in `envelopes`. An upstream's
error is not made here: it is passed on as it came.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from relay_svc.dialects.answer import FELL_SILENT, broken_words
from relay_svc.envelopes import Told, envelope
from relay_svc.operations import Format
from relay_svc.plan import NoPlan, PickRefused, PicksOverloaded
from trunkline import descriptors
from trunkline.errors import Reason

Headers = list[tuple[bytes, bytes]]

UPSTREAM_TIMEOUT: Final = "UPSTREAM_TIMEOUT"
_RETRY_AFTER: Final = 1
"""Seconds after which what cannot be said now may be asked again."""
_SERVERS: Final = 500
"""The first status that is the server's fault."""


class HttpRefusal(Exception):  # noqa: N818 - an answer, not an error
    """An answer that is an error of the relay's own.

    `retry` says whether repeating the request can mend it, so that SDKs that retry by status do not guess. Where it is not
    given, a fault of the request (4xx) cannot be mended so, and trouble of the servers (5xx) can.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry: bool | None = None,
        headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        """Keep what the client is told; `code` is the reason in lower case unless given."""
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.param = param
        self.code = code or reason.lower()
        self.retry = status >= _SERVERS if retry is None else retry
        self.headers = list(headers)
        self.revision: str | None = None
        self.details: Mapping[str, str] | None = None

    def body(self, request_id: str, written: Format = Format.OPENAI_CHAT) -> bytes:
        """Write the error as the clients of a format read it."""
        return envelope(written, self.told(request_id))

    def told(self, request_id: str) -> Told:
        """Give what is told."""
        revision: int | str | None = self.revision
        if isinstance(revision, str) and revision.isdigit():
            revision = int(revision)
        return Told(
            self.status, self.reason, str(self), self.code, self.param, request_id, revision, self.retry, self.details
        )

    def all_headers(self) -> Headers:
        """Give the headers that go with the status."""
        headers: Headers = [(b"content-type", b"application/json"), *self.headers]
        if self.status == 401:  # noqa: PLR2004 - HTTP
            headers.append((b"www-authenticate", b"Bearer"))
        # The official SDKs and Claude Code heed `x-should-retry`; without it they retry by status, as long as they like.
        headers.append((b"retry-after", b"%d" % _RETRY_AFTER) if self.retry else (b"x-should-retry", b"false"))
        return headers


@dataclass(frozen=True, slots=True)
class _Row:
    status: int
    code: str | None = None
    param: str | None = None
    retry: bool | None = None


_ROWS: Final = {
    Reason.API_KEY_UNKNOWN: _Row(401, "invalid_api_key"),
    Reason.API_KEY_DISABLED: _Row(401, "invalid_api_key"),
    Reason.API_KEY_EXPIRED: _Row(401, "invalid_api_key"),
    Reason.MODEL_NOT_ALLOWED: _Row(403, param="model"),
    Reason.ADDRESS_NOT_ALLOWED: _Row(403),
    Reason.MODEL_UNKNOWN: _Row(404, "model_not_found", "model"),
    Reason.MODEL_NOT_IN_GROUP: _Row(404, "model_not_found", "model"),
    Reason.INVALID_FIELDS: _Row(400),
    Reason.NO_CHANNEL: _Row(503, param="model", retry=False),
    Reason.UNVERIFIED: _Row(503, retry=True),
    Reason.NOT_READY: _Row(503, retry=True),
    Reason.STALE: _Row(503, retry=True),
    Reason.DRAINING: _Row(503, retry=True),
    Reason.OVERLOADED: _Row(503, retry=True),
}


def of_pick(refused: NoPlan) -> HttpRefusal:
    """Say over HTTP why there is no plan. What the client cannot help (a token the router refuses) shows no details."""
    if isinstance(refused, PicksOverloaded):
        return overloaded("requests are waiting for a router")
    if not isinstance(refused, PickRefused):
        return out_of_descriptors() if descriptors.none_left("routers") else routers_unreachable()
    row = _ROWS.get(refused.reason) if refused.reason else None
    if row is None or refused.reason is None:
        return internal()
    refusal = HttpRefusal(row.status, refused.reason, str(refused), param=row.param, code=row.code, retry=row.retry)
    refusal.revision = refused.metadata.get("revision")
    return refusal


def internal() -> HttpRefusal:
    """An unforeseen fault; the log has it under the request id."""
    return HttpRefusal(
        500, "INTERNAL", "the relay failed; the fault is logged under this request id", code="internal_error"
    )


def overloaded(what: str) -> HttpRefusal:
    """More work than the bound allows."""
    return HttpRefusal(503, Reason.OVERLOADED, f"too many {what}: try again", retry=True)


def out_of_descriptors() -> HttpRefusal:
    """The process has no file descriptor left for a connection to an upstream or a router."""
    return HttpRefusal(503, "OUT_OF_DESCRIPTORS", "the relay has run out of file descriptors: try again", retry=True)


def routers_unreachable() -> HttpRefusal:
    """No router answered in time."""
    return HttpRefusal(503, "ROUTER_UNREACHABLE", "no router answered in time: try again", retry=True)


def api_key_missing(place: str = "authorization") -> HttpRefusal:
    """No key where the clients of this path put it."""
    header = "Authorization: Bearer …" if place == "authorization" else f"{place}: …"
    return HttpRefusal(401, "API_KEY_MISSING", f"give an API key in the header `{header}`", code="invalid_api_key")


def api_key_malformed() -> HttpRefusal:
    """A bearer token that can be no API key."""
    return HttpRefusal(401, Reason.API_KEY_UNKNOWN, "this is no API key", code="invalid_api_key")


def bad_body(message: str, param: str | None) -> HttpRefusal:
    """A body that cannot be routed."""
    return HttpRefusal(400, "INVALID_BODY", message, param=param, code="invalid_body")


_BOUNDS: Final = ", the bound of this path or the setting TRUNKLINE_RELAY_MAX_BODY_BYTES"


def body_too_large(limit: int) -> HttpRefusal:
    """More bytes than are read."""
    return HttpRefusal(
        413, "BODY_TOO_LARGE", f"the body is larger than {limit} bytes{_BOUNDS}", code="request_too_large"
    )


def model_late(held: int) -> HttpRefusal:
    """A form whose model comes so late that what is before it cannot be held."""
    message = f"put the field model before the file: no more than {held} bytes before it can be held now"
    return HttpRefusal(400, "MODEL_LATE", message, param="model")


def body_too_slow(seconds: float) -> HttpRefusal:
    """A body that did not come in time."""
    return HttpRefusal(
        408,
        "BODY_TOO_SLOW",
        f"the body did not arrive within {seconds:g} s",
        retry=True,
        headers=[(b"connection", b"close")],
    )


def encoded_body() -> HttpRefusal:
    """A compressed body."""
    message = "a body with a content-encoding is not taken: send it as it is"
    return HttpRefusal(415, "CONTENT_ENCODING", message, code="unsupported_content_encoding")


def not_found(path: str, meant: str = "") -> HttpRefusal:
    """No such path; `meant` goes on with the one that is."""
    return HttpRefusal(404, "PATH_UNKNOWN", f"no such path: {path[:128]}{meant}", code="unknown_url")


def not_served(sentence: str) -> HttpRefusal:
    """A path that providers know and the relay does not serve yet."""
    return HttpRefusal(404, "PATH_NOT_SERVED", sentence, code="unknown_url")


def method_not_allowed(method: str, allowed: str) -> HttpRefusal:
    """A path that takes another method."""
    message = f"this path takes {allowed}, not {method}"
    return HttpRefusal(405, "METHOD_NOT_ALLOWED", message, headers=[(b"allow", allowed.encode())])


def no_such_model(model: str) -> HttpRefusal:
    """A model that this key may not use, or that is none."""
    message = f"the model {model[:128]!r} does not exist or is not served for this API key"
    return HttpRefusal(404, Reason.MODEL_UNKNOWN, message, code="model_not_found", param="model")


def not_offered(model: str, operation: str, counts: str = "") -> HttpRefusal:
    """No channel knows the operation, nor anything that it could be translated to; `counts` tells of all there are."""
    message = f"no channel for the model {model[:128]!r} offers {operation.replace('_', ' ')}{counts}"
    return HttpRefusal(400, "OPERATION_NOT_OFFERED", message, code="unsupported_operation", param="model")


def cannot_carry(name: str, counts: str = "") -> HttpRefusal:
    """Something of the request has no place in the upstream's format, and without it the request would mean another."""
    refusal = HttpRefusal(
        400,
        "CANNOT_CARRY",
        f"{name[:128]} cannot be carried into the format of any channel for this model{counts}",
        code="unsupported_parameter",
        param=name[:128],
    )
    refusal.details = _DETAILS.get(name)
    return refusal


_DETAILS: Final[Mapping[str, Mapping[str, str]]] = {"thread": {"error_code": "thread_unsupported_request"}}
"""Anthropic's own word, by which its SDKs go on with the whole conversation in each request."""


def model_unchecked(member: str, counts: str = "") -> HttpRefusal:
    """A member that names a model, or stands for one, in a way that cannot be held against what the key may use."""
    message = f"{member[:128]} is not taken: which model stands behind it cannot be checked{counts}"
    refusal = HttpRefusal(400, "MODEL_UNCHECKED", message, param=member[:128])
    refusal.details = _DETAILS.get(member)
    return refusal


def run_unknown() -> HttpRefusal:
    """No run of this API key's has that id; whose it is otherwise is nobody's business."""
    return HttpRefusal(404, "RUN_UNKNOWN", "there is no such workflow run", code="run_not_found")


def run_not_told(why: str) -> HttpRefusal:
    """The vendor said that it cannot tell of the run, or nothing that could be read."""
    return HttpRefusal(502, "RUN_NOT_TOLD", f"the state of the workflow run could not be had: {why}")


def run_incomplete(missing: Iterable[str], counts: str = "") -> HttpRefusal:
    """A run that would lack something; it has not been started."""
    return HttpRefusal(400, "RUN_INCOMPLETE", f"the workflow cannot be run without: {', '.join(missing)}{counts}")


def upstream_unreachable(tried: int = 1) -> HttpRefusal:
    """None of those tried could be connected to, the last one least."""
    return HttpRefusal(502, "UPSTREAM_UNREACHABLE", f"no upstream could be reached ({tried} tried)")


def upstream_broken(how: str = "") -> HttpRefusal:
    """The last candidate's connection broke, or spoke no HTTP; `how` is what its answer did where that is known."""
    message = f"the upstream's answer {how}" if how else "the upstream broke off before it answered"
    return HttpRefusal(502, "UPSTREAM_BROKEN", message)


def stream_broken(sent: int, channel_id: int, how: str) -> HttpRefusal:
    """An answer that ended before it was whole, some of which may be with the client: `sent` bytes of it."""
    message = broken_words(channel_id, how, sent)
    if how == FELL_SILENT:
        return HttpRefusal(504, UPSTREAM_TIMEOUT, message, retry=False)
    return HttpRefusal(502, "UPSTREAM_BROKEN", message)


def cut_off(refusal: HttpRefusal, sent: int, channel_id: int) -> HttpRefusal:
    """The same refusal of an answer of which `sent` bytes may be with the client: the words say where it was cut."""
    message = broken_words(channel_id, f"was cut off ({refusal})", sent)
    cut = HttpRefusal(refusal.status, refusal.reason, message, code=refusal.code, retry=refusal.retry)
    cut.revision = refusal.revision
    return cut


def upstream_redirects() -> HttpRefusal:
    """The last candidate pointed elsewhere; a relay does not follow, since the channel key would go along."""
    message = "the upstream answered with a redirect, which is not followed"
    return HttpRefusal(502, "UPSTREAM_REDIRECTS", message, retry=False)


def upstream_timeout() -> HttpRefusal:
    """The upstream has the request and did not answer in time; it may still be working on it, so do not retry blindly."""
    return HttpRefusal(504, UPSTREAM_TIMEOUT, "the upstream did not answer in time", retry=False)


def deadline_exceeded() -> HttpRefusal:
    """The request's own deadline passed before anything was sent to the client."""
    return HttpRefusal(504, "DEADLINE_EXCEEDED", "the request took longer than the relay allows", retry=False)


def going_down() -> HttpRefusal:
    """The relay stops and could not wait longer."""
    return HttpRefusal(503, Reason.DRAINING, "the relay is going down: try again", retry=True)


def channels_unusable(model: str, counts: str = "") -> HttpRefusal:
    """Every channel has a fault in its own set-up; the log says which."""
    message = f"every channel for the model {model[:128]!r} has a fault in its set-up, which is logged{counts}"
    return HttpRefusal(503, "CHANNELS_UNUSABLE", message, param="model", retry=False)


def channels_unseen(model: str, counts: str = "") -> HttpRefusal:
    """No channel that was looked at can be asked, and not all were looked at."""
    message = (
        f"no channel for the model {model[:128]!r} was found in time that can be asked for this: try again{counts}"
    )
    return HttpRefusal(503, "CHANNELS_UNSEEN", message, param="model", retry=True)
