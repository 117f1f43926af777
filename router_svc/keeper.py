"""Keeps copies of the snapshot on the disk, and starts the router from one when the database does not answer.

The law: serving never depends on the disk. Rows are written as bytes in small slices between picks, files are touched in
threads, and whatever a disk may do wrong is logged once, counted, and tried again later. A copy is taken only while nothing
better was read, is marked by its age, and counts for no proof; what the database says later replaces it by an ordinary load.
"""

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Final

import msgspec

from router_svc import catalog, disk, metrics
from router_svc.cache import Cache
from router_svc.disk_format import heading_of, put_slice, slices_of
from router_svc.draft import Disagreement, Draft
from router_svc.rows import Reader
from router_svc.snapshot import Snapshot, Token
from router_svc.turns import Turns
from trunkline.telemetry import DISTRIBUTOR, get_logger

log = get_logger()

_SETTLED: Final = 1.0  # seconds without a change, after which a copy is written
_UNSETTLED: Final = 10.0  # seconds after which one is written though changes go on
_REST: Final = 5.0  # seconds between two copies at least
_SHARE: Final = 0.05  # of all time is spent on writing copies, at most
_REFRESH: Final = 600.0  # seconds after which one is written though nothing changed, since its age counts from then
_AFTER_FAILURE: Final = 30.0  # seconds until a disk that failed is tried again
_PAUSE: Final = 0.002  # seconds for others between two slices
_BATCH: Final = 1 << 18  # bytes handed to a thread at a time


class Keeper:
    """Writes copies of what a cache holds, and gives it one at a cold start."""

    def __init__(self, cache: Cache, directory: Path, *, wait: float) -> None:
        """Take the cache, the directory, and how many seconds the database has before a copy serves."""
        self._cache, self._directory, self._wait = cache, directory, wait
        self._kept: Token | None = None
        self._kept_at = 0.0
        self._failing = False

    async def run(self, stop: asyncio.Event) -> None:
        """Restore if need be, then keep copies, until `stop`."""
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(self._work(), name="keep copies")
            await stop.wait()
            working.cancel()

    async def _work(self) -> None:
        try:
            await self._restore_when_late()
        except OSError as error:
            log.error("copies of the catalog cannot be read", fault=_fault(error))  # noqa: TRY400 - a disk's, not ours
        while True:
            await self._settled()
            began = time.monotonic()
            try:
                kept = await self._keep()
            except Exception:  # whatever a copy may meet, serving goes on, and the next one is tried
                log.exception("copy of the catalog not written; serving goes on")
                kept = False
            await asyncio.sleep(max(_REST, (time.monotonic() - began) / _SHARE) if kept else _AFTER_FAILURE)

    # ------------------------------------------------------------------ starting from one

    async def _restore_when_late(self) -> None:
        """Wait for the database as long as was said, then take the newest sound copy."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._wait):
                while self._cache.snapshot is None:
                    await self._cache.applied.next()
        if self._cache.snapshot is None:
            slots = await asyncio.to_thread(disk.survey, self._directory)
            try:
                await self._restore(slots)
            finally:
                for slot in slots:
                    if slot.copy is not None:
                        slot.copy.close()

    async def _restore(self, slots: list[disk.Slot]) -> None:
        for slot in slots:
            if slot.fault:
                self._damaged(slot.path, slot.fault)
        for slot in slots:
            if slot.copy is None:
                continue
            try:
                snapshot = await _read(slot.copy)
            except (disk.Damage, Disagreement, msgspec.MsgspecError) as fault:
                self._damaged(slot.path, str(fault))
                continue
            age = max(0.0, time.time() - slot.copy.heading.confirmed_time)
            if self._cache.restore(snapshot, age):
                self._kept, self._kept_at = snapshot.token, time.monotonic()
                log.warning(
                    "%s no database for %g s: serving degraded from the copy of revision %d",
                    DISTRIBUTOR,
                    self._wait,
                    snapshot.token.revision,
                    path=str(slot.path),
                    age_seconds=round(age, 1),
                )
            return
        log.warning("%s no database for %g s, and no copy to serve from", DISTRIBUTOR, self._wait)

    def _damaged(self, path: Path, fault: str) -> None:
        metrics.COPIES_DAMAGED.inc()
        log.error("copy of the catalog is not fit to start from", path=str(path), fault=fault)

    # ------------------------------------------------------------------ keeping them

    async def _settled(self) -> None:
        """Wait until there is something to keep, and changes have come to rest or have gone on for long.

        With nothing kept yet there is no waiting for a rest: a router killed meanwhile would have nothing to start from.
        """
        while not self._due():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_REST):
                    await self._cache.applied.next()
        if self._kept is None:
            return
        patience = time.monotonic() + _UNSETTLED
        with contextlib.suppress(TimeoutError):
            while time.monotonic() < patience:
                async with asyncio.timeout(_SETTLED):
                    await self._cache.applied.next()

    def _due(self) -> bool:
        snapshot = self._cache.snapshot
        if snapshot is None:
            return False
        late = time.monotonic() - self._kept_at > _REFRESH and self._cache.confirmed > self._kept_at
        return snapshot.token != self._kept or late

    async def _keep(self) -> bool:
        """Write a copy; tell whether that went well."""
        snapshot, began = self._cache.snapshot, time.monotonic()
        if snapshot is None:
            return True
        confirmed = time.time() - self._cache.trust().age
        try:
            await self._write(snapshot, confirmed)
        except OSError as error:
            metrics.COPIES.labels("failed").inc()
            if not self._failing:
                log.error(  # noqa: TRY400 - a disk that is full needs no traceback
                    "copy of the catalog not written; serving goes on", fault=_fault(error), path=str(self._directory)
                )
            self._failing = True
            return False
        self._kept, self._kept_at = snapshot.token, began
        metrics.COPIES.labels("written").inc()
        metrics.COPY_SECONDS.observe(time.monotonic() - began)
        metrics.COPY_REVISION.set(snapshot.token.revision)
        if self._failing:
            log.info("copy of the catalog written again")
        self._failing = False
        return True

    async def _write(self, snapshot: Snapshot, confirmed: float) -> None:
        writing = await asyncio.to_thread(disk.Writing, self._directory)
        for path, fault in writing.faults.items():
            self._damaged(path, fault)
        try:
            frames = [heading_of(snapshot, writing.generation, confirmed)]
            size = 0
            for frame in slices_of(snapshot):
                frames.append(frame)
                size += len(frame)
                if size >= _BATCH:
                    await asyncio.to_thread(writing.add, frames)
                    frames, size = [], 0
                await asyncio.sleep(_PAUSE)
            await asyncio.to_thread(writing.add, frames)
            await asyncio.to_thread(writing.finish)
        except BaseException:
            # Not waited for: of a disk that hangs, only this thread need know.
            asyncio.get_running_loop().run_in_executor(None, writing.abandon)
            raise


async def _read(copy: disk.Copy) -> Snapshot:
    """Build the snapshot that a copy is of, as a full load would."""
    draft, reader, frames = Draft.from_nothing(copy.heading.head), Reader(), copy.frames()
    with catalog.collector_paused():
        while (frame := await asyncio.to_thread(next, frames, None)) is not None:
            put_slice(draft, reader, frame)
        await Turns(time.monotonic).through(draft.fold())
        return draft.done(copy.heading.head)


def _fault(error: OSError) -> str:
    return error.strerror or type(error).__name__
