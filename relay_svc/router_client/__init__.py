"""The port to the routers on gRPC: several routers, spread by least in flight, degraded ones last.

    RouterClient   the port: chooses a router, asks again elsewhere, learns of peers            (pool.py)
    └── Link       one router: its connection, its state, its return after a loss              (link.py)
        ├── PickStream      all picks of a turn in one message, one message in flight         (picks.py)
        └── OutcomeStream   what came of the candidates it named, in batches                  (outcomes.py)

The law: every wait has a deadline and every queue a bound; an unanswered pick is asked again elsewhere, since a pick changes
nothing. Protobuf stays in this package (wire.py).
"""

from relay_svc.router_client.link import LinkSettings
from relay_svc.router_client.pool import RouterClient

__all__ = ["LinkSettings", "RouterClient"]
