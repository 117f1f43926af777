"""Catalogs of any size, as rows of the router's views and as SQL that fills a database with the same.

Every channel serves five of 200 models in one group, in one of two tiers, with a weight from 1 to 10, and has one key.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any, Final

import psycopg

from router_svc.draft import Draft
from router_svc.rows import Reader
from router_svc.snapshot import Head, Snapshot, Token
from trunkline.secret import ApiKeyHasher, Sealer, Secret

GROUP: Final = "default"
MODELS: Final = 200
EACH: Final = 5
"""Models of a channel."""
PEPPER: Final = "a pepper"
ENCRYPTION_KEYS: Final = "k1:" + base64.b64encode(bytes(range(32))).decode()
API_KEY: Final = "tl-an-api-key-of-this-benchmark-and-nothing-else"
"""The secret of the one API key."""
_SEALED: Final = base64.b64encode(bytes(60)).decode()


def model(number: int) -> str:
    """Name a model."""
    return f"model-{number % MODELS}"


def served(channel: int, step: int) -> str:
    """Name one of the models that a channel serves."""
    return model(channel + 37 * step)


def channel_row(number: int, revision: int = 1, weight: int | None = None) -> tuple[Any, ...]:
    """A channel as `router_channels` gives it; numbers begin at 1."""
    models = ",".join(sorted(f'["{served(number, step)}",null]' for step in range(EACH)))
    keys = f'[{{"id":{number},"sealed":"{_SEALED}","last_four":"last","status":"ENABLED"}}]'
    return (
        number, revision, number * 7919 + revision, f"channel {number}", "openai", f"https://up{number}.example/v1",
        "ENABLED", number % 2, number % 10 + 1 if weight is None else weight, b"{}", b"{}", None, None, None, None,
        keys.encode(), f"[{models}]".encode(), [GROUP], b"[]", None,
    )  # fmt: skip


def head_of(channels: int) -> Head:
    """The head that so many channels add up to."""
    digest = sum(number * 7919 + 1 for number in range(1, channels + 1))
    return Head(Token(1, "c" * 64), digest + 1, channels, 1, 0)


def api_key_row() -> tuple[Any, ...]:
    """The API key as `router_api_keys` gives it."""
    return (1, 1, 1, ApiKeyHasher(Secret(PEPPER)).hash(API_KEY), "ENABLED", GROUP, [], [], [], None)


def built(channels: int) -> Snapshot:
    """Build a snapshot as a full load does, without a database."""
    draft, reader, head = Draft.from_nothing(head_of(channels)), Reader(), head_of(channels)
    draft.put(reader.api_key(api_key_row()))
    for number in range(1, channels + 1):
        draft.put(reader.channel(channel_row(number)))
    return draft.done(head)


def filled(dsn: str, channels: int) -> None:
    """Make the database hold so many channels, each with a key that really opens if there are not too many."""
    with psycopg.connect(dsn) as connection:
        connection.execute("SET statement_timeout = 0")
        for statement in _statements(channels):
            connection.execute(statement.encode())
        hashed = ApiKeyHasher(Secret(PEPPER)).hash(API_KEY)
        connection.execute("INSERT INTO api_keys (name, hash, group_name) VALUES ('bench', %s, %s)", (hashed, GROUP))
        with (
            connection.cursor() as cursor,
            cursor.copy("COPY channel_keys (id, channel_id, sealed, last_four) FROM STDIN") as copy,
        ):
            for row in _keys(channels):
                copy.write_row(row)


def _statements(channels: int) -> Iterator[str]:
    yield f"INSERT INTO groups (name) VALUES ('{GROUP}') ON CONFLICT DO NOTHING"
    yield (
        "INSERT INTO channels (id, name, provider, base_url, priority, weight)"
        " SELECT n, 'channel ' || n, 'openai', 'https://up' || n || '.example/v1', n % 2, n % 10 + 1"
        f" FROM generate_series(1, {channels}) AS n"
    )
    yield f"INSERT INTO channel_groups SELECT n, '{GROUP}' FROM generate_series(1, {channels}) AS n"
    yield (
        f"INSERT INTO channel_models (channel_id, model) SELECT n, 'model-' || ((n + 37 * s) % {MODELS})"
        f" FROM generate_series(1, {channels}) AS n, generate_series(0, {EACH - 1}) AS s"
    )


def _keys(channels: int) -> Iterator[tuple[int, int, bytes, str]]:
    sealer = Sealer.parse(Secret(ENCRYPTION_KEYS))
    for number in range(1, channels + 1):
        yield number, number, sealer.seal(Secret(f"sk-upstream-{number:08}"), number, number), "last"
