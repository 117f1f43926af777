"""Translates between the wire formats of LLM APIs, for a client and an upstream that speak different ones.

    client's bytes ─▶ read_request ─▶ Request ─▶ write_request ─▶ upstream's bytes     (translate.py, form.py)
    client's bytes ◀─ write_answer ◀─ Answer  ◀─ read_answer   ◀─ upstream's bytes     (translate.py, answer.py)
    client's bytes ◀─────────────── Translation ◀──────────────── upstream's chunks    (streams.py, sse.py)
    client's bytes ◀─ write_error  ◀─ Failure ◀─ read_error    ◀─ upstream's bytes     (errors.py)

The law: pure; no clock, no randomness, no waiting. Where both sides speak one format nothing here is asked: the bytes are the
client's own. What cannot be carried is never dropped in silence: it is
noted in Losses, or raises CannotCarry. What is not of its format raises DialectFault, and nothing else is ever raised.
"""

from relay_svc.dialects.answer import Answer, Failure, Kind, Stamp, Usage
from relay_svc.dialects.errors import read_error, write_error
from relay_svc.dialects.faults import CannotCarry, DialectFault
from relay_svc.dialects.form import Dialect, Request, Target
from relay_svc.dialects.losses import Losses
from relay_svc.dialects.streams import StreamReader, Translation, stream_type, stream_writer
from relay_svc.dialects.translate import read_answer, read_request, write_answer, write_request
from relay_svc.dialects.usage import read_usage

__all__ = [
    "Answer",
    "CannotCarry",
    "Dialect",
    "DialectFault",
    "Failure",
    "Kind",
    "Losses",
    "Request",
    "Stamp",
    "StreamReader",
    "Target",
    "Translation",
    "Usage",
    "read_answer",
    "read_error",
    "read_request",
    "read_usage",
    "stream_type",
    "stream_writer",
    "write_answer",
    "write_error",
    "write_request",
]
