"""An operator who does everything, in no order: seeded changes of every kind to every catalog table.

Law: a change may be refused by a constraint, as an operator's may; it is then undone by its savepoint and nothing else.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import psycopg

from tests.integration.schema.catalog import Catalog

GROUPS = ("default", "vip", "lab", "gold")
MODELS = ("m", "n", "gpt-*", "o/1")
UNDONE = 0.15
"""How often a change that went well is rolled back to its savepoint all the same."""


class RandomHand:
    """Makes random transactions; everything follows from `rng` and the catalog's state."""

    def __init__(self, catalog: Catalog, rng: random.Random) -> None:
        self.catalog = catalog
        self.rng = rng
        self.changes: list[Callable[[], object]] = [
            self._add_channels,
            self._add_channels,
            self._put_back,
            self._change_channels,
            self._change_channels,
            self._delete_channels,
            self._add_children,
            self._add_children,
            self._move_children,
            self._delete_children,
            self._change_abilities,
            self._change_groups,
            self._change_api_keys,
            self._scribble_on_stamps,
        ]

    def transact(self) -> None:
        """One transaction of one to five changes."""
        with self.catalog.transaction():
            for _ in range(self.rng.randint(1, 5)):
                change = self.rng.choice(self.changes)
                try:
                    with self.catalog.transaction(undo=self.rng.random() < UNDONE):
                        change()
                except psycopg.IntegrityError:
                    pass  # a name taken, a group in use: an operator would try something else

    def _number(self, top: int = 12) -> int:
        return self.rng.randint(1, top)

    def _some(self, column: str = "id") -> str:
        """A condition that picks none, some or all rows."""
        return self.rng.choice(
            [f"mod({column}, {self._number(4)}) = 0", f"{column} = {self._number()}", "true", "false"]
        )

    def _add_channels(self) -> None:
        self.catalog.run(
            "INSERT INTO channels (name, provider, base_url, weight)"
            " SELECT 'c' || n, 'openai', 'http://u', n FROM generate_series(%s::int, %s) n ON CONFLICT DO NOTHING",
            self._number(),
            self._number(),
        )

    def _put_back(self) -> None:
        self.catalog.run(
            "INSERT INTO channels (id, name, provider, base_url) VALUES (%s, %s, 'p', 'u')",
            self._number(20),
            f"back {self._number(50)}",
        )

    def _change_channels(self) -> None:
        assignment = self.rng.choice(
            [
                f"weight = {self._number()}",
                f"priority = {self._number()}, remark = 'r'",
                f"status = '{self.rng.choice(['ENABLED', 'DISABLED', 'AUTO_DISABLED'])}'",
                "tags = array_append(tags, 't')",
                "header_overrides = header_overrides || '{\"x\": 1}'",
                f"strict = {self.rng.choice(['true', 'false'])}, proxy_sealed = 'p'",
                f"system_prompt = {self.rng.choice(['DEFAULT', repr('be kind')])}, status_mapping = DEFAULT",
                "provider_options = provider_options || '{\"o\": \"1\"}', removed_headers = '{x}'",
                "id = id + 20",
                "name = name || '!'",
                "weight = weight",
            ]
        )
        self.catalog.run(f"UPDATE channels SET {assignment} WHERE {self._some()}")

    def _delete_channels(self) -> None:
        self.catalog.run(f"DELETE FROM channels WHERE {self._some()} AND mod(id, 3) = {self.rng.randrange(3)}")

    def _add_children(self) -> None:
        what = self.rng.choice(
            [
                f"INSERT INTO channel_keys (channel_id, sealed) SELECT id, 'k{self._number()}' FROM channels WHERE {{}}",
                (
                    f"INSERT INTO channel_models SELECT id, '{self.rng.choice(MODELS)}' FROM channels WHERE {{}}"
                    " ON CONFLICT (channel_id, model) DO UPDATE SET upstream_model = 'again'"
                ),
                (
                    f"INSERT INTO channel_groups SELECT id, '{self.rng.choice(GROUPS)}' FROM channels WHERE {{}}"
                    " ON CONFLICT DO NOTHING"
                ),
            ]
        )
        self.catalog.run(what.format(self._some()))

    def _move_children(self) -> None:
        table = self.rng.choice(["channel_keys", "channel_models", "channel_groups"])
        self.catalog.run(
            f"UPDATE {table} SET channel_id = (SELECT id FROM channels ORDER BY id OFFSET %s LIMIT 1)"
            f" WHERE {self._some('channel_id')}",
            self.rng.randrange(4),
        )

    def _delete_children(self) -> None:
        table = self.rng.choice(["channel_keys", "channel_models", "channel_groups", "ability_overrides"])
        self.catalog.run(f"DELETE FROM {table} WHERE {self._some('channel_id')}")

    def _change_abilities(self) -> None:
        where = self.rng.choice([f"model = '{self.rng.choice(MODELS)}'", self._some("channel_id")])
        what = self.rng.choice(
            [
                f"UPDATE abilities SET enabled = {self.rng.choice(['true', 'false', 'NULL'])} WHERE {where}",
                f"UPDATE abilities SET weight = {self._number()}, priority = NULL WHERE {where}",
                f"DELETE FROM abilities WHERE {where}",
                (
                    'INSERT INTO abilities ("group", model, channel_id)'
                    f" SELECT '{self.rng.choice(GROUPS)}', '{self.rng.choice(MODELS)}', id FROM channels WHERE {self._some()}"
                ),
            ]
        )
        self.catalog.run(what)

    def _change_groups(self) -> None:
        one, other = self.rng.choice(GROUPS), self.rng.choice(GROUPS)
        match self.rng.randrange(4):
            case 0 | 1:
                self.catalog.run("INSERT INTO groups (name) VALUES (%s) ON CONFLICT DO NOTHING", one)
            case 2:
                self.catalog.run("UPDATE groups SET name = %s, remark = remark || '.' WHERE name = %s", one, other)
            case _:
                self.catalog.run("DELETE FROM groups WHERE name = %s", one)

    def _change_api_keys(self) -> None:
        match self.rng.randrange(4):
            case 0 | 1:
                self.catalog.run(
                    "INSERT INTO api_keys (name, hash, group_name) VALUES ('k', sha256(gen_random_uuid()::text::bytea), %s)",
                    self.rng.choice(GROUPS),
                )
            case 2:
                more = "array_append(fallback_groups, 'x')"
                self.catalog.run(f"UPDATE api_keys SET fallback_groups = {more} WHERE {self._some()}")
            case _:
                self.catalog.run(f"DELETE FROM api_keys WHERE {self._some()}")

    def _scribble_on_stamps(self) -> None:
        table = self.rng.choice(["channels", "api_keys", "groups"])
        column = self.rng.choice(["revision", "content_hash"])
        self.catalog.run(f"UPDATE {table} SET {column} = {self._number(99)}")
