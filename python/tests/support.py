"""Servers of our own: on a free port, in a temporary directory, gone afterwards whatever happens."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import redis

PROJECT = Path(__file__).resolve().parents[2]
SERVER = os.environ.get("MMAP_SERVER", "redis-server")
MODULE = os.environ.get("MMAP_MODULE", str(PROJECT / "target/release/libredis_mmap.so"))
PATIENCE = 60.0
_PR_SET_PDEATHSIG = 1


def wait_until(what: str, condition: Callable[[], Any]) -> None:
    """Waits for a condition, and fails if it does not come true."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {PATIENCE:.0f} s in vain until {what}")
        time.sleep(0.01)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as probes:
        sockets = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in sockets]


def _end_with_us() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Server:
    """A server with the module. Its files lie in ``root``."""

    def __init__(self, directory: Path, *options: str, module: str = MODULE) -> None:
        binary = shutil.which(SERVER)
        assert binary, f"there is no server {SERVER!r}"
        assert Path(module).exists(), f"there is no {module}: run 'make build' first"
        self.directory, self.options = directory, options
        self.root = directory / "data"
        self.root.mkdir(exist_ok=True)
        self.log = directory / "log"
        self._command = [
            os.path.abspath(binary), "--bind", "127.0.0.1", "--dir", str(directory), "--save", "", "--appendonly", "yes",
            "--loadmodule", module, "dir", str(self.root),
        ]  # fmt: skip
        self.process: subprocess.Popen[bytes]
        self.port = 0
        self.start()

    def start(self, port: int = 0) -> None:
        for _ in range(5):
            self.port = port or free_ports(1)[0]
            with open(self.log, "ab") as log:
                self.process = subprocess.Popen(
                    [*self._command, "--port", str(self.port), *self.options], stdout=log, stderr=log, preexec_fn=_end_with_us
                )
            end = time.monotonic() + PATIENCE
            while self.process.poll() is None and time.monotonic() < end:
                with contextlib.suppress(redis.ConnectionError, redis.BusyLoadingError):
                    with redis.Redis(port=self.port) as client:
                        client.ping()
                    return
                time.sleep(0.01)
            self.stop()
        raise AssertionError(f"the server does not start:\n{self.log.read_text()}")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()

    def restart(self) -> None:
        """Kills it without a word, and starts it on the same port."""
        self.kill()
        self.start(self.port)


@contextlib.contextmanager
def server(*options: str, module: str = MODULE) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="redis-mmap-") as directory:
        running = Server(Path(directory), *options, module=module)
        try:
            yield running
        finally:
            running.stop()


@contextlib.contextmanager
def cluster(primaries: int = 3) -> Iterator[list[Server]]:
    """A Cluster without replicas, when all nodes agree that it is well."""
    with contextlib.ExitStack() as stack:
        bus_ports = free_ports(primaries)
        nodes = []
        for port in bus_ports:
            options = ("--cluster-enabled", "yes", "--cluster-port", str(port), "--cluster-node-timeout", "5000")
            nodes.append(stack.enter_context(server(*options)))
        size = 16384 // primaries + 1
        clients: list[Any] = [stack.enter_context(contextlib.closing(redis.Redis(port=node.port))) for node in nodes]
        for number, client in enumerate(clients):
            last = min((number + 1) * size, 16384) - 1
            client.execute_command("CLUSTER ADDSLOTSRANGE", number * size, last)
            client.execute_command("CLUSTER MEET", "127.0.0.1", nodes[0].port, bus_ports[0])
        for client in clients:
            wait_until("the cluster is well", functools.partial(_is_well, client, primaries))
        yield nodes


def _is_well(client: Any, nodes: int) -> bool:
    info = client.execute_command("CLUSTER INFO")
    return info["cluster_state"] == "ok" and int(info["cluster_known_nodes"]) == nodes
