"""What a pick and a change cost without any wire: the pure code alone, beside a bare dict look-up with a bisect."""

from __future__ import annotations

import gc
import random
import statistics
import time
from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate
from typing import Final

from bench.router.catalogs import API_KEY, EACH, GROUP, MODELS, PEPPER, built, channel_row, head_of, model
from router_svc.draft import apply_delta
from router_svc.picker import find
from router_svc.plan import Ask
from router_svc.rows import Reader
from router_svc.snapshot import Channel, ChannelKey, Head, Snapshot, Token
from trunkline.secret import ApiKeyHasher, Secret

ROUNDS: Final = 7
_PICKS: Final = 20_000
_DELTAS: Final = 200


def measured(channels: int) -> dict[str, float]:
    """CPU µs of a bare look-up, of picks of one and of three candidates, and of a change of one channel's weight."""
    snapshot = built(channels)
    gc.freeze()
    runs = {
        "bare": _bare(channels),
        "pick of 1": _picks(snapshot, 1),
        "pick of 3": _picks(snapshot, 3),
        "change": _changes(snapshot, channels),
    }
    for run in runs.values():
        run()
    rounds = [{name: run() for name, run in runs.items()} for _ in range(ROUNDS)]
    return {name: statistics.median(round_[name] for round_ in rounds) for name in runs}


def _bare(channels: int) -> Callable[[], float]:
    tiers: dict[tuple[str, str], tuple[list[int], list[int], int]] = {}
    members: dict[int, list[int]] = {}
    for number in range(1, channels + 1):
        if number % 2:  # the first tier
            for step in range(EACH):
                members.setdefault((number + 37 * step) % MODELS, []).append(number)
    for number, ids in members.items():
        cumulative = list(accumulate(channel % 10 + 1 for channel in ids))
        tiers[GROUP, model(number)] = ids, cumulative, cumulative[-1]
    asks = [((GROUP, model(random.choice(list(members)))), random.getrandbits(64)) for _ in range(_PICKS)]

    def run() -> float:
        began = time.process_time()
        for name, seed in asks:
            ids, cumulative, total = tiers[name]
            ids[bisect_right(cumulative, seed * total >> 64)]
        return (time.process_time() - began) / _PICKS * 1e6

    return run


def _picks(snapshot: Snapshot, wanted: int) -> Callable[[], float]:
    key_hash = ApiKeyHasher(Secret(PEPPER)).hash(API_KEY)
    names = list(next(iter(snapshot.routes.values())).exact)
    asks = [Ask(random.choice(names), key_hash, wanted=wanted, seed=random.getrandbits(64)) for _ in range(_PICKS)]

    def run() -> float:
        began = time.process_time()
        for ask in asks:
            find(snapshot, ask, 0.0, _open)
        return (time.process_time() - began) / _PICKS * 1e6

    return run


def _open(_channel: Channel, key: ChannelKey | None) -> bool:
    if key is not None:
        key.opened = Secret("opened")
    return True


def _changes(snapshot: Snapshot, channels: int) -> Callable[[], float]:
    """One channel's weight changes; the chain of snapshots goes on, as in a router."""
    head, reader, held = head_of(channels), Reader(), [snapshot]
    numbers = random.sample(range(1, channels + 1), min(channels, _DELTAS))

    def run() -> float:
        held[0], digest = snapshot, head.digest
        revised = []
        for revision, number in enumerate(numbers, 2):
            row = reader.channel(channel_row(number, revision, weight=77))
            digest += revision - 1
            revised.append((row, Head(Token(revision, "c" * 64), digest, *head[2:])))
        began = time.process_time()
        for row, at in revised:
            held[0] = apply_delta(held[0], at, [row], [])
        return (time.process_time() - began) / len(revised) * 1e6

    return run
