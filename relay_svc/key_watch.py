"""Ends requests that go on while their API key is switched off: a stream may last an hour.

Law: only a router's proven "unknown", "disabled" or "expired" ends a request; whatever else is said, or nothing, is a doubt
and ends none. A request that is over before the first look costs an entry of a dict.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import Final, Self

import msgspec

from relay_svc.deadlines import Deadline
from relay_svc.plan import Asked, NoPlan, PickRefused, Routers
from trunkline.errors import Reason
from trunkline.secret import Secret
from trunkline.telemetry import get_logger

log = get_logger()

_OFF: Final = frozenset({Reason.API_KEY_UNKNOWN, Reason.API_KEY_DISABLED, Reason.API_KEY_EXPIRED})
_LOOKS: Final = 3
"""Looks at what is open between two checks of a request's key."""
_AT_ONCE: Final = 64
"""Keys checked at a time: picks of clients that wait come with them in the same messages."""


class Watched(msgspec.Struct, eq=False):
    """One open request, inside a `with`."""

    watch: KeyWatch
    asked: Asked
    deadline: Deadline
    looks: int = 0
    refused: PickRefused | None = None
    """Why it was ended, once it was."""

    def __enter__(self) -> Self:
        self.watch.open[self] = None
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _fault: BaseException | None, _: TracebackType | None
    ) -> None:
        self.watch.open.pop(self, None)

    def end(self, refused: PickRefused) -> None:
        """End it as its deadline would."""
        self.watch.open.pop(self, None)
        self.refused = refused
        self.deadline.every.met(self.deadline)
        self.deadline.cut()


class KeyWatch:
    """Every open request, and the clock by which their keys are checked."""

    def __init__(self, routers: Routers, interval: float, pick_timeout: float) -> None:
        """Take who proves, how often each key is checked, and the longest wait for that; in seconds."""
        self.open: dict[Watched, None] = {}
        self._routers, self._interval, self._pick_timeout = routers, interval, pick_timeout

    def watching(self, asked: Asked, deadline: Deadline) -> Watched:
        """Watch over a request inside a `with`, which stands inside its deadline's."""
        return Watched(self, asked, deadline)

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            await asyncio.sleep(self._interval / _LOOKS)
            await self._check(self._due())

    def _due(self) -> dict[Secret, list[Watched]]:
        """The requests whose keys are to be checked now, by key."""
        due: dict[Secret, list[Watched]] = {}
        for watched in self.open:
            watched.looks += 1
            if watched.looks >= _LOOKS:
                watched.looks = 0
                due.setdefault(watched.asked.api_key, []).append(watched)
        return due

    async def _check(self, due: dict[Secret, list[Watched]]) -> None:
        entries = list(due.values())
        for start in range(0, len(entries), _AT_ONCE):
            async with asyncio.TaskGroup() as tasks:
                for of_key in entries[start : start + _AT_ONCE]:
                    tasks.create_task(self._check_key(of_key), name="check of an API key")

    async def _check_key(self, requests: Iterable[Watched]) -> None:
        requests = list(requests)
        asked = requests[0].asked
        once = Asked(asked.api_key, asked.model, asked.client_address, 1)
        deadline = asyncio.get_running_loop().time() + self._pick_timeout
        try:
            await self._routers.pick(once, deadline)
        except PickRefused as refused:
            if refused.reason in _OFF:
                self._end(requests, refused)
        except (NoPlan, TimeoutError):
            pass  # a doubt

    def _end(self, requests: Iterable[Watched], refused: PickRefused) -> None:
        still = [watched for watched in requests if watched in self.open]
        for watched in still:
            watched.end(refused)
        log.info("requests ended with their API key", reason=refused.reason, requests=len(still))
