"""A session of the schema's owner on a fresh catalog."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.schema.catalog import Catalog


@pytest.fixture
def catalog(migrated_dsn: str) -> Iterator[Catalog]:
    """A hand on a fresh catalog. Its stamps, head and tombstones must be true when the test ends."""
    with Catalog(migrated_dsn) as catalog:
        yield catalog
        assert catalog.faults() == []
