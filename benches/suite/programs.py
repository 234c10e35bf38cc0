"""The other benchmarks beside this folder, which print Markdown: a section of the page each."""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile

import harness
from experiments import Figure

# Share of `steady`'s own two minutes a side that is enough to see what is usual.
STEADY_SECONDS = 60


@dataclasses.dataclass
class Section:
    title: str
    text: str
    tables: str


def output(scale, program, *options, server=None):
    """What `benches/<program>` prints; its progress goes to our stderr. Ends the suite if it fails."""
    harness.progress(" ".join([program, *options]))
    command = [sys.executable, os.path.join(harness.ROOT, "benches", program), *options]
    if scale.quick:
        command.append("--quick")
    environment = os.environ | {"MMAP_SERVER": server or harness.SERVER}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            printed, _ = process.communicate()
        except KeyboardInterrupt:
            # The terminal has told it, too; it clears up.
            process.wait()
            raise
        except SystemExit:
            process.terminate()
            raise
    if process.returncode:
        sys.exit(f"suite: {program} failed")
    return printed.strip()


def goals(scale):
    text = ("Each side of a ratio has a server of its own, which is stopped while it is not its turn. Ratios are those of each round; "
            "above 1, the module is faster.")
    return [Section("The goals", text, output(scale, "run", "--only", "speed"))] + [
        Section(f"The goals on {harness.version(server)}", "As above. Where the server has a `VADD` of its own, ours is `VPUSH` behind a filter.",
                output(scale, "run", "--only", "speed", server=server))
        for server in scale.also
    ]


def durability(scale):
    text = ("Each client waits for the reply to one command before it sends the next. `mmap.fsync` for `VADD`, an AOF with the same "
            "`appendfsync` for `SET`; each has a server of its own.")
    return [Section("Appending durably, one value after the other", text, output(scale, "run", "--only", "durability"))]


def numpy(scale):
    text = "`VAGG` on one thread and numpy over the same file in the page cache, in turns. A ratio above 1 means that `VAGG` is faster."
    return [Section("Aggregates", text, output(scale, "aggregate"))]


def cold(scale):
    text = "A page that is not in RAM has to be read from the disk. Only those who ask for it should wait."
    return [Section("Values that are not in RAM", text, output(scale, "cold"))]


def large(scale):
    options = () if scale.long else ("--only", "limited")
    text = ("How the length of an array matters. RAM without files is what the server needs for itself; with files, it is what the "
            "kernel's page cache holds for it as well.")
    return [Section("Long arrays, and arrays that do not fit into RAM", text, output(scale, "large", *options))]


def full_sync(scale):
    text = ("A fresh replica gets an array from its primary while a client writes to that. Whatever the length of the array, the values "
            "pass through no memory of either server.")
    return [Section("A full synchronisation", text, output(scale, "full_sync"))]


def steady(scale):
    seconds = () if scale.long else ("--seconds", str(STEADY_SECONDS))
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "found.json")
        text = output(scale, "steady", "--ping", "--json", path, *seconds)
        with open(path) as file:
            found = json.load(file)
    cells = {name: {percent: [latency] for percent, latency in one["percentiles"]} for name, one in found.items()}
    percentiles = tuple(next(iter(cells.values())))
    return [Figure(
        "latency", "Latency at a steady rate",
        "Each connection sends its share every millisecond, whether or not replies have come; a latency counts from when the "
        "command was due. `VADD` with `mmap.fsync everysec`, `RPUSH` with an AOF and `appendfsync everysec`, each on a server of its "
        "own. `PING` shows what the client and the machine add. Here a number is of all turns together, not a median of rounds.\n\n"
        + text, "percentile", "latency, µs", percentiles, cells, form="percentiles")]
