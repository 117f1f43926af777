"""The relay's HTTP face: which path goes where, who asks, and the errors of all of them.

The law: a request gets one answer and one log line. What goes wrong before the first byte is answered in the shape of its
path's family, whatever it is; after it the connection is broken off.
"""

import random
import re
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final

from relay_svc import errors, metrics, mistyped, record
from relay_svc.address import Network, client_address, peer_address
from relay_svc.cors import Cors
from relay_svc.endpoints import (
    Found,
    KeyIn,
    MethodNotAllowed,
    NotServed,
    Route,
    family_of,
    find_key,
    match,
    spoken,
)
from relay_svc.errors import HttpRefusal
from relay_svc.exchange import ClientStalled, Exchange
from relay_svc.models import ModelList
from relay_svc.operations import Format, Operation
from relay_svc.plan import NoPlan
from relay_svc.record import Record
from relay_svc.runs import Runs
from relay_svc.serving import Serving
from trunkline.auth import bearer
from trunkline.secret import Secret
from trunkline.telemetry import get_logger

log = get_logger()

_LONGEST_KEY: Final = 256
"""Longest API key that a router is asked about, in characters."""
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,128}")


@dataclass(frozen=True, slots=True)
class Door:
    """How requests come in."""

    trusted: tuple[Network, ...]
    """Proxies whose `X-Forwarded-For` is believed."""
    max_in_flight: int
    cors: Cors | None = None
    """What pages of other origins are told; None when they may not ask."""


class Relay:
    """What serves a request, whatever its path."""

    def __init__(self, serving: Serving, models: ModelList, runs: Runs, door: Door) -> None:
        """Take what serves each path."""
        self._serving, self._models, self._runs, self._door = serving, models, runs, door
        self._in_flight = 0

    async def watch_keys(self) -> None:
        """End requests whose API key is switched off meanwhile, until cancelled."""
        await self._serving.keys.run()

    async def __call__(self, exchange: Exchange) -> None:
        """Serve one request."""
        found = match(exchange.method, exchange.raw_path)
        anthropics = _written(exchange, found) is Format.ANTHROPIC
        noted = Record(_request_id(exchange), exchange.path[:256], self._address(exchange), anthropics)
        if self._door.cors is not None:
            exchange.standing = self._door.cors.lines(exchange.header(b"origin"))
        self._in_flight += 1
        metrics.IN_FLIGHT.inc()
        try:
            await self._served(exchange, noted, found)
        except ClientStalled:
            noted.outcome = record.CLIENT_STALLED
            exchange.break_off(abort=True)
        except HttpRefusal as refusal:
            noted.anonymous = noted.plan is None
            await self._refuse(exchange, noted, refusal, found)
        except NoPlan as refused:
            said = errors.of_pick(refused)
            noted.anonymous = said.status == 401  # noqa: PLR2004 - HTTP
            if said.status == 500:  # noqa: PLR2004 - HTTP
                log.warning("a router refused", request_id=noted.request_id, fault=str(refused))
            await self._refuse(exchange, noted, said, found)
        except Exception:
            # The boundary: the client is told that it was us, the log says what.
            log.exception("request failed", request_id=noted.request_id)
            noted.outcome = record.FAILED
            if exchange.started:
                exchange.break_off()
            else:
                await self._refuse(exchange, noted, errors.internal(), found)
        finally:
            self._in_flight -= 1
            metrics.IN_FLIGHT.dec()
            noted.close(exchange.status, exchange.sent, gone=exchange.gone)

    def _served(self, exchange: Exchange, noted: Record, found: Found) -> Coroutine[Any, Any, None]:
        """Give what serves it, to be awaited. Raises HttpRefusal."""
        if not isinstance(found, Route):
            told = self._door.cors.preflight(exchange.method, exchange.header) if self._door.cors is not None else None
            if told is None:
                raise _nothing(exchange, found)
            return _preflight(exchange, noted, told)
        api_key = _api_key(exchange, found)
        operation = found.endpoint.operation
        if operation is Operation.MODELS:
            return self._models.serve(exchange, noted, api_key, found.subject, _written(exchange, found))
        if operation is Operation.RUN:
            return self._runs.serve(exchange, noted, api_key, found.subject)
        if self._in_flight > self._door.max_in_flight:
            raise errors.overloaded("requests are being served")
        return self._serving.serve(exchange, noted, api_key, found)

    async def _refuse(self, exchange: Exchange, noted: Record, refusal: HttpRefusal, found: Found) -> None:
        if noted.outcome != record.FAILED:
            noted.refuse(refusal)
        if refusal.revision is None and noted.plan is not None:
            refusal.revision = str(noted.plan.revision)
        headers = refusal.all_headers() + noted.headers(noted.begin_answer())
        if refusal.revision is not None and noted.plan is None:
            headers.append((b"x-trunkline-revision", refusal.revision.encode()))
        body = b"" if exchange.method == "HEAD" else refusal.body(noted.request_id, _written(exchange, found))
        try:
            await exchange.answer(refusal.status, headers, body)
        except ClientStalled:
            exchange.break_off(abort=True)

    def _address(self, exchange: Exchange) -> str:
        if not self._door.trusted:
            return peer_address(exchange.peer)
        forwarded = [value for name, value in exchange.headers if name == b"x-forwarded-for"]
        return client_address(exchange.peer, forwarded, self._door.trusted)


def _nothing(exchange: Exchange, found: Found) -> HttpRefusal:
    match found:
        case MethodNotAllowed(allowed):
            return errors.method_not_allowed(exchange.method, ", ".join(allowed))
        case NotServed(sentence):
            return errors.not_served(sentence + mistyped.sentence_for(exchange.raw_path))
        case _:
            return errors.not_found(exchange.path, mistyped.sentence_for(exchange.raw_path))


async def _preflight(exchange: Exchange, noted: Record, told: errors.Headers) -> None:
    noted.outcome = record.SERVED
    await exchange.answer(200, told + noted.headers(noted.begin_answer()), b"")


def _written(exchange: Exchange, found: Found) -> Format:
    """Tell in whose words to answer; a path that is none is answered as its neighbours are."""
    if isinstance(found, Route):
        endpoint = found.endpoint
        return spoken(endpoint, exchange.header) if endpoint.operation is Operation.MODELS else endpoint.format
    return family_of(exchange.raw_path)


def _api_key(exchange: Exchange, route: Route) -> Secret:
    endpoint = route.endpoint
    # Nearly always where the family's own SDK puts it, and then nothing else is looked at.
    key = bearer(exchange.header(b"authorization")) if endpoint.keys[0] is KeyIn.BEARER else ""
    key = key or find_key(endpoint, exchange.headers, exchange.query)
    if not key:
        raise errors.api_key_missing(endpoint.keys[0])
    if len(key) > _LONGEST_KEY or not key.isascii():
        raise errors.api_key_malformed()
    return Secret(key)


def _request_id(exchange: Exchange) -> str:
    """Take the client's request id, or make one; what is not plainly an id is not repeated in logs and headers."""
    given = exchange.header(b"x-request-id")
    return given.decode("ascii") if given and _REQUEST_ID.fullmatch(given) else f"{random.getrandbits(128):032x}"
