"""Real nginx on a free port of 127.0.0.1, with the configuration of the design note."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from documents import fences

NGINX: Final = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
WHY_NOT: Final = "nginx is not installed (apt install nginx-light)"
SHOWN: Final = fences("docs/design-note.md", "nginx")
"""What the design note shows of it."""

GROUPS: Final = ("general", "coder")
_MAIN: Final = """\
daemon off;
worker_processes 2;
error_log {place}/error.log;
pid {place}/pid;
{user}
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {place}/body;
    proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi;
    scgi_temp_path {place}/scgi;
    include {place}/shown.conf;
}}
"""
_SERVER: Final = re.compile(r"server 10\.0\.0\.(\d)(\d):8484 ")
_START_S: Final = 20.0


def changed(text: str, old: str, new: str) -> str:
    """The text with what stands there once put in other words."""
    assert text.count(old) == 1, f"{old!r} stands there {text.count(old)} times"
    return text.replace(old, new)


@dataclass
class Running:
    """nginx; ``url`` is the base URL of the API, ``config`` what it runs with."""

    url: str
    config: str
    place: Path
    pid: int

    @property
    def root(self) -> str:
        return self.url.removesuffix("/v1")

    def reload(self, config: str) -> None:
        """Go on with another configuration, as ``nginx -s reload`` does."""
        before = _workers(self.pid)
        Path(self.place, "shown.conf").write_text(config)
        os.kill(self.pid, signal.SIGHUP)
        until = time.monotonic() + _START_S
        while before & _workers(self.pid) or not _workers(self.pid):
            assert time.monotonic() < until, Path(self.place, "error.log").read_text()
            time.sleep(0.02)
        time.sleep(0.1)  # they say that they end just before they stop to listen


@contextmanager
def nginx(
    replicas: Mapping[str, Sequence[str]], balance: str = "least_conn;", **other: str
) -> Iterator[Running]:
    """Run it before these replicas of each group, two each, by their addresses.

    ``other`` replaces values of directives: ``proxy_read_timeout="1s"``.
    """
    assert NGINX is not None
    (config,) = SHOWN
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"

    def server(found: re.Match[str]) -> str:
        return f"server {replicas[GROUPS[int(found[1]) - 1]][int(found[2]) - 1]} "

    config, servers = _SERVER.subn(server, config)
    assert servers == 4 and config.count("least_conn;") == len(GROUPS)
    config = config.replace("least_conn;", balance)
    config = changed(config, "listen 80;", f"listen {address};")
    for name, value in other.items():
        config, times = re.subn(rf"\b{name} [^;]+;", f"{name} {value};", config)
        assert times == 1
    with tempfile.TemporaryDirectory(prefix="nginx-") as folder:
        place = Path(folder)
        user = "user root;" if os.geteuid() == 0 else ""
        (place / "nginx.conf").write_text(_MAIN.format(place=place, user=user))
        (place / "shown.conf").write_text(config)
        command = [NGINX, "-p", folder, "-c", f"{folder}/nginx.conf"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            _wait_for(address, process)
            yield Running(f"http://{address}/v1", config, place, process.pid)
        finally:
            process.terminate()
            process.communicate(timeout=_START_S)


def _wait_for(address: str, process: subprocess.Popen[str]) -> None:
    host, port = address.split(":")
    until = time.monotonic() + _START_S
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > until:
                process.kill()
                raise RuntimeError(f"nginx did not start: {process.communicate()[1]}") from None
            time.sleep(0.02)
        else:
            return


def _workers(pid: int) -> set[int]:
    """The processes of nginx that take requests, as opposed to those that finish their last."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(child) for child in children if not _ends(child)}


def _ends(pid: str) -> bool:
    try:
        return b"shutting down" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True
