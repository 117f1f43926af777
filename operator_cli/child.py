"""One program, kept running: started, watched until it is ready, started again when it dies, stopped by its ladder.

Law: the first start must succeed, since an operator is watching and wants to know why not; after that a child is started
again for as long as it is wanted, ever more patiently. Exactly one task owns a child's process; everybody else sets
events. In which order children start and stop is the supervisor's.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable

from operator_cli.backoff import Backoff
from operator_cli.errors import ChildError, with_log_tail
from operator_cli.logs import open_log
from operator_cli.process import Program, StopStep, launch_argv, launch_options

Probe = Callable[[], Awaitable[bool]]
Report = Callable[[str], None]

_PROBE_PAUSE = 0.03  # seconds between two looks at a child that is not ready yet
_KILL = StopStep(signal.SIGKILL, 5.0)


class Child:
    """One supervised program.

    `probe` tells whether it is ready, under a time limit of its own. The first start may take `ready_within` seconds and
    that many `tries`.
    """

    def __init__(
        self, program: Program, probe: Probe, report: Report, *, ready_within: float = 30.0, tries: int = 1
    ) -> None:
        self._program = program
        self._probe = probe
        self._report = report
        self._ready_within = ready_within
        self._tries = tries
        self._backoff = Backoff()
        self._stop_wanted = asyncio.Event()
        self._ended = True  # no life has begun
        self._news = asyncio.Event()  # it ended, or somebody is in a hurry
        self._process: asyncio.subprocess.Process | None = None

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self._program.name

    @property
    def pid(self) -> int | None:
        """The process number of the running program; None between two lives."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def start(self, owner: asyncio.TaskGroup) -> None:
        """Start it under `owner`, and return once it is ready. Raises ChildError when it does not become so."""
        self._ended = False
        owner.create_task(self._keep_running(), name=f"child {self.name}")
        await self._until_ready()

    async def stop(self) -> None:
        """Stop it: each rung of its ladder in turn, and SIGKILL at last. Returns once it is gone, or cannot be killed."""
        self._stop_wanted.set()
        if self._ended:
            return
        for step in (*self._program.stop, _KILL):
            self._send(step.signal)
            if await self._gone_within(step.seconds):
                return
            self._report(f"{self.name} did not stop on {step.signal.name}")

    def hurry(self) -> None:
        """Do not wait out the rung that a stop is on; go to the next."""
        self._news.set()

    async def _keep_running(self) -> None:
        try:
            while not self._stop_wanted.is_set():
                started = time.monotonic()
                ending = await self._live_once()
                if self._stop_wanted.is_set():
                    return
                pause = self._backoff.after(time.monotonic() - started)
                self._report(f"{self.name} {ending}; starting it again in {pause:.1f} s")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop_wanted.wait(), pause)
        finally:
            self._send(signal.SIGKILL)  # only when this task was cancelled: nobody is left to stop it gently
            self._ended = True
            self._news.set()

    async def _live_once(self) -> str:
        """One life, from fork to the end. Answers how it ended, in words."""
        try:
            with open_log(self._program.log) as output:
                self._process = await asyncio.create_subprocess_exec(
                    *launch_argv(self._program), **launch_options(self._program, output.fileno())
                )
        except OSError as error:  # no memory, no processes left, no disk: may pass
            return f"could not be started ({error.strerror})"
        if self._stop_wanted.is_set():  # wanted while it was being born, when there was nobody to signal yet
            self._send(self._program.stop[0].signal)
        return describe_exit(await self._process.wait())

    async def _until_ready(self) -> None:
        deadline = time.monotonic() + self._ready_within
        while not await self._probe():
            if self._backoff.failures >= self._tries:
                raise ChildError(with_log_tail(f"{self.name} ended before it was ready", self._program.log))
            if time.monotonic() > deadline:
                late = f"{self.name} was not ready within {self._ready_within:.0f} s"
                raise ChildError(with_log_tail(late, self._program.log))
            await asyncio.sleep(_PROBE_PAUSE)

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _gone_within(self, seconds: float) -> bool:
        if not self._ended:
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), seconds)
        return self._ended


def describe_exit(code: int) -> str:
    """An exit status in words: `exited with 1`, `was killed by SIGSEGV`."""
    if code >= 0:
        return f"exited with {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
