"""Children in stages: started in order, each stage ready before the next; stopped in reverse.

Law: whatever happens after the first child was started (a failed start, a signal, a fault of our own), every child is
stopped in reverse order before anybody hears of it. A stage's listening sockets are closed first, so that new work is
refused while old work drains.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass

from operator_cli.child import Child
from operator_cli.ports import Port

_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Stage:
    """Children that start and stop together, and the ports they serve."""

    children: Sequence[Child]
    ports: Sequence[Port] = ()


class Supervisor:
    """Runs stages until it is told to stop."""

    def __init__(self, owner: asyncio.TaskGroup) -> None:
        self._owner = owner
        self._stages: list[Stage] = []
        self._chores: list[asyncio.Task[None]] = []

    def chore(self, chore: Coroutine[None, None, None]) -> None:
        """Do `chore` on the side until everything stops."""
        self._chores.append(self._owner.create_task(chore))

    async def start(self, *children: Child, ports: Sequence[Port] = ()) -> None:
        """Start one more stage, and return once all of it is ready. Raises ChildError."""
        self._stages.append(Stage(children, ports))
        await together(*(child.start(self._owner) for child in children))

    async def stop(self) -> None:
        """Stop every stage, the last first."""
        while self._stages:
            stage = self._stages[-1]
            for port in stage.ports:
                port.socket.close()
            async with asyncio.TaskGroup() as stopping:
                for child in stage.children:
                    stopping.create_task(child.stop())
            self._stages.pop()
        for chore in self._chores:
            chore.cancel()

    def hurry(self) -> None:
        """Somebody asked to stop once more: go to the next rung at once."""
        for stage in self._stages[-1:]:
            for child in stage.children:
                child.hurry()


async def together(*parts: Coroutine[None, None, None]) -> None:
    """Do all parts at once. When one fails the others are cancelled and its exception is raised by itself."""
    try:
        async with asyncio.TaskGroup() as tasks:
            for part in parts:
                tasks.create_task(part)
    except ExceptionGroup as group:
        # One cause is what an operator can read; what else failed in that moment follows from it.
        raise group.exceptions[0] from None


async def supervise(work: Callable[[Supervisor], Awaitable[None]], report: Callable[[str], None]) -> None:
    """Do `work`, which starts stages, until it ends, fails or a signal asks to stop; then stop everything.

    Raises what `work` raised, once everything has stopped. A signal is no failure.
    """
    async with asyncio.TaskGroup() as owner:
        supervisor = Supervisor(owner)
        doing = owner.create_task(_outcome(work, supervisor), name="work")

        def on_signal(number: signal.Signals) -> None:
            if doing.done():
                supervisor.hurry()
            else:
                report(f"stopping ({number.name}); once more to hurry")
                doing.cancel()

        loop = asyncio.get_running_loop()
        for number in _STOPS:
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue  # started by nohup, to stay when the terminal goes
            loop.add_signal_handler(number, on_signal, number)
        await asyncio.wait([doing])
        failure = None if doing.cancelled() else doing.result()
        await supervisor.stop()
    if failure is not None:
        raise failure


async def _outcome(work: Callable[[Supervisor], Awaitable[None]], supervisor: Supervisor) -> Exception | None:
    try:
        await work(supervisor)
    except Exception as error:  # noqa: BLE001 — raised again once the children have been stopped in order
        return error
    return None
