"""nginx as a reverse proxy: one worker, kept connections, nothing buffered, nothing checked: the floor of a proxy's cost."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.candidate import Candidate, NotHere
from bench.peers.starting import program, wait_for
from bench.processes import tree
from tests.harness.ports import free_port

_CONFIGURATION = """
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid {directory}/nginx.pid;
error_log {directory}/error.log warn;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  client_max_body_size 64m;
  keepalive_requests 100000000;
  upstream canned {{
    server 127.0.0.1:{upstream};
    keepalive 2048;
    keepalive_requests 100000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=8192;
    location / {{
      proxy_pass http://canned;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_request_buffering off;
      proxy_read_timeout 3600s;
    }}
  }}
}}
"""


@contextmanager
def nginx(upstream: int, directory: Path) -> Iterator[Candidate]:
    """Run it."""
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if binary is None:
        raise NotHere("nginx is not installed: apt-get install nginx")
    folder, port = directory / "nginx", free_port()
    folder.mkdir()
    configuration = folder / "nginx.conf"
    configuration.write_text(_CONFIGURATION.format(directory=folder, upstream=upstream, port=port))
    command = [binary, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(configuration)]
    with program(command, folder / "log") as process:
        wait_for(f"http://127.0.0.1:{port}/count", process, folder / "log")
        yield Candidate(
            name="nginx",
            version=_version(binary),
            url=f"http://127.0.0.1:{port}/v1/chat/completions",
            parts=lambda: {"nginx": tree(process.pid)},
        )


def _version(binary: str) -> str:
    said = subprocess.run([binary, "-v"], capture_output=True, text=True, check=True).stderr
    return said.strip().rpartition("/")[2]
