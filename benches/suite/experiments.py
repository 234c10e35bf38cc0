"""What is measured. Each experiment gives a `Figure`: rates, or other numbers, of several contenders over one variable."""

import contextlib
import dataclasses
import os
import random
import statistics
import sys
import tempfile

import harness
import load
import servers

VALUE = "0.1234567890123456"
FSYNC = ("always", "everysec", "no")
# A list is searched from its nearer end, and a hash takes some 60 bytes a value: longer ones are left out.
LONGEST = {"LINDEX": 1_000_000, "HGET": 1_000_000, "GETRANGE": 10_000_000}


@dataclasses.dataclass
class Scale:
    """How much is measured."""

    rounds: int = 5
    seconds: float = 0.4
    sizes: tuple = (1, 10, 100, 1000)
    depths: tuple = (1, 4, 16, 64)
    lengths: tuple = (10**3, 10**4, 10**5, 10**6, 10**7, 10**8)
    values: int = 1_000_000
    arrays: int = 100
    array_values: int = 1_000_000
    # As many as can be read from an RDB file in a sensible time, for each list.
    list_values: int = 100_000
    # Other servers on which the goals are measured.
    also: tuple = ()
    quick: bool = False
    long: bool = False

    @classmethod
    def tiny(cls):
        return cls(2, 0.02, (1, 100), (1, 16), (10**3, 10**5), 10_000, 3, 10_000, 1000, quick=True)

    def lengthen(self):
        self.long = True
        self.lengths = (*self.lengths, 10**9)
        self.array_values = 10**7


@dataclasses.dataclass
class Figure:
    """A table and a chart. `cells[name][x]` are the numbers of all rounds, or None where nothing was measured."""

    slug: str
    title: str
    text: str
    x_label: str
    y_label: str
    xs: tuple
    cells: dict
    # The contender to whose server's own command the others are compared, and that command.
    ours: str = ""
    peer: str = ""
    # How the chart shows it: "lines", on two logarithmic axes; "bars"; or "percentiles".
    form: str = "lines"

    def median(self, name, x):
        rounds = self.cells[name].get(x)
        return None if rounds is None else statistics.median(rounds)

    def ratio(self, x):
        """Median of ours : peer in each round."""
        ours, theirs = self.cells[self.ours].get(x), self.cells[self.peer].get(x)
        return None if ours is None or theirs is None else statistics.median(a / b for a, b in zip(ours, theirs))


def in_turns(scale, cells, x, runs, factor=1):
    """Runs all contenders of one x in turns, and notes what they give."""
    for name, rates in zip(runs, harness.in_turns(scale.rounds, *runs.values())):
        cells.setdefault(name, {})[x] = [factor * rate for rate in rates]


class Contenders:
    """The servers, filled with the same number of values in each form: ours, one without a module, and perhaps the peer's."""

    def __init__(self, scale, ours, own, peer):
        self.scale, self.ours, self.own, self.peer = scale, ours, own, peer
        for server in filter(None, (ours, peer)):
            servers.bind(server, "array", scale.values)
        servers.fill_list(own, "list", 1000)
        servers.fill_hash(own, "hash", scale.values)
        servers.fill_string(own, "string", scale.values)

    def run(self, server, command, pipeline, before=None):
        return load.repeated(server, command, self.scale.seconds, pipeline, before)

    def append(self, server, command, pipeline):
        """Appends to an array that is empty at first, but for the one value that other modules may insist on."""
        return self.run(server, command, pipeline, lambda: servers.bind(server, command[1], 1))

    def push(self, command, pipeline):
        """Appends to, or fills, a key of one of the server's own types that is not there at first."""
        return self.run(self.own, command, pipeline, lambda: self.own.command("DEL", command[1]))

    def appends(self, size, pipeline):
        """Appending `size` values by each command that can."""
        random.seed(size)
        values = [VALUE] if size == 1 else [f"{random.random():.17f}" for _ in range(size)]
        block = "".join(random.choices("0123456789abcdef", k=8 * size))
        fields = [x for i, value in enumerate(values) for x in (str(i), value)]

        runs = {"VADD": self.append(self.ours, ["VADD", "new", *values], pipeline)}
        if self.ours.has("VADDRAW"):
            runs["VADDRAW"] = self.append(self.ours, ["VADDRAW", "new", block], pipeline)
        runs["RPUSH"] = self.push(["RPUSH", "pushed", *values], pipeline)
        runs["APPEND"] = self.push(["APPEND", "appended", block], pipeline)
        runs["HSET"] = self.push(["HSET", "set", *fields], pipeline)
        if self.peer:
            runs["VADD of PEER"] = self.append(self.peer, ["VADD", "new", *values], pipeline)
        return runs

    def reads(self, size, pipeline):
        """Reading `size` values by each command that can."""
        random.seed(size)
        indices = [str(random.randrange(self.scale.values)) for _ in range(size)]
        runs = {"VMGET": self.run(self.ours, ["VMGET", "array", *indices], pipeline)}
        if self.ours.has("VGETRAW"):
            runs["VGETRAW"] = self.run(self.ours, ["VGETRAW", "array", "0", str(size - 1)], pipeline)
        runs["HMGET"] = self.run(self.own, ["HMGET", "hash", *indices], pipeline)
        runs["LRANGE"] = self.run(self.own, ["LRANGE", "list", "0", str(size - 1)], pipeline)
        runs["GETRANGE"] = self.run(self.own, ["GETRANGE", "string", "0", str(8 * size - 1)], pipeline)
        if self.peer:
            runs["VMGET of PEER"] = self.run(self.peer, ["VMGET", "array", *indices], pipeline)
        return runs

    def single_reads(self, pipeline):
        runs = {
            "VGET": self.run(self.ours, ["VGET", "array", "500"], pipeline),
            "LINDEX": self.run(self.own, ["LINDEX", "list", "500"], pipeline),
            "GETRANGE": self.run(self.own, ["GETRANGE", "string", "4000", "4007"], pipeline),
            "HGET": self.run(self.own, ["HGET", "hash", "500"], pipeline),
        }
        if self.peer:
            runs["VGET of PEER"] = self.run(self.peer, ["VGET", "array", "500"], pipeline)
        return runs


def over_sizes(scale, contenders):
    append, read = {}, {}
    for size in scale.sizes:
        harness.progress(f"values per command: {size}")
        in_turns(scale, append, size, contenders.appends(size, 16), size)
        in_turns(scale, read, size, contenders.reads(size, 16), size)
    return [
        Figure(
            "append-sizes", "Appending: values per command",
            "50 connections, 16 commands on the way on each. `APPEND` and `VADDRAW` take 8 bytes a value, not text. `HSET` sets "
            "the same fields over and over.",
            "values per command", "values per second", scale.sizes, append, "VADD", "RPUSH"),
        Figure(
            "read-sizes", "Reading: values per command",
            f"50 connections, 16 commands on the way on each, arrays and hashes of {scale.values:,} values. `VMGET` and `HMGET` "
            "read at random, `VGETRAW`, `LRANGE` and `GETRANGE` from the beginning; `VGETRAW` and `GETRANGE` answer 8 bytes a value.",
            "values per command", "values per second", scale.sizes, read, "VMGET", "HMGET"),
    ]


def over_depths(scale, contenders):
    append, read = {}, {}
    for depth in scale.depths:
        harness.progress(f"pipeline depth {depth}")
        in_turns(scale, append, depth, contenders.appends(1, depth))
        in_turns(scale, read, depth, contenders.single_reads(depth))
    return [
        Figure(
            "append-depths", "Appending one value: pipeline depth", "50 connections.",
            "commands on the way on each connection", "commands per second", scale.depths, append, "VADD", "RPUSH"),
        Figure(
            "read-depths", "Reading one value: pipeline depth",
            "50 connections, value 500 of each structure; a list answers the slower the farther from its ends that is.",
            "commands on the way on each connection", "commands per second", scale.depths, read, "VGET", "GETRANGE"),
    ]


def length_reads(scale, contenders, length):
    """Reading random values of structures of so many values, which are made for it."""
    ours, own, peer = contenders.ours, contenders.own, contenders.peer
    random.seed(length)
    indices = [random.randrange(length) for _ in range(16_384)]

    def run(server, command):
        return load.varied(server, [command(i) for i in indices], scale.seconds)

    servers.bind(ours, "long", length)
    runs = {"VGET": run(ours, lambda i: ("VGET", "long", i))}
    if length <= LONGEST["LINDEX"]:
        servers.fill_list(own, "longlist", length)
        runs["LINDEX"] = run(own, lambda i: ("LINDEX", "longlist", i))
    if length <= LONGEST["GETRANGE"]:
        servers.fill_string(own, "longstring", length)
        runs["GETRANGE"] = run(own, lambda i: ("GETRANGE", "longstring", 8 * i, 8 * i + 7))
    if length <= LONGEST["HGET"]:
        servers.fill_hash(own, "longhash", length)
        runs["HGET"] = run(own, lambda i: ("HGET", "longhash", i))
    if peer:
        servers.bind(peer, "long", length)
        runs["VGET of PEER"] = run(peer, lambda i: ("VGET", "long", i))
    return runs


def length_appends(contenders, length):
    """Appending to what `length_reads` made."""
    runs = {"VADD": contenders.run(contenders.ours, ["VADD", "long", VALUE], 64)}
    if length <= LONGEST["LINDEX"]:
        runs["RPUSH"] = contenders.run(contenders.own, ["RPUSH", "longlist", VALUE], 64)
    if contenders.peer:
        runs["VADD of PEER"] = contenders.run(contenders.peer, ["VADD", "long", VALUE], 64)
    return runs


def over_lengths(scale, contenders):
    read, append = {}, {}
    for length in scale.lengths:
        harness.progress(f"length {length:,}")
        in_turns(scale, read, length, length_reads(scale, contenders, length))
        in_turns(scale, append, length, length_appends(contenders, length))
        contenders.own.command("DEL", "longlist", "longstring", "longhash")
        for server in filter(None, (contenders.ours, contenders.peer)):
            server.command("DEL", "long")
            os.remove(os.path.join(server.directory, "long.f64"))
    return [
        Figure(
            "read-lengths", "Reading one random value: length",
            "8 connections, 64 commands on the way on each, 16,384 random indices over and over; the files are in the page cache. "
            f"Lists and hashes only up to {LONGEST['LINDEX']:,} values and strings up to {LONGEST['GETRANGE']:,}, for their RAM.",
            "values in the array", "commands per second", scale.lengths, read, "VGET", "GETRANGE"),
        Figure(
            "append-lengths", "Appending one value: length before",
            "50 connections, 64 commands on the way on each. What was appended stays for the next round.",
            "values in the array before", "commands per second", scale.lengths, append, "VADD", "RPUSH"),
    ]


def over_fsync(scale, server):
    """On a server with an AOF, which is how the server's own types get onto the disk."""
    cells = {}
    many = [f"{i / 7:.17g}" for i in range(100)]
    for policy in FSYNC:
        harness.progress(f"fsync {policy}")
        server.command("CONFIG", "SET", "appendfsync", policy)
        server.command("CONFIG", "SET", "mmap.fsync", policy)
        runs = {}
        for size, values in ((1, [VALUE]), (100, many)):
            runs[f"VADD of {size}"] = load.repeated(
                server, ["VADD", "new", *values], scale.seconds, 1, lambda: servers.bind(server, "new", 1))
            runs[f"RPUSH of {size}"] = load.repeated(
                server, ["RPUSH", "pushed", *values], scale.seconds, 1, lambda: server.command("DEL", "pushed"))
        in_turns(scale, cells, policy, runs)
    return Figure(
        "fsync", "Appending durably: fsync policies",
        "50 connections, each waiting for its reply, on one server. `mmap.fsync` for `VADD`, an AOF with `appendfsync` for `RPUSH`; rewriting the "
        "AOF is turned off.",
        "policy", "commands per second", FSYNC, cells, "VADD of 1", "RPUSH of 1", "bars")


def memory(scale, contenders):
    harness.progress("RAM per value")
    fills = {
        "array": (contenders.ours, servers.bind),
        "string": (contenders.own, servers.fill_string),
        "list": (contenders.own, servers.fill_list),
        "hash": (contenders.own, servers.fill_hash),
    }
    cells = {}
    for name, (server, fill) in fills.items():
        before = server.info("memory", "used_memory")
        fill(server, f"memory:{name}", scale.values)
        cells[name] = {scale.values: [(server.info("memory", "used_memory") - before) / scale.values]}
        server.command("DEL", f"memory:{name}")
    return [Figure(
        "memory", "RAM of the server per value",
        "`used_memory`. The values of an array are in the kernel's page cache, 8 bytes each, as far as they are in use and RAM is "
        "free; the kernel drops them when it needs the room. One measurement: it does not vary.",
        "values", "bytes per value", (scale.values,), cells, form="bars")]


def restart(scale):
    """From starting the process until PING is answered, with so many arrays, the same as lists, and nothing."""
    harness.progress("restart")
    few, many = (f"{scale.arrays} × {values:,}" for values in (scale.list_values, scale.array_values))
    with tempfile.TemporaryDirectory() as directory:
        folders = {name: os.path.join(directory, name) for name in ("empty server", "arrays", "short arrays", "lists")}
        with servers.start(folders["empty server"]) as server:
            server.command("SAVE")
        for name, values in (("short arrays", scale.list_values), ("arrays", scale.array_values)):
            with servers.start(folders[name]) as server:
                for i in range(scale.arrays):
                    servers.bind(server, f"array{i}", values)
                server.command("SAVE")
        with servers.start(folders["lists"]) as server:
            servers.fill_list(server, "list0", scale.list_values)
            for i in range(1, scale.arrays):
                server.command("COPY", "list0", f"list{i}")
            server.command("SAVE")

        def started(name, count, key, values):
            def once():
                with servers.start(folders[name]) as server:
                    if count and server.command(count, key) != values:
                        sys.exit(f"{name}: {key} did not come back whole")
                    return 1000 * server.start_seconds
            return once

        last, cells = scale.arrays - 1, {}
        empty = started("empty server", None, None, 0)
        in_turns(scale, cells, few, {
            "empty server": empty,
            "arrays": started("short arrays", "VSIZE", f"array{last}", scale.list_values),
            "lists": started("lists", "LLEN", f"list{last}", scale.list_values),
        })
        in_turns(scale, cells, many, {
            "empty server": empty,
            "arrays": started("arrays", "VSIZE", f"array{last}", scale.array_values),
        })
    return Figure(
        "restart", "Restart", "Until the first `PING` is answered, with an RDB file. Values of lists are read from it; those of "
        f"arrays stay in their files, which are in the page cache or not. Lists are measured with {scale.list_values:,} values each "
        "only: longer ones need gigabytes of RAM and minutes.",
        "arrays or lists × values", "milliseconds", (few, many), cells, form="bars")


PARTS = ("sizes", "depths", "lengths", "memory", "fsync", "restart")


def run(scale, parts):
    """Those of the experiments that are wanted; the servers are gone afterwards."""
    figures = []
    shared = {"sizes": over_sizes, "depths": over_depths, "lengths": over_lengths, "memory": memory}
    if shared := [measure for part, measure in shared.items() if part in parts]:
        figures += side_by_side(scale, shared)
    if "fsync" in parts:
        with tempfile.TemporaryDirectory() as directory:
            with servers.start(directory, "--appendonly", "yes", "--auto-aof-rewrite-percentage", "0") as server:
                figures.append(over_fsync(scale, server))
    if "restart" in parts:
        figures.append(restart(scale))
    return figures


def side_by_side(scale, experiments):
    """Experiments on servers that are there at the same time."""
    figures = []
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        ours = stack.enter_context(servers.start(os.path.join(directory, "ours")))
        own = stack.enter_context(servers.start(os.path.join(directory, "own"), module=None))
        peer = None
        if servers.PEER:
            peer = stack.enter_context(servers.start(os.path.join(directory, "peer"), module=servers.PEER))
        contenders = Contenders(scale, ours, own, peer)
        for experiment in experiments:
            figures += experiment(scale, contenders)
    return figures
