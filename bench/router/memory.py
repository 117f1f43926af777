"""What a catalog takes in memory, and what a full load upon it takes at its peak: `python -m bench.router.memory CHANNELS`.

The pure code alone, without a database, gRPC or anything else of a router. Prints JSON, in MiB.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from pathlib import Path

from bench.router.catalogs import api_key_row, channel_row, head_of
from bench.router.reloads import memory
from router_svc.draft import Draft
from router_svc.rows import Reader
from router_svc.snapshot import Snapshot

LOADS = 3


def load(channels: int, held: Snapshot | None) -> Snapshot:
    """Load a catalog whole, as the loader does: the collector does not run meanwhile, and never looks at it again."""
    gc.disable()
    head, reader = head_of(channels), Reader()
    draft = Draft.from_nothing(head, held, held)
    draft.put(reader.api_key(api_key_row()))
    for number in range(1, channels + 1):
        draft.put(reader.channel(channel_row(number)))
    snapshot = draft.done(head)
    gc.freeze()
    gc.enable()
    return snapshot


def measured(channels: int) -> dict[str, float]:
    """Load once, then again upon what is held."""
    found = {"bare": memory(os.getpid())["VmRSS"]}
    held = load(channels, None)
    found["after the first load"] = memory(os.getpid())["VmRSS"]
    found["at the first load's peak"] = memory(os.getpid())["VmHWM"]
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts anew
    for _ in range(LOADS - 1):
        held = load(channels, held)
    found["at a reload's peak"] = memory(os.getpid())["VmHWM"]
    found["after the last reload"] = memory(os.getpid())["VmRSS"]
    return found


if __name__ == "__main__":
    print(json.dumps(measured(int(sys.argv[1]))))
