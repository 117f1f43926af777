"""Tokens, read out of answers that pass in their own dialect.

The law: pure, bounded, and never raises: an answer that cannot be read has told no tokens.
"""

from collections.abc import Callable
from typing import Final

from relay_svc.dialects.answer import Usage
from relay_svc.dialects.anthropic import shapes as anthropic
from relay_svc.dialects.faults import DialectFault
from relay_svc.dialects.form import Dialect
from relay_svc.dialects.gemini import shapes as gemini
from relay_svc.dialects.members import decoded
from relay_svc.dialects.openai_chat import shapes as chat
from relay_svc.dialects.openai_responses import shapes as responses


def read_usage(dialect: Dialect, body: bytes) -> Usage | None:
    """Read the tokens of a whole answer; None when it tells none."""
    try:
        return _WHOLE[dialect](body)
    except (DialectFault, RecursionError):
        return None


_WHOLE: Final[dict[Dialect, Callable[[bytes], Usage | None]]] = {
    Dialect.OPENAI_CHAT: lambda body: chat.usage_of(decoded(chat.CHUNK.decode, body).usage),
    Dialect.OPENAI_RESPONSES: lambda body: responses.usage_of(decoded(responses.RESPONSE.decode, body).usage),
    Dialect.ANTHROPIC: lambda body: anthropic.usage_of(decoded(anthropic.MESSAGE.decode, body).usage),
    Dialect.GEMINI: lambda body: gemini.usage_of(decoded(gemini.RESPONSE.decode, body).usage_metadata),
}
