"""What a connection is told that did not bring a request: written once, in the words of each family of clients.

The law: the connection ends with it, since nobody knows where the next request would begin.
"""

from typing import Final

from relay_svc.endpoints import family_of
from relay_svc.envelopes import Told, envelope
from relay_svc.operations import Format
from trunkline.http_faults import FAULTS, HttpFault


def _response(fault: HttpFault, written: Format) -> bytes:
    told = Told(fault.status, fault.code.upper(), fault.message, fault.code, None, "", None, fault.retry)
    return fault.response(envelope(written, told))


_RESPONSES: Final = {
    (fault.code, written): _response(fault, written)
    for fault in FAULTS
    for written in (Format.OPENAI, Format.ANTHROPIC, Format.GEMINI)
}


def words(fault: HttpFault, target: bytes) -> bytes:
    """The whole response to a fault, in the words of the clients of that target, as far as it came."""
    return _RESPONSES[fault.code, family_of(target)]
