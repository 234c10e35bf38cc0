"""Measures the module beside the server's own types, with all benchmarks beside this folder, and writes docs/benchmarks.md with tables and charts.

It starts servers of its own in temporary directories (TMPDIR says on which file system) and takes them down again. Needs the
release build of the module, redis-server, redis-benchmark and matplotlib; `make bench` sees to that.

    .venv/bin/python benches/suite [--rounds N] [--quick | --long] [--only PART,...] [--also SERVER] [--output DIR]

MMAP_SERVER is the server to run (default: redis-server), MMAP_MODULE the module. PEER=path/to/module.so adds another module
with the same commands, on a server of its own.
"""

import argparse
import os
import sys
import tempfile
import time
import xml.etree.ElementTree

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import experiments  # noqa: E402  (the folder of harness.py comes first)
import harness  # noqa: E402
import programs  # noqa: E402
import report  # noqa: E402
import servers  # noqa: E402


def check(output, figures):
    """What was written is whole: each chart is XML with its title and all names, and is shown on the page."""
    with open(os.path.join(output, "benchmarks.md")) as file:
        text = file.read()
    for figure in figures:
        link = f"charts/{figure.slug}.svg"
        chart = "".join(xml.etree.ElementTree.parse(os.path.join(output, link)).getroot().itertext())
        for wanted in (figure.title, *figure.cells):
            if wanted not in chart:
                sys.exit(f"suite: {link} does not show '{wanted}'")
        if link not in text:
            sys.exit(f"suite: benchmarks.md does not show {link}")


# In the order of the page, around the experiments. Each gives a list of figures and sections.
BEFORE = {"goals": programs.goals, "durability": programs.durability}
AFTER = {"steady": programs.steady, "numpy": programs.numpy, "cold": programs.cold, "large": programs.large,
         "full-sync": programs.full_sync}


def measure(scale, wanted):
    def run(measures):
        return [part for name, measure in measures.items() if name in wanted for part in measure(scale)]

    return run(BEFORE) + experiments.run(scale, wanted) + run(AFTER)


def main():
    parser = argparse.ArgumentParser(prog="benches/suite", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, help="rounds of each experiment (default: 5); the other programs have their own")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--quick", action="store_true", help="tiny counts: does it run at all? Writes nothing into docs/")
    length.add_argument("--long", action="store_true", help="with arrays of 10^9 values, and restarts with 100 of 10^7")
    parser.add_argument("--only", metavar="PART[,PART]", help="parts of it, and nothing is written into docs/")
    parser.add_argument("--also", metavar="SERVER", action="append", default=[], help="another server on which the goals are measured")
    parser.add_argument("--output", help="directory to write into (default: docs/)")
    options = parser.parse_args()
    known = (*BEFORE, *experiments.PARTS, *AFTER)
    wanted = options.only.split(",") if options.only else known
    if unknown := set(wanted) - set(known):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    scale = experiments.Scale.tiny() if options.quick else experiments.Scale()
    if options.long:
        scale.lengthen()
    scale.rounds = options.rounds or scale.rounds
    scale.also = tuple(options.also)
    harness.use_server()
    harness.stop_when_told()
    if servers.PEER and not os.path.exists(servers.PEER):
        sys.exit(f"suite: there is no module {servers.PEER} (PEER)")

    begin = time.monotonic()
    parts = measure(scale, wanted)
    minutes = (time.monotonic() - begin) / 60
    to_read = (options.quick or options.only) and not options.output
    with tempfile.TemporaryDirectory() as scratch:
        output = options.output or (scratch if to_read else os.path.join(harness.ROOT, "docs"))
        report.write(parts, scale, minutes, output)
        check(output, report.figures(parts))
        if to_read:
            with open(os.path.join(output, "benchmarks.md")) as file:
                print(file.read())
        else:
            print(f"{output}/benchmarks.md is written, in {minutes:.1f} minutes")


if __name__ == "__main__":
    main()
