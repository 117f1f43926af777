"""The table of providers: sound in itself, and a judge of options only where it knows better."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import pytest

from trunkline.providers import COMPATIBLE, PROVIDERS, option_faults, provider_named


@pytest.mark.parametrize("name", PROVIDERS)
def test_every_provider_is_told_in_full(name: str) -> None:
    """Kebab case, a dialect, an address that is a URL or none, options that say what they are."""
    provider = PROVIDERS[name]
    assert provider.name == name
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
    assert provider.dialect
    assert not provider.base_url or urlsplit(provider.base_url).scheme == "https"
    assert not provider.base_url.endswith("/")
    names = [option.name for option in provider.options]
    assert len(set(names)) == len(names)
    for option in provider.options:
        assert option.sentence.startswith("is ")
        # It goes into a URL or a header: neither can carry what these would let in.
        assert not any(
            re.fullmatch(option.pattern, text) for text in ("", "a b", "a/b", "a?b", "a\nb", "a\n", "ä", "/", "..")
        )


@pytest.mark.parametrize(
    ("provider", "options", "at_fault"),
    [
        ("azure-openai", {"api_version": "2024-10-21"}, []),
        ("azure-openai", {"api_version": "2024-10-01-preview", "deployment": "gpt-4o_eu.1"}, []),
        ("azure-openai", {}, ["api_version"]),
        (
            "azure-openai",
            {"api_version": "soon", "deployment": "../x", "resource": "r"},
            ["api_version", "deployment", "resource"],
        ),
        ("openai", {"organization": "org-1", "project": "proj_2"}, []),
        ("openai", {"bot_id": "1"}, ["bot_id"]),
        ("coze", {"bot_id": "73428668"}, []),
        ("coze", {"bot_id": "x"}, ["bot_id"]),
        ("coze-workflow", {"workflow_id": "1"}, []),
        ("coze-workflow-async", {}, []),
        ("jina", {"x": "1"}, ["x"]),
        ("somebodys-own", {"anything": "at all"}, []),
    ],
)
def test_options_are_judged_by_the_provider_they_are_for(provider: str, options: Any, at_fault: list[str]) -> None:
    """All faults at once; a provider that is not known may want to know anything."""
    assert [name for name, _ in option_faults(provider, options)] == at_fault


def test_a_provider_that_is_not_known_counts_as_compatible() -> None:
    """Other products' rows name many."""
    assert provider_named("somebodys-own") is COMPATIBLE
    assert provider_named("gemini").dialect == "gemini"
