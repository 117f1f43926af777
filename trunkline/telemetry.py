"""Logs and metrics: structured lines on standard error, Prometheus metrics under `trunkline_`.

The law: what is logged is named values, never a message object, a header map or a secret. Lines carry the event markers that
operators of this family of gateways look for: `[Distributor]`, `[CacheRetry]`, `[CacheFallback]`, `[Async]`.

Lines that come with every request go through `tell`: the same lines, but encoded in one step and written once a turn of the
event loop (5 µs a line where structlog takes 50). A process killed by SIGKILL loses at most that turn's. No line, whoever
writes it, raises or waits: `log_output` keeps, and past its bound counts, what standard error does not take.
"""

import asyncio
import atexit
import logging
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TextIO, cast

import msgspec
import structlog
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest, multiprocess

from trunkline.log_output import LogOutput, standard_error

DISTRIBUTOR: Final = "[Distributor]"
CACHE_RETRY: Final = "[CacheRetry]"
CACHE_FALLBACK: Final = "[CacheFallback]"
ASYNC: Final = "[Async]"

LogFormat = Literal["json", "text"]
LogLevel = Literal["debug", "info", "warning", "error"]

Logger = structlog.stdlib.BoundLogger


def configure(service: str, level: LogLevel = "info", form: LogFormat = "json") -> None:
    """Send this process's logs, its libraries' included, to standard error."""
    output = standard_error()
    _lines.service, _lines.direct, _lines.least, _lines.output = service, form == "json", _LEVELS[level], output
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if form == "json"
        # The library's own way shows what each frame held, keys among it.
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr is not None and sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    last: list[structlog.typing.Processor] = [structlog.processors.format_exc_info, _named(service)]
    if form == "text":
        last.append(_printable)
    structlog.configure(
        processors=[*shared, *last, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", output)),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *last,
                renderer,
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def _named(service: str) -> structlog.typing.Processor:
    def add_service(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["service"] = service
        return event

    return add_service


_CONTROLS: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Characters that a terminal acts on instead of showing them: C0, DEL, C1, ends of lines, directions; and halves of pairs."""
_OF_LINES: Final = frozenset({"exception", "stack"})
"""Facts that are several lines, each of our own making up to the message in it."""


def printable(text: str) -> str:
    """Text in which no character makes a terminal do anything."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def _printable(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Escape what strangers may have put into a line for people; other values than text are shown by `repr`."""
    for name, value in event.items():
        if isinstance(value, str):
            lines = value.split("\n") if name in _OF_LINES else [value]
            event[name] = "\n".join(map(printable, lines))
    return event


def get_logger() -> Logger:
    """Give a logger: `log.info("[Distributor] served", request_id=…)`."""
    logger: Logger = structlog.get_logger()
    return logger


def tell(level: Literal["info", "warning"], event: str, facts: dict[str, object]) -> None:
    """Log a line of which there is one a request; `facts` is the callee's from here on."""
    if not _lines.direct:  # text, or not configured
        getattr(get_logger(), level)(event, **facts)
    elif _LEVELS[level] >= _lines.least:
        _lines.add(level, event, facts)


_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_ENCODER: Final = msgspec.json.Encoder()


@dataclass(slots=True)
class _Lines:
    """Lines of this turn of the event loop, to be written at its end."""

    service: str = ""
    direct: bool = False
    """Whether they are written here and not by structlog."""
    least: int = logging.INFO
    output: LogOutput | None = None
    _waiting: list[bytes] = field(default_factory=list)
    _second: int = 0
    _prefix: str = ""
    """The time of `_second`, as far as it goes."""

    def add(self, level: str, event: str, facts: dict[str, object]) -> None:
        facts["event"] = event
        facts["level"] = level
        facts["time"] = self._time(time.time())
        facts["service"] = self.service
        self._waiting.append(_ENCODER.encode(facts))
        if len(self._waiting) == 1:
            try:
                asyncio.get_running_loop().call_soon(self.write)  # once a turn: it asks the kernel for the process id
            except RuntimeError:  # no loop, no turn
                self.write()

    def write(self) -> None:
        if self._waiting:
            lines, self._waiting = self._waiting, []
            lines.append(b"")
            if self.output is not None:
                self.output.write_bytes(b"\n".join(lines))

    def finish(self) -> None:
        """Write what is left, within bounds, at the end of the process."""
        self.write()
        if self.output is not None:
            self.output.finish()

    def _time(self, now: float) -> str:
        second = int(now)
        if second != self._second:
            self._second = second
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
        return "%s%06dZ" % (self._prefix, (now - second) * 1e6)  # noqa: UP031 - half the time of an f-string


_lines: Final = _Lines()
atexit.register(_lines.finish)


def exposition(shared: Path | None = None) -> tuple[bytes, str]:
    """Render the process's metrics, or those of all processes that keep theirs in `shared`: the body and its content type."""
    if shared is None:
        return generate_latest(REGISTRY), CONTENT_TYPE_LATEST
    _forget_the_dead(shared)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry, str(shared))  # type: ignore[no-untyped-call]
    return generate_latest(registry), CONTENT_TYPE_LATEST


def _forget_the_dead(shared: Path) -> None:
    """Take out the gauges of processes that are gone; what they counted stays counted."""
    for file in shared.glob("gauge_live*_*.db"):
        pid = file.stem.rpartition("_")[2]
        if not Path("/proc", pid).exists():
            multiprocess.mark_process_dead(int(pid), str(shared))  # type: ignore[no-untyped-call]
