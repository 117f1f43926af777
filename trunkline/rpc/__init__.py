"""gRPC as every service here speaks it: typed refusals, bearer scopes, deadlines, health, reflection and channelz."""

from trunkline.rpc.client import Dialled, dial
from trunkline.rpc.gate import OPEN, Caller, caller
from trunkline.rpc.refusals import RefusalRead, read_error, read_refusal, refusal_of, status_of
from trunkline.rpc.server import Server

__all__ = [
    "OPEN",
    "Caller",
    "Dialled",
    "RefusalRead",
    "Server",
    "caller",
    "dial",
    "read_error",
    "read_refusal",
    "refusal_of",
    "status_of",
]
