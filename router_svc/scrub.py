"""Reads the whole catalog again now and then, and holds the snapshot against it.

The law: it goes slowly, on a session of its own, and never holds up picks or loads. A snapshot that is not what the database
holds at its very revision proves nothing from then on, and is read anew. What moved on meanwhile is looked at next time.
"""

import asyncio
import random
from typing import Final

from router_svc import catalog, metrics
from router_svc.cache import Cache
from router_svc.comparison import Comparison
from router_svc.line import Line, LineDown, hang_up, leaving
from trunkline.secret import Secret
from trunkline.telemetry import DISTRIBUTOR, get_logger

log = get_logger()

EVERY: Final = 300.0
"""Seconds between two scrubs, at most."""
_JITTER: Final = 0.2  # a scrub comes up to this part earlier, so that many routers do not read at once
_AGAIN: Final = 10.0  # seconds until the next try, when the catalog had just moved on
_SILENCE: Final = 10.0  # seconds
_HANG_UP_LIMIT: Final = 0.5  # seconds


class Scrub:
    """Scrubs what a cache holds."""

    def __init__(self, dsn: Secret, cache: Cache, *, every: float = EVERY) -> None:
        """Take a bounded DSN, and the seconds between two scrubs."""
        self._line = Line(dsn, silence=_SILENCE)
        self._cache, self._every = cache, every

    async def run(self, stop: asyncio.Event) -> None:
        """Scrub until `stop`."""
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(self._work(), name="scrub")
            await stop.wait()
            await hang_up([self._line], _HANG_UP_LIMIT)
            working.cancel()
        self._line.close()

    async def _work(self) -> None:
        pause = self._every
        while not leaving():
            await asyncio.sleep(pause * (1 - _JITTER * random.random()))
            result = await self._scrub()
            metrics.SCRUBS.labels(result).inc()
            pause = min(_AGAIN, self._every) if result == "moved on" else self._every

    async def _scrub(self) -> str:
        held = self._cache.snapshot
        if held is None:
            return "moved on"
        comparison, line = Comparison(held), self._line
        try:
            compared = await line.run(
                lambda connection: catalog.go_over(connection, held.token, comparison.look, heard=line.heard)
            )
        except LineDown as down:
            log.info("catalog not scrubbed", fault=down.cause)
            return "failed"
        except Exception:  # whatever a read may meet, the next one is tried
            log.exception("catalog not scrubbed")
            return "failed"
        if not compared:
            return "moved on"
        differences = comparison.end()
        if not differences:
            return "same"
        log.error(
            "%s snapshot is not what the database holds: reading everything",
            DISTRIBUTOR,
            revision=held.token.revision,
            differences=differences,
        )
        if self._cache.snapshot is held:
            self._cache.distrust()
        return "different"
