"""Logs and metrics: structured lines on standard error, Prometheus metrics under `trunkline_`.

The law: what is logged is named values, never a message object, a header map or a secret. Lines carry the event markers that
operators of this family of gateways look for: `[Distributor]`, `[CacheRetry]`, `[CacheFallback]`, `[Async]`.
"""

import logging
import sys
from pathlib import Path
from typing import Final, Literal

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest, multiprocess

DISTRIBUTOR: Final = "[Distributor]"
CACHE_RETRY: Final = "[CacheRetry]"
CACHE_FALLBACK: Final = "[CacheFallback]"

LogFormat = Literal["json", "text"]
LogLevel = Literal["debug", "info", "warning", "error"]

Logger = structlog.stdlib.BoundLogger


def configure(service: str, level: LogLevel = "info", form: LogFormat = "json") -> None:
    """Send this process's logs, its libraries' included, to standard error."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, _named(service), renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _named(service), renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def _named(service: str) -> structlog.typing.Processor:
    def add_service(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["service"] = service
        return event

    return add_service


def get_logger() -> Logger:
    """Give a logger: `log.info("[Distributor] served", request_id=…)`."""
    logger: Logger = structlog.get_logger()
    return logger


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
