"""Clients that put load on a server: redis-benchmark and a pipelining client for commands that differ."""

import itertools
import os
import socket
import time

import harness

# The last reply of each batch, by which its end is known.
END = b"$5\r\n!end!\r\n"
CONNECTIONS = 8
DEPTH = 64


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
        server.command(*command)

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
    server.command(*commands[0])
    batches = [
        b"".join(harness.encode(*command) for command in commands[start : start + DEPTH]) + harness.encode("ECHO", "!end!")
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
