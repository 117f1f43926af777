"""What happened to one request: gathered along its way, and told once, at its end, as one log line and the metrics.

The law: names, numbers and ids only. No header, body or key comes near a record.
"""

import time

import msgspec

from relay_svc import metrics
from relay_svc.errors import Headers, HttpRefusal
from relay_svc.line_budget import LineBudget
from relay_svc.plan import NO_USAGE, Candidate, Outcome, Plan, Result, Routers, Usage
from trunkline.telemetry import DISTRIBUTOR, tell

SERVED = "served"
UPSTREAM_ERROR = "upstream_error"
REFUSED = "refused"
BROKEN = "broken"
CLIENT_LEFT = "client_left"
CLIENT_STALLED = "client_stalled"
ABANDONED = "abandoned"
FAILED = "failed"

now = time.perf_counter

_anonymous = LineBudget()
"""Of the whole process."""


class Record(msgspec.Struct):
    """One request. Times in seconds by `now`."""

    request_id: str
    path: str
    client_address: str
    anthropics: bool = False
    """Whether the client is Anthropic's, whose SDKs look for the request id under another name."""
    start: float = msgspec.field(default_factory=now)
    body_end: float = 0.0
    """When the request had been read."""
    upstream_wait: float = 0.0
    """Time before the first byte spent waiting for upstreams."""
    first_byte: float = 0.0
    """When the first byte went to the client; 0 before."""
    model: str = ""
    stream: bool = False
    bytes_in: int = 0
    plan: Plan | None = None
    channels: list[int] = []
    """The channels tried, in order."""
    passed_over: int = 0
    """Channels that could not be asked for this."""
    retries_cut: str = ""
    """Whose budget of retries was spent, when one was not made for that."""
    outcome: str = ABANDONED
    """What is told unless something better is known."""
    reason: str = ""
    anonymous: bool = False
    """Whether it was refused before anybody had said who asks: such lines have a budget."""
    usage: Usage = NO_USAGE

    def begin_answer(self) -> float:
        """Note that the first byte goes out; gives the relay's own share of the time to it, in seconds."""
        self.first_byte = now()
        return max(0.0, self.first_byte - (self.body_end or self.start) - self.upstream_wait)

    def headers(self, overhead: float) -> Headers:
        """Give the relay's own headers of the answer."""
        headers: Headers = [
            (b"x-request-id", self.request_id.encode()),
            (b"x-trunkline-overhead-ms", b"%.3f" % (overhead * 1e3)),
        ]
        if self.anthropics:
            headers.append((b"request-id", self.request_id.encode()))
        if self.plan is not None:
            headers += [
                (b"x-trunkline-attempts", b"%d" % len(self.channels)),
                (b"x-trunkline-revision", b"%d" % self.plan.revision),
            ]
            if self.channels:
                headers.append((b"x-trunkline-channel-id", b"%d" % self.channels[-1]))
            if self.plan.degraded:
                headers.append((b"x-trunkline-degraded", b"age=%.1f" % self.plan.snapshot_age))
        return headers

    def refuse(self, refusal: HttpRefusal) -> None:
        """Note an error of the relay's own."""
        self.outcome, self.reason = REFUSED, refusal.reason

    def close(self, status: int, sent: int, *, gone: bool) -> None:
        """Tell it all; `status` and `sent` (bytes) are what the client got, `gone` says that it left."""
        end = now()
        if gone:
            self.outcome = CLIENT_LEFT
            metrics.CLIENTS_GONE.inc()
        metrics.requests(self.outcome, status).inc()
        metrics.REQUEST_SECONDS.observe(end - self.start)
        if self.first_byte:
            metrics.FIRST_BYTE_SECONDS.observe(self.first_byte - self.start)
        self._log(end, status, sent)

    def _log(self, end: float, status: int, sent: int) -> None:
        untold = _anonymous.take(end) if self.anonymous else 0
        if untold is None:
            return
        facts: dict[str, object] = {
            "request_id": self.request_id,
            "path": self.path,
            "status": status,
            "outcome": self.outcome,
            "client_address": self.client_address,
            "duration_ms": _ms(end - self.start),
            "bytes_in": self.bytes_in,
            "bytes_out": sent,
        }
        if self.reason:
            facts["reason"] = self.reason
        if untold:
            facts["refused_unlogged"] = untold
        if self.model:
            facts["model"], facts["stream"] = self.model[:256], self.stream
        if self.first_byte:
            overhead = self.first_byte - (self.body_end or self.start) - self.upstream_wait
            facts["ttfb_ms"], facts["overhead_ms"] = _ms(self.first_byte - self.start), _ms(overhead)
        if (plan := self.plan) is not None:
            facts["group"] = plan.group
            facts["api_key_id"] = plan.api_key_id
            facts["channel_ids"] = self.channels
            facts["attempts"] = len(self.channels)
            if self.passed_over:
                facts["passed_over"] = self.passed_over
            if self.retries_cut:
                facts["retries_cut_by"] = str(self.retries_cut)
            facts["decision_id"] = plan.decision_id
            facts["revision"] = plan.revision
            facts["router"] = plan.router
        if self.usage is not NO_USAGE:
            facts["input_tokens"], facts["output_tokens"] = self.usage.input_tokens, self.usage.output_tokens
        bad = status >= 500 or self.outcome in (BROKEN, FAILED, ABANDONED, CLIENT_STALLED)  # noqa: PLR2004 - HTTP
        tell("warning" if bad else "info", f"{DISTRIBUTOR} {self.outcome}", facts)


def _ms(span: float) -> float:
    return int(span * 1e6) / 1e3  # whole microseconds, for a quarter of what `round` costs


class Attempt(msgspec.Struct):
    """One attempt on one candidate, told to the router that named it."""

    record: Record
    plan: Plan
    candidate: Candidate
    number: int
    start: float = msgspec.field(default_factory=now)
    first_byte: float = 0.0
    status: int = 0
    code: str = ""
    streamed: bool = False
    ended: bool = False

    def end(self, routers: Routers, result: Result, usage: Usage = NO_USAGE) -> None:
        """Tell how it ended, the first time this is called."""
        if self.ended:
            return
        self.ended = True
        end = now()
        metrics.attempts(result.value.lower()).inc()
        routers.report(
            self.plan.router,
            Outcome(
                decision_id=self.plan.decision_id,
                request_id=self.record.request_id,
                attempt=self.number,
                channel_id=self.candidate.channel_id,
                key_id=self.candidate.key_id,
                model=self.record.model,
                result=result,
                http_status=self.status,
                error_code=self.code,
                first_byte_seconds=self.first_byte - self.start if self.first_byte else None,
                total_seconds=end - self.start,
                end_time=time.time(),
                streamed=self.streamed,
                usage=usage,
            ),
        )
        if result is Result.SUCCESS:
            self._measure(end, usage)

    def _measure(self, end: float, usage: Usage) -> None:
        measured = metrics.answers(self.plan.matched_model, self.candidate.provider)
        measured.duration.observe(end - self.start)
        if self.streamed:
            measured.first_token.observe(self.first_byte - self.start)
        if usage.input_tokens:
            measured.input_tokens.observe(usage.input_tokens)
        if usage.output_tokens:
            measured.output_tokens.observe(usage.output_tokens)
