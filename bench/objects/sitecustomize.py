"""Python loads this at its start where this folder is on PYTHONPATH: lets `bench.soak` ask a relay for its live objects.

On SIGUSR2 the relay collects its garbage and writes how many objects are left. Only the soak has this in its path.
"""

import gc
import os
import signal
import sys
from pathlib import Path

if "relay_svc" in sys.orig_argv:
    into = Path(os.environ["TRUNKLINE_BENCH_OBJECTS"])  # noqa: TID251 - no settings module is loaded yet

    def count(*_: object) -> None:
        """Write the number, whole or not at all."""
        gc.collect()
        fresh = into.with_suffix(".new")
        fresh.write_text(str(len(gc.get_objects()) + gc.get_freeze_count()))
        fresh.replace(into)

    signal.signal(signal.SIGUSR2, count)
