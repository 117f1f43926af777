"""Old revisions that are asked about, without a database."""

from __future__ import annotations

import asyncio
import time

import pytest

from router_svc.line import Line, LineDown
from router_svc.lineage import Lineage, Standing
from router_svc.lookups import Lookups
from router_svc.snapshot import Token
from tests.harness.waiting import PATIENCE
from trunkline.secret import Secret


class Told(Line):
    """A session that answers with a chain, with none, or not at all."""

    def __init__(self, answer: str | LineDown | None) -> None:
        super().__init__(Secret("no dsn"), silence=1.0)
        self._answer = answer

    async def run(self, _work: object) -> str | None:  # type: ignore[override]  # the answer to any question
        """Answer."""
        if isinstance(self._answer, LineDown):
            raise self._answer
        return self._answer


@pytest.mark.parametrize(
    ("answer", "standing"),
    [
        ("ours", Standing.REACHED),
        ("another", Standing.FOREIGN),
        (None, Standing.REACHED),
        (LineDown("nobody there"), Standing.FORGOTTEN),
    ],
    ids=["its own chain", "another's", "pruned", "not told"],
)
async def test_what_the_database_says_of_a_revision_tells_how_its_token_stands(
    answer: str | LineDown | None, standing: Standing
) -> None:
    """One chain is its own, another is a lost branch; one that is pruned was reached long ago, and silence tells nothing."""
    lineage = Lineage()
    lineage.restart([], Token(9, "nine"))
    lookups = Lookups(Told(answer), lineage)
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
        working = tasks.create_task(lookups.run())
        await lookups.wait_for(4, time.monotonic() + 5.0)
        working.cancel()
    assert lineage.standing(Token(4, "ours")) is standing
