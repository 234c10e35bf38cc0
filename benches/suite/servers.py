"""The servers that are measured: with this module, with none for the server's own types, with the module PEER, if any."""

import os
import struct

import harness

PEER = os.environ.get("PEER")
BLOCK = 1_000_000


def start(directory, *options, module=harness.MODULE):
    """A server, with a module unless that is None, in a directory that is made for it."""
    os.makedirs(directory, exist_ok=True)
    load = ("--loadmodule", os.path.abspath(module)) if module else ()
    return harness.Server(directory, *load, "--proto-max-bulk-len", "4gb", *options)


def write_values(path, count):
    """A file of `count` doubles: 0.5, 1.5, and so on, over again after a million."""
    block = struct.pack(f"<{min(count, BLOCK)}d", *(i + 0.5 for i in range(min(count, BLOCK))))
    with open(path, "wb") as file:
        for written in range(0, count, BLOCK):
            file.write(block[: 8 * (count - written)])


def bind(server, key, values):
    """Binds the key to a new file with the given number of values, after deleting it."""
    server.command("DEL", key)
    path = os.path.join(server.directory, f"{key}.f64")
    if os.path.exists(path):
        os.remove(path)
    write_values(path, values)
    server.command("MMAP", key, f"{key}.f64", "double", "WRITABLE")


def fill_list(server, key, count):
    for begin in range(0, count, 1000):
        server.command("RPUSH", key, *(f"{i / 7:.17g}" for i in range(begin, min(begin + 1000, count))))


def fill_hash(server, key, count):
    for begin in range(0, count, 1000):
        end = min(begin + 1000, count)
        server.command("HSET", key, *(x for i in range(begin, end) for x in (i, f"{i / 7:.17g}")))


def fill_string(server, key, count):
    """As many bytes as `count` doubles take."""
    block = b"0123456789abcdef" * 50_000
    for written in range(0, 8 * count, len(block)):
        server.command("APPEND", key, block[: 8 * count - written])
