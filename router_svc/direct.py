"""Reads from the database just what some picks need, when the snapshot is not to be used or cannot be trusted for them.

The law: a pick joins only a read that has not begun, so what is read is as fresh as a proof. One read runs and the picks that
come meanwhile wait together for the next, so a storm of them costs what a few do. Callers only wait, within their own time.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from router_svc import catalog, metrics
from router_svc.cache import Cache
from router_svc.catalog import Part
from router_svc.line import Line, LineDown, hang_up, leaving
from router_svc.plan import Ask
from trunkline.secret import Secret
from trunkline.telemetry import get_logger

log = get_logger()

_SILENCE: Final = 2.0  # seconds
_HANG_UP_LIMIT: Final = 0.5  # seconds
_RETRY: Final = 0.1  # seconds after a read that failed
_LONG: Final = 20_000  # characters of model names that one read asks for; each may begin a wildcard
_QUEUE: Final = 32  # reads that may be waiting


@dataclass(slots=True)
class Reading:
    """One read: what is asked for, and what came of it."""

    models: set[str] = field(default_factory=set)
    hashes: set[bytes] = field(default_factory=set)
    length: int = 0
    done: asyncio.Event = field(default_factory=asyncio.Event)
    part: Part | None = None

    def takes(self, ask: Ask) -> bool:
        """Take a pick in, if there is room."""
        if self.length and self.length + len(ask.model) > _LONG:
            return False
        if ask.model not in self.models:
            self.models.add(ask.model)
            self.length += len(ask.model)
        self.hashes.update(hashed for hashed in (ask.key_hash, ask.old_key_hash) if hashed is not None)
        return True

    async def wait(self, deadline: float) -> Part | None:
        """Give what was read; None when it could not be had in time."""
        try:
            async with asyncio.timeout_at(deadline):
                await self.done.wait()
        except TimeoutError:
            return None
        return self.part


class Direct:
    """Reads parts of the catalog for picks."""

    def __init__(self, dsn: Secret, cache: Cache) -> None:
        """Take a bounded DSN, and whose last good versions may stand in for rows that cannot be read."""
        self._line = Line(dsn, silence=_SILENCE)
        self._cache = cache
        self._waiting: deque[Reading] = deque()
        self._wanted = asyncio.Event()
        self.failing = False
        """Whether the last read failed."""

    def join(self, ask: Ask) -> Reading | None:
        """Give the read, not begun yet, that will tell of a pick; None when too many are waiting."""
        if not self._waiting or not self._waiting[-1].takes(ask):
            if len(self._waiting) >= _QUEUE:
                return None
            read = Reading()
            read.takes(ask)
            self._waiting.append(read)
            self._wanted.set()
        return self._waiting[-1]

    async def run(self, stop: asyncio.Event) -> None:
        """Read what is asked for, until `stop`."""
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(self._work(), name="direct reads")
            await stop.wait()
            await hang_up([self._line], _HANG_UP_LIMIT)
            working.cancel()
        self._line.close()

    async def _work(self) -> None:
        while not leaving():
            await self._wanted.wait()
            read = self._waiting.popleft()
            if not self._waiting:
                self._wanted.clear()
            try:
                read.part = await self._read(read.models, read.hashes)
            finally:
                read.done.set()
            self.failing = read.part is None
            if self.failing:
                await asyncio.sleep(_RETRY)

    async def _read(self, models: Iterable[str], hashes: Iterable[bytes]) -> Part | None:
        asked, held = (list(models), list(hashes)), self._cache.snapshot
        try:
            with metrics.DIRECT_READ_SECONDS.time():
                began = time.monotonic()
                part = await self._line.run(lambda connection: catalog.read_part(connection, *asked, held))
                self._cache.secrets.learn(part.secrets, began)
        except LineDown as down:
            log.warning("[Distributor] catalog not read for a pick", fault=down.cause)
        except Exception:  # whatever a read may meet, the next one is tried
            log.exception("[Distributor] catalog not read for a pick")
        else:
            metrics.DIRECT_READS.labels("ok").inc()
            return part
        metrics.DIRECT_READS.labels("failed").inc()
        return None
