"""A session of the schema's owner on a fresh catalog."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.postgres import SUPERUSER, as_role
from tests.integration.schema.catalog import Catalog


@pytest.fixture
def catalog(migrated_dsn: str) -> Iterator[Catalog]:
    """A hand on a fresh catalog. Its stamps, head and tombstones must be true when the test ends."""
    with Catalog(migrated_dsn) as catalog:
        yield catalog
        assert catalog.faults() == []


@pytest.fixture
def superuser(migrated_dsn: str) -> Iterator[Catalog]:
    """A session of a superuser on the same catalog, for what only one may do."""
    with Catalog(as_role(migrated_dsn, SUPERUSER)) as superuser:
        yield superuser
