"""Whether a connection pooler between us and Postgres keeps what our sessions need.

Law: a pooler is known by the backend's process id, which it cannot hand on: what the connection was told is not what the
server says. Behind one, a session must have a backend of its own for as long as it lasts, and the settings it asked for;
else prepared statements, time limits and isolation hold for some transactions and not for others.
"""

import asyncio
import re
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from trunkline.database import Connection, connect
from trunkline.secret import Secret

_LIMIT: Final = 5.0
"""Seconds that the questions may take."""
_ROUNDS: Final = 3
SETTING: Final = re.compile(r"-c (\w+)=((?:\\.|[^\s\\])+)")

_SPEED_ALONE: Final = frozenset({"jit", "plan_cache_mode"})

_REFUSES: Final = "unsupported startup parameter"
"""In the words of PgBouncer, which gives no code of its own."""
_DIRECTLY: Final = "connect to Postgres directly"
STARTUP: Final = f"the connection pooler refuses our session settings (the startup parameter options): {_DIRECTLY}"
SHARED: Final = (
    "the connection pooler gives one Postgres session to several connections (transaction or statement pooling):"
    f" set pool_mode=session for this database, or {_DIRECTLY}"
)
NO_SECOND: Final = (
    f"the connection pooler gave no second session within {_LIMIT:.0f} s: let it open more, or {_DIRECTLY}"
)


async def fault_of(dsn: Secret) -> str:
    """What makes sessions by a bounded DSN unfit; empty for none. Raises psycopg.Error when none can be had."""
    try:
        first = await connect(dsn)
    except psycopg.OperationalError as error:
        if _REFUSES in str(error):
            return STARTUP
        raise
    async with first:
        if await _backend(first) == first.info.backend_pid:
            return ""
        try:
            async with asyncio.timeout(_LIMIT):
                second = await connect(dsn)
                async with second:
                    if await _shared(first, second):
                        return SHARED
        except (TimeoutError, psycopg.errors.ConnectionTimeout):
            return NO_SECOND
        unset = await _unset(first, dsn)
        return _dropped(unset) if unset else ""


def _dropped(settings: list[str]) -> str:
    names = ", ".join(settings)
    return f"the connection pooler drops our session settings ({names}): set them by ALTER ROLE, or {_DIRECTLY}"


async def _shared(first: Connection, second: Connection) -> bool:
    """Whether two connections are ever seen at one backend, or one connection at two.

    One after the other finds a pooler that lends what came back last; twice the same finds one that takes turns; a
    transaction held open makes the other connection's backend differ from what it was.
    """
    try:
        one, other = await _backend(first), await _backend(second)
        for _ in range(_ROUNDS):
            seen = {await _backend(first), await _backend(first)}
            others = {await _backend(second), await _backend(second)}
            if one == other or seen != {one} or others != {other}:
                return True
            async with first.transaction():
                held = (await _backend(first), await _backend(second))
            if held != (one, other):
                return True
    except psycopg.errors.ProtocolViolation:
        return True  # of statement pooling, which takes no transaction
    return False


async def _backend(connection: Connection) -> int:
    row = await (await connection.execute("SELECT pg_backend_pid()", prepare=False)).fetchone()
    return int(row[0]) if row else 0


async def _unset(connection: Connection, dsn: Secret) -> list[str]:
    """The settings that the DSN asks for and the session does not have; of time limits, any will do."""
    wanted = {
        name.lower(): value.replace("\\ ", " ")
        for name, value in SETTING.findall(str(conninfo_to_dict(dsn.reveal()).get("options") or ""))
        if name not in _SPEED_ALONE
    }
    cursor = await connection.execute(
        "SELECT lower(name), setting FROM pg_settings WHERE lower(name) = ANY(%s)", [list(wanted)], prepare=False
    )
    found: dict[str, str] = {str(name): str(setting).lower() for name, setting in await cursor.fetchall()}
    return sorted(name for name, value in wanted.items() if not _holds(name, found.get(name, ""), value.lower()))


def _holds(name: str, found: str, wanted: str) -> bool:
    # DateStyle says its order too.
    return found not in ("", "0") if name.endswith("_timeout") else found.startswith(wanted)
