"""A connection pooler in transaction mode, of the few messages that one needs to know: for machines without PgBouncer.

Law: a client has a server session from its first message until the server says that no transaction is open; what came back
last is lent first. Clients are told a process id that no backend has, as by every pooler.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from psycopg.conninfo import conninfo_to_dict, make_conninfo

_SSL, _GSS = 80877103, 80877104
_WAITED_FOR = b"QS"
"""Messages that the server answers by ReadyForQuery: Query and Sync."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class FakePooler:
    """Stands before one database, for one user."""

    dsn: str
    turns: bool = False
    """Whether sessions are lent in turn, and not the last one first."""
    _idle: list[Streams] = field(default_factory=list)
    _all: list[Streams] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """The DSN of the database behind it."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            for _ in range(3):
                self._idle.append(await self._connected())
            yield make_conninfo(self.dsn, host="127.0.0.1", port=server.sockets[0].getsockname()[1])
        finally:
            server.close()
            for _, writer in self._all:
                writer.close()

    async def _connected(self) -> Streams:
        parts = conninfo_to_dict(self.dsn)
        streams = await asyncio.open_unix_connection(f"{parts['host']}/.s.PGSQL.{parts.get('port', 5432)}")
        said = b"".join(f"{name}\0{parts[key]}\0".encode() for name, key in (("user", "user"), ("database", "dbname")))
        body = struct.pack("!i", 196608) + said + b"\0"
        streams[1].write(struct.pack("!i", len(body) + 4) + body)
        while (await _message(streams[0]))[:1] != b"Z":
            pass
        self._all.append(streams)
        return streams

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                (length,) = struct.unpack("!i", await reader.readexactly(4))
                body = await reader.readexactly(length - 4)
                if struct.unpack("!i", body[:4])[0] not in (_SSL, _GSS):
                    break
                writer.write(b"N")
            statuses = b"".join(
                _packed(b"S", f"{name}\0{value}\0".encode())
                for name, value in (("server_version", "16.0"), ("client_encoding", "UTF8"))
            )
            key = _packed(b"K", struct.pack("!ii", 1 << 30, 1))
            writer.write(_packed(b"R", struct.pack("!i", 0)) + statuses + key + _packed(b"Z", b"I"))
            await self._relay(reader, writer)
        writer.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            message = await _message(reader)
            if message[:1] == b"X":
                return
            lent = self._idle.pop(0 if self.turns else -1)
            status = b"T"
            while status != b"I":
                lent[1].write(message)
                if message[:1] in _WAITED_FOR:
                    status = await self._answer(lent[0], writer)
                if status != b"I":
                    message = await _message(reader)
            self._idle.append(lent)

    async def _answer(self, server: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        while True:
            message = await _message(server)
            writer.write(message)
            if message[:1] == b"Z":
                return message[-1:]


def _packed(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


async def _message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(5)
    (length,) = struct.unpack("!i", head[1:])
    return head + await reader.readexactly(length - 4)
