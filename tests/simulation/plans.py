"""Schedules: what happens when, drawn from a seed, as plain data that can be printed, shortened and run again.

The law: a schedule holds every decision of the story that is not a latency or the order of one instant, so that leaving
steps out leaves the others as they are. Half of the picks aim at what changed less than a tenth of a second before or will
change so soon. How steps are done is left to `world`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple


class Step(NamedTuple):
    """Something that happens at a time, with what it needs to know."""

    at: float
    """Seconds since the beginning."""
    kind: str
    values: tuple[Any, ...] = ()

    def __str__(self) -> str:
        return f"{self.at:8.4f}  {self.kind}{self.values or ''}"


@dataclass(frozen=True)
class Schedule:
    """One story: who is there, what happens, and the seed of all that is smaller."""

    seed: int
    theme: str
    routers: int
    admins: int
    slowness: float
    """How often half a round trip to the database is slow."""
    steps: tuple[Step, ...]
    leases_lost: bool = False
    """Whether a failover to a lagging replica loses leases as well as changes of the catalog."""

    def without(self, start: int, count: int) -> Schedule:
        """Leave some steps out."""
        return replace(self, steps=self.steps[:start] + self.steps[start + count :])

    @property
    def end(self) -> float:
        """When the last step is done; from then on nothing fails any more."""
        return max((step.at + _lasts(step) for step in self.steps), default=0.0)

    def __str__(self) -> str:
        head = f"seed {self.seed}, {self.theme}: {self.routers} routers, {self.admins} admins, slowness {self.slowness}"
        head += ", failovers lose leases" if self.leases_lost else ""
        return "\n".join([head, *map(str, self.steps)])


Values = Callable[[random.Random], tuple[Any, ...]]

_NAMES: Final = (0, 1, 2)  # routers by number; one that is not there is the last that is


def _lasts(step: Step) -> float:
    return float(step.values[-1]) if step.kind in _SPANS else 0.0


def _span(low: float, high: float) -> Callable[[random.Random], float]:
    return lambda rng: round(rng.uniform(low, high), 3)


def _commit(rng: random.Random) -> tuple[Any, ...]:
    """From where (-1: by hand in psql), what, how long is waited for, and whether the admin dies after it."""
    what = rng.choices(_CHANGES, _CHANGE_WEIGHTS)[0]
    mode = rng.choices(("NONE", "QUORUM", "ALL"), (2, 1, 4))[0]
    return rng.choice((-1, 0, 0, 0, 1)), what, rng.randrange(1, 4), rng.randrange(1 << 16), mode, rng.random() < 0.05


def _pick(rng: random.Random) -> tuple[Any, ...]:
    """Which router, what for, which token is waited for, and the time limit."""
    wanted = rng.choices(("", "told", "newest", "lost", "any"), (6, 2, 1, 1, 1))[0]
    return rng.choice(_NAMES), rng.randrange(_ASKS), wanted, rng.choice((0.1, 0.5, 2.0, 2.0))


_SERVED: Final = 46  # an ask for what most catalogs serve, see `ask_of` in `world`
_ASKS: Final = 64
_CHANGES: Final = ("flip", "flip", "put", "delete", "spoil", "mend", "api key", "api key", "group", "many")
_CHANGE_WEIGHTS: Final = (4, 4, 4, 2, 1, 1, 1, 1, 1, 1)

# Each kind of step with what it needs; of spans the last value is how long they last.
_KINDS: Final[Mapping[str, Values]] = {
    "commit": _commit,
    "pick": _pick,
    "hint": lambda rng: (rng.choice(_NAMES), rng.choice(("newest", "old", "lost", "made up"))),
    "catch up": lambda rng: (rng.choice(_NAMES),),
    "freeze router": lambda rng: (rng.choice(_NAMES), _span(0.01, 0.6)(rng)),
    "freeze admin": lambda rng: (rng.choice((0, 1)), _span(0.01, 0.6)(rng)),
    "kill router": lambda rng: (rng.choice(_NAMES), _span(0.0, 0.3)(rng)),
    "drain router": lambda rng: (rng.choice(_NAMES), _span(0.6, 0.9)(rng)),
    "kill admin": lambda rng: (rng.choice((0, 1)), _span(0.0, 0.3)(rng)),
    "cut stream": lambda _: (),
    "stream": lambda rng: (
        rng.choice(("dropping", "doubling", "delaying", "reordering", "refusing")),
        _span(0.05, 1.0)(rng),
    ),
    "database": lambda rng: (rng.choice(("refusing", "holding", "slow", "flaky", "flaky")), _span(0.02, 0.6)(rng)),
    "path": lambda rng: (
        rng.choice(_NAMES),
        rng.choice(("refusing", "holding", "slow", "flaky", "flaky")),
        _span(0.02, 0.8)(rng),
    ),
    "lose": lambda rng: (rng.choice(_NAMES), _span(0.01, 0.3)(rng)),
    "fail over": lambda rng: (_span(0.0, 0.6)(rng),),
    "long freeze": lambda rng: (rng.choice(_NAMES), _span(4.5, 6.5)(rng)),
    "long cut": lambda rng: (rng.choice(_NAMES), rng.choice(("refusing", "holding")), _span(4.5, 7.0)(rng)),
    "clock": lambda rng: (rng.choice((-1.0, 1.0)) * _span(0.0, 90.0)(rng),),
    "prune": lambda _: (),
}
_SPANS: Final = frozenset(
    {"freeze router", "freeze admin", "kill router", "drain router", "kill admin", "stream", "database", "path"}
    | {"lose", "long freeze", "long cut"}
)

_CALM: Final = {"commit": 8.0, "pick": 14.0, "hint": 1.0, "catch up": 0.4}
_THEMES: Final[Mapping[str, tuple[float, float, Mapping[str, float]]]] = {
    # name: how often, the length in seconds, and how often each kind comes beside the calm ones
    "reads": (4, 0.5, {"database": 2, "path": 3, "freeze router": 1, "fail over": 0.3, "prune": 0.3}),
    "streams": (3, 0.7, {"stream": 4, "cut stream": 2, "freeze router": 1, "kill admin": 1, "freeze admin": 1}),
    "restarts": (3, 0.7, {"kill router": 2, "drain router": 0.7, "kill admin": 1, "path": 1, "stream": 1}),
    "failovers": (3, 0.6, {"fail over": 3, "path": 1, "prune": 0.5, "cut stream": 1, "freeze router": 0.5, "clock": 1}),
    "leases": (0.7, 6.0, {"long freeze": 1.2, "long cut": 2.0, "path": 2, "clock": 0.5, "cut stream": 1}),
    "silence": (0.3, 2.0, {"lose": 2, "path": 1}),
    "everything": (2, 0.8, dict.fromkeys(_KINDS, 1.0) | {"long freeze": 0.1, "long cut": 0.1, "lose": 0.1}),
}


def _vigil(rng: random.Random, cut: float, router: int) -> Iterator[Step]:
    """Watch a router's lease run out: slow answers before it is cut off, changes and picks around the lease's end."""
    yield Step(max(0.0, round(cut - 1.6, 4)), "path", (router, "slow", 1.6))
    end = cut + rng.uniform(3.6, 4.9)
    for number in range(12):
        yield Step(round(end + 0.06 * number, 4), "pick", (router, _SERVED, "", 0.1))
    for number in range(3):
        yield Step(round(end + 0.2 * number, 4), "commit", (0, "group", number, 0, "ALL", False))


def schedule_of(seed: int) -> Schedule:
    """Draw the schedule of a seed."""
    rng = random.Random(seed)
    theme = rng.choices(list(_THEMES), [often for often, _, _ in _THEMES.values()])[0]
    _, length, extra = _THEMES[theme]
    kinds = {**_CALM, **extra}
    count = rng.randrange(6, 20)
    steps: list[Step] = []
    while len(steps) < count:
        kind = rng.choices(list(kinds), list(kinds.values()))[0]
        at = round(rng.uniform(0.0, length), 4)
        steps.append(Step(at, kind, _KINDS[kind](rng)))
        if kind == "long cut":
            steps += _vigil(rng, at, *steps[-1].values[:1])
        if kind == "commit" and rng.random() < 0.6:
            steps.append(Step(round(max(0.0, at + rng.uniform(-0.1, 0.1)), 4), "pick", _pick(rng)))
    steps.sort(key=lambda step: step.at)
    slowness = rng.choice((0.0, 0.05, 0.05, 0.3))
    routers, admins = rng.choice((1, 1, 2, 2, 2, 3)), rng.choice((0, 1, 1, 1, 2))
    return Schedule(seed, theme, routers, admins, slowness, tuple(steps), leases_lost=rng.random() < 0.5)
