"""What the relay counts. The law: no label holds a stranger's text: a model is a label only as the catalog declares it.

What is counted with every request is asked of the functions below, which look a child up once: `labels` takes 2 µs.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from prometheus_client import Gauge

from relay_svc import tally
from relay_svc.tally import Counter, Histogram

_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320)
_TOKENS: Final = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576)  # as OpenTelemetry advises

REQUESTS: Final = Counter(
    "trunkline_relay_requests_total", "Requests ended, by outcome and HTTP status.", ["outcome", "status"]
)
REQUEST_SECONDS: Final = Histogram(
    "trunkline_relay_request_seconds", "From a request's head to the end of its answer.", buckets=_SECONDS
)
FIRST_BYTE_SECONDS: Final = Histogram(
    "trunkline_relay_first_byte_seconds", "From a request's head to the first byte of its answer.", buckets=_SECONDS
)
OVERHEAD_SECONDS: Final = Histogram(
    "trunkline_relay_overhead_seconds",
    "The relay's own share of the time to the first byte: neither reading the body nor waiting for an upstream.",
    buckets=(0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5),
)
ATTEMPTS: Final = Counter("trunkline_relay_attempts_total", "Attempts on candidates, by result.", ["result"])
IN_FLIGHT: Final = tally.Gauge(
    "trunkline_relay_in_flight_requests", "Requests being served.", multiprocess_mode="livesum"
)
LOST: Final = Counter(
    "trunkline_relay_lost_total",
    "Things of requests and answers that a translation could not carry, by name; members that nobody knows are one name.",
    ["name"],
)
LOOP_LAG: Final = Histogram(
    "trunkline_relay_loop_lag_seconds",
    "How late the event loop woke a timer: what every request waits besides.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
CLIENTS_GONE: Final = Counter("trunkline_relay_clients_gone_total", "Clients that left before their answer ended.")
PICK_SECONDS: Final = Histogram(
    "trunkline_relay_pick_seconds",
    "From asking the routers for a plan, or for the models, to having it or its refusal.",
    buckets=(0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 2.5, 5),
)
PICKS_ASKED_AGAIN: Final = Counter("trunkline_relay_picks_asked_again_total", "Picks asked again of another router.")
OUTCOMES_DROPPED: Final = Counter("trunkline_relay_outcomes_dropped_total", "Outcomes that no router was told of.")
ROUTER_UP: Final = Gauge(
    "trunkline_relay_router_up", "Whether a router is connected.", ["router"], multiprocess_mode="livemin"
)

GEN_AI_TOKENS: Final = Histogram(
    "gen_ai_client_token_usage",
    "Tokens of a request, as the upstream counted them.",
    ["gen_ai_token_type", "gen_ai_request_model", "gen_ai_provider_name"],
    buckets=_TOKENS,
)
GEN_AI_DURATION: Final = Histogram(
    "gen_ai_client_operation_duration_seconds",
    "Time of the attempt that answered.",
    ["gen_ai_request_model", "gen_ai_provider_name"],
    buckets=_SECONDS,
)
GEN_AI_FIRST_TOKEN: Final = Histogram(
    "gen_ai_server_time_to_first_token_seconds",
    "From the start of the attempt that answered to the first byte of its stream.",
    ["gen_ai_request_model", "gen_ai_provider_name"],
    buckets=_SECONDS,
)


@dataclass(frozen=True, slots=True)
class Answers:
    """The histograms of one model at one provider."""

    duration: Histogram
    first_token: Histogram
    input_tokens: Histogram
    output_tokens: Histogram


@lru_cache(maxsize=1024)
def answers(model: str, provider: str) -> Answers:
    """Give the histograms of a model, as the catalog declares it, at a provider."""
    return Answers(
        GEN_AI_DURATION.labels(model, provider),
        GEN_AI_FIRST_TOKEN.labels(model, provider),
        GEN_AI_TOKENS.labels("input", model, provider),
        GEN_AI_TOKENS.labels("output", model, provider),
    )


@lru_cache(maxsize=1024)
def requests(outcome: str, status: int) -> Counter:
    """Give the count of requests that ended so."""
    return REQUESTS.labels(outcome, str(status))


@lru_cache(maxsize=64)
def attempts(result: str) -> Counter:
    """Give the count of attempts that ended so."""
    return ATTEMPTS.labels(result)


@lru_cache(maxsize=1024)
def lost(name: str) -> Counter:
    """Give the count of what was lost under a name of the dialects' own."""
    return LOST.labels(name)
