"""A server that is killed in between, and one that is busy."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from typing import Any, Callable

import numpy as np
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

import redis_mmap

from . import support
from .support import Server

PIECE = 64 << 10


def killing(server: Server, pieces: int) -> Callable[[int], None]:
    """Told of the progress, kills the server after so many pieces, while the next one is on its way."""
    told: list[int] = []

    def progress(count: int) -> None:
        told.append(count)
        if len(told) == pieces:
            threading.Thread(target=server.process.kill).start()

    return progress


def test_a_killed_server_has_what_was_acknowledged_and_an_append_says_what_that_is(name: str) -> None:
    with support.server() as server, redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0)) as client:
        a = redis_mmap.open(client, name, name, dtype="i8")
        values = np.arange(2_000_000)
        done = 0
        for round_number in range(3):
            pieces = 5 + 7 * round_number
            with pytest.raises(redis_mmap.AppendInterrupted) as raised:
                a.append(values[done:], progress=killing(server, pieces), piece=PIECE)
            error = raised.value
            assert isinstance(error, (redis.ConnectionError, redis.TimeoutError))
            assert error.appended is not None
            assert error.appended >= pieces * PIECE // 8
            server.process.wait()
            server.start(server.port)
            length = len(a)
            assert length - done in (error.appended, error.appended + error.uncertain)
            assert np.array_equal(a[:], values[:length])
            done = length
        a.append(values[done:])
        assert np.array_equal(a[:], values)


def test_reads_go_on_after_a_restart(client: Any, name: str, server: Server) -> None:
    a = redis_mmap.open(client, name, name)
    a.append(np.arange(1000.0))
    server.restart()
    assert a.sum() == 499_500
    a[0] = 5
    assert a[0] == 5


# Another process, so that no lock of this one is in the way: it asks as fast as it can, and says how long it waited.
PINGER = """
import select, socket, sys, time
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
    waits = []
    print("ready", flush=True)
    connection.settimeout(60)
    sys.stdin.readline()
    while not select.select([sys.stdin], [], [], 0)[0]:
        start = time.perf_counter()
        connection.sendall(b"PING\\r\\n")
        assert connection.recv(100) == b"+PONG\\r\\n"
        waits.append(time.perf_counter() - start)
    print(len(waits), max(waits), sorted(waits)[len(waits) * 99 // 100])
"""


@contextlib.contextmanager
def pinger(port: int) -> Any:
    process = subprocess.Popen(
        [sys.executable, "-c", PINGER, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def pings_during(port: int, work: Any) -> tuple[int, float, float]:
    """How many there were, and the longest and the 99th of 100 waits in seconds."""
    with pinger(port) as process:
        assert process.stdout.readline() == "ready\n"
        process.stdin.write("go\n")
        work()
        process.stdin.write("stop\n")
        count, longest, p99 = process.stdout.readline().split()
        return int(count), float(longest), float(p99)


def test_others_are_answered_between_the_pieces_of_a_long_append(plain: Any, name: str, server: Server) -> None:
    """100 MB. The verdict is one of order, not of time: no piece is sent before the one before it was answered."""
    values = np.random.default_rng(1).standard_normal(12_500_000)
    a = redis_mmap.open(plain, name, name)
    lengths: list[tuple[int, int]] = []
    with redis.Redis(port=server.port) as observer:

        def append() -> None:
            # Every tenth piece, so that the question does not become the pause.
            appended: list[int] = []

            def progress(count: int) -> None:
                appended.append(count)
                if len(appended) % 10 == 0:
                    # A piece that was sent ahead on the other connection would be there too.
                    lengths.append((sum(appended), observer.execute_command("VSIZE", name)))

            a.append(values, progress=progress)

        count, longest, p99 = pings_during(server.port, append)
    print(f"{count} PINGs during an append of 100 MB, the longest {longest * 1e3:.1f} ms, p99 {p99 * 1e3:.2f} ms")
    assert len(a) == len(values)
    assert len(lengths) == 9
    assert all(told == found for told, found in lengths), lengths
