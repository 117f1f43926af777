"""A relay, the SDKs pointed at it, and the upstreams behind it: once for all tests of a module."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field

import httpx2
import pytest

from tests.integration.relay_svc.conftest import Bench, open_bench
from tests.integration.relay_svc.routers import API_KEY, candidate
from tests.integration.relay_svc.upstreams import Upstream
from tests.matrix.clients import Client, clients
from tests.matrix.golden import Golden
from tests.matrix.kinds import Kind
from tests.matrix.mock import running_mock
from trunkline.v1 import router_pb2 as pb

MODEL = "m"


@dataclass
class Scene:
    """Everything that a case needs."""

    bench: Bench
    clients: Mapping[str, Client]
    golden: Golden
    golden_url: str
    mock_url: str
    heads: list[httpx2.Headers] = field(default_factory=list)
    """Of the answers that the clients got."""

    def plan(self, kind: Kind) -> None:
        """Have the model served by an upstream of a kind."""
        url = self.mock_url if kind.mock else self.golden_url
        self.golden.seen.clear()
        self.heads.clear()
        self.bench.router.plans[MODEL] = [
            candidate(
                1,
                url + kind.path,
                provider=kind.provider,
                upstream_model=kind.model,
                shaping=pb.Shaping(provider_options=kind.options),
            )
        ]


@pytest.fixture(scope="session")
def mock_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The independent mock."""
    with running_mock(tmp_path_factory.mktemp("mock")) as url:
        yield url


@pytest.fixture(scope="module")
async def scene(mock_url: str) -> AsyncIterator[Scene]:
    """A relay with a secret to sign runs with; nobody waits for an upstream that is limited."""
    golden, heads = Golden(), list[httpx2.Headers]()
    async with (
        open_bench(TRUNKLINE_RELAY_RETRY_WINDOW="300ms", TRUNKLINE_RELAY_RUN_SECRET="s" * 32) as bench,
        Upstream(golden.script).serving() as upstream,
        clients(bench.relay.url, API_KEY, heads) as sdks,
    ):
        yield Scene(bench, sdks, golden, upstream.base_url.removesuffix("/v1"), mock_url, heads)
