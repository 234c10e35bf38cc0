"""A chart of a long series, drawn from aggregates that Redis computes; the series itself is not sent.

    pip install "./python[redis]" matplotlib
    python examples/chart.py [port] [points] [file.png]
"""

import sys
import time

import matplotlib
import numpy as np
import redis

import redis_mmap

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402  (the backend comes first)

port, points, output = (*sys.argv[1:], *("6379", "100_000_000", "chart.png")[len(sys.argv) - 1 :])
client, points, random = redis.Redis(port=int(port)), int(points), np.random.default_rng(1)
a = redis_mmap.open(client, "chart", "chart.f64", dtype="f8")
a.clear()
for start in range(0, points, 1_000_000):
    # Two years of a sensor, say: a yearly and a daily wave, noise, and now and then a spike.
    x = np.arange(start, min(start + 1_000_000, points)) / points
    y = 10 * np.sin(4 * np.pi * x) + 4 * np.sin(2 * np.pi * 730 * x) + random.standard_normal(len(x))
    y[random.integers(0, len(y), 2)] += random.choice([-15, 25], 2)
    a.append(y)
begin = time.monotonic()
parts = a.buckets(800)
print(f"{points:,} values: 800 buckets took {1_000 * (time.monotonic() - begin):.0f} ms; the chart is {output}")
figure, axes = pyplot.subplots(figsize=(8, 3), dpi=100, layout="constrained")
axes.fill_between(parts["start"], parts["min"], parts["max"], color="#9ec9e2", linewidth=0, label="least to greatest")
axes.plot(parts["start"], parts["mean"], color="#0d4a70", linewidth=1, label="mean")
axes.set(xlim=(0, points), xlabel="index", title=f"{points:,} values, {len(parts)} buckets")
axes.legend(loc="lower left")
figure.savefig(output)
a.clear()
client.delete("chart")
