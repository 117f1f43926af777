"""How one candidate is asked: the client's request as that upstream takes it, and what reads its answer.

    same format       the client's own bytes, model and credentials changed, and what the channel shapes
    another format    read into the internal form and written anew; the answer is translated back
    no format         behind an adapter, which may stand behind a translation

The law: pure. How an upstream is asked for an operation is worked out once for each candidate and kept with it. What
cannot be asked is said by a Passed: another candidate may do, and no attempt was made.
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from relay_svc import headers, translations, watches
from relay_svc.answers import Watch
from relay_svc.dialects import CannotCarry, DialectFault, Losses, write_request
from relay_svc.dialects import Stamp as DialectStamp
from relay_svc.dialects import Target as DialectTarget
from relay_svc.dialects.signatures import has_foreign
from relay_svc.inbound import DIALECTS, Inbound, Unnamed
from relay_svc.multipart import ComingForm, Form
from relay_svc.operations import CONVERSATIONS, Format, Operation
from relay_svc.plan import Candidate, TimeLimits, Unshown
from relay_svc.providers import Adapter, Call, NotOffered, Target, Unusable, how_to_ask
from relay_svc.providers.adapters import Asking, adapt
from relay_svc.providers.claude import ways_of
from relay_svc.providers.coze.runs import RunIds
from relay_svc.providers.coze.written import Stamp
from relay_svc.providers.faults import AdapterFault, RunIncomplete
from relay_svc.shaping import ShapingFault, overrides_of, shape, upstream_headers
from relay_svc.upstream import UpstreamRequest
from relay_svc.usage_asked import ask_for_usage
from trunkline.parameter_overrides import Overrides
from trunkline.providers import FORWARD_HEADERS

_JSON: Final = (b"content-type", b"application/json")
_CHATTY: Final = frozenset({Operation.CHAT, Operation.COMPLETIONS})
"""Operations whose streams tell their tokens only when asked."""
_NEWER_NAME: Final = frozenset({"openai", "azure-openai"})
"""Vendors that want the bound on tokens under its newer name."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a candidate is asked for an operation; the same for every request."""

    call: Call
    target: Target
    overrides: Overrides
    overrides_fault: str
    translates: bool
    plain: bool
    """Whether nothing of the body changes but its model, and the question for usage."""
    asks_usage: bool
    sent_up: headers.Names | None
    """Which of the client's headers go up, where the channel lets more through than others."""


class Outbound(msgspec.Struct, frozen=True):
    """A request for one upstream."""

    request: UpstreamRequest
    call: Call
    watch: Watch | None = None
    """What reads the answer; None for one that passes as it is, whose head says how it is to be watched."""
    whole: bool = False
    """Whether the answer must be here before any of it can be written."""
    hides_usage: bool = False
    content_type: bytes = b""
    """Of a translated answer; empty for one that passes as it is."""
    losses: Losses | None = None
    estimated: bytes = b""
    """Members of the answer, as the client reads them, that are no more than an estimate."""


class NamedBeside(msgspec.Struct, frozen=True):
    """A channel that does not serve a model which the request names beside its own."""

    member: str


class Passed(msgspec.Struct, frozen=True):
    """Why a candidate is not asked."""

    why: NotOffered | Unusable | CannotCarry | DialectFault | AdapterFault | RunIncomplete | ShapingFault | NamedBeside


class Around(Unshown, frozen=True):
    """What an upstream's request needs beside the client's."""

    request_id: str
    headers: headers.Headers
    now: int
    """Seconds since the epoch."""
    api_key_id: int
    limits: TimeLimits
    run_ids: RunIds | None = None


def way_of(candidate: Candidate, inbound: Inbound) -> Way | NotOffered | Unusable:
    """Tell how a candidate is asked."""
    asked = inbound.asked
    key = (inbound.endpoint.name, asked.stream, asked.events)
    way: Way | NotOffered | Unusable | None = candidate.ways.get(key)
    if way is None:
        way = candidate.ways[key] = _way(candidate, inbound)
    return way


def _way(candidate: Candidate, inbound: Inbound) -> Way | NotOffered | Unusable:
    shaping = candidate.shaping
    target = Target(
        candidate.provider, candidate.base_url, candidate.upstream_model, candidate.key, shaping.provider_options
    )
    call = how_to_ask(target, inbound.asked)
    if not isinstance(call, Call):
        return call
    fault = ""
    try:
        overrides = overrides_of(candidate.parameter_overrides)
    except ShapingFault as broken:
        overrides, fault = overrides_of(""), str(broken)
    translates = (
        call.format is not inbound.written and call.format in CONVERSATIONS and inbound.written in CONVERSATIONS
    )
    vendor = call.vendor
    plain = (
        not overrides
        and not shaping.system_prompt
        and call.adapter is Adapter.NONE
        and not translates
        and vendor.stream_options
        and vendor.max_completion_tokens
        and vendor.developer_role
    )
    asks = call.events and call.operation in _CHATTY and vendor.stream_options and call.adapter is Adapter.NONE
    sent_up = headers.names_up(shaping.provider_options.get(FORWARD_HEADERS, ""))
    return Way(call, target, overrides, fault, translates, plain, asks, sent_up)


def outbound(candidate: Candidate, inbound: Inbound, around: Around) -> Outbound | Passed:
    """Write a client's request for a candidate."""
    way = way_of(candidate, inbound)
    if not isinstance(way, Way):
        return Passed(way)
    if way.overrides_fault:
        return Passed(ShapingFault(way.overrides_fault))
    try:
        if way.translates or way.call.adapter is not Adapter.NONE:
            return _foreign(candidate, inbound, around, way)
        if inbound.form is not None:
            return _form(candidate, inbound.form, inbound.path, around, way)
        return _native(candidate, inbound, around, way)
    except (CannotCarry, DialectFault, AdapterFault, RunIncomplete, ShapingFault) as why:
        return Passed(why)


# ---------------------------------------------------------------- the same format


def _native(candidate: Candidate, inbound: Inbound, around: Around, way: Way) -> Outbound:
    call, losses = way.call, None
    body = inbound.body.body
    if inbound.written in CONVERSATIONS and has_foreign(body) and inbound.written in DIALECTS:
        body, losses = _written(candidate, inbound, way)
    else:
        try:
            if call.model:
                body = inbound.body.addressed_to(call.model)
            elif isinstance(inbound.body, Unnamed):
                body = inbound.body.renamed(inbound.model, candidate.upstream_model)
        except ValueError as fault:
            raise ShapingFault(str(fault)) from None
    hides = False
    if way.plain:
        if way.asks_usage:
            body, asked = ask_for_usage(body)
            hides = not asked
    else:
        shaped = shape(body, call, candidate.shaping, way.overrides, inbound.path)
        body, hides = shaped.body, shaped.hides_usage
    return Outbound(_request(candidate, around, way, body), call, hides_usage=hides, losses=losses)


def _form(candidate: Candidate, form: Form | ComingForm, path: str, around: Around, way: Way) -> Outbound:
    if way.overrides and not way.overrides.touches_nothing(way.call.model, path):
        raise ShapingFault("a form takes no parameter overrides")
    try:
        body = form.addressed_to(way.call.model or form.model)
    except ValueError as fault:
        raise ShapingFault(str(fault)) from None
    if isinstance(body, bytes):
        return Outbound(_request(candidate, around, way, body), way.call)
    return Outbound(msgspec.structs.replace(_request(candidate, around, way, b""), coming=body), way.call)


def _request(candidate: Candidate, around: Around, way: Way, body: bytes, *, anew: bool = False) -> UpstreamRequest:
    call, shaping = way.call, candidate.shaping
    if anew or call.defaults or shaping.removed_headers:
        sent = upstream_headers(
            around.headers, around.request_id, call, candidate.header_overrides, shaping.removed_headers, way.sent_up
        )
        if anew:
            sent = [pair for pair in sent if pair[0] != b"content-type"]
            sent.append(_JSON)
    else:
        sent = headers.with_own(
            around.headers, around.request_id, call.credentials, candidate.header_overrides, way.sent_up
        )
    return UpstreamRequest(call.url, sent, body, candidate.limits.over(around.limits), shaping.proxy)


# ---------------------------------------------------------------- another format, or none


def _foreign(candidate: Candidate, inbound: Inbound, around: Around, way: Way) -> Outbound:
    call = way.call
    losses: Losses | None = None
    body = inbound.body.body
    wants_usage = _wants_usage(inbound)
    if way.translates:
        body, losses = _written(candidate, inbound, way)
    if not way.plain:
        body = shape(body, call, candidate.shaping, way.overrides, inbound.path).body
    watch: translations.Written | None = None
    content_type = b""
    adapter: translations.Adapter | None = None
    whole = not inbound.stream
    if call.adapter is not Adapter.NONE:
        stamp = Stamp(around.request_id, around.now, inbound.model)
        asking = Asking(
            stamp,
            candidate.channel_id,
            around.api_key_id,
            stream=inbound.stream,
            include_usage=wants_usage or way.translates,
            operation=inbound.asked.operation,
            run_ids=around.run_ids,
        )
        adapted = adapt(call, way.target, body, asking)
        body, content_type = adapted.body, adapted.content_type
        losses = _noted(losses, adapted.lost, strict=inbound.strict or candidate.shaping.strict)
        watch = adapter = translations.Adapter(adapted)
    if way.translates:
        stamp_of_ours = DialectStamp(_plain_id(around.request_id), around.now, inbound.model, around.request_id)
        kind = translations.Stream if inbound.stream else translations.Whole
        translated = kind(
            DIALECTS[call.format],
            DIALECTS[inbound.written],
            stamp_of_ours,
            losses or Losses(),
            channel_id=candidate.channel_id,
            include_usage=wants_usage,
            array=inbound.array,
        )
        watch = translated if adapter is None else translations.Chain(adapter, translated)
        content_type = translated.content_type
    request = _request(candidate, around, way, body, anew=True)
    estimated = _ESTIMATED.get(call.adapter, b"")
    return Outbound(request, call, watch, whole=whole, content_type=content_type, losses=losses, estimated=estimated)


_ESTIMATED: Final = {Adapter.GEMINI_COUNT: b"input_tokens", Adapter.ANTHROPIC_COUNT: b"totalTokens"}
"""What another family's count is called here: of a conversation written in that family's form, by its tokens."""


def _plain_id(request_id: str) -> str:
    return "".join(letter for letter in request_id if letter.isalnum())[:64] or "0"


def _noted(losses: Losses | None, lost: tuple[str, ...], *, strict: bool) -> Losses:
    losses = Losses(strict=strict) if losses is None else losses
    for name in lost:
        losses.unknown("", name)
    return losses


def _written(candidate: Candidate, inbound: Inbound, way: Way) -> tuple[bytes, Losses]:
    """Write it in the upstream's format. Raises CannotCarry, DialectFault, the same for every upstream of a kind."""
    strict = inbound.strict or candidate.shaping.strict
    kind = (way.call.format, way.call.vendor.name, candidate.upstream_model, strict)
    if inbound.faults and (known := inbound.faults.get(kind)) is not None:
        raise known.with_traceback(None)
    try:
        return _translated(candidate, inbound, way, strict=strict)
    except (CannotCarry, DialectFault) as fault:
        inbound.faults[kind] = fault
        raise


def _translated(candidate: Candidate, inbound: Inbound, way: Way, *, strict: bool) -> tuple[bytes, Losses]:
    request, losses = inbound.request(strict=strict)
    vendor, ways = way.call.vendor, ways_of(candidate.upstream_model)
    target = DialectTarget(
        candidate.upstream_model,
        max_completion_tokens=vendor.name in _NEWER_NAME and vendor.max_completion_tokens,
        adaptive_thinking=ways.adaptive_thinking,
        xhigh=ways.xhigh,
        sampling=ways.sampling,
        one_sampling=ways.one_sampling,
    )
    return write_request(DIALECTS[way.call.format], request, target, losses), losses


def _wants_usage(inbound: Inbound) -> bool:
    if inbound.written is not Format.OPENAI_CHAT or not inbound.stream:
        return True
    try:
        return ask_for_usage(inbound.body.body)[1]
    except ValueError:
        return False


def watch_of(out: Outbound, content_type: bytes, content_encoding: bytes) -> Watch:
    """Choose what watches an answer that passes as it is."""
    return watches.watch(out.call.format, content_type, content_encoding, hides_usage=out.hides_usage)
