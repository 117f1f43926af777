"""The shapes of Gemini's answers; those of a stream are the same.

The law: only what is read stands here.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from relay_svc.dialects.answer import Failure, Finish, Kind, Usage
from relay_svc.dialects.form import TokenLogprob
from relay_svc.dialects.openai_words import count


class FunctionCall(Struct, rename="camel"):
    """A call."""

    name: str | None = None
    id: str | None = None
    args: dict[str, Any] | None = None


class PartShape(Struct, rename="camel"):
    """A part."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: FunctionCall | None = None
    inline_data: Any = None
    executable_code: Any = None
    code_execution_result: Any = None


class Content(Struct, rename="camel"):
    """A turn."""

    parts: list[PartShape] | None = None


class Token(Struct, rename="camel"):
    """A token's probability."""

    token: str = ""
    log_probability: float = 0.0


class Tokens(Struct, rename="camel"):
    """Tokens that were nearly chosen."""

    candidates: list[Token] | None = None


class LogprobsResult(Struct, rename="camel"):
    """Probabilities of the tokens said."""

    chosen_candidates: list[Token] | None = None
    top_candidates: list[Tokens] | None = None


class CandidateShape(Struct, rename="camel"):
    """One candidate."""

    content: Content | None = None
    finish_reason: str | None = None
    finish_message: str | None = None
    index: int | None = None
    logprobs_result: LogprobsResult | None = None
    citation_metadata: Any = None
    grounding_metadata: Any = None


class UsageShape(Struct, rename="camel"):
    """Tokens."""

    prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    cached_content_token_count: int | None = None
    thoughts_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None


class Feedback(Struct, rename="camel"):
    """Why the prompt was refused."""

    block_reason: str | None = None
    block_reason_message: str | None = None


class ResponseShape(Struct, rename="camel"):
    """A whole answer, or one event of a stream."""

    candidates: list[CandidateShape] | None = None
    prompt_feedback: Feedback | None = None
    usage_metadata: UsageShape | None = None
    model_version: str | None = None
    error: Any = None


RESPONSE: Final = msgspec.json.Decoder(ResponseShape)

_FILTERED: Final = frozenset(
    {"SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE", "MODEL_ARMOR"}
    | {"IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION"}
)
FINISH_WORDS: Final = {
    Finish.STOP: "STOP",
    Finish.STOP_SEQUENCE: "STOP",
    Finish.LENGTH: "MAX_TOKENS",
    Finish.CONTEXT: "MAX_TOKENS",
    Finish.TOOLS: "STOP",
    Finish.FILTER: "SAFETY",
    Finish.REFUSAL: "SAFETY",
    Finish.PAUSE: "STOP",
}
MALFORMED: Final = "MALFORMED_FUNCTION_CALL"
_ENDED: Final = frozenset({"STOP", "FUNCTION_CALL"})
"""Ordinary ends; the second is none of Gemini's own words, but one of servers that imitate it."""


def finish_of(candidate: CandidateShape, *, calls: bool) -> Finish | Failure:
    """Read why it ended; what says that the answer is no good is a failure."""
    word = candidate.finish_reason or ""
    if word in _ENDED:
        return Finish.TOOLS if calls else Finish.STOP
    if word == "MAX_TOKENS":
        return Finish.LENGTH
    if word in _FILTERED:
        return Finish.FILTER
    return Failure(Kind.UPSTREAM, candidate.finish_message or f"the answer ended with {word[:64]}", code=word[:64])


def usage_of(shape: UsageShape | None) -> Usage | None:
    """Read the tokens."""
    if shape is None:
        return None
    thoughts = count(shape.thoughts_token_count)
    return Usage(
        count(shape.prompt_token_count) + count(shape.tool_use_prompt_token_count),
        count(shape.candidates_token_count) + thoughts,
        count(shape.cached_content_token_count),
        0,
        thoughts,
    )


def written_usage(usage: Usage) -> dict[str, Any]:
    """Write the tokens."""
    written = {
        "promptTokenCount": usage.input,
        "candidatesTokenCount": max(0, usage.output - usage.reasoning),
        "totalTokenCount": usage.input + usage.output,
    }
    if usage.cached:
        written["cachedContentTokenCount"] = usage.cached
    if usage.reasoning:
        written["thoughtsTokenCount"] = usage.reasoning
    return written


def read_logprobs(result: LogprobsResult | None) -> list[TokenLogprob] | None:
    """Read the probabilities of tokens; None when there are none."""
    if result is None or not result.chosen_candidates:
        return None
    tops = [tokens.candidates or [] for tokens in result.top_candidates or ()]
    tops += [[]] * (len(result.chosen_candidates) - len(tops))
    return [
        TokenLogprob(chosen.token, chosen.log_probability, tuple((each.token, each.log_probability) for each in top))
        for chosen, top in zip(result.chosen_candidates, tops, strict=False)
    ]


def written_logprobs(logprobs: list[TokenLogprob]) -> dict[str, Any]:
    """Write the probabilities of tokens."""
    return {
        "chosenCandidates": [_token(each.token, each.logprob) for each in logprobs],
        "topCandidates": [{"candidates": [_token(*top) for top in each.top]} for each in logprobs],
    }


def _token(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logProbability": logprob}
