"""Writes the page: the machine, the method, a table and a chart of each figure."""

import datetime
import os
import platform
import re
import subprocess
import tempfile

import charts
import experiments
import harness
import programs
import servers


def first_line(*command):
    try:
        return subprocess.run(command, capture_output=True, check=True, text=True, cwd=harness.ROOT).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "unknown"


def field(path, pattern, otherwise="unknown"):
    with open(path) as file:
        found = re.search(pattern, file.read(), re.MULTILINE)
    return found[1].strip() if found else otherwise


def machine(folder):
    """What the numbers depend on: pairs of a name and a text."""
    ram = int(field("/proc/meminfo", r"^MemTotal:\s*(\d+)", "0")) / 2**20
    processor = field("/proc/cpuinfo", r"^model name\s*: (.*)$", platform.machine())
    version = field(os.path.join(harness.ROOT, "Cargo.toml"), r'^version = "(.*)"')
    rows = [
        ("date", datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")),
        ("processor", f"{processor}, {os.cpu_count()} logical CPUs"),
        ("RAM", f"{ram:.1f} GiB"),
        ("kernel", platform.release().split("-")[0]),
        ("file system", first_line("findmnt", "--noheadings", "--output", "FSTYPE", "--target", folder)),
        ("server", first_line(harness.SERVER, "--version").split(" sha=")[0]),
        ("client", first_line("redis-benchmark", "--version")),
        ("module", f"{version}, commit {first_line('git', 'describe', '--always', '--dirty')}, {first_line('rustc', '--version')}"),
    ]
    if servers.PEER:
        rows.append(("PEER", os.path.basename(servers.PEER)))
    return rows


def number(value):
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def label(figure, x):
    if figure.form == "percentiles" and x == 100:
        return "max"
    return f"{x:,}" if isinstance(x, int) else str(x)


def table(figure):
    head = [figure.x_label, *figure.cells]
    compared = figure.ours in figure.cells and figure.peer in figure.cells
    if compared:
        head.append(f"{figure.ours} : {figure.peer}")
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" + "---:|" * (len(head) - 1)]
    for x in figure.xs:
        row = [label(figure, x), *(number(figure.median(name, x)) for name in figure.cells)]
        if compared:
            ratio = figure.ratio(x)
            row.append("" if ratio is None else f"{ratio:.2f}")
        lines.append("| " + " | ".join(row) + " |")
    return lines


def figures(parts):
    """Those that have a chart."""
    return [part for part in parts if isinstance(part, experiments.Figure)]


def page(parts, scale, minutes, folder):
    lines = ["# Benchmarks", ""]
    if scale.quick:
        lines += ["**A quick run, which shows that the suite works. These numbers mean nothing.**", ""]
    lines += [
        "Made by `make bench`, which generates it on any machine; `PEER=path/to/module.so make bench` adds another module with "
        "the same commands. Do not edit it. [Instructions of a command](profile.md) says where the time of a command goes, and what was tried.", "",
        "| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in machine(folder)), "",
        f"Each number is the median of {scale.rounds} rounds, in which all contenders take their turns in a new order; bands "
        "in the charts go from the least to the greatest. Ratios are medians of the ratios in each round, and mean more than "
        f"the rates: server, client and worker thread share {os.cpu_count()} CPUs, and a client that is at its limit makes "
        "all contenders look alike. Server, client and files are on one machine; the connection is TCP on the loopback "
        "interface. The module and the server's own types have a server each, unless a section says otherwise. Before each "
        "run that writes to a new key, the disk gets what the run before left to be written.", "",
        f"All of it took {minutes:.0f} minutes." + ("" if scale.long else
        " Appending 10⁹ values, arrays of that length, restarts with 10⁷ values an array and two minutes of a steady rate take "
        "`make bench SUITEFLAGS=--long`, and 11 GB of disk."), "",
    ]
    for part in parts:
        lines += [f"## {part.title}", "", part.text, ""]
        if isinstance(part, programs.Section):
            lines += [part.tables, ""]
        else:
            lines += [f"![{part.title}](charts/{part.slug}.svg)", "", f"{part.y_label.capitalize()}:", "", *table(part), ""]
    return "\n".join(lines).rstrip() + "\n"


def write(parts, scale, minutes, output):
    """Writes `output/benchmarks.md` and `output/charts/*.svg`. Charts of an earlier run that are no more are removed."""
    folder = os.path.join(output, "charts")
    os.makedirs(folder, exist_ok=True)
    for name in os.listdir(folder):
        if name.endswith(".svg"):
            os.remove(os.path.join(folder, name))
    for figure in figures(parts):
        charts.draw(figure, folder)
    with open(os.path.join(output, "benchmarks.md"), "w") as file:
        file.write(page(parts, scale, minutes, tempfile.gettempdir()))
