"""Loaded by Python as it starts, moves what `time` tells a program by as many nanoseconds as a file says, at any moment.

The law: as `clock.c`, for machines without a C compiler. Only what Python itself asks is moved: C inside the process goes on
by the machine's clock, and so must gRPC's Python half, since the two hand each other deadlines by the wall clock.
"""

import mmap
import os
import struct
import sys
import time
from types import SimpleNamespace


def _move(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    memory = mmap.mmap(descriptor, 8, access=mmap.ACCESS_READ)
    os.close(descriptor)
    exact, exact_ns = time.time, time.time_ns
    _spare_grpc(SimpleNamespace(**vars(time)))

    def shift() -> int:
        nanoseconds: int = struct.unpack_from("=q", memory)[0]
        return nanoseconds

    time.time = lambda: exact() + shift() / 1e9
    time.time_ns = lambda: exact_ns() + shift()


def _spare_grpc(unmoved: SimpleNamespace) -> None:
    """Have gRPC go on with the functions that `time` has now."""
    import grpc.aio  # noqa: F401, PLC0415 - loaded here, so that all of its modules are there

    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "grpc" and getattr(module, "time", None) is time:
            vars(module)["time"] = unmoved


if _path := os.environ.get("TRUNKLINE_PROOF_CLOCK"):
    _move(_path)
