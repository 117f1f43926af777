"""Lets large and costly bodies in: those of callers that a router knows, and as many bytes as there is room for.

The law: identity before memory. Of a caller whom no router has confirmed of late, no more is read than a small body's bytes
until one has; meanwhile its connection is not read. Whoever is refused is refused by a router, with its proof.
"""

import asyncio
from typing import Final

from relay_svc import errors
from relay_svc.body_budget import BodyBudget, Share
from relay_svc.client_request import ClientRequest
from relay_svc.known_keys import KnownKeys
from relay_svc.plan import Routers
from trunkline.guess_brake import network_of
from trunkline.secret import Secret

_MOST_ASKED: Final = 16
"""Unknown keys that routers are asked about at a time."""
_OF_ONE_PEER: Final = 2
"""Of them, those that one address may have under way: its others wait behind these, and nobody else's do."""


class Admission:
    """What decides whether a large body is read."""

    def __init__(
        self,
        routers: Routers,
        known: KnownKeys,
        budget: BodyBudget,
        small: int,
        body_timeout: float,
        pick_timeout: float,
    ) -> None:
        """Take the routers, who is known, the room, the bytes of a small body, and the limits in seconds."""
        self._routers, self._known, self._budget = routers, known, budget
        self.small = small
        """Bytes that are read of anybody's body."""
        self._body_timeout, self._pick_timeout = body_timeout, pick_timeout
        self._asking = asyncio.Semaphore(_MOST_ASKED)
        self._peers: dict[str, _Turn] = {}

    async def admit(
        self, request: ClientRequest, api_key: Secret, address: str, limit: int, held: int | None = None
    ) -> Share | None:
        """Let a body in, at most `limit` bytes of which `held` are kept; None for a small one.

        Raises HttpRefusal, NoPlan.
        """
        size = request.length
        if size is not None and size > limit:
            raise errors.body_too_large(limit)
        if size is None:
            if not request.header(b"expect") and await request.is_within(self.small, self._body_timeout):
                return None
            size = limit
        elif size <= self.small:
            return None
        await self.confirm(api_key, address)
        return await self._budget.reserve(size if held is None else min(size, held))

    async def confirm(self, api_key: Secret, address: str) -> None:
        """Have a router know the key, unless one did of late. Raises NoPlan."""
        if not self._known.knows(api_key):
            await self._ask(api_key, address)

    async def _ask(self, api_key: Secret, address: str) -> None:
        deadline = asyncio.get_running_loop().time() + self._pick_timeout
        network = network_of(address)
        peer = self._peers.setdefault(network, _Turn())
        peer.waiting += 1
        try:
            async with asyncio.timeout_at(deadline) as limit, peer.room, self._asking:
                limit.reschedule(None)  # from here on a router's answer is waited for, which has the same limit
                if not self._known.knows(api_key):  # another request of the same key may have asked meanwhile
                    await self._routers.models(api_key, address, deadline)
                    self._known.note(api_key)
        except TimeoutError:
            raise errors.overloaded("unknown keys are being asked about") from None
        finally:
            peer.waiting -= 1
            if not peer.waiting:
                del self._peers[network]


class _Turn:
    """The line of one network."""

    __slots__ = ("room", "waiting")

    def __init__(self) -> None:
        self.room = asyncio.Semaphore(_OF_ONE_PEER)
        self.waiting = 0
