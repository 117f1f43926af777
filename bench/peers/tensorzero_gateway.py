"""Starts TensorZero's HTTP gateway in this process and prints its port. Runs in the peer's own virtual environment.

`_start_http_gateway` is what the package's `patch_openai_client` calls: the whole gateway on a free port of this machine.
"""

import signal
import sys
from urllib.parse import urlsplit

from tensorzero.tensorzero import _start_http_gateway

gateway = _start_http_gateway(
    config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False
)
print(urlsplit(gateway.base_url).port, flush=True)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.pause()
