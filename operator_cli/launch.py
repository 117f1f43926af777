"""The step between fork and exec: become the right user, tie this process's life to its parent's, become the program.

    python launch.py DEATH_SIGNAL PARENT_PID UID GID PROGRAM ARGUMENT…      (UID and GID are - to stay who we are)

Law: it keeps its process number, so who started it signals and waits for the program itself. It is a program of its own
because nothing may safely run between fork and exec in a process that has threads. It imports nothing of this project:
it is run in isolation, while it is still root, whatever the target user may read.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_NOT_STARTED = 127  # what a shell answers for a program it could not start


def main(arguments: list[str]) -> int:
    """Never returns when all goes well."""
    death_signal, parent, uid, gid, *argv = arguments
    if uid != "-":
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    if sys.platform == "linux":
        # After the change of user, which clears it.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != int(parent):  # the parent died before the kernel knew whose death to watch
            return 128 + signal.SIGKILL
    try:
        os.execv(argv[0], argv)  # noqa: S606 — no shell is the point
    except OSError as error:
        print(f"cannot start {argv[0]}: {error.strerror}", file=sys.stderr)
        return _NOT_STARTED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
