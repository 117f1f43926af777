"""Asks a router for channels beyond those that a request has seen: passed over, or tried in vain.

Law: a plan's length is not the world. What a request has seen goes along as `excluded`, so the router names others, of lower
tiers and of fallback groups too, until it proves that there are none. Plans asked for here are long, so that thousands
of channels are a few dozen questions; a few such questions are under way at a time, since long plans of many requests in one
message would outgrow what a message may hold, and break the stream under everybody.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

import msgspec

from relay_svc.plan import Asked, PickRefused, PicksOverloaded, Plan, Routers
from trunkline.errors import Reason

MOST_SEEN: Final = 4096
"""Channels that one request looks at; a router takes no longer list of those to leave out."""
WIDE: Final = 64
"""Candidates asked for after some were passed over."""
_NARROW: Final = 16
"""As many as routers of an earlier version name."""
_AT_ONCE: Final = 4


class AskingOn:
    """Asks on, for all requests of a relay."""

    def __init__(self, routers: Routers) -> None:
        """Take the routers."""
        self._routers = routers
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._widest = WIDE

    async def ask(self, asked: Asked, seen: Iterable[int], wanted: int, patience: float) -> Plan:
        """Ask for up to `wanted` candidates of other channels, for `patience` seconds. Raises NoPlan."""
        excluded = tuple(sorted(seen))
        deadline = asyncio.get_running_loop().time() + patience
        if wanted <= _NARROW:  # what every request may ask for: it waits for no others
            return await self._asked(asked, excluded, wanted, deadline)
        try:
            async with asyncio.timeout_at(deadline):
                await self._room.acquire()
        except TimeoutError:
            raise PicksOverloaded from None
        try:
            return await self._asked(asked, excluded, wanted, deadline)
        finally:
            self._room.release()

    async def _asked(self, asked: Asked, excluded: tuple[int, ...], wanted: int, deadline: float) -> Plan:
        wanted = min(wanted, self._widest)
        wide = msgspec.structs.replace(asked, excluded=excluded, max_candidates=wanted)
        try:
            return await self._routers.pick(wide, deadline)
        except PickRefused as refused:
            if refused.reason is not Reason.INVALID_FIELDS or wanted <= _NARROW:
                raise
        self._widest = _NARROW
        return await self._routers.pick(msgspec.structs.replace(wide, max_candidates=_NARROW), deadline)
