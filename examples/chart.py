"""A chart of a long series, drawn from what Redis answers about it, not from the series.

usage: chart.py [--port N] [--points N] [--output FILE.png]

numpy makes the series from a formula and writes it to a file, Redis maps the file, and one `VBUCKETS` says of each
column of pixels what its least, greatest and mean value are. The server at 127.0.0.1 (port 6379) must have the module loaded and
run on this machine; the file is made in its directory `mmap.dir` and removed at the end.
"""

import argparse
import os
import time

import matplotlib
import numpy as np
import redis

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402  (the backend comes first)

COLUMNS = 800
BLOCK = 1_000_000


def write_series(path, points):
    """Two years of a sensor, say: a yearly and a daily wave, noise, and now and then a spike."""
    random = np.random.default_rng(1)
    with open(path, "wb") as file:
        for start in range(0, points, BLOCK):
            x = np.arange(start, min(start + BLOCK, points)) / points
            y = 10 * np.sin(4 * np.pi * x) + 4 * np.sin(2 * np.pi * 730 * x) + random.standard_normal(len(x))
            y[random.integers(0, len(y), 2)] += random.choice([-15, 25], 2)
            y.tofile(file)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=6379)
    parser.add_argument("--points", type=int, default=100_000_000)
    parser.add_argument("--output", default="chart.png")
    options = parser.parse_args()

    client = redis.Redis(port=options.port, protocol=2)
    folder = client.config_get("mmap.dir")["mmap.dir"]
    key = f"chart.{os.getpid()}"
    path = os.path.join(folder, key)
    try:
        write_series(path, options.points)
        client.execute_command("MMAP", key, key, "double")
        start = time.monotonic()
        reply = client.execute_command("VBUCKETS", key, 0, -1, COLUMNS, "MIN", "MAX", "AVG")
        took = 1_000 * (time.monotonic() - start)
        least, greatest, mean = np.array(reply, dtype=float).T

        series = np.memmap(path, dtype="float64", mode="r")
        ends = np.arange(COLUMNS + 1) * options.points // COLUMNS
        for column in range(0, COLUMNS, 97):
            part = series[ends[column] : ends[column + 1]]
            if (least[column], greatest[column]) != (part.min(), part.max()) or not np.isclose(mean[column], part.mean()):
                raise SystemExit(f"chart: column {column} is not what numpy says")
    finally:
        client.delete(key)
        if os.path.exists(path):
            os.remove(path)

    figure, axes = pyplot.subplots(figsize=(8, 3), dpi=100, layout="constrained")
    columns = np.arange(COLUMNS) * options.points / COLUMNS
    axes.fill_between(columns, least, greatest, color="#9ec9e2", linewidth=0, label="least to greatest")
    axes.plot(columns, mean, color="#0d4a70", linewidth=1, label="mean")
    axes.set(xlim=(0, options.points), xlabel="index", title=f"{options.points:,} values, {COLUMNS} buckets")
    axes.legend(loc="lower left")
    figure.savefig(options.output)
    print(f"{options.points:,} values: VBUCKETS of {COLUMNS} parts took {took:.0f} ms; the chart is {options.output}")


if __name__ == "__main__":
    main()
