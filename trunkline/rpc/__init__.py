"""gRPC as every service here speaks it: typed refusals, bearer scopes, deadlines, health, reflection and channelz."""

from trunkline.rpc.client import ROUTER_NAME, Dialled, PlaintextDialError, check_dial, dial
from trunkline.rpc.gate import OPEN, Caller, caller, peer_host
from trunkline.rpc.refusals import RefusalRead, read_error, read_refusal, refusal_of, status_of
from trunkline.rpc.server import Server

__all__ = [
    "OPEN",
    "ROUTER_NAME",
    "Caller",
    "Dialled",
    "PlaintextDialError",
    "RefusalRead",
    "Server",
    "caller",
    "check_dial",
    "dial",
    "peer_host",
    "read_error",
    "read_refusal",
    "refusal_of",
    "status_of",
]
