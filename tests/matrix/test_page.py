"""The page of what is compatible says what the tests show."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from typing import Any

import pytest

from relay_svc.endpoints import ENDPOINTS
from tests.matrix.page import PAGE, page
from trunkline.providers import PROVIDERS


def test_the_page_is_what_the_tests_tables_say() -> None:
    """`python -m tests.matrix.page` would change nothing."""
    assert PAGE.read_text() == page(), "docs/compatibility.md is stale: run python -m tests.matrix.page"


def test_every_test_that_the_page_names_exists() -> None:
    """With the values that it is tried on; a name without any stands for all of them."""
    named = set(re.findall(r'"(tests/[^"]+::[^"]+)"', PAGE.read_text()))
    assert len(named) > 500
    files = {name.partition("::")[0] for name in named}
    assert named - {name for file in files for name in _tests_in(file)} == set()


def _tests_in(file: str) -> Iterator[str]:
    module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    for name, test in vars(module).items():
        if name.startswith("test_"):
            yield f"{file}::{name}"
            yield from (f"{file}::{name}[{each}]" for each in _ids(test))


def _ids(test: Any) -> list[str]:
    """Give the names of the values, where a test is tried on values that have any."""
    tried = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
    if len(tried) != 1:
        return []
    given: list[str] = tried[0].kwargs.get("ids") or [getattr(each, "id", None) for each in tried[0].args[1]]
    return given


@pytest.mark.parametrize("name", [*PROVIDERS, *(endpoint.name for endpoint in ENDPOINTS)])
def test_every_provider_and_every_endpoint_is_on_the_page(name: str) -> None:
    """By the name that the catalog or the metrics have for it."""
    assert f"`{name}`" in PAGE.read_text()
