"""Clients that put load on a server: redis-benchmark, a pipelining client for commands that differ, one at a steady rate."""

import contextlib
import itertools
import os
import selectors
import socket
import time

# The last reply of each batch, by which its end is known.
END = b"$5\r\n!end!\r\n"
CONNECTIONS = 8
DEPTH = 64
# One batch of commands a millisecond, each of which is late from the moment on when it was due.
TICK = 0.001


def encode(*command):
    parts = [part if isinstance(part, bytes) else str(part).encode() for part in command]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def check(server, *command):
    """Carries out a command once, so that an error which it answers is raised."""
    # A reply of bytes that are no text has been read when it is found to be so.
    with contextlib.suppress(UnicodeDecodeError):
        server.command(*command)


def repeated(server, command, seconds, pipeline, before=None):
    """A run of one command for about so long, by redis-benchmark with 50 clients: gives commands a second.

    `before` is for commands that write: it is called before the run and after it, and is not timed. So what one contender
    leaves in RAM or has not written to the disk yet is no burden to the next. How many commands the time takes is found out
    beforehand, by shorter runs.
    """
    def prepare():
        if before:
            before()
            os.sync()
        check(server, *command)

    count, took = max(50 * pipeline, 500), 0.0
    while took < seconds / 2:
        prepare()
        rate = server.rate(count, pipeline, *command)
        took = count / rate
        # Short runs are slow ones, so that it takes several to tell. redis-benchmark counts whole milliseconds, so that one
        # may have taken none.
        count = max(count, int(rate * min(seconds, 8 * took))) if took else 8 * count

    def once():
        prepare()
        rate = server.rate(count, pipeline, *command)
        if before:
            before()
        return rate
    return once


def varied(server, commands, seconds):
    """A run of commands that differ, over and over, 64 at a time on each of 8 connections: gives commands a second."""
    check(server, *commands[0])
    batches = [
        b"".join(encode(*command) for command in commands[start : start + DEPTH]) + encode("ECHO", "!end!")
        for start in range(0, len(commands), DEPTH)
    ]

    def once():
        sockets = [socket.create_connection(("127.0.0.1", server.port), 60) for _ in range(CONNECTIONS)]
        try:
            supply, done = itertools.cycle(batches), 0
            start = time.perf_counter()
            while (took := time.perf_counter() - start) < seconds:
                for connection in sockets:
                    connection.sendall(next(supply))
                for connection in sockets:
                    read_batch(connection)
                done += CONNECTIONS * DEPTH
            return done / took
        finally:
            for connection in sockets:
                connection.close()
    return once


def read_batch(connection):
    tail = b""
    while not tail.endswith(END):
        received = connection.recv(1 << 18)
        if not received:
            raise ConnectionError("the server closed the connection")
        tail = (tail + received)[-len(END):]


def steady(server, command, rate, seconds):
    """A run at a steady rate on 8 connections: gives the latencies in microseconds, in ascending order.

    A latency counts from when the command was due, so that a server that stalls is late for all that were due meanwhile
    (no "coordinated omission"). The replies must be of one line.
    """
    check(server, *command)
    share = max(1, round(rate * TICK / CONNECTIONS))
    batch = encode(*command) * share

    def once():
        # Not epoll, which waits for whole milliseconds.
        selector = selectors.SelectSelector()
        sockets = [socket.create_connection(("127.0.0.1", server.port), 60) for _ in range(CONNECTIONS)]
        try:
            for connection in sockets:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(connection, selectors.EVENT_READ, [])
            return sorted(exchange(selector, sockets, batch, share, round(seconds / TICK)))
        finally:
            selector.close()
            for connection in sockets:
                connection.close()
    return once


def exchange(selector, sockets, batch, share, ticks):
    latencies, sent, open_commands = [], 0, 0
    start = time.perf_counter()
    while sent < ticks or open_commands:
        now = time.perf_counter() - start
        while sent < ticks and sent * TICK <= now:
            for connection in sockets:
                connection.sendall(batch)
                selector.get_key(connection).data.extend([sent * TICK] * share)
            sent += 1
            open_commands += share * len(sockets)
        wait = max(0.0, sent * TICK - (time.perf_counter() - start)) if sent < ticks else 60
        ready = selector.select(wait)
        if not ready and sent == ticks:
            raise TimeoutError("the server does not answer")
        for key, _ in ready:
            received = key.fileobj.recv(1 << 16)
            if not received or b"-" in received:
                raise ConnectionError(f"the server answered {received[:200]!r}")
            answered = received.count(b"\n")
            now = time.perf_counter() - start
            latencies.extend(1e6 * (now - due) for due in key.data[:answered])
            del key.data[:answered]
            open_commands -= answered
    return latencies


def percentile(ascending, percent):
    return ascending[min(len(ascending) - 1, int(len(ascending) * percent / 100))]
